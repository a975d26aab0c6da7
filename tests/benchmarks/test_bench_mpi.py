"""The plumbing of benchmarks/bench_mpi.py: two real ranks at tiny size, and that the step without averaging averages nothing."""

import json
import sys
from pathlib import Path

import pytest

from benchmarks import bench_mpi


def test_two_ranks_and_one_process_take_turns(tmp_path, monkeypatch, capsys):
    if not (Path(sys.prefix) / "bin" / "mpirun").exists():
        pytest.skip("no mpirun in this environment")
    for name in [n for n in bench_mpi.os.environ if n.startswith(("OMPI_", "PMIX_")) and "ALLOW" not in n]:
        monkeypatch.delenv(name)
    for name in ("use_mpi", "mpicc_path", "OPAL_PREFIX"):  # what this process's own start has settled for a process alone
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(bench_mpi, "machine", dict)
    bench_mpi.main(["--preset", "tiny", "--rounds", "2", "--json", str(tmp_path / "r.json")])
    result = json.loads((tmp_path / "r.json").read_text())
    assert result["mpi_ratio"] > 0 and result["allreduce_share"] < 1 and len(result["rows"]) == 3
    assert "mpi_ratio" in capsys.readouterr().out


def test_the_step_without_averaging_asks_no_other_rank(monkeypatch):
    import jittor as jt

    def ask(*_):
        raise RuntimeError("asked")

    monkeypatch.setattr(jt, "in_mpi", True)
    monkeypatch.setattr(jt.Var, "mpi_all_reduce", ask, raising=False)
    cases = bench_mpi.make_cases(jt, "tiny")
    cases["without"]()
    assert jt.in_mpi
    with pytest.raises(RuntimeError, match="asked"):
        cases["train"]()


def test_throughput_by_hand():
    assert bench_mpi.spread([0.5, 2.0, 1.0]) == {"median_ms": 1000.0, "least_ms": 500.0, "most_ms": 2000.0, "samples_per_s": 8.0}
