"""The soft silhouette of geometry/soft_raster.py with its gradient, in NumPy: every face against every pixel, as it is defined; by hand where
PyTorch would keep a tape. bench_raster times it against ops/soft_raster.py.

    python -m benchmarks.raster_reference FOLDER

Letters: F faces, H rows, W columns. Faces are taken CHUNK at a time, which bounds the memory and was the fastest size tried (8 to 128).
"""

import argparse
from pathlib import Path

import numpy as np

from benchmarks.paired import serve
from geometry.soft_raster import Softness, drawn, pixel_centres

CHUNK = 16


def silhouette_and_slope(corners_F33: np.ndarray, weight_HW: np.ndarray, soft: Softness) -> tuple[np.ndarray, np.ndarray]:
    """1 - prod_j (1 - D_j), (H, W), and the gradient of its product with weight_HW by the corners, (F, 3, 3), in the corners' dtype."""
    kind, (height, width) = corners_F33.dtype, weight_HW.shape
    x_W, y_H = (axis.astype(kind) for axis in pixel_centres(height, width))
    clear_HW, slope_F33 = np.ones((height, width), kind), np.zeros_like(corners_F33)
    shown = np.flatnonzero(drawn(corners_F33, soft))
    chunks = [shown[k:k + CHUNK] for k in range(0, len(shown), CHUNK)]
    for chunk in chunks:
        clear_HW *= (1 - _cover(corners_F33[chunk], x_W, y_H, soft)[0]).prod(0)
    pull_HW = weight_HW.astype(kind) * clear_HW
    for chunk in chunks:
        cover_FHW, sign_FHW, apart_FHW2, along_FHW, edge_FHW = _cover(corners_F33[chunk], x_W, y_H, soft)
        # d exponent / d corner = -+ 2 (1 - t or t) (p - nearest) / sigma, d cover / d exponent = D (1 - D), of which 1 - D is in clear
        pull_FHW2 = (-2 / kind.type(soft.sigma) * sign_FHW * cover_FHW * pull_HW)[..., None] * apart_FHW2
        for k in range(3):
            here_FHW = edge_FHW == k
            start_F2 = (pull_FHW2 * (here_FHW * (1 - along_FHW))[..., None]).sum((1, 2))
            end_F2 = (pull_FHW2 * (here_FHW * along_FHW)[..., None]).sum((1, 2))
            slope_F33[chunk, k, :2] += start_F2
            slope_F33[chunk, (k + 1) % 3, :2] += end_F2
    return 1 - clear_HW, slope_F33


def _cover(corners_F33: np.ndarray, x_W: np.ndarray, y_H: np.ndarray, soft: Softness) -> tuple[np.ndarray, ...]:
    """Of each face and pixel D (0 where it is cut), the sign of its exponent, the way from the outline's nearest point, that point's place on its
    edge, and the edge."""
    best = None
    inside_FHW = np.ones((len(corners_F33), len(y_H), len(x_W)), bool)
    (ax, ay), (bx, by), (cx, cy) = (corners_F33[:, k, :2].T for k in range(3))
    turn_F = np.sign((bx - ax) * (cy - ay) - (by - ay) * (cx - ax))[:, None, None]
    for k in range(3):
        start_F2, end_F2 = corners_F33[:, k, :2], corners_F33[:, (k + 1) % 3, :2]
        (ex, ey), length2_F = (end_F2 - start_F2).T[:, :, None, None], ((end_F2 - start_F2) ** 2).sum(1)[:, None, None]
        fx, fy = x_W[None, None] - start_F2[:, 0, None, None], y_H[None, :, None] - start_F2[:, 1, None, None]
        along_FHW = ((fx * ex + fy * ey) / length2_F).clip(0, 1)
        ox, oy = fx - along_FHW * ex, fy - along_FHW * ey
        inside_FHW &= turn_F * (ex * fy - ey * fx) >= 0
        found = (ox * ox + oy * oy, ox, oy, along_FHW, np.full(ox.shape, k, np.int8))
        best = found if best is None else tuple(np.where(found[0] < best[0], new, old) for new, old in zip(found, best))
    d2_FHW, ox, oy, along_FHW, edge_FHW = best
    sign_FHW = np.where(inside_FHW, 1, -1).astype(corners_F33.dtype)
    cover_FHW = 1 / (1 + np.exp(np.minimum(-sign_FHW * d2_FHW / corners_F33.dtype.type(soft.sigma), 80)))
    return np.where(cover_FHW > soft.cut, cover_FHW, 0), sign_FHW, np.stack([ox, oy], -1), along_FHW, edge_FHW


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    with np.load(folder / "soft.npz") as scene:
        corners_F33, weight_HW, soft = scene["corners"], scene["weight"], Softness(*scene["soft"].tolist())

    def soft_case() -> None:
        np.savez(folder / "reference.npz", **dict(zip(("cover", "slope"), silhouette_and_slope(corners_F33, weight_HW, soft))))
    serve({"soft": soft_case})


if __name__ == "__main__":
    main()
