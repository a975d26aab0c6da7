"""Contest files (.npz): assets and motion tracks, read without running what a stranger may have pickled into them.

Format: facts of the 5th Jittor AI Challenge's rigging track. Plain members are .npy arrays; lists and None are pickled objects.
Ours: pickles go through safe_pickle.py. Sizes in the .npy heads are compared with the zip's, and those with what
we take, before memory is taken.
Letters: V vertices, F faces, J joints, T frames.
"""

import math
import re
import zipfile
import zlib
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import numpy as np

from dataset.asset import Asset, AssetError, check
from dataset.sources.limits import check_size, file_size
from dataset.sources.safe_pickle import MAX_BYTES as MAX_PICKLE_BYTES
from dataset.sources.safe_pickle import PLAIN_TYPE, Refused, check_text, load_plain_pickle
from geometry.normals import face_normals, vertex_normals

MAX_BYTES = 2 << 30         # of all members together, unpacked
MAX_MEMBERS = 1000
MAX_TEXT = 1000             # letters of a name
HEAD_BYTES = 1 << 16        # of a member: more than any .npy head has
MAX_JOINTS = 10_000
MAX_NAMES = 100_000
# {'descr':'<f4','fortran_order':False,'shape':(4,3),} as every writer has it, without blanks; nothing needs to be evaluated
NPY_HEAD = re.compile(r"\{'descr':'([^']{1,20})','fortran_order':(True|False),'shape':\(((?:\d{1,18}L?,)*(?:\d{1,18}L?)?)\),?\}")
CHARACTER = ("cls", "id", "vertices", "vertex_normals", "faces", "joints", "skin", "parents", "names", "matrix_local")
TRACK = ("matrix_basis", "offset")
HIPS, HEAD = 0, 5


def load_npz(path: str | Path, up: str | None = None) -> Asset:
    """One contest asset. joints and skin may be None or absent (test files), and faces too (point clouds).

    up: "y" or "z"; by default the axis along which the head is farthest from the hips, "z" where there is no skeleton.
    Missing normals are computed from the faces.
    Raises: AssetError naming the file and member: no zip, cut short, unsafe pickle, wrong shape, broken skeleton or weights.
    """
    path = Path(path)
    members = read_npz(path, CHARACTER)
    vertices_V3 = member_array(path, members, "vertices", np.float32, (None, 3))
    if vertices_V3 is None:
        raise AssetError(f"{path.name}: has no 'vertices' (found: {', '.join(_names_in(path)) or 'nothing'})")
    joints_J3 = member_array(path, members, "joints", np.float32, (None, 3))
    faces_F3 = member_array(path, members, "faces", np.int64, (None, 3))
    normals_V3 = member_array(path, members, "vertex_normals", np.float32, vertices_V3.shape)
    check_size(path.name, len(vertices_V3), 0 if faces_F3 is None else faces_F3.size)
    count = 0 if joints_J3 is None else len(joints_J3)
    if count > MAX_JOINTS:
        raise AssetError(f"{path.name}: has {count} joints, more than the {MAX_JOINTS} that are read")
    rig = dict.fromkeys(("skin_VJ", "parents", "names", "matrix_local_J44"))
    if count:
        rig = dict(skin_VJ=member_array(path, members, "skin", np.float32, (len(vertices_V3), count)),
                   parents=_parents(path, members, count), names=member_texts(path, members, "names"),
                   matrix_local_J44=member_array(path, members, "matrix_local", np.float32, (count, 4, 4)))
    cls, name = _identity(path, members)
    asset = check(Asset(cls=cls, id=name, source=path.name,
                        vertices_V3=vertices_V3, normals_V3=normals_V3, faces_F3=faces_F3, joints_J3=joints_J3,
                        up=up or _up(joints_J3), **rig))
    if normals_V3 is None and asset.has_faces:
        asset = replace(asset, normals_V3=vertex_normals(asset.vertices_V3, asset.faces_F3).astype(np.float32))
    return asset


def identity(path: str | Path) -> tuple[str, str]:
    """cls and id, as load_npz will give them, without reading the rest. Raises: AssetError as read_npz."""
    path = Path(path)
    return _identity(path, read_npz(path, ("cls", "id")))


def load_track(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """A motion clip -> matrix_basis_TJ44 float32 (rotation of each joint in its own rest frame), offset_T3 float32 (zeros if absent).

    Raises: AssetError naming the file, as load_npz does.
    """
    path = Path(path)
    members = read_npz(path, TRACK)
    basis_TJ44 = member_array(path, members, "matrix_basis", np.float32, (None, None, 4, 4))
    if basis_TJ44 is None:
        raise AssetError(f"{path.name}: has no 'matrix_basis'; a track file needs (frames, joints, 4, 4)")
    offset_T3 = member_array(path, members, "offset", np.float32, (len(basis_TJ44), 3))
    offset_T3 = np.zeros((len(basis_TJ44), 3), np.float32) if offset_T3 is None else offset_T3
    if not (np.isfinite(basis_TJ44).all() and np.isfinite(offset_T3).all()):
        raise AssetError(f"{path.name}: matrix_basis or offset is not finite")
    return basis_TJ44, offset_T3


def read_npy(path: str | Path) -> np.ndarray:
    """The one array of a .npy, by the same rules. Raises: AssetError naming the file: no array of numbers or texts, or not whole."""
    path = Path(path)
    size = file_size(path, MAX_BYTES)
    with path.open("rb") as file:
        return _array(path.name, file, size)


def write_npz(path: str | Path, asset: Asset) -> None:
    """The asset as a contest file: parents as a pickled list, absent parts as pickled None."""
    faces_F3 = asset.faces_F3
    normals_F3 = None if faces_F3 is None else face_normals(asset.vertices_V3, faces_F3).astype(np.float32)
    parents = None if asset.parents is None else np.array(list(asset.parents), dtype=object)
    values = dict(cls=asset.cls, id=asset.id, vertices=asset.vertices_V3, vertex_normals=asset.normals_V3, faces=faces_F3,
                  face_normals=normals_F3, joints=asset.joints_J3, skin=asset.skin_VJ, parents=parents,
                  names=None if asset.names is None else list(asset.names), matrix_local=asset.matrix_local_J44)
    np.savez_compressed(path, **{key: np.array(value, dtype=object) if value is None else value for key, value in values.items()})


def read_npz(path: str | Path, wanted: Collection[str] | None = None) -> dict[str, object]:
    """Members of an .npz by name, 0-d arrays unwrapped by [()]. Nothing in the file is run. wanted: the names to read, None for all.

    Raises: AssetError naming the file, the member and, for a pickle that wants more than arrays, what it asked for.
    """
    path = Path(path)
    file_size(path)
    try:
        with zipfile.ZipFile(path) as archive:
            return {info.filename[:-4]: _member(path, archive, info) for info in _infos(path, archive, wanted)}
    except OSError as error:
        raise AssetError(f"{path.name}: cannot be read ({error.strerror or error})") from None
    except AssetError:
        raise
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, ValueError) as error:
        raise AssetError(f"{path.name}: not a whole .npz file ({error})") from None


def _names_in(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as archive:
        return sorted(archive.namelist())[:40]


def _infos(path: Path, archive: zipfile.ZipFile, wanted: Collection[str] | None) -> list[zipfile.ZipInfo]:
    """What is to be read, once we know that it is not too much."""
    infos = [info for info in archive.infolist() if info.filename.endswith(".npy") and (wanted is None or info.filename[:-4] in wanted)]
    names = [info.filename for info in infos]
    if len(names) > MAX_MEMBERS or len(set(names)) < len(names):
        raise AssetError(f"{path.name}: more than {MAX_MEMBERS} members, or two of one name: write the file again with numpy.savez")
    if sum(info.file_size for info in infos) > MAX_BYTES:
        raise AssetError(f"{path.name}: unpacks to more than {MAX_BYTES >> 30} GiB: refused")
    for info in infos:
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise AssetError(f"{path.name}: member '{info.filename}' is packed as NumPy packs none: write it with numpy.savez")
    return infos


def _member(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo):
    where = f"{path.name}: member '{info.filename}'"
    with archive.open(info) as file:
        value = _array(where, file, info.file_size, pickles=True)
    return value[()] if isinstance(value, np.ndarray) else value


def _array(where: str, file, size: int, pickles: bool = False):
    """What a .npy of `size` bytes holds: an array in C order, or the value that is pickled in it."""
    descr, fortran, shape, begin = _head(where, file)
    file.seek(begin)
    left = size - begin
    if descr.lstrip("<>|=").startswith("O"):
        if not pickles:
            raise AssetError(f"{where} holds a pickle, which is not read")
        return _pickled(where, file, left)
    dtype = np.dtype(descr)
    if math.prod(shape) * dtype.itemsize != left:
        raise AssetError(f"{where} claims shape {shape} of {dtype} but holds {left} bytes")
    if math.prod(shape) > MAX_NAMES and not dtype.itemsize:
        raise AssetError(f"{where} claims {math.prod(shape)} texts of no length")
    values = np.zeros(math.prod(shape), dtype)
    try:
        if left:
            _fill(file, values)
        return np.asarray(check_text(values).reshape(shape, order="F" if fortran else "C"), order="C")
    except ValueError as error:
        raise AssetError(f"{where}: {error}") from None


def _head(where: str, file) -> tuple[str, bool, tuple[int, ...], int]:
    """(type, Fortran order, shape, where the data begin) from the first bytes of a .npy."""
    data = file.read(HEAD_BYTES)
    if data[:6] != b"\x93NUMPY" or len(data) < 8:
        raise AssetError(f"{where} has a broken .npy header (it does not begin like one)")
    wide = {1: 2, 2: 4, 3: 4}.get(data[6])
    if wide is None:
        raise AssetError(f"{where} is of an unknown .npy version")
    begin = 8 + wide + int.from_bytes(data[8:8 + wide], "little")
    text = "".join(data[8 + wide:begin].decode("latin-1").split()) if begin <= len(data) else ""
    found = NPY_HEAD.fullmatch(text)
    if not found or not PLAIN_TYPE.fullmatch(found[1]):
        raise AssetError(f"{where} has a broken .npy header, or a type that is not read ({text[:100]!r}); it needs plain numbers or texts")
    shape = tuple(int(length.rstrip("L")) for length in found[3].split(",") if length)
    return found[1], found[2] == "True", shape, begin


def _fill(file, values: np.ndarray) -> None:
    """Read just so many bytes. Raises: ValueError where the file ends before."""
    there = memoryview(values.view(np.uint8))
    while len(there):
        count = file.readinto(there)
        if not count:
            raise ValueError("ends too early")
        there = there[count:]
    if file.read(1):    # its end is also where the zip's checksum is compared
        raise ValueError("is longer than it says")


def _pickled(where: str, file, size: int):
    if size > MAX_PICKLE_BYTES:
        raise AssetError(f"{where} is a pickle of {size} bytes: refused")
    try:
        return load_plain_pickle(file.read())
    except Refused as error:
        raise AssetError(f"{where} wants {error}, which a file of arrays does not need: refused, nothing was run") from None
    except ValueError as error:
        raise AssetError(f"{where} cannot be unpickled ({error})") from None


def member_array(path: Path, members: dict, key: str, dtype, shape: tuple) -> np.ndarray | None:
    """Member as an array of `dtype` and `shape` (None: any length); None where the member is None or absent.

    Whole numbers are taken for real ones, not the other way. Raises: AssetError naming the file and the member.
    """
    if members.get(key) is None:
        return None
    values = _numbers(members[key])
    fits = values is not None and values.ndim == len(shape) and all(want in (None, got) for want, got in zip(shape, values.shape))
    if not fits or values.dtype.kind not in ("iu" if np.dtype(dtype).kind == "i" else "fiu"):
        found = f"{values.dtype} of shape {values.shape}" if values is not None else "no table of numbers"
        wanted = tuple("any" if want is None else want for want in shape)
        raise AssetError(f"{path.name}: '{key}' is {found}, must be {np.dtype(dtype)} of {wanted}")
    with np.errstate(over="ignore", invalid="ignore"):  # beyond float32 becomes infinity, which the readers refuse
        return np.ascontiguousarray(values, dtype)


def _numbers(value) -> np.ndarray | None:
    """As an array of numbers or texts; None for what holds anything else."""
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind != "O":
        return np.asarray(value)
    try:
        values = np.asarray(value, dtype=object)
        if not all(isinstance(number, (int, float, np.integer, np.floating)) for number in values.flat):
            return None
        return np.array(values.tolist()) if values.ndim else np.asarray(value)
    except (ValueError, TypeError, OverflowError, RecursionError):  # rows of different lengths, lists too deep, numbers too large
        return None


def member_texts(path: Path, members: dict, key: str) -> tuple[str, ...] | None:
    """Member as a tuple of texts, one for a single value; None where it is None or absent. Numbers are written out.

    Raises: AssetError naming the file and the member, for anything else and for texts that no file could hold.
    """
    if members.get(key) is None:
        return None
    values = _flat(members[key], MAX_NAMES)
    if values is None or not all(isinstance(text, (str, int, float, np.generic)) for text in values):
        raise AssetError(f"{path.name}: '{key}' must be texts, {MAX_NAMES} at most")
    try:
        texts = tuple(str(text) for text in values)
        "".join(texts).encode()
    except ValueError:  # halves of letters, or a number of thousands of digits
        raise AssetError(f"{path.name}: '{key}' holds text that is no Unicode") from None
    if max(map(len, texts), default=0) > MAX_TEXT:
        raise AssetError(f"{path.name}: '{key}' holds a text of more than {MAX_TEXT} letters")
    return texts


def _flat(value, most: int) -> list | None:
    """The values of an array or list, or the one value; None for more than `most`."""
    if isinstance(value, np.ndarray):
        return value.ravel().tolist() if value.size <= most else None
    if isinstance(value, (list, tuple)):
        return list(value) if len(value) <= most else None
    return [value]


def _identity(path: Path, members: dict) -> tuple[str, str]:
    return _text(path, members, "cls", "other") or "other", _text(path, members, "id", path.stem)


def _text(path: Path, members: dict, key: str, default: str) -> str:
    texts = member_texts(path, members, key)
    if texts is None:
        return default
    if len(texts) != 1:
        raise AssetError(f"{path.name}: '{key}' must be one text, not {len(texts)}")
    return texts[0]


def _parents(path: Path, members: dict, count: int) -> tuple[int | None, ...] | None:
    """-1 and None are no parent. Whether they make a tree is for check() to say."""
    if members.get("parents") is None:
        return None
    values = _flat(members["parents"], MAX_JOINTS)
    if values is None or not all(value is None or _is_joint(value, count) for value in values):
        raise AssetError(f"{path.name}: 'parents' must be a list of whole numbers below {count}, and None or -1 for the root")
    return tuple(None if value is None or value < 0 else int(value) for value in values)


def _is_joint(value, count: int) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating)) and -1 <= value < count and value == int(value)


def _up(joints_J3: np.ndarray | None) -> str:
    if joints_J3 is None or len(joints_J3) <= HEAD:
        return "z"
    reach_3 = np.abs(joints_J3[HEAD] - joints_J3[HIPS])
    return "y" if reach_3[1] > reach_3[2] else "z"
