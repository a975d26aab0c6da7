"""Triangles to pixels: a z-buffer in NumPy, for pictures without a display or a GPU.

A pixel belongs to the nearest triangle that covers its centre (Pineda, "A Parallel Algorithm for Polygon Rasterization", 1988:
edge functions); depths are compared as float32, ties go to the smaller face index. Candidate pixels of many triangles are tested at once.
Rooms without Jittor draw with it; everybody else with its fast twin, ops/raster.py.
Letters: V vertices, F faces, H rows from the top, W columns from the left, P positions.
"""

from dataclasses import dataclass

import numpy as np

CHUNK = 1 << 20                # candidate pixels tested at once: bounds the memory
EDGE = -1e-9                   # a centre on an edge counts for both sides, or rounding would leave holes between them
FLAT = 0.01                    # pixels that an edge must rise for its crossing of a row to be computed: below, rounding would decide
EMPTY = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Fragments:
    """What each pixel shows. face_HW: index or -1; bary_HW3: weights of the face's corners; depth_HW: inf where empty."""
    face_HW: np.ndarray
    bary_HW3: np.ndarray
    depth_HW: np.ndarray

    @property
    def covered_HW(self) -> np.ndarray:
        return self.face_HW >= 0

    def interpolate(self, values_VC: np.ndarray, faces_F3: np.ndarray) -> np.ndarray:
        """Values of the vertices (V, C) at each pixel, (H, W, C) float64; zeros where nothing is."""
        out_HWC = np.zeros((*self.face_HW.shape, values_VC.shape[1]))
        covered = self.covered_HW
        corners_P3C = values_VC[faces_F3[self.face_HW[covered]]]
        out_HWC[covered] = np.einsum("pk,pkc->pc", self.bary_HW3[covered], corners_P3C)
        return out_HWC


def rasterize(points_V3: np.ndarray, faces_F3: np.ndarray, height: int, width: int, perspective: bool = False) -> Fragments:
    """Draw triangles whose vertices are already on the picture.

    points_V3: x in pixels to the right, y in pixels down (the centre of the first pixel is 0.5, 0.5), depth away from the eye.
    With perspective, depth is the distance z along the eye's axis: 1 / depth = sum_k b_k / z_k and the weights are depth b_k / z_k, with b
    the shares of the triangle's area on the picture, so that what is blended is straight in space; triangles with a corner at z <= 0 are
    left out. Both sides of a triangle show. Parts outside the picture are cut; triangles without area show nothing.
    Raises: ValueError when a point is not finite, a face names no vertex, or the picture has no pixels.
    """
    points_V3, faces_F3 = np.asarray(points_V3, dtype=np.float64), np.asarray(faces_F3, dtype=np.int64)
    if height < 1 or width < 1:
        raise ValueError(f"a picture of {height} x {width} pixels")
    if not np.isfinite(points_V3).all():
        raise ValueError(f"point {np.flatnonzero(~np.isfinite(points_V3).all(1))[0]} is not finite")
    if len(faces_F3) and (faces_F3.min() < 0 or faces_F3.max() >= len(points_V3)):
        raise ValueError(f"faces name vertices {faces_F3.min()} to {faces_F3.max()} of {len(points_V3)}")
    corners_F33 = points_V3[faces_F3]
    box = _pixel_boxes(corners_F33, height, width)
    if perspective:
        box[~(corners_F33[:, :, 2] > 0).all(1)] = 0
    buffer_P = np.full(height * width, EMPTY)
    for faces in _chunks((box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1])):
        which_P, x_P, y_P = _candidates(corners_F33[faces], box[faces])
        bary_3P = _barycentric(_shared(corners_F33[faces])[:, which_P], x_P + 0.5, y_P + 0.5)
        inside = np.flatnonzero((bary_3P >= EDGE).all(0))  # False for the NaN of an empty triangle
        face_P = faces[which_P[inside]]
        _, depth_P = _in_space(bary_3P[:, inside].T, corners_F33[face_P, :, 2], perspective)
        np.minimum.at(buffer_P, (y_P * width + x_P)[inside], (_ordered(depth_P) << 32) + face_P)
    return _resolve(buffer_P, corners_F33, height, width, perspective)


def _in_space(bary_P3: np.ndarray, z_P3: np.ndarray, perspective: bool) -> tuple[np.ndarray, np.ndarray]:
    """Weights of the corners (P, 3) and depth (P,), of shares of the area on the picture."""
    if not perspective:
        return bary_P3, (bary_P3 * z_P3).sum(1)
    ratio_P3 = bary_P3 / z_P3
    depth_P = 1 / ratio_P3.sum(1)
    return ratio_P3 * depth_P[:, None], depth_P


def _ordered(depth_P: np.ndarray) -> np.ndarray:
    """(P,) int64 that order as the depths do as float32: one integer then holds (depth, face)."""
    bits_P = depth_P.astype(np.float32).view(np.int32)
    return (bits_P ^ (bits_P >> 31 & 0x7FFFFFFF)).astype(np.int64)


def _pixel_boxes(corners_F33: np.ndarray, height: int, width: int) -> np.ndarray:
    """(F, 4): first column, first row, end column, end row of the pixel centres a triangle's bounding box holds."""
    limit = np.array([width, height])
    first = np.ceil(corners_F33[:, :, :2].min(1) - 0.5).clip(0, limit)
    end = (np.floor(corners_F33[:, :, :2].max(1) - 0.5) + 1).clip(0, limit)
    return np.concatenate([first, np.maximum(end, first)], 1).astype(np.int64)


def _chunks(pixels_F: np.ndarray):
    """Runs of face indices whose boxes hold about CHUNK pixels together; faces without a pixel are left out."""
    faces = np.flatnonzero(pixels_F)
    group = np.cumsum(pixels_F[faces]) // CHUNK
    return np.split(faces, np.flatnonzero(np.diff(group)) + 1) if len(faces) else []


def _candidates(corners_F33: np.ndarray, box_F4: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The pixels that triangles may cover, row by row of their boxes: which triangle, x_P, y_P."""
    rows_F = box_F4[:, 3] - box_F4[:, 1]
    which_R = np.repeat(np.arange(len(rows_F)), rows_F)
    y_R = np.arange(len(which_R)) + np.repeat(box_F4[:, 1] - np.cumsum(rows_F) + rows_F, rows_F)
    left_R, right_R = _reach(corners_F33, which_R, y_R + 0.5)
    first_R, end_R = box_F4[which_R, 0], box_F4[which_R, 2]
    first_R = np.ceil(left_R - 1.5).clip(first_R, end_R).astype(np.int64)  # a pixel more at each end, for rounding
    pixels_R = (np.floor(right_R + 0.5) + 1).clip(first_R, end_R).astype(np.int64) - first_R
    row_P = np.repeat(np.arange(len(which_R)), pixels_R)
    return which_R[row_P], np.arange(len(row_P)) + (first_R - np.cumsum(pixels_R) + pixels_R)[row_P], y_R[row_P]


def _reach(corners_F33: np.ndarray, which_R: np.ndarray, y_R: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How far left and right triangle which_R[r] reaches on the line y = y_R[r]; where an edge hardly rises, all of the edge."""
    left_R, right_R = np.full(len(which_R), np.inf), np.full(len(which_R), -np.inf)
    for start, end in ((0, 1), (1, 2), (2, 0)):
        (ax_F, ay_F), (bx_F, by_F) = corners_F33[:, start, :2].T, corners_F33[:, end, :2].T
        flat_F = np.abs(by_F - ay_F) < FLAT
        slope_F = np.where(flat_F, 0, (bx_F - ax_F) / np.where(flat_F, 1, by_F - ay_F))
        meets_R = (y_R >= np.minimum(ay_F, by_F)[which_R]) & (y_R <= np.maximum(ay_F, by_F)[which_R])
        x_R = ax_F[which_R] + (y_R - ay_F[which_R]) * slope_F[which_R]
        other_R = np.where(flat_F[which_R], bx_F[which_R], x_R)
        left_R = np.where(meets_R, np.minimum(left_R, np.minimum(x_R, other_R)), left_R)
        right_R = np.where(meets_R, np.maximum(right_R, np.maximum(x_R, other_R)), right_R)
    return left_R, right_R


def _shared(corners_F33: np.ndarray) -> np.ndarray:
    """(7, F): what the weights of all pixels of a triangle share: corner a, b - a, c - a, and the area, NaN where there is none."""
    (ax, ay), (bx, by), (cx, cy) = (corners_F33[:, k, :2].T for k in range(3))
    area_F = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
    return np.stack([ax, ay, bx - ax, by - ay, cx - ax, cy - ay, np.where(area_F == 0, np.nan, area_F)])


def _barycentric(shared_7P: np.ndarray, x_P: np.ndarray, y_P: np.ndarray) -> np.ndarray:
    """(3, P) weights of the corners at (x, y): sub-areas over the area; NaN for a triangle without area."""
    ax, ay, bx, by, cx, cy, area_P = shared_7P
    weight_b = ((x_P - ax) * cy - (y_P - ay) * cx) / area_P
    weight_c = (bx * (y_P - ay) - by * (x_P - ax)) / area_P
    return np.stack([1 - weight_b - weight_c, weight_b, weight_c])


def _resolve(buffer_P: np.ndarray, corners_F33: np.ndarray, height: int, width: int, perspective: bool) -> Fragments:
    covered = np.flatnonzero(buffer_P != EMPTY)
    face_P = np.full(height * width, -1, np.int64)
    face_P[covered] = buffer_P[covered] & 0xFFFFFFFF
    bary_P3, depth_P = np.zeros((height * width, 3)), np.full(height * width, np.inf)
    corners = corners_F33[face_P[covered]]
    shares_P3 = _barycentric(_shared(corners), covered % width + 0.5, covered // width + 0.5).T
    bary_P3[covered], depth_P[covered] = _in_space(shares_P3, corners[:, :, 2], perspective)
    return Fragments(face_P.reshape(height, width), bary_P3.reshape(height, width, 3), depth_P.reshape(height, width))
