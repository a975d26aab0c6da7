"""Distances over a surface and the bridges between shells, against numbers by hand."""

import numpy as np
import pytest

from geometry.geodesic import _spanning, bridges, distances, graph, nearest_source
from geometry.topology import pieces

LINE = np.array([[0, 0, 0], [1, 0, 0], [3, 0, 0], [3, 4, 0], [9, 9, 9]], float)
LINE_EDGES = np.array([[0, 1], [1, 2], [2, 3]])
UP = np.array([0, 0, 1.0])


def sheet(height: float, shift: float = 0.0, size: int = 12, spacing: float = 0.02):
    x, y = np.meshgrid(np.arange(size), np.arange(size), indexing="ij")
    return np.column_stack([x.ravel() * spacing + shift, y.ravel() * spacing, np.full(size * size, height)])


def test_distances_by_hand():
    lengths = graph(LINE, LINE_EDGES)
    assert (lengths != lengths.T).nnz == 0
    assert distances(lengths, [0]).tolist() == [0, 1, 3, 7, np.inf]
    assert distances(lengths, [0, 3]).tolist() == [0, 1, 3, 0, np.inf]
    assert distances(lengths, [0], limit=3.5).tolist() == [0, 1, 3, np.inf, np.inf]
    assert nearest_source(lengths, [0, 3]).tolist() == [0, 0, 0, 3, -1]


def test_a_detour_is_longer_than_the_air_line():
    square = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], float)
    open_square = graph(square, np.array([[0, 1], [1, 2], [2, 3]]))
    assert distances(open_square, [0])[3] == 3


@pytest.mark.parametrize("ask", [distances, nearest_source])
def test_no_source(ask):
    with pytest.raises(ValueError, match="source"):
        ask(graph(LINE, LINE_EDGES), [])


def test_one_piece_needs_no_bridge():
    assert bridges(LINE, np.zeros(5, int), np.tile(UP, (5, 1)), 0.1).shape == (0, 2)


def test_two_points_are_tied():
    points = np.array([[0, 0, 0], [1, 0, 0], [5, 0, 0], [6, 0, 0]], float)
    assert bridges(points, np.array([0, 0, 1, 1]), np.tile(UP, (4, 1)), 0.1).tolist() == [[1, 2]]


def test_a_shell_on_another_is_tied_all_over_and_one_that_faces_it_once():
    points = np.concatenate([sheet(0.0), sheet(0.01)])
    label = np.repeat([0, 1], 144)
    same = bridges(points, label, np.tile(UP, (288, 1)), 0.03)
    facing = bridges(points, label, np.concatenate([np.tile(UP, (144, 1)), np.tile(-UP, (144, 1))]), 0.03)
    assert len(same) > 40 and len(facing) == 1
    lengths = np.linalg.norm(points[same[:, 0]] - points[same[:, 1]], axis=1)
    assert lengths.max() < 0.03 and (label[same[:, 0]] != label[same[:, 1]]).all()


def test_all_pieces_hang_together_whatever_lies_between():
    rng = np.random.default_rng(0)
    places = rng.normal(size=(9, 3)) * 3
    points = np.concatenate([sheet(0.0, spacing=0.004) + place for place in places])
    label = np.repeat(np.arange(9), 144)
    found = bridges(points, label, np.tile(UP, (len(points), 1)), 0.03)
    assert len(found) == 8 and pieces(label[found], 9).max() == 0      # a tree: no more than it takes


def test_the_tree_takes_the_shortest_links():
    points = np.concatenate([sheet(0, 0.0), sheet(0, 0.3), sheet(0, 0.65)])     # in a row, gaps 0.08 and 0.13
    found = bridges(points, np.repeat([0, 1, 2], 144), np.tile(UP, (432, 1)), 0.03)
    lengths = np.linalg.norm(points[found[:, 0]] - points[found[:, 1]], axis=1)
    assert len(found) == 2
    np.testing.assert_allclose(np.sort(lengths), [0.08, 0.13], atol=0.03)       # to the size of a cell


def test_of_a_ring_of_links_the_longest_is_left_out():
    ring = np.array([[0, 1], [1, 2], [2, 0], [0, 2]])
    assert _spanning(ring, np.array([1.0, 3.0, 2.5, 2.0]), np.array([0, 1, 2])).tolist() == [[0, 1], [0, 2]]


def test_the_same_bits_each_time():
    points = np.concatenate([sheet(0.0), sheet(0.01), sheet(0.02)])
    args = points, np.repeat([0, 1, 2], 144), np.tile(UP, (432, 1)), 0.03
    assert (bridges(*args) == bridges(*args)).all()
