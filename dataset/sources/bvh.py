"""BVH motion files: for each frame the global rotation of the contest's 22 body joints, relative to a T pose.

Format: Biovision hierarchy. A joint's rotation is the product of its channels in the order listed, R = R_1 R_2 R_3 (column vectors),
in degrees. Frame: Y up, the T pose facing +Z, left at +X, as docs/conventions.md has it.
Letters: T frames, B bones of the file, J joints (22).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dataset.asset import AssetError
from dataset.format import BODY_NAMES, BODY_PARENTS
from dataset.sources.bone_names import match_bones
from dataset.sources.limits import read_file
from geometry.kinematics import rotation_between

MAX_BONES = 2000
MAX_CHANNELS = 12           # of one bone; files have 3 or 6
LONGEST = 1e15              # of a number: lengths are squared and stored as float32
SHORTEST_FRAME = 1e-6       # seconds
MAX_BYTES = 256 << 20       # of the text
MAX_ROTATIONS = 10_000_000  # frames times bones: 720 MB
AXES = {"Xrotation": 0, "Yrotation": 1, "Zrotation": 2}
POSITIONS = {"Xposition": 0, "Yposition": 1, "Zposition": 2}
# a motion without these is not a human's; any other missing joint turns with its parent
NEEDED = {name for name in BODY_NAMES if name.split("_")[-1] in ("arm", "leg")} | {"hips"}
T_DEGREES = 15
# directions of the limbs in the T pose
T_DIRECTIONS = {"l_upper_arm": (1, 0, 0), "l_lower_arm": (1, 0, 0), "r_upper_arm": (-1, 0, 0), "r_lower_arm": (-1, 0, 0),
                "l_upper_leg": (0, -1, 0), "l_lower_leg": (0, -1, 0), "r_upper_leg": (0, -1, 0), "r_lower_leg": (0, -1, 0)}
CHILD = {"l_upper_arm": "l_lower_arm", "l_lower_arm": "l_hand", "r_upper_arm": "r_lower_arm", "r_lower_arm": "r_hand",
         "l_upper_leg": "l_lower_leg", "l_lower_leg": "l_foot", "r_upper_leg": "r_lower_leg", "r_lower_leg": "r_foot"}


@dataclass(frozen=True)
class Bvh:
    """The file as it is. parents: index or -1. rotations_TB33: global, float64. root_T3: the root's place, file units."""
    names: tuple[str, ...]
    parents: tuple[int, ...]
    offsets_B3: np.ndarray
    rotations_TB33: np.ndarray
    root_T3: np.ndarray
    fps: float


@dataclass(frozen=True)
class Motion:
    """rotations_TJ33 float32: global rotations of the contest's 22 joints relative to the T pose, heading kept.
    offset_T3 float32: the root's way since the first frame, in file units. leg: from hip over knee to ankle, in file units, the mean
    of both sides; 0 where the file does not say. names: joint names in order."""
    rotations_TJ33: np.ndarray
    offset_T3: np.ndarray
    fps: float
    leg: float
    names: tuple[str, ...] = BODY_NAMES


def load_bvh(path: str | Path, t_pose: str = "first") -> Motion:
    """Motion of a human's BVH; bones are found by name (CMU, mixamo, Biped, Rigify, plain).

    t_pose: "first": frame 0 is a T pose (CMU's cgspeed conversion) and is left out of the result.
            "offsets": the skeleton with all rotations zero is the rest, in whatever pose its offsets stand.
            "auto": "first" where arms and legs of frame 0 lie within 15 degrees of the T pose, else "offsets".
    From either, arms and legs are carried to the ideal T pose by the shortest rotation of each bone; spine, head, hands and feet
    are taken to be right as they are.
    Raises: AssetError naming the file: broken, no frames, or bones that cannot be named.
    """
    path = Path(path)
    if t_pose not in ("first", "offsets", "auto"):
        raise ValueError(f"t_pose must be first or offsets (or auto), not {t_pose!r}")
    bvh = read_bvh(path)
    match = match_bones(bvh.names)
    missing = sorted(NEEDED - set(match))
    if missing:
        raise AssetError(f"{path.name}: no bone found for {', '.join(missing)}; bones: {', '.join(bvh.names[:40])}")
    if t_pose == "auto":
        t_pose = "first" if _stands_in_t_pose(bvh, match) else "offsets"
    rest_B33 = bvh.rotations_TB33[0] if t_pose == "first" else np.tile(np.eye(3), (len(bvh.names), 1, 1))
    skip = 1 if t_pose == "first" else 0
    if len(bvh.rotations_TB33) <= skip:
        raise AssetError(f"{path.name}: has {len(bvh.rotations_TB33)} frames; at least {skip + 1} are needed")
    rotations_TJ33 = np.empty((len(bvh.rotations_TB33) - skip, len(BODY_NAMES), 3, 3))
    for j, name in enumerate(BODY_NAMES):
        if name not in match:
            rotations_TJ33[:, j] = rotations_TJ33[:, BODY_PARENTS[j]]
            continue
        bone = match[name]
        rotations_TJ33[:, j] = bvh.rotations_TB33[skip:, bone] @ rest_B33[bone].T @ _from_t_pose(bvh, match, name, rest_B33)
    offset_T3 = bvh.root_T3[skip:] - bvh.root_T3[skip]
    return Motion(rotations_TJ33.astype(np.float32), offset_T3.astype(np.float32), bvh.fps, _leg(bvh, match))


def _leg(bvh: Bvh, match: dict[str, int]) -> float:
    still_B33 = np.tile(np.eye(3), (len(bvh.names), 1, 1))
    bones = [_bone(bvh, match, f"{side}_{part}", still_B33) for side in "lr" for part in ("upper_leg", "lower_leg")]
    return float(np.linalg.norm(bones, axis=1).sum()) / 2


def _stands_in_t_pose(bvh: Bvh, match: dict[str, int]) -> bool:
    """Whether frame 0 shows a T pose and there is a frame after it."""
    for name, way_3 in T_DIRECTIONS.items():
        bone_3 = _bone(bvh, match, name, bvh.rotations_TB33[0])
        if np.linalg.norm(bone_3) > 0 and bone_3 @ way_3 < np.cos(np.radians(T_DEGREES)) * np.linalg.norm(bone_3):
            return False
    return len(bvh.rotations_TB33) > 1


def _from_t_pose(bvh: Bvh, match: dict[str, int], name: str, rest_B33: np.ndarray) -> np.ndarray:
    """The shortest rotation that brings a limb bone from its T direction to its direction at rest; identity for other bones."""
    direction_3 = _bone(bvh, match, name, rest_B33)
    return rotation_between(np.array(T_DIRECTIONS[name], float), direction_3) if np.linalg.norm(direction_3) > 0 else np.eye(3)


def _bone(bvh: Bvh, match: dict[str, int], name: str, rest_B33: np.ndarray) -> np.ndarray:
    """(3,) from a limb's joint to the next of the limb with the bones turned like this; zero for other bones, or where one is missing."""
    direction_3, bone = np.zeros(3), match.get(CHILD.get(name, ""), -1)
    while bone >= 0 and bone != match[name]:
        parent = bvh.parents[bone]
        direction_3 = direction_3 + rest_B33[parent] @ bvh.offsets_B3[bone]
        bone = parent
    return direction_3 if bone >= 0 else np.zeros(3)


def remove_heading(rotations_TJ33: np.ndarray) -> np.ndarray:
    """Turn every frame about the vertical (Y) so that the hips face +Z: the hips' Z axis loses its X part."""
    forward_T3 = np.asarray(rotations_TJ33, np.float64)[:, 0, :, 2]
    angle_T = np.arctan2(forward_T3[:, 0], forward_T3[:, 2])
    back_T33 = axis_rotation(1, -np.degrees(angle_T))
    return (back_T33[:, None] @ rotations_TJ33).astype(np.float32)


def read_bvh(path: str | Path) -> Bvh:
    """The skeleton and frames of a BVH file. Raises: AssetError naming the file and what is wrong."""
    path = Path(path)
    head, found, body = read_file(path, MAX_BYTES).decode(errors="replace").partition("MOTION")
    if not found or not head.lstrip().startswith("HIERARCHY"):
        raise AssetError(f"{path.name}: not a BVH file: it needs the words HIERARCHY and MOTION")
    try:
        names, parents, offsets, channels = _hierarchy(iter(head.split()[1:]))
        values_TC, fps = _frames(body, sum(len(channel) for channel in channels))
        if len(values_TC) * len(names) > MAX_ROTATIONS:
            raise ValueError(f"{len(values_TC)} frames of {len(names)} bones, more than {MAX_ROTATIONS} rotations: cut it into clips")
    except StopIteration:
        raise AssetError(f"{path.name}: the hierarchy ends too early") from None
    except (ValueError, IndexError) as error:
        raise AssetError(f"{path.name}: broken BVH ({error})") from None
    rotations_TB33, root_T3 = _pose(parents, channels, values_TC)
    return Bvh(tuple(names), tuple(parents), np.array(offsets), rotations_TB33, root_T3, fps)


def _hierarchy(words: Iterator[str]) -> tuple[list[str], list[int], list[list[float]], list[list[str]]]:
    names, parents, offsets, channels, stack = [], [], [], [], []
    for word in words:
        if word in ("ROOT", "JOINT"):
            if not stack and names:
                raise ValueError("more than one root")
            names.append(next(words))
            parents.append(stack[-1] if stack else -1)
            offsets.append([0.0, 0.0, 0.0])
            channels.append([])
            if len(names) > MAX_BONES:
                raise ValueError(f"more than {MAX_BONES} bones")
        elif word == "End":
            while next(words) != "}":
                pass
        elif word == "{":
            stack.append(len(names) - 1)
        elif word == "}":
            stack.pop()
        elif word == "OFFSET":
            offsets[stack[-1]] = [_length(next(words)) for _ in range(3)]
        elif word == "CHANNELS":
            count = int(next(words))
            if not 0 <= count <= MAX_CHANNELS:
                raise ValueError(f"{count} channels of one bone")
            channels[stack[-1]] = [next(words) for _ in range(count)]
        else:
            raise ValueError(f"unknown word {word[:40]!r} in the hierarchy")
    if not names or stack:
        raise ValueError("no root, or a brace is not closed")
    unknown = {name for channel in channels for name in channel} - set(AXES) - set(POSITIONS)
    if unknown:
        raise ValueError(f"unknown channels {', '.join(sorted(unknown))}")
    return names, parents, offsets, channels


def _length(word: str) -> float:
    """A number that can be squared and stored as float32. Raises: ValueError for any other word."""
    length = float(word)
    if not abs(length) < LONGEST:
        raise ValueError(f"offset {word[:40]!r}")
    return length


def _frames(body: str, width: int) -> tuple[np.ndarray, float]:
    """(T, channels) float64 and frames per second."""
    words = body.split(maxsplit=5)
    if len(words) < 5 or words[0] != "Frames:" or words[2:4] != ["Frame", "Time:"]:
        raise ValueError("MOTION must be followed by 'Frames: n' and 'Frame Time: s'")
    count, seconds = int(words[1]), float(words[4])
    values = np.array((words[5] if len(words) > 5 else "").split(), dtype=np.float64)
    if count < 1 or len(values) != count * width:
        raise ValueError(f"{len(values)} numbers for {count} frames of {width} channels")
    if not (np.abs(values) < LONGEST).all() or not SHORTEST_FRAME < seconds < 1 / SHORTEST_FRAME:
        raise ValueError("numbers that are not finite or absurdly large, or a frame time that is not positive")
    return values.reshape(count, width), 1 / seconds


def _pose(parents: list[int], channels: list[list[str]], values_TC: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    frames = len(values_TC)
    rotations_TB33, root_T3, at = np.empty((frames, len(parents), 3, 3)), np.zeros((frames, 3)), 0
    for bone, (parent, names) in enumerate(zip(parents, channels)):
        turn_T33 = rotations_TB33[:, parent] if parent >= 0 else np.tile(np.eye(3), (frames, 1, 1))
        for name in names:
            if name in AXES:
                turn_T33 = turn_T33 @ axis_rotation(AXES[name], values_TC[:, at])
            elif bone == 0:
                root_T3[:, POSITIONS[name]] = values_TC[:, at]
            at += 1
        rotations_TB33[:, bone] = turn_T33
    return rotations_TB33, root_T3


def axis_rotation(axis: int, degrees_T: np.ndarray) -> np.ndarray:
    """(T, 3, 3): right-handed rotations about x (0), y (1) or z (2)."""
    angle_T = np.radians(degrees_T)
    cos_T, sin_T = np.cos(angle_T), np.sin(angle_T)
    first, second = (axis + 1) % 3, (axis + 2) % 3
    out_T33 = np.zeros((len(angle_T), 3, 3))
    out_T33[:, axis, axis] = 1
    out_T33[:, first, first] = out_T33[:, second, second] = cos_T
    out_T33[:, first, second], out_T33[:, second, first] = -sin_T, sin_T
    return out_T33
