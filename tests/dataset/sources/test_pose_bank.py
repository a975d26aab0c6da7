"""Pose banks: quaternions by hand, joints put in order, and a split that shares no clip."""

import numpy as np
import pytest

from dataset.asset import AssetError
from dataset.format import BODY_NAMES
from dataset.sources.pose_bank import load_pose_bank, split_pose_bank


def bank(path, frames_of_clip=(3, 2, 4, 1, 2), **changes):
    clip = np.repeat(np.arange(len(frames_of_clip)), frames_of_clip).astype(np.int16)
    quat = np.zeros((len(clip), 22, 4), np.float16)
    quat[..., 3] = 1
    quat[:, 0] = np.stack([0 * clip, np.sin(clip / 10), 0 * clip, np.cos(clip / 10)], 1)  # the clip's number, as a turn about y
    members = dict(quat_xyzw=quat, clip=clip, clip_names=np.array([f"0{k}_01" for k in range(len(frames_of_clip))]), joints=np.array(BODY_NAMES))
    np.savez(path, **members | changes)
    return path


def clips(got) -> set[int]:
    """Numbers of the clips in a bank, read back from the turns."""
    turn = np.arctan2(got.rotations_TJ33[:, 0, 0, 2], got.rotations_TJ33[:, 0, 0, 0])
    return set(np.rint(turn / 2 * 10).astype(int).tolist())


def test_by_hand(tmp_path):
    half = np.zeros((1, 22, 4))
    half[..., 3] = 1
    half[0, 1] = [0, 0, .7071, .7071]  # joint 1 of the file: a quarter about z, rounded as float16 rounds
    order = ("hips", "head", "spine", "chest", "upper_chest", "neck", *BODY_NAMES[6:])
    got = load_pose_bank(bank(tmp_path / "b.npz", (1,), quat_xyzw=half, joints=np.array(order)))
    assert got.names == BODY_NAMES and got.up == "y" and got.rotations_TJ33.dtype == np.float32
    np.testing.assert_allclose(got.rotations_TJ33[0, 5], [[0, -1, 0], [1, 0, 0], [0, 0, 1]], atol=1e-6)  # head
    np.testing.assert_allclose(got.rotations_TJ33[0, 1], np.eye(3), atol=1e-6)


def test_the_split_shares_no_clip_and_loses_none(tmp_path):
    path = bank(tmp_path / "b.npz")
    train, held = split_pose_bank(path, 0.4)
    assert len(clips(held)) == 2 and clips(train) | clips(held) == {0, 1, 2, 3, 4} and not clips(train) & clips(held)
    assert len(train.rotations_TJ33) + len(held.rotations_TJ33) == 12
    for share, count in ((0.01, 1), (0.99, 4)):
        assert len(clips(split_pose_bank(path, share)[1])) == count


def test_the_split_does_not_lean_on_the_files_order(tmp_path):
    """Clips listed the other way round: the same names are held out."""
    clip = np.repeat(np.arange(5), (3, 2, 4, 1, 2))
    names = np.array([f"0{k}_01" for k in reversed(range(5))])
    turned = bank(tmp_path / "t.npz", clip=(4 - clip).astype(np.int16), clip_names=names)
    assert clips(split_pose_bank(turned, 0.4)[1]) == clips(split_pose_bank(bank(tmp_path / "b.npz"), 0.4)[1])


@pytest.mark.parametrize("changes, message", [
    (dict(joints=np.array(BODY_NAMES[:-1] + ("tail",))), "not the contest's 22"), (dict(clip=np.zeros(3, int)), r"'clip' is int64 of shape \(3,\)"),
    (dict(clip=np.full(12, 5)), "clips 5 to 5 of 5"), (dict(clip=np.full(12, -1)), "clips -1"), (dict(quat_xyzw=np.zeros((12, 22, 4))), "unit length"),
    (dict(quat_xyzw=np.full((12, 22, 4), np.nan)), "unit length"), (dict(quat_xyzw=np.ones((12, 22, 3))), r"\(12, 22, 3\)")])
def test_refuses(tmp_path, changes, message):
    with pytest.raises(AssetError, match=f"b.npz: .*{message}"):
        load_pose_bank(bank(tmp_path / "b.npz", **changes))


def test_refuses_other_files_and_splits_that_cannot_be(tmp_path):
    np.savez(tmp_path / "a.npz", vertices=np.zeros((3, 3)))
    with pytest.raises(AssetError, match="a.npz: not a pose bank, lacks clip, clip_names, joints, quat_xyzw"):
        load_pose_bank(tmp_path / "a.npz")
    with pytest.raises(AssetError, match="has 1 clip"):
        split_pose_bank(bank(tmp_path / "one.npz", (3,)))
    with pytest.raises(AssetError, match="walk.bvh: has 1 clip"):
        split_pose_bank("walk.bvh")
    with pytest.raises(ValueError, match="between 0 and 1, not 1"):
        split_pose_bank(tmp_path / "one.npz", 1)


def test_the_cmu_bank(shared_data):
    path = shared_data / "mocap" / "cmu_pose_bank.npz"
    train, held = split_pose_bank(path)
    assert len(train.rotations_TJ33) + len(held.rotations_TJ33) == len(load_pose_bank(path).rotations_TJ33) == 7563
    assert 200 < len(held.rotations_TJ33) < 1500
    clip = load_pose_bank(shared_data / "mocap" / "cmu_01_01.bvh")
    assert clip.rotations_TJ33.shape == (2751, 22, 3, 3)
    forward = clip.rotations_TJ33[:, 0, :, 2]
    assert np.abs(forward[:, 0]).max() < 1e-5 and forward[:, 2].min() > 0  # heading removed
