"""The contest's joints: names, parents, mirror pairs, groups, and the names other tools give them. The only copy.

Letters: J joints (22 body joints, or 52 with fingers). Index order is the contest's and is part of every file we write.
Source: the rigging track of the 5th Jittor AI Challenge (2025), boards A (22) and B (52).
"""

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


def _mixamo(name: str) -> str:
    spine = {"hips": "Hips", "spine": "Spine", "chest": "Spine1", "upper_chest": "Spine2", "neck": "Neck", "head": "Head"}
    limbs = {"shoulder": "Shoulder", "upper_arm": "Arm", "lower_arm": "ForeArm", "hand": "Hand",
             "upper_leg": "UpLeg", "lower_leg": "Leg", "foot": "Foot", "toe_base": "ToeBase"}
    if name in spine:
        return "mixamorig:" + spine[name]
    side, part = ("Left" if name[0] == "l" else "Right"), name[2:]
    if part in limbs:
        return f"mixamorig:{side}{limbs[part]}"
    _, finger, segment = part.split("_")
    return f"mixamorig:{side}Hand{finger.capitalize()}{segment}"


def _vrm(name: str) -> str:
    centre = {"upper_chest": "upperChest"}
    limbs = {"shoulder": "Shoulder", "upper_arm": "UpperArm", "lower_arm": "LowerArm", "hand": "Hand",
             "upper_leg": "UpperLeg", "lower_leg": "LowerLeg", "foot": "Foot", "toe_base": "Toes"}
    if name[:2] not in ("l_", "r_"):
        return centre.get(name, name)
    side, part = ("left" if name[0] == "l" else "right"), name[2:]
    if part in limbs:
        return side + limbs[part]
    _, finger, segment = part.split("_")
    # VRM 1.0 calls the thumb's bones metacarpal, proximal, distal; VRM 0 proximal, intermediate, distal
    segments = (("Metacarpal", "Proximal", "Distal") if finger == "thumb"
                else ("Proximal", "Intermediate", "Distal"))
    finger = {"pinky": "little"}.get(finger, finger)
    return f"{side}{finger.capitalize()}{segments[int(segment) - 1]}"


# dialect -> our joint name -> that world's bone name
DIALECTS = {
    "contest": {n: n for n in FULL_NAMES},
    "mixamo": {n: _mixamo(n) for n in FULL_NAMES},
    "vrm": {n: _vrm(n) for n in FULL_NAMES},
}
