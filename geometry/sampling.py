"""Points on surfaces and well-spread subsets of points.

Letters: V vertices, F faces, P drawn positions, N points.
"""

import math

import numpy as np

_NO_AREA = "no face has a positive, finite weight: the surface has no area to draw from"


def triangle_areas(vertices_V3: np.ndarray, faces_F3: np.ndarray) -> np.ndarray:
    """Area of each triangle, squared units of the vertices, (F,) float64. Zero for a degenerate triangle."""
    corner_F33 = np.asarray(vertices_V3, np.float64)[np.asarray(faces_F3)]
    cross_F3 = np.cross(corner_F33[:, 1] - corner_F33[:, 0], corner_F33[:, 2] - corner_F33[:, 0])
    return 0.5 * np.sqrt((cross_F3 * cross_F3).sum(-1))


def draw_faces(weight_F: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """`count` face indices with replacement, face f with probability weight_f / sum(weight). int64.

    Raises: ValueError when a weight is negative or not finite, or all are zero.
    """
    if len(weight_F) and np.min(weight_F) < 0:
        raise ValueError(_NO_AREA)
    return draw_steps(np.cumsum(weight_F, dtype=np.float64), count, rng)


def draw_steps(total_F: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """As draw_faces, from the running sums of the weights (float64, never falling): for drawing again and again.

    Raises: ValueError when the last sum is zero or not finite, or there is none.
    """
    total = float(total_F[-1]) if len(total_F) else 0.0
    if not (math.isfinite(total) and total > 0):
        raise ValueError(_NO_AREA)
    share_P = rng.random(count)
    # levels that rise, were it roughly, are found several times faster than levels at random
    order_P, level_P, face_P = rising(share_P * 65536), share_P * total, np.empty(count, np.int64)
    # side="right" never picks a face of zero weight, as a draw that equals a step goes past it
    face_P[order_P] = total_F.searchsorted(level_P.take(order_P), side="right")
    if count and level_P.max() >= total:      # rounded up to the end: the last face that adds to the sum
        np.minimum(face_P, total_F.searchsorted(total), out=face_P)
    return face_P


def rising(value_P: np.ndarray) -> np.ndarray:
    """The order (P,) int64 that sorts values >= 0 by the 16 bits below their largest: exactly for integers below 65536.

    Two passes of counting (NumPy's stable sort of 16 bits), many times faster than a full sort.
    """
    bits = int(value_P.max()).bit_length() if len(value_P) else 0
    if bits > 16:
        value_P = value_P.astype(np.int64) >> (bits - 16)
    return value_P.astype(np.uint16).argsort(kind="stable")


def draw_barycentric(count: int, rng: np.random.Generator) -> np.ndarray:
    """`count` barycentric triples uniform over a triangle, (P, 3) float64, >= 0, rows sum to 1.

    Osada et al., "Shape Distributions", ACM TOG 2002, section 4.1: (1 - sqrt r1, sqrt r1 (1 - r2), sqrt r1 r2).
    """
    root_P, split_P = np.sqrt(rng.random(count)), rng.random(count)
    out_P3 = np.empty((count, 3))
    out_P3[:, 0], out_P3[:, 1], out_P3[:, 2] = 1 - root_P, root_P * (1 - split_P), root_P * split_P
    return out_P3


def sample_surface(vertices_V3: np.ndarray, faces_F3: np.ndarray, count: int, rng: np.random.Generator,
                   face_weight_F: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Points uniform by area (times face_weight_F, when given) on a triangle mesh.

    Returns: face_P int64 and bary_P3 float64; point p = sum_k bary[p, k] * vertices[faces[face[p], k]].
    Raises: ValueError when there are no faces or none has an area.
    """
    if len(faces_F3) == 0:
        raise ValueError("no faces to sample: a point cloud has no surface")
    weight_F = triangle_areas(vertices_V3, faces_F3)
    if face_weight_F is not None:
        weight_F = weight_F * np.asarray(face_weight_F, np.float64)
    return draw_faces(weight_F, count, rng), draw_barycentric(count, rng)


def farthest_point_sample(points_N3: np.ndarray, count: int) -> np.ndarray:
    """Indices of `count` points, each the farthest from those before it. (count,) int64.

    Starts at the point farthest from the centroid; ties go to the smaller index. When every remaining point coincides with a
    chosen one, index 0 is repeated by this rule. Eldar et al., "The Farthest Point Strategy", IEEE TIP 1997.
    Raises: ValueError when count is not in 1..N or points are not (N, 3).
    """
    points_N3 = np.asarray(points_N3, np.float64)
    if points_N3.ndim != 2 or points_N3.shape[1] != 3:
        raise ValueError(f"farthest_point_sample needs points (N, 3), got {points_N3.shape}")
    if not 1 <= count <= len(points_N3):
        raise ValueError(f"count must be in 1..N = {len(points_N3)}, got {count}")
    chosen = np.empty(count, np.int64)
    offset_N3 = points_N3 - points_N3.mean(0)
    chosen[0] = np.argmax((offset_N3 * offset_N3).sum(-1))
    nearest2_N = np.full(len(points_N3), np.inf)
    for k in range(1, count):
        offset_N3 = points_N3 - points_N3[chosen[k - 1]]
        np.minimum(nearest2_N, (offset_N3 * offset_N3).sum(-1), out=nearest2_N)
        chosen[k] = np.argmax(nearest2_N)
    return chosen
