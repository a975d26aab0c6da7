"""What the browser is sent: poses and clips as matrices that move vertices as our own skinning does, weights, and the packing."""

import json
from dataclasses import replace

import numpy as np
import pytest

from dataset.asset import Asset, AssetError
from dataset.format import BODY_NAMES
from geometry.kinematics import homogeneous, rest_alignment, rotation_uniform, rotvec_to_matrix
from geometry.skinning import linear_blend_skinning
from rigging.animation import Clip
from tests.dataset.figures import capsule_man
from viewer import character as module
from viewer.character import IN_FILE, NETWORK, SMOOTHED, Character, influences, pack, thinned

ELBOW = BODY_NAMES.index("l_lower_arm")


@pytest.fixture(params=["z", "y", "turned bones"])
def man(request) -> Character:
    asset = capsule_man(22, up="y" if request.param == "y" else "z")
    if request.param == "turned bones":
        rng = np.random.default_rng(3)
        asset = replace(asset, matrix_local_J44=homogeneous(np.stack([rotation_uniform(rng) for _ in range(22)]), asset.joints_J3))
    return Character.of(asset)


def unpacked(data: bytes) -> tuple[dict, dict[str, np.ndarray]]:
    """As viewer.js reads it."""
    length = int.from_bytes(data[:4], "little")
    about = json.loads(data[4:4 + length])
    return about, {name: np.frombuffer(data, at["type"], at["count"], 4 + length + at["start"]) for name, at in about["arrays"].items()}


def test_rest_moves_nothing(man):
    np.testing.assert_allclose(man.pose({}), np.tile(np.eye(4)[:3], (22, 1, 1)), atol=1e-6)


def test_an_elbow_turned_by_hand(man):
    """90 degrees about z: what was at +x of the elbow is at +y of it; the hand follows, the upper arm stays."""
    moved_J34 = man.pose({ELBOW: (0, 0, 90)})
    elbow_3 = man.asset.joints_J3[ELBOW]
    np.testing.assert_allclose(moved_J34[ELBOW] @ [*(elbow_3 + [0.3, 0, 0]), 1], elbow_3 + [0, 0.3, 0], atol=1e-5)
    np.testing.assert_allclose(moved_J34[ELBOW + 1], moved_J34[ELBOW], atol=1e-5)
    np.testing.assert_allclose(moved_J34[ELBOW - 1], np.eye(4)[:3], atol=1e-6)


def test_angles_turn_about_x_then_y_then_z(man):
    turn_33 = man.pose({0: (90, 0, 90)})[0, :, :3]
    np.testing.assert_allclose(turn_33 @ [0, 1, 0], [0, 0, 1], atol=1e-6)      # x takes y to z, which z leaves
    np.testing.assert_allclose(turn_33 @ [1, 0, 0], [0, 1, 0], atol=1e-6)


def test_a_pose_is_the_assets_own_posing(man):
    bone_33 = man.asset.local_J44()[ELBOW, :3, :3]
    turn_33 = rotvec_to_matrix(np.radians([0, 0, 40])) @ rotvec_to_matrix(np.radians([25, 0, 0]))
    basis_J44 = np.tile(np.eye(4), (22, 1, 1))
    basis_J44[ELBOW, :3, :3] = bone_33.T @ turn_33 @ bone_33
    moved_V3 = linear_blend_skinning(man.asset.vertices_V3, man.asset.skin_VJ, np.float64(man.pose({ELBOW: (25, 0, 40)})))
    np.testing.assert_allclose(moved_V3, man.asset.posed(basis_J44).vertices_V3, atol=1e-5)


@pytest.mark.parametrize("degrees", [{22: (0, 0, 0)}, {-1: (0, 0, 0)}, {0: (0, float("nan"), 0)}, {0: (0, 0)}])
def test_a_wrong_pose_is_refused(degrees):
    with pytest.raises(ValueError, match="no such joint, or angles"):
        Character.of(capsule_man(22)).pose(degrees)


def t_pose(frames: int, fps: float = 30.0, offset_T3=None) -> Clip:
    return Clip(np.tile(np.eye(3), (frames, 22, 1, 1)), offset_T3, fps, "T")


@pytest.mark.parametrize("joints", [22, 52])
def test_a_clip_without_motion_is_the_t_pose(joints):
    """D = I leaves each bone at its rest alignment R, which is checked for the arm: it comes to lie along +x."""
    man = Character.of(capsule_man(joints))
    moved_TJ34 = man.animate(t_pose(2, offset_T3=np.zeros((2, 3))))
    assert moved_TJ34.shape == (2, joints, 3, 4)
    places_J3 = (moved_TJ34[0, :, :, :3] @ man.asset.joints_J3[..., None])[..., 0] + moved_TJ34[0, :, :, 3]
    arm_3 = places_J3[ELBOW] - places_J3[ELBOW - 1]
    np.testing.assert_allclose(arm_3 / np.linalg.norm(arm_3), [1, 0, 0], atol=1e-5)
    np.testing.assert_allclose(places_J3[0], man.asset.joints_J3[0], atol=1e-5)
    if joints == 52:
        hand = BODY_NAMES.index("l_hand")
        alignment_J33 = rest_alignment(man.asset.joints_J3, module.T_AIMS[52])
        np.testing.assert_allclose(moved_TJ34[1, hand, :, :3], alignment_J33[hand], atol=1e-5)


def test_the_way_of_the_hips_goes_by_the_legs():
    """One leg length forward in a clip (+Z, Y up) is one leg length along -Y here."""
    man = Character.of(capsule_man(22))
    still, gone = man.animate(t_pose(2, offset_T3=np.array([[0, 0, 0], [0, 0, 1.0]])))
    np.testing.assert_allclose(gone[0, :, 3] - still[0, :, 3], [0, -module.leg_length(np.float64(man.asset.joints_J3)), 0], atol=1e-5)


def test_a_clip_in_place_keeps_the_lower_foot_on_the_ground():
    man = Character.of(capsule_man(22))
    turns = np.tile(np.eye(3), (3, 22, 1, 1))
    turns[1:, [BODY_NAMES.index(f"{s}_{p}") for s in "lr" for p in ("upper_leg", "lower_leg")]] = rotvec_to_matrix([-1.2, 0, 0])
    moved_TJ34 = man.animate(Clip(turns, None, 10.0, "sit"))
    feet = [BODY_NAMES.index(f"{s}_{p}") for s in "lr" for p in ("foot", "toe_base")]
    heights_TF = (moved_TJ34[:, feet, 2, :3] * man.asset.joints_J3[feet]).sum(-1) + moved_TJ34[:, feet, 2, 3]
    np.testing.assert_allclose(heights_TF.min(1), man.asset.joints_J3[feet, 2].min(), atol=1e-5)
    assert moved_TJ34[1, 0, 2, 3] < -0.1   # the hips came down


def test_a_clip_needs_the_contests_joints():
    man = capsule_man(22)
    few = replace(man, joints_J3=man.joints_J3[:3], parents=man.parents[:3], names=man.names[:3], matrix_local_J44=None,
                  skin_VJ=np.eye(3, dtype=np.float32)[np.zeros(len(man.vertices_V3), int)])
    with pytest.raises(AssetError, match="22 or 52"):
        Character.of(few).animate(t_pose(1))


def test_long_and_fast_clips_are_thinned(monkeypatch):
    assert len(thinned(t_pose(90, fps=30.0))) == 90
    fast = thinned(t_pose(90, fps=120.0, offset_T3=np.arange(270.0).reshape(90, 3)))
    assert (len(fast), fast.fps) == (30, 40.0) and fast.offset_T3[1, 0] == 9
    monkeypatch.setattr(module, "MOST_FRAMES", 40)
    assert len(thinned(t_pose(90))) == 30


def test_the_greatest_influences_are_kept():
    skin_VJ = np.float32([[0.0, 1.0, 0, 0, 0, 0, 0, 0, 0, 0], [0.19, 0.09, 0.09, 0.09, 0.09, 0.09, 0.09, 0.09, 0.09, 0.09]])
    kept = influences(skin_VJ)
    assert kept["bones"].dtype == np.uint8 and kept["bones"][0, 0] == 1 and kept["shares"][0].tolist() == [65535] + 7 * [0]
    assert kept["bones"][1].tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    np.testing.assert_allclose(kept["shares"][1] / 65535, np.array([0.19] + 7 * [0.09]) / 0.82, atol=1e-5)


def test_a_character_reaches_the_page_whole(man):
    about, arrays = unpacked(man.packed())
    assert about["names"] == list(BODY_NAMES) and about["parents"][:3] == [-1, 0, 1] and about["kinds"] == [IN_FILE, SMOOTHED]
    assert (about["vertices"], about["faces"]) == (len(man.asset.vertices_V3), len(man.asset.faces_F3))
    np.testing.assert_array_equal(arrays["place"].reshape(-1, 3), man.asset.vertices_V3)
    np.testing.assert_array_equal(arrays["faces"].reshape(-1, 3), man.asset.faces_F3)
    skin_VJ = np.zeros_like(man.asset.skin_VJ)
    np.add.at(skin_VJ, (np.arange(len(skin_VJ))[:, None], arrays["bones"].reshape(-1, 8)), arrays["shares"].reshape(-1, 8) / 65535)
    np.testing.assert_allclose(skin_VJ, man.asset.skin_VJ, atol=2e-5)


def test_a_cloud_without_a_rig_hangs_on_one_joint():
    about, arrays = unpacked(Character.of(Asset("scan", "cloud", "cloud.xyz", np.float32([[0, 0, 0], [1, 2, 3]]))).packed())
    assert not about["rigged"] and about["kinds"] == [] and set(arrays) == {"place", "bones", "shares"}
    assert arrays["bones"].tolist() == 16 * [0] and arrays["shares"].reshape(-1, 8)[:, 0].tolist() == [65535, 65535]


def test_arrays_are_aligned():
    about, arrays = unpacked(pack({"a": "ü"}, {"odd": np.uint8([1, 2, 3]), "next": np.float32([1.5])}))
    assert about["a"] == "ü" and arrays["next"].tolist() == [1.5] and about["arrays"]["next"]["start"] == 4


def test_before_and_after_smoothing():
    """A speckle that the network left is gone in the smoothed weights, which are computed from the network's own."""
    man = capsule_man(22, splits=2)
    network_VJ = man.skin_VJ.copy()
    speckle = int(np.argmax(man.skin_VJ[:, 0]))
    network_VJ[speckle] = np.eye(22)[ELBOW]
    character = Character.of(man, network_VJ)
    assert character.kinds == [IN_FILE, NETWORK, SMOOTHED]
    smoothed_VJ = character.skin(SMOOTHED)
    assert smoothed_VJ[speckle, ELBOW] < 0.5 and np.abs(smoothed_VJ.sum(1) - 1).max() < 1e-5
    assert character.skin(SMOOTHED) is smoothed_VJ and character.skin(NETWORK) is network_VJ
    with pytest.raises(KeyError):
        character.skin("other")


def test_network_weights_that_do_not_fit_are_left_out():
    man = capsule_man(22)
    assert Character.of(man, man.skin_VJ[:-1]).kinds == [IN_FILE, SMOOTHED]


def test_what_is_too_large_is_refused(monkeypatch):
    monkeypatch.setattr(module, "MOST_VERTICES", 10)
    with pytest.raises(AssetError, match="too large to show"):
        Character.of(capsule_man(22))
