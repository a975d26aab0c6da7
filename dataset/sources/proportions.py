"""Give a rigged body other proportions and another rest pose, moving vertices and joints together through the skin weights.

One affine map per bone, x -> head' + A_j (x - head), blended like linear blend skinning: A_j = G_j S_j with S_j the stretch of the bone
(length along it, girth across it) in the body's own pose and G_j its global rotation. A child's head rides on its parent's map, so the
joints stay where the skin is and nothing tears.
Letters: V vertices, J joints (52, contest order). Frame: metres, Y up, facing +Z, the left at +X.
"""

from dataclasses import dataclass

import numpy as np

from dataset.format import FULL_NAMES, FULL_PARENTS

INDEX = {name: j for j, name in enumerate(FULL_NAMES)}
TORSO = ("hips", "spine", "chest", "upper_chest", "neck", "head")
SIDES = (("l", 1.0), ("r", -1.0))
FINGER_NAMES = ("thumb", "index", "middle", "ring", "pinky")
_ALONG = {"shoulder": "upper_arm", "upper_arm": "lower_arm", "lower_arm": "hand", "hand": "hand_middle_1",
          "upper_leg": "lower_leg", "lower_leg": "foot", "foot": "toe_base"}


@dataclass(frozen=True)
class RestPose:
    """Angles in degrees, the same on both sides."""
    arms_down: float = 0.0       # 0 T pose, about 45 A pose, 75 arms hanging
    elbow_bend: float = 0.0      # forearms forward
    knee_bend: float = 0.0
    legs_apart: float = 3.0      # of each leg from the vertical
    finger_straight: float = 1.0  # share, 0 = the relaxed curl of the base mesh, 1 = straight
    shoulder_share: float = 0.1  # share of the arm's rise from the base pose that the clavicle takes


@dataclass(frozen=True)
class Proportions:
    """Factors per joint: length along the bone, width and depth across it (limbs use their mean), plus the head's rise."""
    length_J: np.ndarray
    width_J: np.ndarray
    depth_J: np.ndarray
    head_lift: float = 0.0       # metres added between neck and head, so that a big head does not sink into the chest


def unit_proportions() -> Proportions:
    ones_J = np.ones(len(FULL_NAMES))
    return Proportions(ones_J, ones_J.copy(), ones_J.copy())


def bone_directions(joints_J3: np.ndarray) -> np.ndarray:
    """(J, 3) unit vectors along the bones: to the main child; up for the torso and head; ends continue their parent, toes point +Z."""
    direction_J3 = np.tile([0.0, 1.0, 0.0], (len(joints_J3), 1))
    for j, name in enumerate(FULL_NAMES):
        side, _, part = name.partition("_")
        if part.startswith("hand_"):
            child = INDEX.get(f"{name[:-1]}{int(name[-1]) + 1}")
            direction_J3[j] = joints_J3[child] - joints_J3[j] if child else direction_J3[j - 1]
        elif part in _ALONG and name not in TORSO:
            direction_J3[j] = joints_J3[INDEX[f"{side}_{_ALONG[part]}"]] - joints_J3[j]
        elif part == "toe_base":
            direction_J3[j] = [0.0, 0.0, 1.0]
    return direction_J3 / np.linalg.norm(direction_J3, axis=1, keepdims=True)


def stretches(joints_J3: np.ndarray, proportions: Proportions) -> np.ndarray:
    """S_J33: diag(width, length, depth) for the torso; g (I - d d^T) + length d d^T along a limb's bone d, g = (width + depth) / 2."""
    direction_J3, p = bone_directions(joints_J3), proportions
    along_J33 = direction_J3[:, :, None] * direction_J3[:, None, :]
    girth_J = 0.5 * (p.width_J + p.depth_J)
    stretch_J33 = girth_J[:, None, None] * (np.eye(3) - along_J33) + p.length_J[:, None, None] * along_J33
    for name in TORSO:
        j = INDEX[name]
        stretch_J33[j] = np.diag([p.width_J[j], p.length_J[j], p.depth_J[j]])
    return stretch_J33


def deform(vertices_V3: np.ndarray, skin_VJ: np.ndarray, joints_J3: np.ndarray, maps_J33: np.ndarray,
           head_lift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """v' = sum_j skin_vj (head'_j + A_j (v - head_j)) with head'_j = head'_p + A_p (head_j - head_p); the root's head stays.

    maps_J33: A_j. head_lift: metres added to the head joint's height. Returns moved vertices and joints, float64.
    """
    moved_J3 = joints_J3.astype(np.float64).copy()
    for j, parent in enumerate(FULL_PARENTS):
        if parent is not None:
            moved_J3[j] = moved_J3[parent] + maps_J33[parent] @ (joints_J3[j] - joints_J3[parent])
            moved_J3[j, 1] += head_lift if j == INDEX["head"] else 0.0
    offset_J3 = moved_J3 - np.einsum("jab,jb->ja", maps_J33, joints_J3)
    affine_J12 = np.concatenate([maps_J33.reshape(-1, 9), offset_J3], axis=1).astype(np.float32)
    blend_V12 = skin_VJ @ affine_J12
    moved_V3 = np.einsum("vab,vb->va", blend_V12[:, :9].reshape(-1, 3, 3), vertices_V3.astype(np.float32)) + blend_V12[:, 9:]
    return moved_V3.astype(np.float64), moved_J3


# -------------------------------------------------------------------------------------------------------- the rest pose


def rest_rotations(joints_J3: np.ndarray, pose: RestPose) -> np.ndarray:
    """Global rotations G_J33 that carry the base's relaxed A pose into the rest pose: straight limbs, palms down in the T pose."""
    rotation_J33 = np.tile(np.eye(3), (len(joints_J3), 1, 1))
    direction_J3 = bone_directions(joints_J3)
    for side, sign in SIDES:
        _arm_rotations(rotation_J33, joints_J3, direction_J3, side, sign, pose)
        _leg_rotations(rotation_J33, direction_J3, side, sign, pose)
    return rotation_J33


def _arm_rotations(rotation_J33, joints_J3, direction_J3, side, sign, pose) -> None:
    arm, fore, hand = (INDEX[f"{side}_{part}"] for part in ("upper_arm", "lower_arm", "hand"))
    lower = _turn("z", -sign * pose.arms_down)
    bend = lower @ _turn("y", -sign * pose.elbow_bend)
    outward = np.array([sign, 0.0, 0.0])
    hand_to_t = _frame(outward, np.array([0, 0, 1.0])) @ _frame(
        direction_J3[hand], joints_J3[INDEX[f"{side}_hand_index_1"]] - joints_J3[INDEX[f"{side}_hand_pinky_1"]]).T
    fore_to_t = rotation_between(direction_J3[fore], outward)
    arm_to_t = rotation_between(direction_J3[arm], outward)
    # the palm's turn about the arm is shared along it, so that no joint twists the skin too far
    twist = _angle_about(outward, hand_to_t @ fore_to_t.T)
    rotation_J33[hand] = bend @ hand_to_t
    rotation_J33[fore] = bend @ _about(outward, 0.6 * twist) @ fore_to_t
    rotation_J33[arm] = lower @ _about(outward, 0.2 * twist) @ arm_to_t
    shoulder = INDEX[f"{side}_shoulder"]
    rise = np.degrees(np.arctan2(-direction_J3[arm, 1], sign * direction_J3[arm, 0])) - pose.arms_down
    rotation_J33[shoulder] = _turn("z", sign * rise * pose.shoulder_share)
    for finger in FINGER_NAMES:
        for segment in (1, 2, 3):
            j = INDEX[f"{side}_hand_{finger}_{segment}"]
            straighten = np.eye(3)
            if finger != "thumb":
                to_hand = rotation_between(direction_J3[j], direction_J3[hand])
                straighten = _part_of(to_hand, pose.finger_straight * 0.95)
            rotation_J33[j] = rotation_J33[hand] @ straighten


def _leg_rotations(rotation_J33, direction_J3, side, sign, pose) -> None:
    apart = np.radians(pose.legs_apart)
    for part, bend in (("upper_leg", -pose.knee_bend), ("lower_leg", pose.knee_bend)):
        j = INDEX[f"{side}_{part}"]
        height = np.linalg.norm(direction_J3[j, :2])
        wanted = np.array([sign * np.sin(apart) * height, -np.cos(apart) * height, direction_J3[j, 2]])
        rotation_J33[j] = _turn("x", bend) @ rotation_between(direction_J3[j], wanted)


def rotation_between(a_3: np.ndarray, b_3: np.ndarray) -> np.ndarray:
    """The shortest rotation that carries direction a to direction b (not defined for opposite ones: raises ValueError)."""
    a_3, b_3 = a_3 / np.linalg.norm(a_3), b_3 / np.linalg.norm(b_3)
    cosine = float(a_3 @ b_3)
    if cosine < -0.999999:
        raise ValueError(f"directions {a_3} and {b_3} are opposite: no shortest rotation")
    cross = _cross_matrix(np.cross(a_3, b_3))
    return np.eye(3) + cross + cross @ cross / (1 + cosine)


def _about(axis_3: np.ndarray, angle: float) -> np.ndarray:
    cross = _cross_matrix(axis_3)
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def _turn(axis: str, degrees: float) -> np.ndarray:
    return _about(np.eye(3)["xyz".index(axis)], np.radians(degrees))


def _part_of(rotation_33: np.ndarray, share: float) -> np.ndarray:
    """The same axis, share of the angle (angles below 180 degrees)."""
    angle = np.arccos(np.clip((np.trace(rotation_33) - 1) / 2, -1, 1))
    axis = np.array([rotation_33[2, 1] - rotation_33[1, 2], rotation_33[0, 2] - rotation_33[2, 0], rotation_33[1, 0] - rotation_33[0, 1]])
    length = np.linalg.norm(axis)
    return np.eye(3) if length < 1e-9 else _about(axis / length, share * angle)


def _angle_about(axis_3: np.ndarray, rotation_33: np.ndarray) -> float:
    """Angle of the rotation's twist about the axis (swing-twist), in (-pi, pi]."""
    vector = np.array([rotation_33[2, 1] - rotation_33[1, 2], rotation_33[0, 2] - rotation_33[2, 0], rotation_33[1, 0] - rotation_33[0, 1]])
    return float(2 * np.arctan2(vector @ axis_3, 1 + np.trace(rotation_33)))


def _frame(x_3: np.ndarray, towards_3: np.ndarray) -> np.ndarray:
    """Right-handed frame, columns: x, the part of `towards` across x, their cross product."""
    x_3 = x_3 / np.linalg.norm(x_3)
    y_3 = towards_3 - (towards_3 @ x_3) * x_3
    y_3 /= np.linalg.norm(y_3)
    return np.stack([x_3, y_3, np.cross(x_3, y_3)], axis=1)


def _cross_matrix(v_3: np.ndarray) -> np.ndarray:
    return np.array([[0, -v_3[2], v_3[1]], [v_3[2], 0, -v_3[0]], [-v_3[1], v_3[0], 0]])
