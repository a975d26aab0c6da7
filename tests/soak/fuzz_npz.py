"""Contest files for the fuzzer: valid ones to begin with, and changes that keep the zip whole, so that what lies inside is reached.

Used by tests/soak/fuzz_tables.py and by the tests of hand-made hostile files.
"""

import io
import pickle
import random
import tokenize
import warnings
import zipfile
from functools import cache

import numpy as np

from tests.soak.fuzz_inputs import havoc

MEMBERS = ("cls", "id", "vertices", "vertex_normals", "faces", "face_normals", "joints", "skin", "parents", "names", "matrix_local",
           "matrix_basis", "offset", "quat_xyzw", "clip", "clip_names")
TYPES = ("<f4", "<f8", ">f4", "<f2", "<i8", "<i4", ">i8", "|i1", "|u1", "<u8", "|b1", "<c16", "|S4", "<U8", "<M8[s]", "|V8", "|O", "<f16")
BAD_NUMBERS = (float("nan"), float("inf"), -float("inf"), -1, 0, 1, 2, 1e30, -1e30, 2**31 - 1, -2**31, 1e-30)


def packed(members: dict[str, bytes] | list[tuple[str, bytes]], method: int = zipfile.ZIP_STORED) -> bytes:
    """A zip of raw .npy bytes, the same each time; a list may name a member twice."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")     # of names that come twice
        for name, data in members.items() if isinstance(members, dict) else members:
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return out.getvalue()


def npy(value) -> bytes:
    """The .npy file of an array; what is none is pickled, as NumPy does."""
    out = io.BytesIO()
    np.lib.format.write_array(out, np.asanyarray(value), allow_pickle=True)
    return out.getvalue()


def header(dtype: str, shape: tuple, fortran: bool = False) -> bytes:
    """The head of a .npy file that claims so much."""
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(out, {"descr": dtype, "fortran_order": fortran, "shape": shape})
    return out.getvalue()


def pickled(stream: bytes) -> bytes:
    """A .npy member that holds this pickle."""
    return header("|O", ()) + stream


def character(**changes) -> dict[str, np.ndarray]:
    """A rigged tetrahedron with 6 joints, as the members of a contest file."""
    joints_J3 = np.array([[0, 0, z] for z in range(5)] + [[0, 0, 5]], np.float32)
    skin_VJ = np.full((4, 6), 1 / 6, np.float32)
    local_J44 = np.tile(np.eye(4, dtype=np.float32), (6, 1, 1))
    local_J44[:, :3, 3] = joints_J3
    members = dict(cls=np.array("vroid"), id=np.array("seed"), vertices=np.float32([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 5]]),
                   vertex_normals=np.float32([[0, 0, 1]] * 4), faces=np.int64([[0, 1, 2], [0, 1, 3]]), joints=joints_J3, skin=skin_VJ,
                   parents=np.array([None, 0, 1, 2, 3, 4], object), names=np.array(["hips", "a", "b", "c", "d", "head"]),
                   matrix_local=local_J44)
    return {**members, **changes}


def npz(members: dict) -> bytes:
    return packed({f"{name}.npy": npy(value) for name, value in members.items()})


def change_npz(data: bytes, rng: random.Random) -> bytes:
    """1 to 4 changes to the members, in a zip whose sums are right."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    for _ in range(rng.choice((1, 1, 2, 4))):
        members = _change_members(members, rng)
    return packed(members, rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)))


def _change_members(members: list[tuple[str, bytes]], rng: random.Random) -> list[tuple[str, bytes]]:
    if not members:
        return [("vertices.npy", pickled(bad_pickle(rng)))]
    at, way = rng.randrange(len(members)), rng.randrange(12)
    name, data = members[at]
    if way == 0:
        return members[:at] + members[at + 1:]
    if way == 1:
        return members + [(name, rng.choice(members)[1])]       # the name twice
    if way == 2:
        other = rng.choice((rng.choice(MEMBERS) + ".npy", "../../escaped.npy", "/etc/escaped.npy", "line\nbreak.npy", ".npy", "x" * 300))
        return members[:at] + [(other, data)] + members[at + 1:]
    if way == 3:
        return members[:at] + [(name, rng.choice(members)[1])] + members[at + 1:]
    if way in (4, 5):
        data = pickled(bad_pickle(rng))
    elif way == 6:
        data = havoc(data, rng, [other for _, other in members])
    else:
        data = _change_array(data, rng, way)
    return members[:at] + [(name, data)] + members[at + 1:]


def _change_array(data: bytes, rng: random.Random, way: int) -> bytes:
    """A .npy with bad numbers in it, another shape, another type, or a head that lies."""
    try:
        values = np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError, OSError, MemoryError, tokenize.TokenError, SyntaxError):
        values = np.zeros(3)
    if way in (7, 8) and values.size and values.dtype.kind in "iuf":
        values = values.astype(np.float64 if rng.random() < 0.5 else values.dtype)
        with np.errstate(all="ignore"):
            for _ in range(rng.choice((1, 1, 3))):
                number = np.float64(rng.choice(BAD_NUMBERS))
                if values.ndim:
                    values.reshape(-1)[rng.randrange(values.size)] = number.astype(values.dtype)
        return npy(values)
    if way == 9:
        shape = rng.choice(((), (0,), (0, 3), (1,), (values.size,), (10**12,), (2**31, 2**31, 2**31), (-1, 3), (values.size, 0), (1,) * 33))
        return header(rng.choice((values.dtype.str, *TYPES)), shape, rng.random() < 0.3) + values.tobytes()
    if way == 10:
        return npy(rng.choice((values[None], values.ravel(), values.T, values[..., :0] if values.ndim else values, np.zeros(3, "f4,i2"))))
    wanted = rng.choice(TYPES)
    if values.dtype.kind not in "iufb" or wanted == "|O" or rng.random() < 0.3:     # NumPy itself dies of texts that are none
        return header(wanted, values.shape) + values.tobytes()
    with np.errstate(all="ignore"):
        return npy(values.astype(wanted))


class _Calls:
    """Pickles into a call."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def laughing(depth: int, width: int = 10) -> list:
    """Lists of lists, each one `width` times in the next: small as a pickle, without end as text or as an array."""
    value = ["ha"] * width
    for _ in range(depth):
        value = [value] * width
    return value


@cache
def bad_pickles() -> tuple[bytes, ...]:
    """Pickles that want to run something, to take all memory or time, or that are no list of numbers."""
    import builtins
    import os
    circle: list = [1]
    circle.append(circle)
    wishes = [_Calls(os.system, "touch escaped"), _Calls(builtins.eval, "1+1"), _Calls(builtins.exec, "x=1"), _Calls(open, "escaped", "w"),
              _Calls(__import__, "antigravity"), _Calls(bytearray, 1 << 40), _Calls(np.zeros, 1 << 40), _Calls(np.load, "escaped"),
              _Calls(np.core.multiarray._reconstruct, np.ndarray, (1 << 40,), b"b"), _Calls(np.dtype, "f4,f4"),
              _Calls(np.core.multiarray.scalar, np.dtype("O"), "x"), _Calls(np.core.multiarray.scalar, np.dtype("f8"), b"12345678"),
              circle, laughing(40), laughing(6), {"a": 1}, {1, 2}, (None, 1.5, "x"), "x" * 1000, b"bytes", 10**400, -1, [None, 0.5],
              [[1], [2, 3]], [2**63], [True], [[]], [None], np.array([None, 1]), np.array([np.nan]), [np.float32("nan")],
              np.zeros((2, 2), object), 1 + 2j]
    streams = [pickle.dumps(wish, protocol=protocol) for wish in wishes for protocol in (0, 2, 4)]
    deep = b"(" * 20000 + b"t" * 20000 + b"."
    lists = b"]" * 5000 + b"a" * 4999 + b"."
    memory = [b"\x8d" + (1 << 40).to_bytes(8, "little") + b"x.", b"\x8e" + (1 << 62).to_bytes(8, "little") + b"x.", b"r\xff\xff\xff\x7f.",
              b"N\x95" + (1 << 60).to_bytes(8, "little") + b"N.", b"\x8b\xff\xff\xff\x7f1.", b"I" + b"9" * 100000 + b"\n."]
    scraps = b".", b"", b"N", b"(dp0\n.", b"cos\nsystem\n(S'true'\ntR.", b"c__main__\nx\n.", b"P1\n.", b"N0."
    return (*streams, deep, lists, *memory, *scraps)


def bad_pickle(rng: random.Random) -> bytes:
    stream = rng.choice(bad_pickles())
    return havoc(stream, rng) if rng.random() < 0.3 else stream
