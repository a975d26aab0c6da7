"""Curvature against numbers by hand, the sphere, and Gauss and Bonnet."""

import numpy as np
import pytest
import trimesh

from geometry.curvature import angle_defects, mean_curvature_normals, rim_vertices
from geometry.laplacian import cotangent_laplacian
from geometry.topology import edges


def arrays(mesh):
    return np.array(mesh.vertices), np.array(mesh.faces)


def characteristic(vertices, faces):
    return len(vertices) - len(edges(faces)) + len(faces)


OPEN = arrays(trimesh.creation.icosphere(2))
OPEN = OPEN[0], OPEN[1][1:]
CLOSED = {"ball": (arrays(trimesh.creation.icosphere(2)), 2), "torus": (arrays(trimesh.creation.torus(1, 0.3, 24, 12)), 0),
          "two": (arrays(trimesh.creation.icosphere(1) + trimesh.creation.box().apply_translation((5, 0, 0))), 4), "disc": (OPEN, 1)}


@pytest.mark.parametrize("name", CLOSED)
def test_gauss_and_bonnet(name):
    (vertices, faces), want = CLOSED[name]
    shaken = vertices + np.random.default_rng(0).normal(scale=0.02, size=vertices.shape)
    assert characteristic(vertices, faces) == want
    for places in (vertices, shaken):
        assert angle_defects(places, faces).sum() == pytest.approx(2 * np.pi * want, abs=1e-11)


def test_defects_by_hand():
    box = arrays(trimesh.creation.box())
    np.testing.assert_allclose(angle_defects(*box), np.pi / 2, atol=1e-14)
    square = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [.5, .5, 0], [9, 9, 9]], float)
    fan = np.array([[0, 1, 4], [1, 2, 4], [2, 3, 4], [3, 0, 4]])
    np.testing.assert_allclose(angle_defects(square, fan), [np.pi / 2] * 4 + [0, 0], atol=1e-14)
    assert rim_vertices(fan).tolist() == [0, 1, 2, 3] and not len(rim_vertices(box[1])) and not len(rim_vertices(fan[:0]))


@pytest.mark.parametrize("radius", [0.5, 3.0])
def test_a_ball_bulges_alike_everywhere(radius):
    vertices, faces = arrays(trimesh.creation.icosphere(4, radius=radius))
    operator = cotangent_laplacian(vertices, faces)
    bend = mean_curvature_normals(operator, vertices)
    assert np.median(np.linalg.norm(bend, axis=1)) == pytest.approx(1 / radius, rel=1e-3)
    assert (operator.mass_V[:, None] * bend * vertices).sum() / operator.mass_V.sum() == pytest.approx(1, rel=1e-3)     # H n . x, outwards
    held = angle_defects(vertices, faces) / operator.mass_V
    assert np.median(held) == pytest.approx(1 / radius ** 2, rel=5e-3)


def test_a_pipe_bends_one_way_only():
    pipe = trimesh.creation.cylinder(radius=0.5, height=4, sections=64).subdivide_to_size(0.12)
    vertices, faces = arrays(pipe)
    side = (abs(vertices[:, 2]) < 1.5) & (np.hypot(vertices[:, 0], vertices[:, 1]) > 0.49)
    operator = cotangent_laplacian(vertices, faces)
    size = (operator.mass_V[:, None] * mean_curvature_normals(operator, vertices) * vertices * (1, 1, 0) / 0.5).sum(1)
    assert size[side].sum() / operator.mass_V[side].sum() == pytest.approx(1, rel=0.02)     # H = 1 / 2r
    assert abs(angle_defects(vertices, faces)[side]).max() < 1e-12


def test_what_has_no_surface_has_no_curvature():
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [2, 2, 2]], float)
    operator = cotangent_laplacian(vertices, np.array([[0, 1, 2]]))
    assert not mean_curvature_normals(operator, vertices)[3].any() and angle_defects(vertices, np.array([[0, 1, 2]]))[3] == 0
