"""A skeleton as solid shapes to be drawn: eight-sided bones and round joints, left warm, right cool, centre dark.

Letters: J joints, N bones, P points, F faces, S points of one shape.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dataset.format import BODY_NAMES, SKELETONS
from geometry.normals import normalize

LEFT, RIGHT, CENTRE = (232, 96, 44), (38, 128, 220), (70, 80, 102)
BODY_COUNT = len(BODY_NAMES)        # joints beyond are fingers: smaller
BONE, DOT = 0.010, 0.0095           # most half width of a bone, and radius of a joint, over the figure's longest side
FINGER = 0.42                       # of both, for fingers


class Solids(NamedTuple):
    """points_P3, normals_P3, colours_P3 (0 to 1); faces_F3 int64."""
    points_P3: np.ndarray
    normals_P3: np.ndarray
    colours_P3: np.ndarray
    faces_F3: np.ndarray


def solids_of(joints_J3: np.ndarray, parents: Sequence[int | None], size: float) -> Solids:
    """size: the figure's longest side. Skeletons whose count is not the contest's are drawn in one colour."""
    joints_J3, colours_J3 = np.asarray(joints_J3, np.float64), side_colours(len(joints_J3))
    reach_J = size * np.where(np.arange(len(joints_J3)) < BODY_COUNT, 1.0, FINGER)
    shapes = [_balls(joints_J3, DOT * reach_J, colours_J3)]
    if (child_N := np.array([j for j, p in enumerate(parents) if p is not None], np.int64)).size:
        start_N3 = joints_J3[[parents[j] for j in child_N]]
        shapes.append(_bones(start_N3, joints_J3[child_N], BONE * reach_J[child_N], colours_J3[child_N]))
    first = np.cumsum([0, *(len(shape.points_P3) for shape in shapes)])
    parts = [np.concatenate([shape[k] for shape in shapes]) for k in range(3)]
    return Solids(*parts, np.concatenate([shape.faces_F3 + at for shape, at in zip(shapes, first)]))


def side_colours(count: int) -> np.ndarray:
    """(J, 3) in 0 to 1, by the contest's names."""
    names = SKELETONS[count].names if count in SKELETONS else [""] * count
    return np.array([{"l_": LEFT, "r_": RIGHT}.get(name[:2], CENTRE) for name in names]).reshape(count, 3) / 255


def _balls(centre_J3: np.ndarray, radius_J: np.ndarray, colours_J3: np.ndarray) -> Solids:
    unit_S3, faces_F3 = ball()
    points_JS3 = centre_J3[:, None] + radius_J[:, None, None] * unit_S3
    return Solids(points_JS3.reshape(-1, 3), np.tile(unit_S3, (len(centre_J3), 1)), np.repeat(0.45 + 0.55 * colours_J3, len(unit_S3), axis=0),
                  _copies(faces_F3, len(centre_J3), len(unit_S3)))


def ball() -> tuple[np.ndarray, np.ndarray]:
    """A unit sphere of 128 triangles: an octahedron, each face cut into four, twice. Points are not shared between faces."""
    corners_F33 = np.array([[[x, 0, 0], [0, y, 0], [0, 0, z]] for x in (1, -1) for y in (1, -1) for z in (1, -1)], np.float64)
    for _ in range(2):
        a, b, c = corners_F33.transpose(1, 0, 2)
        ab, bc, ca = normalize(a + b), normalize(b + c), normalize(c + a)
        corners_F33 = np.concatenate([np.stack(face, 1) for face in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))])
    return corners_F33.reshape(-1, 3), np.arange(3 * len(corners_F33)).reshape(-1, 3)


def _bones(start_N3: np.ndarray, end_N3: np.ndarray, most_N: np.ndarray, colours_N3: np.ndarray) -> Solids:
    """Thickest a seventh of the way, as bones are drawn in 3D programs; flat sides."""
    along_N3 = end_N3 - start_N3
    length_N = np.linalg.norm(along_N3, axis=1)
    way_N3 = normalize(along_N3)
    aside_N3 = np.eye(3)[np.abs(way_N3).argmin(1)]
    across_N3 = normalize(np.cross(way_N3, aside_N3))
    half_N1 = np.minimum(0.14 * length_N, most_N)[:, None]
    waist_N3, over_N3 = start_N3 + along_N3 / 7, np.cross(way_N3, across_N3)
    ring = [waist_N3 + half_N1 * side for side in (across_N3, over_N3, -across_N3, -over_N3)]
    corners = [(tip, ring[k], ring[(k + 1) % 4]) for tip in (start_N3, end_N3) for k in range(4)]
    corners_NF33 = np.stack([np.stack(face, 1) for face in corners], 1)
    normals_NF3 = np.cross(corners_NF33[:, :, 1] - corners_NF33[:, :, 0], corners_NF33[:, :, 2] - corners_NF33[:, :, 0])
    normals_NF3 *= np.sign((normals_NF3 * (corners_NF33.mean(2) - (start_N3 + along_N3 / 4)[:, None])).sum(-1, keepdims=True))
    return Solids(corners_NF33.reshape(-1, 3), np.repeat(normalize(normals_NF3).reshape(-1, 3), 3, axis=0), np.repeat(colours_N3, 24, axis=0),
                  np.arange(24 * len(start_N3)).reshape(-1, 3))


def _copies(faces_F3: np.ndarray, count: int, points: int) -> np.ndarray:
    return (points * np.arange(count)[:, None, None] + faces_F3).reshape(-1, 3)
