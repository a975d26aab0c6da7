"""Rotations, forward kinematics, and carrying a pose from an ideal T pose to any character.

Letters: J joints, T frames; leading dimensions are free. Rotations act on columns. Quaternions are (x, y, z, w).
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np

from geometry.normals import normalize

Parents = Sequence[int | None]
# joint -> (bone starts at this joint, ends at that joint, the bone's direction in the T pose)
Aims = Mapping[int, tuple[int, int, tuple[float, float, float]]]


def rotvec_to_matrix(rotvec_3: np.ndarray) -> np.ndarray:
    """Rotation matrices (..., 3, 3) from rotation vectors (..., 3) in radians, by way of a quaternion (exact near zero)."""
    rotvec_3 = np.asarray(rotvec_3, np.float64)
    angle = np.sqrt((rotvec_3 * rotvec_3).sum(-1, keepdims=True))
    half = 0.5 * angle
    quat_4 = np.empty((*rotvec_3.shape[:-1], 4))
    quat_4[..., 3:] = np.cos(half)
    # sin(a/2) / a, which is 1/2 at zero
    quat_4[..., :3] = rotvec_3 * np.divide(np.sin(half), angle, out=np.full_like(angle, 0.5), where=angle > 0)
    return _unit_quaternion_to_matrix(quat_4)


def matrix_to_rotvec(matrix_33: np.ndarray) -> np.ndarray:
    """Rotation vectors (..., 3), radians, length in [0, pi], from rotation matrices (..., 3, 3)."""
    quat = matrix_to_quaternion(matrix_33)
    quat = np.where(quat[..., 3:] < 0, -quat, quat)
    sine = np.sqrt((quat[..., :3] ** 2).sum(-1, keepdims=True))
    angle = 2 * np.arctan2(sine, quat[..., 3:])
    # angle / sin(angle / 2) tends to 2 at the identity
    factor = np.divide(angle, sine, out=np.full_like(sine, 2.0), where=sine > 1e-12)
    return quat[..., :3] * factor


def quaternion_to_matrix(quat_4: np.ndarray) -> np.ndarray:
    """Rotation matrices (..., 3, 3) from quaternions (..., 4) xyzw of any length but zero.

    Raises: ValueError for a quaternion of length zero.
    """
    quat_4 = normalize(quat_4)
    if not (np.abs(quat_4).max(-1) > 0).all():
        raise ValueError("a quaternion of length zero is no rotation")
    return _unit_quaternion_to_matrix(quat_4)


def _quadratic_form() -> np.ndarray:
    """(16, 9): what each product of two components of a unit quaternion adds to each entry of its matrix minus the identity."""
    x, y, z, w = range(4)
    terms = (((y, y, -2), (z, z, -2)), ((x, y, 2), (z, w, -2)), ((x, z, 2), (y, w, 2)),
             ((x, y, 2), (z, w, 2)), ((x, x, -2), (z, z, -2)), ((y, z, 2), (x, w, -2)),
             ((x, z, 2), (y, w, -2)), ((y, z, 2), (x, w, 2)), ((x, x, -2), (y, y, -2)))
    out = np.zeros((4, 4, 9))
    for entry, parts in enumerate(terms):
        for first, second, factor in parts:
            out[first, second, entry] = factor
    return out.reshape(16, 9)


_FORM_169, _EYE_9 = _quadratic_form(), np.eye(3).ravel()


def _unit_quaternion_to_matrix(quat_4: np.ndarray) -> np.ndarray:
    # one small product: 52 joints are too few for a formula entry by entry to pay its calls
    lead = quat_4.shape[:-1]
    square_16 = (quat_4[..., :, None] * quat_4[..., None, :]).reshape(*lead, 16)
    return (_EYE_9 + square_16 @ _FORM_169).reshape(*lead, 3, 3)


def matrix_to_quaternion(matrix_33: np.ndarray) -> np.ndarray:
    """Unit quaternions (..., 4) xyzw from rotation matrices (..., 3, 3).

    Shepperd, "Quaternion from rotation matrix", 1978: divide by the largest of the four components, so that none is lost.
    """
    m = np.asarray(matrix_33, np.float64)
    d0, d1, d2 = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    a, b, c = m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]
    p, q, r = m[..., 0, 1] + m[..., 1, 0], m[..., 0, 2] + m[..., 2, 0], m[..., 1, 2] + m[..., 2, 1]
    # row k is 4 * component k * quaternion; the row of the largest component is the accurate one
    rows = np.stack([np.stack([1 + d0 - d1 - d2, p, q, a], -1), np.stack([p, 1 - d0 + d1 - d2, r, b], -1),
                     np.stack([q, r, 1 - d0 - d1 + d2, c], -1), np.stack([a, b, c, 1 + d0 + d1 + d2], -1)], axis=-2)
    best = np.argmax(np.diagonal(rows, axis1=-2, axis2=-1), axis=-1)
    return normalize(np.take_along_axis(rows, best[..., None, None], axis=-2)[..., 0, :])


def rotation_between(a_3: np.ndarray, b_3: np.ndarray) -> np.ndarray:
    """The shortest rotation (..., 3, 3) that takes direction a to direction b; a half turn about some normal when opposed.

    Raises: ValueError when a direction has no length or is not finite.
    """
    a_3, b_3 = np.broadcast_arrays(normalize(a_3), normalize(b_3))
    if not (np.abs(a_3).max(-1) > 0).all() or not (np.abs(b_3).max(-1) > 0).all():
        raise ValueError("a direction of length zero (or not finite) has no rotation to it")
    return _between_units(a_3, b_3)


def _between_units(a_3: np.ndarray, b_3: np.ndarray) -> np.ndarray:
    # (a x b, 1 + a.b) is the quaternion; through the half-way vector s = a + b it keeps its digits near opposition
    s_3 = a_3 + b_3
    quat_4 = np.empty((*s_3.shape[:-1], 4))
    for k in range(3):
        m, n = (k + 1) % 3, (k + 2) % 3
        quat_4[..., k] = a_3[..., m] * s_3[..., n] - a_3[..., n] * s_3[..., m]
    quat_4[..., 3] = 0.5 * (s_3 * s_3).sum(-1)
    opposed = np.abs(s_3).max(-1) < 1e-9
    if opposed.any():       # half a turn about what is normal to a
        axis_3 = np.eye(3)[np.argmin(np.abs(a_3), axis=-1)]
        quat_4[opposed, :3], quat_4[opposed, 3] = np.cross(a_3, axis_3)[opposed], 0
    return _unit_quaternion_to_matrix(quat_4 / np.sqrt((quat_4 * quat_4).sum(-1, keepdims=True)))


def rotation_uniform(rng: np.random.Generator) -> np.ndarray:
    """One rotation (3, 3), uniform on SO(3): a normalised 4-D Gaussian as quaternion (Muller 1959; Shoemake 1992)."""
    return quaternion_to_matrix(rng.normal(size=4))


@lru_cache(maxsize=64)
def _ancestors(parents: tuple[int | None, ...]) -> tuple[np.ndarray, ...]:
    """Each joint's ancestor 1, 2, 4, 8, ... steps up, until none is left; J stands for none. Each array is (J + 1,), J's own is J.

    Raises: ValueError when a parent does not come before its child.
    """
    for j, p in enumerate(parents):
        if p is not None and not 0 <= p < j:
            raise ValueError(f"joint {j} has parent {p}: parents must come before their children")
    none, out = len(parents), []
    above_J = np.array([none if p is None else p for p in (*parents, None)], np.int64)
    while (above_J < none).any():
        out.append(above_J)
        above_J = above_J[above_J]
    return tuple(out)


def _and_still(frames_J: np.ndarray) -> np.ndarray:
    """The frames (..., J, n, n) and one more that never moves: what is above the roots."""
    *lead, count, size, _ = frames_J.shape
    out = np.empty((*lead, count + 1, size, size))
    out[..., :-1, :, :], out[..., -1, :, :] = frames_J, np.eye(size)
    return out


def forward_kinematics(parents: Parents, local_J44: np.ndarray, basis_J44: np.ndarray,
                       inverse_J44: np.ndarray | None = None) -> np.ndarray:
    """pose[j] = pose[p] inv(local[p]) local[j] basis[j]; root: local[0] basis[0].

    local_J44: rest frames (J, 4, 4). basis_J44: (..., J, 4, 4). inverse_J44: inv(local), for a caller that has it.
    Returns pose (..., J, 4, 4) float64. Each round joins the products of 1, 2, 4, ... joints of a chain for all joints at once
    (pointer jumping, as in Hillis and Steele, "Data parallel algorithms", CACM 1986): log2 of the depth in rounds.
    Raises: ValueError when counts differ or a parent does not come before its child.
    """
    local_J44, basis_J44 = np.asarray(local_J44, np.float64), np.asarray(basis_J44, np.float64)
    if local_J44.shape != (len(parents), 4, 4) or basis_J44.shape[-3:] != local_J44.shape:
        raise ValueError(f"{len(parents)} parents do not fit local {local_J44.shape} and basis {basis_J44.shape}")
    jumps = _ancestors(tuple(parents))
    inverse_J44 = np.linalg.inv(local_J44) if inverse_J44 is None else inverse_J44
    frame_J44 = _and_still(inverse_J44).take(jumps[0][:-1], axis=0) @ local_J44 if jumps else local_J44
    pose_J44 = _and_still(frame_J44 @ basis_J44)
    for above_J in jumps:
        pose_J44 = pose_J44.take(above_J, axis=-3) @ pose_J44
    return pose_J44[..., :-1, :, :]


def homogeneous(rotation_33: np.ndarray, translation_3: np.ndarray | None = None) -> np.ndarray:
    """(..., 4, 4) float64 from rotations (..., 3, 3) and translations (..., 3), zero when not given."""
    rotation_33 = np.asarray(rotation_33, np.float64)
    out_44 = np.zeros((*rotation_33.shape[:-2], 4, 4))
    out_44[..., :3, :3], out_44[..., 3, 3] = rotation_33, 1.0
    if translation_3 is not None:
        out_44[..., :3, 3] = translation_3
    return out_44


def global_rotations_to_basis(parents: Parents, global_J33: np.ndarray, local_J44: np.ndarray) -> np.ndarray:
    """matrix_basis (..., J, 4, 4) that turns each bone by global_J33 (..., J, 3, 3), world axes, relative to its rest.

    basis_j = B_j^T (G_parent^T G_j) B_j with B_j the rotation of local_j; the root has G_parent = I.
    """
    global_J33 = np.asarray(global_J33, np.float64)
    bone_J33 = np.asarray(local_J44, np.float64)[:, :3, :3]
    jumps = _ancestors(tuple(parents))
    above_J33 = _and_still(global_J33).take(jumps[0][:-1], axis=-3) if jumps else np.eye(3)
    turn_J33 = np.swapaxes(above_J33, -1, -2) @ global_J33
    return homogeneous(np.swapaxes(bone_J33, -1, -2) @ turn_J33 @ bone_J33)


def rest_alignment(joints_J3: np.ndarray, aims: Aims) -> np.ndarray:
    """R_J33: per joint the shortest rotation from its bone's rest direction to its T direction; identity without an aim.

    A bone of length zero has no direction and keeps the identity.
    """
    joints_J3 = np.asarray(joints_J3, np.float64)
    rotation_J33 = np.zeros((len(joints_J3), 3, 3))
    rotation_J33[:] = np.eye(3)
    joint_A, start_A, end_A, direction_A3 = _aim_arrays(tuple(aims), tuple(aims.values()))
    bone_A3 = joints_J3.take(end_A, axis=0) - joints_J3.take(start_A, axis=0)
    length_A = np.sqrt((bone_A3 * bone_A3).sum(-1))
    known_A = length_A > 0
    if known_A.all():
        rotation_J33[joint_A] = _between_units(bone_A3 / length_A[:, None], direction_A3)
    elif known_A.any():
        rotation_J33[joint_A[known_A]] = _between_units(normalize(bone_A3[known_A]), direction_A3[known_A])
    return rotation_J33


@lru_cache(maxsize=16)
def _aim_arrays(joints: tuple, aims: tuple) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """An Aims mapping as arrays: joint_A, start_A, end_A, and direction_A3 of unit length."""
    start_A, end_A = (np.array([aim[k] for aim in aims], np.int64) for k in (0, 1))
    return np.array(joints, np.int64), start_A, end_A, normalize(np.array([aim[2] for aim in aims]).reshape(-1, 3))


def retarget(parents: Parents, global_TJ33: np.ndarray, joints_J3: np.ndarray, local_J44: np.ndarray, aims: Aims,
             alignment_J33: np.ndarray | None = None) -> np.ndarray:
    """matrix_basis (..., J, 4, 4) for a character, from global rotations relative to an ideal T pose.

    global_TJ33: D (..., J, 3, 3), world axes of the same frame as the joints. The character's own rest pose (an A pose, say) is
    first carried to the T pose: G_j = D_j R_j, with R_j from `rest_alignment`; then `global_rotations_to_basis`.
    alignment_J33: these R, for a caller that has them.
    """
    alignment_J33 = rest_alignment(joints_J3, aims) if alignment_J33 is None else alignment_J33
    turned_TJ33 = np.asarray(global_TJ33, np.float64) @ alignment_J33
    return global_rotations_to_basis(parents, turned_TJ33, local_J44)
