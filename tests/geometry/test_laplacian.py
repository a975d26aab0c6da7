"""The Laplacian against numbers by hand, plain cotangents, and the laws of a positive semidefinite operator; smoothing against its laws."""

import numpy as np
import pytest
import trimesh

from geometry.laplacian import barycentric_mass, cotangent_laplacian, dirichlet, laplacian, smoothed, uniform_laplacian
from geometry.sampling import triangle_areas
from geometry.topology import edges

CORNER = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], float), np.array([[0, 1, 2]])


def ball():
    mesh = trimesh.creation.icosphere(3)
    return np.asarray(mesh.vertices), np.asarray(mesh.faces)


def crumpled():
    """A grid shaken so that its triangles are slivers, as bad meshes are."""
    n, rng = 12, np.random.default_rng(3)
    x, y = np.meshgrid(np.arange(n), np.arange(n), indexing="ij")
    vertices = np.column_stack([x.ravel() * 1.0, y.ravel() * 0.05, np.zeros(n * n)]) + rng.normal(scale=0.02, size=(n * n, 3))
    i = np.arange(n * n).reshape(n, n)
    a, b, c, d = (part.ravel() for part in (i[:-1, :-1], i[1:, :-1], i[:-1, 1:], i[1:, 1:]))
    return vertices, np.concatenate([np.column_stack([a, b, c]), np.column_stack([b, d, c])])


def two_shells():
    vertices, faces = ball()
    return np.concatenate([vertices, vertices + 5]), np.concatenate([faces, faces + len(vertices)])


def plain_cotangents(vertices, faces):
    """The twin: dense, straight from the angles; w_ij = (cot a + cot b) / 2."""
    result = np.zeros((len(vertices), len(vertices)))
    for face in faces:
        for k in range(3):
            i, j, o = face[k], face[(k + 1) % 3], face[(k + 2) % 3]
            u, v = vertices[i] - vertices[o], vertices[j] - vertices[o]
            half_cot = 0.5 * (u @ v) / np.linalg.norm(np.cross(u, v))
            result[[i, j], [i, j]] += half_cot
            result[[i, j], [j, i]] -= half_cot
    return result


def test_a_right_triangle_by_hand():
    operator = laplacian(*CORNER)      # cotangents 0 at the right angle, 1 at the others; the diagonal is positive
    np.testing.assert_allclose(operator.stiffness.toarray(), [[1, -.5, -.5], [-.5, .5, 0], [-.5, 0, .5]], atol=1e-12)
    np.testing.assert_allclose(operator.mass_V, [1 / 6] * 3, rtol=1e-12)


def test_agrees_with_plain_cotangents_where_the_mesh_is_delaunay():
    vertices, faces = ball()
    np.testing.assert_allclose(laplacian(vertices, faces).stiffness.toarray(), plain_cotangents(vertices, faces), atol=1e-12)


def test_a_bad_mesh_has_no_negative_link_where_plain_cotangents_have():
    vertices, faces = crumpled()
    plain = plain_cotangents(vertices, faces)
    ours = laplacian(vertices, faces).stiffness.toarray()
    off = ~np.eye(len(vertices), dtype=bool)
    assert plain[off].max() > 0.1 and ours[off].max() < 1e-9


@pytest.mark.parametrize("mesh", [ball, crumpled, two_shells])
def test_laws(mesh):
    vertices, faces = mesh()
    operator = laplacian(vertices, faces)
    dense = operator.stiffness.toarray()
    area = triangle_areas(vertices, faces).sum()
    assert (dense == dense.T).all()
    np.testing.assert_allclose(dense.sum(1), 0, atol=1e-9 * dense.max())
    values = np.linalg.eigvalsh(dense)
    shells = 2 if mesh is two_shells else 1
    assert values.min() > -1e-9 * values.max() and (values < 1e-4).sum() == shells     # one constant for each shell
    np.testing.assert_allclose(operator.mass_V.sum(), area, rtol=1e-4)
    energy = np.trace(vertices.T @ dense @ vertices)
    assert energy <= 2 * area * (1 + 1e-9)      # Rippa 1990: of all triangulations Delaunay's has the least Dirichlet energy
    if mesh is not crumpled:                    # and where nothing is flipped the positions' is twice the area
        np.testing.assert_allclose(energy, 2 * area, rtol=1e-9)


def test_dirichlet_energy_of_the_positions_of_a_ball():
    vertices, faces = ball()
    operator = laplacian(vertices, faces)
    share = dirichlet(operator, vertices)
    assert share.min() >= 0
    np.testing.assert_allclose(share.sum(), 25.012985467939, rtol=1e-10)   # twice the area, known from elsewhere


def test_what_has_no_surface():
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [7, 7, 7], [2, 0, 0]], float)
    operator = laplacian(vertices, np.array([[0, 1, 2], [2, 0, 1], [0, 0, 3], [0, 1, 4]]))   # a copy, a repeated corner, a flat one
    assert operator.mass_V[3] == 0 and operator.stiffness[[3]].nnz == 0
    assert np.isfinite(operator.stiffness.data).all() and (operator.mass_V[[0, 1, 2, 4]] > 0).all()
    bare = laplacian(vertices, np.zeros((0, 3), int))
    assert bare.stiffness.nnz == 0 and (bare.mass_V == 0).all()
    assert (smoothed(bare, vertices, 1.0) == vertices).all()
    with pytest.raises(ValueError, match="finite"):
        laplacian(vertices + np.inf, np.array([[0, 1, 2]]))


def test_smoothing_by_a_dense_solve():
    operator, values = laplacian(*CORNER), np.array([[1.0, 0], [0, 1], [0, 1]])
    system = np.eye(3) / 6 + 0.25 * np.array([[1, -.5, -.5], [-.5, .5, 0], [-.5, 0, .5]])
    np.testing.assert_allclose(smoothed(operator, values, 0.25), np.linalg.solve(system, values / 6), atol=1e-12)


@pytest.mark.parametrize("mesh", [ball, crumpled, two_shells])
def test_smoothing_laws(mesh):
    vertices, faces = mesh()
    operator = laplacian(vertices, faces)
    rows = np.random.default_rng(0).random((len(vertices), 5)) ** 8
    rows[0] = 0
    rows[0, 0] = 1
    rows /= rows.sum(1, keepdims=True)
    result = smoothed(operator, rows, 1e-2)
    np.testing.assert_allclose(result.sum(1), 1, atol=1e-10)
    assert result.min() >= -1e-12 and result.max() <= rows.max() + 1e-12
    np.testing.assert_allclose(operator.mass_V @ result, operator.mass_V @ rows, rtol=1e-9)
    np.testing.assert_allclose(smoothed(operator, np.full((len(vertices), 1), 0.3), 1e-2), 0.3, atol=1e-10)
    assert dirichlet(operator, result).sum() < dirichlet(operator, rows).sum()


def test_shells_do_not_mix():
    vertices, faces = two_shells()
    operator, half = laplacian(vertices, faces), len(vertices) // 2
    values = np.zeros((len(vertices), 1))
    values[:half] = np.random.default_rng(1).random((half, 1))
    assert np.abs(smoothed(operator, values, 0.1)[half:]).max() == 0


@pytest.mark.parametrize("mesh", [ball, crumpled, two_shells])
def test_own_cotangents(mesh):
    vertices, faces = mesh()
    operator = cotangent_laplacian(vertices, faces)
    dense, area = operator.stiffness.toarray(), triangle_areas(vertices, faces).sum()
    scale = abs(dense).max()
    np.testing.assert_allclose(dense, plain_cotangents(vertices, faces), atol=1e-13 * scale)
    assert (dense == dense.T).all() and abs(dense.sum(1)).max() < 1e-14 * scale
    values, shells = np.linalg.eigvalsh(dense), 2 if mesh is two_shells else 1
    assert values.min() > -1e-13 * scale and values[shells - 1] < 1e-12 * scale < 1e-6 < values[shells]
    np.testing.assert_allclose(np.trace(vertices.T @ dense @ vertices), 2 * area, rtol=1e-12)
    np.testing.assert_allclose(operator.mass_V.sum(), area, rtol=1e-14)


def test_the_energy_of_a_ball_is_known_from_elsewhere():
    vertices, faces = ball()
    assert np.trace(vertices.T @ (cotangent_laplacian(vertices, faces).stiffness @ vertices)) == pytest.approx(25.012985467939, abs=1e-12)


def test_degenerate_faces_stay_finite_and_positive():
    """A sliver, a face without area, one without extent, a copy and a repeated corner; far from the size of the unit box."""
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0.5, 1e-14, 0], [0, 1, 0], [2, 0, 0], [7, 7, 7], [7, 7, 7], [7, 7, 7], [9, 9, 9]], float) * 1e-4
    faces = np.array([[0, 1, 2], [0, 1, 3], [0, 1, 4], [5, 6, 7], [1, 0, 3], [3, 3, 1]])
    operator = cotangent_laplacian(vertices, faces)
    dense = operator.stiffness.toarray()
    assert np.isfinite(dense).all() and (dense == dense.T).all() and not dense[5:].any() and not operator.mass_V[5:].any()
    values = np.linalg.eigvalsh(dense)
    assert 1e8 < values.max() < 1e13 and dense[4].any()     # a tiny area makes a stiff face, not an infinite one; none is left out
    assert values.min() > -1e-14 * values.max()
    np.testing.assert_allclose(operator.mass_V.sum(), 0.5e-8, rtol=1e-9)
    bare = cotangent_laplacian(vertices, np.zeros((0, 3), int))
    assert bare.stiffness.nnz == 0 and (bare.mass_V == 0).all()
    with pytest.raises(ValueError, match="finite"):
        cotangent_laplacian(vertices * np.nan, faces)


def test_mass_by_hand():
    vertices = np.array([[0, 0, 0], [3, 0, 0], [0, 2, 0], [3, 2, 0], [5, 5, 5]], float)
    assert barycentric_mass(vertices, np.array([[0, 1, 2], [3, 2, 1]])).tolist() == [1, 2, 2, 1, 0]


def test_uniform_by_hand():
    star = uniform_laplacian(np.array([[0, 1], [0, 2], [1, 2], [2, 3]]), 5)
    third = 1 / 3
    np.testing.assert_allclose(star.toarray(), [[-1, .5, .5, 0, 0], [.5, -1, .5, 0, 0], [third, third, -1, third, 0], [0, 0, 1, -1, 0],
                                                [0, 0, 0, 0, 0]])
    vertices, faces = ball()
    operator, degree = uniform_laplacian(edges(faces), len(vertices)), np.bincount(edges(faces).ravel())
    assert abs(operator.sum(1)).max() < 1e-15
    values = np.linalg.eigvalsh(degree[:, None] ** .5 * -operator.toarray() / degree[None] ** .5)     # similar to a symmetric one
    assert values.min() > -1e-13 and values[0] < 1e-13 < 1e-3 < values[1] and values.max() < 2
