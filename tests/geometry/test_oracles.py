"""Operators and distances against libigl and potpourri3d, where they are there (benchmarks/requirements-oracles.txt says how)."""

import numpy as np
import pytest
import trimesh

from geometry.curvature import angle_defects
from geometry.geodesic import distances, graph
from geometry.heat import HeatMethod
from geometry.laplacian import barycentric_mass, cotangent_laplacian, laplacian
from geometry.topology import edges

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


def exact(vertices, faces, source):
    """Mitchell, Mount and Papadimitriou's, by libigl."""
    none = np.zeros(0, np.int64)
    return igl.exact_geodesic(vertices, faces, np.array([source]), none, np.arange(len(vertices)), none)


@pytest.mark.parametrize("name", DELAUNAY)
def test_heat_distances_are_those_of_potpourri3d(name):
    vertices, faces = arrays(DELAUNAY[name])
    theirs = pp3d.MeshHeatMethodDistanceSolver(vertices, faces, use_robust=False).compute_distance(0)
    np.testing.assert_allclose(HeatMethod.of(vertices, faces).distances([0]), theirs, atol=2e-3 * theirs.max())


def test_heat_distances_are_near_the_exact_ones_and_nearer_than_edges():
    for vertices, faces in (arrays(DELAUNAY["torus"]), noisy()):
        truth = exact(vertices, faces, 0)
        heat, edge = HeatMethod.of(vertices, faces).distances([0]), distances(graph(vertices, edges(faces)), [0])
        off_heat, off_edge = (np.abs(x - truth)[1:] / truth[1:] for x in (heat, edge))
        assert off_heat.mean() < 0.03 and off_heat.mean() < off_edge.mean()


def test_angle_defects_are_libigls():
    vertices, faces = noisy()
    np.testing.assert_allclose(angle_defects(vertices, faces), igl.gaussian_curvature(vertices, faces), atol=1e-12)
