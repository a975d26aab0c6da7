"""Poses out of silhouettes: a moved square, a bent elbow; and what is refused."""

import numpy as np
import pytest

from dataset.format import skeleton
from geometry.camera import around, look_at
from geometry.kinematics import forward_kinematics, homogeneous, rotvec_to_matrix
from geometry.raster import rasterize
from geometry.skinning import linear_blend_skinning, skin_transforms
from launch.silhouette_fit import FitOptions, Target, fit_pose
from tests.dataset.figures import capsule_man

BONES = skeleton(22)


def mask_of(camera, vertices, faces, size):
    """What the camera sees, hard edged: drawn by the z-buffer, which shares nothing with the soft rasteriser."""
    seen = camera.project(vertices)
    pixels = np.stack([(seen[:, 0] * size + size) / 2, (size - seen[:, 1] * size) / 2, seen[:, 2]], 1)
    return rasterize(pixels, faces, size, size).covered_HW.astype(float)


def posed(man, rotvec):
    local = homogeneous(np.tile(np.eye(3), (22, 1, 1)), man.joints_J3)
    transforms = skin_transforms(forward_kinematics(man.parents, local, homogeneous(rotvec_to_matrix(rotvec))), local)
    return linear_blend_skinning(man.vertices_V3, man.skin_VJ, transforms), joints_by(transforms, man)


def joints_by(transforms, man):
    return (transforms[:, :3, :3] @ man.joints_J3[..., None])[..., 0] + transforms[:, :3, 3]


def fit(man, targets, options):
    return fit_pose(man.vertices_V3, man.faces_F3, man.joints_J3, man.parents, man.skin_VJ, targets, options)


def test_a_square_moved_by_five_pixels():
    size, camera = 64, look_at((0, 0, 5), (0, 0, 0), up_3=(0, 1, 0), field_of_view=None)
    square = np.float64([[-.4, -.4, 0], [.4, -.4, 0], [.4, .4, 0], [-.4, .4, 0]])
    faces, pixel = np.array([[0, 1, 2], [0, 2, 3]]), 2 / size
    mask = mask_of(camera, square + [5 * pixel, -3 * pixel, 0], faces, size)
    found = fit_pose(square, faces, np.zeros((1, 3)), (None,), np.ones((4, 1)), [Target(camera, mask)], FitOptions(steps=100, free=()))
    np.testing.assert_allclose(found.offset_3[:2] / pixel, [5, -3], atol=.1)
    assert not found.rotvec_J3.any() and found.iou_N[0] > .97


def test_an_elbow_of_twenty_degrees_from_three_views():
    man, elbow = capsule_man(22), BONES.names.index("l_lower_arm")
    bent = np.zeros((22, 3))
    bent[elbow] = np.radians([0, 12, 16])
    vertices, _ = posed(man, bent)
    assert np.degrees(np.linalg.norm(bent[elbow])) == pytest.approx(20)
    targets = [Target(camera, mask_of(camera, vertices, man.faces_F3, 128)) for camera in around(vertices, 3, elevation=10)]
    found = fit(man, targets, FitOptions(steps=100, free=(elbow,)))
    there, here = (rotvec_to_matrix(turn[elbow]) @ [1, 0, 0] for turn in (bent, found.rotvec_J3))    # where the forearm points
    assert np.degrees(np.arccos(np.clip(there @ here, -1, 1))) < 1
    assert not np.delete(found.rotvec_J3, elbow, axis=0).any()


def test_the_same_bits_again():
    man = capsule_man(22)
    targets = [Target(camera, mask_of(camera, man.vertices_V3 + .1, man.faces_F3, 64)) for camera in around(man.vertices_V3, 2)]
    first, again = (fit(man, targets, FitOptions(steps=3)).rotvec_J3 for _ in range(2))
    assert first.any() and (first == again).all()


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
