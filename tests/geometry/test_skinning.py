"""Linear blend skinning by hand, against a plain loop, and what normals owe to the surface they stand on."""

import numpy as np
import pytest

from geometry.kinematics import homogeneous, rotation_uniform, rotvec_to_matrix
from geometry.normals import vertex_normals
from geometry.skinning import cofactor, linear_blend_skinning, skin_normals, skin_transforms

RNG = np.random.default_rng(0)


def random_rig(vertices=9, joints=4, frames=()):
    skin = RNG.random((vertices, joints))
    turn = rotvec_to_matrix(RNG.normal(size=(*frames, joints, 3)))
    return RNG.normal(size=(vertices, 3)), skin / skin.sum(1, keepdims=True), homogeneous(turn, RNG.normal(size=(*frames, joints, 3)))


def test_by_hand():
    move = np.tile(np.eye(4), (2, 1, 1))
    move[1, :3, 3] = [4, 0, 0]
    got = linear_blend_skinning(np.zeros((3, 3)), np.array([[1, 0], [.5, .5], [.25, .75]]), move)
    np.testing.assert_array_equal(got, [[0, 0, 0], [2, 0, 0], [3, 0, 0]])


def test_agrees_with_a_loop_for_any_batch():
    vertices, skin, moves = random_rig(frames=(2, 3))
    got = linear_blend_skinning(vertices, skin, moves)
    assert got.shape == (2, 3, 9, 3)
    for i in range(2):
        for k in range(3):
            for v in range(9):
                want = sum(skin[v, j] * (moves[i, k, j] @ [*vertices[v], 1])[:3] for j in range(4))
                np.testing.assert_allclose(got[i, k, v], want, atol=1e-12)
    np.testing.assert_allclose(linear_blend_skinning(vertices, skin, moves[..., :3, :]), got)


def test_rest_pose_moves_nothing():
    vertices, skin, local = random_rig()
    np.testing.assert_allclose(linear_blend_skinning(vertices, skin, skin_transforms(local, local)), vertices, atol=1e-12)


def test_no_motion_returns_the_same_numbers():
    vertices, halves = RNG.normal(size=(6, 3)), np.tile([0.5, 0.25, 0, 0.25], (6, 1))     # weights whose sum is 1 in binary
    np.testing.assert_array_equal(linear_blend_skinning(vertices, halves, np.tile(np.eye(4), (4, 1, 1))), vertices)


def test_rigid_motion_of_all_joints_is_that_motion():
    vertices, skin, _ = random_rig()
    turn, shift = rotation_uniform(RNG), RNG.normal(size=3)
    moves = np.tile(homogeneous(turn, shift), (4, 1, 1))
    np.testing.assert_allclose(linear_blend_skinning(vertices, skin, moves), vertices @ turn.T + shift, atol=1e-12)
    np.testing.assert_allclose(skin_normals(vertices / np.linalg.norm(vertices, axis=1)[:, None], skin, moves),
                               vertices @ turn.T / np.linalg.norm(vertices, axis=1)[:, None], atol=1e-12)


def test_cofactor():
    matrix = RNG.normal(size=(5, 3, 3))
    np.testing.assert_allclose(cofactor(matrix), np.linalg.det(matrix)[:, None, None] * np.swapaxes(np.linalg.inv(matrix), 1, 2),
                               atol=1e-10)
    np.testing.assert_array_equal(cofactor(np.diag([2.0, 3.0, 0.0])), np.diag([0.0, 0.0, 6.0]))


def test_normals_stay_on_a_squeezed_surface():
    # one blend for the whole mesh: half of a 120 degree turn squeezes it, and the true normals can be recomputed
    vertices, faces = RNG.normal(size=(4, 3)), np.array([[0, 1, 2], [0, 2, 3], [0, 3, 1], [1, 3, 2]])
    skin = np.full((4, 2), .5)
    moves = homogeneous(np.stack([np.eye(3), rotvec_to_matrix([0, 0, 2 * np.pi / 3])]))
    posed = linear_blend_skinning(vertices, skin, moves)
    for f, face in enumerate(faces):
        one = face[None]
        want, got = vertex_normals(posed, one)[face[0]], skin_normals(vertex_normals(vertices, one), skin, moves)[face[0]]
        np.testing.assert_allclose(got, want, atol=1e-12)


def test_collapsed_blend_keeps_the_rest_normal():
    moves = homogeneous(np.stack([np.eye(3), -np.eye(3)]))
    np.testing.assert_array_equal(skin_normals(np.array([[0, 0, 1.0]]), np.array([[.5, .5]]), moves), [[0, 0, 1]])


@pytest.mark.parametrize("vertices, skin, moves", [
    (np.zeros((3, 3)), np.ones((3, 2)), np.zeros((4, 4, 4))), (np.zeros((2, 3)), np.ones((3, 2)), np.zeros((2, 4, 4))),
    (np.zeros((3, 3)), np.ones((3, 2)), np.zeros((2, 3, 3)))])
def test_refuses(vertices, skin, moves):
    with pytest.raises(ValueError, match="fit"):
        linear_blend_skinning(vertices, skin, moves)
