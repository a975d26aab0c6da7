"""Rest orientations of Mixamo's and Unreal's bones on any figure, whatever pose it rests in.

A table gives each bone's axes in the T pose; the shortest rotation from the bone's T direction to its direction at rest carries them.
Sources of the tables: docs/skeletons.md.
Letters: J joints of the contest (22 or 52). Frame: the network's (Z up, facing -Y, left at +X); axes are columns.
"""

import numpy as np

from dataset.format import BODY_NAMES, skeleton
from geometry.kinematics import rotation_between

_WAY = {"L": (1, 0, 0), "R": (-1, 0, 0), "B": (0, 1, 0), "F": (0, -1, 0), "U": (0, 0, 1), "D": (0, 0, -1)}
_TORSO, _LEG = ("hips", "spine", "chest", "upper_chest", "neck", "head"), ("upper_leg", "lower_leg")
_ARM = ("shoulder", "upper_arm", "lower_arm")
# X, Y, Z of each bone in the T pose: L(eft), R(ight), F(ront), B(ack), U(p), D(own) of the figure
MIXAMO = ({name: "LUF" for name in _TORSO} | {"l_" + part: "BLD" for part in (*_ARM, "hand")}
          | {"r_" + part: "FRD" for part in (*_ARM, "hand")}
          | {f"{side}_{part}": "RDF" for side in "lr" for part in _LEG}
          | {f"{side}_{part}": "RFU" for side in "lr" for part in ("foot", "toe_base")})
UE5 = ({name: "UBR" for name in _TORSO} | {"l_" + part: "LBU" for part in _ARM} | {"r_" + part: "LFD" for part in _ARM}
       | {"l_hand": "LDB", "r_hand": "LUF"} | {"l_" + part: "UBR" for part in (*_LEG, "foot")}
       | {"r_" + part: "DFR" for part in (*_LEG, "foot")} | {"l_toe_base": "FUR", "r_toe_base": "BDR"})
# the joint that a body's bone points to
_TARGETS = ({"spine": "chest", "chest": "upper_chest", "upper_chest": "neck", "neck": "head"}
            | {f"{side}_{bone}": f"{side}_{target}" for side in "lr" for bone, target in (
                ("shoulder", "upper_arm"), ("upper_arm", "lower_arm"), ("lower_arm", "hand"), ("hand", "hand_middle_1"),
                ("upper_leg", "lower_leg"), ("lower_leg", "foot"), ("foot", "toe_base"))})


def mixamo_frames(joints_J3: np.ndarray) -> np.ndarray:
    """(J, 3, 3): +Y along each bone; Z to the front in torso and legs, down in arms and hands, up in feet and toes.

    Hips and head stand upright; toes lie flat and point where the foot does.
    """
    return _frames(joints_J3, MIXAMO, {"hips", "head"})


def ue5_frames(joints_J3: np.ndarray) -> np.ndarray:
    """(J, 3, 3): X along each bone, on the left arm, the torso and the right leg towards the child, on the others away from it.

    Pelvis, head and feet stand upright; toes (ball) lie flat and point where the foot does.
    """
    return _frames(joints_J3, UE5, {"hips", "head", "l_foot", "r_foot"})


def _frames(joints_J3: np.ndarray, table: dict[str, str], upright: set[str]) -> np.ndarray:
    """upright: bones that keep their axes of the T pose."""
    joints_J3, out_J33 = np.asarray(joints_J3, np.float64), np.empty((len(joints_J3), 3, 3))
    names = skeleton(len(joints_J3)).names
    for j, (name, way_3) in enumerate(zip(names, _directions(joints_J3, names))):
        axes_33 = np.array([_WAY[way] for way in table[name if name in table else f"{name[0]}_hand"]], float).T
        out_J33[j] = axes_33 if name in upright else rotation_between(_t_direction(name), way_3) @ axes_33
    return out_J33


def _part(name: str) -> str:
    return name[2:] if name[:2] in ("l_", "r_") else name


def _t_direction(name: str) -> np.ndarray:
    """Where the bone points in the T pose: arms and hands to their side."""
    part = _part(name)
    way = "U" if part in _TORSO else "D" if part in _LEG else "F" if part in ("foot", "toe_base") else name[0].upper()
    return np.array(_WAY[way], float)


def _directions(joints_J3: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """(J, 3): where each bone points at rest, of any length but zero.

    Without an end or a length, hands and fingers go on as the bone before them, all others keep the T direction.
    """
    parents, index = skeleton(len(joints_J3)).parents, {name: j for j, name in enumerate(names)}
    out_J3 = np.stack([_t_direction(name) for name in names])
    for j, name in enumerate(names):
        if j >= len(BODY_NAMES):
            target = index.get(f"{name[:-1]}{int(name[-1]) + 1}")
        else:
            target = index.get(_TARGETS.get(name))
        way_3 = np.zeros(3) if target is None else joints_J3[target] - joints_J3[j]
        if _part(name) == "toe_base":
            way_3 = (joints_J3[j] - joints_J3[parents[j]]) * (1, 1, 0)
        if way_3.any():
            out_J3[j] = way_3
        elif _part(name).startswith("hand"):
            out_J3[j] = out_J3[parents[j]]
    return out_J3
