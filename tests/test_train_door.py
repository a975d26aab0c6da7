"""The training door, end to end on the tiny preset: it learns, a killed run repeats the unbroken one, ranks agree, NaN stops it."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
STEPS = 16
COMMON = ["--preset", "tiny", "--joints", "22", "--set", f"optim.steps={STEPS}", "--set", "save_every=4", "--set", "log_every=1",
          "--set", "validate_every=8", "--set", "data.humans=3", "--set", "data.val_humans=1"]


def command(output: Path, cache: Path, *extra: str) -> list[str]:
    return [sys.executable, "train_joint_model.py", *COMMON, "--output", str(output), "--cache", str(cache), "--name", "run", *extra]


def run(output: Path, cache: Path, *extra: str) -> subprocess.CompletedProcess:
    return subprocess.run(command(output, cache, *extra), cwd=ROOT, capture_output=True, text=True, timeout=600)


def losses(output: Path) -> dict[int, tuple[str, ...]]:
    with open(output / "run" / "log.csv") as file:
        return {int(float(row["step"])): (row["total"], row["gradient"], row.get("val_j2j", "")) for row in csv.DictReader(file)}


@pytest.fixture
def children_may_die():
    """Jittor, loaded in this process, takes a child's death by a signal for its own; the test kills one on purpose."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGCHLD, before if before is not None else signal.SIG_DFL)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("prepared")


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory, cache):
    output = tmp_path_factory.mktemp("unbroken")
    done = run(output, cache)
    assert done.returncode == 0, done.stderr[-2000:]
    return output


def test_leaves_what_it_promises(unbroken):
    names = {p.name for p in (unbroken / "run").iterdir()}
    assert {"log.csv", "curves.png", "best", "last", "state.safetensors"} <= names
    first, last = losses(unbroken)[1], losses(unbroken)[STEPS]
    assert float(last[0]) < float(first[0])


def test_the_baseline_trains_through_the_same_door(cache, tmp_path):
    """It expects no errors, and a figure that it cannot have is absent, where NaN would be no JSON."""
    done = run(tmp_path, cache, "--model", "pct")
    assert done.returncode == 0, done.stderr[-2000:]
    config = json.loads((tmp_path / "run" / "best" / "config.json").read_text())
    assert config["config"]["model"] == "pct" and "val_expected" not in config["extra"]["figures"]
    assert config["extra"]["figures"]["val_j2j"] > 0


def test_killed_and_resumed_is_the_unbroken_run(unbroken, cache, tmp_path, children_may_die):
    process = subprocess.Popen(command(tmp_path, cache), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    state = tmp_path / "run" / "state.safetensors"
    deadline = time.time() + 300
    while not state.exists() and time.time() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    rows = losses(tmp_path)
    assert 4 <= len(rows) < STEPS, "the run was not killed in the middle"
    done = run(tmp_path, cache, "--resume")
    assert done.returncode == 0, done.stderr[-2000:]
    assert losses(tmp_path) == losses(unbroken)
    assert (tmp_path / "run" / "last" / "model.safetensors").read_bytes() == (unbroken / "run" / "last" / "model.safetensors").read_bytes()


def test_stopped_in_time_and_resumed_is_the_unbroken_run(unbroken, cache, tmp_path):
    done = run(tmp_path, cache, "--minutes", "0.001")
    assert done.returncode == 0 and f"at step 1 of {STEPS}" in done.stderr and "--resume" in done.stderr
    assert list(losses(tmp_path)) == [1] and (tmp_path / "run" / "last" / "model.safetensors").exists()
    done = run(tmp_path, cache, "--resume", "--minutes", "60")
    assert done.returncode == 0 and "minutes" not in done.stderr
    # the figures of a validation may differ in the last bit, since Jittor joins operations by what came before; what is trained may not
    assert {step: row[:2] for step, row in losses(tmp_path).items()} == {step: row[:2] for step, row in losses(unbroken).items()}
    assert (tmp_path / "run" / "state.safetensors").read_bytes() == (unbroken / "run" / "state.safetensors").read_bytes()


def test_a_run_is_never_overwritten_in_passing(unbroken, cache):
    done = run(unbroken, cache)
    assert done.returncode == 2 and "--resume" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("argument, message", [
    (["--set", "optim.learning=1"], "optim.lr"), (["--set", "optim.lr=fast"], "optim.lr"), (["--init", "nowhere"], "nowhere"),
    (["--assets", "nowhere"], "nowhere"), (["--minutes", "0"], "--minutes"), (["--minutes", "nan"], "--minutes")])
def test_clear_refusals(argument, message, cache, tmp_path):
    done = run(tmp_path, cache, *argument)
    assert done.returncode == 2 and message in done.stderr and "Traceback" not in done.stderr


def two_ranks(output: Path, cache: Path, *extra: str) -> str:
    """What two ranks print."""
    mpirun = Path(sys.prefix) / "bin" / "mpirun"
    if not mpirun.exists():
        pytest.skip("no mpirun beside this Python")
    environment = {**os.environ, "OPAL_PREFIX": sys.prefix, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
                   "OMP_NUM_THREADS": "1", "use_mpi": "1"}
    done = subprocess.run([str(mpirun), "-np", "2", "--oversubscribe", *command(output, cache, *extra)], cwd=ROOT, env=environment,
                          capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stderr


def test_two_ranks_hold_the_same_parameters(cache, tmp_path, unbroken):
    prints = dict(re.findall(rf"step {STEPS} rank (\d) of 2: parameters ([0-9a-f]{{8}})", two_ranks(tmp_path, cache)))
    assert prints.keys() == {"0", "1"} and len(set(prints.values())) == 1
    # the mean of two half batches is the whole batch: the curve is the single process's up to float32 rounding
    alone, together = (np.array([float(rows[s][0]) for s in range(1, 5)]) for rows in (losses(unbroken), losses(tmp_path)))
    assert np.isfinite(together).all() and not np.array_equal(alone, together)


def test_two_ranks_stop_in_time_after_the_same_step(cache, tmp_path):
    said = two_ranks(tmp_path, cache, "--minutes", "0.001", "--set", "check_every=3")
    prints = dict(re.findall(r"step 3 rank (\d) of 2: parameters ([0-9a-f]{8})", said))
    assert prints.keys() == {"0", "1"} and len(set(prints.values())) == 1 and f"at step 3 of {STEPS}" in said
    assert max(losses(tmp_path)) == 3


def test_a_nan_stops_before_anything_moves(monkeypatch):
    import jittor as jt
    from launch.optimizer import AdamW, NonFinite, OptimConfig

    weight = jt.array(np.ones(3, "float32"))
    optimizer = AdamW({"weight": weight}, OptimConfig())
    with pytest.raises(NonFinite):
        optimizer.gradients((weight * jt.array(np.array([1, np.nan, 1], "float32"))).sum())
    assert optimizer.step == 0 and weight.numpy().tolist() == [1, 1, 1]


def test_the_loop_names_step_and_assets(tmp_path, cache):
    import train_joint_model as door
    from launch.optimizer import NonFinite
    from launch.presets import tiny
    from launch.training_data import DataPaths, open_data

    cfg = tiny(22)
    cfg = replace(cfg, data=replace(cfg.data, humans=3, val_humans=1))
    data = open_data(cfg, DataPaths(None, "", "", (), None, cache))
    good = data.train_batches

    def poisoned(*place):
        for batch in good(*place):
            batch["joints"][0, 0] = np.inf
            yield batch
    data.train_batches = poisoned
    session = door.start(cfg, tmp_path, data, resume=False, init=None)
    with pytest.raises(NonFinite, match="step 0.*human"):
        door.fit(session)
    shutil.rmtree(tmp_path, ignore_errors=True)
