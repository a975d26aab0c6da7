"""Where things come to lie on paper, and what lies over what."""

import numpy as np
import pytest
from PIL import Image

from geometry.camera import look_at
from pictures.paper import SHADOW, Frame, camera_round, darkened, extent, layer, shadow, through
from pictures.skeleton import ball
from pictures.sky import CELLS, Sky

FRONT = Frame(look_at((0, -10, 0), (0, 0, 0)), np.zeros(2), 100.0, 80, 60)


def test_places_by_hand():
    zoom = 1 / np.tan(np.radians(20))
    placed = FRONT.place(np.float64([[0, 0, 0], [1, 0, 0], [0, 0, 1], [0, -5, 1]]))
    np.testing.assert_allclose(placed, [[40, 30, 10], [40 + 10 * zoom, 30, 10], [40, 30 - 10 * zoom, 10], [40, 30 - 20 * zoom, 5]])
    moved = FRONT._replace(centre_2=np.array([.1, .2]))
    np.testing.assert_allclose(moved.place(np.zeros((1, 3))), [[30, 50, 10]])


def test_the_matrix_says_the_same_as_place():
    frame = Frame(camera_round(np.float64([[-1, -1, 0], [1, 1, 3]]), 40), np.array([.1, -.3]), 230.0, 300, 400)
    points = np.random.default_rng(0).uniform(-1, 1, (9, 3))
    placed = np.concatenate([points, np.ones((9, 1))], 1) @ frame.matrix().T
    np.testing.assert_allclose(np.concatenate([placed[:, :2] / placed[:, 2:], placed[:, 2:]], 1), frame.place(points))


@pytest.mark.parametrize("degrees", [0, 90, 200])
def test_all_of_a_box_is_before_the_camera_round_it(degrees):
    corners = np.float64([[x, y, z] for x in (2, 3) for y in (-1, 1) for z in (0, 5)])
    low, high = extent(camera_round(corners, degrees), corners)
    assert low.min() > -1 and high.max() < 1 and high[1] - low[1] > 1
    assert (camera_round(corners, degrees).project(corners)[:, 2] > 0).all()


def test_the_left_is_on_the_right_from_the_front_and_the_nose_on_the_left_from_the_left():
    points = np.float64([[1, 0, 0], [0, -1, 0], [-1, 1, 2]])
    assert camera_round(points, 0).project(points)[0, 0] > .1 and camera_round(points, 90).project(points)[1, 0] < -.1


def test_a_layer_is_there_where_the_surface_is_and_has_soft_edges():
    points, faces = ball()
    drawn = np.asarray(layer(FRONT, .8 * points, faces, points, np.full((384, 3), .8), np.ones(384)))
    share = drawn[..., 3] / 255
    assert drawn.shape == (60, 80, 4) and set(np.unique(drawn[..., 3])) == {0, 64, 128, 191, 255}
    assert share.sum() == pytest.approx(np.pi * (8 / np.tan(np.radians(20))) ** 2, rel=.06)
    assert drawn[15, 30, :3].sum() > drawn[45, 50, :3].sum() + 100     # the key light comes from above and the left
    assert not drawn[0, 0].any()


def test_shadows_lie_on_the_ground_below_the_horizon():
    ground = np.ones((CELLS, CELLS))
    ground[CELLS // 2:, CELLS // 2:] = 0                              # dark towards +x and +y: right, far
    frame = Frame(look_at((0, -10, 2), (0, 0, 0)), np.zeros(2), 100.0, 200, 160)
    dark = np.asarray(shadow(frame, Sky(np.ones(1), ground, np.array([-2, -2, 0.]), 4.0))).astype(int)
    where = np.round(frame.place(np.float64([[.5, .5, 0], [-.5, .5, 0], [.5, -.5, 0], [0, 0, 9]]))[:, :2]).astype(int)
    got = [dark[y, x] if 0 <= y < 160 else dark[0, x] for x, y in where]
    assert got[0] > .5 * 255 * SHADOW and got[1:] == [0, 0, 0] and not dark[:, [0, -1]].any()


def test_above_the_horizon_there_is_no_ground_though_it_goes_on_behind_the_eye():
    frame = Frame(look_at((0, -10, 2), (0, 0, 2)), np.zeros(2), 100.0, 200, 160)
    dark = np.asarray(shadow(frame, Sky(np.ones(1), np.zeros((CELLS, CELLS)), np.array([-20, -30, 0.]), 40.0)))
    assert not dark[:80].any() and dark[130:, 100].all()


def test_darkness_and_bones_over_a_picture_by_hand():
    paper = Image.new("RGB", (3, 3), (200, 100, 50))
    half = darkened(paper, Image.new("L", (3, 3), 128))
    assert np.abs(np.asarray(half)[0, 0].astype(int) - [100, 50, 25]).max() <= 1
    bones = Image.new("RGBA", (5, 5), (0, 0, 0, 0))
    bones.putpixel((2, 2), (0, 0, 255, 255))
    picture = np.asarray(through(Image.new("RGB", (5, 5), (200, 0, 0)), bones)).astype(int)
    assert picture[2, 2, 2] > 230 and picture[2, 2, 0] < 40                    # the bone
    assert picture[1, 1].min() > 200 and (picture[0] == [200, 0, 0]).all()     # the white line round it, and nothing beyond
