"""The poses that a fit begins with and finds likely: motion by rule, and beside it limbs that go anywhere they can.

A bank of walking, sitting and reaching lacks the crouch, the kick and the bow; with its poses alone limbs that begin on the wrong side of
the body stay there. Letters: T frames, J joints.
"""

from functools import lru_cache

import numpy as np

from dataset.format import BODY_NAMES, BODY_PARENTS
from dataset.poses import PoseBank, procedural_bank
from geometry.kinematics import rotvec_to_matrix

_J = {name: j for j, name in enumerate(BODY_NAMES)}
COUNT = 1024


@lru_cache(maxsize=1)
def fit_bank() -> PoseBank:
    """The procedural bank and as many limber poses. Always the same frames."""
    return PoseBank(np.concatenate([procedural_bank().rotations_TJ33, limber_poses(COUNT)]), BODY_NAMES, "y")


def limber_poses(count: int) -> np.ndarray:
    """(T, 22, 3, 3) float32: crouches, steps, kicks, bows and arms everywhere, left and right apart.

    Radians, T pose facing +Z, Y up, as in procedural_bank: flexing the hip is -X and the knee +X, an arm along +X is lowered by -Z and
    brought forward by -Y. Ranges: about those of a healthy adult's joints (hip 120 degrees, knee 140, elbow 145).
    """
    rng = np.random.default_rng(20251)
    angle_TJ3 = rng.normal(0, 0.1, (count, 22, 3))
    crouch_T = rng.uniform(0, 1, count) ** 2
    for side, sign in (("l", 1.0), ("r", -1.0)):
        alone_T = rng.random(count) < 0.4       # this leg goes its own way
        hip_T = np.where(alone_T, rng.uniform(-0.6, 2.0, count), 2.0 * crouch_T + rng.normal(0, 0.2, count))
        knee_T = np.where(alone_T, rng.uniform(0, 2.2, count), 2.3 * crouch_T + np.abs(rng.normal(0, 0.2, count)))
        angle_TJ3[:, _J[f"{side}_upper_leg"], 0] -= hip_T
        angle_TJ3[:, _J[f"{side}_upper_leg"], 2] += sign * rng.uniform(-0.1, 0.7, count)
        angle_TJ3[:, _J[f"{side}_lower_leg"], 0] += np.minimum(knee_T, 2.3)
        angle_TJ3[:, _J[f"{side}_foot"], 0] += rng.normal(0, 0.25, count)
        angle_TJ3[:, _J[f"{side}_upper_arm"], 0] += rng.normal(0, 0.5, count)
        angle_TJ3[:, _J[f"{side}_upper_arm"], 1] -= sign * rng.uniform(-0.6, 1.6, count)
        angle_TJ3[:, _J[f"{side}_upper_arm"], 2] -= sign * rng.uniform(-1.4, 1.5, count)
        angle_TJ3[:, _J[f"{side}_lower_arm"], 1] -= sign * rng.uniform(0, 2.3, count) * rng.random(count)
    bow_T = np.where(rng.random(count) < 0.4, rng.uniform(-0.3, 1.2, count), rng.normal(0, 0.1, count))
    side_T2 = rng.normal(0, (0.3, 0.2), (count, 2))
    for name in ("spine", "chest", "upper_chest"):
        angle_TJ3[:, _J[name], 0] += bow_T / 3
        angle_TJ3[:, _J[name], 1:] += side_T2 / 3
    lean_T = np.where(rng.random(count) < 0.2, rng.uniform(-1.5, 1.5, count), rng.normal(0, 0.2, count))
    angle_TJ3[:, 0, 0] += lean_T
    turn_TJ33 = rotvec_to_matrix(angle_TJ3)
    for j, parent in enumerate(BODY_PARENTS):
        if parent is not None:
            turn_TJ33[:, j] = turn_TJ33[:, parent] @ turn_TJ33[:, j]
    return turn_TJ33.astype(np.float32)
