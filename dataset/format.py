"""The contest's joints: names, parents, mirror pairs, groups, and the names other tools give them. The only copy.

Letters: J joints (22 body joints, or 52 with fingers). Index order is the contest's and is part of every file we write.
Source: the rigging track of the 5th Jittor AI Challenge (2025), boards A (22) and B (52).
"""

from collections.abc import Callable
from typing import NamedTuple

BODY_NAMES = (
    "hips", "spine", "chest", "upper_chest", "neck", "head",
    "l_shoulder", "l_upper_arm", "l_lower_arm", "l_hand",
    "r_shoulder", "r_upper_arm", "r_lower_arm", "r_hand",
    "l_upper_leg", "l_lower_leg", "l_foot", "l_toe_base",
    "r_upper_leg", "r_lower_leg", "r_foot", "r_toe_base",
)
BODY_PARENTS = (None, 0, 1, 2, 3, 4, 3, 6, 7, 8, 3, 10, 11, 12, 0, 14, 15, 16, 0, 18, 19, 20)
FINGERS = ("thumb", "index", "middle", "ring", "pinky")
HAND_OF_SIDE = {"l": BODY_NAMES.index("l_hand"), "r": BODY_NAMES.index("r_hand")}


def _with_fingers() -> tuple[tuple[str, ...], tuple[int | None, ...]]:
    names, parents = list(BODY_NAMES), list(BODY_PARENTS)
    for side, hand in HAND_OF_SIDE.items():
        for finger in FINGERS:
            for segment in (1, 2, 3):
                parents.append(hand if segment == 1 else len(names) - 1)
                names.append(f"{side}_hand_{finger}_{segment}")
    return tuple(names), tuple(parents)


FULL_NAMES, FULL_PARENTS = _with_fingers()


class Skeleton(NamedTuple):
    """Joint names, parent indices (None for the root, parent < child) and mirror[j] = the joint on the other side."""
    names: tuple[str, ...]
    parents: tuple[int | None, ...]
    mirror: tuple[int, ...]


def _mirror(names: tuple[str, ...]) -> tuple[int, ...]:
    swap = {"l_": "r_", "r_": "l_"}
    return tuple(names.index(swap.get(n[:2], n[:2]) + n[2:]) for n in names)


SKELETONS = {22: Skeleton(BODY_NAMES, BODY_PARENTS, _mirror(BODY_NAMES)),
             52: Skeleton(FULL_NAMES, FULL_PARENTS, _mirror(FULL_NAMES))}

# body joint that takes a finger's weight when 52 joints become 22
FINGER_TO_HAND = {j: HAND_OF_SIDE[FULL_NAMES[j][0]] for j in range(22, 52)}


def skeleton(joint_count: int) -> Skeleton:
    """Raises: ValueError for any count but 22 and 52."""
    if joint_count not in SKELETONS:
        raise ValueError(f"{joint_count} joints: the contest's skeletons have 22 or 52")
    return SKELETONS[joint_count]


CENTRE = ("hips", "spine", "chest", "upper_chest", "neck", "head")
LIMBS = ("shoulder", "upper_arm", "lower_arm", "hand", "upper_leg", "lower_leg", "foot", "toe_base")


def _dialect(centre: str, limbs: str, sides: str, limb: str, finger: Callable[[str, str, int], str]) -> dict[str, str]:
    """Our joint names -> a world's bone names.

    centre, limbs: the world's words for CENTRE and LIMBS, in that order; sides: for left and right. limb: how a {side} and a {bone} make
    a name; finger(side, finger, segment 1-3): the name of a finger's bone.
    """
    words, side_of = dict(zip(CENTRE + LIMBS, (centre + " " + limbs).split(), strict=True)), dict(zip("lr", sides.split(), strict=True))

    def name_of(name: str) -> str:
        if name in CENTRE:
            return words[name]
        side, part = side_of[name[0]], name[2:]
        if part in LIMBS:
            return limb.format(side=side, bone=words[part])
        _, which, segment = part.split("_")
        return finger(side, which, int(segment))
    return {name: name_of(name) for name in FULL_NAMES}


def _phalanx(side: str, finger: str, segment: int, thumb: tuple[str, ...]) -> str:
    bones = thumb if finger == "thumb" else ("Proximal", "Intermediate", "Distal")
    return side + ("little" if finger == "pinky" else finger).capitalize() + bones[segment - 1]


_VRM_LIMBS = "Shoulder UpperArm LowerArm Hand UpperLeg LowerLeg Foot Toes"

# dialect -> our joint name -> that world's bone name
DIALECTS = {
    "contest": {name: name for name in FULL_NAMES},
    "mixamo": _dialect(
        "mixamorig:Hips mixamorig:Spine mixamorig:Spine1 mixamorig:Spine2 mixamorig:Neck mixamorig:Head",
        "Shoulder Arm ForeArm Hand UpLeg Leg Foot ToeBase", "Left Right", "mixamorig:{side}{bone}",
        lambda side, finger, segment: f"mixamorig:{side}Hand{finger.capitalize()}{segment}"),
    # VRM 1.0 calls the thumb's bones metacarpal, proximal, distal; VRM 0 and Unity proximal, intermediate, distal
    "vrm": _dialect("hips spine chest upperChest neck head", _VRM_LIMBS, "left right", "{side}{bone}",
                    lambda *which: _phalanx(*which, ("Metacarpal", "Proximal", "Distal"))),
    "unity": _dialect("Hips Spine Chest UpperChest Neck Head", _VRM_LIMBS, "Left Right", "{side}{bone}",
                      lambda *which: _phalanx(*which, ("Proximal", "Intermediate", "Distal"))),
    # Manny and Quinn of Unreal 5: five bones of spine, of which ours are the first, third and fifth
    "ue5": _dialect("pelvis spine_01 spine_03 spine_05 neck_01 head", "clavicle upperarm lowerarm hand thigh calf foot ball", "l r",
                    "{bone}_{side}", lambda side, finger, segment: f"{finger}_{segment:02d}_{side}"),
    # SMPL's body and SMPL-H's fingers. SMPL names the joint where a bone begins: our hand is its wrist, our shoulder its collar
    "smpl": _dialect("pelvis spine1 spine2 spine3 neck head", "collar shoulder elbow wrist hip knee ankle foot", "left right",
                     "{side}_{bone}", lambda side, finger, segment: f"{side}_{finger}{segment}"),
}

# bones that a world has and we do not: dialect -> name -> our joint before which (root) or below which it hangs
EXTRA_BONES = {"ue5": {"root": "hips", "spine_02": "spine", "spine_04": "chest"},
               "smpl": {"left_hand": "l_hand", "right_hand": "r_hand"}}


def _smpl_order() -> tuple[str, ...]:
    """SMPL's 22 body joints and 2 hands, then SMPL-H's fingers, as the models' files number them."""
    body = ["pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2", "left_ankle", "right_ankle", "spine3",
            "left_foot", "right_foot", "neck", "left_collar", "right_collar", "head", "left_shoulder", "right_shoulder",
            "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hand", "right_hand"]
    return (*body, *(f"{side}_{finger}{k}" for side in ("left", "right") for finger in ("index", "middle", "pinky", "ring", "thumb")
                     for k in (1, 2, 3)))


def _ue5_order() -> tuple[str, ...]:
    """The contest's order with each bone of Unreal's own right below its anchor, and its root first."""
    below = {anchor: name for name, anchor in EXTRA_BONES["ue5"].items() if name != "root"}
    names = ((DIALECTS["ue5"][joint], below.get(joint)) for joint in FULL_NAMES)
    return ("root", *(name for pair in names for name in pair if name))


# dialects whose bones have an order of their own; the others keep the contest's
ORDERS = {"smpl": _smpl_order(), "ue5": _ue5_order()}
