"""Rotations against scipy, forward kinematics against recursion by hand, retargeting against what the eye would see."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from geometry.kinematics import (forward_kinematics, global_rotations_to_basis, homogeneous, matrix_to_quaternion, matrix_to_rotvec,
                                 quaternion_to_matrix, rest_alignment, retarget, rotation_between, rotation_uniform, rotvec_to_matrix)

RNG = np.random.default_rng(0)


def test_quarter_turn_by_hand():
    np.testing.assert_allclose(rotvec_to_matrix([0, 0, np.pi / 2]), [[0, -1, 0], [1, 0, 0], [0, 0, 1]], atol=1e-15)
    np.testing.assert_allclose(quaternion_to_matrix([0, 0, 1, 1]), [[0, -1, 0], [1, 0, 0], [0, 0, 1]], atol=1e-15)


@pytest.mark.parametrize("size", [0, 1e-300, 1e-9, 1e-4, 1.0, np.pi - 1e-7, np.pi])
def test_rotations_agree_with_scipy(size):
    axis = RNG.normal(size=(4, 5, 3))
    rotvec = size * axis / np.linalg.norm(axis, axis=-1, keepdims=True)
    want = Rotation.from_rotvec(rotvec.reshape(-1, 3)).as_matrix().reshape(4, 5, 3, 3)
    matrix = rotvec_to_matrix(rotvec)
    np.testing.assert_allclose(matrix, want, atol=1e-14)
    np.testing.assert_allclose(rotvec_to_matrix(matrix_to_rotvec(matrix)), want, atol=1e-9)
    if size < 3:
        np.testing.assert_allclose(matrix_to_rotvec(matrix), rotvec, atol=1e-12)
    np.testing.assert_allclose(quaternion_to_matrix(matrix_to_quaternion(matrix)), want, atol=1e-14)


def test_zero_quaternion():
    with pytest.raises(ValueError, match="length zero"):
        quaternion_to_matrix(np.zeros((2, 4)))


@pytest.mark.parametrize("angle", [0, 1e-12, 1e-6, 1.0, np.pi - 1e-6, np.pi - 1e-9, np.pi - 1e-13, np.pi])
def test_rotation_between(angle):
    a = RNG.normal(size=(6, 3))
    axis = np.cross(a, RNG.normal(size=(6, 3)))
    axis /= np.linalg.norm(axis, axis=1, keepdims=True)
    b = 3.0 * (rotvec_to_matrix(angle * axis) @ a[:, :, None])[..., 0]
    turn = rotation_between(a, b)
    np.testing.assert_allclose(turn @ np.swapaxes(turn, 1, 2), np.tile(np.eye(3), (6, 1, 1)), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(turn), 1, atol=1e-12)
    np.testing.assert_allclose((turn @ a[:, :, None])[..., 0] * 3, b, atol=1e-7)
    # the shortest: it turns by the angle between them and no more
    np.testing.assert_allclose(np.linalg.norm(matrix_to_rotvec(turn), axis=1), angle, atol=1e-7)


def test_rotation_between_exact_axes():
    for axis in np.eye(3):
        np.testing.assert_array_equal(rotation_between(axis, axis), np.eye(3))
        np.testing.assert_allclose(rotation_between(axis, -axis) @ axis, -axis, atol=1e-15)


@pytest.mark.parametrize("bad", [np.zeros(3), np.array([np.nan, 0, 0])])
def test_rotation_between_refuses(bad):
    with pytest.raises(ValueError, match="direction"):
        rotation_between(bad, np.ones(3))


def test_rotation_uniform_is_uniform():
    rng = np.random.default_rng(1)
    turns = np.stack([rotation_uniform(rng) for _ in range(4000)])
    np.testing.assert_allclose(turns.mean(0), 0, atol=0.05)
    # angle density (1 - cos a) / pi: the share below pi/2 is 1/2 - 1/pi = .1817
    angle = np.linalg.norm(matrix_to_rotvec(turns), axis=1)
    assert abs((angle < np.pi / 2).mean() - 0.1817) < 5 * 0.0061


PARENTS = (None, 0, 1, 1)
JOINTS = np.array([[0, 0, 0], [1, 0, 0], [2, 0, 0], [1, 1, 0]], float)


def test_forward_kinematics_by_hand():
    local = homogeneous(np.tile(np.eye(3), (4, 1, 1)), JOINTS)
    basis = np.tile(np.eye(4), (4, 1, 1))
    basis[1] = homogeneous(rotvec_to_matrix([0, 0, np.pi / 2]))
    pose = forward_kinematics(PARENTS, local, basis)
    # joint 1 turns by a quarter: (2, 0) swings up to (1, 1), and (1, 1) to (0, 0)
    np.testing.assert_allclose(pose[:, :3, 3], [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 0, 0]], atol=1e-15)


def test_forward_kinematics_batch_and_rest():
    local = homogeneous(np.stack([rotation_uniform(RNG) for _ in range(4)]), JOINTS)
    np.testing.assert_allclose(forward_kinematics(PARENTS, local, np.tile(np.eye(4), (4, 1, 1))), local, atol=1e-12)
    basis = homogeneous(rotvec_to_matrix(RNG.normal(size=(2, 3, 4, 3))))
    pose = forward_kinematics(PARENTS, local, basis)
    assert pose.shape == (2, 3, 4, 4, 4)
    for i in range(2):
        for k in range(3):
            np.testing.assert_allclose(pose[i, k], forward_kinematics(PARENTS, local, basis[i, k]), atol=1e-12)


def test_forward_kinematics_refuses():
    eye = np.tile(np.eye(4), (4, 1, 1))
    with pytest.raises(ValueError, match="parents must come before"):
        forward_kinematics((None, 2, 0, 0), eye, eye)
    with pytest.raises(ValueError, match="do not fit"):
        forward_kinematics((None, 0), eye, eye)


def test_global_rotations_are_reached_whatever_the_bone_axes():
    local = homogeneous(np.stack([rotation_uniform(RNG) for _ in range(4)]), JOINTS)
    wanted = rotvec_to_matrix(RNG.normal(size=(5, 4, 3)))
    pose = forward_kinematics(PARENTS, local, global_rotations_to_basis(PARENTS, wanted, local))
    got = pose[..., :3, :3] @ np.swapaxes(local[:, :3, :3], 1, 2)
    np.testing.assert_allclose(got, wanted, atol=1e-12)


def test_retarget_points_the_bone_where_the_t_pose_frame_says():
    # an A-posed bone 1 -> 2 (45 degrees down) and a frame that lifts the T pose's arm straight up
    joints = np.array([[0, 0, 0], [1, 0, 0], [2, -1, 0], [0, 1, 0]], float)
    local = homogeneous(np.stack([rotation_uniform(RNG) for _ in range(4)]), joints)
    aims = {1: (1, 2, (1, 0, 0))}
    frame = np.tile(np.eye(3), (2, 4, 1, 1))
    frame[1, 1] = rotvec_to_matrix([0, 0, np.pi / 2])
    pose = forward_kinematics(PARENTS, local, retarget(PARENTS, frame, joints, local, aims))
    bone = pose[:, 2, :3, 3] - pose[:, 1, :3, 3]
    np.testing.assert_allclose(bone, [[np.sqrt(2), 0, 0], [0, np.sqrt(2), 0]], atol=1e-12)


def test_alignment_of_a_bone_without_length():
    np.testing.assert_array_equal(rest_alignment(np.zeros((2, 3)), {0: (0, 1, (1, 0, 0))}), np.tile(np.eye(3), (2, 1, 1)))
