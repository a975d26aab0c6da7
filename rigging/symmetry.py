"""Left and right of a mesh and of a skeleton, and weights that mirror each other bit for bit.

Letters: U distinct positions, J joints, M points on the plane. Lengths: unit box.
"""

import re
from typing import NamedTuple

import numpy as np

from geometry.neighbors import kd_tree
from rigging.rig import CharacterRig

SIDE = re.compile(r"left|right|(?<![a-z])[lr](?![a-z])", re.IGNORECASE)
OTHER_SIDE = {"left": "right", "right": "left", "l": "r", "r": "l"}


class Mirror(NamedTuple):
    """point_U, joint_J: the partner of each point and joint; on the plane, itself."""
    point_U: np.ndarray
    joint_J: np.ndarray

    def image(self, skin_UJ: np.ndarray) -> np.ndarray:
        return skin_UJ[self.point_U][:, self.joint_J]


def mirror_joints(names: tuple[str, ...]) -> np.ndarray:
    """(J,) int64: the joint whose name has left and right exchanged, else the joint itself."""
    def swap(match: re.Match) -> str:
        word = match[0]
        other = OTHER_SIDE[word.lower()]
        return other.upper() if word.isupper() else other.capitalize() if word[0].isupper() else other
    index = {name: j for j, name in enumerate(names)}
    return np.array([index.get(SIDE.sub(swap, name), j) for j, name in enumerate(names)], np.int64)


def find_mirror(points_U3: np.ndarray, rig: CharacterRig, tolerance: float) -> Mirror | str:
    """The symmetry of a mesh across the middle of its box, or why there is none."""
    joint_J = mirror_joints(rig.names)
    if (joint_J == np.arange(len(joint_J))).all():
        return "no two joints' names differ by left and right"
    turned_U3 = points_U3 @ np.asarray(rig.to_network_33, np.float64).T     # left at +X
    low_3, high_3 = turned_U3.min(0), turned_U3.max(0)
    flipped_U3 = np.column_stack([low_3[0] + high_3[0] - turned_U3[:, 0], turned_U3[:, 1:]])
    apart_U, point_U = kd_tree(turned_U3).query(flipped_U3)
    alone = int((apart_U > tolerance * (high_3 - low_3).max() / 2).sum())
    if alone:
        return f"{alone} of {len(points_U3)} points have no mirror image within {tolerance} of the unit box"
    unpaired = int((point_U[point_U] != np.arange(len(point_U))).sum())
    return f"{unpaired} points are not each other's mirror images" if unpaired else Mirror(point_U, joint_J)


def exactly_symmetric(skin_UJ: np.ndarray, mirror: Mirror) -> np.ndarray:
    """One side copied to the other bit for bit. On the plane, where trimming kept one joint of a pair, that joint goes too."""
    here_U = np.arange(len(skin_UJ))
    result_UJ = np.where((mirror.point_U < here_U)[:, None], mirror.image(skin_UJ), skin_UJ)
    middle = np.flatnonzero(mirror.point_U == here_U)
    row_MJ = result_UJ[middle] * (result_UJ[middle][:, mirror.joint_J] > 0)
    sum_M1 = row_MJ.sum(1, keepdims=True, dtype=np.float64)
    whole_M = sum_M1[:, 0] > 0      # k = 1 may leave nothing: such a row stays as it is
    result_UJ[middle[whole_M]] = (row_MJ[whole_M] / sum_M1[whole_M]).astype(np.float32)
    return result_UJ
