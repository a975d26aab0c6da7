"""Welding, edges and pieces against numbers by hand, NumPy's own unique rows, and a flood fill."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geometry.topology import checked_faces, components, edges, pieces, proper_faces, seen_vertices, welded

TWO_TRIANGLES = np.array([[0, 1, 2], [2, 1, 3], [5, 6, 7]])


def test_welded_by_hand():
    points, place = welded(np.array([[1, 0, 0], [0, 0, 0], [1, 0, 0], [-0.0, 0, 0]]))
    assert points.tolist() == [[0, 0, 0], [1, 0, 0]] and place.tolist() == [1, 0, 1, 0]


def test_a_hair_apart_is_apart():
    points, _ = welded(np.array([[0, 0, 1], [0, 0, np.nextafter(1, 2)]]))
    assert len(points) == 2


def test_welded_agrees_with_unique_rows():
    vertices = np.random.default_rng(0).integers(0, 4, (300, 3)).astype("float32")
    points, place = welded(vertices)
    want, want_place = np.unique(vertices, axis=0, return_inverse=True)
    assert (points == want).all() and (place == want_place.reshape(-1)).all() and (points[place] == vertices).all()


@pytest.mark.parametrize("vertices, message", [(np.zeros((2, 2)), "V, 3"), (np.array([[0, np.nan, 0]]), "finite"),
                                               (np.array([[np.inf, 0, 0]]), "finite")])
def test_welded_refuses(vertices, message):
    with pytest.raises(ValueError, match=message):
        welded(vertices)


def test_proper_faces_drop_repeated_corners_and_second_copies():
    faces = [[0, 1, 2], [0, 0, 1], [2, 0, 1], [1, 0, 2], [3, 2, 1], [4, 4, 4]]
    assert proper_faces(np.array(faces)).tolist() == [[0, 1, 2], [3, 2, 1]]


def test_edges_by_hand():
    assert edges(TWO_TRIANGLES).tolist() == [[0, 1], [0, 2], [1, 2], [1, 3], [2, 3], [5, 6], [5, 7], [6, 7]]
    assert edges(np.array([[1, 1, 1]])).shape == (0, 2) and edges(np.zeros((0, 3), int)).shape == (0, 2)


def test_components_by_hand():
    assert components(TWO_TRIANGLES, 9).tolist() == [0, 0, 0, 0, 1, 2, 2, 2, 3]
    assert components(np.zeros((0, 3), int), 2).tolist() == [0, 1]


def test_components_are_numbered_by_their_smallest_vertex():
    assert pieces(np.array([[5, 1], [4, 2], [2, 0]]), 6).tolist() == [0, 1, 0, 2, 0, 1]


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.integers(1, 20), st.lists(st.tuples(*[st.integers(0, 19)] * 3), max_size=15))
def test_components_are_what_a_flood_reaches(count, faces):
    faces = np.array([[a % count, b % count, c % count] for a, b, c in faces]).reshape(-1, 3)
    label = np.arange(count)
    for _ in range(count):
        for face in faces:
            label[face] = label[face].min()
    got = components(faces, count)
    assert ((got[:, None] == got) == (label[:, None] == label)).all()


@pytest.mark.parametrize("faces, message", [([[0, 1, 3]], "outside 0..2"), ([[0, 1, -1]], "outside"), ([[0, 1]], "triangles")])
def test_faces_that_name_no_vertex(faces, message):
    with pytest.raises(ValueError, match=message):
        checked_faces(np.array(faces), 3)
    assert checked_faces(None, 3).shape == (0, 3)


def test_seen_vertices_are_those_that_a_face_names():
    assert np.flatnonzero(seen_vertices(TWO_TRIANGLES, 9)).tolist() == [0, 1, 2, 3, 5, 6, 7]
    assert seen_vertices(None, 3).all() and seen_vertices(np.zeros((0, 3), int), 3).all()
