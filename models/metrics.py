"""The contest's metrics, and what they hide. NumPy only, no batch: one character per call.

Positions are in the unit box [-1, 1]^3 (docs/conventions.md) unless said. Letters: J joints, V vertices, T frames, A assets.
Source: rigging track of the 5th Jittor AI Challenge (2025). The score's formula is a fit to its published points.
"""

import math

import numpy as np

from dataset.format import BODY_NAMES, skeleton
from geometry.kinematics import forward_kinematics, homogeneous, rotvec_to_matrix
from geometry.skinning import linear_blend_skinning, skin_transforms

PERSON_CM = 170.0
BOX_EDGE = 2.0


def j2j(pred_J3: np.ndarray, true_J3: np.ndarray) -> float:
    """(mean_i min_k |a_i - b_k| + mean_k min_i |a_i - b_k|) / 2 / 2: symmetric, order-blind, in box edges.

    A left/right swap costs nothing here: report ordered_error and swap_rate beside it.
    """
    pred_J3, true_J3 = _positions(pred_J3), _positions(true_J3)
    distance_JJ = np.linalg.norm(pred_J3[:, None] - true_J3[None], axis=-1)
    return float((distance_JJ.min(1).mean() + distance_JJ.min(0).mean()) / 2 / BOX_EDGE)


def joint_errors(pred_J3: np.ndarray, true_J3: np.ndarray) -> np.ndarray:
    """Distance of each joint to the truth of the same index, (J,) float64, in box units (half edges)."""
    pred_J3, true_J3 = _same(_positions(pred_J3), _positions(true_J3), "joints")
    return np.linalg.norm(pred_J3 - true_J3, axis=-1)


def ordered_error(pred_J3: np.ndarray, true_J3: np.ndarray) -> float:
    """Mean of joint_errors, in box units. Not divided by the edge: j2j of a small error is about half of it."""
    return float(joint_errors(pred_J3, true_J3).mean())


def to_centimetres(distance: float, height: float) -> float:
    """A distance in box units as centimetres of a person of 170 cm. height: of the REST figure, in the same box units
    (a sitting figure fills the box too)."""
    if not height > 0:
        raise ValueError(f"the rest figure's height must be positive, got {height}")
    return distance / height * PERSON_CM


def finger_error(pred_J3: np.ndarray, true_J3: np.ndarray, known_J: np.ndarray | None = None) -> float:
    """Mean of joint_errors over the 30 fingers' joints of 52, box units; NaN at 22 joints and where no finger is known."""
    finger_J = np.arange(len(true_J3)) >= len(BODY_NAMES)
    counted_J = finger_J if known_J is None else finger_J & known_J
    errors_J = joint_errors(pred_J3, true_J3)
    return float(errors_J[counted_J].mean()) if counted_J.any() else float("nan")


def swap_rate(pred_J3: np.ndarray, true_J3: np.ndarray, known_J: np.ndarray | None = None) -> float:
    """Share of the left and right joints that lie nearer to their mirrored partner's truth than to their own, in [0, 1].

    known_J (J,) bool: only these are asked; NaN when none of them has a partner."""
    pred_J3, true_J3 = _same(_positions(pred_J3), _positions(true_J3), "joints")
    mirror_J = np.array(skeleton(len(true_J3)).mirror)
    asked_J = mirror_J != np.arange(len(mirror_J))
    if known_J is not None:
        asked_J &= known_J
    own_J = np.linalg.norm(pred_J3 - true_J3, axis=-1)
    partner_J = np.linalg.norm(pred_J3 - true_J3[mirror_J], axis=-1)
    return float((partner_J < own_J)[asked_J].mean()) if asked_J.any() else float("nan")


def skin_l1(pred_VJ: np.ndarray, true_VJ: np.ndarray) -> float:
    """Mean |difference| over all V * J entries (kind B, the contest's), at the original vertices."""
    pred_VJ, true_VJ = _same(np.asarray(pred_VJ, np.float64), np.asarray(true_VJ, np.float64), "skin")
    return float(np.abs(pred_VJ - true_VJ).mean())


def skin_l1_summed(pred_VJ: np.ndarray, true_VJ: np.ndarray) -> float:
    """Summed over joints, averaged over vertices (kind A, RigNet's and others'): J times skin_l1, between 0 and 2."""
    return skin_l1(pred_VJ, true_VJ) * np.shape(true_VJ)[1]


def posed_vertices(vertices_V3: np.ndarray, joints_J3: np.ndarray, skin_VJ: np.ndarray, basis_TJ44: np.ndarray) -> np.ndarray:
    """(T, V, 3) float64 under a rig whose rest frames are unrotated (a predicted rig has no others), for 22 or 52 joints."""
    joints_J3 = _positions(joints_J3)
    local_J44 = homogeneous(np.broadcast_to(np.eye(3), (len(joints_J3), 3, 3)), joints_J3)
    pose_TJ44 = forward_kinematics(skeleton(len(joints_J3)).parents, local_J44, basis_TJ44)
    return linear_blend_skinning(vertices_V3, skin_VJ, skin_transforms(pose_TJ44, local_J44))


def vertex_loss(vertices_V3: np.ndarray, pred: tuple[np.ndarray, np.ndarray], true: tuple[np.ndarray, np.ndarray],
                basis_TJ44: np.ndarray) -> float:
    """Mean distance, box units, between the mesh posed by the predicted rig and by the true one, over frames and vertices.

    pred, true: (joints_J3, skin_VJ). basis_TJ44: the same rotations drive both. The contest's poses are not public:
    probe_frames gives ours.
    """
    total = 0.0
    for basis_J44 in np.asarray(basis_TJ44, np.float64):  # frame by frame: memory stays that of one mesh
        offset_V3 = posed_vertices(vertices_V3, *pred, basis_J44) - posed_vertices(vertices_V3, *true, basis_J44)
        total += np.linalg.norm(offset_V3, axis=-1).mean()
    return float(total / len(basis_TJ44))


def vertex_normalisation_loss(vertices_V3: np.ndarray, pred: tuple[np.ndarray, np.ndarray],
                              true: tuple[np.ndarray, np.ndarray], basis_TJ44: np.ndarray) -> float:
    """Mean over joints of the posed vertices' mean squared coordinate error, over the vertices with true weight > 1e-6.

    A diagnostic: small parts (a finger) weigh as much as the trunk. Joints that move no vertex are left out.
    Raises: ValueError when the true skin moves nothing at all.
    """
    member_VJ = np.asarray(true[1]) > 1e-6
    moved_J = member_VJ.any(0)
    if not moved_J.any():
        raise ValueError("the true skin has no weight above 1e-6")
    total = 0.0
    for basis_J44 in np.asarray(basis_TJ44, np.float64):
        offset_V3 = posed_vertices(vertices_V3, *pred, basis_J44) - posed_vertices(vertices_V3, *true, basis_J44)
        square_V = (offset_V3 ** 2).mean(-1)
        total += ((square_V @ member_VJ)[moved_J] / member_VJ.sum(0)[moved_J]).mean()
    return float(total / len(basis_TJ44))


def probe_frames(joint_count: int, frames: int, rng: np.random.Generator, degrees: float = 30.0) -> np.ndarray:
    """matrix_basis (T, J, 4, 4): each component of each joint's rotation vector uniform within +-degrees, the baseline's
    random pose. The same rng state gives the same frames, so that systems are compared under the same poses."""
    limit = math.radians(degrees)
    return homogeneous(rotvec_to_matrix(rng.uniform(-limit, limit, size=(frames, joint_count, 3))))


def board_score(skin_l1: float, vertex: float, j2j: float, joints: int) -> float:
    """The contest's points: 100 B on board A (22 joints), 10 / sqrt(j2j) B on board B (52), with
    B = (1 - 20 min(skin_l1, 0.05)) / 2 + (1 - sqrt(min(vertex, 1))) / 2.

    j2j counts on board B only. Raises: ValueError for another board, and for errors that are negative or no numbers.
    """
    if not all(error >= 0 for error in (skin_l1, vertex, j2j)):  # NaN fails too
        raise ValueError(f"errors must be >= 0: skin_l1 {skin_l1}, vertex {vertex}, j2j {j2j}")
    if joints not in (22, 52):
        raise ValueError(f"{joints} joints: board A has 22, board B 52")
    body = 0.5 * (1 - 20 * min(skin_l1, 0.05)) + 0.5 * (1 - math.sqrt(min(vertex, 1.0)))
    if joints == 22:
        return 100 * body
    return 10 * body / math.sqrt(j2j) if j2j > 0 else math.inf


def mean_skeleton(joints_AJ3: np.ndarray) -> np.ndarray:
    """(J, 3): the mean of the training set's joints in their boxes. As a prediction for everybody, it is the floor that a
    network must clear."""
    joints_AJ3 = np.asarray(joints_AJ3, np.float64)
    if joints_AJ3.ndim != 3 or not len(joints_AJ3):
        raise ValueError(f"expected joints (A, J, 3) of at least one asset, got {joints_AJ3.shape}")
    return joints_AJ3.mean(0)


def _positions(x_J3: np.ndarray) -> np.ndarray:
    x_J3 = np.asarray(x_J3, np.float64)
    if x_J3.ndim != 2 or x_J3.shape[1] != 3 or not len(x_J3):
        raise ValueError(f"expected joints (J, 3), got {x_J3.shape}")
    if not np.isfinite(x_J3).all():
        raise ValueError("joints hold NaN or infinity")
    return x_J3


def _same(pred: np.ndarray, true: np.ndarray, what: str) -> tuple[np.ndarray, np.ndarray]:
    if pred.shape != true.shape:
        raise ValueError(f"{what}: predicted {pred.shape}, true {true.shape}")
    return pred, true
