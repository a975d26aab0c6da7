"""The door: its command line, its exit codes, and no traceback for what a user can do wrong."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import predict_joint_model as door
from dataset.sources.npz import write_npz
from tests.dataset.figures import capsule_man
from tests.launch.random_checkpoint import save_random

ROOT = Path(door.__file__).parent


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("door")
    save_random(folder / "my-run", joints=52, points=64)
    (folder / "data" / "test").mkdir(parents=True)
    for name in ("1", "2"):
        write_npz(folder / "data" / "test" / f"{name}.npz", replace(capsule_man(22), cls="vroid", id=name, joints_J3=None, skin_VJ=None,
                                                                      parents=None, names=None, matrix_local_J44=None))
    (folder / "list.txt").write_text("test/1.npz\ntest/2.npz\n")
    return folder


def call(place: Path, *words: str) -> int:
    return door.main([*words, "--checkpoint", str(place / "my-run"), "--output", str(place / "out")])


def test_contest_lists(place, capsys):
    assert call(place, "--data_root", str(place / "data"), "--data_list", str(place / "list.txt")) == 0
    assert {p.parent.name for p in (place / "out" / "my-run" / "vroid").rglob("predict_skin.npy")} == {"1", "2"}
    assert "2 rigged, 0 failed" in capsys.readouterr().out


def test_named_run_with_fewer_joints(place):
    import numpy as np
    assert call(place, "--input", str(place / "data" / "test" / "1.npz"), "--name", "body", "--joints", "22") == 0
    assert np.load(place / "out" / "body" / "vroid" / "1" / "predict_skeleton.npy").shape == (22, 3)


def test_one_failure_is_exit_code_2(place, capsys):
    assert call(place, "--input", str(place / "data"), str(place / "gone.glb"), "--name", "part") == 2
    out = capsys.readouterr().out
    assert "gone.glb" in out and "FAILED" in out and "2 rigged, 1 failed" in out


@pytest.mark.parametrize("words, message", [([], "name what to rig"), (["--data_root", "x"], "name what to rig"),
                                            (["--input", "a", "--data_root", "x"], "needs --data_list"),
                                            (["--input", "a", "--batch_size", "0"], "at least 1"),
                                            (["--input", "a", "--seed", "-1"], "at least 0"),
                                            (["--input", "a", "--looks", "x"], "whole number"),
                                            (["--input", "a", "--joints", "30"], "22, 52"),
                                            (["--input", "a", "--influences", "9"], "invalid choice")])
def test_wrong_commands(words, message, capsys):
    with pytest.raises(SystemExit) as stop:
        door.main(words)
    assert stop.value.code == 2 and message in capsys.readouterr().err


def test_missing_list_and_checkpoint_are_sentences(place, capsys):
    assert call(place, "--data_list", str(place / "no-list.txt")) == 2
    assert door.main(["--input", str(place), "--checkpoint", str(place / "none")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and "no-list.txt" in lines[0] and "model.safetensors" in lines[1]


def test_as_a_program(place):
    words = ["--input", place / "gone.glb", "--checkpoint", place / "my-run", "--output", place / "out", "--name", "program"]
    done = subprocess.run([sys.executable, "predict_joint_model.py", *map(str, words)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and "no such file" in done.stdout and "Traceback" not in done.stderr
