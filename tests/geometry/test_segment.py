"""Segment reductions against numbers by hand and one segment at a time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geometry.segment import segment_max, segment_mean, segment_softmax, segment_sum

X = np.array([[1, 10], [2, 20], [6, -5.]])
PLACE = np.array([2, 0, 2])   # nobody is in segment 1


def test_by_hand():
    assert segment_sum(X, PLACE, 3).tolist() == [[2, 20], [0, 0], [7, 5]]
    assert segment_mean(X, PLACE, 3).tolist() == [[2, 20], [0, 0], [3.5, 2.5]]
    assert segment_max(X, PLACE, 3).tolist() == [[2, 20], [0, 0], [6, 10]]
    share = segment_softmax(np.log([[1.], [5], [3]]), PLACE, 3)
    np.testing.assert_allclose(share, [[1 / 4], [1], [3 / 4]], atol=1e-15)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 4), max_size=20), st.integers(0, 10 ** 6))
def test_each_segment_alone(place, seed):
    place = np.array(place, int)
    x = np.random.default_rng(seed).normal(scale=30, size=(len(place), 3))
    share = segment_softmax(x, place, 5)
    for s in range(5):
        mine = x[place == s]
        for op, want in ((segment_sum, mine.sum(0)), (segment_mean, mine.mean(0) if len(mine) else np.zeros(3)),
                         (segment_max, mine.max(0, initial=-np.inf) if len(mine) else np.zeros(3))):
            np.testing.assert_allclose(op(x, place, 5)[s], want, atol=1e-13)
        if len(mine):
            np.testing.assert_allclose(share[place == s].sum(0), 1, atol=1e-14)
            assert (np.diff(share[place == s][np.argsort(mine[:, 0]), 0]) >= 0).all()


def test_large_scores_do_not_overflow():
    assert segment_softmax(np.array([[1e4], [1e4], [-1e4]]), np.zeros(3, int), 1).tolist() == [[0.5], [0.5], [0]]


def test_nothing_is_fine():
    assert segment_sum(np.zeros((0, 2)), np.zeros(0, int), 3).tolist() == [[0, 0]] * 3
    assert segment_softmax(np.zeros((0, 2)), np.zeros(0, int), 0).shape == (0, 2)


@pytest.mark.parametrize("x, place, message", [(np.zeros(3), [0, 0, 0], r"\(N, C\)"), (X, [0, 1], "N, C"), (X, [0., 1, 1], "integers"),
                                               (X, [0, 1, 3], "span 0 to 3 but there are 3"), (X, [0, -1, 1], "span -1")])
@pytest.mark.parametrize("op", [segment_sum, segment_mean, segment_max, segment_softmax])
def test_what_is_refused(op, x, place, message):
    with pytest.raises(ValueError, match=message):
        op(x, np.array(place), 3)
