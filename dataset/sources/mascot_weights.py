"""Skin weights of procedural mascots, as riggers paint them: joints hand over to the next within a band.

Letters: V vertices, J joints (52), C joints of a chain. Frame: Y up, facing +Z, the left at +X. Every row sums to 1.
"""

import numpy as np

from dataset.sources.mascot_rig import INDEX

TRUNK = ("hips", "spine", "chest", "upper_chest", "neck", "head")
ARM = ("l_shoulder", "l_upper_arm", "l_lower_arm", "l_hand")
LEG = ("l_upper_leg", "l_lower_leg", "l_foot", "l_toe_base")
FINGERS = ("index", "middle", "ring", "pinky")
# where painted weights change hands beside the joint: nine auto-rigged characters give the neck this share of its bone to the chest, and
# the upper arm this share of its bone to the clavicle
NECK_STARTS, ARM_STARTS = 0.3, 0.1


def smooth(x: np.ndarray) -> np.ndarray:
    """0 below 0, 1 above 1, 3 x^2 - 2 x^3 between."""
    x = np.clip(x, 0.0, 1.0)
    return x * x * (3 - 2 * x)


def chain(place_V: np.ndarray, bounds: np.ndarray, bands: np.ndarray) -> np.ndarray:
    """(V, C): joint c rules from bounds[c - 1] to bounds[c]; at each bound the next takes over within its band. C = len(bounds) + 1."""
    passed_VC = np.cumprod(smooth((place_V[:, None] - bounds) / bands + 0.5), axis=1)
    ones_V1 = np.ones((len(place_V), 1))
    return np.concatenate([ones_V1, passed_VC], 1) - np.concatenate([passed_VC, 0 * ones_V1], 1)


def rigid(count: int, **shares: float) -> np.ndarray:
    """(count, 52) with the same shares of named joints in every row."""
    skin_VJ = np.zeros((count, 52))
    for name, share in shares.items():
        skin_VJ[:, INDEX[name]] = share
    return skin_VJ


def spread(names: tuple[str, ...], weights_VC: np.ndarray) -> np.ndarray:
    """(V, 52) from the columns of a chain."""
    skin_VJ = np.zeros((len(weights_VC), 52))
    for name, weight_V in zip(names, weights_VC.T):
        skin_VJ[:, INDEX[name]] += weight_V
    return skin_VJ


def trunk_weights(vertices_V3: np.ndarray, joints_J3: np.ndarray, softness: float, arm_radius: float,
                  head: bool = False) -> np.ndarray:
    """Along the spine by height; near the sides to clavicles and upper arms; below the thighs to the legs.

    softness: bands, shares of the distance between neighbouring joints. head: the surface is the head too (a body without a neck);
    else what reaches above the neck stays with the neck.
    """
    names = TRUNK if head else TRUNK[:5]
    heights = joints_J3[[INDEX[n] for n in names], 1]
    bounds = heights[1:].copy()
    bounds[3] += NECK_STARTS * (joints_J3[INDEX["head"], 1] - joints_J3[INDEX["neck"], 1])
    skin_VJ = spread(names, chain(vertices_V3[:, 1], bounds, softness * np.diff(heights) * 1.5))
    x, y = np.abs(vertices_V3[:, 0]), vertices_V3[:, 1]
    for side, sign in (("l", 1.0), ("r", -1.0)):
        arm_3, clavicle_3 = joints_J3[INDEX[f"{side}_upper_arm"]], joints_J3[INDEX[f"{side}_shoulder"]]
        near_V = np.exp(-((y - arm_3[1]) / (1.6 * arm_radius)) ** 2) * (sign * vertices_V3[:, 0] > 0)
        reach = abs(arm_3[0] - clavicle_3[0]) + 1e-6
        to_clavicle_V = 0.5 * near_V * smooth((x - abs(clavicle_3[0])) / reach)
        to_arm_V = near_V * smooth((x - abs(arm_3[0]) + 0.6 * arm_radius) / (1.6 * arm_radius))
        skin_VJ = _hand_over(skin_VJ, f"{side}_shoulder", to_clavicle_V)
        skin_VJ = _hand_over(skin_VJ, f"{side}_upper_arm", to_arm_V)
        skin_VJ = _hand_over(skin_VJ, f"{side}_upper_leg", _thigh_share(vertices_V3, joints_J3, side, sign))
    return skin_VJ


def _hand_over(skin_VJ: np.ndarray, name: str, share_V: np.ndarray) -> np.ndarray:
    """Joint `name` takes this share of each vertex from all others."""
    skin_VJ = skin_VJ * (1 - share_V[:, None])
    skin_VJ[:, INDEX[name]] += share_V
    return skin_VJ


def _thigh_share(vertices_V3: np.ndarray, joints_J3: np.ndarray, side: str, sign: float) -> np.ndarray:
    """Of a trunk's vertices: grows downwards across the thigh's height, and outwards from the middle."""
    thigh_3 = joints_J3[INDEX[f"{side}_upper_leg"]]
    band = 0.35 * (joints_J3[INDEX["spine"], 1] - thigh_3[1])
    low_V = smooth((thigh_3[1] + 0.2 * band - vertices_V3[:, 1]) / (2 * band) + 0.3)
    out_V = smooth((sign * vertices_V3[:, 0] - 0.1 * abs(thigh_3[0])) / (0.8 * abs(thigh_3[0])))
    return 0.85 * low_V * out_V


def arm_weights(along_V: np.ndarray, start: float, joints_J3: np.ndarray, radius: float, softness: float) -> np.ndarray:
    """Of a tube along the left arm. start: arc length of the tube before the shoulder joint."""
    upper, fore = _lengths(joints_J3, ("l_upper_arm", "l_lower_arm", "l_hand"))
    bounds = start + np.array([ARM_STARTS * upper, upper, upper + fore])
    bands = np.minimum(np.array([1.4, 2.0, 1.2]) * radius * softness * 1.6, 0.8 * min(upper, fore))
    return spread(ARM, chain(along_V, bounds, bands))


def leg_weights(along_V: np.ndarray, start: float, joints_J3: np.ndarray, radius: float, softness: float) -> np.ndarray:
    """Of a tube along the left leg down to the ankle. start: arc length of the tube above the thigh joint."""
    thigh, shin = _lengths(joints_J3, ("l_upper_leg", "l_lower_leg", "l_foot"))
    bounds = start + np.array([0.0, thigh, thigh + shin])
    bands = np.minimum(np.array([1.2, 2.0, 1.2]) * radius * softness * 1.6, 0.8 * min(thigh, shin))
    return spread(("hips",) + LEG[:3], chain(along_V, bounds, bands))


def _lengths(joints_J3: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    places = joints_J3[[INDEX[n] for n in names]]
    return np.linalg.norm(np.diff(places, axis=0), axis=1)


def foot_weights(vertices_V3: np.ndarray, joints_J3: np.ndarray) -> np.ndarray:
    """Of the left shoe: foot, and toes from the ball on; the shaft above the ankle goes to the shin."""
    foot_3, ball_3 = joints_J3[INDEX["l_foot"]], joints_J3[INDEX["l_toe_base"]]
    way_3 = (ball_3 - foot_3) * [1.0, 0.0, 1.0]
    length = np.linalg.norm(way_3) + 1e-9
    along_V = (vertices_V3 - foot_3) @ (way_3 / length)
    skin_VJ = spread(LEG[2:], chain(along_V, np.array([length]), np.array([0.5 * length])))
    return _hand_over(skin_VJ, "l_lower_leg", smooth((vertices_V3[:, 1] - foot_3[1]) / (0.6 * foot_3[1] + 1e-6)))


def mitten_weights(vertices_V3: np.ndarray, joints_J3: np.ndarray) -> np.ndarray:
    """Of a left hand without separate fingers, shared between hand and fingers by where they would lie."""
    wrist_3 = joints_J3[INDEX["l_hand"]]
    along_3 = joints_J3[INDEX["l_hand_middle_3"]] - wrist_3
    along_3 /= np.linalg.norm(along_3)
    across_3 = joints_J3[INDEX["l_hand_index_1"]] - joints_J3[INDEX["l_hand_pinky_1"]]
    across_3 /= np.linalg.norm(across_3)
    knuckles = np.array([joints_J3[INDEX[f"l_hand_middle_{k}"]] - wrist_3 for k in (1, 2, 3)]) @ along_3
    along_VC = chain((vertices_V3 - wrist_3) @ along_3, knuckles, np.full(3, 0.7 * np.diff(knuckles).mean()))
    skin_VJ = rigid(len(vertices_V3), l_hand=1.0) * along_VC[:, :1]
    across_V = (vertices_V3 - wrist_3) @ across_3
    lanes = np.array([joints_J3[INDEX[f"l_hand_{f}_1"]] - wrist_3 for f in FINGERS[::-1]]) @ across_3
    lane_VC = chain(across_V, 0.5 * (lanes[1:] + lanes[:-1]), 0.6 * np.diff(lanes))
    for finger, lane_V in zip(FINGERS[::-1], lane_VC.T):
        for segment in (1, 2, 3):
            skin_VJ[:, INDEX[f"l_hand_{finger}_{segment}"]] += lane_V * along_VC[:, segment]
    return skin_VJ


def finger_weights(along_V: np.ndarray, length: float, finger: str) -> np.ndarray:
    """Of a finger's tube that begins in the palm: hand, then the three segments at equal distances."""
    names = ("l_hand",) + tuple(f"l_hand_{finger}_{k}" for k in (1, 2, 3))
    return spread(names, chain(along_V / length, np.array([0.15, 0.45, 0.7]), np.array([0.2, 0.18, 0.16])))


def skirt_weights(vertices_V3: np.ndarray, joints_J3: np.ndarray, softness: float, arm_radius: float, follow: float) -> np.ndarray:
    """Of a skirt, robe or coat: the trunk's above the thighs; below, hips hand over to thighs and shins.

    follow: how much the hem follows the legs (0: all hips, 1: legs alone).
    """
    skin_VJ = trunk_weights(vertices_V3, joints_J3, softness, arm_radius)
    legs_VJ = np.zeros_like(skin_VJ)
    left_V = smooth(vertices_V3[:, 0] / (1.6 * abs(joints_J3[INDEX["l_upper_leg"], 0])) + 0.5)
    for side, share_V in (("l", left_V), ("r", 1 - left_V)):
        knee, thigh = joints_J3[INDEX[f"{side}_lower_leg"], 1], joints_J3[INDEX[f"{side}_upper_leg"], 1]
        shin_V = smooth((knee - vertices_V3[:, 1]) / (0.5 * (thigh - knee)) + 0.5)
        legs_VJ[:, INDEX[f"{side}_upper_leg"]] = share_V * (1 - shin_V)
        legs_VJ[:, INDEX[f"{side}_lower_leg"]] = share_V * shin_V
    thigh, knee = joints_J3[INDEX["l_upper_leg"], 1], joints_J3[INDEX["l_lower_leg"], 1]
    below_V = follow * smooth((thigh - vertices_V3[:, 1]) / (thigh - knee) + 0.2)
    hips_VJ = rigid(len(vertices_V3), hips=1.0)
    low_V = smooth((thigh - vertices_V3[:, 1]) / (0.3 * (thigh - knee)) + 0.5)[:, None]
    skin_VJ = skin_VJ * (1 - low_V) + hips_VJ * low_V
    return skin_VJ * (1 - below_V[:, None]) + legs_VJ * below_V[:, None]
