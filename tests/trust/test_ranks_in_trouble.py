"""Ranks under faults: two scenarios of the soak with a real mpirun, and who speaks when."""

import subprocess
import sys
from pathlib import Path

import pytest

from launch import rank_failure
from launch.rank_failure import KEPT, fail, rank_and_size
from launch.ranks_together import Meeting, named, odd_ones
from tests.soak.killing import ROOT


@pytest.mark.parametrize("scenario, cause", [("train: a bit of rank 1's parameters flips", "step 6: parameters of rank 1 differ"),
                                             ("predict: rank 1 lacks safetensors", "No module named 'safetensors'")])
def test_all_end_with_one_message(scenario, cause, tmp_path):
    """In a process without Jittor, whose children may die."""
    if not (Path(sys.prefix) / "bin" / "mpirun").exists():
        pytest.skip("no mpirun beside this Python")
    done = subprocess.run([sys.executable, "-m", "tests.soak.ranks_in_trouble", "--only", scenario, "--once", "--folder", str(tmp_path)],
                          cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0 and "1 scenarios, 0 with a breach" in done.stdout, done.stdout + done.stderr
    assert "rank 1 of 2 on " in done.stdout or "rank 0 of 2 on " in done.stdout
    assert cause in done.stdout


@pytest.mark.parametrize("values, odd", [([7], []), ([7, 7], []), ([7, 8], [1]), ([8, 7, 7], [0]), ([1, 2, 2, 3], [0, 3])])
def test_the_odd_ones_by_hand(values, odd):
    assert odd_ones(values) == odd


def test_ranks_are_named():
    assert [named(ranks) for ranks in ([1], [1, 3], [0, 1, 3])] == ["rank 1", "ranks 1 and 3", "ranks 0, 1 and 3"]


@pytest.mark.parametrize("environment, answer", [({}, (0, 1)), ({"OMPI_COMM_WORLD_RANK": "2", "OMPI_COMM_WORLD_SIZE": "3"}, (2, 3)),
                                                 ({KEPT: "1 4 job@1 2"}, (1, 4)), ({KEPT: "1 4 "}, (1, 4)), ({KEPT: "x"}, (0, 1)),
                                                 ({"OMPI_COMM_WORLD_RANK": "2"}, (0, 1))])
def test_rank_and_size(environment, answer):
    assert rank_and_size(environment) == answer


@pytest.mark.parametrize("rank, concerned, turn", [(0, True, 0), (3, True, 3), (70, True, 4), (0, False, 4), (2, False, 6)])
def test_ranks_speak_in_turn(monkeypatch, capsys, rank, concerned, turn):
    waited = []
    monkeypatch.setattr(rank_failure.time, "sleep", waited.append)
    monkeypatch.setenv(KEPT, f"{rank} 99 job")
    assert fail("program", "no such file", 2, concerned) == 2 and waited == [turn * rank_failure.TURN]
    assert capsys.readouterr().err.startswith(f"program: rank {rank} of 99 on ")


def test_a_process_alone_neither_waits_nor_counts_itself(monkeypatch, capsys):
    monkeypatch.delenv(KEPT, raising=False)
    monkeypatch.setattr(rank_failure.time, "sleep", lambda seconds: pytest.fail("waited"))
    assert fail("program", "no such file", 5) == 5 and capsys.readouterr().err == "program: no such file\n"
    hook = sys.excepthook
    rank_failure.name_rank_in_errors("program")
    assert sys.excepthook is hook
    Meeting(0.0).wait("step 1")


@pytest.mark.parametrize("patience", [-1.0, float("nan")])
def test_a_senseless_patience_is_refused(patience):
    with pytest.raises(ValueError, match="rank_timeout"):
        Meeting(patience)
