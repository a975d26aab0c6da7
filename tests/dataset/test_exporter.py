"""What is written is what was given: bytes read back, contracts held, and nothing left behind when something is wrong."""

import os

import numpy as np
import pytest
from hypothesis import given, settings, strategies

from dataset.exporter import replace_folder, strongest_weights, write_atomically, write_contest

JOINTS_J3 = np.array([[0, 0, 0], [0, 1, 0], [0, 2, .5]], np.float32)
PARENTS, NAMES = (None, 0, 1), ("a", "b", "c")
VERTICES_V3 = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 2]], np.float32)
FACES_F3 = np.array([[0, 1, 2]])
SKIN_VJ = np.array([[1, 0, 0], [.25, .75, 0], [.2, .3, .5]], np.float32)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(seed=strategies.integers(0, 2 ** 32 - 1), joints=strategies.integers(1, 60), kept=strategies.integers(1, 8),
       power=strategies.sampled_from([0, 1, 20, 400]))
def test_any_row_keeps_the_contract(seed, joints, kept, power):
    """Even rows, peaked rows, rows whose small weights vanish in float32."""
    raw = np.random.default_rng(seed).random((20, joints))
    raw = (raw / raw.max(1, keepdims=True)) ** power
    skin = raw / raw.sum(1, keepdims=True)
    joint_VK, weight_VK = strongest_weights(skin, kept)
    assert weight_VK.dtype == np.float32 and weight_VK.shape == joint_VK.shape == (20, kept)
    assert (weight_VK >= 0).all() and np.abs(weight_VK.sum(1, dtype=np.float64) - 1).max() < 1e-6
    assert (np.diff(weight_VK, axis=1) <= 0).all() and (joint_VK[weight_VK == 0] == 0).all()
    np.testing.assert_array_equal(weight_VK[:, 0] > 0, True)
    np.testing.assert_array_equal(joint_VK[:, 0], skin.argmax(1))  # ties: the smaller joint


def test_rows_of_few_weights_keep_their_bits():
    skin = np.zeros((1000, 30), np.float32)
    raw = np.random.default_rng(0).random((1000, 4)).astype(np.float32)
    skin[:, 3:7] = raw / raw.sum(1, keepdims=True)
    joint_VK, weight_VK = strongest_weights(skin, 4)
    np.testing.assert_array_equal(np.take_along_axis(skin, joint_VK, 1), weight_VK)


BROKEN = [
    (dict(skin_VJ=SKIN_VJ * np.nan), "skin holds NaN or infinity, first in row 0"), (dict(skin_VJ=SKIN_VJ * 1.00001), "misses the sum 1 by 1e-05"),
    (dict(skin_VJ=SKIN_VJ + np.array([[0, 0, 0], [-.5, .25, .25], [0, 0, 0]], np.float32)), "skin of vertex 1 is negative"),
    (dict(skin_VJ=SKIN_VJ[:2]), r"skin is \(2, 3\), must be \(3, 3\)"), (dict(joints_J3=JOINTS_J3 + np.inf), "joints holds NaN"),
    (dict(vertices_V3=VERTICES_V3 + np.array([[0], [0], [np.nan]])), "vertices holds NaN or infinity, first in row 2"),
    (dict(vertices_V3=VERTICES_V3[:0], skin_VJ=SKIN_VJ[:0]), "J, V >= 1"), (dict(joints_J3=JOINTS_J3[:, :2]), "must be")]


@pytest.mark.parametrize("changes, message", BROKEN)
def test_contest_refuses_and_leaves_nothing(tmp_path, changes, message):
    given_ = dict(joints_J3=JOINTS_J3, skin_VJ=SKIN_VJ, vertices_V3=VERTICES_V3) | changes
    with pytest.raises(ValueError, match=message):
        write_contest(tmp_path / "sub" / "1", **given_)
    assert list(tmp_path.iterdir()) == []


def test_contest_layout(tmp_path):
    folder = tmp_path / "run" / "vroid" / "7"
    for scale in (1, 2):  # the second run replaces the first
        write_contest(folder, JOINTS_J3 * scale, SKIN_VJ.astype(np.float64), VERTICES_V3)
        (folder / "stale.txt").touch()
    write_contest(folder, JOINTS_J3 * 3, SKIN_VJ, VERTICES_V3)
    assert sorted(os.listdir(folder)) == ["predict_skeleton.npy", "predict_skin.npy", "transformed_vertices.npy"]
    assert os.listdir(folder.parent) == ["7"]
    for name, want in (("predict_skeleton", JOINTS_J3 * 3), ("predict_skin", SKIN_VJ), ("transformed_vertices", VERTICES_V3)):
        got = np.load(folder / f"{name}.npy")
        assert got.dtype == np.float32
        np.testing.assert_array_equal(got, want)


def test_a_crash_while_writing_leaves_the_old_folder(tmp_path, monkeypatch):
    folder = tmp_path / "1"
    write_contest(folder, JOINTS_J3, SKIN_VJ, VERTICES_V3)
    calls = []

    def save(path, array):
        calls.append(path)
        if len(calls) == 2:
            raise OSError("disk full")
        np.lib.format.write_array(open(path, "wb"), array)
    monkeypatch.setattr(np, "save", save)
    with pytest.raises(OSError, match="disk full"):
        write_contest(folder, JOINTS_J3 * 2, SKIN_VJ, VERTICES_V3)
    assert os.listdir(tmp_path) == ["1"]
    np.testing.assert_array_equal(np.load(folder / "predict_skeleton.npy"), JOINTS_J3)


def test_a_folder_is_replaced_or_keeps(tmp_path):
    folder = tmp_path / "cls" / "id"
    (tmp_path / "cls" / ".id.1.new").mkdir(parents=True)  # a killed run's
    replace_folder(folder, lambda new: (new / "a").write_text("1"))
    assert [p.name for p in folder.parent.iterdir()] == ["id"]
    replace_folder(folder, lambda new: (new / "b").write_text("2"))
    assert [p.name for p in folder.iterdir()] == ["b"]

    def fail(new):
        (new / "c").write_text("3")
        raise ValueError("half way")
    with pytest.raises(ValueError, match="half way"):
        replace_folder(folder, fail)
    assert [p.name for p in folder.iterdir()] == ["b"] and [p.name for p in folder.parent.iterdir()] == ["id"]


def test_a_crash_between_the_renames_leaves_the_old_folder(tmp_path, monkeypatch):
    folder, rename = tmp_path / "1", os.replace
    write_contest(folder, JOINTS_J3, SKIN_VJ, VERTICES_V3)

    def fail_on_the_new(source, target):
        if str(source).endswith(".new"):
            raise OSError("disk full")
        rename(source, target)
    monkeypatch.setattr(os, "replace", fail_on_the_new)
    with pytest.raises(OSError, match="disk full"):
        write_contest(folder, JOINTS_J3 * 2, SKIN_VJ, VERTICES_V3)
    assert os.listdir(tmp_path) == ["1"]
    np.testing.assert_array_equal(np.load(folder / "predict_skeleton.npy"), JOINTS_J3)


def test_a_crash_while_writing_leaves_the_old_file(tmp_path, monkeypatch):
    write_atomically(tmp_path / "sub" / "a.bin", b"old")
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_atomically(tmp_path / "sub" / "a.bin", b"new")
    assert os.listdir(tmp_path / "sub") == ["a.bin"] and (tmp_path / "sub" / "a.bin").read_bytes() == b"old"
