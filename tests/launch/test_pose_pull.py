"""Distances that pull: their slopes against differences, the prior by hand, an arm that begins far away."""

import numpy as np
import pytest

from dataset.poses import procedural_bank
from geometry.camera import look_at
from geometry.kinematics import matrix_to_rotvec, rotvec_to_matrix
from geometry.sampling import sample_surface
from launch import pose_pull
from launch.pose_figure import Figure, Pose, Target, reframed, skinned
from launch.pose_pull import PullOptions, picture_of, prior_of, pull
from launch.pose_search import bank_turns
from tests.launch.test_pose_search import man_and_figure, targets_of


def stick() -> Figure:
    """Three joints in a row; each of its points follows one of them, for which `ways` is exact."""
    vertices = np.float64([[x, y, z] for x in range(4) for y, z in ((-.2, 0), (.2, 0), (0, .3))])
    faces = np.array([[3 * k + a, 3 * k + b, 3 * k + c] for k in range(4) for a, b, c in ((0, 1, 2),)])
    return Figure(vertices, faces, np.float64([[0, 0, 0], [1, 0, 0], [2, 0, 0]]), (None, 0, 1), np.eye(3)[np.arange(12) // 3 % 3])


@pytest.mark.parametrize("view", [dict(field_of_view=40.), dict(field_of_view=None, zoom=.3)], ids=["perspective", "parallel"])
def test_slopes_are_those_of_the_loss(view):
    figure, loose = stick(), view["field_of_view"] is None
    cameras = (look_at((1, -8, 1), (1, 0, 0), **view), look_at((8, -2, 3), (1, 0, 0), **view))
    mask = np.zeros((32, 32))
    mask[4:12, 6:20] = 1
    prior = prior_of(rotvec_to_matrix(np.random.default_rng(1).normal(0, .3, (40, 3, 3))))
    options = PullOptions(points=30, pixels=40, loose=loose)
    scan = np.random.default_rng(2).normal(0, 1, (50, 3))
    problem = pose_pull._Problem(figure, [picture_of(Target(c, mask), options) for c in cameras], prior, options, scan)
    at = pose_pull._State(Pose(rotvec_to_matrix([[.3, .1, -.2], [.1, -.4, .2], [0, .3, .5]]), np.array([.1, .2, -.1])), cameras)
    seen, step = problem.look(at, .01), 1e-6
    slope = problem.slopes(at, seen, .01)[1]
    assert len(slope) == (17 if loose else 12) and seen.loss > seen.misses > 0
    for k, move in enumerate(step * np.eye(len(slope))):
        ahead, behind = (problem.look(problem.moved(at, seen, way * move), .01).loss for way in (1, -1))
        assert (ahead - behind) / (4 * step) == pytest.approx(slope[k], rel=1e-3, abs=1e-4), k      # half the loss


def test_the_prior_is_the_banks_and_leaves_the_root_alone():
    rng = np.random.default_rng(0)
    rotvec = rng.normal(0, [[.1], [.5]], (4000, 2, 3)) + [0, .2, 0]
    mean, stiff = prior_of(rotvec_to_matrix(rotvec))
    np.testing.assert_allclose(mean, [0, 0, 0, 0, .2, 0], atol=.03)
    np.testing.assert_allclose(np.diag(stiff)[3:], 1 / (.5 ** 2 + pose_pull.FLOOR ** 2), rtol=.1)
    np.testing.assert_allclose(stiff[:3, :3], np.eye(3) / pose_pull.FREE ** 2, atol=1e-12)
    assert (stiff[:3, 3:] == 0).all()
    one_pose = prior_of(rotvec_to_matrix(rotvec[:1]))
    np.testing.assert_allclose(one_pose.stiff_DD[3:, 3:], np.eye(3) / pose_pull.FLOOR ** 2, atol=1e-9)


def test_an_arm_that_begins_far_away_arrives():
    _, figure = man_and_figure()
    turned = np.zeros((22, 3))
    turned[7] = np.radians([0, 80, 0])      # the left arm hangs down; it begins stretched out, where nothing overlaps
    turned[8] = np.radians([0, 0, -50])
    targets = targets_of(figure, rotvec_to_matrix(turned), np.array([.05, 0, .02]), rows=96)
    prior, options = prior_of(bank_turns(figure, procedural_bank(), most=200)), PullOptions(steps=15, points=400, pixels=300)
    found = pull(figure, [picture_of(target, options) for target in targets], [t.camera for t in targets], figure.rest, prior, options)
    wanted, start, now = (figure.joints(figure.transforms(turn, offset)) for turn, offset in (
        (rotvec_to_matrix(turned), np.array([.05, 0, .02])), figure.rest, found.pose))
    before, after = (np.linalg.norm(joints - wanted, axis=1) for joints in (start, now))
    assert before[9] > .55 and after[9] < .1 and after.max() < .1     # metres; a pixel is .03
    assert (found.pose.turn_J33 == pull(figure, [picture_of(target, options) for target in targets], [t.camera for t in targets],
                                        figure.rest, prior, options).pose.turn_J33).all()


def test_a_scan_pulls_too():
    _, figure = man_and_figure()
    turned = np.zeros((22, 3))
    turned[[7, 15]] = np.radians([[0, 30, -30], [30, 0, 0]])
    posed = skinned(np.float64(figure.vertices_V3), figure.skin_VJ, figure.transforms(rotvec_to_matrix(turned), np.zeros(3)))
    face, bary = sample_surface(posed, figure.faces_F3, 5000, np.random.default_rng(0))
    scan = np.einsum("kc,kcx->kx", bary, posed[figure.faces_F3[face]])
    options = PullOptions(steps=15, points=400, pixels=300)
    found = pull(figure, [], [], figure.rest, prior_of(bank_turns(figure, procedural_bank(), most=200)), options, scan)
    now, wanted = (figure.joints(figure.transforms(*pose)) for pose in (found.pose, (rotvec_to_matrix(turned), np.zeros(3))))
    off = np.linalg.norm(now - wanted, axis=1)
    assert off.mean() < .03 and off.max() < .06 and found.cameras == ()


def test_loose_cameras_come_to_the_true_ones():
    _, figure = man_and_figure()
    true = [look_at((5 * np.sin(a), -5 * np.cos(a), 1), (0, 0, .9), field_of_view=None, zoom=.8) for a in (0, .8, 1.6)]
    targets = targets_of(figure, figure.rest.turn_J33, np.zeros(3), true)
    wrong = [reframed(camera, 1.15, (.04 * k, -.05)) for k, camera in enumerate(true)]
    prior, options = prior_of(bank_turns(figure, procedural_bank(), most=200)), PullOptions(steps=15, points=400, pixels=300, loose=True)
    found = pull(figure, [picture_of(target, options) for target in targets], wrong, figure.rest, prior, options)
    assert abs(found.cameras[0].zoom - .8) < .035      # begun .12 off
    joints = figure.joints(figure.transforms(*found.pose))
    for got, camera in zip(found.cameras, true):
        assert abs(got.project(joints)[:, :2] - camera.project(figure.joints_J3)[:, :2]).mean() < .03


def test_a_rotation_vector_follows_small_turns():
    for rotvec in ([.4, -1.2, .3], [1e-5, 0, 2e-5], [2.9, .3, .2]):
        for small in 1e-6 * np.eye(3):
            moved = matrix_to_rotvec(rotvec_to_matrix(small) @ rotvec_to_matrix(rotvec)) - rotvec
            np.testing.assert_allclose(moved, pose_pull._inverse_slope(np.array(rotvec)) @ small, atol=2e-11)
