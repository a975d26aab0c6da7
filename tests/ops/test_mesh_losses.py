"""Mesh losses against their plain twins in two precisions, gradients against central differences in float64, and degenerate cases."""

import jittor as jt
import numpy as np
import pytest
import trimesh

from geometry import mesh_losses as plain
from geometry.mesh_batch import MeshBatch as Layout
from ops.mesh_batch import MeshBatch
from ops.mesh_losses import chamfer_half, chamfer_squared, edge_loss, laplacian_loss, normal_loss

LIKE = {"float64": 1e-13, "float32": 2e-6}


def var(x, kind="float64"):
    return jt.array(np.asarray(x, kind), dtype=kind)


def meshes():
    """A shaken ball, an empty mesh, and three faces on one edge."""
    ball, rng = trimesh.creation.icosphere(1), np.random.default_rng(0)
    vertices = [np.asarray(ball.vertices) + 0.1 * rng.normal(size=(42, 3)), np.zeros((0, 3)), rng.normal(size=(5, 3))]
    return Layout.of(vertices, [ball.faces, None, [[0, 1, 2], [0, 1, 3], [1, 0, 4]]])


def twins(layout):
    """name -> (ours, plain), of positions alone."""
    hinge, length = plain.hinges(layout.faces_F3), np.random.default_rng(1).uniform(0, 1, len(layout.edges_E2))
    given = {"edge": (edge_loss, plain.edge_loss, length), "normal": (normal_loss, plain.normal_loss, hinge)}
    for kind in plain.KINDS:
        given[kind] = laplacian_loss, plain.laplacian_loss, plain.laplacian_rows(layout.vertices_V3, layout.faces_F3, kind)
    return {name: (lambda x, ours=ours, extra=extra: ours(MeshBatch(layout, x), extra), want(layout, extra))
            for name, (ours, want, extra) in given.items()}


def clouds():
    rng = np.random.default_rng(2)
    return rng.normal(size=(20, 3)), rng.normal(size=(17, 3)), np.sort(rng.integers(0, 2, 20)), np.sort(rng.integers(0, 2, 17))


def slopes_agree(run, arrays, step=1e-6, picks=12):
    """Gradients of a scalar against central differences at some places."""
    given = [var(x) for x in arrays]
    grads, rng = [g.numpy() for g in jt.grad(run(*given), given)], np.random.default_rng(3)
    for which, x in enumerate(arrays):
        assert abs(grads[which]).max() > 1e-3
        for at in rng.integers(0, x.size, picks):
            sides = []
            for sign in (step, -step):
                moved = x.copy()
                moved.ravel()[at] += sign
                sides.append(run(*(var(moved if k == which else y) for k, y in enumerate(arrays))).item())
            assert grads[which].ravel()[at] == pytest.approx((sides[0] - sides[1]) / (2 * step), abs=1e-8)


@pytest.mark.parametrize("kind", LIKE)
def test_agree_with_their_twins(kind):
    layout = meshes()
    for name, (ours, want) in twins(layout).items():
        np.testing.assert_allclose(ours(var(layout.vertices_V3, kind)).item(), want, rtol=LIKE[kind], err_msg=name)
    a, b, set_a, set_b = clouds()
    for ours, want in ((chamfer_squared, plain.chamfer_squared), (chamfer_half, plain.chamfer_half)):
        got = ours(var(a, kind), var(b, kind), set_a, set_b, 2).item()
        np.testing.assert_allclose(got, want(a, b, set_a, set_b, 2), rtol=LIKE[kind])


def test_gradients():
    layout = meshes()
    for ours, _ in twins(layout).values():
        slopes_agree(ours, [layout.vertices_V3])
    a, b, set_a, set_b = clouds()
    for chamfer in (chamfer_squared, chamfer_half):
        slopes_agree(lambda x, y: chamfer(x, y, set_a, set_b, 2), [a, b])


def test_far_from_the_origin_chamfer_keeps_its_digits():
    a, b, set_a, set_b = clouds()
    a, b = (np.float32(x + 100) for x in (a, b))
    np.testing.assert_allclose(chamfer_squared(var(a, "float32"), var(b, "float32"), set_a, set_b, 2).item(),
                               plain.chamfer_squared(np.float64(a), np.float64(b), set_a, set_b, 2), rtol=1e-6)


def test_what_has_no_length_has_no_gradient():
    point, mesh = np.full((3, 3), 0.3), np.zeros(3, int)
    layout = Layout.of([point], [[[0, 1, 2], [0, 1, 2]]])
    rows = plain.laplacian_rows(point, layout.faces_F3, "uniform")
    hinge = np.array([[0, 1, 2, 2]])
    for run, want in ((lambda x: edge_loss(MeshBatch(layout, x), 0.5), 0.25), (lambda x: laplacian_loss(MeshBatch(layout, x), rows), 0),
                      (lambda x: normal_loss(MeshBatch(layout, x), hinge), 1), (lambda x: chamfer_half(x, x, mesh, mesh, 1), 0)):
        given = var(point, "float32")
        out = run(given)
        assert out.item() == pytest.approx(want, abs=1e-6) and (jt.grad(out, given).numpy() == 0).all()


@pytest.mark.parametrize("vertices", [[], [np.zeros((0, 3))], [np.zeros((4, 3))]], ids=("no mesh", "an empty mesh", "points"))
def test_nothing_costs_nothing(vertices):
    layout, no_set = Layout.of(vertices, [None] * len(vertices)), np.zeros(0, int)
    rows = plain.laplacian_rows(layout.vertices_V3, layout.faces_F3, "uniform")
    meshes, none = MeshBatch(layout), var(np.zeros((0, 3)), "float32")
    for out in (edge_loss(meshes), normal_loss(meshes, plain.hinges(layout.faces_F3)), laplacian_loss(meshes, rows),
                chamfer_half(none, none, no_set, no_set, 1), chamfer_squared(none, none, no_set, no_set, 0)):
        assert out.item() == 0


def test_refusals():
    a, b, set_a, set_b = clouds()
    with pytest.raises(ValueError, match="numbered 0..0; got 0..1"):
        chamfer_half(var(a), var(b), set_a, set_b, 1)
    with pytest.raises(ValueError, match="19 numbers of sets for 20 first points"):
        chamfer_half(var(a), var(b), set_a[1:], set_b, 2)
    with pytest.raises(ValueError, match="set 1 has points on one side only"):
        chamfer_squared(var(a[:2]), var(b[:1]), np.array([0, 1]), np.array([0]), 2)
