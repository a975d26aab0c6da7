"""Similarity: by hand, its laws, and what it refuses."""

import numpy as np
import pytest

from geometry.kinematics import rotation_uniform
from geometry.similarity import Y_UP_TO_Z_UP, Similarity, fit_box


def random_similarity(rng):
    return Similarity(rotation_uniform(rng), float(rng.uniform(0.1, 10)), rng.normal(size=3))


def test_by_hand():
    quarter = Similarity(np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1.0]]), 2.0, np.array([1.0, 0, 0]))
    # (2, 0, 0) - (1, 0, 0) = x; a quarter turn makes it y; doubled
    np.testing.assert_array_equal(quarter.apply([[2.0, 0, 0]]), [[0, 2, 0]])
    np.testing.assert_array_equal(quarter.apply_vectors([[1.0, 0, 0]]), [[0, 1, 0]])
    np.testing.assert_array_equal(quarter.apply_matrix(np.eye(4)), [[0, -1, 0, 0], [1, 0, 0, -2], [0, 0, 1, 0], [0, 0, 0, 1]])


def test_y_up_becomes_z_up():
    # up +Y -> +Z, front +Z -> -Y, left +X stays
    np.testing.assert_array_equal(Similarity(Y_UP_TO_Z_UP).apply(np.eye(3)), [[1, 0, 0], [0, 0, 1], [0, -1, 0]])


def test_the_way_home_and_composition():
    rng = np.random.default_rng(0)
    for _ in range(20):
        a, b, x_P3 = random_similarity(rng), random_similarity(rng), rng.normal(size=(7, 3))
        np.testing.assert_allclose(a.undo(a.apply(x_P3)), x_P3, atol=1e-12)
        np.testing.assert_allclose(a.undo_vectors(a.apply_vectors(x_P3)), x_P3, atol=1e-12)
        np.testing.assert_allclose(a.inverse().apply(x_P3), a.undo(x_P3), atol=1e-10)
        np.testing.assert_allclose(a.then(b).apply(x_P3), b.apply(a.apply(x_P3)), atol=1e-10)
        frame_44 = np.eye(4)
        frame_44[:3, :3], frame_44[:3, 3] = rotation_uniform(rng), rng.normal(size=3)
        np.testing.assert_allclose(a.inverse().apply_matrix(a.apply_matrix(frame_44)), frame_44, atol=1e-10)


def test_input_is_left_alone():
    x_P3, frame_44 = np.ones((2, 3)), np.eye(4)
    random_similarity(np.random.default_rng(0)).apply(x_P3)
    random_similarity(np.random.default_rng(0)).apply_matrix(frame_44)
    assert (x_P3 == 1).all() and (frame_44 == np.eye(4)).all()
    with pytest.raises(ValueError):
        Y_UP_TO_Z_UP[0, 0] = 2


def test_fit_box_by_hand():
    box = fit_box(np.array([[0, 0, 0], [4, 2, 1.0]]))
    np.testing.assert_array_equal(box.centre_3, [2, 1, 0.5])
    assert box.scale == 0.5
    np.testing.assert_array_equal(box.apply([[0, 0, 0], [4, 2, 1.0]]), [[-1, -.5, -.25], [1, .5, .25]])


@pytest.mark.parametrize("points, message", [
    (np.zeros((0, 3)), "P >= 1"), (np.zeros((4, 2)), "P >= 1"), (np.ones((3, 3)), "no extent"),
    (np.array([[0, 0, 0], [np.nan, 1, 1]]), "not finite"), (np.array([[0, 0, 0], [np.inf, 1, 1]]), "not finite")])
def test_fit_box_refuses(points, message):
    with pytest.raises(ValueError, match=message):
        fit_box(points)


@pytest.mark.parametrize("arguments, message", [
    ((np.ones((3, 3)), 1.0, np.zeros(3)), "orthogonal"), ((np.eye(3), 0.0, np.zeros(3)), "scale"),
    ((np.eye(3), np.nan, np.zeros(3)), "scale"), ((np.eye(3), 1.0, np.array([np.nan, 0, 0])), "centre")])
def test_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        Similarity(*arguments)
