"""Soft rasterisation, written down as plainly as it is defined: every face against every pixel, float64. Fast twin: ops/soft_raster.py.

Liu, Li, Chen, Li, "Soft Rasterizer: A Differentiable Renderer for Image-based 3D Reasoning", 2019, equations 1 to 5.
Letters: F faces, H rows from the top, W columns from the left, P pixels, C channels.
The picture: x to the right, y up, the origin in its middle, half its height is 1; pixels are square. z is the distance from the eye.
"""

from typing import NamedTuple

import numpy as np

NO_AREA = 1e-10   # faces with twice this area or less are left out


class Softness(NamedTuple):
    """sigma: how far a face's edge reaches, squared units of the picture. gamma: how sharply the nearest face wins, shares of far - near.

    near, far: faces with a corner outside are left out, and so are faces without area. background: how near the background counts as,
    0 (far) to 1 (near); the paper's epsilon.
    cut: a face counts at a pixel where its D is above it; 0: everywhere.
    """
    sigma: float = 1e-4
    gamma: float = 1e-4
    near: float = 1.0
    far: float = 100.0
    background: float = 1e-3
    cut: float = 1e-4


def pixel_centres(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """x_W and y_H of the centres: (2 j + 1 - W) / H and (H - 1 - 2 i) / H."""
    return (2 * np.arange(width) + 1 - width) / height, (height - 1 - 2 * np.arange(height)) / height


def soft_silhouette(corners_F33: np.ndarray, height: int, width: int, soft: Softness = Softness()) -> np.ndarray:
    """How much each pixel is covered, (H, W) in [0, 1]: 1 - prod_j (1 - D_j), with D of `coverage`."""
    return 1 - np.prod(1 - coverage(corners_F33[drawn(corners_F33, soft)], height, width, soft), axis=0)


def soft_render(corners_F33: np.ndarray, values_F3C: np.ndarray, background_C: np.ndarray, height: int, width: int,
                soft: Softness = Softness(), perspective: bool = True) -> np.ndarray:
    """The picture (H, W, C): each pixel the mean of all faces' values there and the background's, weighted by coverage and nearness.

    w_j = D_j exp(n_j / gamma) / sum, n_j = (far - z_j) / (far - near) in [0, 1]; the background's weight is exp(background / gamma) / sum.
    Values and z of a face at a pixel are blended from its corners with barycentric weights, clipped at 0 and made to sum to 1 where the
    pixel lies outside; with perspective they are blended over z, so that they are straight in space. values: at the faces' corners.
    """
    shown_F = drawn(corners_F33, soft)
    corners_F33, values_F3C = corners_F33[shown_F], values_F3C[shown_F]
    cover_FHW = coverage(corners_F33, height, width, soft)
    bary_FHW3 = clipped_barycentric(corners_F33, height, width)
    ratio_F3 = 1 / corners_F33[:, :, 2] if perspective else np.ones(corners_F33.shape[:2])
    share_FHW3 = bary_FHW3 * ratio_F3[:, None, None]
    share_FHW3 /= share_FHW3.sum(-1, keepdims=True)
    value_FHWC = np.einsum("fhwk,fkc->fhwc", share_FHW3, values_F3C)
    z_FHW = np.einsum("fhwk,fk->fhw", share_FHW3, corners_F33[:, :, 2])
    near_FHW = np.where(cover_FHW > 0, (soft.far - z_FHW) / (soft.far - soft.near), -np.inf)
    top_HW = near_FHW.max(axis=0, initial=soft.background)
    weight_FHW = cover_FHW * np.exp((near_FHW - top_HW) / soft.gamma)
    rest_HW = np.exp((soft.background - top_HW) / soft.gamma)
    mixed_HWC = np.einsum("fhw,fhwc->hwc", weight_FHW, value_FHWC) + rest_HW[..., None] * np.asarray(background_C, np.float64)
    return mixed_HWC / (weight_FHW.sum(0) + rest_HW)[..., None]


def drawn(corners_F33: np.ndarray, soft: Softness) -> np.ndarray:
    """Which faces are drawn, (F,) bool."""
    z_F3 = corners_F33[:, :, 2]
    return (np.abs(_area2(corners_F33)) > NO_AREA) & ((z_F3 >= soft.near) & (z_F3 <= soft.far)).all(1)


def coverage(corners_F33: np.ndarray, height: int, width: int, soft: Softness) -> np.ndarray:
    """D (F, H, W) = sigmoid(+-d^2 / sigma): d the distance of a pixel's centre to the face's outline, + inside; 0 where it is cut."""
    exponent_FHW = signed_distance2(corners_F33, height, width) / soft.sigma
    cover_FHW = np.where(exponent_FHW < 0, np.exp(np.minimum(exponent_FHW, 0)), 1) / (1 + np.exp(-np.abs(exponent_FHW)))
    return np.where(cover_FHW > soft.cut, cover_FHW, 0)


def signed_distance2(corners_F33: np.ndarray, height: int, width: int) -> np.ndarray:
    """(F, H, W): squared distance to the nearest point of the outline, positive inside the face, negative outside."""
    point_HW2 = np.stack(np.meshgrid(*pixel_centres(height, width)), -1)
    start_F32, end_F32 = corners_F33[:, :, :2], np.roll(corners_F33[:, :, :2], -1, axis=1)
    edge_F32 = end_F32 - start_F32
    from_FHW32 = point_HW2[None, :, :, None] - start_F32[:, None, None]
    length2_F3 = (edge_F32 ** 2).sum(-1)
    along_FHW3 = (np.einsum("fhwke,fke->fhwk", from_FHW32, edge_F32) / length2_F3[:, None, None]).clip(0, 1)
    apart_FHW32 = from_FHW32 - along_FHW3[..., None] * edge_F32[:, None, None]
    inside_FHW = (_edge_functions(corners_F33, height, width) >= 0).all(-1)
    return (apart_FHW32 ** 2).sum(-1).min(-1) * np.where(inside_FHW, 1, -1)


def clipped_barycentric(corners_F33: np.ndarray, height: int, width: int) -> np.ndarray:
    """(F, H, W, 3): weights of the corners, negative ones as 0, sum 1."""
    across_FHW3 = np.roll(_edge_functions(corners_F33, height, width), -1, axis=-1)   # corner k lies across the edge from k + 1
    clipped_FHW3 = np.maximum(across_FHW3, 0)
    return clipped_FHW3 / clipped_FHW3.sum(-1, keepdims=True)


def _area2(corners_F33: np.ndarray) -> np.ndarray:
    (ax, ay), (bx, by), (cx, cy) = (corners_F33[:, k, :2].T for k in range(3))
    return (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)


def _edge_functions(corners_F33: np.ndarray, height: int, width: int) -> np.ndarray:
    """(F, H, W, 3): twice the area that a pixel's centre spans with the edge from corner k to k + 1; positive on the inner side."""
    x_W, y_H = pixel_centres(height, width)
    start_F32, end_F32 = corners_F33[:, :, :2], np.roll(corners_F33[:, :, :2], -1, axis=1)
    turn_F3 = np.sign(_area2(corners_F33))[:, None] * (end_F32 - start_F32).transpose(2, 0, 1)
    x_FW3, y_FH3 = x_W[None, :, None] - start_F32[:, None, :, 0], y_H[None, :, None] - start_F32[:, None, :, 1]
    return turn_F3[0][:, None, None] * y_FH3[:, :, None] - turn_F3[1][:, None, None] * x_FW3[:, None]
