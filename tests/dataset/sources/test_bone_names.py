"""Bone names of the rigs people bring: each list as its tool writes it, each joint found where it belongs."""

import pytest

from dataset.format import BODY_NAMES, DIALECTS, FULL_NAMES
from dataset.sources.bone_names import match_bones, match_vrm, reduce_name

BIPED = ("Bip01 Pelvis", "Bip01 Spine", "Bip01 Spine1", "Bip01 Spine2", "Bip01 Neck", "Bip01 Head")
RIGS = {  # tool -> the 22 body bones in the contest's order
    "unreal 4": ("pelvis", "spine_01", "spine_02", "spine_03", "neck_01", "head",
                 *(f"{part}_{s}" for s in "lr" for part in ("clavicle", "upperarm", "lowerarm", "hand")),
                 *(f"{part}_{s}" for s in "lr" for part in ("thigh", "calf", "foot", "ball"))),
    "unreal 5": ("pelvis", "spine_01", "spine_03", "spine_05", "neck_01", "head",
                 *(f"{part}_{s}" for s in "lr" for part in ("clavicle", "upperarm", "lowerarm", "hand")),
                 *(f"{part}_{s}" for s in "lr" for part in ("thigh", "calf", "foot", "ball"))),
    "vroid": (*(f"J_Bip_C_{part}" for part in ("Hips", "Spine", "Chest", "UpperChest", "Neck", "Head")),
              *(f"J_Bip_{s}_{part}" for s in "LR" for part in ("Shoulder", "UpperArm", "LowerArm", "Hand")),
              *(f"J_Bip_{s}_{part}" for s in "LR" for part in ("UpperLeg", "LowerLeg", "Foot", "ToeBase"))),
    "rigify": (*(f"DEF-spine{k}" for k in ("", ".001", ".002", ".003", ".004", ".006")),
               *(f"DEF-{part}.{s}" for s in "LR" for part in ("shoulder", "upper_arm", "forearm", "hand")),
               *(f"DEF-{part}.{s}" for s in "LR" for part in ("thigh", "shin", "foot", "toe"))),
    "biped": (*BIPED, *(f"Bip01 {s} {part}" for s in "LR" for part in ("Clavicle", "UpperArm", "Forearm", "Hand")),
              *(f"Bip01 {s} {part}" for s in "LR" for part in ("Thigh", "Calf", "Foot", "Toe0"))),
    "character creator": (*(f"CC_Base_{part}" for part in ("Hip", "Waist", "Spine01", "Spine02", "NeckTwist01", "Head")),
                          *(f"CC_Base_{s}_{part}" for s in "LR" for part in ("Clavicle", "Upperarm", "Forearm", "Hand")),
                          *(f"CC_Base_{s}_{part}" for s in "LR" for part in ("Thigh", "Calf", "Foot", "ToeBase"))),
    "daz": ("hip", "abdomenLower", "chestLower", "chestUpper", "neckLower", "head",
            *(s + part for s in "lr" for part in ("Collar", "ShldrBend", "ForearmBend", "Hand")),
            *(s + part for s in "lr" for part in ("ThighBend", "Shin", "Foot", "Toe"))),
    "smpl": ("pelvis", "spine1", "spine2", "spine3", "neck", "head",
             *(f"{s}_{part}" for s in ("left", "right") for part in ("collar", "shoulder", "elbow", "wrist")),
             *(f"{s}_{part}" for s in ("left", "right") for part in ("hip", "knee", "ankle", "foot"))),
}
FINGER_STYLES = {
    "unreal": lambda s, f, k: f"{f}_0{k}_{s}", "vroid": lambda s, f, k: f"J_Bip_{s.upper()}_{f.replace('pinky', 'little').title()}{k}",
    "rigify": lambda s, f, k: f"DEF-{'' if f == 'thumb' else 'f_'}{f}.0{k}.{s.upper()}",
    "biped": lambda s, f, k: f"Bip01 {s.upper()} Finger{('thumb', 'index', 'middle', 'ring', 'pinky').index(f)}{('', '1', '2')[k - 1]}",
    "character creator": lambda s, f, k: f"CC_Base_{s.upper()}_{f.replace('middle', 'mid').title()}{k}"}
# what else hangs in such rigs, and must not be taken for a joint
STRANGERS = ("root", "Armature", "head_leaf", "HeadTop_End", "spine_02_twist", "upperarm_twist_01_l", "ik_foot_l", "LeftFootCtrl", "Hair_L_01",
             "Sword", "LeftToe_End", "index_metacarpal_l", "J_Sec_L_Bust1", "DEF-upper_arm.L.001", "CC_Base_L_UpperarmTwist01", "", None)


@pytest.mark.parametrize("name, want", [
    ("mixamorig:LeftForeArm", ("l", "forearm")), ("mixamorig1:Spine2", ("", "spine2")), ("DEF-spine.003", ("", "spine3")),
    ("Bip01 R Toe0", ("r", "toe0")), ("Bip001 Pelvis", ("", "pelvis")), ("J_Bip_C_Hips", ("", "hips")), ("lowerarm_l", ("l", "lowerarm")),
    ("LThumb", ("l", "thumb")), ("rShldrBend", ("r", "shldrbend")), ("Armature|hand.R", ("r", "hand")), ("Bip01 L Finger01", ("l", "finger01")), ("", ("", ""))])
def test_names_are_reduced(name, want):
    assert reduce_name(name) == want


@pytest.mark.parametrize("rig", RIGS)
def test_each_tools_body_is_found(rig):
    names = (*STRANGERS, *RIGS[rig])
    assert match_bones(names) == {joint: len(STRANGERS) + j for j, joint in enumerate(BODY_NAMES)}


@pytest.mark.parametrize("style", FINGER_STYLES)
def test_each_tools_fingers_are_found(style):
    joints = FULL_NAMES[22:]
    names = [FINGER_STYLES[style](joint[0], joint.split("_")[2], int(joint[-1])) for joint in joints]
    assert match_bones((*STRANGERS, *names)) == {joint: len(STRANGERS) + k for k, joint in enumerate(joints)}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_names_that_we_write_are_read_again(dialect):
    names = [DIALECTS[dialect][joint] for joint in FULL_NAMES]
    assert match_bones(names) == {joint: j for j, joint in enumerate(FULL_NAMES)}


def test_partial_rigs_give_what_they_have():
    assert match_bones(["Hips", "LeftArm", "Tail"]) == {"hips": 0, "l_upper_arm": 1}
    assert match_bones([]) == {}


def test_the_first_bone_of_a_name_wins():
    assert match_bones(["mixamorig:Hips", "mixamorig1:Hips"])["hips"] == 0


def test_vrm_thumbs_of_both_versions():
    old = {f"leftThumb{word}": k for k, word in enumerate(("Proximal", "Intermediate", "Distal"))}
    new = {f"leftThumb{word}": k for k, word in enumerate(("Metacarpal", "Proximal", "Distal"))}
    want = {f"l_hand_thumb_{k + 1}": k for k in range(3)}
    assert match_vrm(old) == match_vrm(new) == want
