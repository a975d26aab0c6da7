"""The door: its command line, its exit codes, and no traceback for what a user can do wrong."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import launch.batch_predict
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


def test_strict_refuses_what_the_network_doubts(place, monkeypatch, capsys):
    save_random(place / "doubting", model="transrefiner", points=64)
    words = ["--input", str(place / "data" / "test" / "1.npz"), "--checkpoint", str(place / "doubting"), "--output", str(place / "out")]
    assert door.main(words) == 0
    report = json.loads((place / "out" / "doubting" / "vroid" / "1" / "report.json").read_text())
    summary = json.loads((place / "out" / "doubting" / "summary.json").read_text())
    assert summary["results"][0]["expected_error_cm"] == report["expected_error_cm"]
    assert f"{report['expected_error_cm']:.2f}" in capsys.readouterr().out
    assert report["expected_error_cm"] == pytest.approx(sum(j["expected_error_cm"] for j in report["joints"]) / 52, abs=0.01)
    assert report["quality"]["verdict"] == "fail"                       # weights of chance
    for verdict, limit, code in (("warn", 0.1, 0), ("warn", -0.1, 3), ("fail", 0.1, 3)):
        monkeypatch.setattr(door, "ACCEPTED_CM", report["expected_error_cm"] + limit)
        monkeypatch.setattr(launch.batch_predict, "standing", lambda *given: report | {"quality": {"verdict": verdict}})
        assert door.main([*words, "--strict"]) == code
    assert "1.npz" in capsys.readouterr().err
    assert call(place, "--input", str(place / "data" / "test" / "1.npz"), "--strict") == 3     # a network that does not say


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


def test_help_says_what_an_exit_code_means(capsys):
    with pytest.raises(SystemExit):
        door.main(["--help"])
    text = capsys.readouterr().out
    assert all(f"\n  {code}  " in text for code in (0, 2, 3)) and "launch/doctor.sh" in text


def test_missing_list_and_checkpoint_are_sentences(place, capsys):
    assert call(place, "--data_list", str(place / "no-list.txt")) == 2
    assert door.main(["--input", str(place), "--checkpoint", str(place / "none")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and "no-list.txt" in lines[0] and "model.safetensors" in lines[1]


def test_as_a_program(place):
    words = ["--input", place / "gone.glb", "--checkpoint", place / "my-run", "--output", place / "out", "--name", "program"]
    done = subprocess.run([sys.executable, "predict_joint_model.py", *map(str, words)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and "no such file" in done.stdout and "Traceback" not in done.stderr


def under_mpirun(place: Path, name: str, program: list[str]) -> subprocess.CompletedProcess:
    """Two ranks rig place/data and a name that leads nowhere. Jittor is not in mpirun, so its ranks may die as they like."""
    mpirun = Path(sys.prefix) / "bin" / "mpirun"
    if not mpirun.exists():
        pytest.skip("no mpirun beside this Python")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("OMPI_", "PMIX_", "TRANSREFINER_RANKS"))}
    environment |= {"OPAL_PREFIX": sys.prefix, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMP_NUM_THREADS": "1"}
    words = ["--input", place / "data", place / "gone.glb", "--checkpoint", place / "my-run", "--output", place / "out", "--name", name]
    return subprocess.run([str(mpirun), "-np", "2", "--oversubscribe", sys.executable, *program, *map(str, words)], cwd=ROOT,
                          env=environment, capture_output=True, text=True, timeout=300)


def results(place: Path, name: str) -> dict[str, bytes]:
    """Every file of a run, hidden ones too; its name, which stands in reports and digests, made the same."""
    folder, out = place / "out" / name, {}
    for path in folder.rglob("*"):
        if path.suffix == ".json":
            out[str(path.relative_to(folder))] = {k: v for k, v in json.loads(path.read_text()).items() if k not in ("run", "made_from")}
        elif path.is_file():
            out[str(path.relative_to(folder))] = path.read_bytes()
    return out


def test_two_ranks_leave_what_one_process_leaves(place):
    assert call(place, "--input", str(place / "data"), str(place / "gone.glb"), "--name", "alone") == 2
    done = under_mpirun(place, "ranks", ["predict_joint_model.py"])
    assert done.returncode == 2 and "2 rigged, 1 failed" in done.stdout, done.stderr[-3000:]   # a failure on any rank is told
    assert done.stdout.count("FAILED") == 1  # one table; the other rank's own line may be lost, as mpirun ends it at the answer 2
    assert results(place, "ranks") == results(place, "alone") and "summary.json" in results(place, "alone")


DYING = """
import os, signal, sys
sys.path.insert(0, {root!r})
import launch.rig_folder
import predict_joint_model
if os.environ["OMPI_COMM_WORLD_RANK"] == "1":
    launch.rig_folder.as_json = lambda *words: os.kill(os.getpid(), signal.SIGKILL)   # in the midst of a folder
sys.exit(predict_joint_model.main())
"""


def test_a_second_start_finishes_what_a_killed_rank_left(place, tmp_path):
    (tmp_path / "dying.py").write_text(DYING.format(root=str(ROOT)))
    done = under_mpirun(place, "killed", [str(tmp_path / "dying.py")])
    assert done.returncode not in (0, 2) and "signal 9" in done.stderr
    left = results(place, "killed")
    assert "summary.json" not in left and any(".new/" in name for name in left)
    done = under_mpirun(place, "killed", ["predict_joint_model.py"])
    assert done.returncode == 2 and "2 rigged, 1 failed" in done.stdout, done.stderr[-3000:]
    assert call(place, "--input", str(place / "data"), str(place / "gone.glb"), "--name", "whole") == 2
    assert results(place, "killed") == results(place, "whole")


def test_half_set_ranks_are_a_sentence(place, monkeypatch, capsys):
    monkeypatch.setenv("OMPI_COMM_WORLD_RANK", "0")
    assert call(place, "--input", str(place / "data")) == 2
    line, = capsys.readouterr().err.splitlines()
    assert "OMPI_COMM_WORLD_SIZE=None" in line
