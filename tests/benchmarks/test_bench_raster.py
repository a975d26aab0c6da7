"""The reference that the soft silhouette is timed against computes what the definition says, and the meshes have the size they should."""

import numpy as np
import pytest

from benchmarks.bench_raster import cut_in_four
from benchmarks.raster_reference import silhouette_and_slope
from geometry.soft_raster import Softness, soft_silhouette


@pytest.mark.parametrize("cut", [0, 1e-4])
def test_the_reference_and_its_gradient(cut):
    rng, soft = np.random.default_rng(0), Softness(1e-2, near=1, far=5, cut=cut)
    corners = np.concatenate([rng.uniform(-1, 1, (20, 3, 2)), rng.uniform(1.5, 4, (20, 3, 1))], -1)
    weight = rng.normal(size=(13, 17))
    cover, slope = silhouette_and_slope(corners, weight, soft)
    np.testing.assert_allclose(cover, soft_silhouette(corners, 13, 17, soft), atol=1e-12)
    if cut:
        return    # what is cut jumps
    for at in rng.integers(0, corners.size, 12):
        sides = []
        for step in (1e-6, -1e-6):
            moved = corners.copy()
            moved.ravel()[at] += step
            sides.append((soft_silhouette(moved, 13, 17, soft) * weight).sum())
        assert (sides[0] - sides[1]) / 2e-6 == pytest.approx(slope.ravel()[at], abs=1e-7 * abs(slope).max())


def test_cut_in_four_keeps_the_area():
    points, faces = cut_in_four(np.float64([[0, 0, 0], [4, 0, 0], [0, 4, 0]]), np.array([[0, 1, 2]]))
    area = np.linalg.norm(np.cross(points[faces[:, 1]] - points[faces[:, 0]], points[faces[:, 2]] - points[faces[:, 0]]), axis=1) / 2
    assert area.tolist() == [2, 2, 2, 2]
