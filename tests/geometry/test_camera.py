"""Cameras by hand: where points fall, and what stands in their way."""

import numpy as np
import pytest

from geometry.camera import around, look_at


def test_a_view_along_y_by_hand():
    camera = look_at((0, -4, 1), (0, 0, 1), field_of_view=90)           # zoom 1: at z = 4, half the picture's height shows 4
    np.testing.assert_allclose(camera.project([[0, 0, 1], [2, 0, 1], [0, 0, 3], [1, -2, 1]]),
                               [[0, 0, 4], [.5, 0, 4], [0, .5, 4], [.5, 0, 2]], atol=1e-15)


def test_parallel_projection_by_hand():
    camera = look_at((5, 0, 0), (0, 0, 0), field_of_view=None, zoom=2)   # from +x: +y lies to the right
    np.testing.assert_allclose(camera.project([[0, .25, .5], [3, .25, .5]]), [[.5, 1, 5], [.5, 1, 2]], atol=1e-15)


def test_axes_are_a_rotation():
    turn_33 = look_at((1, 2, 3), (-1, 0, 7), up_3=(.1, 1, 0)).rotation_33
    np.testing.assert_allclose(turn_33 @ turn_33.T, np.eye(3), atol=1e-15)
    # right, up, into the picture: a left-handed triple, as pictures with depth are
    assert np.linalg.det(turn_33) == pytest.approx(-1)


def test_cameras_around_see_everything_from_all_sides():
    points = np.random.default_rng(0).normal(size=(50, 3)) * (1, 2, 5) + 7
    cameras = around(points, 4)
    for camera in cameras:
        seen = camera.project(points)
        assert abs(seen[:, :2]).max() < 1 and seen[:, 2].min() > 0
    front, left, back, right = (camera.rotation_33[2] for camera in cameras)
    np.testing.assert_allclose([front, left], [[0, 1, 0], [-1, 0, 0]], atol=1e-15)    # a figure that faces -Y has its left at +X
    np.testing.assert_allclose([back, right], [[0, -1, 0], [1, 0, 0]], atol=1e-15)
    assert around(points, 1, elevation=30)[0].rotation_33[2][2] == pytest.approx(-.5)


@pytest.mark.parametrize("eye, target, up, field, complaint", [
    ((1, 1, 1), (1, 1, 1), (0, 0, 1), 40, "no view"), ((0, 0, 5), (0, 0, 0), (0, 0, 1), 40, "no view"),
    ((5, 0, 0), (0, 0, 0), (0, 0, 1), 180, "field of view"), ((5, 0, 0), (0, 0, 0), (0, 0, 0), 40, "no view")])
def test_refusals(eye, target, up, field, complaint):
    with pytest.raises(ValueError, match=complaint):
        look_at(eye, target, up, field)
