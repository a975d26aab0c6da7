"""Meshes and point clouds without a rig: OBJ, PLY, STL, OFF, XYZ and NPY. Vertices stay in the file's order.

PLY, STL and OFF go through trimesh; OBJ is read here, because trimesh repeats the vertices for every group and material.
STL stores no shared vertices; its equal corners are merged, the first keeping its place, or no surface would hang together.
"""

from pathlib import Path

import numpy as np

from dataset.asset import Asset, AssetError, check
from geometry.normals import normalize, vertex_normals

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
    read = _points if suffix in POINTS else _obj if suffix == ".obj" else _mesh
    vertices_V3, normals_V3, faces_F3 = read(path, suffix)
    if normals_V3 is None and faces_F3 is not None and _usable(vertices_V3, faces_F3):
        normals_V3 = vertex_normals(vertices_V3, faces_F3)
    if up == "auto":
        up = UP_OF_SUFFIX.get(suffix) or longest_up(vertices_V3)
    with np.errstate(over="ignore"):  # beyond float32 becomes infinity, which check() refuses
        vertices_V3 = vertices_V3.astype(np.float32)
    return check(Asset(cls="other", id=path.stem, source=path.name, vertices_V3=vertices_V3, normals_V3=normals_V3,
                       faces_F3=faces_F3, up=up))


def longest_up(vertices_V3: np.ndarray) -> str:
    """ "z" where the bounding box is longer along z than along y, else "y": a standing figure is taller than deep."""
    if not len(vertices_V3):
        return "y"
    _, y, z = np.ptp(vertices_V3, axis=0)
    return "z" if z > y else "y"


def _usable(vertices_V3: np.ndarray, faces_F3: np.ndarray) -> bool:
    """False where check() will say what is wrong, so that nothing is computed from it before."""
    in_range = len(faces_F3) == 0 or (faces_F3.min() >= 0 and faces_F3.max() < len(vertices_V3))
    return in_range and bool(np.isfinite(vertices_V3).all())


def _mesh(path: Path, suffix: str) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    import trimesh  # here and not above: it takes a third of a second, and most files need none of it
    try:
        with path.open("rb") as file:  # an open file has no folder: trimesh looks for no texture beside it
            loaded = trimesh.load(file, file_type=suffix[1:], process=False)
    except Exception as error:  # each of trimesh's readers fails in its own way
        raise AssetError(f"{path.name}: not a readable {suffix} file ({type(error).__name__}: {error})") from None
    if isinstance(loaded, trimesh.Scene):
        loaded = loaded.to_geometry() if loaded.geometry else trimesh.PointCloud(np.zeros((0, 3)))
    vertices_V3 = np.asarray(loaded.vertices, dtype=np.float64).reshape(-1, 3)
    faces_F3 = np.asarray(getattr(loaded, "faces", np.zeros((0, 3))), dtype=np.int64).reshape(-1, 3)
    if suffix == ".stl":
        vertices_V3, faces_F3 = _merge_equal(vertices_V3, faces_F3)
    return vertices_V3, _ply_normals(loaded, len(vertices_V3)), faces_F3 if len(faces_F3) else None


def _ply_normals(loaded, count: int) -> np.ndarray | None:
    """The columns nx, ny, nz of a PLY's vertices, where it has them (trimesh drops those of point clouds)."""
    data = loaded.metadata.get("_ply_raw", {}).get("vertex", {}).get("data", {})
    names = data.dtype.names or () if isinstance(data, np.ndarray) else tuple(data)
    if not {"nx", "ny", "nz"} <= set(names):
        return None
    normals_V3 = np.stack([np.asarray(data[key], dtype=np.float64).ravel() for key in ("nx", "ny", "nz")], 1)
    return normalize(normals_V3) if len(normals_V3) == count else None


def _obj(path: Path, suffix: str) -> tuple[np.ndarray, None, np.ndarray | None]:
    """Vertices (`v`) and faces (`f`, polygons as fans) of a Wavefront OBJ; groups and materials do not matter here."""
    vertices, faces = [], []
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            words = line.split()
            try:
                if words[:1] == [b"v"]:
                    vertices.append((float(words[1]), float(words[2]), float(words[3])))
                elif words[:1] == [b"f"]:
                    corners = [int(word.split(b"/")[0]) for word in words[1:]]
                    # counted from 1, or backwards from the newest vertex
                    corners = [corner - 1 if corner > 0 else len(vertices) + corner if corner else -1 for corner in corners]
                    faces += [(corners[0], b, c) for b, c in zip(corners[1:], corners[2:])]
            except (ValueError, IndexError):
                raise AssetError(f"{path.name}: line {number} is no OBJ {words[0].decode()} line: {line[:60]!r}") from None
    faces_F3 = np.array(faces, dtype=np.int64).reshape(-1, 3)
    return np.array(vertices, dtype=np.float64).reshape(-1, 3), None, faces_F3 if len(faces_F3) else None


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
    return values[:, :3], normalize(values[:, 3:]) if values.shape[1] == 6 else None, None
