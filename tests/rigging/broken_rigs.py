"""Deliberately broken rigs: what goes wrong with rigs in practice, made from a good one. Each must be flagged (test_quality_broken.py).

Each entry: what is wrong -> function of a Case that returns a rig. Letters: V vertices, J joints.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from dataset.format import skeleton
from geometry.topology import components, welded
from rigging.rig import CharacterRig


class Case(NamedTuple):
    """A good rig and its mesh. height: of the figure, file's units."""
    vertices_V3: np.ndarray
    faces_F3: np.ndarray
    rig: CharacterRig

    @property
    def height(self) -> float:
        return float(np.ptp(self.vertices_V3 @ self.rig.to_network_33.T, axis=0)[2])

    def way(self, x: float, y: float, z: float) -> np.ndarray:
        """A direction of the figure (left, back, up) in the file's axes."""
        return np.array([x, y, z], np.float64) @ self.rig.to_network_33

    def j(self, name: str) -> int:
        return self.rig.names.index(name)

    def all(self, *parts: str) -> list[int]:
        return [j for j, name in enumerate(self.rig.names) if any(part in name for part in parts)]

    def moved(self, joints: list[int], by_3: np.ndarray) -> CharacterRig:
        joints_J3 = np.array(self.rig.joints_J3, np.float64)
        joints_J3[joints] += by_3
        return replace(self.rig, joints_J3=joints_J3)

    def turned(self, matrix_33: np.ndarray) -> CharacterRig:
        """Joints turned about the middle of the skeleton's box; the matrix acts in the figure's axes."""
        joints_J3 = np.asarray(self.rig.joints_J3, np.float64)
        middle_3 = (joints_J3.min(0) + joints_J3.max(0)) / 2
        in_file_33 = self.rig.to_network_33.T @ matrix_33 @ self.rig.to_network_33
        return replace(self.rig, joints_J3=(joints_J3 - middle_3) @ in_file_33.T + middle_3)

    def weighted(self, skin_VJ: np.ndarray) -> CharacterRig:
        return replace(self.rig, skin_VJ=np.asarray(skin_VJ, np.float32))

    def skin(self) -> np.ndarray:
        return np.array(self.rig.skin_VJ, np.float32)


def left_and_right_swapped(case: Case) -> CharacterRig:
    mirror = list(skeleton(case.rig.joint_count).mirror)
    return replace(case.rig, joints_J3=case.rig.joints_J3[mirror], skin_VJ=case.rig.skin_VJ[:, mirror])


def front_and_back_mirrored(case: Case) -> CharacterRig:
    return case.turned(np.diag([1.0, -1.0, 1.0]))


def joint_far_off(case: Case) -> CharacterRig:
    return case.moved([case.j("l_lower_arm")], case.way(0, 0, 0.25 * case.height))


def two_joints_at_one_place(case: Case) -> CharacterRig:
    joints_J3 = np.array(case.rig.joints_J3)
    joints_J3[case.j("r_lower_arm")] = joints_J3[case.j("r_upper_arm")]
    return replace(case.rig, joints_J3=joints_J3)


def all_weights_on_the_root(case: Case) -> CharacterRig:
    return case.weighted(np.eye(case.rig.joint_count)[np.zeros(len(case.vertices_V3), int)])


def weights_shuffled(case: Case) -> CharacterRig:
    return case.weighted(case.rig.skin_VJ[np.random.default_rng(0).permutation(len(case.vertices_V3))])


def columns_shuffled(case: Case) -> CharacterRig:
    return case.weighted(case.rig.skin_VJ[:, np.random.default_rng(1).permutation(case.rig.joint_count)])


def hand_bleeds_onto_the_thigh(case: Case) -> CharacterRig:
    """Half of the weight of every vertex of the left thigh goes to the left hand."""
    skin_VJ = case.skin()
    half_V = skin_VJ[:, case.j("l_upper_leg")] / 2
    skin_VJ[:, case.j("l_upper_leg")] -= half_V
    skin_VJ[:, case.j("l_hand")] += half_V
    return case.weighted(skin_VJ)


def one_leg_moves_with_the_other(case: Case) -> CharacterRig:
    skin_VJ = case.skin()
    for part in ("upper_leg", "lower_leg", "foot", "toe_base"):
        skin_VJ[:, case.j(f"r_{part}")] += skin_VJ[:, case.j(f"l_{part}")]
        skin_VJ[:, case.j(f"l_{part}")] = 0
    return case.weighted(skin_VJ)


def not_a_number(case: Case) -> CharacterRig:
    skin_VJ = case.skin()
    skin_VJ[len(skin_VJ) // 2, 0] = np.nan
    return case.weighted(skin_VJ)


def rows_sum_to_nine_tenths(case: Case) -> CharacterRig:
    return case.weighted(0.9 * case.skin())


def unweighted_island(case: Case) -> CharacterRig:
    """The smallest shell, or where there is one only the 1 % of its vertices that are highest, has no weights."""
    skin_VJ = case.skin()
    place_V = welded(case.vertices_V3)[1]
    label_V = components(place_V[case.faces_F3], int(place_V.max()) + 1)[place_V]
    rise_V = case.vertices_V3 @ case.way(0, 0, 1)
    counts_C = np.bincount(label_V)
    island_V = label_V == counts_C.argmin() if len(counts_C) > 1 else rise_V > np.quantile(rise_V, 0.99)
    skin_VJ[island_V] = 0
    return case.weighted(skin_VJ)


def negative_weights(case: Case) -> CharacterRig:
    """The hips get -0.2 on a tenth of the vertices, the strongest joint of each what is missing."""
    skin_VJ = case.skin()
    rows = np.arange(0, len(skin_VJ), 10)
    skin_VJ[rows, skin_VJ[rows].argmax(1)] += 0.2 + skin_VJ[rows, 0]
    skin_VJ[rows, 0] = -0.2
    return case.weighted(skin_VJ)


def noisy_weights(case: Case) -> CharacterRig:
    """30 % of the weight is spread over all joints at random."""
    noise_VJ = np.random.default_rng(2).random(case.rig.skin_VJ.shape) ** 4
    return case.weighted(0.7 * case.skin() + 0.3 * noise_VJ / noise_VJ.sum(1, keepdims=True))


def all_joints_shifted(case: Case) -> CharacterRig:
    """By 10 cm of a person of 170 cm, to the front."""
    return case.moved(list(range(case.rig.joint_count)), case.way(0, -10 / 170 * case.height, 0))


def skeleton_too_small(case: Case) -> CharacterRig:
    return case.turned(0.7 * np.eye(3))


def spine_behind_the_body(case: Case) -> CharacterRig:
    return case.moved(case.all("spine", "chest"), case.way(0, 0.2 * case.height, 0))


def head_moves_with_the_hand(case: Case) -> CharacterRig:
    skin_VJ = case.skin()
    skin_VJ[:, case.j("r_hand")] += skin_VJ[:, case.j("head")]
    skin_VJ[:, case.j("head")] = 0
    return case.weighted(skin_VJ)


def knee_at_the_ankle(case: Case) -> CharacterRig:
    """Nine tenths of the way down the shin."""
    knee, ankle = case.j("l_lower_leg"), case.j("l_foot")
    return case.moved([knee], 0.9 * (case.rig.joints_J3[ankle] - case.rig.joints_J3[knee]))


def arm_in_reverse_order(case: Case) -> CharacterRig:
    chain = [case.j(f"l_{part}") for part in ("shoulder", "upper_arm", "lower_arm", "hand")]
    joints_J3 = np.array(case.rig.joints_J3)
    joints_J3[chain] = joints_J3[chain[::-1]]
    return replace(case.rig, joints_J3=joints_J3)


def turned_by_90_degrees(case: Case) -> CharacterRig:
    return case.turned(np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]))


def arms_move_the_legs(case: Case) -> CharacterRig:
    skin_VJ = case.skin()
    for arm, leg in (("upper_arm", "upper_leg"), ("lower_arm", "lower_leg"), ("hand", "foot")):
        for side in "lr":
            pair = [case.j(f"{side}_{arm}"), case.j(f"{side}_{leg}")]
            skin_VJ[:, pair] = skin_VJ[:, pair[::-1]]
    return case.weighted(skin_VJ)


BROKEN: dict[str, Callable[[Case], CharacterRig]] = {breakage.__name__.replace("_", " "): breakage for breakage in (
    left_and_right_swapped, front_and_back_mirrored, joint_far_off, two_joints_at_one_place, all_weights_on_the_root, weights_shuffled,
    columns_shuffled, hand_bleeds_onto_the_thigh, one_leg_moves_with_the_other, not_a_number, rows_sum_to_nine_tenths, unweighted_island,
    negative_weights, noisy_weights, all_joints_shifted, skeleton_too_small, spine_behind_the_body, head_moves_with_the_hand,
    knee_at_the_ankle, arm_in_reverse_order, turned_by_90_degrees, arms_move_the_legs)}
