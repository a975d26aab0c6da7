"""Meshes and point clouds without a rig: OBJ, PLY, STL, OFF, XYZ and NPY. Vertices stay in the file's order.

STL stores no shared vertices; its equal corners are merged, the first keeping its place, or no surface would hang together.
"""

from pathlib import Path

import numpy as np
import trimesh

from dataset.asset import Asset, AssetError, check
from geometry.normals import vertex_normals

MESHES = (".obj", ".ply", ".stl", ".off")
POINTS = (".xyz", ".npy")
UP_OF_SUFFIX = {".obj": "y"}


def load_mesh(path: str | Path, up: str = "auto") -> Asset:
    """A mesh (.obj, .ply, .stl, .off) or point cloud (.ply without faces, .xyz, .npy of (N, 3) or (N, 6) with normals).

    up: "y", "z" or "auto": OBJ is Y up by custom; for the others, which have no custom, the longer of the box's y and z sides.
    Raises: AssetError naming the file: unreadable, empty, not finite, faces out of range.
    """
    path = Path(path)
    if not path.is_file():
        raise AssetError(f"{path.name}: no such file")
    if up not in ("y", "z", "auto"):
        raise AssetError(f"{path.name}: up must be y, z or auto, not {up!r}")
    suffix = path.suffix.lower()
    vertices_V3, normals_V3, faces_F3 = _points(path, suffix) if suffix in POINTS else _mesh(path, suffix)
    if up == "auto":
        up = UP_OF_SUFFIX.get(suffix) or longest_up(vertices_V3)
    asset = check(Asset(cls="other", id=path.stem, source=path.name, vertices_V3=vertices_V3, normals_V3=normals_V3,
                        faces_F3=faces_F3, up=up))
    return asset


def longest_up(vertices_V3: np.ndarray) -> str:
    """ "z" where the bounding box is longer along z than along y, else "y": a standing figure is taller than deep."""
    if not len(vertices_V3):
        return "y"
    _, y, z = np.ptp(vertices_V3, axis=0)
    return "z" if z > y else "y"


def _mesh(path: Path, suffix: str) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    try:
        with path.open("rb") as file:  # an open file has no folder: trimesh looks for no material or texture beside it
            loaded = trimesh.load(file, file_type=suffix[1:], process=False, maintain_order=True, skip_materials=True)
    except Exception as error:  # each of trimesh's readers fails in its own way
        raise AssetError(f"{path.name}: not a readable {suffix} file ({type(error).__name__}: {error})") from None
    if isinstance(loaded, trimesh.Scene):
        loaded = loaded.to_geometry() if loaded.geometry else trimesh.PointCloud(np.zeros((0, 3)))
    vertices_V3 = np.asarray(loaded.vertices, dtype=np.float64).reshape(-1, 3)
    faces_F3 = np.asarray(getattr(loaded, "faces", np.zeros((0, 3))), dtype=np.int64).reshape(-1, 3)
    if suffix == ".stl":
        vertices_V3, faces_F3 = _merge_equal(vertices_V3, faces_F3)
    if not len(faces_F3):
        return vertices_V3, None, None
    if faces_F3.min() < 0 or faces_F3.max() >= len(vertices_V3) or not np.isfinite(vertices_V3).all():
        return vertices_V3, None, faces_F3  # check() says what is wrong
    return vertices_V3, vertex_normals(vertices_V3, faces_F3), faces_F3


def _merge_equal(vertices_V3: np.ndarray, faces_F3: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Equal vertices become one, in the order of their first appearance."""
    _, first, inverse = np.unique(vertices_V3, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return vertices_V3[first[order]], rank[inverse.ravel()][faces_F3]


def _points(path: Path, suffix: str) -> tuple[np.ndarray, np.ndarray | None, None]:
    """(N, 3) positions, or (N, 6) positions and normals; .xyz holds one point a line, '#' starts a comment."""
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False) if suffix == ".npy" else np.loadtxt(path, dtype=np.float64, ndmin=2)
    except (ValueError, OSError, EOFError, MemoryError) as error:
        raise AssetError(f"{path.name}: not a readable {suffix} file ({error})") from None
    if values.ndim != 2 or values.shape[1] not in (3, 6) or values.dtype.kind not in "fiu":
        raise AssetError(f"{path.name}: holds {values.dtype} of shape {values.shape}; points need (N, 3), or (N, 6) with normals")
    values = values.astype(np.float64)
    return values[:, :3], _unit(values[:, 3:]) if values.shape[1] == 6 else None, None


def _unit(normals_V3: np.ndarray) -> np.ndarray:
    length_V1 = np.linalg.norm(normals_V3, axis=1, keepdims=True)
    return normals_V3 / np.where(length_V1 > 0, length_V1, 1)
