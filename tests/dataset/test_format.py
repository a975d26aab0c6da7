"""The contest's joints: order, tree, mirror pairs, and the names of other tools."""

import pytest

from dataset.format import (BODY_NAMES, BODY_PARENTS, DIALECTS, FINGER_TO_HAND, FULL_NAMES, FULL_PARENTS, SKELETONS, skeleton)


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
