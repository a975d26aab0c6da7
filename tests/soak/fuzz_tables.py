"""Readers of tables and numbers for the fuzzer: contest files, motion, pose banks, checkpoints, configs, lists, reports.

Each gets small valid files and a way to change them that keeps the container whole (right checksums, right lengths), so that what lies
inside is reached too. Run by tests/soak/fuzz.py.
"""

import json
import random
import tempfile
import zipfile
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np

from dataset.asset import AssetError
from dataset.dataset import contest_files
from dataset.format import BODY_NAMES, BODY_PARENTS
from dataset.sources.bvh import load_bvh
from dataset.sources.npz import identity, load_npz, load_track, read_npz
from dataset.sources.pose_bank import load_pose_bank, split_pose_bank
from launch.checkpoint import load_extra, load_model, load_training_state, save_model, save_training_state
from launch.config import from_dict, override, to_dict
from launch.outcome import Outcome, table
from launch.reliability import Calibration, read_calibration, write_calibration
from launch.rig_folder import standing
from rigging.animation import load_clip
from tests.soak.fuzz_inputs import Reader, havoc
from tests.soak.fuzz_npz import change_npz, character, npy, npz, packed
from viewer.library import read_report


# ---------------------------------------------------------------------------------------------------------------------- .npz


def _npz_seeds() -> list[bytes]:
    lists = character(parents=np.array([-1, 0, 1, 2, 3, 4]), names=np.array(["x"] * 6, object), matrix_local=np.array(None, object))
    cloud = dict(vertices=np.float32(np.arange(12).reshape(4, 3)), cls=np.array("other"), faces=np.array(None, object))
    return [npz(character()), npz(lists), npz(cloud), packed({f"{k}.npy": npy(v) for k, v in character().items()}, zipfile.ZIP_DEFLATED)]


def _read_npz(path: Path) -> None:
    """What is read keeps the promises of an asset."""
    asset = load_npz(path)
    for name in ("vertices_V3", "normals_V3", "joints_J3", "skin_VJ", "matrix_local_J44"):
        assert getattr(asset, name) is None or np.isfinite(getattr(asset, name)).all(), name
    assert asset.skin_VJ is None or np.allclose(asset.skin_VJ.sum(1), 1, atol=1e-5)
    assert asset.parents is None or all(p is None or 0 <= p < j for j, p in enumerate(asset.parents))
    assert identity(path) == (asset.cls, asset.id)


def _read_track(path: Path) -> None:
    assert all(np.isfinite(values).all() for values in load_track(path))


def _track_seeds() -> list[bytes]:
    basis_TJ44 = np.tile(np.eye(4, dtype=np.float32), (2, 3, 1, 1))
    return [npz(dict(matrix_basis=basis_TJ44, offset=np.zeros((2, 3), np.float32))), npz(dict(matrix_basis=basis_TJ44))]


def _bank_seeds() -> list[bytes]:
    quat_TJ4 = np.zeros((4, 22, 4), np.float32)
    quat_TJ4[..., 3] = 1
    return [npz(dict(quat_xyzw=quat_TJ4, clip=np.int64([0, 0, 1, 1]), clip_names=np.array(["a", "b"]), joints=np.array(BODY_NAMES)))]


def _clip_seeds() -> list[bytes]:
    rot_TJ33 = np.tile(np.eye(3, dtype=np.float32), (2, 22, 1, 1))
    return [npz(dict(rot=rot_TJ33, offset=np.zeros((2, 3), np.float32), fps=np.array(30.0))), *_bank_seeds()]


def _read_clip(path: Path) -> None:
    load_clip(path, "a")


def _read_bank(path: Path) -> None:
    assert np.isfinite(load_pose_bank(path).rotations_TJ33).all()
    split_pose_bank(path)


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
            words[at] = rng.choice((b"{", b"}", b"ROOT", b"JOINT x {", b"End Site {", b"CHANNELS", b"OFFSET", b"MOTION", b"Frames:",
                                    b"HIERARCHY", b"CHANNELS 0"))
        elif way == 3:
            words[at] = rng.choice((b"nan", b"inf", b"-1", b"1e400", b"2147483647", b"99999999999999999999", b"0x10", b"1_000", b"\x00",
                                    b"\xff", b"1e-320"))
        else:
            words[at:at] = words[at:at + rng.choice((3, 10, 40))] * rng.choice((1, 5, 60))
        words = words or [b""]
    return b" ".join(words)


def _read_bvh(path: Path) -> None:
    for t_pose in ("first", "auto"):
        motion = load_bvh(path, t_pose)
        assert np.isfinite(motion.rotations_TJ33).all() and np.isfinite(motion.offset_T3).all() and np.isfinite(motion.fps)


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
    value["set"] = [havoc(text.encode(), rng).decode("latin-1") if rng.random() < 0.15 else text for text in value["set"]]
    return json.dumps(value).encode()


# ------------------------------------------------------------------------------------------------- reports, figures and lists


def _change_text(data: bytes, rng: random.Random) -> bytes:
    """JSON with other values."""
    return json.dumps(change_json(json.loads(data), rng)).encode()


def _report_seeds() -> list[bytes]:
    joints = [{"name": "hips", "parent": None, "position": [0, 0, 1], "confidence": 0.9, "expected_error_cm": 1.5}]
    return [json.dumps({"input": "a.glb", "made_from": "x", "warnings": ["one"], "joint_count": 22, "vertices": 4, "expected_error_cm": 1.5,
                        "quality": {"verdict": "pass"}, "joints": joints, "files": {"report.json": 0}}).encode()]


def _read_report(path: Path) -> None:
    """As a batch that is started again reads it, and as the viewer does: what is not whole counts as absent."""
    report = standing(path.parent, "x")
    if report is not None:
        table([Outcome("a.glb", "other/a", warnings=tuple(report["warnings"]), stood=True, joints=report["joint_count"],
                       vertices=report["vertices"], expected_error_cm=report["expected_error_cm"], quality=report["quality"]["verdict"])])
    warnings_, errors = read_report(path)
    assert all(isinstance(warning, str) for warning in warnings_) and np.isfinite(list(errors.values())).all()


@cache
def _calibration_seeds() -> tuple[bytes, ...]:
    with tempfile.TemporaryDirectory() as folder:
        return (write_calibration(folder, Calibration(about={"figures": 4})).read_bytes(),)


def _list_seeds() -> list[bytes]:
    return ["vroid/1.npz\nmixamo/2.npz\n\n".encode(), "hostile.txt\nnamen/älter.npz\n".encode()]


def _read_list(path: Path) -> None:
    """Seeds name files that are not there; that they are missed is the answer."""
    try:
        contest_files(path.parent, path.name)
    except AssetError as error:
        if "but not there" not in str(error) or path.name not in str(error):
            raise


# ------------------------------------------------------------------------------------------------------------------- readers

READERS = (
    Reader("npz", ".npz", _npz_seeds, _read_npz, (AssetError,), change_npz),
    Reader("npz members", ".npz", _npz_seeds, read_npz, (AssetError,), change_npz),
    Reader("track", ".npz", _track_seeds, _read_track, (AssetError,), change_npz),
    Reader("pose bank", ".npz", _bank_seeds, _read_bank, (AssetError,), change_npz),
    Reader("bvh", ".bvh", lambda: [bvh_text().encode()], _read_bvh, (AssetError,), change_bvh),
    Reader("config", ".json", _config_seeds, _read_config, (AssetError,), _change_config, only_mutate=True),
    Reader("checkpoint", ".safetensors", _checkpoint_seeds, _read_model, (ValueError,), change_safetensors, file="model.safetensors"),
    Reader("clip", ".npz", _clip_seeds, _read_clip, (AssetError,), change_npz),
    Reader("calibration", ".json", _calibration_seeds, lambda path: read_calibration(path.parent), (ValueError,), _change_text,
           file="calibration.json"),
    Reader("report", ".json", _report_seeds, _read_report, (), _change_text, file="report.json"),
    Reader("data list", ".txt", _list_seeds, _read_list, (AssetError,)),
    Reader("training state", ".safetensors", _state_seeds, load_training_state, (ValueError,), change_safetensors),
)
