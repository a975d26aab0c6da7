"""Poses that fit any character: banks of motion-capture frames, contest tracks, and a bank made by rule when there is neither.

Letters: T frames, J joints. A bank holds, per frame and joint, the GLOBAL rotation of the bone relative to an ideal T pose (world axes):
it depends on no rest pose and no bone frame. A track holds matrix_basis in the bone frames of the contest's own characters.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from dataset.asset import Asset
from dataset.format import BODY_NAMES, BODY_PARENTS, FINGER_TO_HAND, FULL_NAMES
from geometry.kinematics import rest_alignment, retarget, rotvec_to_matrix
from geometry.similarity import Y_UP_TO_Z_UP

_J = {name: j for j, name in enumerate(FULL_NAMES)}


def _aims() -> dict[int, tuple[int, int, tuple[float, float, float]]]:
    """Joint -> (bone start, bone end, its direction in the T pose) in the network's frame (Z up, left at +X).

    Hands and fingers go with the forearm, so that an A pose's palm ends as the T pose's. Feet, spine and head rest as they are.
    """
    aims = {}
    for side, sign in (("l", 1.0), ("r", -1.0)):
        forearm = (_J[f"{side}_lower_arm"], _J[f"{side}_hand"], (sign, 0.0, 0.0))
        aims[_J[f"{side}_upper_arm"]] = (_J[f"{side}_upper_arm"], _J[f"{side}_lower_arm"], (sign, 0.0, 0.0))
        for j in (_J[f"{side}_lower_arm"], _J[f"{side}_hand"], *(f for f, h in FINGER_TO_HAND.items() if h == _J[f"{side}_hand"])):
            aims[j] = forearm
        for upper, lower in (("upper_leg", "lower_leg"), ("lower_leg", "foot")):
            aims[_J[f"{side}_{upper}"]] = (_J[f"{side}_{upper}"], _J[f"{side}_{lower}"], (0.0, 0.0, -1.0))
    return aims


_BODY_OF_J = np.array([*range(22), *(FINGER_TO_HAND[j] for j in range(22, len(FULL_NAMES)))])
T_AIMS = {52: _aims(), 22: {j: aim for j, aim in _aims().items() if j < 22}}


@dataclass(frozen=True, eq=False)
class PoseBank:
    """rotations_TJ33: global rotations relative to the T pose; names: their joints, all 22 body names in any order.

    up: the frame of the rotations, "y" (T pose facing +Z, as in BVH) or "z" (the network's).
    Raises: ValueError for shapes that differ, missing joints, no frame, or matrices that are not rotations (to 1 %).
    """
    rotations_TJ33: np.ndarray
    names: tuple[str, ...] = BODY_NAMES
    up: str = "y"

    def __post_init__(self):
        shape = np.shape(self.rotations_TJ33)
        if len(shape) != 4 or shape[0] < 1 or shape[1:] != (len(self.names), 3, 3):
            raise ValueError(f"pose bank: rotations must be (T >= 1, {len(self.names)}, 3, 3), got {shape}")
        missing = sorted(set(BODY_NAMES) - set(self.names))
        if missing:
            raise ValueError(f"pose bank: no rotations for {', '.join(missing)}; give all 22 body joints")
        if self.up not in ("y", "z"):
            raise ValueError(f'pose bank: up axis {self.up!r}; use "y" or "z"')
        turns = np.asarray(self.rotations_TJ33, np.float32)
        gram = np.swapaxes(turns, -1, -2) @ turns
        if not (np.abs(gram - np.eye(3)) < 1e-2).all() or not (np.linalg.det(turns) > 0).all():
            raise ValueError("pose bank: some matrices are no rotations; normalise the quaternions before converting them")

    def __len__(self) -> int:
        return len(self.rotations_TJ33)

    def __repr__(self) -> str:
        return f"PoseBank({len(self)} frames, up={self.up!r})"

    @cached_property
    def _order(self) -> list[int]:
        return [list(self.names).index(name) for name in BODY_NAMES]

    def global_J33(self, frame: int, joint_count: int) -> np.ndarray:
        """Rotations (J, 3, 3) float64 of one frame in the network's frame; fingers turn with their hand."""
        turn_J33 = np.asarray(self.rotations_TJ33[frame], np.float64)[self._order]
        if self.up == "y":
            turn_J33 = Y_UP_TO_Z_UP @ turn_J33 @ Y_UP_TO_Z_UP.T
        return turn_J33[_BODY_OF_J[:joint_count]]

    def basis(self, frame: int, parents: tuple, joints_J3: np.ndarray, local_J44: np.ndarray,
              alignment_J33: np.ndarray | None = None) -> np.ndarray:
        """matrix_basis (J, 4, 4) that brings a character in the network's frame into this frame's pose.

        alignment_J33: rest_alignment(joints_J3, T_AIMS[J]), for a caller that has it.
        """
        turn_J33 = self.global_J33(frame, len(joints_J3))
        return retarget(parents, turn_J33, joints_J3, local_J44, T_AIMS[len(joints_J3)], alignment_J33)


@dataclass(frozen=True, eq=False)
class TrackBank:
    """Contest tracks: matrix_basis_TJ44 (T, 52 or 22, 4, 4), for characters whose matrix_local holds the contest's bone axes only.

    For any other character turn them into a PoseBank (`as_pose_bank`). Raises: ValueError for a wrong shape or no frame.
    """
    matrix_basis_TJ44: np.ndarray

    def __post_init__(self):
        shape = np.shape(self.matrix_basis_TJ44)
        if len(shape) != 4 or shape[0] < 1 or shape[1] not in (22, 52) or shape[2:] != (4, 4):
            raise ValueError(f"track: matrix_basis must be (T >= 1, 22 or 52, 4, 4), got {shape}")

    def __len__(self) -> int:
        return len(self.matrix_basis_TJ44)

    def __repr__(self) -> str:
        return f"TrackBank({len(self)} frames)"

    def basis(self, frame: int, parents: tuple, joints_J3: np.ndarray, local_J44: np.ndarray,
              alignment_J33: np.ndarray | None = None) -> np.ndarray:
        """The frame's rotations; joints that the track lacks stay at rest. Its translations are not used (the box removes them).

        alignment_J33: a PoseBank's, which a track has no use for.
        """
        basis_J44 = np.tile(np.eye(4), (len(joints_J3), 1, 1))
        known = min(len(joints_J3), self.matrix_basis_TJ44.shape[1])
        basis_J44[:known, :3, :3] = self.matrix_basis_TJ44[frame, :known, :3, :3]
        return basis_J44

    def as_pose_bank(self, reference: Asset) -> PoseBank:
        """The same motion for any character, read through one with the contest's bone frames. Finger motion is left out.

        Undoes `retarget`: G_j = G_parent B_j basis_j B_j^T, then D_j = G_j R_j^T.
        """
        reference = reference.in_network_frame().with_joints(22)
        bone_J33, turn_TJ33 = reference.local_J44()[:, :3, :3], np.empty((len(self), 22, 3, 3))
        for j, p in enumerate(BODY_PARENTS):
            step_T33 = bone_J33[j] @ np.asarray(self.matrix_basis_TJ44[:, j, :3, :3], np.float64) @ bone_J33[j].T
            turn_TJ33[:, j] = step_T33 if p is None else turn_TJ33[:, p] @ step_T33
        rest_J33 = rest_alignment(reference.joints_J3, T_AIMS[22])
        return PoseBank((turn_TJ33 @ np.swapaxes(rest_J33, -1, -2)).astype(np.float32), BODY_NAMES, "z")


Bank = PoseBank | TrackBank


@lru_cache(maxsize=1)
def procedural_bank(count: int = 1024) -> PoseBank:
    """Walking, running, sitting, reaching and bending by rule, for when no motion file is there. Always the same frames.

    Joint angles in radians, T pose facing +Z, Y up: +X turns a hanging leg backwards, so flexing the hip is -X and the knee +X.
    """
    rng = np.random.default_rng(20250)
    angle_TJ3 = rng.normal(0, 0.08, (count, 22, 3))
    kind_T = rng.choice(4, count, p=(0.4, 0.2, 0.25, 0.15))       # gait, sitting, reaching, bending
    effort_T, phase_T = rng.uniform(0.2, 1.0, count), rng.uniform(0, 2 * np.pi, count)
    for side, sign in (("l", 1.0), ("r", -1.0)):
        swing_T = sign * np.sin(phase_T) * effort_T
        lift_T = np.clip(sign * np.cos(phase_T), 0, 1) * effort_T
        stand_T, seat_T = 0.25 * rng.normal(size=count), rng.uniform(0.9, 1.8, count)
        hip_T = np.choose(kind_T, (0.8 * swing_T + 0.4 * lift_T, seat_T, stand_T, 0.5 * effort_T))
        knee_T = np.choose(kind_T, (0.2 + 1.4 * lift_T, seat_T * rng.uniform(0.6, 1.2, count), np.abs(stand_T), 0.3 * effort_T))
        angle_TJ3[:, _J[f"{side}_upper_leg"], 0] -= hip_T
        angle_TJ3[:, _J[f"{side}_upper_leg"], 2] += sign * rng.uniform(0, 0.25, count)
        angle_TJ3[:, _J[f"{side}_lower_leg"], 0] += knee_T
        drop_T = np.where(kind_T >= 2, rng.uniform(-1.2, 1.4, count), rng.uniform(0.9, 1.4, count))
        # an arm along +X is lowered by -Z, brought forward by -Y, and the other way round on the right
        angle_TJ3[:, _J[f"{side}_upper_arm"], 2] -= sign * drop_T
        angle_TJ3[:, _J[f"{side}_upper_arm"], 1] -= sign * np.where(kind_T == 0, -0.6 * swing_T, rng.uniform(-0.3, 1.2, count))
        angle_TJ3[:, _J[f"{side}_lower_arm"], 1] -= sign * rng.uniform(0, 1.6, count) * effort_T
    bend_T = np.where(kind_T == 3, rng.uniform(0.3, 1.2, count), 0.1 * rng.normal(size=count))
    for name in ("spine", "chest", "upper_chest"):
        angle_TJ3[:, _J[name], 0] += bend_T / 3
    turn_TJ33 = rotvec_to_matrix(angle_TJ3)
    for j, p in enumerate(BODY_PARENTS):
        if p is not None:
            turn_TJ33[:, j] = turn_TJ33[:, p] @ turn_TJ33[:, j]
    return PoseBank(turn_TJ33.astype(np.float32), BODY_NAMES, "y")
