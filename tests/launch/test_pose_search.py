"""The bank's best poses: one that is in the bank is found, at its place and heading; boxes by hand."""

import numpy as np
import pytest

from dataset.poses import procedural_bank
from geometry.camera import around, look_at
from geometry.kinematics import homogeneous, rotvec_to_matrix
from launch.pose_figure import Figure, Target, silhouette_of, skinned
from launch.pose_search import bank_turns, overlaps, placed, search
from tests.dataset.figures import capsule_man


def man_and_figure():
    man = capsule_man(22)
    return man, Figure(man.vertices_V3, man.faces_F3, np.float64(man.joints_J3), man.parents, man.skin_VJ)


def targets_of(figure, turn_J33, offset_3, cameras=None, rows=64):
    vertices = skinned(np.float64(figure.vertices_V3), figure.skin_VJ, figure.transforms(turn_J33, offset_3))
    return [Target(camera, silhouette_of(vertices, figure.faces_F3, camera, rows, rows).astype(float))
            for camera in cameras or around(figure.vertices_V3, 3, margin=1.4)]


def test_turns_are_the_banks():
    man, figure = man_and_figure()
    bank = procedural_bank()
    turns = bank_turns(figure, bank, most=3)
    assert turns.shape == (3, 22, 3, 3)
    for turn_J33, frame in zip(turns, (0, 511, 1023)):
        basis = bank.basis(frame, man.parents, man.joints_J3, homogeneous(np.tile(np.eye(3), (22, 1, 1)), man.joints_J3))
        np.testing.assert_allclose(turn_J33, basis[:, :3, :3], atol=1e-12)


def test_a_pose_of_the_bank_is_found_where_it_stands():
    _, figure = man_and_figure()
    turns = bank_turns(figure, procedural_bank(), most=40)
    wanted, offset = turns[17].copy(), np.array([.15, -.1, .2])
    wanted[0] = rotvec_to_matrix([0, 0, np.radians(90)]) @ wanted[0]
    best, second = search(figure, targets_of(figure, wanted, offset), turns, 2, (0, 90))
    np.testing.assert_allclose(best.pose.turn_J33, wanted, atol=1e-12)
    np.testing.assert_allclose(best.pose.offset_3, offset, atol=.05)
    assert best.overlap > max(.6, second.overlap)
    joints = [figure.joints(figure.transforms(*start.pose)) for start in (best, second)]
    assert np.linalg.norm(joints[0] - joints[1], axis=1).mean() > .04 * figure.size


def test_a_box_is_brought_onto_the_pictures_box():
    camera = look_at((0, -5, 0), (0, 0, 0), field_of_view=None)
    mask = np.zeros((8, 8), bool)
    mask[:4, 4:] = True       # the upper right quarter: x and z from 0 to 1
    square = np.array([[[x, 0, z] for x in np.linspace(-.5, .5, 9)[:-1] + 1 / 16 for z in np.linspace(-.5, .5, 9)[:-1] + 1 / 16]])
    targets = [Target(camera, mask.astype(float))]
    offset = placed(square, targets, [mask])
    np.testing.assert_allclose(offset, [[.5, 0, .5]], atol=1e-3)
    assert overlaps(square, targets, [mask], False)[1] < .2
    assert overlaps(square + offset[:, None], targets, [mask], False)[1].tolist() == [1]
    frame, overlap = overlaps(square / 3, targets, [mask], True)
    np.testing.assert_allclose(frame, [[[3 * 8 / 7, .5, .5]]], atol=1e-9)     # the points' box is an eighth smaller than the square
    assert overlap > .75


def test_loose_cameras_are_found():
    _, figure = man_and_figure()
    turns = bank_turns(figure, procedural_bank(), most=40)
    true = [look_at((5 * np.sin(a), -5 * np.cos(a), 1), (.1, .1, 1), field_of_view=None, zoom=.8) for a in (0, .8, 1.6)]
    targets = targets_of(figure, turns[17], np.zeros(3), true)
    guessed = [Target(camera._replace(zoom=2.5, eye_3=camera.eye_3 + (0, 0, .4)), mask) for camera, mask in targets]
    best = search(figure, guessed, turns, 1, loose=True)[0]
    assert (best.pose.turn_J33 == turns[17]).all() and best.overlap > .6
    for found, camera in zip(best.cameras, true):
        points = [[0, 0, 0], [0, 0, 1.8], [.5, .5, 1]]
        np.testing.assert_allclose(found.project(points)[:, :2], camera.project(points)[:, :2], atol=.06)


def test_other_skeletons_have_no_bank():
    with pytest.raises(ValueError, match="3 joints"):
        bank_turns(Figure(None, None, np.zeros((3, 3)), (None, 0, 1), None), procedural_bank())
