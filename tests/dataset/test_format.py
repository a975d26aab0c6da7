"""The contest's joints: order, tree, mirror pairs, and the names of other tools."""

import pytest

from dataset.format import (BODY_NAMES, BODY_PARENTS, DIALECTS, EXTRA_BONES, FINGER_TO_HAND, FULL_NAMES, FULL_PARENTS, ORDERS, SKELETONS,
                            skeleton)


def test_published_parents():
    assert list(BODY_PARENTS) == [None, 0, 1, 2, 3, 4, 3, 6, 7, 8, 3, 10, 11, 12, 0, 14, 15, 16, 0, 18, 19, 20]
    assert list(FULL_PARENTS[22:]) == [9, 22, 23, 9, 25, 26, 9, 28, 29, 9, 31, 32, 9, 34, 35,
                                       13, 37, 38, 13, 40, 41, 13, 43, 44, 13, 46, 47, 13, 49, 50]


def test_order_of_names():
    assert FULL_NAMES[:22] == BODY_NAMES and len(FULL_NAMES) == 52
    assert (FULL_NAMES[22], FULL_NAMES[36], FULL_NAMES[37], FULL_NAMES[51]) == (
        "l_hand_thumb_1", "l_hand_pinky_3", "r_hand_thumb_1", "r_hand_pinky_3")


@pytest.mark.parametrize("count", [22, 52])
def test_skeleton_laws(count):
    bones = skeleton(count)
    assert len(bones.names) == len(bones.parents) == len(bones.mirror) == len(set(bones.names)) == count
    assert bones.parents[0] is None and all(p < j for j, p in enumerate(bones.parents) if j)
    for j, m in enumerate(bones.mirror):
        assert bones.mirror[m] == j
        assert (m == j) == (bones.names[j][:2] not in ("l_", "r_"))
        if j:       # the mirror image of a bone is a bone
            assert bones.mirror[bones.parents[j]] == bones.parents[m]


def test_fingers_belong_to_the_hand_of_their_side():
    assert sorted(FINGER_TO_HAND) == list(range(22, 52))
    assert all(FULL_NAMES[h] == FULL_NAMES[f][:6] for f, h in FINGER_TO_HAND.items())


def test_other_counts_are_refused():
    with pytest.raises(ValueError, match="23 joints"):
        skeleton(23)
    assert set(SKELETONS) == {22, 52}


def test_dialects():
    for world, names in DIALECTS.items():
        assert list(names) == list(FULL_NAMES) and len(set(names.values())) == 52, world
    assert DIALECTS["mixamo"]["l_upper_leg"] == "mixamorig:LeftUpLeg"
    assert DIALECTS["mixamo"]["r_hand_pinky_3"] == "mixamorig:RightHandPinky3"
    assert DIALECTS["vrm"]["l_hand_thumb_1"] == "leftThumbMetacarpal"
    assert DIALECTS["vrm"]["r_hand_pinky_3"] == "rightLittleDistal"
    assert DIALECTS["vrm"]["upper_chest"] == "upperChest" and DIALECTS["vrm"]["r_toe_base"] == "rightToes"
    assert [DIALECTS["unity"][n] for n in ("hips", "upper_chest", "l_toe_base", "r_hand_thumb_2", "l_hand_pinky_1")] == [
        "Hips", "UpperChest", "LeftToes", "RightThumbIntermediate", "LeftLittleProximal"]
    assert [DIALECTS["ue5"][n] for n in ("hips", "spine", "chest", "upper_chest", "neck", "r_upper_arm", "l_toe_base", "r_hand_ring_2")] == [
        "pelvis", "spine_01", "spine_03", "spine_05", "neck_01", "upperarm_r", "ball_l", "ring_02_r"]
    assert [DIALECTS["smpl"][n] for n in ("hips", "chest", "l_shoulder", "l_upper_arm", "r_hand", "l_upper_leg", "r_foot", "l_toe_base")] == [
        "pelvis", "spine2", "left_collar", "left_shoulder", "right_wrist", "left_hip", "right_ankle", "left_foot"]


def test_bones_that_only_other_worlds_have():
    for world, extra in EXTRA_BONES.items():
        assert not set(extra) & set(DIALECTS[world].values()) and set(extra.values()) <= set(FULL_NAMES), world
    assert ORDERS["ue5"][:9] == ("root", "pelvis", "spine_01", "spine_02", "spine_03", "spine_04", "spine_05", "neck_01", "head")
    # the numbers that SMPL's papers and files use
    order = ORDERS["smpl"]
    assert [order.index(name) for name in ("pelvis", "spine1", "neck", "left_wrist", "right_hand")] == [0, 3, 12, 20, 23]
    with_fingers = [name for name in order if name not in EXTRA_BONES["smpl"]]  # SMPL-H has no hand bones
    assert [with_fingers.index(name) for name in ("right_wrist", "left_index1", "left_thumb3", "right_thumb3")] == [21, 22, 36, 51]
    assert sorted(order) == sorted((*DIALECTS["smpl"].values(), *EXTRA_BONES["smpl"]))
