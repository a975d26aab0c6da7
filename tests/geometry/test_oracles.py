"""Operators and distances against libigl and potpourri3d, where they are there (benchmarks/requirements-oracles.txt says how)."""

import numpy as np
import pytest
import trimesh

from geometry.laplacian import barycentric_mass, cotangent_laplacian, laplacian

igl = pytest.importorskip("igl")
pp3d = pytest.importorskip("potpourri3d")

DELAUNAY = {"icosphere": trimesh.creation.icosphere(3), "torus": trimesh.creation.torus(1, 0.3, 40, 20),
            "uv sphere": trimesh.creation.uv_sphere(count=(24, 24))}


def arrays(mesh):
    return np.array(mesh.vertices), np.array(mesh.faces, np.int64)


def noisy():
    vertices, faces = arrays(DELAUNAY["icosphere"])
    return vertices + np.random.default_rng(0).normal(scale=0.03, size=vertices.shape), faces


@pytest.mark.parametrize("name", DELAUNAY)
def test_four_cotangent_operators_are_one_on_delaunay_meshes(name):
    vertices, faces = arrays(DELAUNAY[name])
    own = cotangent_laplacian(vertices, faces).stiffness.toarray()
    for other in (-igl.cotmatrix(vertices, faces), pp3d.cotan_laplacian(vertices, faces), laplacian(vertices, faces).stiffness):
        np.testing.assert_allclose(other.toarray(), own, atol=1e-13)
    np.testing.assert_allclose(igl.massmatrix(vertices, faces, 0).diagonal(), barycentric_mass(vertices, faces), atol=1e-15)


def test_on_a_noisy_mesh_three_agree_and_the_intrinsic_one_flips_by_design():
    vertices, faces = noisy()
    own = cotangent_laplacian(vertices, faces).stiffness.toarray()
    for other in (-igl.cotmatrix(vertices, faces), pp3d.cotan_laplacian(vertices, faces)):
        np.testing.assert_allclose(other.toarray(), own, atol=1e-13 * abs(own).max())
    assert abs(laplacian(vertices, faces).stiffness.toarray() - own).max() > 0.5
