"""Poses out of silhouettes: a moved square, a bent elbow; and what is refused."""

import numpy as np
import pytest

from dataset.format import skeleton
from geometry.camera import around, look_at
from geometry.kinematics import matrix_to_rotvec, rotvec_to_matrix
from geometry.raster import rasterize
from geometry.skinning import linear_blend_skinning
from launch.pose_figure import Figure, Pose, Target
from launch.silhouette_fit import FitOptions, fit_pose
from tests.dataset.figures import capsule_man

BONES = skeleton(22)


def mask_of(camera, vertices, faces, size):
    """What the camera sees, hard edged: drawn by the z-buffer, which shares nothing with the soft rasteriser."""
    seen = camera.project(vertices)
    pixels = np.stack([(seen[:, 0] * size + size) / 2, (size - seen[:, 1] * size) / 2, seen[:, 2]], 1)
    return rasterize(pixels, faces, size, size).covered_HW.astype(float)


def figure_of(man):
    return Figure(man.vertices_V3, man.faces_F3, np.float64(man.joints_J3), man.parents, man.skin_VJ)


def fit(man, targets, options, start=None):
    return fit_pose(figure_of(man), targets, options, start)


def test_a_square_moved_by_five_pixels():
    size, camera = 64, look_at((0, 0, 5), (0, 0, 0), up_3=(0, 1, 0), field_of_view=None)
    square = np.float64([[-.4, -.4, 0], [.4, -.4, 0], [.4, .4, 0], [-.4, .4, 0]])
    faces, pixel = np.array([[0, 1, 2], [0, 2, 3]]), 2 / size
    mask = mask_of(camera, square + [5 * pixel, -3 * pixel, 0], faces, size)
    figure = Figure(square, faces, np.zeros((1, 3)), (None,), np.ones((4, 1)))
    found = fit_pose(figure, [Target(camera, mask)], FitOptions(steps=100, free=()))
    np.testing.assert_allclose(found.offset_3[:2] / pixel, [5, -3], atol=.1)
    assert (found.turn_J33 == np.eye(3)).all() and found.iou_N[0] > .97


def test_an_elbow_of_twenty_degrees_from_three_views():
    man, elbow = capsule_man(22), BONES.names.index("l_lower_arm")
    bent = np.zeros((22, 3))
    bent[elbow] = np.radians([0, 12, 16])
    vertices = linear_blend_skinning(man.vertices_V3, man.skin_VJ, figure_of(man).transforms(rotvec_to_matrix(bent), np.zeros(3)))
    assert np.degrees(np.linalg.norm(bent[elbow])) == pytest.approx(20)
    targets = [Target(camera, mask_of(camera, vertices, man.faces_F3, 128)) for camera in around(vertices, 3, elevation=10)]
    found = fit(man, targets, FitOptions(steps=100, free=(elbow,)))
    there, here = (turn_33 @ [1, 0, 0] for turn_33 in (rotvec_to_matrix(bent[elbow]), found.turn_J33[elbow]))    # where the forearm points
    assert np.degrees(np.arccos(np.clip(there @ here, -1, 1))) < 1
    assert (np.delete(found.turn_J33, elbow, axis=0) == np.eye(3)).all()


def test_the_same_bits_again():
    man = capsule_man(22)
    targets = [Target(camera, mask_of(camera, man.vertices_V3 + .1, man.faces_F3, 64)) for camera in around(man.vertices_V3, 2)]
    first, again = (fit(man, targets, FitOptions(steps=3)).turn_J33 for _ in range(2))
    assert (first != np.eye(3)).any() and (first == again).all()


@pytest.mark.parametrize("masks, complaint", [
    ([], "at least one"), ([np.zeros((4, 4))], "silhouette 0 shows nothing"), ([np.ones((4, 4)), np.full((4, 4), 2.)], "silhouette 1"),
    ([np.full((4, 4), np.nan)], "silhouette 0"), ([np.ones((4, 4, 3))], "silhouette 0")])
def test_refusals(masks, complaint):
    man, camera = capsule_man(22), look_at((0, -4, 1), (0, 0, 1))
    with pytest.raises(ValueError, match=complaint):
        fit(man, [Target(camera, mask) for mask in masks], FitOptions(steps=1))


def test_vertices_follow_the_transforms():
    man = capsule_man(22)
    targets = [Target(look_at((0, -4, 1), (0, 0, 1)), np.eye(16))]
    found = fit(man, targets, FitOptions(steps=2))
    assert found.transforms_J34.shape == (22, 3, 4)
    moved = linear_blend_skinning(man.vertices_V3, man.skin_VJ, found.transforms_J34)
    assert np.isfinite(moved).all() and abs(moved - man.vertices_V3).max() > 1e-3


def test_it_goes_on_from_where_it_starts():
    man = capsule_man(22)
    target, turned = Target(look_at((0, -4, 1), (0, 0, 1)), np.eye(16)), np.zeros((22, 3))
    turned[8] = 0, .5, 0
    start = Pose(rotvec_to_matrix(turned), np.array([.1, -.2, .3]))
    found = fit(man, [target], FitOptions(steps=1, lr=1e-6), start)
    np.testing.assert_allclose(matrix_to_rotvec(found.turn_J33), turned, atol=2e-6)
    np.testing.assert_allclose(found.offset_3, start.offset_3, atol=1e-5)
    np.testing.assert_allclose(found.transforms_J34, figure_of(man).transforms(*start), atol=1e-5)
