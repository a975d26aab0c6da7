"""Bring a rigged character into the pose that silhouettes show: joint rotations and place, through skinning and soft silhouettes.

Loss: 1 - IoU of each view (Liu et al. 2019, section 5.1), mean over the views, and a small price on what turns from the start, which
decides what silhouettes leave open. Edges begin soft, so that distant silhouettes still pull, and harden step by step. It goes downhill
only: a limb that begins far from where the pictures show it may end in the wrong place, so `find_pose` (pose_fit.py) begins near.
Letters: V vertices, F faces, J joints, N views, H rows, W columns.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jittor as jt
import numpy as np

from geometry.camera import Camera
from geometry.soft_raster import Softness
from launch.pose_figure import Figure, Pose, Target
from launch.pose_variables import PoseVariables
from ops.camera import project
from ops.soft_raster import soft_silhouette


@dataclass(frozen=True)
class FitOptions:
    """steps of Adam; lr: radians (and boxes, for the place) a step at most. sigma: of the soft edge, at the first and the last step.
    price: of a squared radian of turn from the start, mean over joints. free: joints that may turn; None: all."""
    steps: int = 150
    lr: float = 0.03
    sigma: tuple[float, float] = (1e-3, 1e-5)
    price: float = 3e-3
    free: tuple[int, ...] | None = None


class Fit(NamedTuple):
    """turn_J33: each joint's turn against its parent, axes of space at rest. offset_3: of the whole, in the mesh's units.
    transforms_J34: what moves the vertices. iou_N: of the last step, with the edge as soft as it was then."""
    turn_J33: np.ndarray
    offset_3: np.ndarray
    transforms_J34: np.ndarray
    iou_N: np.ndarray


def fit_pose(figure: Figure, targets: Sequence[Target], options: FitOptions = FitOptions(), start: Pose | None = None) -> Fit:
    """The pose whose silhouettes are the targets', found from the start (None: the rest pose).

    Raises: ValueError without targets, or for masks that are not pictures of numbers from 0 to 1 with something on them.
    """
    masks = [jt.array(np.float32(target.mask_HW)) for target in checked(targets)]
    faces = jt.array(np.asarray(figure.faces_F3, np.int32))
    pose, shares = PoseVariables(figure, start, options.lr, options.steps, options.free), np.zeros(len(masks))
    for step in range(options.steps):
        soft = _softness(options.sigma, step / max(options.steps - 1, 1), figure.size)
        posed = pose.moved(figure.vertices_V3, figure.skin_VJ)
        overlaps = [_iou(posed, faces, target.camera, mask, soft) for target, mask in zip(targets, masks)]
        pose.descend(1 - sum(overlaps) / len(overlaps) + options.price * pose.turned())
        shares = jt.concat([x.reshape(1) for x in overlaps]).numpy()
    return Fit(*pose.pose(), pose.transforms().numpy()[0], shares)


def checked(targets: Sequence[Target]) -> Sequence[Target]:
    """The targets. Raises: as fit_pose."""
    if not targets:
        raise ValueError("give at least one silhouette to fit")
    for k, target in enumerate(targets):
        mask_HW = np.asarray(target.mask_HW, np.float64)
        if mask_HW.ndim != 2 or not mask_HW.size or not (np.isfinite(mask_HW).all() and mask_HW.min() >= 0 and mask_HW.max() <= 1):
            raise ValueError(f"silhouette {k}: give a picture (H, W) of numbers from 0 to 1, not {mask_HW.shape}")
        if not (mask_HW > 0.5).any():
            raise ValueError(f"silhouette {k} shows nothing")
    return targets


def _softness(sigma: tuple[float, float], done: float, size: float) -> Softness:
    """Geometric from the first sigma to the last. Depth decides nothing in a silhouette: what lies before the eye is drawn."""
    first, last = sigma
    return Softness(sigma=first * (last / first) ** done, near=1e-6 * size, far=1e6 * size)


def _iou(posed_BV3: jt.Var, faces_F3: jt.Var, camera: Camera, mask_HW: jt.Var, soft: Softness) -> jt.Var:
    corners = project(posed_BV3, camera)[0][faces_F3].unsqueeze(0)
    cover_HW = soft_silhouette(corners, *mask_HW.shape, soft)[0]
    both = (cover_HW * mask_HW).sum()
    return both / (cover_HW.sum() + mask_HW.sum() - both + 1e-6)
