"""What is drawn of meshes and clouds, on shapes whose answer is known."""

import numpy as np
import pytest

from pictures.surface import MOST_SQUARES, smooth_normals, surface_of, thinned

QUAD_V3 = np.float64([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [50, 50, 50]])
QUAD_F3 = np.array([[0, 1, 2], [0, 2, 3]])


def test_a_mesh_keeps_the_vertices_that_faces_name():
    surface = surface_of(QUAD_V3[[4, 0, 1, 2, 3]], QUAD_F3 + 1)
    assert surface.vertex_P.tolist() == [1, 2, 3, 4] and (surface.points_P3 == QUAD_V3[:4]).all() and (surface.faces_F3 == QUAD_F3).all()
    np.testing.assert_allclose(surface.normals_P3, np.tile([0, 0, 1], (4, 1)))


def test_seams_are_smooth_and_edges_are_sharp():
    def roof(height):    # two faces that share an edge whose points are there twice
        points = np.float64([[0, 0, height], [0, 1, height], [-1, 0, 0], [0, 0, height], [0, 1, height], [1, 0, 0]])
        return smooth_normals(points, np.array([[0, 1, 2], [4, 3, 5]]))
    flat, steep = roof(.2), roof(2)
    np.testing.assert_allclose(flat[[0, 3]], [[0, 0, 1]] * 2, atol=1e-12)
    assert (np.abs(steep[0] - steep[3]) > .5).any() and abs(steep[0] @ [2, 0, 1]) > .9


def test_squares_of_a_cloud_lie_in_its_plane_and_touch():
    x, y = np.mgrid[0:12, 0:12] / 11
    cloud = np.stack([x, 0 * x, y], -1).reshape(-1, 3)
    surface = surface_of(cloud, None)
    assert (surface.vertex_P == np.repeat(np.arange(144), 4)).all() and surface.faces_F3.shape == (288, 3)
    np.testing.assert_allclose(np.abs(surface.normals_P3[:, 1]), 1, atol=1e-9)
    np.testing.assert_allclose(surface.points_P3.reshape(144, 4, 3).mean(1), cloud, atol=1e-12)
    assert np.abs(surface.points_P3[:, 1]).max() < 1e-9
    sides = np.linalg.norm(surface.points_P3[1::4] - surface.points_P3[::4], axis=1)
    assert (sides >= .03).all() and (sides <= .0401).all()    # the most that a square may be, .02 of the figure each way


@pytest.mark.parametrize("cloud", [np.zeros((1, 3)), np.zeros((7, 3)), np.float64([[0, 0, 0], [0, 0, 1]])])
def test_clouds_of_hardly_anything(cloud):
    surface = surface_of(cloud, np.zeros((0, 3), int))
    assert np.isfinite(surface.points_P3).all() and np.isfinite(surface.normals_P3).all() and len(surface.points_P3) == 4 * len(cloud)


def test_a_large_cloud_is_drawn_by_evenly_taken_points():
    surface = surface_of(np.random.default_rng(0).normal(size=(MOST_SQUARES * 2 + 1, 3)), None)
    assert len(surface.points_P3) // 4 == -(-(MOST_SQUARES * 2 + 1) // 3) and (np.diff(surface.vertex_P[::4]) == 3).all()


def test_thinning_merges_cells_by_hand():
    points = np.float64([[0, 0, 0], [.1, 0, 0], [4, 0, 0], [0, 4, 0]])
    faces, kept, cell = thinned(points, np.array([[0, 2, 3], [1, 2, 3], [0, 1, 2]]), 4)
    assert sorted(kept.tolist()) == [0, 2, 3] and cell[0] == cell[1] and len(faces) == 2    # the third lost an edge
    assert len(thinned(points, np.array([[0, 2, 3]]), 4, np.array([0, 1, 0, 0]))[1]) == 4   # of other joints: not merged


@pytest.mark.parametrize("vertices, faces, message", [
    (np.zeros((0, 3)), None, "needs vertices"), (np.full((1, 3), np.inf), None, "finite"), (QUAD_V3, np.array([[0, 1, 5]]), "outside 0..4")])
def test_refuses(vertices, faces, message):
    with pytest.raises(ValueError, match=message):
        surface_of(vertices, faces)
