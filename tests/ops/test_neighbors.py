"""knn and three_nearest against numbers by hand, a NumPy float64 twin, and the laws they must obey."""

import jittor as jt
import numpy as np
import pytest

import geometry.neighbors
from ops.neighbors import knn, three_nearest

CORNERS_M3 = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [9, 9, 9]], "float32")


def cloud(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def run(op, query, source, *rest):
    return [x.numpy() for x in op(jt.array(query), jt.array(source), *rest)]


def twin_knn(query, source, k):
    d2 = ((query[:, :, None].astype(float) - source[:, None].astype(float)) ** 2).sum(-1)
    idx = np.argsort(d2, axis=-1, kind="stable")[..., :k]
    return np.take_along_axis(d2, idx, -1), idx


def test_knn_by_hand():
    d2, idx = run(knn, [[[0.25, 0, 0]]] * np.ones((1, 1, 1), "float32"), CORNERS_M3[None], 3)
    assert idx.tolist() == [[[0, 1, 2]]] and idx.dtype == np.int32
    np.testing.assert_allclose(d2, [[[1 / 16, 9 / 16, 17 / 16]]])


def test_three_nearest_by_hand():
    # d2 = 1/16, 9/16, 17/16  ->  w ~ 16, 16/9, 16/17
    idx, weight = run(three_nearest, np.array([[[0.25, 0, 0]]], "float32"), CORNERS_M3[None])
    assert idx.tolist() == [[[0, 1, 2]]]
    np.testing.assert_allclose(weight, [[[153 / 179, 17 / 179, 9 / 179]]], atol=1e-6)


@pytest.mark.parametrize("sources, k", [(1, 1), (3, 3), (16, 5), (17, 17), (150, 32)])
def test_knn_agrees_with_twin(sources, k):
    query, source = cloud(0, 2, 41, 3), cloud(1, 2, sources, 3)
    d2, idx = run(knn, query, source, k)
    want_d2, want_idx = twin_knn(query, source, k)
    assert (idx == want_idx).all()
    np.testing.assert_allclose(d2, want_d2, rtol=1e-5, atol=1e-6)


def test_agrees_with_the_room_of_geometry():
    query, source = cloud(13, 1, 40, 3), cloud(14, 1, 60, 3)
    query[0, :9], source[0, 50:] = source[0, :9], source[0, :10]  # coincident and doubled points
    for op, twin, rest in ((knn, geometry.neighbors.knn, (6,)), (three_nearest, geometry.neighbors.three_nearest, ())):
        for got, want in zip(run(op, query, source, *rest), twin(query[0], source[0], *rest)):
            np.testing.assert_allclose(got[0], want, atol=1e-5)


def test_three_nearest_agrees_with_twin():
    query, source = cloud(2, 2, 50, 3), cloud(3, 2, 40, 3)
    idx, weight = run(three_nearest, query, source)
    d2, want_idx = twin_knn(query, source, 3)
    want = 1 / d2
    assert (idx == want_idx).all()
    np.testing.assert_allclose(weight, want / want.sum(-1, keepdims=True), atol=1e-5)
    np.testing.assert_allclose(weight.sum(-1), 1, atol=1e-6)


def test_ties_go_to_the_smaller_index():
    source = np.repeat(cloud(4, 1, 7, 3), 5, axis=1)  # each point five times
    d2, idx = run(knn, source[:, ::5], source, 5)
    assert idx[0].tolist() == [[5 * q + j for j in range(5)] for q in range(7)]
    assert (d2 == 0).all()


def whole_numbers(kind, count):
    """Clouds whose squared distances are exact in float32, so that ties are ties for the twin too."""
    rng = np.random.default_rng(15)
    grid = rng.integers(0, 12, (count, 3))                      # many ties, many doubles
    if kind == "clusters":
        grid = rng.integers(-1, 2, (count, 3)) + 500 * rng.integers(0, 2, (count, 3))
    elif kind == "outliers":
        grid[::97] = rng.choice([-1000, 1000], (len(grid[::97]), 3))
    elif kind == "all equal":
        grid[:] = 7
    elif kind == "flat":
        grid[:, 1:] = 3
    return grid[None].astype("float32")


@pytest.mark.parametrize("kind", ["grid", "clusters", "outliers", "all equal", "flat"])
@pytest.mark.parametrize("sources, k", [(3, 3), (16, 9), (17, 16), (257, 5), (900, 24), (4200, 16), (900, 64)])
def test_all_levels_of_the_tree_keep_the_rule_for_ties(kind, sources, k):
    source = whole_numbers(kind, sources)
    query = np.concatenate([source[:, :60], source[:, -40:] + 1, np.array([[[1500, -1500, 0], [-2, 5, 1500]]], "float32")], 1)
    d2, idx = run(knn, query, source, k)
    want_d2, want_idx = twin_knn(query, source, k)
    assert (idx == want_idx).all()
    np.testing.assert_allclose(d2, want_d2, rtol=1e-6)


def test_large_and_tiny_scales_find_the_same():
    query, source = cloud(16, 1, 50, 3), cloud(17, 1, 3000, 3)
    want = run(knn, query, source, 7)[1]
    for scale in (2.0 ** 40, 2.0 ** -40):
        assert (run(knn, query * np.float32(scale), source * np.float32(scale), 7)[1] == want).all()


def test_a_position_that_is_not_a_number_neither_crashes_nor_leads_astray():
    query, source = cloud(18, 1, 30, 3), cloud(19, 1, 500, 3)
    query[0, 3], source[0, 100:140] = np.nan, np.nan
    idx = run(knn, query, source, 8)[1]
    assert (idx >= 0).all() and (idx < 500).all()
    assert (run(knn, query, np.full_like(source, np.nan), 8)[1] < 500).all()


def test_the_number_of_threads_changes_nothing(with_threads):
    query, source = cloud(20, 2, 400, 3), cloud(21, 2, 6000, 3)
    one, two = (with_threads(threads, run, three_nearest, query, source) for threads in (1, 2))
    assert all((a == b).all() for a, b in zip(one, two))


@pytest.mark.gpu
def test_cuda_agrees_with_the_cpu(on_both):
    query, source = cloud(22, 2, 90, 3), cloud(23, 2, 700, 3)
    for cpu, cuda in zip(*on_both(run, three_nearest, query, source)):
        np.testing.assert_allclose(cuda, cpu, atol=1e-5)
    for cpu, cuda in zip(*on_both(run, knn, whole_numbers("grid", 700), whole_numbers("grid", 700), 16)):
        assert (cpu == cuda).all()


def test_coincident_points_take_all_the_weight():
    source = cloud(5, 1, 30, 3)
    idx, weight = run(three_nearest, source, source)
    assert (idx[0, :, 0] == np.arange(30)).all()
    assert (weight[0, :, 0] == 1).all()
    same = np.zeros((1, 3, 3), "float32")
    assert run(three_nearest, same, same)[1].tolist() == [[[1, 0, 0]] * 3]


def test_permuting_the_sources_permutes_the_indices():
    query, source = cloud(6, 1, 33, 3), cloud(7, 1, 100, 3)
    order = np.random.default_rng(8).permutation(100)
    d2, idx = run(knn, query, source, 8)
    d2_moved, idx_moved = run(knn, query, source[:, order], 8)
    assert (order[idx_moved] == idx).all() and (d2 == d2_moved).all()


def test_rigid_motion_changes_nothing():
    query, source = cloud(9, 1, 50, 3), cloud(10, 1, 40, 3)
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0].astype("float32")
    idx, weight = run(three_nearest, query, source)
    idx_moved, weight_moved = run(three_nearest, query @ turn.T + 1, source @ turn.T + 1)
    assert (idx == idx_moved).all()
    np.testing.assert_allclose(weight, weight_moved, atol=1e-3)


def test_two_runs_are_equal_and_carry_no_gradient():
    query, source = cloud(11, 3, 20, 3), cloud(12, 3, 64, 3)
    first, second = run(three_nearest, query, source), run(three_nearest, query, source)
    assert all((a == b).all() for a, b in zip(first, second))
    assert all(x.is_stop_grad() for x in knn(jt.array(query), jt.array(source), 2))


@pytest.mark.parametrize("query, source, k, message", [
    ((1, 5, 6), (1, 4, 3), 1, r"query must have shape \(B, Q, 3\)"),
    ((1, 5, 3), (2, 4, 3), 1, r"source must have shape \(B, M, 3\), B = 1"),
    ((5, 3), (1, 4, 3), 1, "query must have shape"),
    ((1, 5, 3), (1, 4, 3), 5, r"k must lie in 1..4 \(M = 4"),
    ((1, 5, 3), (1, 400, 3), 65, r"1..64"),
    ((1, 5, 3), (1, 4, 3), 0, "got 0"),
])
def test_knn_refuses_what_it_cannot_do(query, source, k, message):
    with pytest.raises(ValueError, match=message):
        knn(jt.zeros(query), jt.zeros(source), k)


def test_three_nearest_refuses_two_sources_and_integers():
    with pytest.raises(ValueError, match="M = 2"):
        three_nearest(jt.zeros((1, 5, 3)), jt.zeros((1, 2, 3)))
    with pytest.raises(ValueError, match="source must be float32; got int32"):
        three_nearest(jt.zeros((1, 5, 3)), jt.zeros((1, 4, 3), dtype="int32"))
