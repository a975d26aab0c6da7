"""Previews and turns: what is where in the picture, and that it is the same picture each time."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from pictures import paper, preview
from pictures.preview import FRAMES, HEIGHT, MARGIN, MAX_WIDTH, MIN_PANEL, SIDE, VIEWS, draw_preview, draw_turntable, weight_colours
from tests.dataset.figures import capsule_man


def given(asset, **changes):
    return dict(vertices_V3=asset.vertices_V3, faces_F3=asset.faces_F3, joints_J3=asset.joints_J3, parents=asset.parents, up=asset.up) | changes


def picture(path, asset, **changes):
    draw_preview(path, **given(asset, **changes))
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def panels(asset):
    """[left, right) of each view on the sheet."""
    ends = np.cumsum([0, *(frame.width for frame in preview._side_by_side(np.concatenate([asset.vertices_V3, asset.joints_J3])))])
    return list(zip(ends, ends[1:]))


def warm(image_HW3):
    """(P, 2) x, y of pixels as the left side's bones have them."""
    return np.argwhere((image_HW3[..., 0] - image_HW3[..., 2] > 90) & (image_HW3[..., 1] < 140))[:, ::-1]


def cool(image_HW3):
    return np.argwhere((image_HW3[..., 2] - image_HW3[..., 0] > 90) & (image_HW3[..., 0] < 140))[:, ::-1]


@pytest.fixture(scope="module")
def man():
    return capsule_man(22, splits=0)


@pytest.fixture(autouse=True)
def coarse(monkeypatch):
    """A quarter of the samples, so that a picture takes a moment."""
    monkeypatch.setattr(paper, "SAMPLES", 1)


def test_left_is_right_of_the_middle_from_the_front_and_left_of_it_from_the_back(tmp_path, man):
    image = picture(tmp_path / "p.png", man)
    (start, end), *_, (back, last) = panels(man)
    assert image.shape == (image.shape[0], last, 3) and image.shape[0] <= HEIGHT and last <= MAX_WIDTH + MIN_PANEL
    for left, right in ((warm(image[:, start:end]), cool(image[:, start:end])), (cool(image[:, back:last]), warm(image[:, back:last]))):
        middle = (end - start) / 2
        assert len(left) > 300 < len(right) and (left[:, 0] > middle - 9).mean() > .98 and (right[:, 0] < middle + 9).mean() > .98


def test_from_the_left_the_face_is_on_the_left(tmp_path, man):
    image, (start, end) = picture(tmp_path / "p.png", man), panels(man)[2]
    foot = warm(image[:, start:end])
    foot = foot[foot[:, 1] > image.shape[0] * .78]
    ankle, toe = (foot[foot[:, 1] == row, 0].mean() for row in (foot[:, 1].min(), foot[:, 1].max()))
    assert [name for name, _ in VIEWS][2] == "left" and toe < ankle - 5


def test_both_up_axes_show_the_same_picture(tmp_path, man):
    want, got = picture(tmp_path / "z.png", man), picture(tmp_path / "y.png", capsule_man(22, up="y", splits=0))
    assert got.shape == want.shape and (np.abs(got - want).max(-1) > 8).mean() < 2e-3


def test_figures_fill_the_width_or_the_height(tmp_path, man):
    image = picture(tmp_path / "p.png", man)
    for start, end in panels(man):
        columns = np.flatnonzero((np.abs(image[:, start:end] - image[:, start:start + 1]).max(-1) > 40).sum(0))
        assert columns.min() >= MARGIN - 2 and columns.max() <= end - start - MARGIN + 2
    front = np.abs(image[:, :panels(man)[0][1]] - image[:, :1]).max(-1) > 40
    assert np.flatnonzero(front.sum(0)).min() <= MARGIN + 2               # the widest view takes all of its panel
    slim = man.vertices_V3 * (.2, .2, 1)
    assert picture(tmp_path / "s.png", man, vertices_V3=slim, joints_J3=man.joints_J3 * (.2, .2, 1)).shape[0] == HEIGHT


def test_a_wide_pose_stays_within_the_width(tmp_path, man):
    lying = man.vertices_V3[:, [2, 1, 0]] * (3, 1, 1)
    image = picture(tmp_path / "w.png", man, vertices_V3=lying, joints_J3=man.joints_J3[:, [2, 1, 0]] * (3, 1, 1))
    assert image.shape[1] <= MAX_WIDTH + MIN_PANEL and image.shape[0] >= 2 * MIN_PANEL


def test_clay_is_grey_and_weights_are_coloured(tmp_path, man):
    spread = []
    for skin in (None, man.skin_VJ):
        image = picture(tmp_path / "s.png", man, skin_VJ=skin, joints_J3=man.vertices_V3[:1], parents=(None,))
        spread.append((np.ptp(image, axis=2) > 50).mean())
        assert image.mean() > 150
    assert spread[0] == 0 and spread[1] > .05


def test_colours_of_weights():
    colours = weight_colours(np.eye(3))
    np.testing.assert_allclose(weight_colours(np.float64([[.5, .5, 0]])), [(colours[0] + colours[1]) / 2])
    assert np.linalg.norm(colours[0] - colours[1]) > .3 and colours.min() >= 0 and colours.max() <= 1


@pytest.mark.parametrize("changes", [dict(faces_F3=None), dict(faces_F3=np.zeros((0, 3), int)),
                                     dict(joints_J3=np.zeros((3, 3)), parents=(None, 0, 1)),
                                     dict(vertices_V3=np.zeros((1, 3)), faces_F3=None, joints_J3=np.zeros((1, 3)), parents=(None,)),
                                     dict(vertices_V3=np.zeros((3, 3)), faces_F3=np.array([[0, 1, 2]])),
                                     dict(title="a name\nof two lines with ümläuts")])
def test_whatever_there_is_to_see(tmp_path, man, changes):
    assert picture(tmp_path / "new" / "p.png", man, **changes).shape[0] >= 2 * MIN_PANEL


@pytest.mark.parametrize("size", [1e-6, 1e6])
def test_size_does_not_matter(tmp_path, man, size):
    want = picture(tmp_path / "a.png", man)
    got = picture(tmp_path / "b.png", man, vertices_V3=man.vertices_V3 * size, joints_J3=man.joints_J3 * size)
    assert got.shape == want.shape and (np.abs(got - want).max(-1) > 8).mean() < 2e-3


def test_a_vertex_without_a_face_does_not_make_the_figure_small(tmp_path, man):
    stray = replace(man, vertices_V3=np.concatenate([man.vertices_V3, np.float32([[0, 0, 3000]])]))
    np.testing.assert_array_equal(picture(tmp_path / "a.png", man), picture(tmp_path / "b.png", stray))


def test_same_input_same_bytes(tmp_path, man):
    picture(tmp_path / "a.png", man)
    picture(tmp_path / "b.png", man)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_a_turn_goes_once_round_and_is_the_same_each_time(tmp_path, man):
    draw_turntable(tmp_path / "new" / "a.gif", **given(man), skin_VJ=man.skin_VJ)
    draw_turntable(tmp_path / "b.gif", **given(man), skin_VJ=man.skin_VJ)
    data = (tmp_path / "new" / "a.gif").read_bytes()
    assert data == (tmp_path / "b.gif").read_bytes() and len(data) < 1_500_000
    turn = Image.open(tmp_path / "b.gif")
    assert turn.n_frames == FRAMES and turn.size == (SIDE, SIDE) and turn.info["loop"] == 0
    wide, middle = [], SIDE // 2
    for k in range(FRAMES):
        turn.seek(k)
        image = np.asarray(turn.convert("RGB")).astype(int)
        wide.append(np.ptp(np.flatnonzero((np.abs(image - image[0, 0]).max(-1) > 60).any(0))))
        if k in (0, FRAMES // 2):
            side = np.sign(np.median(warm(image)[:, 0]) - middle)
            assert side == (1 if k == 0 else -1)
    assert wide[0] > 1.5 * wide[FRAMES // 4] and wide[FRAMES // 2] > 1.5 * wide[FRAMES // 4]


@pytest.mark.parametrize("changes, message", [(dict(up="x"), "up must be y or z, not 'x'"), (dict(vertices_V3=np.zeros((0, 3))), "needs vertices"),
                                              (dict(vertices_V3=np.full((1, 3), np.inf), faces_F3=None), "finite"),
                                              (dict(joints_J3=np.full((22, 3), np.nan)), "finite")])
def test_refuses(tmp_path, man, changes, message):
    with pytest.raises(ValueError, match=message):
        picture(tmp_path / "p.png", man, **changes)
    assert not (tmp_path / "p.png").exists()
