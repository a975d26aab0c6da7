"""Segment operations against numbers by hand, the twin's values, and central differences of the twin."""

import jittor as jt
import numpy as np
import pytest

import geometry.segment as twin
import ops.segment
from ops.segment import rows_of, segment_max, segment_mean, segment_softmax, segment_sum
from tests.ops.gradients import draw, value_and_grads

OPS = [segment_sum, segment_mean, segment_max, segment_softmax]
by_op = pytest.mark.parametrize("op", OPS, ids=lambda op: op.__name__)


def places(seed, count, rows):
    return np.random.default_rng(seed).integers(0, count, rows).astype("int32")


def run(op, x, place, count, y):
    return value_and_grads(lambda x: op(x, jt.array(place), count), (x,), y)


def differences(op, x, place, count, y, step=1e-6):
    """The gradient of <twin(x), y> by central differences, float64."""
    value = lambda shift: (getattr(twin, op.__name__)(x + shift.reshape(x.shape), place, count) * y).sum()
    return np.array([value(e) - value(-e) for e in step * np.eye(x.size)]).reshape(x.shape) / (2 * step)


def test_by_hand():
    x, place = np.array([[1, 10], [2, 20], [6, -5]], "float32"), np.array([2, 0, 2], "int32")
    for op, want, want_grad in ((segment_sum, [[2, 20], [0, 0], [7, 5]], [[5, 6], [1, 2], [5, 6]]),
                                (segment_mean, [[2, 20], [0, 0], [3.5, 2.5]], [[2.5, 3], [1, 2], [2.5, 3]]),
                                (segment_max, [[2, 20], [0, 0], [6, 10]], [[0, 6], [1, 2], [5, 0]])):
        value, grad = run(op, x, place, 3, np.array([[1, 2], [3, 4], [5, 6]], "float32"))
        assert value.tolist() == want and grad.tolist() == want_grad
    # shares 1/4 and 3/4 of one segment: dx = y (dy - sum y dy) = 1/4 (8 - 2), 3/4 (0 - 2)
    value, grad = run(segment_softmax, np.log(np.array([[1], [5], [3]], "float32")), place, 3, np.array([[8], [9], [0]], "float32"))
    np.testing.assert_allclose(value, [[1 / 4], [1], [3 / 4]], atol=1e-6)
    np.testing.assert_allclose(grad, [[1.5], [0], [-1.5]], atol=1e-5)


@by_op
@pytest.mark.parametrize("rows, count, width", [(1, 1, 1), (14, 5, 3), (9, 40, 2), (40, 3, 17)])
def test_agrees_with_the_twin(op, rows, count, width):
    x, place = 2 * draw(0, rows, width), places(1, count, rows)
    y = draw(2, *(x.shape if op is segment_softmax else (count, width)))
    value, grad = run(op, x, place, count, y)
    np.testing.assert_allclose(value, getattr(twin, op.__name__)(x, place, count), atol=1e-5)
    np.testing.assert_allclose(grad, differences(op, x.astype(float), place, count, y.astype(float)), atol=1e-5)


def test_of_equal_maxima_the_first_row_gets_the_gradient():
    value, grad = run(segment_max, np.array([[-3], [-1], [-1]], "float32"), np.zeros(3, "int32"), 2, np.array([[7], [8]], "float32"))
    assert value.tolist() == [[-1], [0]] and grad.tolist() == [[0], [7], [0]]


@by_op
def test_nothing_gives_nothing(op):
    for rows, count in ((0, 3), (0, 0)):
        value, grad = run(op, np.zeros((rows, 2), "float32"), np.zeros(rows, "int32"), count,
                          np.ones((rows if op is segment_softmax else count, 2), "float32"))
        assert value.shape == ((rows if op is segment_softmax else count), 2) and (value == 0).all() and grad.shape == (rows, 2)


@by_op
def test_the_order_of_rows_is_not_the_threads(op, with_threads):
    x, place = draw(3, 3000, 5), places(4, 70, 3000)
    y = draw(5, *(x.shape if op is segment_softmax else (70, 5)))
    one, two = (with_threads(threads, run, op, x, place, 70, y) for threads in (1, 2))
    assert all((a == b).all() for a, b in zip(one, two))


def test_large_scores_do_not_overflow_and_a_nan_is_seen():
    share, = value_and_grads(lambda x: segment_softmax(x, jt.array(np.zeros(3, "int32")), 1), (np.float32([[1e4], [1e4], [-1e4]]),),
                             np.ones((3, 1), "float32"))[:1]
    assert share.tolist() == [[0.5], [0.5], [0]]
    x, place = np.float32([[1], [np.nan], [2]]), np.array([0, 0, 1], "int32")
    for op in (segment_sum, segment_softmax):
        value = op(jt.array(x), jt.array(place), 2).numpy()
        assert np.isnan(value[0]).all() and np.isfinite(value[-1]).all()


def test_what_the_segments_tell_their_rows_is_the_sum_turned_round():
    x, place, y = draw(6, 4, 3), places(7, 4, 9), draw(8, 9, 3)
    value, grad = value_and_grads(lambda x: rows_of(x, jt.array(place)), (x,), y)
    assert (value == x[place]).all()
    np.testing.assert_allclose(grad, twin.segment_sum(y, place, 4), atol=1e-6)


def test_operators_that_stand_in_on_cuda(monkeypatch):
    x, place = draw(9, 14, 3), places(10, 6, 14)
    for op in (segment_sum, segment_max, segment_softmax):
        y = draw(11, *(x.shape if op is segment_softmax else (6, 3)))
        want = run(op, x, place, 6, y)
        with monkeypatch.context() as patch:
            patch.setattr(ops.segment, "on_cpu", lambda: False)
            for got, wanted in zip(run(op, x, place, 6, y), want):
                np.testing.assert_allclose(got, wanted, atol=1e-5)


@by_op
@pytest.mark.parametrize("wrong", [-1, 4])
def test_a_segment_out_of_range_is_refused(op, wrong):
    with pytest.raises(RuntimeError, match="but there are 4 segments"):
        op(jt.ones((2, 2)), jt.array(np.array([0, wrong], "int32")), 4).sync()


@by_op
def test_wrong_shapes_and_types_are_refused(op):
    x, place = jt.zeros((3, 2)), jt.zeros((3,), dtype="int32")
    for args, message in (((x[0], place, 2), "x must have shape"), ((x, place[:2], 2), "segment must have shape .*N = 3"),
                          ((x.int32(), place, 2), "x must be float32"), ((x, place.float32(), 2), "segment must be int32"),
                          ((x, place, -1), "count must be >= 0")):
        with pytest.raises(ValueError, match=message):
            op(*args)
