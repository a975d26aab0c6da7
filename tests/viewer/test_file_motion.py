"""A file's own animations: what was baked into it comes out as our own retargeting gives it, and values between keys by hand."""

import json

import numpy as np
import pytest

import viewer.file_motion as module
from dataset.asset import AssetError
from dataset.sources.files import load_asset
from rigging.animation import bake
from tests.rigging.test_animation import rigged, wave
from viewer.character import Character
from viewer.file_motion import read_motions, sampled
from viewer.library import Library


@pytest.mark.parametrize("dialect", ["contest", "vrm", "ue5"])
def test_what_was_baked_comes_out(tmp_path, dialect):
    scene, rig, _ = rigged(dialect)
    clip = wave()
    bake(scene, rig, clip)
    scene.file.write(tmp_path / "rigged.glb")
    asset = load_asset(tmp_path / "rigged.glb")
    (motion,) = read_motions(tmp_path / "rigged.glb", asset)
    assert (motion.name, motion.fps) == ("wave", 30.0) and len(motion.transforms_TJ34) == 34   # 11 steps of .1 s
    wanted_TJ34 = Character.of(asset).animate(clip)
    body = slice(0, 22)
    np.testing.assert_allclose(motion.transforms_TJ34[::3, body], wanted_TJ34[:, body], atol=2e-4)
    library = Library([tmp_path])
    assert [m.name for m in library.character(0).motions] == ["wave"]


def test_between_keys():
    time_K, straight = np.array([1.0, 2.0, 4.0]), np.array([[0.0, 0, 0], [1, 0, 0], [1, 4, 0]])
    at_T = np.array([0.0, 1.0, 1.25, 2.0, 3.0, 9.0])
    np.testing.assert_allclose(sampled(time_K, straight, False, at_T),
                               [[0, 0, 0], [0, 0, 0], [.25, 0, 0], [1, 0, 0], [1, 2, 0], [1, 4, 0]])
    assert sampled(time_K, straight, True, at_T).tolist() == straight[[0, 0, 0, 1, 1, 2]].tolist()


def test_quaternions_go_the_shorter_way():
    """From none to 90 degrees about z, written with the other sign: a third of the way is 30 degrees."""
    half = np.pi / 4
    keys = np.array([[0, 0, 0, 1], [0, 0, -np.sin(half), -np.cos(half)]])
    x, y, z, w = sampled(np.array([0.0, 3.0]), keys, False, np.array([1.0]))[0]
    assert (x, y) == (0, 0) and np.isclose(np.degrees(2 * np.arctan2(z, w)), 30)
    same = sampled(np.array([0.0, 1.0]), keys[[0, 0]], False, np.array([0.5]))
    assert same.tolist() == [[0, 0, 0, 1]]


def test_long_and_many_animations_are_bounded(tmp_path, monkeypatch):
    scene, rig, _ = rigged()
    for _ in range(3):
        bake(scene, rig, wave())
    scene.file.write(tmp_path / "rigged.glb")
    asset = load_asset(tmp_path / "rigged.glb")
    monkeypatch.setattr(module, "FRAMES_IN_ALL", 70)
    assert len(read_motions(tmp_path / "rigged.glb", asset)) == 2
    monkeypatch.setattr(module, "MOST_FRAMES", 12)
    (motion, *_) = read_motions(tmp_path / "rigged.glb", asset)
    assert len(motion.transforms_TJ34) == 12 and motion.fps == pytest.approx(10.0)
    monkeypatch.setattr(module, "MOST_MATRICES", 100)
    with pytest.raises(AssetError, match="too large to show"):
        read_motions(tmp_path / "rigged.glb", asset)


def test_a_broken_animation_is_a_warning(tmp_path):
    scene, rig, _ = rigged()
    bake(scene, rig, wave())
    document = scene.file.document
    document["animations"][0]["samplers"][0]["output"] = document["animations"][0]["samplers"][0]["input"]
    scene.file.write(tmp_path / "rigged.glb")
    character = Library([tmp_path]).character(0)
    assert character.rigged and character.motions == () and "keys and values" in character.warnings[0]
    json.dumps(character.warnings)
