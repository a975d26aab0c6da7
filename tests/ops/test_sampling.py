"""farthest_point_sample against points by hand, a NumPy float64 twin, and the laws it must obey."""

import jittor as jt
import numpy as np
import pytest

import geometry.sampling
from ops.sampling import farthest_point_sample


def cloud(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def run(points, count):
    return farthest_point_sample(jt.array(points), count).numpy()


def twin(points_N3, count):
    points = points_N3.astype(float)
    near, pick, picks = np.inf, points.mean(0), []
    for _ in range(count):
        d2 = ((points - pick) ** 2).sum(-1)
        near = np.minimum(near, d2) if picks else d2
        picks.append(int(np.argmax(near)))
        pick = points[picks[-1]]
        near = near if len(picks) > 1 else np.inf
    return picks


def test_by_hand():
    # On a line: centroid 2.2, so 10 first; then 0; then 3, which is 3 from 0.
    line = np.zeros((1, 5, 3), "float32")
    line[0, :, 0] = [0, 1, -3, 3, 10]
    assert run(line, 3).tolist() == [[4, 2, 3]]


@pytest.mark.parametrize("points, count", [(1, 1), (5, 5), (64, 10), (65, 33), (300, 77)])
def test_agrees_with_twin(points, count):
    batch = cloud(points, 3, points, 3)
    got = run(batch, count)
    assert got.dtype == np.int32
    assert got.tolist() == [twin(p, count) for p in batch]
    assert got.tolist() == [geometry.sampling.farthest_point_sample(p, count).tolist() for p in batch]


@pytest.mark.parametrize("kind", ["smooth", "grid", "clusters", "outliers"])
@pytest.mark.parametrize("points, count", [(900, 400), (1536, 500), (5001, 700), (17000, 90)])
def test_blocks_that_are_skipped_change_no_pick(kind, points, count):
    rng = np.random.default_rng(7)
    batch = np.round(8 * cloud(8, 2, points, 3)) if kind != "smooth" else cloud(8, 2, points, 3)  # whole numbers: ties are exact
    if kind == "clusters":
        batch = np.clip(batch, -2, 2) + 300 * rng.integers(0, 3, (2, points, 1)).astype("float32")
    if kind == "outliers":
        batch[:, ::211] *= 16
    assert run(batch, count).tolist() == [twin(p, count) for p in batch]


def test_a_large_cloud_of_few_positions():
    points = np.tile(cloud(9, 1, 7, 3), (1, 700, 1))
    picks = run(points, 12)[0]
    assert sorted(picks[:7]) == list(range(7)) and (picks[7:] == 0).all()
    assert run(np.ones((1, 4500, 3), "float32"), 3).tolist() == [[0, 0, 0]]


@pytest.mark.parametrize("points", [200, 5000])
def test_a_position_that_is_not_a_number_gives_picks_in_range(points):
    batch = cloud(10, 1, points, 3)
    batch[0, 50:90] = np.nan
    picks = run(batch, 60)
    assert (picks >= 0).all() and (picks < points).all()


def test_the_number_of_threads_changes_nothing(with_threads):
    points = cloud(11, 3, 4500, 3)
    assert (with_threads(1, run, points, 100) == with_threads(2, run, points, 100)).all()


@pytest.mark.gpu
def test_cuda_agrees_with_the_cpu(on_both):
    cpu, cuda = on_both(run, np.round(8 * cloud(12, 2, 3000, 3)), 300)
    assert (cpu == cuda).all()


def test_picks_all_once_when_count_is_all():
    assert sorted(run(cloud(1, 1, 130, 3), 130)[0].tolist()) == list(range(130))


def test_order_of_points_does_not_matter():
    points = cloud(2, 1, 200, 3)
    order = np.random.default_rng(3).permutation(200)
    assert (order[run(points[:, order], 40)] == run(points, 40)).all()


def test_duplicates_are_picked_only_after_all_positions():
    points = np.tile(cloud(4, 1, 6, 3), (1, 20, 1))
    picks = run(points, 10)[0]
    assert sorted(picks[:6] % 6) == list(range(6)) and (picks[:6] < 6).all()
    assert (picks[6:] == 0).all()


def test_identical_points():
    assert run(np.ones((2, 70, 3), "float32"), 4).tolist() == [[0] * 4] * 2


def test_spacing_never_grows():
    points = cloud(5, 1, 100, 3)[0]
    picked = points[run(points[None], 30)[0]]
    spacing = [np.linalg.norm(picked[:i] - picked[i], axis=-1).min() for i in range(1, 30)]
    assert (np.diff(spacing) <= 1e-6).all()


def test_batch_equals_single_and_two_runs_are_equal():
    points = cloud(6, 4, 90, 3)
    picks = run(points, 20)
    assert (picks == run(points, 20)).all()
    assert (picks == np.concatenate([run(p[None], 20) for p in points])).all()
    assert farthest_point_sample(jt.array(points), 2).is_stop_grad()


@pytest.mark.parametrize("shape, count, message", [
    ((2, 5, 3), 6, r"count must lie in 1..5 \(N points\); got 6"), ((2, 5, 3), 0, "got 0"), ((5, 3), 1, "points must have shape"),
    ((1, 5, 4), 1, r"got \(1, 5, 4\)")])
def test_refuses_what_it_cannot_do(shape, count, message):
    with pytest.raises(ValueError, match=message):
        farthest_point_sample(jt.zeros(shape), count)


def test_refuses_integers():
    with pytest.raises(ValueError, match="points must be float32"):
        farthest_point_sample(jt.zeros((1, 4, 3), dtype="int32"), 2)
