"""Silhouettes, cameras and scans as files bring them: values by hand, and a sentence for each thing that can be wrong."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from dataset.asset import AssetError
from geometry.similarity import Similarity
from launch.fit_inputs import named_view, read_cameras, read_silhouette, read_targets, scan_targets
from tests.dataset.figures import capsule_man


def picture(path, pixels, mode="L"):
    Image.fromarray(np.uint8(pixels), mode).save(path)
    return path


def square(inside, outside, size=20):
    pixels = np.full((size, size), float(outside))
    pixels[5:15, 8:12] = inside
    return pixels


@pytest.mark.parametrize("inside, outside", [(10, 250), (255, 0)], ids=["dark on light", "light on dark"])
def test_a_figure_is_what_differs_from_the_border(tmp_path, inside, outside):
    mask = read_silhouette(picture(tmp_path / "a.png", square(inside, outside)))
    assert mask.tolist() == square(1, 0).tolist()


def test_transparency_counts_before_colour(tmp_path):
    pixels = np.stack([square(200, 10)] * 3 + [np.zeros((20, 20))], 2)
    pixels[2:4, 2:4, 3] = 255
    pixels[4, 4, 3] = 51
    mask = read_silhouette(picture(tmp_path / "a.png", pixels, "RGBA"))
    assert mask[2:4, 2:4].min() == 1 and mask[4, 4] == pytest.approx(.2) and mask.sum() == pytest.approx(4.2)
    pixels[..., 3] = 255        # nothing is transparent: colours count
    assert read_silhouette(picture(tmp_path / "b.png", pixels, "RGBA")).tolist() == square(1, 0).tolist()


@pytest.mark.parametrize("pixels, complaint", [
    (np.full((20, 20), 128), "shows nothing"), (np.tile(np.linspace(0, 255, 40), (40, 1)), "is no silhouette"),
    (np.pad(np.zeros((60, 60)), 1, constant_values=255)[:, :], None), (square(250, 240), "shows nothing")])
def test_pictures_that_show_no_figure(tmp_path, pixels, complaint):
    path = picture(tmp_path / "pic.png", pixels)
    with pytest.raises(AssetError, match=f"pic.png: {complaint or 'is covered whole|shows nothing'}"):
        read_silhouette(path) if complaint else read_silhouette(picture(path, np.pad(np.zeros((200, 200)), 1, constant_values=255)))


def test_what_is_no_picture(tmp_path):
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n and then nothing")
    with pytest.raises(AssetError, match="a.png: is no picture"):
        read_silhouette(tmp_path / "a.png")
    with pytest.raises(AssetError, match="b.png: cannot be read"):
        read_silhouette(tmp_path / "b.png")


@pytest.mark.parametrize("view, right", [("front", (1, 0, 0)), ("LEFT", (0, 1, 0)), ("hero_back_01", (-1, 0, 0)), ("right", (0, -1, 0))])
@pytest.mark.parametrize("up", ["z", "y"])
def test_names_say_the_side_that_is_seen(tmp_path, view, right, up):
    man = capsule_man(22, up=up)
    camera = named_view(tmp_path / f"{view}.png", man)
    np.testing.assert_allclose(camera.rotation_33[0], right, atol=1e-12)       # the figure's left is at +X, its front at -Y
    np.testing.assert_allclose(camera.rotation_33[1], (0, 0, 1), atol=1e-12)
    assert not camera.perspective
    seen = camera.project(man.in_network_frame().vertices_V3)
    assert abs(seen[:, :2]).max() < 1 and (seen[:, 2] > 0).all()


@pytest.mark.parametrize("name", ["hero.png", "front_left.png"])
def test_names_that_say_no_one_view(tmp_path, name):
    with pytest.raises(AssetError, match=f"{name}: the name says no one view"):
        named_view(tmp_path / name, capsule_man(22))


def cameras(tmp_path, entry, up="z"):
    (tmp_path / "c.json").write_text(entry if isinstance(entry, str) else json.dumps({"a.png": entry}))
    return read_cameras(tmp_path / "c.json", [tmp_path / "a.png"], capsule_man(22, up=up))


def test_cameras_in_the_files_own_axes(tmp_path):
    given = cameras(tmp_path, {"eye": [0, 1, 5], "target": [0, 1, 0], "field_of_view": 40}, up="y")[0]      # glTF: Y up, facing +Z
    np.testing.assert_allclose(given.eye_3, (0, -5, 1), atol=1e-12)
    np.testing.assert_allclose(given.rotation_33, [[1, 0, 0], [0, 0, 1], [0, 1, 0]], atol=1e-12)
    assert given.perspective and given.zoom == pytest.approx(1 / np.tan(np.radians(20)))
    same = cameras(tmp_path, {"from": "front", "distance": 5, "target": [0, 1, 0], "field_of_view": 40}, up="y")[0]
    np.testing.assert_allclose(same.eye_3, given.eye_3, atol=1e-12)
    level = cameras(tmp_path, {"from": 90, "elevation": 30, "target": [0, 0, 1], "distance": 2, "height": 4})[0]
    np.testing.assert_allclose(level.eye_3, (np.sqrt(3), 0, 2), atol=1e-12)
    np.testing.assert_allclose(level.project([[0, 0, 1], [0, 2, 1]])[:, :2], [[0, 0], [1, 0]], atol=1e-12)  # half of 4 high is 1


@pytest.mark.parametrize("entry, complaint", [
    ("{", "c.json: is no JSON"), ("[]", "holds no object"), ("{}", "no camera for a.png; it has none"), (3, "a.png: no object"),
    ({"eye": [0, -4, 1], "fov": 3}, "a.png: fov; a camera has"), ({"eye": [0, -4, 1]}, "either field_of_view or height"),
    ({"height": 2}, "either eye or from"), ({"from": "above", "height": 2}, "from is 'above'"), ({"from": 0, "height": 0}, "height of 0"),
    ({"from": 0, "field_of_view": 30}, "give distance too"), ({"eye": [0, 1], "height": 2}, "eye is .0, 1., must be three numbers"),
    ({"eye": [0, "1", 2], "height": 2}, "must be a number"), ({"from": 0, "distance": True, "height": 2}, "distance is True"),
    ({"eye": [0, -4, 1], "target": [0, -4, 1], "height": 2}, "no view from"), ({"eye": [0, -4, 1], "field_of_view": 190}, "190"),
    ({"eye": [0, -400, 100], "target": [0, -500, 100], "field_of_view": 30}, "does not see where the character stands"),
    ({"eye": [0, 0, 1], "target": [0, 5, 1], "field_of_view": 60}, "the eye stands inside"),
    ({"eye": [0, -40, 1], "target": [40, 0, 1], "height": 2}, "does not see")])
def test_cameras_that_do_not_fit(tmp_path, entry, complaint):
    with pytest.raises(AssetError, match=complaint):
        cameras(tmp_path, entry)


def test_targets(tmp_path):
    paths = [picture(tmp_path / f"{view}.png", square(0, 255)) for view in ("front", "left")]
    targets, loose = read_targets(paths, None, capsule_man(22))
    assert loose and len(targets) == 2 and targets[1].mask_HW.tolist() == square(1, 0).tolist()
    (tmp_path / "c.json").write_text(json.dumps({path.name: {"from": path.stem, "height": 2} for path in paths}))
    targets, loose = read_targets(paths, tmp_path / "c.json", capsule_man(22))
    assert not loose and targets[0].camera.zoom == 1
    picture(tmp_path / "left.png", square(0, 255, 24))
    with pytest.raises(AssetError, match="one scale and size, these have not: front.png 20 x 20, left.png 24 x 24"):
        read_targets(paths, None, capsule_man(22))


def test_scans():
    man = capsule_man(22)
    targets, points = scan_targets(capsule_man(22, up="y"), man)       # the same figure in other axes
    assert len(targets) == 5 and all(40 < target.mask_HW.sum() < 10_000 for target in targets)
    assert points.shape == (20_000, 3)
    np.testing.assert_allclose(points.min(0), man.vertices_V3.min(0), atol=.03)
    with pytest.raises(AssetError, match="100 times as large"):
        scan_targets(man.to_frame(Similarity(scale=100.)), man)
    with pytest.raises(AssetError, match="cloud of points"):
        scan_targets(replace(man, faces_F3=None), man)
