"""What can be said of skin weights: the contract, who moves what, which side, how even, and how they fit their joints.

Letters: V vertices, U distinct positions, J joints, E edges. Frame and lengths: rigging/quality_figure.py. NaN: not asked.
"""

import numpy as np

from dataset.format import FINGER_TO_HAND
from rigging.bleed import unrelated
from rigging.quality_figure import CM, Figure
from rigging.weights import speckles

USED = 0.05         # a joint with less weight than this everywhere moves nothing that one sees
FEWEST = 3          # crossings that make a border
LEAST_RADIUS = 3 * CM   # of a border: a thin one says less of where its joint must be
ASTRAY = 10 * CM
HINGES = ("head", *(f"{side}_{part}" for side in "lr"       # joints with a narrow border, by which the skeleton's fit is judged
                    for part in ("upper_arm", "lower_arm", "hand", "upper_leg", "lower_leg", "foot")))
KEY_PARTS = ("head", "upper_arm", "lower_arm", "upper_leg", "lower_leg")    # without weight there is no figure
BODY = 22           # joints before the fingers


def torn(figure: Figure, skin_VJ: np.ndarray) -> float:
    """Share of the vertices whose weights differ by more than 0.05 in all from those at the same position: seams that open."""
    apart_V = np.zeros(len(skin_VJ))
    for j in range(skin_VJ.shape[1]):
        apart_V += np.abs(skin_VJ[:, j] - figure.skin_UJ[figure.surface.place_V, j])
    return float((apart_V > 0.05).mean())


def unused(figure: Figure) -> np.ndarray:
    """(J,) bool."""
    return figure.skin_UJ.max(0) < USED


def idle_limbs(figure: Figure) -> list[str]:
    """The joints without weight among those that no figure can do without."""
    return [name for name, idle in zip(figure.bones.names, unused(figure))
            if idle and name.removeprefix("l_").removeprefix("r_") in KEY_PARTS]


def wrong_side(figure: Figure) -> np.ndarray:
    """(J,) of left and right joints: the share of its weight (by area) that lies nearer to its mirror image than to itself.

    What a swap is for joints (models/metrics.swap_rate), asked of what they move. NaN for joints in the middle or without weight.
    """
    share_J = np.full(len(figure.bones.names), np.nan)
    points_U3 = figure.surface.points_U3
    for j, partner in enumerate(figure.bones.mirror):
        weight_U = figure.surface.share_U * figure.skin_UJ[:, j]
        if partner != j and weight_U.sum() > 0:
            own_U, other_U = (((points_U3 - figure.joints_J3[k]) ** 2).sum(1) for k in (j, partner))
            share_J[j] = float(weight_U[other_U < own_U].sum() / weight_U.sum())
    return share_J


def off_border(figure: Figure) -> np.ndarray:
    """(J,) how far each joint is from the middle of the border of what it moves, in radii of the border (root mean square).

    The border: where what moves with the joint (its own weight and all below) passes one half along an edge. A joint that bends
    where the mesh bends lies within its ring: < 1. NaN for all but HINGES (a clavicle's or a chest's border is wide and anywhere) and
    joints without a border.
    """
    start_E, end_E = figure.edge_E2.T
    off_J = np.full(len(figure.bones.names), np.nan)
    for j in (figure.index[name] for name in HINGES):
        moved_U = figure.moved_UJ[:, j]
        inside_U = moved_U >= 0.5
        cross = np.flatnonzero(inside_U[start_E] != inside_U[end_E])
        if len(cross) >= FEWEST:
            a, b = start_E[cross], end_E[cross]
            t_X1 = ((0.5 - moved_U[a]) / (moved_U[b] - moved_U[a]))[:, None]
            ring_X3 = (1 - t_X1) * figure.surface.points_U3[a] + t_X1 * figure.surface.points_U3[b]
            middle_3 = ring_X3.mean(0)
            radius = float(np.sqrt(((ring_X3 - middle_3) ** 2).sum(1).mean()))
            off_J[j] = np.linalg.norm(figure.joints_J3[j] - middle_3) / max(radius, LEAST_RADIUS)
    return off_J


def astray(figure: Figure) -> np.ndarray:
    """(J,) the share of each joint's weight (by area) that lies near somebody else's bones and far from its own. Fingers count as
    their hand, and a joint's own bones are those of its kin too (parent, grandparent, children, grandchildren). NaN without weight.

    Far: more than twice as far as the nearest bone, and ASTRAY more. Unlike bleed (rigging/bleed.py) it needs no part of the weight
    to be in its right place.
    """
    points_U3 = figure.surface.points_U3
    skin_UJ = figure.skin_UJ[:, :BODY].copy()
    for finger in range(BODY, figure.skin_UJ.shape[1]):
        skin_UJ[:, FINGER_TO_HAND[finger]] += figure.skin_UJ[:, finger]
    far_UJ = np.stack([_bone_distance(points_U3, figure.joints_J3, j, figure.bones.parents) for j in range(BODY)], axis=1)
    nearest_U = far_UJ.min(1)
    strange_JJ = unrelated(figure.bones.parents[:BODY])
    share_J = np.full(len(figure.bones.names), np.nan)
    for j in range(BODY):
        weight_U = figure.surface.share_U * np.maximum(skin_UJ[:, j], 0)
        if weight_U.sum() > 0:
            own_U = far_UJ[:, ~strange_JJ[j]].min(1)
            share_J[j] = float(weight_U[own_U > 2 * nearest_U + ASTRAY].sum() / weight_U.sum())
    return share_J


def _bone_distance(points_U3: np.ndarray, joints_J3: np.ndarray, joint: int, parents: tuple) -> np.ndarray:
    """(U,) from each point to the bones that begin at a joint; to the joint itself where none does."""
    start_3 = joints_J3[joint]
    to_U3 = points_U3 - start_3
    best_U = np.sqrt((to_U3 * to_U3).sum(1))
    for child in range(joint + 1, BODY):
        if parents[child] == joint:
            bone_3 = joints_J3[child] - start_3
            along_U = np.clip(to_U3 @ bone_3 / max(float(bone_3 @ bone_3), 1e-12), 0, 1)
            rest_U3 = to_U3 - along_U[:, None] * bone_3
            best_U = np.minimum(best_U, np.sqrt((rest_U3 * rest_U3).sum(1)))
    return best_U


def speckled(figure: Figure) -> float:
    """Share of the area whose weights stick out of the range of the neighbours' (rigging.weights.speckles)."""
    return float(figure.surface.share_U @ (speckles(figure.surface, figure.skin_UJ) > 0))
