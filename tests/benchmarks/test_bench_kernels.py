"""The plumbing of bench_kernels: what counts as a wrong answer, the summary, and one small run of both sides."""

import numpy as np
import pytest

from benchmarks import bench_kernels
from benchmarks.bench_kernels import disagreement, run_cases, start_workers, summarise
from benchmarks.jittor_kernels import OURS, PLAIN
from benchmarks.kernel_cases import Case, all_cases, read_cases, write_cases
from benchmarks.paired import PEERS

LINE = np.zeros((1, 5, 3), "float32")
LINE[0, :, 0] = [0, 1, -3, 3, 10]


def tiny_cases():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(2, 40, 3)).astype("float32")
    feat, idx = rng.normal(size=(2, 40, 6)).astype("float32"), rng.integers(0, 40, (2, 9, 3)).astype("int32")
    return [Case("knn", "2 x 9 in 40", (points[:, :9], points), options={"k": 4}), Case("three_nearest", "2 x 40", (points, points)),
            Case("gather", "2 x 9 x 3", (feat, idx), 1)]


def test_a_wrong_answer_is_named():
    case = Case("softmax", "", (), 1)
    right = [np.ones((4, 3), "float32")]
    assert disagreement(case, right, [np.full((4, 3), 1.0001, "float32")]) is None
    assert "differs by 0.01" in disagreement(case, [right[0] * 1.01], right)
    assert "shape" in disagreement(case, [right[0][:3]], right)
    assert disagreement(case, [right[0] * np.nan], right)
    with pytest.raises(ValueError):
        disagreement(case, right, right * 2)


def test_indices_may_differ_in_one_of_a_thousand_places():
    case, ours = Case("knn", "", ()), np.arange(2000)
    peer = ours.copy()
    peer[:2] = peer[1::-1]
    assert disagreement(case, [ours], [peer]) is None
    peer[:4] = peer[3::-1]
    assert "0.20%" in disagreement(case, [ours], [peer])


def test_picks_are_judged_by_their_spacing():
    # 10 first, then -3 (13 away), then 3 (6 from -3); the mirror-like 1 instead of 3 is 4 from -3: a worse pick
    case = Case("fps", "", (LINE,))
    assert disagreement(case, [np.array([[4, 2, 3]])], [np.array([[4, 2, 3]])]) is None
    assert disagreement(case, [np.array([[4, 2, 1]])], [np.array([[4, 2, 3]])])
    with pytest.raises(ValueError, match="twice"):
        disagreement(case, [np.array([[4, 2, 4]])], [np.array([[4, 2, 3]])])


def test_summary_takes_backward_where_there_is_one_and_the_geometric_mean():
    rows = [{"kernel": "a", "forward_ratio": [9, 9, 9], "both_ratio": [1, 1, 1]},
            {"kernel": "a", "forward_ratio": [9, 9, 9], "both_ratio": [4, 4, 4]},
            {"kernel": "knn_16k", "forward_ratio": [0.5, 0.4, 0.6]}]
    assert summarise(rows) == {"a_ratio": 2, "knn_16k_ratio": 0.5}


def test_every_case_has_our_kernel_and_those_with_a_plain_column_theirs():
    cases = all_cases()
    assert {case.kernel for case in cases} == set(OURS)
    assert {case.kernel for case in cases if case.plain} <= set(PLAIN)


def test_cases_survive_the_folder(tmp_path):
    write_cases(tmp_path, tiny_cases())
    for got, want in zip(read_cases(tmp_path), tiny_cases(), strict=True):
        assert (got.kernel, got.size, got.grads, got.options) == (want.kernel, want.size, want.grads, want.options)
        assert all((a == b).all() for a, b in zip(got.inputs, want.inputs, strict=True))


def test_a_small_run_of_both_sides(tmp_path, monkeypatch, capsys):
    if not PEERS.exists():
        pytest.skip("the peers are not installed: bash benchmarks/setup_peers.sh")
    cases = tiny_cases()
    write_cases(tmp_path, cases)
    workers = start_workers(tmp_path, 1, "cpu", plain=False)
    rows = run_cases(tmp_path, cases, workers, rounds=1)
    assert [row["kernel"] for row in rows] == ["knn", "three_nearest", "gather"] and len(capsys.readouterr().out.splitlines()) == 4
    assert set(rows[2]) == {"kernel", "size", "forward_ms", "forward_ratio", "both_ms", "both_ratio"}
    assert (tmp_path / "2-both-peer.npz").exists()
    monkeypatch.setattr(bench_kernels, "disagreement", lambda *_: "it is wrong")
    with pytest.raises(SystemExit, match="gather, 2 x 9 x 3, forward: it is wrong"):
        bench_kernels.check(tmp_path, 2, cases[2], workers)
    for worker in workers.values():
        worker.close()
