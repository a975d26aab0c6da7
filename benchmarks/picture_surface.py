"""The picture of docs/geometry.md: distances from a hand along edges and across triangles, and the mean curvature, on a generated human.

    python -m benchmarks.picture_surface docs/images/geodesics.png
"""

import sys
from collections.abc import Callable

import matplotlib
import numpy as np
from PIL import Image

from dataset.asset import Asset
from dataset.format import FULL_NAMES
from dataset.sources.humans import generate
from geometry.curvature import mean_curvature_normals
from geometry.geodesic import bridges, continued, distances, graph
from geometry.heat import HeatMethod
from geometry.laplacian import laplacian
from geometry.normals import vertex_normals
from geometry.raster import lambert, rasterize
from geometry.topology import components, edges, proper_faces, welded

SIZE, BANDS = (620, 480), 60     # pixels; bands over the longest way
BEND = 25.0                      # mean curvature of the full colour, one over metres: a ball of 4 cm
REACH = 0.03                     # of bridges, metres


def main(path: str, seed: int = 5) -> None:
    asset: Asset = generate(seed).in_network_frame()
    points_U3, place_V = welded(asset.vertices_V3)
    faces_F3 = proper_faces(place_V[asset.faces_F3])
    normals_U3 = vertex_normals(points_U3, faces_F3)
    between_B2 = bridges(points_U3, components(faces_F3, len(points_U3)), normals_U3, REACH)
    lengths = graph(points_U3, np.concatenate([edges(faces_F3), between_B2]))
    source = int(np.linalg.norm(points_U3 - asset.joints_J3[FULL_NAMES.index("l_hand")], axis=1).argmin())
    along_U = distances(lengths, [source])
    across_U = continued(lengths, HeatMethod.of(points_U3, faces_F3).distances([source]))
    bend_U = (mean_curvature_normals(laplacian(points_U3, faces_F3), points_U3) * normals_U3).sum(1)
    panels = [(along_U / across_U.max(), banded), (across_U / across_U.max(), banded), (bend_U / BEND / 2 + 0.5, matplotlib.colormaps["coolwarm"])]
    picture = np.concatenate([draw(points_U3, faces_F3, normals_U3, *panel) for panel in panels], axis=1)
    Image.fromarray(picture).quantize(96).save(path, optimize=True)


def banded(share_HW: np.ndarray) -> np.ndarray:
    """Colours of distances, every other band darker."""
    return matplotlib.colormaps["viridis"](share_HW) * (1 - 0.45 * (np.floor(share_HW * BANDS) % 2))[..., None]


def draw(points_U3: np.ndarray, faces_F3: np.ndarray, normals_U3: np.ndarray, value_U: np.ndarray,
         colours: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """From the front, (H, W, 3) uint8; colours: of the values at pixels, (H, W) -> (H, W, 4)."""
    (height, width), low_3, high_3 = SIZE, points_U3.min(0), points_U3.max(0)
    middle_3, scale = (low_3 + high_3) / 2, 0.96 * min(height / (high_3 - low_3)[2], width / (high_3 - low_3)[0])
    x_U, depth_U, z_U = ((points_U3 - middle_3) * scale).T
    seen = rasterize(np.column_stack([x_U + width / 2, height / 2 - z_U, depth_U]), faces_F3, height, width)
    light_HW = lambert(seen.interpolate(normals_U3, faces_F3), np.array([0.3, -1, 0.5]), 0.55)
    picture_HW3 = colours(seen.interpolate(value_U[:, None], faces_F3)[:, :, 0])[:, :, :3] * light_HW[:, :, None]
    return np.uint8(255 * np.where(seen.covered_HW[:, :, None], picture_HW3, 1).clip(0, 1))


if __name__ == "__main__":
    main(*sys.argv[1:2])
