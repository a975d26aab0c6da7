"""Normals by hand, area weighting, and the cases without a direction."""

import numpy as np

from geometry.normals import face_normals, normalize, vertex_normals

# two triangles over one edge, one flat on the floor with twice the area of the one standing on it
VERTICES = np.array([[0, 0, 0], [1, 0, 0], [0, 4, 0], [0, 0, 2]], float)
FACES = np.array([[0, 1, 2], [0, 1, 3]])


def test_face_normals_by_hand():
    np.testing.assert_array_equal(face_normals(VERTICES, FACES), [[0, 0, 1], [0, -1, 0]])
    np.testing.assert_array_equal(face_normals(VERTICES, FACES[:, ::-1]), [[0, 0, -1], [0, 1, 0]])


def test_vertex_normals_weigh_by_area():
    got = vertex_normals(VERTICES, FACES)
    np.testing.assert_allclose(got[0], np.array([0, -1, 2]) / np.sqrt(5))
    np.testing.assert_array_equal(got[2:], [[0, 0, 1], [0, -1, 0]])


def test_splitting_a_face_moves_no_normal():
    # vertex 0 keeps its share of the plane, whatever the number of triangles there
    split = np.array([[0, 1, 4], [0, 4, 2], [0, 1, 3]])
    vertices = np.concatenate([VERTICES, (VERTICES[[1]] + VERTICES[[2]]) / 2])
    np.testing.assert_allclose(vertex_normals(vertices, split)[0], vertex_normals(VERTICES, FACES)[0], atol=1e-15)


def test_without_direction():
    assert (vertex_normals(VERTICES, np.array([[0, 1, 1]])) == 0).all()       # no area
    assert (vertex_normals(VERTICES, np.array([[0, 1, 2], [0, 2, 1]])) == 0).all()      # both sides cancel
    assert vertex_normals(VERTICES, np.zeros((0, 3), int)).tolist() == [[0, 0, 0]] * 4


def test_normalize_keeps_tiny_and_huge_rows():
    np.testing.assert_allclose(normalize([[3e-200, 4e-200, 0], [3e200, 0, 4e200], [0, 0, 0]]), [[.6, .8, 0], [.6, 0, .8], [0, 0, 0]])
