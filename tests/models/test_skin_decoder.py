"""Bone geometry by hand, tails of bones, and the zero-length bone."""

import jittor as jt
import numpy as np

from models.skin_decoder import bone_geometry, tail_matrix


def of(query, head, tail):
    return [part.numpy()[0] for part in bone_geometry(*(jt.array(np.array(x, "float32")[None]) for x in (query, head, tail)))]


def test_bone_geometry_by_hand():
    joint_d, bone_d, along = of([[1, 1, 0], [3, 0, 0], [-9, 0, 0]], [[0, 0, 0]], [[2, 0, 0]])
    np.testing.assert_allclose(joint_d[:, 0], [2 ** 0.5, 3, 9], atol=1e-3)
    np.testing.assert_allclose(bone_d[:, 0], [1, 1, 9], atol=1e-3)
    np.testing.assert_allclose(along[:, 0], [0.5, 1.5, -1], atol=1e-3)  # the place is cut to [-1, 2]


def test_zero_length_bone_is_a_point():
    joint_d, bone_d, along = of([[3, 4, 0]], [[0, 0, 0]], [[0, 0, 0]])
    np.testing.assert_allclose([joint_d[0, 0], bone_d[0, 0], along[0, 0]], [5, 5, 0], atol=1e-3)


def test_tails_are_children_or_run_on():
    tails = tail_matrix((None, 0, 0, 2))
    assert tails.tolist() == [[0, 0.5, 0.5, 0], [-0.5, 1.5, 0, 0], [0, 0, 0, 1], [0, 0, -0.5, 1.5]]
