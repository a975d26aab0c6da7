"""Whether a point is inside a mesh that may be open, in many shells, or crossing itself: the generalised winding number.

Jacobson, Kavan, Sorkine-Hornung, "Robust Inside-Outside Segmentation using Generalized Winding Numbers", SIGGRAPH 2013: the sum of the
signed solid angles of all triangles over 4 pi; 1 inside a closed surface, 0 outside, and between where there are holes.
Far triangles are summed cell by cell as dipoles (Barill et al., "Fast Winding Numbers for Soups and Clouds", SIGGRAPH 2018, order 0).
Letters: P positions, F faces, C cells.
"""

import numpy as np

from geometry.neighbors import kd_tree
from geometry.normals import normalize
from geometry.raster import rasterize
from geometry.segment import segment_sum

CELL = 0.05         # box units
FAR = 3.0           # cells further than this many of their sizes count as one dipole
PICTURE = 256       # pixels: a side of the picture that says what is to be seen from a side
SIDES_14 = [(x, y, z) for x in (-1, 0, 1) for y in (-1, 0, 1) for z in (-1, 0, 1) if abs(x) + abs(y) + abs(z) in (1, 3)]
SAMPLES = 4         # points put on each edge and inside of a large face, each way, for the distance to the surface


def winding_numbers(points_P3: np.ndarray, vertices_V3: np.ndarray, faces_F3: np.ndarray) -> np.ndarray:
    """(P,) float64. The mesh in the unit box. Error of the dipoles: under 0.01 (tests/rigging/test_quality_inside.py)."""
    corners_F33 = np.asarray(vertices_V3, np.float64)[faces_F3]
    area_F3 = np.cross(corners_F33[:, 1] - corners_F33[:, 0], corners_F33[:, 2] - corners_F33[:, 0]) / 2
    cell_F, centre_C3, area_C3, reach_C = _cells(corners_F33, area_F3)
    turns = np.empty(len(points_P3))
    for k, point_3 in enumerate(np.asarray(points_P3, np.float64)):
        to_C3 = centre_C3 - point_3
        far_C = np.linalg.norm(to_C3, axis=1)
        dipole_C = far_C > FAR * reach_C
        angle = ((to_C3 * area_C3).sum(1)[dipole_C] / far_C[dipole_C] ** 3).sum()
        turns[k] = angle + solid_angles(corners_F33[~dipole_C[cell_F]] - point_3).sum()
    return turns / (4 * np.pi)


def solid_angles(corners_F33: np.ndarray) -> np.ndarray:
    """Signed solid angle of each triangle seen from the origin, (F,); > 0 where its back is seen (from inside).

    tan(angle / 2) = a . (b x c) / (|a||b||c| + (a . b)|c| + (b . c)|a| + (c . a)|b|): Van Oosterom and Strackee, 1983.
    """
    a, b, c = corners_F33[:, 0], corners_F33[:, 1], corners_F33[:, 2]
    length_a, length_b, length_c = (np.sqrt((x * x).sum(1)) for x in (a, b, c))
    above = (a * np.cross(b, c)).sum(1)
    below = (length_a * length_b * length_c + (a * b).sum(1) * length_c + (b * c).sum(1) * length_a + (c * a).sum(1) * length_b)
    return 2 * np.arctan2(above, below)


def _cells(corners_F33: np.ndarray, area_F3: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The cell of each face, and of each cell its centre (by area), vector area, and the distance from it to its furthest corner."""
    middle_F3 = corners_F33.mean(1)
    size_F = np.linalg.norm(area_F3, axis=1) + 1e-30
    key_F3 = np.floor(middle_F3 / CELL).astype(np.int64)
    key_F3 -= key_F3.min(0)
    wide_3 = key_F3.max(0) + 1
    _, cell_F = np.unique((key_F3[:, 0] * wide_3[1] + key_F3[:, 1]) * wide_3[2] + key_F3[:, 2], return_inverse=True)
    cell_F = cell_F.reshape(-1)
    cells = cell_F.max() + 1
    centre_C3 = segment_sum(middle_F3 * size_F[:, None], cell_F, cells) / segment_sum(size_F[:, None], cell_F, cells)
    reach_C = np.zeros(len(centre_C3))
    np.maximum.at(reach_C, cell_F, np.linalg.norm(corners_F33 - centre_C3[cell_F][:, None], axis=2).max(1))
    return cell_F, centre_C3, segment_sum(area_F3, cell_F, cells), np.maximum(reach_C, 1e-12)


def open_sides(points_P3: np.ndarray, vertices_V3: np.ndarray, faces_F3: np.ndarray) -> np.ndarray:
    """(P,) int64: from how many of 14 sides (a cube's faces and corners) a point is to be seen. The mesh in the unit box.

    Unlike winding numbers it does not ask which way a triangle faces, so it holds for shells that lie in each other, face inwards
    or were turned at random. Inside a closed surface: 0.
    """
    count_P = np.zeros(len(points_P3), np.int64)
    for side_3 in normalize(np.array(SIDES_14, np.float64)):
        across = np.linalg.svd(side_3[None])[2][1:]     # two directions at right angles to the side
        view_33 = np.stack([*across, -side_3]) / np.sqrt(3)     # right, down, away from the eye; all of the box within one
        placed_V3, placed_P3 = ((x_P3 @ view_33.T + (1, 1, 0)) * (PICTURE / 2, PICTURE / 2, 1)
                                for x_P3 in (np.asarray(vertices_V3, np.float64), np.asarray(points_P3, np.float64)))
        depth_HW = rasterize(placed_V3, faces_F3, PICTURE, PICTURE).depth_HW
        column_P, row_P = np.floor(placed_P3[:, :2]).astype(np.int64).clip(0, PICTURE - 1).T
        count_P += placed_P3[:, 2] < depth_HW[row_P, column_P]
    return count_P


def surface_distance(points_P3: np.ndarray, vertices_V3: np.ndarray, faces_F3: np.ndarray) -> np.ndarray:
    """(P,) distance to the surface, by points spread on it: over by at most a quarter of the longest edge near by."""
    corners_F33 = np.asarray(vertices_V3, np.float64)[faces_F3]
    edge_F = np.linalg.norm(corners_F33 - np.roll(corners_F33, 1, axis=1), axis=2).max(1)
    large_F33 = corners_F33[edge_F > CELL]
    weight_S3 = np.array([(i, j, SAMPLES - i - j) for i in range(SAMPLES + 1) for j in range(SAMPLES + 1 - i)]) / SAMPLES
    spread_P3 = np.einsum("sk,fkc->fsc", weight_S3, large_F33).reshape(-1, 3)
    return kd_tree(np.concatenate([vertices_V3[np.unique(faces_F3)], corners_F33.mean(1), spread_P3])).query(points_P3)[0]
