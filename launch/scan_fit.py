"""The last step of a fit to a scan: downhill through skinning, by the chamfer distance between the figure's surface and the scan's.

Loss: chamfer_squared (ops/mesh_losses.py) of points on both surfaces, in sizes of the figure, and a small price on what turns from the
start. It goes downhill only: `find_pose` (pose_fit.py) begins near. Letters: K points on the figure, P points of the scan, J joints.
"""

from dataclasses import dataclass

import jittor as jt
import numpy as np

from geometry.mesh_losses import chamfer_half
from launch.pose_figure import Figure, Pose, skinned
from launch.pose_variables import PoseVariables
from ops.mesh_losses import chamfer_squared


@dataclass(frozen=True)
class ScanOptions:
    """steps of Adam; lr: radians (and sizes) a step at most. points: of the figure's that are followed. price: as in FitOptions."""
    steps: int = 100
    lr: float = 0.01
    points: int = 3000
    price: float = 1e-5


def fit_scan(figure: Figure, scan_P3: np.ndarray, start: Pose, options: ScanOptions = ScanOptions()) -> Pose:
    """The pose in which the figure's surface lies on the scan's points, found from the start. The same arguments give the same pose."""
    points_K3, skin_KJ = figure.points(options.points)
    pose, scan = PoseVariables(figure, start, options.lr, options.steps), jt.array(np.float32(scan_P3 / figure.size))
    one_K, one_P = np.zeros(len(points_K3), np.int64), np.zeros(len(scan_P3), np.int64)
    for _ in range(options.steps):
        placed_K3 = pose.moved(points_K3, skin_KJ)[0] / figure.size
        pose.descend(chamfer_squared(placed_K3, scan, one_K, one_P, 1) + options.price * pose.turned())
    return pose.pose()


def surface_gap(figure: Figure, scan_P3: np.ndarray, pose: Pose, points: int = ScanOptions.points) -> float:
    """chamfer_half of the figure's surface in the pose and the scan's points: how far apart they lie in the mean, the mesh's units.

    Surfaces that agree keep the distance of the points that are drawn on them, about .4 of their spacing.
    """
    points_K3, skin_KJ = figure.points(points)
    placed_K3 = skinned(points_K3, skin_KJ, figure.transforms(*pose))
    return chamfer_half(placed_K3, scan_P3, np.zeros(len(placed_K3), np.int64), np.zeros(len(scan_P3), np.int64), 1)
