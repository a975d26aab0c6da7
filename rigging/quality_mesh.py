"""What the mesh itself says against a good rig: coordinates too coarse, several figures side by side.

Letters: U points, C shells (connected pieces), G groups of shells. Frame and lengths: rigging/quality_figure.py.
"""

import numpy as np

from rigging.quality_figure import CM, Figure

APART = 4 * CM      # of a gap between neighbours, seen from the front or the side
TALL = 0.6          # of the tallest group's height, for a group to be a figure of its own


def coarse(figure: Figure) -> float:
    """Cm between neighbouring numbers of float32 where the figure stands: far from the origin, coordinates can say no less."""
    far = float(np.abs(figure.to_box.centre_3).max()) + 1 / figure.to_box.scale     # file's units
    with np.errstate(over="ignore"):
        return float(np.float64(np.spacing(np.float32(far))) * figure.to_box.scale / CM)


def figures(figure: Figure) -> int:
    """How many figures seem to stand side by side: groups of shells with a gap between them all the way up, each nearly as tall as the
    tallest, along the horizontal axis that shows more; 1 at least."""
    label_U, points_U3 = figure.surface.label_U, figure.surface.points_U3
    seen_U = np.zeros(len(points_U3), bool)
    seen_U[figure.surface.faces_F3] = True
    low_C3, high_C3 = (np.full((label_U.max() + 1, 3), x) for x in (np.inf, -np.inf))
    np.minimum.at(low_C3, label_U[seen_U], points_U3[seen_U])
    np.maximum.at(high_C3, label_U[seen_U], points_U3[seen_U])
    real_C = np.isfinite(low_C3[:, 0])
    return max(_side_by_side(low_C3[real_C], high_C3[real_C], axis) for axis in (0, 1))


def _side_by_side(low_C3: np.ndarray, high_C3: np.ndarray, axis: int) -> int:
    order_C = np.argsort(low_C3[:, axis], kind="stable")
    low_C3, high_C3 = low_C3[order_C], high_C3[order_C]
    reach_C = np.maximum.accumulate(high_C3[:, axis])
    starts_G = np.concatenate([[0], 1 + np.flatnonzero(low_C3[1:, axis] > reach_C[:-1] + APART)])
    height_G = np.maximum.reduceat(high_C3[:, 2], starts_G) - np.minimum.reduceat(low_C3[:, 2], starts_G)
    return int((height_G >= TALL * height_G.max()).sum())
