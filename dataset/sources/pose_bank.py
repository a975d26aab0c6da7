"""Pose banks from files: many motion-capture frames as global rotations relative to a T pose, split by clip.

Format: quat_xyzw (T, 22, 4), clip (T,) index into clip_names (C,), joints (22,) names; Y up, T pose facing +Z, heading removed.
Letters: T frames, J joints, C clips.
"""

import hashlib
from pathlib import Path

import numpy as np

from dataset.asset import AssetError
from dataset.format import BODY_NAMES
from dataset.poses import PoseBank
from dataset.sources.bvh import load_bvh, remove_heading
from dataset.sources.npz import member_array, member_texts, read_npz
from geometry.kinematics import quaternion_to_matrix

BANK = ("quat_xyzw", "clip", "clip_names", "joints")
MAX_FRAMES = 1_000_000      # 1.6 GB as matrices


def load_pose_bank(path: str | Path) -> PoseBank:
    """All frames of a bank (.npz), or those of one BVH file whose first frame is a T pose, its heading removed.

    Raises: AssetError naming the file: keys missing, shapes that do not fit, joints that are not the 22, broken numbers.
    """
    path = Path(path)
    if path.suffix.lower() == ".bvh":
        return PoseBank(remove_heading(load_bvh(path).rotations_TJ33), BODY_NAMES, up="y")
    rotations_TJ33, _, _ = _read(path)
    return PoseBank(rotations_TJ33, BODY_NAMES, up="y")


def split_pose_bank(path: str | Path, held_out: float = 0.1) -> tuple[PoseBank, PoseBank]:
    """(training bank, held-out bank) without a clip in common.

    About `held_out` of the clips, at least one, are held out: those whose names' SHA-256 comes first, so that the choice is the
    same everywhere and does not lean on the order of the file.
    Raises: AssetError as load_pose_bank, and for a bank with fewer than two clips; ValueError unless 0 < held_out < 1.
    """
    if not 0 < held_out < 1:
        raise ValueError(f"held_out is a share between 0 and 1, not {held_out}")
    if Path(path).suffix.lower() == ".bvh":
        raise AssetError(f"{Path(path).name}: has 1 clip; a split needs a bank (.npz) of two or more")
    rotations_TJ33, clip_T, names = _read(Path(path))
    present = sorted(np.unique(clip_T), key=lambda clip: hashlib.sha256(names[clip].encode()).digest())
    if len(present) < 2:
        raise AssetError(f"{Path(path).name}: has {len(present)} clip; a split needs a bank of two or more")
    count = min(max(1, round(held_out * len(present))), len(present) - 1)
    out_T = np.isin(clip_T, present[:count])
    return PoseBank(rotations_TJ33[~out_T], BODY_NAMES, up="y"), PoseBank(rotations_TJ33[out_T], BODY_NAMES, up="y")


def _read(path: Path) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """rotations_TJ33 float32 in the contest's order, clip_T int64, clip names."""
    members = read_npz(path, BANK)
    missing = sorted(key for key in BANK if members.get(key) is None)
    if missing:
        raise AssetError(f"{path.name}: not a pose bank, lacks {', '.join(missing)}")
    joints, names = list(member_texts(path, members, "joints")), member_texts(path, members, "clip_names")
    if sorted(joints) != sorted(BODY_NAMES):
        raise AssetError(f"{path.name}: its joints are not the contest's 22: {', '.join(joints[:30])}")
    quat_TJ4 = member_array(path, members, "quat_xyzw", np.float64, (None, len(joints), 4))
    clip_T = member_array(path, members, "clip", np.int64, (len(quat_TJ4),))
    if not 0 < len(clip_T) <= MAX_FRAMES:
        raise AssetError(f"{path.name}: has {len(clip_T)} frames, must have 1 to {MAX_FRAMES}")
    if clip_T.min() < 0 or clip_T.max() >= len(names):
        raise AssetError(f"{path.name}: clip names clips {clip_T.min()} to {clip_T.max()} of {len(names)}")
    if not np.isfinite(quat_TJ4).all() or (np.abs(np.linalg.norm(quat_TJ4, axis=-1) - 1) > 0.05).any():
        raise AssetError(f"{path.name}: quat_xyzw holds quaternions that are not of unit length")
    order = [joints.index(name) for name in BODY_NAMES]
    return quaternion_to_matrix(quat_TJ4[:, order]).astype(np.float32), clip_T, names
