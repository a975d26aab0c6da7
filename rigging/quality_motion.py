"""Range of motion: a small set of poses made for the figure at hand, and what they do to its edges and its volume.

Angles are what a person reaches; a bone that is already bent in the rest pose is bent by the rest. Rotations are in the figure's axes,
each joint's relative to its parent's. Letters: U points, J joints, F faces, E edges, C components.
"""

from typing import NamedTuple

import numpy as np

from dataset.format import FINGERS, FULL_NAMES
from geometry.curvature import angle_sums, flat_angles
from geometry.kinematics import forward_kinematics, homogeneous, rotvec_to_matrix
from geometry.normals import normalize
from geometry.segment import segment_mean
from geometry.skinning import linear_blend_skinning, skin_transforms
from rigging.quality_figure import FRONT, LEFT, UP, Figure

LONG, SHORT = 2.0, 0.4      # an edge beyond these times its rest length is stretched or squeezed
SHARP, BLUNT = 0.35, 0.5    # of the angle round a point: a pose makes a needle of what was blunt
ALONG = 0.8                 # cosine beyond which a limb lies so near to a target that there is no turning towards it


class Motion(NamedTuple):
    """One pose's measures. stretched, squeezed: shares of the edges (by area); spiked: share of the surface round points that the pose
    makes needles; volume: change, 0.1 = 10 % more."""
    name: str
    stretched: float
    squeezed: float
    spiked: float
    volume: float


def pose_names(joint_count: int) -> tuple[str, ...]:
    return (*_BODY, *(("fingers curled",) if joint_count == len(FULL_NAMES) else ()))


def rotations(figure: Figure) -> dict[str, np.ndarray]:
    """Rotation vectors (J, 3) by the name of the pose, radians."""
    out = {}
    for name in pose_names(len(figure.bones.names)):
        turn_J3 = np.zeros((len(figure.bones.names), 3))
        for joint, turn_3 in (_BODY | {"fingers curled": _curl})[name](figure):
            turn_J3[figure.index[joint]] = turn_3
        out[name] = turn_J3
    return out


def transforms(figure: Figure, turn_J3: np.ndarray) -> np.ndarray:
    """Skin transforms (J, 4, 4) of a pose."""
    local_J44 = homogeneous(np.tile(np.eye(3), (len(turn_J3), 1, 1)), figure.joints_J3)
    return skin_transforms(forward_kinematics(figure.bones.parents, local_J44, homogeneous(rotvec_to_matrix(turn_J3))), local_J44)


def measure(figure: Figure) -> tuple[Motion, ...]:
    """Each pose's measures, in the order of pose_names."""
    rest_U3, edge_E2 = figure.surface.points_U3, figure.edge_E2
    length_E, area_E = _lengths(rest_U3, edge_E2), _edge_areas(figure)
    real_E = length_E > 0
    share_E = area_E * real_E / max((area_E * real_E).sum(), np.finfo(float).tiny)
    needles_of, volume_of = Needles(figure), Volume(figure)
    rest_volume = volume_of(rest_U3)
    out = []
    for name, turn_J3 in rotations(figure).items():
        posed_U3 = linear_blend_skinning(rest_U3, figure.skin_UJ, transforms(figure, turn_J3))
        ratio_E = edge_ratios(rest_U3, posed_U3, edge_E2)
        change = volume_of(posed_U3) / rest_volume - 1 if rest_volume > 0 else 0.0
        out.append(Motion(name, float(share_E[ratio_E > LONG].sum()), float(share_E[ratio_E < SHORT].sum()),
                          float(figure.surface.share_U[needles_of(posed_U3)].sum()), float(change)))
    return tuple(out)


def _lengths(points_U3: np.ndarray, edge_E2: np.ndarray) -> np.ndarray:
    along_E3 = points_U3[edge_E2[:, 0]] - points_U3[edge_E2[:, 1]]
    return np.sqrt((along_E3 * along_E3).sum(1))


def edge_ratios(rest_U3: np.ndarray, posed_U3: np.ndarray, pair_E2: np.ndarray) -> np.ndarray:
    """(E,) posed length over rest length; 1 for an edge without length at rest."""
    rest_E = _lengths(rest_U3, pair_E2)
    return np.divide(_lengths(posed_U3, pair_E2), rest_E, out=np.ones_like(rest_E), where=rest_E > 0)


def _edge_areas(figure: Figure) -> np.ndarray:
    """(E,) the area that each edge stands for: what its two ends have, shared out over their edges."""
    valence_U = np.bincount(figure.edge_E2.ravel(), minlength=len(figure.surface.points_U3))
    return (figure.surface.share_U / np.maximum(valence_U, 1))[figure.edge_E2].sum(1)


class Needles:
    """Which points a pose makes the tips of needles: the surface leaves less than SHARP of its angle round them, and at rest it did not."""

    def __init__(self, figure: Figure):
        self.faces_F3 = figure.surface.faces_F3
        self.flat_U = flat_angles(self.faces_F3, len(figure.surface.points_U3))
        self.blunt_U = self._open(figure.surface.points_U3) > BLUNT

    def __call__(self, points_U3: np.ndarray) -> np.ndarray:
        """(U,) bool."""
        return self.blunt_U & (self._open(points_U3) < SHARP)

    def _open(self, points_U3: np.ndarray) -> np.ndarray:
        """(U,) the angle round each point over what it would be in a plane; 1 without a face."""
        sum_U = angle_sums(points_U3, self.faces_F3)
        return np.divide(sum_U, self.flat_U, out=np.ones_like(sum_U), where=self.flat_U > 0)


class Volume:
    """The volume within a mesh: each shell's own, whichever way it faces. A shell with holes is closed by cones from the middle of
    its rims, so that a sheet or a sleeve changes its volume by what bends, not by where it is."""

    def __init__(self, figure: Figure):
        self.faces_F3 = figure.surface.faces_F3
        self.label_U = figure.surface.label_U
        self.count = int(self.label_U.max()) + 1
        pair_E2 = np.sort(np.concatenate([self.faces_F3[:, [0, 1]], self.faces_F3[:, [1, 2]], self.faces_F3[:, [2, 0]]]), axis=1)
        key_E = pair_E2[:, 0] * len(self.label_U) + pair_E2[:, 1]
        _, first, times = np.unique(key_E, return_index=True, return_counts=True)
        self.rim_P = pair_E2[first[times == 1]].ravel()

    def __call__(self, points_U3: np.ndarray) -> float:
        apex_C3 = self._mean(points_U3, np.arange(len(points_U3)))
        rim_C3 = self._mean(points_U3, self.rim_P)
        has_rim_C = np.bincount(self.label_U[self.rim_P], minlength=self.count) > 0
        apex_C3[has_rim_C] = rim_C3[has_rim_C]
        shell_F = self.label_U[self.faces_F3[:, 0]]
        a, b, c = ((points_U3[self.faces_F3[:, k]] - apex_C3[shell_F]) for k in range(3))
        return float(np.abs(np.bincount(shell_F, (a * np.cross(b, c)).sum(1) / 6, self.count)).sum())

    def _mean(self, points_U3: np.ndarray, chosen_P: np.ndarray) -> np.ndarray:
        return segment_mean(points_U3[chosen_P], self.label_U[chosen_P], self.count)


# ----------------------------------------------------------------------------------------------- the poses


def _bone(figure: Figure, start: str, end: str) -> np.ndarray:
    return normalize(figure.at(end) - figure.at(start))


def _towards(bone_3: np.ndarray, target_3: np.ndarray, degrees: float) -> np.ndarray:
    """Rotation vector that swings a direction towards another, no further than there."""
    axis_3 = np.cross(bone_3, target_3)
    angle = np.arctan2(np.linalg.norm(axis_3), bone_3 @ target_3)
    return normalize(axis_3) * min(angle, np.radians(degrees))


def _bent(upper_3: np.ndarray, lower_3: np.ndarray, target_3: np.ndarray, degrees: float) -> np.ndarray:
    """Rotation vector of a hinge that should stand at so many degrees in all, bending the lower bone towards the target."""
    already = np.degrees(np.arctan2(np.linalg.norm(np.cross(upper_3, lower_3)), upper_3 @ lower_3))
    return normalize(np.cross(upper_3, target_3)) * np.radians(max(degrees - already, 0.0))


def _other(bone_3: np.ndarray, target_3: np.ndarray, otherwise_3: np.ndarray) -> np.ndarray:
    """The target, or another where the bone already lies along it."""
    return otherwise_3 if abs(bone_3 @ target_3) > ALONG else target_3


def _arms(target_3: np.ndarray):
    """target_3 for the left arm; the right one's is its mirror image."""
    def pose(figure: Figure):
        for side, sign in (("l", 1.0), ("r", -1.0)):
            arm_3 = _bone(figure, f"{side}_upper_arm", f"{side}_lower_arm")
            yield f"{side}_upper_arm", _towards(arm_3, normalize(target_3 * (sign, 1, 1)), 150)
    return pose


def _elbows(figure: Figure):
    for side in "lr":
        upper_3 = _bone(figure, f"{side}_upper_arm", f"{side}_lower_arm")
        lower_3 = _bone(figure, f"{side}_lower_arm", f"{side}_hand")
        yield f"{side}_lower_arm", _bent(upper_3, lower_3, _other(upper_3, FRONT, UP), 120)


def _knees(figure: Figure):
    for side in "lr":
        upper_3 = _bone(figure, f"{side}_upper_leg", f"{side}_lower_leg")
        lower_3 = _bone(figure, f"{side}_lower_leg", f"{side}_foot")
        yield f"{side}_lower_leg", _bent(upper_3, lower_3, _other(upper_3, -FRONT, -UP), 100)


def _hips(figure: Figure):
    for side in "lr":
        yield f"{side}_upper_leg", _towards(_bone(figure, f"{side}_upper_leg", f"{side}_lower_leg"), FRONT, 90)


def _spine(axis_3: np.ndarray):
    def pose(_: Figure):
        for joint in ("spine", "chest", "upper_chest"):
            yield joint, np.radians(20) * axis_3
    return pose


def _head(_: Figure):
    yield "neck", np.radians(25) * UP
    yield "head", np.radians(45) * UP


def _wrists(figure: Figure):
    for side, sign in (("l", 1.0), ("r", -1.0)):
        arm_3 = _bone(figure, f"{side}_lower_arm", f"{side}_hand")
        yield f"{side}_hand", _towards(arm_3, _other(arm_3, -UP, -sign * LEFT), 60)


def _curl(figure: Figure):
    """Fingers towards the palm, which is found from the knuckles: along the hand, from little to index finger, palm are a right-handed
    set on the left hand."""
    for side, sign in (("l", 1.0), ("r", -1.0)):
        along_3 = _bone(figure, f"{side}_hand", f"{side}_hand_middle_1")
        across_3 = _bone(figure, f"{side}_hand_pinky_1", f"{side}_hand_index_1")
        axis_3 = normalize(np.cross(along_3, sign * np.cross(along_3, across_3)))
        for finger in FINGERS:
            for segment in (1, 2, 3):
                yield f"{side}_hand_{finger}_{segment}", np.radians(25 if finger == "thumb" else 60) * axis_3


_BODY = {
    "arms up": _arms(np.array([0.3, 0, 1])),
    "arms forward": _arms(np.array([0.1, -1, 0])),
    "arms down": _arms(np.array([0.3, 0, -1])),
    "elbows bent": _elbows,
    "hips bent": _hips,
    "knees bent": _knees,
    "spine bent": _spine(LEFT),
    "spine twisted": _spine(UP),
    "head turned": _head,
    "wrists bent": _wrists,
}
