"""Checkpoints: what goes in comes out to the bit, a kill leaves old or new, and damaged files are named."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from launch.checkpoint import check_keys, load_extra, load_model, load_training_state, save_model, save_training_state

ROOT = Path(__file__).resolve().parents[2]
PARAMS = {"net.weight": np.arange(6, dtype="float32").reshape(2, 3), "net.bias": np.array([0.5, -1], "float32")}
CONFIG = {"width": 3, "levels": [1, 2], "optim": {"lr": 1e-4}, "name": "Ärm", "clip": None}


def assert_same(got: dict, want: dict):
    assert got.keys() == want.keys()
    for name in want:
        assert got[name].dtype == want[name].dtype and got[name].shape == want[name].shape
        assert got[name].tobytes() == want[name].tobytes(), name


def test_model_and_back(tmp_path):
    folder = tmp_path / "deep" / "run"
    save_model(folder, PARAMS, CONFIG, {"step": 7})
    params, config = load_model(folder)
    assert_same(params, PARAMS)
    assert config == CONFIG and load_extra(folder) == {"step": 7}
    assert sorted(p.name for p in folder.iterdir()) == ["config.json", "model.safetensors"]
    assert json.loads((folder / "config.json").read_text())["config"] == CONFIG


def test_awkward_arrays_survive(tmp_path):
    params = {"transposed": np.arange(6, dtype="float32").reshape(2, 3).T, "strided": np.arange(8, dtype="int32")[::2],
              "scalar": np.array(3.25), "empty": np.zeros((0, 3), "float32"), "bool": np.array([True, False]),
              "nan": np.array([np.nan, -0.0, np.inf], "float32")}
    save_model(tmp_path, params, {})
    assert_same(load_model(tmp_path)[0], params)


def test_same_input_same_bytes(tmp_path):
    for name in ("a", "b"):
        save_model(tmp_path / name, dict(reversed(PARAMS.items())) if name == "b" else PARAMS, CONFIG)
    for file in ("model.safetensors", "config.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_saving_again_replaces_and_sweeps(tmp_path):
    save_model(tmp_path, PARAMS, {"n": 1})
    (tmp_path / ".model.safetensors.1.part").write_bytes(b"left by a killed run")
    save_model(tmp_path, {"only": np.ones(2)}, {"n": 2})
    params, config = load_model(tmp_path)
    assert list(params) == ["only"] and config == {"n": 2}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.json", "model.safetensors"]


def test_an_edited_config_json_is_told(tmp_path):
    save_model(tmp_path, PARAMS, CONFIG)
    (tmp_path / "config.json").write_text('{"config": {"width": 4}}')
    with pytest.warns(UserWarning, match="config.json differs"):
        assert load_model(tmp_path)[1] == CONFIG
    (tmp_path / "config.json").write_text("{")
    with pytest.warns(UserWarning, match="config.json differs"):
        load_model(tmp_path)
    (tmp_path / "config.json").unlink()
    assert load_model(tmp_path)[1] == CONFIG


def test_absent_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="the folder does not exist"):
        load_model(tmp_path / "none")
    (tmp_path / "weights.pkl").write_bytes(b"")
    with pytest.raises(FileNotFoundError, match=r"found there: weights.pkl\).*never read"):
        load_model(tmp_path)
    with pytest.raises(FileNotFoundError, match="no training state at .*absent; train without --resume"):
        load_training_state(tmp_path / "absent")


@pytest.mark.parametrize("damage", [lambda data: data[:len(data) // 2], lambda data: b"", lambda data: b"\xff" * len(data),
                                    lambda data: data[:-1]])
def test_damaged_weights_are_named(tmp_path, damage):
    save_model(tmp_path, PARAMS, CONFIG)
    path = tmp_path / "model.safetensors"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match="model.safetensors is damaged"):
        load_model(tmp_path)


def test_kinds_are_not_mixed(tmp_path):
    save_training_state(tmp_path / "model.safetensors", PARAMS, {"step": 1})
    with pytest.raises(ValueError, match="is no transrefiner-model-1 file .its header says transrefiner-training-state-1"):
        load_model(tmp_path)
    save_file(PARAMS, tmp_path / "foreign.safetensors")
    with pytest.raises(ValueError, match="its header says nothing"):
        load_training_state(tmp_path / "foreign.safetensors")


@pytest.mark.parametrize("params, config, message", [
    ({"a": np.array(["x"])}, {}, "a has dtype <U1"),
    ({"a": np.array([None])}, {}, "a has dtype object"),
    (PARAMS, {"a": np.ones(2)}, "must be plain JSON data"),
    (PARAMS, {"a": {1: 2}}, "keys must be strings"),
])
def test_what_the_files_cannot_hold_is_refused(tmp_path, params, config, message):
    save_model(tmp_path, PARAMS, CONFIG)
    with pytest.raises(ValueError, match=message):
        save_model(tmp_path, params, config)
    assert_same(load_model(tmp_path)[0], PARAMS)  # the old one still stands


def test_check_keys_lists_everything():
    check_keys({"net.weight": (2, 3), "net.bias": (2,)}, PARAMS)
    with pytest.raises(ValueError) as caught:
        check_keys({"net.weight": (3, 2), "head": (4,)}, PARAMS, "run/best")
    assert str(caught.value).splitlines() == [
        "run/best does not fit the model:", "  missing: head (4,)", "  unexpected: net.bias (2,)",
        "  misshapen: net.weight is (2, 3), the model has (3, 2)"]


def test_training_state_and_back(tmp_path):
    rng = np.random.default_rng(3)
    rng.normal(size=5)
    arrays = {**PARAMS, "m/net.weight": np.ones(3, "float32"), "v/net.weight": np.full(3, 2.0)}
    meta = {"step": 41, "rng": rng.bit_generator.state, "config": CONFIG, "best": float("inf")}
    save_training_state(tmp_path / "last" / "state.safetensors", arrays, meta)
    got, got_meta = load_training_state(tmp_path / "last" / "state.safetensors")
    assert_same(got, arrays)
    assert got_meta == meta
    resumed = np.random.default_rng()
    resumed.bit_generator.state = got_meta["rng"]  # 128 bit integers must not have lost a bit
    assert resumed.normal() == rng.normal()


def test_a_failed_write_leaves_the_old_state(tmp_path, monkeypatch):
    path = tmp_path / "state.safetensors"
    save_training_state(path, PARAMS, {"step": 1})

    def disk_full(part, data):
        with open(part, "wb") as file:
            file.write(data[:len(data) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", disk_full)
    with pytest.raises(OSError, match=r"state.safetensors cannot be written: No space.*make room"):
        save_training_state(path, PARAMS, {"step": 2})
    assert load_training_state(path)[1] == {"step": 1} and [p.name for p in tmp_path.iterdir()] == ["state.safetensors"]


# in a process of their own: Jittor, which runs in this one, ends it when a child dies by a signal
WRITER = """
import sys, numpy as np
from launch.checkpoint import save_training_state
for step in range(1, 10**9):
    full = np.full(500_000, step, "float32")
    save_training_state(sys.argv[1], {"w": full, "m": full}, {"step": step})
"""
KILLER = """
import sys, time, pathlib, subprocess
from launch.checkpoint import load_training_state
path, writer = pathlib.Path(sys.argv[1]), sys.argv[2]
for delay in (0.0, 0.007, 0.019):
    path.unlink(missing_ok=True)
    process = subprocess.Popen([sys.executable, "-c", writer, path])
    while not path.exists() and process.poll() is None:
        time.sleep(0.001)
    time.sleep(delay)
    process.kill()
    assert process.wait() == -9
    arrays, meta = load_training_state(path)
    assert (arrays["w"] == meta["step"]).all() and (arrays["m"] == meta["step"]).all()
print("three kills survived")
"""


def test_kill_at_any_moment_leaves_a_whole_state(tmp_path):
    done = subprocess.run([sys.executable, "-c", KILLER, str(tmp_path / "state.safetensors"), WRITER], cwd=ROOT, text=True,
                          env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, timeout=120)
    assert done.stdout == "three kills survived\n", done.stderr
