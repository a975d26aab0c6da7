"""Losses of meshes against numbers by hand, and their laws."""

import numpy as np
import pytest
import trimesh
from scipy.spatial import cKDTree

from geometry.mesh_batch import MeshBatch
from geometry.mesh_losses import KINDS, chamfer_half, chamfer_squared, edge_loss, hinges, laplacian_loss, laplacian_rows, normal_loss, shares
from geometry.topology import edges

EQUILATERAL = np.array([[0, 0, 0], [1, 0, 0], [0.5, np.sqrt(0.75), 0]]), np.array([[0, 1, 2]])
NOTHING = np.zeros((0, 3)), None


def fold(degrees: float):
    """Two unit right triangles on the y axis; 0: flat, 180: one upon the other."""
    turn = np.radians(degrees)
    return np.array([[0, 0, 0], [0, 1, 0], [1, 0, 0], [-np.cos(turn), 0, np.sin(turn)]]), np.array([[0, 2, 1], [0, 1, 3]])


def sheet(n=5):
    """A square of n x n vertices and its interior ones."""
    x, y = np.meshgrid(np.arange(n), np.arange(n), indexing="ij")
    i = np.arange(n * n).reshape(n, n)
    a, b, c, d = (part.ravel() for part in (i[:-1, :-1], i[1:, :-1], i[:-1, 1:], i[1:, 1:]))
    faces = np.concatenate([np.column_stack([a, b, c]), np.column_stack([b, d, c])])
    return np.column_stack([x.ravel(), y.ravel(), np.zeros(n * n)]) * 0.1, faces, i[1:-1, 1:-1].ravel()


def batch_of(*meshes):
    return MeshBatch.of([v for v, _ in meshes], [f for _, f in meshes])


def losses(*meshes):
    batch = batch_of(*meshes)
    return np.array([edge_loss(batch, 0.3), normal_loss(batch, hinges(batch.faces_F3)),
                     *(laplacian_loss(batch, laplacian_rows(batch.vertices_V3, batch.faces_F3, kind)) for kind in KINDS)])


def test_edges_by_hand():
    one = batch_of(EQUILATERAL)
    assert edge_loss(one) == pytest.approx(1, abs=1e-15)
    assert edge_loss(one, 0.25) == pytest.approx(0.5625, abs=1e-15)
    assert edge_loss(one, np.array([1.0, 2, 3])) == pytest.approx((0 + 1 + 4) / 3, abs=1e-15)


@pytest.mark.parametrize("degrees, want", [(0, 0), (60, 0.5), (90, 1), (180, 2)])
def test_normals_by_hand(degrees, want):
    vertices, faces = fold(degrees)
    for wound in (faces, faces[:, ::-1], np.stack([faces[0], faces[1][::-1]])):     # whichever way the faces look
        assert normal_loss(batch_of((vertices, wound)), hinges(wound)) == pytest.approx(want, abs=1e-12)


def test_all_pairs_of_an_edge_with_three_faces():
    book = np.array([[0, 1, 2], [0, 1, 3], [0, 1, 4]])
    assert hinges(book).tolist() == [[0, 1, 2, 3], [0, 1, 3, 4], [0, 1, 2, 4]]
    assert hinges(np.zeros((0, 3), int)).shape == (0, 4) and hinges(book[[0, 0]]).shape == (0, 4)
    ball = trimesh.creation.icosphere(1)
    assert len(hinges(ball.faces)) == len(edges(ball.faces)) and (hinges(ball.faces)[:, 2] != hinges(ball.faces)[:, 3]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_plane_has_no_laplacian_inside(kind):
    vertices, faces, inside = sheet()
    offset = laplacian_rows(vertices, faces, kind) @ vertices
    assert np.abs(offset[inside]).max() < 1e-13 and np.abs(offset).max() > 1e-3     # the rim is pulled in


def test_laplacians_by_hand():
    want = np.sqrt(0.75)        # from a corner to the middle of the other two; all weights are equal
    of = {kind: laplacian_loss(batch_of(EQUILATERAL), laplacian_rows(*EQUILATERAL, kind)) for kind in KINDS}
    assert of["uniform"] == pytest.approx(want) and of["cot"] == pytest.approx(want)
    # cotangent weights cot 60 / 2 each; 6 m = 2 areas = sqrt(3) / 2
    curved = 2 * (1 / np.sqrt(3) / 2) * want / (np.sqrt(3) / 2)
    assert of["cotcurv"] == pytest.approx(curved)


def test_cotcurv_is_a_third_of_the_mean_curvature():
    ball = trimesh.creation.icosphere(3, radius=0.5)
    rows = laplacian_rows(ball.vertices, ball.faces, "cotcurv")
    # H n = x / r^2; at the twelve corners of degree five a barycentric mass is a tenth too small
    np.testing.assert_allclose(rows @ ball.vertices, -np.asarray(ball.vertices) * 4 / 3, atol=0.09)
    assert np.median(np.linalg.norm(rows @ ball.vertices, axis=1)) == pytest.approx(2 / 3, rel=5e-3)


def test_meshes_count_alike_whatever_their_size():
    ball = trimesh.creation.icosphere(1)
    meshes = [(np.asarray(ball.vertices), np.asarray(ball.faces)), EQUILATERAL, fold(70)]
    together = losses(*meshes)
    np.testing.assert_allclose(together, np.mean([losses(mesh) for mesh in meshes], axis=0), rtol=1e-12)
    np.testing.assert_allclose(losses(*meshes, NOTHING, NOTHING, NOTHING), together / 2, rtol=1e-12)


def test_nothing_costs_nothing():
    assert not losses().any() and not losses(NOTHING, NOTHING).any()
    none, no_set = np.zeros((0, 3)), np.zeros(0, int)
    assert chamfer_squared(none, none, no_set, no_set, 1) == chamfer_half(none, none, no_set, no_set, 0) == 0


def test_chamfer_by_hand():
    a, b = np.array([[0, 0, 0], [0, 0, 2]], float), np.array([[0, 0, 3], [0, 4, 0], [0, 0, 2]], float)
    zero_A, zero_B = np.zeros(2, int), np.zeros(3, int)      # nearest: 2, 0; back 1, 4, 0
    assert chamfer_squared(a, b, zero_A, zero_B, 1) == pytest.approx((4 + 0) / 2 + (1 + 16 + 0) / 3)
    assert chamfer_half(a, b, zero_A, zero_B, 1) == pytest.approx(((2 + 0) / 2 + (1 + 4 + 0) / 3) / 2)


def test_chamfer_is_that_of_scipy():
    rng = np.random.default_rng(0)
    a, b, set_a, set_b = rng.normal(size=(70, 3)), rng.normal(size=(90, 3)), np.sort(rng.integers(0, 3, 70)), np.sort(rng.integers(0, 3, 90))
    squared, half = 0, 0
    for k in range(3):
        there, back = cKDTree(b[set_b == k]).query(a[set_a == k])[0], cKDTree(a[set_a == k]).query(b[set_b == k])[0]
        squared, half = squared + ((there ** 2).mean() + (back ** 2).mean()) / 3, half + (there.mean() + back.mean()) / 6
    assert chamfer_squared(a, b, set_a, set_b, 3) == pytest.approx(squared) and chamfer_half(a, b, set_a, set_b, 3) == pytest.approx(half)


def test_refusals():
    with pytest.raises(ValueError, match="numbered 0..1; got 0..2"):
        shares(np.array([0, 2]), 2)
    with pytest.raises(ValueError, match="kind 'cotan'"):
        laplacian_rows(*EQUILATERAL, "cotan")
    for chamfer in (chamfer_half, chamfer_squared):
        with pytest.raises(ValueError, match="set 1 has points on one side only"):
            chamfer(np.zeros((2, 3)), np.zeros((1, 3)), np.array([0, 1]), np.array([0]), 2)
