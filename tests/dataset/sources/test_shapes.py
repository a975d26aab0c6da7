"""Parametric meshes: closed where they should be, outward faces, volumes by hand."""

from math import gamma

import numpy as np
import pytest
import trimesh

from dataset.sources.shapes import ellipsoid, grid_faces, keep_used, lathe, sheet, tube, weld


def test_grid_by_hand():
    assert grid_faces(2, 2, closed=False).tolist() == [[0, 1, 3], [0, 3, 2]]
    assert grid_faces(2, 3, closed=True).shape == (6, 3)


@pytest.mark.parametrize("mesh, volume", [
    (ellipsoid(np.array([1.0, 2, 3]), np.array([1.0, 2, 3]), 32, 64), 4 / 3 * np.pi * 6),
    (ellipsoid(np.zeros(3), np.ones(3), 64, 128, power=0.5), 8 * gamma(5 / 4) ** 3 / gamma(7 / 4)),     # x^4 + y^4 + z^4 = 1
    (tube(np.array([[0, 0, 0], [0, 1, 0], [0, 2.0, 0]]), np.array([0.5, 0.5, 0.5]), 64), np.pi * 0.25 * 2),
    (tube(np.array([[0, 0, 0], [0, 1, 0], [0, 2.0, 0]]), np.array([0.5, 0.5, 0.5]), 64, flat=0.5), np.pi * 0.125 * 2),
    (lathe(np.zeros(3), np.array([(0, 1), (1, 1), (1, -1), (0, -1.0)]), np.array([2.0, 1.0]), 128), np.pi * 2 * 2),
])
def test_closed_outward_and_as_big_as_by_hand(mesh, volume):
    solid = trimesh.Trimesh(*mesh, process=False)
    assert solid.is_watertight and solid.is_winding_consistent
    assert solid.volume == pytest.approx(volume, rel=0.03)      # positive: the faces look outwards


def test_sheet_and_used():
    vertices_V3, faces_F3 = sheet(np.arange(27.0).reshape(3, 3, 3))
    assert len(vertices_V3) == 9 and len(faces_F3) == 8
    kept_V3, kept_F3, kept = keep_used(vertices_V3, np.array([[8, 2, 5]]))
    assert kept.tolist() == [2, 5, 8] and kept_F3.tolist() == [[2, 0, 1]]
    np.testing.assert_array_equal(kept_V3, vertices_V3[[2, 5, 8]])


def test_weld_drops_what_collapses():
    vertices_V3 = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 0, 0.0]])
    welded_V3, faces_F3 = weld(vertices_V3, np.array([[0, 1, 2], [1, 3, 2]]))
    assert len(welded_V3) == 3 and len(faces_F3) == 1
