"""Metrics against numbers by hand, the published points, and the swap that j2j cannot see."""

import math

import numpy as np
import pytest

from dataset.format import skeleton
from models.metrics import (board_score, finger_error, j2j, joint_errors, mean_skeleton, ordered_error, posed_vertices, probe_frames,
                            skin_l1, skin_l1_summed, swap_rate, to_centimetres, vertex_loss, vertex_normalisation_loss)


def figure(rng, joints=22):
    """Joints whose mirrored partners lie at (-x, y, z), with some spread off the mirror plane."""
    mirror = np.array(skeleton(joints).mirror)
    joints_J3 = rng.uniform(-0.9, 0.9, size=(joints, 3))
    joints_J3[:, 0] = np.abs(joints_J3[:, 0]) + 0.05
    paired = mirror != np.arange(joints)
    right = paired & (mirror < np.arange(joints))
    joints_J3[right] = joints_J3[mirror[right]] * [-1, 1, 1]
    joints_J3[~paired, 0] = 0
    return joints_J3, mirror


def rig(rng, vertices=60, joints=22):
    joints_J3, _ = figure(rng, joints)
    skin_VJ = rng.dirichlet(np.full(joints, 0.1), size=vertices)
    return rng.uniform(-1, 1, size=(vertices, 3)), joints_J3, skin_VJ


def test_j2j_by_hand():
    # from a: 0 and 0.5 -> 0.25; from b: 0, 0.5, 1.5 -> 2/3; their mean, then / 2
    pred, true = [[0, 0, 0], [1, 0, 0]], [[0, 0, 0], [1, 0.5, 0], [1, 1.5, 0]]
    assert j2j(pred, true) == pytest.approx((0.25 + 2 / 3) / 2 / 2)
    assert j2j(true, pred) == pytest.approx(j2j(pred, true))


def test_ordered_error_by_hand():
    pred, true = np.array([[0, 0, 0], [1, 0, 0.0]]), np.array([[0, 3, 4], [1, 0, 1.0]])
    np.testing.assert_allclose(joint_errors(pred, true), [5, 1])
    assert ordered_error(pred, true) == 3
    assert to_centimetres(0.02, 2.0) == pytest.approx(1.7) and to_centimetres(0.02, 1.0) == pytest.approx(3.4)


@pytest.mark.parametrize("joints", [22, 52])
def test_a_swap_is_invisible_to_j2j_only(joints):
    joints_J3, mirror = figure(np.random.default_rng(0), joints)
    swapped_J3 = joints_J3[mirror]
    assert j2j(swapped_J3, joints_J3) == 0
    assert swap_rate(swapped_J3, joints_J3) == 1 and swap_rate(joints_J3, joints_J3) == 0
    assert ordered_error(swapped_J3, joints_J3) > 0.1
    half_J3 = joints_J3.copy()
    half_J3[[14, 18]] = joints_J3[[18, 14]]  # the upper legs alone
    assert swap_rate(half_J3, joints_J3) == pytest.approx(2 / (mirror != np.arange(joints)).sum())


def test_a_tie_is_no_swap():
    joints_J3, _ = figure(np.random.default_rng(1))
    flat_J3 = joints_J3 * [0, 1, 1]  # everything on the mirror plane, as near to both
    assert swap_rate(flat_J3, joints_J3) == 0


def test_skin_l1_by_hand_both_kinds():
    pred, true = [[1, 0], [0.25, 0.75]], [[0, 1], [0.5, 0.5]]
    assert skin_l1(pred, true) == pytest.approx((1 + 1 + 0.25 + 0.25) / 4)
    assert skin_l1_summed(pred, true) == pytest.approx((2 + 0.5) / 2)


@pytest.mark.parametrize("skin, vertex, j, joints, published", [
    (.0242, .0906, 1.0, 22, 60.80), (.0218, .0909, 1.0, 22, 63.15), (.0223, .0957, 1.0, 22, 62.25), (.0046, .0498, .0264, 52, 51.88)])
def test_published_points_within_the_rounding_of_their_inputs(skin, vertex, j, joints, published):
    half = 0.5e-4
    worst = board_score(skin + half, vertex + half, j + half, joints)
    best = board_score(skin - half, vertex - half, j - half, joints)
    assert worst - 0.005 <= published <= best + 0.005 and best - worst < 0.3


def test_board_score_by_hand():
    assert board_score(0, 0, 1, 22) == 100 and board_score(0.05, 1, 1, 22) == 0 and board_score(7, 9, 1, 22) == 0
    assert board_score(0.025, 0.25, 0.04, 52) == pytest.approx(50 * (0.25 + 0.25))
    assert board_score(0, 0, 0, 52) == math.inf


def test_one_bent_elbow_by_hand():
    # a quarter turn about Z at the left lower arm, its vertex 0.5 farther out along +X
    joints_J3 = np.zeros((22, 3))
    joints_J3[8:10] = [[0.5, 0, 0], [0.9, 0, 0]]
    skin_VJ = np.zeros((2, 22))
    skin_VJ[0, 8] = skin_VJ[1, 0] = 1
    vertices_V3 = np.array([[1.0, 0, 0], [0, 0, -1]])
    basis_J44 = np.tile(np.eye(4), (22, 1, 1))
    basis_J44[8, :2, :2] = [[0, -1], [1, 0]]
    np.testing.assert_allclose(posed_vertices(vertices_V3, joints_J3, skin_VJ, basis_J44), [[0.5, 0.5, 0], [0, 0, -1]], atol=1e-12)
    off_J3 = joints_J3 + np.eye(22)[8][:, None] * [0.1, 0, 0]  # predicted 0.1 too far out: vertex at (0.6, 0.4, 0)
    pred, true = (off_J3, skin_VJ), (joints_J3, skin_VJ)
    assert vertex_loss(vertices_V3, pred, true, basis_J44[None]) == pytest.approx(math.hypot(0.1, 0.1) / 2)
    rest_and_bent = np.stack([np.tile(np.eye(4), (22, 1, 1)), basis_J44])
    assert vertex_loss(vertices_V3, pred, true, rest_and_bent) == pytest.approx(math.hypot(0.1, 0.1) / 4)
    # joint 8: (0.01 + 0.01) / 3, hips: 0, the other joints move nothing
    assert vertex_normalisation_loss(vertices_V3, pred, true, basis_J44[None]) == pytest.approx(0.02 / 3 / 2)


def test_vertex_loss_laws():
    rng = np.random.default_rng(2)
    vertices_V3, joints_J3, skin_VJ = rig(rng)
    frames = probe_frames(22, 3, np.random.default_rng(5))
    true = (joints_J3, skin_VJ)
    assert vertex_loss(vertices_V3, true, true, frames) == 0 == vertex_normalisation_loss(vertices_V3, true, true, frames)
    other = (joints_J3 + rng.normal(size=(22, 3)) * 0.02, rig(rng)[2])
    assert vertex_loss(vertices_V3, other, true, frames) == pytest.approx(vertex_loss(vertices_V3, true, other, frames))
    rest = np.tile(np.eye(4), (2, 22, 1, 1))
    assert vertex_loss(vertices_V3, other, true, rest) < 1e-12  # at rest no rig moves anything
    moved = vertex_loss(vertices_V3 + 0.3, (other[0] + 0.3, other[1]), (joints_J3 + 0.3, skin_VJ), frames)
    assert moved == pytest.approx(vertex_loss(vertices_V3, other, true, frames))


def test_probe_frames_are_rotations_within_their_limits():
    frames = probe_frames(52, 4, np.random.default_rng(0), degrees=30)
    assert frames.shape == (4, 52, 4, 4) and (frames == probe_frames(52, 4, np.random.default_rng(0))).all()
    turn = frames[..., :3, :3]
    np.testing.assert_allclose(turn @ np.swapaxes(turn, -1, -2), np.broadcast_to(np.eye(3), turn.shape), atol=1e-12)
    np.testing.assert_allclose(frames[..., :3, 3], 0)
    angle = np.degrees(np.arccos((np.trace(turn, axis1=-2, axis2=-1) - 1) / 2))
    assert 30 < angle.max() <= 30 * math.sqrt(3) + 1e-9


def test_mean_skeleton_by_hand():
    np.testing.assert_allclose(mean_skeleton([[[0, 0, 0]], [[1, 2, 4]]]), [[0.5, 1, 2]])


@pytest.mark.parametrize("call, message", [
    (lambda: j2j(np.zeros((3, 2)), np.zeros((3, 3))), r"expected joints \(J, 3\), got \(3, 2\)"),
    (lambda: j2j(np.zeros((0, 3)), np.zeros((3, 3))), r"expected joints"),
    (lambda: j2j(np.full((3, 3), np.nan), np.zeros((3, 3))), "NaN"),
    (lambda: ordered_error(np.zeros((3, 3)), np.zeros((4, 3))), r"predicted \(3, 3\), true \(4, 3\)"),
    (lambda: swap_rate(np.zeros((3, 3)), np.zeros((3, 3))), "3 joints: the contest"),
    (lambda: swap_rate(np.zeros((22, 3)), np.zeros((52, 3))), "joints: predicted"),
    (lambda: skin_l1(np.zeros((3, 22)), np.zeros((3, 52))), r"skin: predicted \(3, 22\)"),
    (lambda: to_centimetres(0.1, 0.0), "height must be positive"),
    (lambda: board_score(0.1, 0.1, 0.1, 30), "30 joints: board A has 22"),
    (lambda: board_score(math.nan, 0.1, 0.1, 22), "must be >= 0"),
    (lambda: board_score(0.1, 0.1, math.nan, 52), "must be >= 0"),
    (lambda: board_score(0.1, -0.1, 0.1, 22), "must be >= 0"),
    (lambda: mean_skeleton(np.zeros((22, 3))), r"expected joints \(A, J, 3\)"),
    (lambda: vertex_normalisation_loss(np.zeros((2, 3)), (np.zeros((22, 3)), np.zeros((2, 22))),
                                       (np.zeros((22, 3)), np.zeros((2, 22))), np.zeros((1, 22, 4, 4))), "no weight above"),
])
def test_refuses(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_swap_rate_of_some_joints():
    joints_J3, mirror = figure(np.random.default_rng(0))
    half_J3 = joints_J3.copy()
    half_J3[[14, 18]] = joints_J3[[18, 14]]
    assert swap_rate(half_J3, joints_J3, np.isin(np.arange(22), (14, 15))) == .5      # one of the two legs' joints that are asked
    assert swap_rate(half_J3, joints_J3, np.isin(np.arange(22), (0, 15, 19))) == 0
    assert math.isnan(swap_rate(half_J3, joints_J3, np.isin(np.arange(22), (0, 1))))  # the trunk has no partners


def test_finger_error_by_hand():
    true_J3 = np.zeros((52, 3))
    pred_J3 = np.concatenate([np.full((22, 3), 9.0), np.tile([3.0, 0, 4.0], (10, 1)), np.zeros((20, 3))])
    assert finger_error(pred_J3, true_J3) == pytest.approx(5 / 3)                       # 10 of 30 are 5 off
    assert finger_error(pred_J3, true_J3, np.arange(52) < 27) == 5
    assert math.isnan(finger_error(pred_J3[:22], true_J3[:22])) and math.isnan(finger_error(pred_J3, true_J3, np.arange(52) < 22))
