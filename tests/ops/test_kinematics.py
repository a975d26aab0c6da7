"""Rotations and forward kinematics with gradients, against their plain twins, by hand and by central differences."""

import jittor as jt
import numpy as np
import pytest

from dataset.format import skeleton
from geometry import kinematics
from geometry.kinematics import homogeneous
from geometry.skinning import skin_transforms
from ops.kinematics import forward_kinematics, rotvec_to_matrix

PARENTS = skeleton(22).parents


def var(x):
    return jt.array(np.asarray(x, "float64"), dtype="float64")


def moved(joints_J3, rotvec_BJ3):
    return forward_kinematics(PARENTS, var(joints_J3), rotvec_to_matrix(rotvec_BJ3))


def test_a_quarter_turn_by_hand():
    turn = rotvec_to_matrix(var([[[0, 0, np.pi / 2], [0, 0, 0]]])).numpy()[0]
    np.testing.assert_allclose(turn[0], [[0, -1, 0], [1, 0, 0], [0, 0, 1]], atol=1e-12)
    np.testing.assert_allclose(turn[1], np.eye(3), atol=1e-12)


def test_a_bent_arm_by_hand():
    # joints at 0 and (1, 0, 0); the second turns by 90 degrees about z, then the first as well: (2, 0, 0) -> (1, 1, 0) -> (-1, 1, 0)
    turn = rotvec_to_matrix(var([[[0, 0, np.pi / 2], [0, 0, np.pi / 2]]]))
    transforms = forward_kinematics((None, 0), var([[0, 0, 0], [1, 0, 0]]), turn).numpy()[0]
    np.testing.assert_allclose(transforms[1] @ [2, 0, 0, 1], [-1, 1, 0], atol=1e-12)
    np.testing.assert_allclose(transforms[0] @ [1, 0, 0, 1], [0, 1, 0], atol=1e-12)


def test_agrees_with_the_plain_twins():
    rng = np.random.default_rng(0)
    joints, rotvec = rng.normal(size=(22, 3)), rng.normal(size=(3, 22, 3))
    local = homogeneous(np.tile(np.eye(3), (22, 1, 1)), joints)
    basis = homogeneous(kinematics.rotvec_to_matrix(rotvec))
    want = skin_transforms(kinematics.forward_kinematics(PARENTS, local, basis), local)
    np.testing.assert_allclose(moved(joints, var(rotvec)).numpy(), want[:, :, :3], atol=1e-10)


def test_slopes_of_a_pose():
    rng = np.random.default_rng(1)
    joints, rotvec, weight = rng.normal(size=(22, 3)), rng.normal(size=(1, 22, 3)), rng.normal(size=(1, 22, 3, 4))
    rotvec[0, 3] = 0    # where the angle's own slope is not defined
    given = var(rotvec)
    slope = jt.grad((moved(joints, given) * var(weight)).sum(), given).numpy()
    for at in [(0, 0, 0), (0, 3, 1), (0, 3, 2), (0, 9, 0), (0, 21, 2)]:
        step = np.zeros(rotvec.shape)
        step[at] = 1e-6
        sides = [(moved(joints, var(rotvec + sign * step)).numpy() * weight).sum() for sign in (1, -1)]
        assert slope[at] == pytest.approx((sides[0] - sides[1]) / 2e-6, rel=1e-6, abs=1e-6)


def test_refusals():
    with pytest.raises(ValueError, match="parent"):
        forward_kinematics((1, None), var(np.zeros((2, 3))), var(np.tile(np.eye(3), (1, 2, 1, 1))))
    with pytest.raises(ValueError, match="joints"):
        forward_kinematics((None, 0), var(np.zeros((3, 3))), var(np.tile(np.eye(3), (1, 2, 1, 1))))
