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


def _split(name: str) -> tuple[str, str]:
    """("l", "upper_arm"), or ("", "spine") on the middle line."""
    return (name[0], name[2:]) if name[:2] in ("l_", "r_") else ("", name)


def _segment(part: str) -> tuple[str, int]:
    """("index", 2) of "hand_index_2"."""
    _, finger, segment = part.split("_")
    return finger, int(segment)


def _mixamo(name: str) -> str:
    spine = {"hips": "Hips", "spine": "Spine", "chest": "Spine1", "upper_chest": "Spine2", "neck": "Neck", "head": "Head"}
    limbs = {"shoulder": "Shoulder", "upper_arm": "Arm", "lower_arm": "ForeArm", "hand": "Hand",
             "upper_leg": "UpLeg", "lower_leg": "Leg", "foot": "Foot", "toe_base": "ToeBase"}
    side, part = _split(name)
    if not side:
        return "mixamorig:" + spine[name]
    word = {"l": "Left", "r": "Right"}[side]
    if part in limbs:
        return f"mixamorig:{word}{limbs[part]}"
    finger, segment = _segment(part)
    return f"mixamorig:{word}Hand{finger.capitalize()}{segment}"


def _vrm(name: str) -> str:
    centre = {"upper_chest": "upperChest"}
    limbs = {"shoulder": "Shoulder", "upper_arm": "UpperArm", "lower_arm": "LowerArm", "hand": "Hand",
             "upper_leg": "UpperLeg", "lower_leg": "LowerLeg", "foot": "Foot", "toe_base": "Toes"}
    side, part = _split(name)
    if not side:
        return centre.get(name, name)
    word = {"l": "left", "r": "right"}[side]
    if part in limbs:
        return word + limbs[part]
    finger, segment = _segment(part)
    # VRM 1.0 calls the thumb's bones metacarpal, proximal, distal; VRM 0 and Unity proximal, intermediate, distal
    segments = (("Metacarpal", "Proximal", "Distal") if finger == "thumb"
                else ("Proximal", "Intermediate", "Distal"))
    finger = {"pinky": "little"}.get(finger, finger)
    return f"{word}{finger.capitalize()}{segments[segment - 1]}"


def _unity(name: str) -> str:
    """UnityEngine.HumanBodyBones: VRM's words with a capital, and the thumb as in VRM 0."""
    side, part = _split(name)
    if part.startswith("hand_thumb"):
        word = {"l": "Left", "r": "Right"}[side]
        return f"{word}Thumb{('Proximal', 'Intermediate', 'Distal')[_segment(part)[1] - 1]}"
    word = _vrm(name)
    return word[0].upper() + word[1:]


def _ue5(name: str) -> str:
    """Manny and Quinn of Unreal 5: five bones of spine, of which ours are the first, third and fifth."""
    centre = {"hips": "pelvis", "spine": "spine_01", "chest": "spine_03", "upper_chest": "spine_05", "neck": "neck_01", "head": "head"}
    limbs = {"shoulder": "clavicle", "upper_arm": "upperarm", "lower_arm": "lowerarm", "hand": "hand",
             "upper_leg": "thigh", "lower_leg": "calf", "foot": "foot", "toe_base": "ball"}
    side, part = _split(name)
    if not side:
        return centre[name]
    if part in limbs:
        return f"{limbs[part]}_{side}"
    finger, segment = _segment(part)
    return f"{finger}_{segment:02d}_{side}"


def _smpl(name: str) -> str:
    """SMPL's body and SMPL-H's fingers. SMPL names the joint where a bone begins: our hand is its wrist, our shoulder its collar."""
    centre = {"hips": "pelvis", "spine": "spine1", "chest": "spine2", "upper_chest": "spine3", "neck": "neck", "head": "head"}
    limbs = {"shoulder": "collar", "upper_arm": "shoulder", "lower_arm": "elbow", "hand": "wrist",
             "upper_leg": "hip", "lower_leg": "knee", "foot": "ankle", "toe_base": "foot"}
    side, part = _split(name)
    if not side:
        return centre[name]
    word = {"l": "left", "r": "right"}[side]
    if part in limbs:
        return f"{word}_{limbs[part]}"
    finger, segment = _segment(part)
    return f"{word}_{finger}{segment}"


# dialect -> our joint name -> that world's bone name
DIALECTS = {world: {n: name_of(n) for n in FULL_NAMES} for world, name_of in (
    ("contest", str), ("mixamo", _mixamo), ("vrm", _vrm), ("unity", _unity), ("ue5", _ue5), ("smpl", _smpl))}

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
