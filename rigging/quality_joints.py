"""What can be said of a skeleton by where its joints are: lengths, sides, front, up, inside or outside the mesh.

Letters: J joints, V vertices. Frame and lengths: rigging/quality_figure.py. NaN: not asked of this joint.
"""

import numpy as np

from rigging.quality_figure import CM, FRONT, LEFT, UP, Figure
from rigging.quality_inside import open_sides, surface_distance, winding_numbers

INSIDE = 0.3        # turns of the surface around a joint, either way: holes and open clothes leave less than one
OPEN = 2            # sides, of 14, from which a joint is to be seen when it is outside; through an open sleeve it is seen from one
OUTSIDE = 2.0       # cm that a joint may be outside before it counts as outside
TRUNK = ("hips", "spine", "chest", "upper_chest", "neck", "head")
TRUNK_PAIRS = ("shoulder", "upper_arm", "upper_leg")     # pairs that no pose can cross


def bone_lengths(figure: Figure) -> np.ndarray:
    """(J,) from the parent; NaN for the root."""
    parents = [np.nan if p is None else p for p in figure.bones.parents]
    length_J = np.full(len(parents), np.nan)
    for j, parent in enumerate(figure.bones.parents):
        if parent is not None:
            length_J[j] = np.linalg.norm(figure.joints_J3[j] - figure.joints_J3[parent])
    return length_J


def asymmetry(figure: Figure) -> np.ndarray:
    """(J,) the longer over the shorter of a left bone and its mirror image, >= 1; NaN for all but left ones. +inf: one has no length."""
    length_J = bone_lengths(figure)
    mirrored_J = length_J[list(figure.bones.mirror)]
    left_J = np.array([name.startswith("l_") for name in figure.bones.names])
    long_J, short_J = np.maximum(length_J, mirrored_J), np.minimum(length_J, mirrored_J)
    ratio_J = np.divide(long_J, short_J, out=np.where(long_J > 0, np.inf, 1.0), where=short_J > 0)
    return np.where(left_J, ratio_J, np.nan)


def lopsided(figure: Figure) -> np.ndarray:
    """(J,) of elbows and knees: the longer over the shorter of the two bones that meet there, >= 1; +inf: one has no length."""
    length_J, result_J = bone_lengths(figure), np.full(len(figure.bones.names), np.nan)
    for side in "lr":
        for middle, end in (("lower_arm", "hand"), ("lower_leg", "foot")):
            j, k = figure.index[f"{side}_{middle}"], figure.index[f"{side}_{end}"]
            long, short = max(length_J[j], length_J[k]), min(length_J[j], length_J[k])
            result_J[j] = long / short if short > 0 else np.inf
    return result_J


def kinks(figure: Figure) -> np.ndarray:
    """(J,) of the joints of the trunk between hips and head: degrees between the bone that ends there and the next one."""
    result_J = np.full(len(figure.bones.names), np.nan)
    for below, middle, above in zip(TRUNK, TRUNK[1:], TRUNK[2:]):
        turn = cosine(figure.at(middle) - figure.at(below), figure.at(above) - figure.at(middle))
        result_J[figure.index[middle]] = np.degrees(np.arccos(np.clip(turn, -1, 1)))
    return result_J


def crossed(figure: Figure) -> np.ndarray:
    """(J,) of the left ones of pairs that no pose can cross: minus the cosine between the way from right to left and the figure's
    left. -1: straight to the left; > 0: on the wrong side."""
    result_J = np.full(len(figure.bones.names), np.nan)
    for pair in TRUNK_PAIRS:
        result_J[figure.index[f"l_{pair}"]] = -cosine(figure.at(f"l_{pair}") - figure.at(f"r_{pair}"), LEFT)
    return result_J


def backward(figure: Figure) -> np.ndarray:
    """(J,) of the two toes: minus the cosine between the level part of ankle to toe and the front. > 0: the foot points backwards."""
    result_J = np.full(len(figure.bones.names), np.nan)
    for side in "lr":
        foot_3 = figure.at(f"{side}_toe_base") - figure.at(f"{side}_foot")
        result_J[figure.index[f"{side}_toe_base"]] = -cosine(foot_3 - (foot_3 @ UP) * UP, FRONT)
    return result_J


def knees_behind(figure: Figure) -> np.ndarray:
    """(J,) of the two knees: how far behind the line from hip to ankle, in lengths of the leg; < 0 in front of it."""
    result_J = np.full(len(figure.bones.names), np.nan)
    for side in "lr":
        hip_3, knee_3, ankle_3 = (figure.at(f"{side}_{part}") for part in ("upper_leg", "lower_leg", "foot"))
        leg_3 = ankle_3 - hip_3
        length = np.linalg.norm(leg_3)
        if length > 0:
            off_3 = (knee_3 - hip_3) - ((knee_3 - hip_3) @ leg_3 / length ** 2) * leg_3
            result_J[figure.index[f"{side}_lower_leg"]] = -(off_3 @ FRONT) / length
    return result_J


def upside_down(figure: Figure) -> np.ndarray:
    """(J,) of head and feet: minus the cosine of hips to head with up, and of hips to foot with down; > 0: the wrong way."""
    result_J = np.full(len(figure.bones.names), np.nan)
    for name, way_3 in (("head", UP), ("l_foot", -UP), ("r_foot", -UP)):
        result_J[figure.index[name]] = -cosine(figure.at(name) - figure.at("hips"), way_3)
    return result_J


def outside(figure: Figure) -> np.ndarray:
    """(J,) distance to the surface for joints around which it does not turn (rigging/quality_inside.py), 0 inside.

    Shells that lie in each other and face opposite ways, or faces turned at random, cancel out; so a joint that seems far outside counts
    only where it is to be seen from OPEN sides.
    """
    points_U3, faces_F3 = figure.surface.points_U3, figure.surface.faces_F3
    turns_J = winding_numbers(figure.joints_J3, points_U3, faces_F3)
    out_J = np.where(np.abs(turns_J) >= INSIDE, 0.0, surface_distance(figure.joints_J3, points_U3, faces_F3))
    far = np.flatnonzero(out_J > OUTSIDE * CM)
    if len(far):
        out_J[far[open_sides(figure.joints_J3[far], points_U3, faces_F3) < OPEN]] = 0.0
    return out_J


def cosine(a_3: np.ndarray, b_3: np.ndarray) -> float:
    """0 where a direction has no length."""
    length = float(np.linalg.norm(a_3) * np.linalg.norm(b_3))
    return float(a_3 @ b_3) / length if length > 0 else 0.0
