"""Contest files (.npz): assets and motion tracks, read without running what a stranger may have pickled into them.

Format: facts of the 5th Jittor AI Challenge's rigging track. Plain members are .npy arrays; lists and None are pickled objects.
Ours: pickles go through a reader that knows NumPy arrays, dtypes and scalars and nothing else; anything more is refused by name
before it is called. Sizes in the .npy headers are compared with the zip's before memory is taken.
Letters: V vertices, F faces, J joints, T frames.
"""

import io
import math
import pickle
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from dataset.asset import Asset, AssetError, check
from geometry.normals import face_normals, vertex_normals

MAX_BYTES = 4 << 30         # of all members together, unpacked
MAX_PICKLE_BYTES = 256 << 20
HIPS, HEAD = 0, 5


def load_npz(path: str | Path, up: str | None = None) -> Asset:
    """One contest asset. joints and skin may be None or absent (test files), and faces too (point clouds).

    up: "y" or "z"; by default the axis along which the head is farthest from the hips, "z" where there is no skeleton.
    Missing normals are computed from the faces.
    Raises: AssetError naming the file and member: no zip, cut short, unsafe pickle, wrong shape, broken skeleton or weights.
    """
    path = Path(path)
    members = read_npz(path)
    vertices_V3 = _array(path, members, "vertices", np.float32, (None, 3))
    if vertices_V3 is None:
        raise AssetError(f"{path.name}: has no 'vertices' (found: {', '.join(sorted(members)) or 'nothing'})")
    joints_J3 = _array(path, members, "joints", np.float32, (None, 3))
    faces_F3 = _array(path, members, "faces", np.int64, (None, 3))
    normals_V3 = _array(path, members, "vertex_normals", np.float32, vertices_V3.shape)
    count = 0 if joints_J3 is None else len(joints_J3)
    rig = dict.fromkeys(("skin_VJ", "parents", "names", "matrix_local_J44"))
    if count:
        rig = dict(skin_VJ=_array(path, members, "skin", np.float32, (len(vertices_V3), count)),
                   parents=_parents(path, members), names=_names(members),
                   matrix_local_J44=_array(path, members, "matrix_local", np.float32, (count, 4, 4)))
    asset = check(Asset(cls=str(_value(members, "cls", "other")), id=_value(members, "id", path.stem), source=path.name,
                        vertices_V3=vertices_V3, normals_V3=normals_V3, faces_F3=faces_F3, joints_J3=joints_J3,
                        up=up or _up(joints_J3), **rig))
    if normals_V3 is None and asset.has_faces:
        asset = replace(asset, normals_V3=vertex_normals(asset.vertices_V3, asset.faces_F3).astype(np.float32))
    return asset


def load_track(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """A motion clip -> matrix_basis_TJ44 float32 (rotation of each joint in its own rest frame), offset_T3 float32 (zeros if absent).

    Raises: AssetError naming the file, as load_npz does.
    """
    path = Path(path)
    members = read_npz(path)
    basis_TJ44 = _array(path, members, "matrix_basis", np.float32, (None, None, 4, 4))
    if basis_TJ44 is None:
        raise AssetError(f"{path.name}: has no 'matrix_basis'; a track file needs (frames, joints, 4, 4)")
    offset_T3 = _array(path, members, "offset", np.float32, (len(basis_TJ44), 3))
    offset_T3 = np.zeros((len(basis_TJ44), 3), np.float32) if offset_T3 is None else offset_T3
    if not (np.isfinite(basis_TJ44).all() and np.isfinite(offset_T3).all()):
        raise AssetError(f"{path.name}: matrix_basis or offset is not finite")
    return basis_TJ44, offset_T3


def write_npz(path: str | Path, asset: Asset) -> None:
    """The asset as a contest file: parents as a pickled list, absent parts as pickled None."""
    faces_F3 = asset.faces_F3
    normals_F3 = None if faces_F3 is None else face_normals(asset.vertices_V3, faces_F3).astype(np.float32)
    parents = None if asset.parents is None else np.array(list(asset.parents), dtype=object)
    values = dict(cls=asset.cls, id=asset.id, vertices=asset.vertices_V3, vertex_normals=asset.normals_V3, faces=faces_F3,
                  face_normals=normals_F3, joints=asset.joints_J3, skin=asset.skin_VJ, parents=parents,
                  names=None if asset.names is None else list(asset.names), matrix_local=asset.matrix_local_J44)
    np.savez_compressed(path, **{key: np.array(value, dtype=object) if value is None else value for key, value in values.items()})


def read_npz(path: str | Path) -> dict[str, object]:
    """All members of an .npz, 0-d arrays unwrapped by [()]. Nothing in the file is run.

    Raises: AssetError naming the file, the member and, for a pickle that wants more than arrays, what it asked for.
    """
    path = Path(path)
    try:
        with zipfile.ZipFile(path) as archive:
            infos = [info for info in archive.infolist() if info.filename.endswith(".npy")]
            if sum(info.file_size for info in infos) > MAX_BYTES:
                raise AssetError(f"{path.name}: unpacks to more than {MAX_BYTES >> 30} GiB: refused")
            return {info.filename[:-4]: _member(path, archive, info) for info in infos}
    except OSError as error:
        raise AssetError(f"{path.name}: cannot be read ({error.strerror or error})") from None
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError) as error:
        raise AssetError(f"{path.name}: not a whole .npz file ({error})") from None


def _member(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo):
    where = f"{path.name}: member '{info.filename}'"
    try:
        with archive.open(info) as file:
            version = np.lib.format.read_magic(file)
            read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
            shape, fortran, dtype = read_header(file)
            left = info.file_size - file.tell()
            if dtype.hasobject:
                return _pickled(where, file.read(), left)
            if math.prod(shape) * dtype.itemsize != left:
                raise AssetError(f"{where} claims shape {shape} of {dtype} but holds {left} bytes")
            values = np.frombuffer(file.read(), dtype)
            return values.reshape(shape, order="F" if fortran else "C").copy()[()]
    except KeyError:
        raise AssetError(f"{where} is of an unknown .npy version") from None
    except ValueError as error:
        if isinstance(error, AssetError):
            raise
        raise AssetError(f"{where} has a broken .npy header ({error})") from None


def _pickled(where: str, data: bytes, size: int):
    if size > MAX_PICKLE_BYTES:
        raise AssetError(f"{where} is a pickle of {size} bytes: refused")
    try:
        value = _ArraysOnly(io.BytesIO(data)).load()
    except _Refused as error:
        raise AssetError(f"{where} wants {error}, which a file of arrays does not need: refused, nothing was run") from None
    except Exception as error:  # a damaged pickle can raise anything
        raise AssetError(f"{where} cannot be unpickled ({type(error).__name__}: {error})") from None
    return value[()] if isinstance(value, np.ndarray) else value


class _Refused(pickle.UnpicklingError):
    pass


class _NdarrayName:
    """What a pickle may name but not call: numpy.ndarray, as the first argument of _reconstruct."""

    def __new__(cls, *args):
        raise _Refused("numpy.ndarray called directly")


def _reconstruct(subtype, shape, dtype):
    """NumPy's own, for its one use: an empty array whose state follows. A huge shape here would take huge memory."""
    if subtype is not _NdarrayName or shape != (0,):
        raise _Refused(f"_reconstruct of shape {shape!r}")
    return np.ndarray((0,), "b")


def _dtype(code, *flags):
    if not isinstance(code, str):
        raise _Refused(f"numpy.dtype of {type(code).__name__}")
    return np.dtype(code, *flags)


_KNOWN = {"ndarray": _NdarrayName, "dtype": _dtype, "_reconstruct": _reconstruct, "scalar": np.core.multiarray.scalar,
          "_frombuffer": np.core.numeric._frombuffer}
_MODULES = {"numpy", "numpy.core.multiarray", "numpy._core.multiarray", "numpy.core.numeric", "numpy._core.numeric"}


class _ArraysOnly(pickle._Unpickler):  # the Python one: the C one lets a five-byte memo index take gigabytes
    def find_class(self, module, name):
        if module not in _MODULES or name not in _KNOWN:
            raise _Refused(f"{module}.{name}")
        return _KNOWN[name]


def _value(members: dict, key: str, default):
    value = members.get(key)
    if value is None:
        return default
    return value.item() if isinstance(value, (np.generic, np.ndarray)) and np.size(value) == 1 else value


def _array(path: Path, members: dict, key: str, dtype, shape: tuple) -> np.ndarray | None:
    """Member as an array of `dtype` and `shape` (None: any length); None where the member is None or absent."""
    if members.get(key) is None:
        return None
    try:
        values = np.asarray(members[key])
        kind_fits = values.dtype.kind in ("iu" if np.dtype(dtype).kind == "i" else "fiu")
        values = values.astype(dtype) if kind_fits or values.dtype.kind == "O" else values
    except (ValueError, TypeError):
        kind_fits = False
    fits = values.ndim == len(shape) and all(want in (None, got) for want, got in zip(shape, values.shape))
    if not fits or values.dtype != dtype:
        wanted = tuple("any" if want is None else want for want in shape)
        raise AssetError(f"{path.name}: '{key}' is {values.dtype} of shape {values.shape}, must be {np.dtype(dtype)} of {wanted}")
    return np.ascontiguousarray(values)


def _parents(path: Path, members: dict) -> tuple | None:
    parents = members.get("parents")
    if parents is None:
        return None
    try:
        return tuple(None if parent is None or int(parent) < 0 else int(parent) for parent in np.ravel(np.asarray(parents, dtype=object)))
    except (ValueError, TypeError):
        raise AssetError(f"{path.name}: 'parents' must be a list of whole numbers and None") from None


def _names(members: dict) -> tuple | None:
    names = members.get("names")
    return None if names is None else tuple(str(name) for name in np.ravel(np.asarray(names)))


def _up(joints_J3: np.ndarray | None) -> str:
    if joints_J3 is None or len(joints_J3) <= HEAD:
        return "z"
    reach_3 = np.abs(joints_J3[HEAD] - joints_J3[HIPS])
    return "y" if reach_3[1] > reach_3[2] else "z"
