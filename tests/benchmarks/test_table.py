"""The README's speeds are the measured ones."""

import pytest

from benchmarks.paired import ROOT
from benchmarks.table import CLAIMS, newest, table, with_table


def test_readme_holds_the_table_of_the_newest_results():
    readme = (ROOT / "README.md").read_text()
    assert with_table(readme, table(newest())) == readme, "run: python -m benchmarks.table --write"


def test_every_claim_is_measured():
    results = newest()
    assert [claim.key for claim in CLAIMS if claim.key not in results.get(claim.benchmark, {})] == []


def test_a_number_goes_where_its_key_says():
    about = {"processor": "P", "date": "2026-01-02"}
    text = table({"bench_mpi": {"mpi_ratio": 0.934, "mpi_ratio_spread": [0.9, 0.96], "allreduce_share": 0.02, "about": about}})
    assert "| throughput of two ranks with a thread each / one rank with two | 0.93 (0.90-0.96) | >= 0.9 | " in text
    assert "| `python -m benchmarks.bench_mpi` | 2026-01-02 |" in text
    assert "cKDTree" not in text


def test_readme_without_markers_is_refused():
    with pytest.raises(ValueError, match="speed:begin"):
        with_table("no markers", "table")
