"""Neighbours against numbers by hand, the full table, and the order of ties where the tree alone would not keep it."""

import ctypes
import platform
import struct

import numpy as np
import pytest

import geometry.neighbors as neighbors
from geometry.neighbors import kd_tree, knn, three_nearest

CORNERS = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [9, 9, 9]], float)


def twin(query, source, k):
    d2 = ((query[:, None] - source[None]) ** 2).sum(-1)
    order = np.lexsort((np.broadcast_to(np.arange(len(source)), d2.shape), d2), axis=1)[:, :k]
    return np.take_along_axis(d2, order, 1), order


def test_by_hand():
    d2, idx = knn(np.array([[0.25, 0, 0]]), CORNERS, 3)
    assert idx.tolist() == [[0, 1, 2]]
    np.testing.assert_allclose(d2, [[1 / 16, 9 / 16, 17 / 16]], atol=1e-15)
    idx, weight = three_nearest(np.array([[0.25, 0, 0]]), CORNERS)
    np.testing.assert_allclose(weight, [[153 / 179, 17 / 179, 9 / 179]], atol=1e-15)


@pytest.mark.parametrize("force_tree", [False, True])
def test_agrees_with_twin(monkeypatch, force_tree):
    monkeypatch.setattr(neighbors, "_BRUTE_PAIRS", 0 if force_tree else 1 << 30)
    rng = np.random.default_rng(0)
    query, source = rng.normal(size=(80, 3)), rng.normal(size=(200, 3))
    for got, want in zip(knn(query, source, 7), twin(query, source, 7)):
        np.testing.assert_array_equal(got, want)


def test_ties_on_a_grid_keep_index_order_in_the_tree(monkeypatch):
    # shuffled integer grid: every query has many sources at equal distance, more than the tree is asked for
    monkeypatch.setattr(neighbors, "_BRUTE_PAIRS", 0)
    source = np.random.default_rng(1).permutation(np.stack(np.meshgrid(*[range(5)] * 3), -1).reshape(-1, 3)).astype(float)
    source = np.concatenate([source, source])
    for got, want in zip(knn(source[:60], source, 5), twin(source[:60], source, 5)):
        np.testing.assert_array_equal(got, want)


def test_twenty_copies_of_one_point(monkeypatch):
    monkeypatch.setattr(neighbors, "_BRUTE_PAIRS", 0)
    source = np.concatenate([np.ones((20, 3)), np.zeros((5, 3))])
    assert knn(np.ones((1, 3)), source, 3)[1].tolist() == [[0, 1, 2]]


def test_coincident_query_takes_all_the_weight():
    idx, weight = three_nearest(CORNERS[[1]], CORNERS)
    assert idx[0, 0] == 1 and weight.tolist() == [[1, 0, 0]]
    idx, weight = three_nearest(np.zeros((1, 3)), np.zeros((4, 3)))
    assert idx.tolist() == [[0, 1, 2]] and weight.tolist() == [[1, 0, 0]]


def test_tiny_distances_do_not_overflow():
    _, weight = three_nearest(np.array([[1e-160, 0, 0]]), CORNERS)
    np.testing.assert_allclose(weight, [[1, 0, 0]], atol=1e-12)
    # three sources at equal, tiny distance share alike
    _, weight = three_nearest(np.zeros((1, 3)), 1e-150 * np.eye(3))
    np.testing.assert_allclose(weight, 1 / 3)


def test_rigid_motion_changes_nothing():
    rng = np.random.default_rng(2)
    query, source, turn = rng.normal(size=(50, 3)), rng.normal(size=(40, 3)), np.linalg.qr(rng.normal(size=(3, 3)))[0]
    (idx, weight), (idx_moved, weight_moved) = three_nearest(query, source), three_nearest(query @ turn.T + 1, source @ turn.T + 1)
    assert (idx == idx_moved).all()
    np.testing.assert_allclose(weight, weight_moved, atol=1e-9)


@pytest.mark.parametrize("query, source, k, message", [
    (np.zeros((2, 2)), CORNERS, 1, "needs query"), (np.zeros((2, 3)), CORNERS, 5, "1..M"), (np.zeros((2, 3)), CORNERS, 0, "1..M"),
    (np.full((1, 3), np.nan), CORNERS, 1, "finite")])
def test_knn_refuses(query, source, k, message):
    with pytest.raises(ValueError, match=message):
        knn(query, source, k)


def test_three_nearest_refuses():
    with pytest.raises(ValueError, match="M >= 3"):
        three_nearest(CORNERS, CORNERS[:2])


@pytest.mark.skipif(platform.machine() != "x86_64", reason="sets the flags of x86-64's MXCSR")
def test_a_tree_stands_where_small_numbers_count_as_zero():
    """As in a thread that loaded a library linked with -Ofast: half of all points at 0, which overflowed the stack of a balanced tree."""
    libm, kept, flushing = ctypes.CDLL("libm.so.6"), ctypes.create_string_buffer(64), ctypes.create_string_buffer(64)
    libm.fegetenv(kept)
    libm.fegetenv(flushing)
    (control,) = struct.unpack_from("<I", flushing, 28)
    struct.pack_into("<I", flushing, 28, control | 0x8040)   # flush to zero, denormals are zero
    points_P3 = np.random.default_rng(0).uniform(0, 1, (400, 3))
    points_P3[:250] *= [0, 0, 1]
    libm.fesetenv(flushing)
    try:
        assert (np.array([1e-308]) * 0.1)[0] == 0
        distance_P, place_P = kd_tree(points_P3).query(points_P3)
    finally:
        libm.fesetenv(kept)
    assert distance_P.max() == 0 and (points_P3[place_P] == points_P3).all()
