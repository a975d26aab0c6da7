"""A pose or a clip as BVH on a rig's own skeleton: 22 bones, zero rotations are the T pose, names as Mixamo's without the prefix.

Format: dataset/sources/bvh.py. Each bone has Z, X and Y rotations, R = Rz Rx Ry in degrees; Y up, facing +Z, units of the rig.
Letters: T frames, J the contest's 22 joints.
"""

from pathlib import Path

import numpy as np

from dataset.exporter import write_atomically
from dataset.format import BODY_NAMES, BODY_PARENTS, DIALECTS
from dataset.poses import T_AIMS
from geometry.kinematics import rest_alignment
from geometry.similarity import Y_UP_TO_Z_UP
from rigging.animation import Clip, leg_length
from rigging.dialects import from_dialect
from rigging.rig import CharacterRig

_BELOW = {j: [child for child, parent in enumerate(BODY_PARENTS) if parent == j] for j in range(len(BODY_NAMES))}
_TIP = 0.5  # of its own bone: the length of a bone without a child, which BVH wants


def write_bvh(path: str | Path, rig: CharacterRig, clip: Clip) -> None:
    """The clip on this rig, whatever its dialect and rest pose; a pose is a clip of one frame. The file appears whole or not at all.

    Raises: ValueError naming the body joints that the rig lacks.
    """
    joints_J3 = np.asarray(from_dialect(rig).joints_J3, np.float64)[:22] @ np.asarray(rig.to_network_33, np.float64).T
    offsets_J3 = _t_pose_offsets(joints_J3)
    hips_3 = joints_J3[0] @ Y_UP_TO_Z_UP
    way_T3 = np.tile(hips_3, (len(clip), 1))
    if clip.offset_T3 is not None:
        way_T3 = way_T3 + leg_length(joints_J3) * np.asarray(clip.offset_T3, np.float64)
    turn_TJ33 = np.asarray(clip.rotations_TJ33, np.float64)
    order, lines = [], ["HIERARCHY"]
    _write_bone(0, offsets_J3, 0, lines, order)
    columns = [way_T3]
    for j in order:
        parent = BODY_PARENTS[j]
        local_T33 = turn_TJ33[:, j] if parent is None else np.swapaxes(turn_TJ33[:, parent], -1, -2) @ turn_TJ33[:, j]
        columns.append(zxy_degrees(local_T33))
    lines += ["MOTION", f"Frames: {len(clip)}", f"Frame Time: {1 / clip.fps:.9f}"]
    lines += [" ".join(f"{value:.6f}" for value in row) for row in np.concatenate(columns, axis=1) + 0.0]
    write_atomically(path, ("\n".join(lines) + "\n").encode())


def zxy_degrees(turn_T33: np.ndarray) -> np.ndarray:
    """(T, 3) angles a, b, c in degrees with R = Rz(a) Rx(b) Ry(c). Where b is a right angle a and c are one turn, and c is 0."""
    level_T = np.hypot(turn_T33[:, 0, 1], turn_T33[:, 1, 1])
    a_T, b_T = np.arctan2(-turn_T33[:, 0, 1], turn_T33[:, 1, 1]), np.arctan2(turn_T33[:, 2, 1], level_T)
    c_T = np.arctan2(-turn_T33[:, 2, 0], turn_T33[:, 2, 2])
    locked_T = level_T < 1e-7
    a_T = np.where(locked_T, np.arctan2(turn_T33[:, 1, 0], turn_T33[:, 0, 0]), a_T)
    return np.degrees(np.stack([a_T, b_T, np.where(locked_T, 0.0, c_T)], axis=1))


def _t_pose_offsets(joints_J3: np.ndarray) -> np.ndarray:
    """(22, 3) from each joint's parent to it in the T pose, Y up; joints in the network's frame."""
    turn_J33, offsets_J3 = rest_alignment(joints_J3, T_AIMS[22]), np.zeros((22, 3))
    for j, parent in enumerate(BODY_PARENTS):
        if parent is not None:
            offsets_J3[j] = turn_J33[parent] @ (joints_J3[j] - joints_J3[parent])
    return offsets_J3 @ Y_UP_TO_Z_UP


def _write_bone(j: int, offsets_J3: np.ndarray, depth: int, lines: list[str], order: list[int]) -> None:
    """Append the bone and all below it to lines, and their numbers to order."""
    pad, order[len(order):] = "  " * depth, [j]
    lines += [f"{pad}{'JOINT' if j else 'ROOT'} {DIALECTS['mixamo'][BODY_NAMES[j]].split(':')[-1]}", pad + "{", _offset(pad, offsets_J3[j])]
    channels = "Zrotation Xrotation Yrotation"
    lines.append(f"{pad}  CHANNELS {f'3 {channels}' if j else f'6 Xposition Yposition Zposition {channels}'}")
    for child in _BELOW[j]:
        _write_bone(child, offsets_J3, depth + 1, lines, order)
    if not _BELOW[j]:
        lines += [f"{pad}  End Site", pad + "  {", _offset(pad + "  ", _TIP * offsets_J3[j]), pad + "  }"]
    lines.append(pad + "}")


def _offset(pad: str, place_3: np.ndarray) -> str:
    return f"{pad}  OFFSET " + " ".join(f"{value:.6f}" for value in place_3 + 0.0)
