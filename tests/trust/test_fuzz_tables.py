"""Tables and numbers of strangers: read, or refused in one printable line that names the file; nothing runs, little memory is taken.

The fuzzer itself is tested by a reader that breaks each promise once. What it found: test_found.py.
The slow part: python -m tests.soak.fuzz
"""

import io
import json
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from dataset.asset import AssetError
from dataset.sources.bvh import load_bvh
from dataset.sources.npz import MAX_BYTES, load_npz, read_npy, read_npz
from dataset.sources.pose_bank import load_pose_bank
from launch.checkpoint import check_keys, load_model, load_training_state
from tests.soak.fuzz_inputs import havoc, hostile, readers
from tests.soak.fuzz_npz import bad_pickles, character, header, laughing, npy, npz, packed, pickled
from tests.soak.fuzz_tables import READERS, bvh_text
from tests.trust.verdicts import refusal, verdict

ROOT = Path(__file__).resolve().parents[2]
NOTHING = np.array(None, object)
READERS_BY_NAME = {reader.name: reader for reader in READERS}


# ---------------------------------------------------------------------------------------------------------------- the fuzzer


def test_the_fuzzer_sees_each_broken_promise(tmp_path):
    """In a process between: Jittor, loaded here, ends a process whose child dies by a signal."""
    command = [sys.executable, "-m", "tests.soak.fuzz", "--tables", "tests.trust.victims", "--count", "17", "--seconds", "0.2",
               "--folder", str(tmp_path), "--json", str(tmp_path / "figures.json")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    got, = json.loads((tmp_path / "figures.json").read_text())
    assert done.returncode == 1, done.stderr
    assert {k: got[k] for k in ("count", "read", "refused", "crashed", "hung", "unclear", "memory", "outside", "code")} == dict(
        count=17, read=0, refused=3, crashed=3, hung=1, unclear=2, memory=1, outside=2, code=5)
    again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert again.returncode == 1 and again.stdout == done.stdout      # from its notes, nothing is read twice
    assert len(list((tmp_path / "victim").glob("victim-0-*.bin"))) == 14


def test_an_input_comes_again_from_its_number():
    reader = READERS_BY_NAME["npz"]
    seeds = reader.seeds()
    assert [hostile(reader, seeds, 1, i) for i in range(40)] == [hostile(reader, reader.seeds(), 1, i) for i in range(40)]
    assert len({hostile(reader, seeds, 1, i) for i in range(40)}) > 30
    assert set(READERS_BY_NAME) <= set(readers())


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_changed_files_are_read_or_refused(reader, tmp_path):
    seeds, path = reader.seeds(), tmp_path / reader.file_name
    for index in range(60):
        path.write_bytes(hostile(reader, seeds, 7, index))
        assert verdict(reader, path) is None, index


# ------------------------------------------------------------------------------------------------------ hostile by hand: .npz


def refused(read, path: Path, data: bytes, message: str) -> None:
    path.write_bytes(data)
    text = refusal(read, path, message)
    assert path.name in text and text.isprintable()


def with_member(name: str, body: bytes) -> bytes:
    members = {f"{key}.npy": npy(value) for key, value in character().items()}
    return packed({**members, f"{name}.npy": body})


@pytest.mark.parametrize("member", ["parents", "names", "vertices", "cls"])
def test_no_pickle_runs_or_takes_memory(member, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    reader = READERS_BY_NAME["npz"]
    for number, stream in enumerate(bad_pickles()):
        (tmp_path / reader.file_name).write_bytes(with_member(member, pickled(stream)))
        assert verdict(reader, tmp_path / reader.file_name) is None, number
    assert [path.name for path in tmp_path.iterdir()] == [reader.file_name]      # nothing called "escaped"


class Setting:
    """A pickle that hangs a state on what it may name."""

    def __init__(self, what, state):
        self.what, self.state = what, state

    def stream(self) -> bytes:
        name = pickle.dumps(self.what, protocol=2)[:-1]
        return name + pickle.dumps(self.state, protocol=2)[2:-1] + b"b."


@pytest.mark.parametrize("what, state", [
    (np.ndarray, (None, {"shape": 1})), (np.core.multiarray._reconstruct, {"polluted": 1}),
    (np.dtype("V8"), (3, "|", None, ("a",), {"a": (np.dtype("f8"), 1 << 20)}, 8, 1, 0))])
def test_no_pickle_sets_up_what_outlives_it(what, state, tmp_path):
    """A type whose field lies a megabyte beyond its memory; and attributes on what later files would be read with."""
    refused(read_npz, tmp_path / "s.npz", with_member("names", pickled(Setting(what, state).stream())), "s.npz: member 'names.npy' wants")
    from dataset.sources import safe_pickle
    assert not hasattr(safe_pickle._reconstruct, "polluted")


@pytest.mark.parametrize("stream, message", [
    (b"\x96" + (1 << 31).to_bytes(8, "little") + b"x.", "wants a bytearray"),
    (pickle.dumps(laughing(9)), "stands in itself, or a thousand times"),
    (b"N" * 3_000_000 + b".", "more than 1000000 steps")])
def test_pickles_are_bounded(stream, message, tmp_path):
    refused(read_npz, tmp_path / "m.npz", packed({"names.npy": pickled(stream)}, zipfile.ZIP_DEFLATED), message)


@pytest.mark.parametrize("head, body, message", [
    (header("<f4", (10**12, 3)), b"\0" * 12, "claims shape"), (header("<f4", (2**31, 2**31, 2**31, 2**31)), b"", "claims shape"),
    (header("<U0", (10**17,)), b"", "texts of no length"), (header("<f4", (0,) + (1 << 40,) * 40), b"", "vertices"),
    (npy(np.zeros(3, "f4,i2")), b"", "type that is not read"), (npy(np.zeros((4, 3), complex)), b"", "type that is not read"),
    (header("<f4", (4, 3)).replace(b"(4, 3)", b"(" * 3 + b"4, 3"), b"\0" * 48, "broken .npy header"),
    (header("<f4", (4, 3)).replace(b"False", b"1/0  "), b"\0" * 48, "broken .npy header"),
    (b"\x93NUMPY\x02\x00\xff\xff\xff\x7f" + b" " * 200, b"", "broken .npy header"),
    (header("<U2", (2,)), b"\xff\xff\xff\x7f" * 4, "no Unicode"), (header("<U1", (1,)), b"\0\xd8\0\0", "no Unicode")])
def test_heads_that_lie(head, body, message, tmp_path):
    refused(read_npz, tmp_path / "h.npz", with_member("vertices", head + body), message)
    (tmp_path / "h.npy").write_bytes(head + body)
    with pytest.raises(AssetError, match="h.npy"):
        read_npy(tmp_path / "h.npy")


def test_bombs_are_measured_before_they_are_unpacked(tmp_path):
    """4 GB of zeros in 4 MB; the same claimed of nothing; one member behind a thousand names."""
    bomb = bytearray(packed({"vertices.npy": header("<f4", (1 << 28, 4)) + b"\0" * 1000}))
    at = bomb.index(b"PK\x01\x02")
    bomb[at + 24:at + 28] = (0xFFFFFFF0).to_bytes(4, "little")
    refused(load_npz, tmp_path / "b.npz", bytes(bomb), f"more than {MAX_BYTES >> 30} GiB")
    many = packed([(f"{n}.npy", npy(np.zeros(2))) for n in range(1001)])
    refused(read_npz, tmp_path / "many.npz", many, "more than 1000 members")
    refused(load_npz, tmp_path / "two.npz", packed([("vertices.npy", npy(np.zeros((4, 3))))] * 2), "two of one name")
    refused(load_npz, tmp_path / "l.npz", packed({"vertices.npy": npy(np.zeros((4, 3)))}, zipfile.ZIP_LZMA), "packed as NumPy packs none")


def test_members_that_nobody_asked_for_are_not_read(tmp_path):
    asked = {f"{k}.npy": npy(v) for k, v in character().items()}
    evil = {"../../evil.npy": pickled(b"cos\nsystem\n(S'true'\ntR."), "huge.npy": header("<f4", (10**12,))}
    (tmp_path / "extra.npz").write_bytes(packed({**asked, **evil}))
    assert load_npz(tmp_path / "extra.npz").joint_count == 6


@pytest.mark.parametrize("changes, message", [
    (dict(vertices=np.zeros((0, 3)), vertex_normals=NOTHING, joints=NOTHING), r"vertices have shape \(0, 3\)"),
    (dict(vertices=np.zeros(3, np.float32)), "'vertices' is"),
    (dict(vertices=np.full((4, 3), np.inf)), "NaN or infinity"), (dict(vertices=np.full((4, 3), 1e300)), "NaN or infinity"),
    (dict(vertices=np.array(1.0)), "'vertices' is"), (dict(joints=np.full((6, 3), np.nan, np.float32)), "joints has NaN"),
    (dict(faces=np.array([[0, 1, 4]])), "faces point at vertices"), (dict(faces=np.array([[0, 1, -1]])), "faces point at vertices"),
    (dict(faces=np.array([[0, 1, 2**64 - 1]], np.uint64)), "faces point at vertices"),
    (dict(faces=np.array([[0, 1], [0, 1, 2]], object)), "no table of numbers"),
    (dict(faces=np.array([["0", "1", "2"]], object)), "no table of numbers"),
    (dict(parents=np.array([None, 1, 1, 2, 3, 4], object)), "joint 1 has parent 1"),
    (dict(parents=np.array([None, 2, 1, 2, 3, 4], object)), "joint 1 has parent 2"),
    (dict(parents=np.array([None, 0, 1, None, 3, 4], object)), "joint 3 has no parent"),
    (dict(parents=np.array([3, 0, 1, 2, 3, 4])), "joint 0 has parent 3"),
    (dict(parents=np.array([-1, 0, 1, 2, 3, 6])), "'parents' must be"),
    (dict(parents=np.array([-1, 0, 1, 2, 3])), "5 parents for 6 joints"),
    (dict(parents=np.array([None, 0.5, 1, 2, 3, 4], object)), "'parents' must be"),
    (dict(parents=np.array([None, 10**400, 1, 2, 3, 4], object)), "'parents' must be"),
    (dict(skin=np.full((4, 6), .2, np.float32)), "sum to 1.2"), (dict(skin=np.zeros((4, 6), np.float32)), "sum to 0"),
    (dict(skin=np.float32([[2, -1, 0, 0, 0, 0]] * 4)), "negative weights"), (dict(skin=np.full((4, 6), np.nan)), "skin has NaN"),
    (dict(skin=np.full((3, 6), 1 / 6)), "'skin' is"), (dict(names=np.array(["x"] * 5)), "5 names for 6 joints"),
    (dict(names=np.array(["x" * 2000] * 6)), "more than 1000 letters"), (dict(names=np.array([["\ud800"] * 6], object)), "no Unicode"),
    (dict(cls=np.array(["a", "b"])), "'cls' must be one text"), (dict(matrix_local=np.zeros((6, 4, 4), np.float32)), "singular")])
def test_characters_that_cannot_be(changes, message, tmp_path):
    refused(load_npz, tmp_path / "c.npz", npz(character(**changes)), message)


def test_ways_of_writing_that_are_right(tmp_path):
    """Big endian, Fortran order, halves, parents as -1, lists, and every joint's row in any of them: the same character."""
    plain = character()
    ways = [dict(vertices=plain["vertices"].astype(">f8")), dict(skin=np.asfortranarray(plain["skin"])),
            dict(faces=plain["faces"].astype(">u2")), dict(parents=np.array([-1, 0, 1, 2, 3, 4], np.int8)),
            dict(vertices=np.array(plain["vertices"].tolist(), object)), dict(names=np.array(list(plain["names"]), object))]
    (tmp_path / "plain.npz").write_bytes(npz(plain))
    want = load_npz(tmp_path / "plain.npz")
    for way in ways:
        (tmp_path / "way.npz").write_bytes(npz({**plain, **way}))
        got = load_npz(tmp_path / "way.npz")
        for name in ("vertices_V3", "faces_F3", "skin_VJ", "joints_J3"):
            assert (getattr(got, name) == getattr(want, name)).all(), (way, name)
        assert (got.parents, got.names, got.cls, got.id) == (want.parents, want.names, want.cls, want.id)


# ------------------------------------------------------------------------------------------------------------- motion


@pytest.mark.parametrize("old, new, message", [
    ("Frames: 2", "Frames: 2147483647", "numbers for 2147483647 frames"), ("OFFSET 0 1 0", "OFFSET nan 1 0", "offset 'nan'"),
    ("OFFSET 0 1 0", "OFFSET 1e300 1 0", "offset '1e300'"), ("1.5 2", "1e300 2", "absurdly large"),
    ("0.0333", "1e-320", "frame time"), ("0.0333", "inf", "frame time"), ("CHANNELS 6", "CHANNELS 999999999", "channels of one bone")])
def test_motion_that_cannot_be(old, new, message, tmp_path):
    refused(load_bvh, tmp_path / "m.bvh", bvh_text().replace(old, new, 1).encode(), message)


def test_frames_without_numbers_take_no_memory(tmp_path):
    """No channel, two thousand million frames: nothing is missing in the file, and 300 TB would be in memory."""
    text = bvh_text().replace("CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation", "CHANNELS 0")
    text = text.replace("CHANNELS 3 Zrotation Xrotation Yrotation", "CHANNELS 0")
    head = text[:text.index("MOTION")]
    refused(load_bvh, tmp_path / "f.bvh", f"{head}MOTION\nFrames: 2147483647\nFrame Time: 0.1\n".encode(), "more than 10000000 rotations")


@pytest.mark.parametrize("changes, message", [
    (dict(clip=np.array(["a"] * 4)), "'clip' is"), (dict(clip=np.zeros(4, "f4,i2")), "type that is not read"),
    (dict(quat_xyzw=np.array("x")), "'quat_xyzw' is"), (dict(quat_xyzw=None), "lacks quat_xyzw")])
def test_pose_banks_that_cannot_be(changes, message, tmp_path):
    with np.load(io.BytesIO(READERS_BY_NAME["pose bank"].seeds()[0])) as stored:
        members = dict(stored)
    refused(load_pose_bank, tmp_path / "b.npz", npz({**members, **changes}), message)


# ---------------------------------------------------------------------------------------------------------- checkpoints


def safetensors(head: dict | bytes, body: bytes = b"", length: int | None = None) -> bytes:
    text = head if isinstance(head, bytes) else json.dumps(head).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + body


def model_head(**inner) -> dict:
    return {"__metadata__": {"json": json.dumps({"format": "transrefiner-model-1", **inner})}}


GOOD = model_head(config={}, extra={})


@pytest.mark.parametrize("data, message", [
    (pickle.dumps({"weight": np.zeros(3)}), "damaged or no safetensors"), (npz({"a": np.zeros(3)}), "damaged or no safetensors"),
    (safetensors(GOOD, length=2**63 - 1), "damaged"), (safetensors(GOOD, length=2**31), "damaged"),
    (safetensors({**GOOD, "a": {"dtype": "F32", "shape": [2**31, 2**31], "data_offsets": [0, 8]}}, b"\0" * 8), "damaged"),
    (safetensors({**GOOD, "a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
                  "b": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]}}, b"\0" * 12), "damaged"),
    (safetensors({**GOOD, "a\nforged": {"dtype": "BF16", "shape": [1], "data_offsets": [0, 2]}}, b"\0\0"), r"a\\nforged of BF16"),
    (safetensors({"__metadata__": {"json": "[" * 100_000}}), "damaged"), (safetensors({"__metadata__": {"json": "1" * 5000}}), "damaged"),
    (safetensors(model_head(config={})), "no extra"), (safetensors(model_head(config=[1], extra={})), "no config"),
    (safetensors({"__metadata__": {"json": '{"format": "x\\nall is well"}'}}), r"says x\\nall is well")])
def test_weights_that_are_none(data, message, tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=message) as caught:
        load_model(tmp_path)
    assert str(path) in str(caught.value) and str(caught.value).isprintable()
    with pytest.raises(ValueError, match="model.safetensors"):
        load_training_state(path)


def test_pickled_weights_are_never_read(tmp_path):
    class Evil:
        def __reduce__(self):
            return Path.touch, (tmp_path / "ran",)
    for name in ("model.pkl", "model.pt", "model.pth", "pytorch_model.bin"):
        (tmp_path / name).write_bytes(pickle.dumps(Evil()))
        for given in (tmp_path, tmp_path / name):
            with pytest.raises(FileNotFoundError, match="pickled weights are never read"):
                load_model(given)
    assert not (tmp_path / "ran").exists()


def test_keys_shapes_and_types_that_do_not_fit_are_listed():
    have = {"a": np.zeros((2, 2), np.float32), "b": np.zeros(3, np.int64), "c": np.array([1, np.nan], np.float32), "x\ny": np.zeros(1)}
    with pytest.raises(ValueError) as caught:
        check_keys({"a": (2, 3), "b": (3,), "c": (2,), "d": (1,)}, have, "run/best")
    assert str(caught.value).splitlines() == ["run/best does not fit the model:", "  missing: d (1,)", "  unexpected: x\\ny (1,)",
                                              "  misshapen: a is (2, 2), the model has (2, 3)",
                                              "  no finite real numbers: b of int64", "  no finite real numbers: c of float32"]


def test_a_config_that_asks_for_all_memory_builds_nothing():
    from launch.build import build_model     # the one test here that needs Jittor
    for network in ({"token_width": 10**9}, {"refine_depth": 10**9}, {"backbone": {"widths": [64, 10**9, 64]}}):
        with pytest.raises(ValueError, match="more than"):
            build_model({"model": "transrefiner", "network": network})


def test_whole_files_are_still_read(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(save({"a": np.zeros(2, np.float32)}, GOOD["__metadata__"]))
    params, config = load_model(tmp_path)
    assert list(params) == ["a"] and config == {}


def test_blind_changes_of_nothing_are_nothing():
    import random
    for number in range(200):
        assert isinstance(havoc(b"", random.Random(number)), bytes)
