"""Bones and joints as shapes: where they are, how large, and which way they face."""

import numpy as np
import pytest

from dataset.format import skeleton
from pictures.skeleton import BONE, CENTRE, DOT, FINGER, LEFT, RIGHT, ball, side_colours, solids_of
from tests.dataset.figures import figure_joints


def test_a_ball_is_closed_round_and_faces_outwards():
    points, faces = ball()
    assert faces.shape == (128, 3) and len(np.unique(points.round(9), axis=0)) == 66     # 66 - 192 + 128 = 2
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 1)


def test_colours_by_side():
    names, colours = skeleton(52).names, side_colours(52) * 255
    for name, want in (("l_hand", LEFT), ("r_hand", RIGHT), ("hips", CENTRE)):
        np.testing.assert_allclose(colours[names.index(name)], want)
    assert (side_colours(7) * 255 == CENTRE).all() and side_colours(0).shape == (0, 3)


def test_one_bone_by_hand():
    solids = solids_of(np.float64([[0, 0, 0], [0, 0, 7]]), (None, 0), 100.0)
    bone = solids.points_P3[2 * 384:].reshape(8, 3, 3)
    assert bone[..., 2].min() == 0 and bone[..., 2].max() == 7
    waist = bone[bone[..., 2] == 1]
    np.testing.assert_allclose(np.linalg.norm(waist[:, :2], axis=1), .14 * 7)      # thin enough for its length
    normals = solids.normals_P3[2 * 384:].reshape(8, 3, 3)[:, 0]
    outward = bone.mean(1) - [0, 0, 1.75]
    assert ((normals * outward).sum(1) > 0).all()
    np.testing.assert_allclose(np.linalg.norm(solids.points_P3[:384], axis=1), DOT * 100)


def test_fingers_are_smaller_and_long_bones_no_thicker_than_they_may():
    joints, bones = figure_joints(52), skeleton(52)
    solids = solids_of(joints, bones.parents, 1.7)
    balls = solids.points_P3[:52 * 384].reshape(52, 384, 3)
    radius = np.linalg.norm(balls - joints[:, None], axis=2).max(1)
    np.testing.assert_allclose(radius, 1.7 * DOT * np.where(np.arange(52) < 22, 1, FINGER))
    thigh = solids.points_P3[52 * 384:].reshape(51, 24, 3)[bones.names.index("l_lower_leg") - 1]
    assert np.ptp(thigh[:, 0]) == pytest.approx(2 * BONE * 1.7)
    assert solids.faces_F3.max() == len(solids.points_P3) - 1 and len(np.unique(solids.faces_F3)) == len(solids.points_P3)


def test_joints_at_one_place_and_no_bones():
    solids = solids_of(np.zeros((3, 3)), (None, 0, 1), 1.0)
    assert np.isfinite(solids.points_P3).all() and np.isfinite(solids.normals_P3).all()
    assert len(solids_of(np.zeros((1, 3)), (None,), 1.0).faces_F3) == 128
