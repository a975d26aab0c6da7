"""What other rigs call the contest's joints: mixamo, VRoid, Unreal, Rigify, Biped, Character Creator, Daz, SMPL, CMU and plain BVH.

A name is reduced to a side (l, r or "") and a key in lower case without prefix, side and separators:
"mixamorig:LeftForeArm" -> (l, forearm), "DEF-spine.003" -> ("", spine3), "Bip01 R Toe0" -> (r, toe0).
"""

import re
from collections.abc import Sequence

from dataset.format import BODY_NAMES, DIALECTS, FINGERS, FULL_NAMES

LONGEST = 256  # characters; what is longer is no bone's name
SIDES = {"l": "l", "left": "l", "r": "r", "right": "r"}
PREFIXES = {"mixamorig", "bip", "def", "j", "c", "cc", "base", "valve", "biped", "rig", "jnt", "b"}

# hips, spine, chest, upper_chest, neck, head; the first pattern with the most bones found wins
TORSOS = (
    ("hips|hip|pelvis", "spine", "spine1", "spine2", "neck|neck1", "head"),        # mixamo, Biped
    ("hips|hip|pelvis", "spine", "chest", "upperchest", "neck", "head"),           # VRM, VRoid
    ("pelvis|hips", "spine1", "spine3", "spine5", "neck1|neck", "head"),           # Unreal 5
    ("pelvis|hips", "spine1", "spine2", "spine3", "neck1|neck", "head"),           # Unreal 4
    ("spine", "spine1", "spine2", "spine3", "spine4", "spine6|spine5|head"),       # Rigify
    ("hips", "lowerback", "spine", "spine1", "neck", "head"),                      # CMU BVH
    ("hip", "waist", "spine1", "spine2", "necktwist1", "head"),                    # Character Creator
    ("hip|pelvis", "abdomenlower", "chestlower", "chestupper", "necklower", "head"),  # Daz
    ("hips|hip|pelvis", "abdomen|spine", "chest", "chest2|chest1", "neck", "head"),
)
ARMS = (("shoulder|clavicle|collar", "arm|upperarm|uparm|shldrbend", "forearm|lowerarm|forearmbend", "hand|wrist"),
        ("collar|clavicle|collarbone", "shoulder", "elbow|forearm", "wrist|hand"))
LEGS = (("upleg|upperleg|thigh|thighbend", "leg|lowerleg|calf|shin", "foot|ankle", "toebase|toes|toe|ball|toe0"),
        ("hip|thigh|upperleg", "knee|calf|shin", "ankle|foot", "toe|toes|toebase|foot"))  # SMPL's foot is the toe
ARM_PARTS = ("shoulder", "upper_arm", "lower_arm", "hand")
LEG_PARTS = ("upper_leg", "lower_leg", "foot", "toe_base")
FINGER_WORDS = {"pinky": ("pinky", "little", "pinkie"), "middle": ("middle", "mid")}
SEGMENT_WORDS = {1: "proximal", 2: "intermediate", 3: "distal"}
THUMB_WORDS = {1: "metacarpal", 2: "proximal", 3: "distal"}  # VRM 1.0


def reduce_name(name: str) -> tuple[str, str]:
    """-> (side, key) as the module's first lines say."""
    tokens = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", re.split(r"[:|]", name)[-1])
    tokens = [token.lower() for token in tokens]
    while len(tokens) > 1 and tokens[0] in PREFIXES:
        del tokens[:2 if tokens[0] == "bip" and tokens[1].isdigit() else 1]
    side = next((SIDES[token] for token in tokens if token in SIDES), "")
    tokens = [token for token in tokens if token not in SIDES]
    if tokens[:1] != ["finger"]:  # Biped's finger1 and finger01 are different bones
        tokens = [token.lstrip("0") or "0" if token.isdigit() else token for token in tokens]
    return side, "".join(tokens)


def match_bones(names: Sequence[str | None]) -> dict[str, int]:
    """Contest joint name -> index in `names`, for as many joints as the names give away. The first bone of a name wins."""
    found: dict[tuple[str, str], int] = {}
    for index, name in enumerate(names):
        if name and len(name) <= LONGEST:
            found.setdefault(reduce_name(name), index)
    match = _best(found, "", BODY_NAMES[:6], TORSOS)
    for side in ("l", "r"):
        match |= _best(found, side, [f"{side}_{part}" for part in ARM_PARTS], ARMS)
        match |= _best(found, side, [f"{side}_{part}" for part in LEG_PARTS], LEGS)
        match |= _fingers(found, side)
    return match


def _best(found: dict, side: str, joints: Sequence[str], patterns: Sequence[Sequence[str]]) -> dict[str, int]:
    """The pattern that names the most of `joints`, the earlier on a tie."""
    return max((_chain(found, side, joints, pattern) for pattern in patterns), key=len)


def _chain(found: dict, side: str, joints: Sequence[str], pattern: Sequence[str]) -> dict[str, int]:
    match = {}
    for joint, choices in zip(joints, pattern):
        index = next((found[side, key] for key in choices.split("|") if (side, key) in found), None)
        if index is not None and index not in match.values():
            match[joint] = index
    return match


def _fingers(found: dict, side: str) -> dict[str, int]:
    match = {}
    for number, finger in enumerate(FINGERS):
        words = THUMB_WORDS if finger == "thumb" and (side, "thumbmetacarpal") in found else SEGMENT_WORDS
        for segment in (1, 2, 3):
            keys = [f"finger{number}{('', '1', '2')[segment - 1]}"]
            for word in FINGER_WORDS.get(finger, (finger,)):
                keys += [f"{word}{segment}", f"hand{word}{segment}", f"f{word}{segment}", f"{word}{words[segment]}"]
            index = next((found[side, key] for key in keys if (side, key) in found), None)
            if index is not None:
                match[f"{side}_hand_{finger}_{segment}"] = index
    return match


def match_vrm(bones: dict[str, int]) -> dict[str, int]:
    """Contest joint name -> node, from a VRM humanoid's bone -> node (0.x and 1.0, which name the thumb differently)."""
    names = dict(DIALECTS["vrm"])
    if not any(bone.endswith("ThumbMetacarpal") for bone in bones):
        for side, word in (("l", "left"), ("r", "right")):
            names |= {f"{side}_hand_thumb_{k}": f"{word}Thumb{SEGMENT_WORDS[k].capitalize()}" for k in (1, 2, 3)}
    return {joint: bones[names[joint]] for joint in FULL_NAMES if names[joint] in bones}
