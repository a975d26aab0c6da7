"""One prediction in the skeletons of the trade: names, tree, bone axes and hands as each world expects them, and the way back.

Names: dataset/format.py. Where the bone axes come from: docs/skeletons.md.
Letters: V vertices, J joints of the contest, K joints of the dialect. Directions in the tables are the network's (Z up, facing -Y).
"""

from dataclasses import replace

import numpy as np

from dataset.format import BODY_NAMES, DIALECTS, FINGER_TO_HAND, FULL_NAMES, ORDERS, skeleton
from dataset.sources.bone_names import match_bones
from geometry.similarity import Y_UP_TO_Z_UP
from rigging.bone_axes import mixamo_frames, ue5_frames
from rigging.rig import CharacterRig

HANDS = ("full", "mitten", "none")
# from wrist to knuckles in lengths of the forearm, where no finger says it: as in Rocketbox's and Mesh2Motion's rigs
KNUCKLES = 0.39
_J = {name: j for j, name in enumerate(FULL_NAMES)}


def in_dialect(rig: CharacterRig, dialect: str, hands: str = "full") -> CharacterRig:
    """The rig with another world's bones. rig: the contest's 22 or 52 joints.

    dialect: a key of DIALECTS. hands: "full"; "mitten": one bone for the four fingers, which begins at the middle finger's first
    joint, beside the thumb; "none": fingers go to the hand. A rig of 22 joints has no fingers to merge.
    A merged joint's weight goes to the bone that takes its place; no joint that stays is moved, no row's sum changes.
    Bones that only the other world has carry no weight: ue5 root (at the file's origin), spine_02 and spine_04 (half-way);
    smpl left_hand and right_hand, at the knuckles (with "full" fingers the bones are SMPL-H's, which has none). SMPL has no thumb
    beside its hand: with "mitten" left_hand takes all five fingers.
    Frames: mixamo +Y along the bone, ue5 X along the bone, unity, vrm and smpl the figure's own axes (X left, Y up, Z front),
    contest the file's.
    Raises: ValueError for a dialect, hands or joints that are none of these.
    """
    if dialect not in DIALECTS or hands not in HANDS:
        raise ValueError(f"dialect {dialect!r}, hands {hands!r}; choose one of {', '.join(DIALECTS)} and one of {', '.join(HANDS)}")
    if tuple(rig.names) != skeleton(rig.joint_count).names:
        raise ValueError("only a rig with the contest's joints can be brought into a dialect; use from_dialect first")
    frames_J33 = _frames(rig, dialect)
    kept = _merged(rig if frames_J33 is None else replace(rig, frames_J33=frames_J33), _takers(rig.joint_count, hands, dialect))
    knuckle_of = {name: _knuckles(rig, side) for side, name in (("l", "left_hand"), ("r", "right_hand"))}
    kept = replace(kept, names=tuple(_name(name, dialect, hands) for name in kept.names))
    if dialect == "ue5":
        kept = _with_bone(kept, "root", np.zeros(3), np.asarray(rig.to_network_33, np.float64).T, None, "pelvis")
        for name, above, below in (("spine_02", "spine_01", "spine_03"), ("spine_04", "spine_03", "spine_05")):
            j, k = kept.names.index(above), kept.names.index(below)
            kept = _with_bone(kept, name, (kept.joints_J3[j] + kept.joints_J3[k]) / 2, kept.frames()[j], above, below)
    if dialect == "smpl" and not (hands == "full" and rig.joint_count == 52):
        for name, wrist in (("left_hand", "left_wrist"), ("right_hand", "right_wrist")):
            if name not in kept.names:
                kept = _with_bone(kept, name, knuckle_of[name], figure_axes(rig.to_network_33), wrist)
    return _in_order(kept, ORDERS[dialect]) if dialect in ORDERS else kept


def from_dialect(rig: CharacterRig) -> CharacterRig:
    """The same rig with the contest's joints, found by name: 52 when every finger is there, else 22.

    Weights of other bones go to the nearest ancestor that is found, to the hips where there is none.
    Raises: ValueError naming the body joints that no bone stands for.
    """
    match = match_bones(rig.names)
    missing = [name for name in BODY_NAMES if name not in match]
    if missing:
        raise ValueError(f"no bone found for {', '.join(missing)}; bones: {', '.join(rig.names[:40])}")
    wanted = skeleton(52 if all(name in match for name in FULL_NAMES) else 22)
    bone_J = [match[name] for name in wanted.names]
    joint_of_bone = {bone: j for j, bone in enumerate(bone_J)}
    skin_VJ = np.zeros((len(rig.skin_VJ), len(bone_J)))
    for bone in range(rig.joint_count):
        above = bone
        while above is not None and above not in joint_of_bone:
            above = rig.parents[above]
        skin_VJ[:, 0 if above is None else joint_of_bone[above]] += rig.skin_VJ[:, bone]
    return replace(rig, joints_J3=np.asarray(rig.joints_J3)[bone_J], parents=wanted.parents, names=wanted.names,
                   skin_VJ=skin_VJ.astype(np.float32), frames_J33=None if rig.frames_J33 is None else rig.frames()[bone_J])


def figure_axes(to_network_33: np.ndarray) -> np.ndarray:
    """(3, 3) in the file's axes, columns: the figure's left, up and front (glTF's X, Y and Z for a figure that stands there)."""
    return np.asarray(to_network_33, np.float64).T @ Y_UP_TO_Z_UP


def _frames(rig: CharacterRig, dialect: str) -> np.ndarray | None:
    if dialect == "contest":
        return rig.frames_J33
    if dialect in ("mixamo", "ue5"):
        turn_33 = np.asarray(rig.to_network_33, np.float64)
        of_network = mixamo_frames if dialect == "mixamo" else ue5_frames
        return turn_33.T @ of_network(np.asarray(rig.joints_J3, np.float64) @ turn_33.T)
    return np.tile(figure_axes(rig.to_network_33), (rig.joint_count, 1, 1))


def _takers(count: int, hands: str, dialect: str) -> list[int]:
    """For each contest joint the one that takes its weight: itself where it stays."""
    takers = list(range(count))
    if hands == "full" or count == 22:
        return takers
    for j in range(22, count):
        side, finger = FULL_NAMES[j][0], FULL_NAMES[j].split("_")[2]
        if hands == "none":
            takers[j] = FINGER_TO_HAND[j]
        elif finger != "thumb" or dialect == "smpl":
            takers[j] = _J[f"{side}_hand_middle_1"]
    return takers


def _name(joint: str, dialect: str, hands: str) -> str:
    if dialect == "smpl" and hands == "mitten" and joint.endswith("hand_middle_1"):
        return {"l": "left_hand", "r": "right_hand"}[joint[0]]
    return DIALECTS[dialect][joint]


def _knuckles(rig: CharacterRig, side: str) -> np.ndarray:
    """(3,) where the middle finger begins, or where it would: on the line of the forearm."""
    joints_J3 = np.asarray(rig.joints_J3, np.float64)
    if rig.joint_count == 52:
        return joints_J3[_J[f"{side}_hand_middle_1"]]
    hand_3 = joints_J3[_J[f"{side}_hand"]]
    return hand_3 + KNUCKLES * (hand_3 - joints_J3[_J[f"{side}_lower_arm"]])


def _with_bone(rig: CharacterRig, name: str, place_3: np.ndarray, frame_33: np.ndarray, above: str | None, below: str | None = None,
               ) -> CharacterRig:
    """One more bone without weight, hung on `above` (None: the new root) and, where named, put between it and `below`.

    It stands last, so a parent may come after its child until `_in_order`.
    """
    parents = [rig.joint_count if child == below else parent for child, parent in zip(rig.names, rig.parents)]
    return replace(rig, joints_J3=np.concatenate([rig.joints_J3, place_3[None]]), names=(*rig.names, name),
                   parents=(*parents, None if above is None else rig.names.index(above)),
                   skin_VJ=np.pad(rig.skin_VJ, ((0, 0), (0, 1))), frames_J33=np.concatenate([rig.frames(), frame_33[None]]))


def _in_order(rig: CharacterRig, order: tuple[str, ...]) -> CharacterRig:
    old = [rig.names.index(name) for name in order if name in rig.names]
    new_of_old = {j: k for k, j in enumerate(old)}
    parents = tuple(None if rig.parents[j] is None else new_of_old[rig.parents[j]] for j in old)
    return replace(rig, joints_J3=rig.joints_J3[old], parents=parents, names=tuple(rig.names[j] for j in old),
                   skin_VJ=np.ascontiguousarray(rig.skin_VJ[:, old]), frames_J33=rig.frames()[old])


def _merged(rig: CharacterRig, takers: list[int]) -> CharacterRig:
    """Joints that another takes disappear; their children go to the taker, or to its nearest ancestor that stays."""
    kept = [j for j, taker in enumerate(takers) if taker == j]
    skin_VK = np.zeros((len(rig.skin_VJ), len(kept)))
    for j, taker in enumerate(takers):
        skin_VK[:, kept.index(taker)] += rig.skin_VJ[:, j]
    parents = tuple(None if rig.parents[j] is None else kept.index(takers[rig.parents[j]]) for j in kept)
    return replace(rig, joints_J3=np.asarray(rig.joints_J3, np.float64)[kept], parents=parents, names=tuple(rig.names[j] for j in kept),
                   skin_VJ=skin_VK.astype(np.float32), frames_J33=None if rig.frames_J33 is None else rig.frames()[kept])
