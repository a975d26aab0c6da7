"""Triangles to pixels: a z-buffer in NumPy, for pictures without a display or a GPU.

A pixel belongs to the nearest triangle that covers its centre (Pineda, "A Parallel Algorithm for Polygon Rasterization", 1988:
edge functions), ties to the smaller face index. Candidate pixels of many triangles are tested at once.
Letters: V vertices, F faces, H rows from the top, W columns from the left, P positions.
"""

from dataclasses import dataclass

import numpy as np

CHUNK = 1 << 20                # candidate pixels tested at once: bounds the memory
DEPTH_STEPS = (1 << 30) - 1    # depth is compared in this many steps, so that one integer holds (depth, face)
EDGE = -1e-9                   # a centre on an edge counts for both sides, or rounding would leave holes between them
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


def rasterize(points_V3: np.ndarray, faces_F3: np.ndarray, height: int, width: int) -> Fragments:
    """Draw triangles whose vertices are already on the picture, in parallel projection.

    points_V3: x in pixels to the right, y in pixels down (the centre of the first pixel is 0.5, 0.5), depth away from the eye.
    Both sides of a triangle show. Parts outside the picture are cut; triangles without area show nothing.
    Raises: ValueError when a point is not finite, a face names no vertex, or the picture has no pixels.
    """
    points_V3, faces_F3 = np.asarray(points_V3, dtype=np.float64), np.asarray(faces_F3, dtype=np.int64)
    if height < 1 or width < 1:
        raise ValueError(f"a picture of {height} x {width} pixels")
    if not np.isfinite(points_V3).all():
        raise ValueError(f"point {np.flatnonzero(~np.isfinite(points_V3).all(1))[0]} is not finite")
    if len(faces_F3) and (faces_F3.min() < 0 or faces_F3.max() >= len(points_V3)):
        raise ValueError(f"faces name vertices {faces_F3.min()} to {faces_F3.max()} of {len(points_V3)}")
    near, far = (points_V3[:, 2].min(), points_V3[:, 2].max()) if len(points_V3) else (0.0, 0.0)
    corners_F33 = points_V3[faces_F3]
    box = _pixel_boxes(corners_F33, height, width)
    buffer_P = np.full(height * width, EMPTY)
    for faces in _chunks((box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1])):
        face_P, x_P, y_P = _candidates(faces, box)
        bary_P3 = _barycentric(corners_F33[face_P], x_P + 0.5, y_P + 0.5)
        inside = (bary_P3 >= EDGE).all(1)  # False for the NaN of an empty triangle
        face_P, bary_P3 = face_P[inside], bary_P3[inside]
        depth_P = (bary_P3 * corners_F33[face_P, :, 2]).sum(1)
        step_P = np.rint((depth_P - near) / max(far - near, 1e-300) * DEPTH_STEPS).clip(0, DEPTH_STEPS).astype(np.int64)
        np.minimum.at(buffer_P, (y_P * width + x_P)[inside], (step_P << 32) + face_P)
    return _resolve(buffer_P, corners_F33, height, width)


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


def _candidates(faces: np.ndarray, box_F4: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every pixel of every face's box: face_P, x_P, y_P."""
    x0, y0, x1, y1 = box_F4[faces].T
    columns, pixels = x1 - x0, (x1 - x0) * (y1 - y0)
    which = np.repeat(np.arange(len(faces)), pixels)
    within = np.arange(len(which)) - np.repeat(np.cumsum(pixels) - pixels, pixels)
    row, column = np.divmod(within, columns[which])
    return faces[which], x0[which] + column, y0[which] + row


def _barycentric(corners_P33: np.ndarray, x_P: np.ndarray, y_P: np.ndarray) -> np.ndarray:
    """(P, 3) weights of the corners at (x, y): sub-areas over the area; NaN for a triangle without area."""
    (ax, ay), (bx, by), (cx, cy) = (corners_P33[:, k, :2].T for k in range(3))
    area_P = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
    area_P = np.where(area_P == 0, np.nan, area_P)
    weight_b = ((x_P - ax) * (cy - ay) - (y_P - ay) * (cx - ax)) / area_P
    weight_c = ((bx - ax) * (y_P - ay) - (by - ay) * (x_P - ax)) / area_P
    return np.stack([1 - weight_b - weight_c, weight_b, weight_c], 1)


def _resolve(buffer_P: np.ndarray, corners_F33: np.ndarray, height: int, width: int) -> Fragments:
    covered = np.flatnonzero(buffer_P != EMPTY)
    face_P = np.full(height * width, -1, np.int64)
    face_P[covered] = buffer_P[covered] & 0xFFFFFFFF
    bary_P3, depth_P = np.zeros((height * width, 3)), np.full(height * width, np.inf)
    corners = corners_F33[face_P[covered]]
    bary_P3[covered] = _barycentric(corners, covered % width + 0.5, covered // width + 0.5)
    depth_P[covered] = (bary_P3[covered] * corners[:, :, 2]).sum(1)
    return Fragments(face_P.reshape(height, width), bary_P3.reshape(height, width, 3), depth_P.reshape(height, width))


def lambert(normals_P3: np.ndarray, light_3: np.ndarray, ambient: float = 0.35) -> np.ndarray:
    """Brightness in [ambient, 1] of surfaces under a far light: ambient + (1 - ambient) * max(n . l, 0); both sides are lit alike.

    normals of any leading shape (..., 3), unit; light_3 points towards the light, any length but zero. -> (...).
    """
    light_3 = np.asarray(light_3, dtype=np.float64)
    return ambient + (1 - ambient) * np.abs(normals_P3 @ (light_3 / np.linalg.norm(light_3)))
