"""Stand a figure upright before it is rigged, by asking the network itself.

The network is trained on figures that stand as their authors drew them, within a few degrees, and says of each joint how far off it
expects to be (models/joint_model.py, ErrorHead). A figure that stands is believed at once and nothing else is tried. Of another,
TURNS are tried, the one with the least expected error is kept, and the body's own frame, read from the joints found there, takes out
what remains. Letters: K turns, N points, J joints.
"""

from collections.abc import Callable
from itertools import permutations, product

import numpy as np

from dataset.format import BODY_NAMES
from geometry.kinematics import rotvec_to_matrix

Look = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]  # turns (K, 3, 3) -> joints (K, J, 3) as turned, expected errors (K,)

TRUSTED = 0.06    # mean expected error, box units, up to which a figure is taken as it stands
BETTER = 0.8      # another turn must bring the expected error below this part of the one as it stands
REFINEMENTS = 2
STRAIGHT = np.radians(8.0)   # a body frame nearer to upright than this is left alone
NECK, LEFT, RIGHT = (BODY_NAMES.index(name) for name in ("neck", "l_upper_leg", "r_upper_leg"))


def cube_rotations() -> np.ndarray:
    """(24, 3, 3) float64: the rotations that map axes onto axes; the identity first."""
    found = []
    for order in permutations(range(3)):
        for signs in product((1.0, -1.0), repeat=3):
            matrix_33 = np.zeros((3, 3))
            matrix_33[range(3), order] = signs
            if np.linalg.det(matrix_33) > 0:
                found.append(matrix_33)
    return np.stack(sorted(found, key=lambda m: -np.trace(m)))


# the cube's rotations, and each of them with an eighth of a turn about the vertical after it
TURNS = np.concatenate([cube_rotations(), rotvec_to_matrix(np.array([0.0, 0.0, np.pi / 4])) @ cube_rotations()])


def body_frame(joints_J3: np.ndarray) -> np.ndarray | None:
    """(3, 3): columns are the body's left, back and up, which are x, y and z for a body that stands in the network's frame.

    Left runs from the right thigh to the left one, up from between them to the neck as far as it is at right angles to that.
    None where these points do not span a plane.
    """
    joints_J3 = np.asarray(joints_J3, np.float64)
    left_3, middle_3 = joints_J3[LEFT] - joints_J3[RIGHT], (joints_J3[LEFT] + joints_J3[RIGHT]) / 2
    if np.linalg.norm(left_3) < 1e-6:
        return None
    left_3 = left_3 / np.linalg.norm(left_3)
    up_3 = joints_J3[NECK] - middle_3
    up_3 = up_3 - (up_3 @ left_3) * left_3
    if np.linalg.norm(up_3) < 1e-6:
        return None
    up_3 = up_3 / np.linalg.norm(up_3)
    return np.stack([left_3, np.cross(up_3, left_3), up_3], axis=1)


def angle_of(matrix_33: np.ndarray) -> float:
    """The angle of a rotation, radians."""
    return float(np.arccos(np.clip((np.trace(matrix_33) - 1) / 2, -1, 1)))


def find_upright(look: Look) -> np.ndarray:
    """The turn (3, 3) float64 after which the figure stands upright; the identity where it does, or where no turn looks much better."""
    _, as_it_stands = look(np.eye(3)[None])
    if as_it_stands[0] <= TRUSTED:
        return np.eye(3)
    joints_KJ3, expected_K = look(TURNS)
    best = int(np.argmin(expected_K))
    turn_33, joints_J3, expected = TURNS[best], joints_KJ3[best], float(expected_K[best])
    for _ in range(REFINEMENTS):
        frame_33 = body_frame(joints_J3)
        if frame_33 is None or angle_of(frame_33) < STRAIGHT:
            break
        straighter_33 = frame_33.T @ turn_33
        found_KJ3, found_K = look(straighter_33[None])
        if found_K[0] >= expected:
            break
        turn_33, joints_J3, expected = straighter_33, found_KJ3[0], float(found_K[0])
    return turn_33 if expected < BETTER * as_it_stands[0] else np.eye(3)
