"""What a fit poses, against the room that defines posing; pictures' places and sizes by hand."""

import numpy as np
import pytest

from geometry.camera import look_at
from geometry.kinematics import homogeneous, rotvec_to_matrix
from geometry.skinning import linear_blend_skinning
from launch.pose_figure import Figure, from_pixels, inside, shrunk, skinned, to_pixels
from tests.dataset.figures import capsule_man


def man_and_figure():
    man = capsule_man(22)
    return man, Figure(man.vertices_V3, man.faces_F3, np.float64(man.joints_J3), man.parents, man.skin_VJ)


def test_poses_are_the_assets():
    man, figure = man_and_figure()
    turn_TJ33 = rotvec_to_matrix(np.random.default_rng(0).normal(0, .5, (3, 22, 3)))
    offset_T3 = np.arange(9.).reshape(3, 3)
    transforms = figure.transforms(turn_TJ33, offset_T3)
    for t in range(3):
        posed = man.posed(homogeneous(turn_TJ33[t]))
        np.testing.assert_allclose(skinned(np.float64(man.vertices_V3), man.skin_VJ, transforms)[t], posed.vertices_V3 + offset_T3[t], atol=1e-5)
        np.testing.assert_allclose(figure.joints(transforms)[t], posed.joints_J3 + offset_T3[t], atol=1e-5)
    np.testing.assert_allclose(skinned(np.float64(man.vertices_V3), man.skin_VJ, transforms),
                               linear_blend_skinning(man.vertices_V3, man.skin_VJ, transforms), atol=1e-12)


def test_below():
    below_JJ = Figure(None, None, np.zeros((4, 3)), (None, 0, 1, 0), None).below()
    assert below_JJ.tolist() == [[True] * 4, [False, True, True, False], [False, False, True, False], [False, False, False, True]]


def test_points_lie_on_the_surface_with_its_weights():
    square = np.float64([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
    figure = Figure(square, np.array([[0, 1, 2], [0, 2, 3]]), np.zeros((2, 3)), (None, 0), np.float64([[1, 0], [0, 1], [0, 1], [1, 0]]))
    points_K3, skin_KJ = figure.points(50)
    assert (points_K3[:, 2] == 0).all() and points_K3.min() >= 0 and points_K3.max() <= 1 and np.ptp(points_K3[:, :2]) > .5
    np.testing.assert_allclose(skin_KJ, np.stack([1 - points_K3[:, 0], points_K3[:, 0]], 1), atol=1e-12)     # the second joint's: x
    assert (figure.points(50)[0] == points_K3).all() and (figure.points(50, seed=1)[0] != points_K3).any()


def test_pixels_by_hand_and_back():
    place = to_pixels(np.array([[0., 0], [-1.5, 1], [1.5, -1]]), 4, 6)      # middle, upper left and lower right corner
    assert place.tolist() == [[2.5, 1.5], [-.5, -.5], [5.5, 3.5]]
    np.testing.assert_allclose(from_pixels(place, 4, 6), [[0, 0], [-1.5, 1], [1.5, -1]])
    camera = look_at((0, -5, 0), (0, 0, 0), field_of_view=None)
    assert to_pixels(camera.project([[.25, 0, .75]])[:, :2], 4, 4).tolist() == [[2, 0]]      # centre of the second half's first pixel


@pytest.mark.parametrize("height, want", [(2, [[1, 0], [.25, .5]]), (4, None), (9, None)])
def test_shrunk_pixels_are_means(height, want):
    mask = np.float64([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [1, 0, 0, 1]])
    assert shrunk(mask, height).tolist() == (mask.tolist() if want is None else want)
    third = shrunk(np.float64([[1, 1], [1, 1], [0, 0]]), 2)
    np.testing.assert_allclose(third, [[1], [1 / 3]])


def test_a_thin_figure_stays_on_a_small_picture():
    mask = np.zeros((40, 40))
    mask[:, 3] = 1
    assert inside(mask, 4).tolist() == [[True, False, False, False]] * 4
    assert inside(np.float64([[0.6, 0.4]]), 4).tolist() == [[True, True]] and not inside(np.float64([[1, .4]]), 4)[0, 1]
