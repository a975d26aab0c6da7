"""Killed at any moment, the quick part: every window of the saving code, torn logs, leftovers. Whole programs: tests/soak/killed_*.py."""

import ctypes
import fcntl
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from dataset.exporter import replace_folder, sweep_leftovers
from dataset.prepared import prepare
from launch.checkpoint import save_model
from launch.training_log import TrainingLog, read_log
from tests.dataset.figures import capsule_man
from tests.soak.killing import ROOT
from tests.soak.saving_windows import unsynced


@pytest.mark.parametrize("module, least", [("killed_training", 100), ("killed_prediction", 30)])
def test_the_windows_of_the_saving_code(module, least, tmp_path):
    """In a process of its own: Jittor, which runs in this one, ends it when a child dies by a signal."""
    done = subprocess.run([sys.executable, "-m", f"tests.soak.{module}", "--windows", "--work", str(tmp_path)], cwd=ROOT,
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    kills, breaches = done.stdout.splitlines()[-1].removeprefix("windows: ").split(" kills, ")
    assert int(kills) >= least and breaches == "0 breaches"


def test_a_checkpoint_is_as_readable_as_its_folder(tmp_path):
    """A writer with a temporary file of its own makes it private, and leaves it where it is killed: safetensors' save_file does both."""
    save_model(tmp_path, {"a": np.ones(2, "float32")}, {})
    modes = {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    (tmp_path / "plain").touch()
    assert modes == {(tmp_path / "plain").stat().st_mode & 0o777}


def test_a_log_torn_anywhere_goes_on_as_if_it_were_whole(tmp_path):
    """A line cut short may read as another step: "1" may have been to be "12"."""
    def write(path: Path, first: int, last: int) -> bytes:
        log = TrainingLog(path, from_step=first)
        for step in range(first + 1, last + 1):
            log.write(step, {"total": 1 / step} | ({"val_j2j": step / 7} if step % 6 == 0 else {}))
        return path.read_bytes()
    wanted = write(tmp_path / "whole.csv", 0, 14)
    start = wanted.index(b"\n12,") + 1
    assert [row["step"] for row in read_log(tmp_path / "whole.csv")] == list(range(1, 15))
    for cut in range(start, len(wanted)):
        torn = tmp_path / "torn.csv"
        torn.write_bytes(wanted[:cut])
        steps = [row["step"] for row in read_log(torn)]
        assert steps == list(range(1, len(steps) + 1)) and len(steps) >= 11
        assert write(torn, 11, 14) == wanted


def test_a_log_that_was_removed_is_not_begun_anew(tmp_path):
    log = TrainingLog(tmp_path / "log.csv", from_step=0)
    log.write(1, {"total": 1.0})
    (tmp_path / "log.csv").unlink()
    with pytest.raises(OSError, match=r"log.csv cannot be written: No such file or directory; .* was removed"):
        log.write(2, {"total": 0.5})
    assert list(tmp_path.iterdir()) == []


def test_the_older_folder_goes_back_where_a_kill_came_between_the_renames(tmp_path):
    folder = tmp_path / "id"
    replace_folder(folder, lambda fresh: (fresh / "a").write_text("old"))
    folder.rename(tmp_path / ".id.1.old")
    (tmp_path / ".id.1.new").mkdir()
    sweep_leftovers(tmp_path, {"id"})
    assert [p.name for p in tmp_path.iterdir()] == ["id"] and (folder / "a").read_text() == "old"


def test_a_preparation_that_is_under_way_is_not_swept(tmp_path):
    """Ranks prepare side by side; what a killed one left goes, also where the data stand already."""
    left, man = tmp_path / "data.12345678.part", capsule_man(22)

    def slowly():
        under_way = [p for p in tmp_path.iterdir() if p != left]
        left.mkdir(exist_ok=True)
        prepare([man], tmp_path / "data", "key")      # another rank, faster
        assert all(p.exists() for p in under_way) and not left.exists()
        yield man
    assert len(prepare(slowly(), tmp_path / "data", "key")) == 1
    left.mkdir()
    prepare([], tmp_path / "data", "key")
    assert [p.name for p in tmp_path.iterdir()] == ["data"]


def test_a_child_that_ends_does_not_interrupt_the_wait_for_jittors_lock(tmp_path):
    """A killed worker ended its trainer with a trace of Jittor's, where another process was compiling kernels at that moment."""
    holding = ("import fcntl, sys, time; file = open(sys.argv[1], 'w'); fcntl.flock(file, fcntl.LOCK_EX); print(flush=True); "
               "sys.stdin.readline()")
    holder = subprocess.Popen([sys.executable, "-c", holding, tmp_path / "lock"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    holder.stdout.readline()
    child = subprocess.Popen(["sh", "-c", "sleep 0.3; exit 137"])
    threading.Timer(0.8, holder.stdin.close).start()
    with open(tmp_path / "lock") as file:
        assert ctypes.CDLL(None, use_errno=True).flock(file.fileno(), fcntl.LOCK_EX) == 0, os.strerror(ctypes.get_errno())
    assert child.wait() == 137 and holder.wait() == 0


def test_a_rename_before_the_sync_is_noticed():
    order = [("open", "/d/.f.part"), ("fsync", "/d/.f.part"), ("rename", "/d/.f.part -> /d/f"), ("fsync", "/d")]
    assert list(unsynced(order)) == []
    assert len(list(unsynced(order[:3]))) == 1 and len(list(unsynced([order[0], *order[2:]]))) >= 1
