"""Meshes and point clouds without a rig: OBJ, PLY, STL, OFF, XYZ and NPY. Vertices stay in the file's order.

All is read by our own code, which keeps every vertex in its place and asks what a file claims before taking memory.
STL stores no shared vertices; its equal corners are merged, the first keeping its place, or no surface would hang together.
"""

import tokenize
import warnings
from array import array
from pathlib import Path

import numpy as np

from dataset.asset import Asset, AssetError, check
from dataset.sources.limits import MAX_TEXT, MAX_VERTICES, check_size, file_size, read_file
from dataset.sources.off import read_off
from dataset.sources.ply import read_ply
from dataset.sources.stl import read_stl
from geometry.normals import normalize, vertex_normals

MESHES = (".obj", ".ply", ".stl", ".off")
POINTS = (".xyz", ".npy")
UP_OF_SUFFIX = {".obj": "y"}
MAX_LINE = 1 << 20  # bytes of one line of an OBJ
MAX_HEADER = 1 << 16  # bytes of a .npy


def load_mesh(path: str | Path, up: str = "auto") -> Asset:
    """A mesh (.obj, .ply, .stl, .off) or point cloud (.ply without faces, .xyz, .npy of (N, 3) or (N, 6) with normals).

    up: "y", "z" or "auto": OBJ is Y up by custom; for the others, which have no custom, the longer of the box's y and z sides.
    Raises: AssetError naming the file: unreadable, empty, not finite, faces out of range.
    """
    path = Path(path)
    if up not in ("y", "z", "auto"):
        raise AssetError(f"{path.name}: up must be y, z or auto, not {up!r}")
    suffix = path.suffix.lower()
    read = {".obj": _obj, ".ply": _ply, ".stl": _stl, ".off": _off, ".xyz": _xyz, ".npy": _npy}[suffix]
    try:
        vertices_V3, normals_V3, faces_F3 = read(path)
    except AssetError:
        raise
    except MemoryError as error:
        raise AssetError(f"{path.name}: needs more memory than there is: simplify it first") from error
    except (ValueError, OSError, EOFError, IndexError, OverflowError, TypeError, SyntaxError, RecursionError) as error:
        raise AssetError(f"{path.name}: not a readable {suffix} file ({error})") from error
    check_size(path.name, len(vertices_V3), 0 if faces_F3 is None else faces_F3.size)
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


def _ply(path: Path) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    vertices_V3, normals_V3, faces_F3 = read_ply(read_file(path, MAX_TEXT))
    with np.errstate(all="ignore"):
        return vertices_V3, None if normals_V3 is None else normalize(normals_V3), _filled(faces_F3)


def _off(path: Path) -> tuple[np.ndarray, None, np.ndarray | None]:
    vertices_V3, faces_F3 = read_off(read_file(path, MAX_TEXT))
    return vertices_V3, None, _filled(faces_F3)


def _stl(path: Path) -> tuple[np.ndarray, None, np.ndarray | None]:
    vertices_V3 = read_stl(read_file(path, MAX_TEXT))
    vertices_V3, faces_F3 = _merge_equal(vertices_V3, np.arange(len(vertices_V3)).reshape(-1, 3))
    return vertices_V3, None, _filled(faces_F3)


def _filled(faces_F3: np.ndarray | None) -> np.ndarray | None:
    """None for no faces at all."""
    return faces_F3 if faces_F3 is not None and len(faces_F3) else None


def _obj(path: Path) -> tuple[np.ndarray, None, np.ndarray | None]:
    """Vertices (`v`) and faces (`f`, polygons as fans) of a Wavefront OBJ; groups and materials do not matter here."""
    file_size(path, MAX_TEXT)
    vertices, faces, number = array("d"), array("q"), 0
    with path.open("rb") as file:
        while line := file.readline(MAX_LINE):
            number += 1
            if len(line) == MAX_LINE:
                raise ValueError(f"line {number} has more than {MAX_LINE} bytes")
            words = line.split()
            try:
                if words[:1] == [b"v"]:
                    vertices.extend((float(words[1]), float(words[2]), float(words[3])))
                elif words[:1] == [b"f"]:
                    corners = [int(word.split(b"/")[0]) for word in words[1:]]
                    # counted from 1, or backwards from the newest vertex
                    corners = [corner - 1 if corner > 0 else len(vertices) // 3 + corner if corner else -1 for corner in corners]
                    for b, c in zip(corners[1:], corners[2:]):
                        faces.extend((corners[0], b, c))
            except (ValueError, IndexError, OverflowError):
                raise ValueError(f"line {number} is no OBJ {words[0].decode()} line: {line[:60]!r}") from None
            check_size(path.name, len(vertices) // 3, len(faces))
    faces_F3 = np.frombuffer(faces, np.int64).reshape(-1, 3)
    return np.frombuffer(vertices, np.float64).reshape(-1, 3), None, _filled(faces_F3)


def _merge_equal(vertices_V3: np.ndarray, faces_F3: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Equal vertices become one, in the order of their first appearance."""
    _, first, inverse = np.unique(vertices_V3, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return vertices_V3[first[order]], rank[inverse.ravel()][faces_F3]


def _xyz(path: Path) -> tuple[np.ndarray, np.ndarray | None, None]:
    """One point a line, '#' starts a comment."""
    file_size(path, MAX_TEXT)
    with path.open("rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # an empty file is refused below
        return _points(np.loadtxt(file, dtype=np.float64, ndmin=2))


def _npy(path: Path) -> tuple[np.ndarray, np.ndarray | None, None]:
    file_size(path)
    with path.open("rb") as file:
        head = file.read(12)
    if head[:6] != b"\x93NUMPY":  # np.load opens zips and pickles too
        raise ValueError("it does not begin as .npy files do")
    if head[6:7] > b"\x01" and int.from_bytes(head[8:12], "little") > MAX_HEADER:  # NumPy takes the memory before it reads
        raise ValueError("its header is too long")
    try:
        return _points(np.load(path, mmap_mode="r", allow_pickle=False))
    except tokenize.TokenError as error:  # NumPy's way with an old header
        raise ValueError(f"its header cannot be read: {error}") from None


def _points(values: np.ndarray) -> tuple[np.ndarray, np.ndarray | None, None]:
    """(N, 3) positions, or (N, 6) positions and normals."""
    if values.ndim != 2 or values.shape[1] not in (3, 6) or values.dtype.kind not in "fiu":
        raise ValueError(f"it holds {values.dtype} of shape {values.shape}; points need (N, 3), or (N, 6) with normals")
    if len(values) > MAX_VERTICES:
        raise ValueError(f"more than {MAX_VERTICES} points: thin it first")
    with np.errstate(all="ignore"):
        values = values.astype(np.float64)
        return values[:, :3], normalize(values[:, 3:]) if values.shape[1] == 6 else None, None
