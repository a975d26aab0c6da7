"""Previews: what is where in the picture, and that it is the same picture each time."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from dataset import preview
from dataset.preview import CENTRE, HEIGHT, LEFT, MARGIN, MAX_WIDTH, MIN_PANEL, RIGHT, draw_preview
from tests.dataset.figures import capsule_man


def picture(path, asset, **changes):
    given = dict(vertices_V3=asset.vertices_V3, faces_F3=asset.faces_F3, joints_J3=asset.joints_J3, parents=asset.parents, up=asset.up)
    draw_preview(path, **given | changes)
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def where(image_HW3, colour) -> np.ndarray:
    """(P, 2) x, y of the pixels of nearly this colour, as bones show it through themselves."""
    return np.argwhere(np.abs(image_HW3 - colour).max(-1) < 45)[:, ::-1]


@pytest.fixture(scope="module")
def man():
    return capsule_man(22, splits=0)


@pytest.fixture(autouse=True)
def coarse(monkeypatch):
    """A quarter of the pixels, so that a picture takes a moment."""
    monkeypatch.setattr(preview, "SUPERSAMPLE", 1)


def test_left_is_right_of_the_middle_as_when_facing_it(tmp_path, man):
    image = picture(tmp_path / "p.png", man)
    assert image.shape[0] == HEIGHT and image.shape[1] <= MAX_WIDTH
    left, right, centre = (where(image, colour) for colour in (LEFT, RIGHT, CENTRE))
    middle = np.median(centre[centre[:, 0] < image.shape[1] * .6, 0])  # of the front view
    front = [side[side[:, 0] < image.shape[1] * .7, 0] for side in (left, right)]
    assert (front[0] > middle - 6).all() and (front[1] < middle + 6).all() and len(front[0]) > 500 < len(front[1])


def test_both_up_axes_show_the_same_picture(tmp_path, man):
    want, got = picture(tmp_path / "z.png", man), picture(tmp_path / "y.png", capsule_man(22, up="y", splits=0))
    assert got.shape == want.shape and (np.abs(got - want).max(-1) > 8).mean() < 1e-3


def test_the_side_view_shows_the_left_with_the_face_to_the_left(tmp_path, man):
    image = picture(tmp_path / "p.png", man)
    side = where(image, LEFT)
    side = side[(side[:, 0] > image.shape[1] - MIN_PANEL) & (side[:, 1] > HEIGHT * .8)]  # the foot points to the face's side
    ankle, toe = side[side[:, 1] == side[:, 1].min(), 0].mean(), side[side[:, 1] == side[:, 1].max(), 0].mean()
    assert toe < ankle
    # the left limbs hide the right ones
    legs = image[HEIGHT // 2:, -MIN_PANEL:]
    assert len(where(legs, LEFT)) > 3 * len(where(legs, RIGHT))


def test_the_figure_fills_the_height(tmp_path, man):
    image = picture(tmp_path / "p.png", man)
    figure = np.flatnonzero((np.abs(image - image[:, :1]).max(-1) > 10).sum(1) > 60)  # rows with more than the words
    assert abs(figure.min() - MARGIN) <= 2 and abs(figure.max() - (HEIGHT - MARGIN)) <= 2


def test_a_wide_pose_stays_within_the_width(tmp_path, man):
    lying = man.vertices_V3[:, [2, 1, 0]] * (3, 1, 1)
    assert picture(tmp_path / "w.png", man, vertices_V3=lying, joints_J3=man.joints_J3[:, [2, 1, 0]] * (3, 1, 1)).shape[1] <= MAX_WIDTH + MIN_PANEL


def test_clay_is_bright_and_grey_and_weights_are_coloured(tmp_path, man):
    spread = []
    for skin in (None, man.skin_VJ):
        image = picture(tmp_path / "s.png", man, skin_VJ=skin, joints_J3=np.zeros((1, 3)), parents=(None,))
        thigh = image[HEIGHT * 6 // 10:HEIGHT * 6 // 10 + 20].reshape(-1, 3)
        spread.append(np.ptp(thigh, axis=1).max())
        assert image.mean() > 150
    assert spread[0] < 40 < 80 < spread[1]


@pytest.mark.parametrize("changes", [dict(faces_F3=None), dict(faces_F3=np.zeros((0, 3), int)), dict(joints_J3=np.zeros((3, 3)), parents=(None, 0, 1)),
                                     dict(vertices_V3=np.zeros((1, 3)), faces_F3=None), dict(vertices_V3=np.zeros((3, 3)), faces_F3=np.array([[0, 1, 2]])),
                                     dict(title="a name\nof two lines with ümläuts")])
def test_whatever_there_is_to_see(tmp_path, man, changes):
    assert picture(tmp_path / "new" / "p.png", man, **changes).shape[0] == HEIGHT


def test_a_vertex_without_a_face_does_not_make_the_figure_small(tmp_path, man):
    stray = replace(man, vertices_V3=np.concatenate([man.vertices_V3, np.float32([[0, 0, 3000]])]))
    np.testing.assert_array_equal(picture(tmp_path / "a.png", man), picture(tmp_path / "b.png", stray))


def test_same_input_same_bytes(tmp_path, man):
    picture(tmp_path / "a.png", man)
    picture(tmp_path / "b.png", man)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize("changes, message", [(dict(up="x"), "up must be y or z, not 'x'"), (dict(vertices_V3=np.zeros((0, 3))), "needs vertices"),
                                              (dict(vertices_V3=np.full((1, 3), np.inf)), "finite"), (dict(joints_J3=np.full((22, 3), np.nan)), "finite")])
def test_refuses(tmp_path, man, changes, message):
    with pytest.raises(ValueError, match=message):
        picture(tmp_path / "p.png", man, **changes)
    assert not (tmp_path / "p.png").exists()
