"""Readers of tables and numbers for the fuzzer: contest files, motion, pose banks, checkpoints, configs, lists, reports.

Each gets small valid files and a way to change them that keeps the container whole (right checksums, right lengths), so that what lies inside is
reached too. Run by tests/soak/fuzz.py.
"""

import io
import json
import pickle
import random
import tempfile
import tokenize
import warnings
import zipfile
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np

from dataset.asset import AssetError
from dataset.format import BODY_NAMES, BODY_PARENTS
from dataset.sources.bvh import load_bvh
from dataset.sources.npz import load_npz, load_track, read_npz
from dataset.sources.pose_bank import load_pose_bank, split_pose_bank
from launch.checkpoint import load_extra, load_model, load_training_state, save_model, save_training_state
from launch.config import from_dict, override, to_dict
from tests.soak.fuzz_inputs import Reader, havoc

MEMBERS = ("cls", "id", "vertices", "vertex_normals", "faces", "face_normals", "joints", "skin", "parents", "names", "matrix_local",
           "matrix_basis", "offset", "quat_xyzw", "clip", "clip_names")
TYPES = ("<f4", "<f8", ">f4", "<f2", "<i8", "<i4", ">i8", "|i1", "|u1", "<u8", "|b1", "<c16", "|S4", "<U8", "<M8[s]", "|V8", "|O", "<f16")
BAD_NUMBERS = (float("nan"), float("inf"), -float("inf"), -1, 0, 1, 2, 1e30, -1e30, 2**31 - 1, -2**31, 1e-30)


# ---------------------------------------------------------------------------------------------------------------------- .npz


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


def _npz_seeds() -> list[bytes]:
    lists = character(parents=np.array([-1, 0, 1, 2, 3, 4]), names=np.array(["x"] * 6, object), matrix_local=np.array(None, object))
    cloud = dict(vertices=np.float32(np.arange(12).reshape(4, 3)), cls=np.array("other"), faces=np.array(None, object))
    return [npz(character()), npz(lists), npz(cloud), packed({f"{k}.npy": npy(v) for k, v in character().items()}, zipfile.ZIP_DEFLATED)]


def _track_seeds() -> list[bytes]:
    basis_TJ44 = np.tile(np.eye(4, dtype=np.float32), (2, 3, 1, 1))
    return [npz(dict(matrix_basis=basis_TJ44, offset=np.zeros((2, 3), np.float32))), npz(dict(matrix_basis=basis_TJ44))]


def _bank_seeds() -> list[bytes]:
    quat_TJ4 = np.zeros((4, 22, 4), np.float32)
    quat_TJ4[..., 3] = 1
    return [npz(dict(quat_xyzw=quat_TJ4, clip=np.int64([0, 0, 1, 1]), clip_names=np.array(["a", "b"]), joints=np.array(BODY_NAMES)))]


def _read_bank(path: Path) -> None:
    load_pose_bank(path)
    split_pose_bank(path)


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
              circle, laughing(40), laughing(6), {"a": 1}, {1, 2}, (None, 1.5, "x"), "x" * 1000, b"bytes", 10**400, -1, [None, 0.5], [[1], [2, 3]],
              [2**63], [True], [[]], [None], np.array([None, 1]), np.array([np.nan]), [np.float32("nan")], np.zeros((2, 2), object), 1 + 2j]
    streams = [pickle.dumps(wish, protocol=protocol) for wish in wishes for protocol in (0, 2, 4)]
    deep = b"(" * 20000 + b"t" * 20000 + b"."
    lists = b"]" * 5000 + b"a" * 4999 + b"."
    memory = [b"\x8d" + (1 << 40).to_bytes(8, "little") + b"x.", b"\x8e" + (1 << 62).to_bytes(8, "little") + b"x.", b"r\xff\xff\xff\x7f.",
              b"N\x95" + (1 << 60).to_bytes(8, "little") + b"N.", b"\x8b\xff\xff\xff\x7f1.", b"I" + b"9" * 100000 + b"\n."]
    return (*streams, deep, lists, *memory, b".", b"", b"N", b"(dp0\n.", b"cos\nsystem\n(S'true'\ntR.", b"c__main__\nx\n.", b"P1\n.", b"N0.")


def bad_pickle(rng: random.Random) -> bytes:
    stream = rng.choice(bad_pickles())
    return havoc(stream, rng) if rng.random() < 0.3 else stream


# ---------------------------------------------------------------------------------------------------------------------- .bvh


def bvh_text() -> str:
    """The 22 joints with a channel of each kind, two frames."""
    lines = ["HIERARCHY"]

    def body(joint: int) -> None:
        lines.append(f"{'ROOT' if joint == 0 else 'JOINT'} {BODY_NAMES[joint]} {{ OFFSET {joint % 3} 1 {-(joint % 2)}")
        places = "Xposition Yposition Zposition " if joint == 0 else ""
        lines.append(f"CHANNELS {6 if joint == 0 else 3} {places}Zrotation Xrotation Yrotation")
        children = [j for j, parent in enumerate(BODY_PARENTS) if parent == joint]
        for child in children:
            body(child)
        lines.append("}" if children else "End Site { OFFSET 0 1 0 } }")
    body(0)
    frame = " ".join(["1.5", "2", "-3"] + ["10", "-20.25", "3e1"] * 22)
    return "\n".join([*lines, "MOTION", "Frames: 2", "Frame Time: 0.0333", frame, frame, ""])


def change_bvh(data: bytes, rng: random.Random) -> bytes:
    """Words of the file moved, repeated, left out or replaced by words that mean something."""
    words = data.split(b" ")
    for _ in range(rng.choice((1, 1, 2, 4))):
        at, way = rng.randrange(len(words)), rng.randrange(5)
        if way == 0:
            del words[at]
        elif way == 1:
            words.insert(at, rng.choice(words))
        elif way == 2:
            words[at] = rng.choice((b"{", b"}", b"ROOT", b"JOINT x {", b"End Site {", b"CHANNELS", b"OFFSET", b"MOTION", b"Frames:", b"HIERARCHY"))
        elif way == 3:
            words[at] = rng.choice((b"nan", b"inf", b"-1", b"1e400", b"2147483647", b"99999999999999999999", b"0x10", b"1_000", b"\x00", b"\xff"))
        else:
            words[at:at] = words[at:at + rng.choice((3, 10, 40))] * rng.choice((1, 5, 60))
        words = words or [b""]
    return b" ".join(words)


def _read_bvh(path: Path) -> None:
    load_bvh(path)
    load_bvh(path, "auto")


# ------------------------------------------------------------------------------------------------------------- .safetensors


def _arrays() -> dict[str, np.ndarray]:
    return {"encoder.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "bias": np.zeros(2, np.float32), "steps": np.array(3)}


@cache
def _checkpoint_seeds() -> tuple[bytes, ...]:
    with tempfile.TemporaryDirectory() as folder:
        save_model(folder, _arrays(), {"name": "x", "steps": 3, "rate": 0.5, "sizes": [1, 2]}, {"step": 4})
        return ((Path(folder) / "model.safetensors").read_bytes(),)


@cache
def _state_seeds() -> tuple[bytes, ...]:
    with tempfile.TemporaryDirectory() as folder:
        save_training_state(Path(folder) / "state.safetensors", _arrays(), {"step": 4, "rng": {"state": 2**100}, "best": None})
        return ((Path(folder) / "state.safetensors").read_bytes(),)


def change_safetensors(data: bytes, rng: random.Random) -> bytes:
    """The header's values changed, or those of the JSON text inside it; its length is right again."""
    size = int.from_bytes(data[:8], "little")
    head, rest = json.loads(data[8:8 + size]), data[8 + size:]
    if rng.random() < 0.4:
        inner = json.loads(head["__metadata__"]["json"])
        head["__metadata__"]["json"] = json.dumps(change_json(inner, rng))
    else:
        head = change_json(head, rng)
    text = json.dumps(head).encode()
    return len(text).to_bytes(8, "little") + text + rest


def change_json(value, rng: random.Random):
    """1 to 3 values of plain data (or their keys) become others."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        value = _change_value(value, rng)
    return value


def _change_value(value, rng: random.Random):
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = rng.choice(sorted(value))
        way = rng.randrange(8)
        if way == 0:
            return {k: v for k, v in value.items() if k != key}
        if way == 1:
            return {**value, str(_odd(rng)): value[key]}
        return {**value, key: _change_value(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.7:
        at = rng.randrange(len(value))
        return [*value[:at], _change_value(value[at], rng), *value[at + rng.randrange(2):]]
    return _odd(rng)


def _odd(rng: random.Random):
    return rng.choice((None, True, -1, 0, 1, 2**31, 2**63, 2**64, 10**400, 1.5, float("nan"), float("inf"), -float("inf"), "", "x", "..",
                       "../../escaped", "line\nbreak", "\x00", "\x1b[2J", "\ud800", "F64", "I64", "BF16", "F8_E5M2", [], {}, [0, 2**62],
                       [8, 0], [[]], {"a": {}}, "x" * 5000, [0] * 1000))


def _read_model(path: Path) -> None:
    load_model(path.parent)
    load_extra(path.parent)


# ------------------------------------------------------------------------------------------------------------------- configs


@dataclass(frozen=True)
class _Inner:
    width: int = 4
    way: Literal["a", "b"] = "a"


@dataclass(frozen=True)
class _Config:
    """A field of each kind that launch/config.py understands."""
    name: str = "x"
    steps: int = 3
    rate: float | None = 0.5
    sizes: tuple[int, ...] = (1, 2)
    pair: tuple[int, str] = (1, "x")
    shares: dict[str, float] = field(default_factory=dict)
    inner: _Inner = field(default_factory=_Inner)


def _config_seeds() -> list[bytes]:
    data = to_dict(replace(_Config(), shares={"a": 0.5}))
    return [json.dumps({"config": data, "set": ["steps=4", "inner.width=5", "sizes=1,2", "rate=null", "name=22", "inner.way=b"]}).encode()]


def _read_config(path: Path) -> None:
    """As the doors do: a file's data become a config, and --set changes it; their one error becomes the file's."""
    data = json.loads(path.read_text(encoding="utf-8"))
    try:
        from_dict(_Config, data["config"])
        override(_Config(), data["set"])
    except ValueError as error:
        raise AssetError(f"{path.name}: {error}") from error


def _change_config(data: bytes, rng: random.Random) -> bytes:
    """Always JSON, with a "config" and a list of texts to "set"."""
    value = json.loads(data)
    if rng.random() < 0.5:
        value["config"] = change_json(value["config"], rng)
    value["set"] = [havoc(text.encode(), rng).decode("latin-1") if rng.random() < 0.5 else text for text in value["set"]]
    return json.dumps(value).encode()


# ------------------------------------------------------------------------------------------------------------------- readers

READERS = (
    Reader("npz", ".npz", _npz_seeds, load_npz, (AssetError,), change_npz),
    Reader("npz members", ".npz", _npz_seeds, read_npz, (AssetError,), change_npz),
    Reader("track", ".npz", _track_seeds, load_track, (AssetError,), change_npz),
    Reader("pose bank", ".npz", _bank_seeds, _read_bank, (AssetError,), change_npz),
    Reader("bvh", ".bvh", lambda: [bvh_text().encode()], _read_bvh, (AssetError,), change_bvh),
    Reader("config", ".json", _config_seeds, _read_config, (AssetError,), _change_config, only_mutate=True),
    Reader("checkpoint", ".safetensors", _checkpoint_seeds, _read_model, (ValueError,), change_safetensors, file="model.safetensors"),
    Reader("training state", ".safetensors", _state_seeds, load_training_state, (ValueError,), change_safetensors),
)
