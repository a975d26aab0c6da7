"""Mesh losses against their plain twins in two precisions, gradients against central differences in float64, and degenerate cases."""

import jittor as jt
import numpy as np
import pytest
import trimesh

from geometry import mesh_losses as plain
from geometry.topology import edges
from ops.mesh_losses import chamfer_half, chamfer_squared, edge_loss, laplacian_loss, normal_loss

LIKE = {"float64": 1e-13, "float32": 2e-6}


def var(x, kind="float64"):
    return jt.array(np.asarray(x, kind), dtype=kind)


def meshes():
    """A shaken ball, an empty mesh, and three faces on one edge; packed."""
    ball, rng = trimesh.creation.icosphere(1), np.random.default_rng(0)
    vertices = np.concatenate([np.asarray(ball.vertices), rng.normal(size=(5, 3))])
    vertices[:42] += 0.1 * rng.normal(size=(42, 3))
    faces = np.concatenate([np.asarray(ball.faces), 42 + np.array([[0, 1, 2], [0, 1, 3], [1, 0, 4]])])
    return vertices, faces, np.repeat([0, 2], [42, 5])


def twins(vertices, faces, mesh):
    """name -> (ours, plain), of positions alone."""
    pair, hinge, length = edges(faces), plain.hinges(faces), np.random.default_rng(1).uniform(0, 1, len(edges(faces)))
    found = {"edge": (lambda x: edge_loss(x, pair, mesh, 3, length), lambda x: plain.edge_loss(x, pair, mesh, 3, length)),
             "normal": (lambda x: normal_loss(x, hinge, mesh, 3), lambda x: plain.normal_loss(x, hinge, mesh, 3))}
    for kind in plain.KINDS:
        rows = plain.laplacian_rows(vertices, faces, kind)
        found[kind] = (lambda x, rows=rows: laplacian_loss(x, rows, mesh, 3), lambda x, rows=rows: plain.laplacian_loss(x, rows, mesh, 3))
    return found


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
    case = meshes()
    for name, (ours, want) in twins(*case).items():
        np.testing.assert_allclose(ours(var(case[0], kind)).item(), want(case[0]), rtol=LIKE[kind], err_msg=name)
    a, b, set_a, set_b = clouds()
    for ours, want in ((chamfer_squared, plain.chamfer_squared), (chamfer_half, plain.chamfer_half)):
        got = ours(var(a, kind), var(b, kind), set_a, set_b, 2).item()
        np.testing.assert_allclose(got, want(a, b, set_a, set_b, 2), rtol=LIKE[kind])


def test_gradients():
    case = meshes()
    for ours, _ in twins(*case).values():
        slopes_agree(ours, [case[0]])
    a, b, set_a, set_b = clouds()
    for chamfer in (chamfer_squared, chamfer_half):
        slopes_agree(lambda x, y: chamfer(x, y, set_a, set_b, 2), [a, b])


def test_far_from_the_origin_chamfer_keeps_its_digits():
    a, b, set_a, set_b = clouds()
    a, b = (np.float32(x + 100) for x in (a, b))
    np.testing.assert_allclose(chamfer_squared(var(a, "float32"), var(b, "float32"), set_a, set_b, 2).item(),
                               plain.chamfer_squared(np.float64(a), np.float64(b), set_a, set_b, 2), rtol=1e-6)


def test_what_has_no_length_has_no_gradient():
    point, faces, mesh = np.full((3, 3), 0.3), np.array([[0, 1, 2], [0, 1, 2]]), np.zeros(3, int)
    rows = plain.laplacian_rows(point, faces, "uniform")
    hinge = np.array([[0, 1, 2, 2]])
    for run, want in ((lambda x: edge_loss(x, edges(faces), mesh, 1, 0.5), 0.25), (lambda x: laplacian_loss(x, rows, mesh, 1), 0),
                      (lambda x: normal_loss(x, hinge, mesh, 1), 1), (lambda x: chamfer_half(x, x, mesh, mesh, 1), 0)):
        given = var(point, "float32")
        out = run(given)
        assert out.item() == pytest.approx(want, abs=1e-6) and (jt.grad(out, given).numpy() == 0).all()


def test_nothing_costs_nothing():
    none, no_mesh, no_pair = var(np.zeros((0, 3)), "float32"), np.zeros(0, int), np.zeros((0, 4), int)
    rows = plain.laplacian_rows(np.zeros((0, 3)), np.zeros((0, 3), int), "uniform")
    for out in (edge_loss(none, no_pair[:, :2], no_mesh, 0), normal_loss(none, no_pair, no_mesh, 2), laplacian_loss(none, rows, no_mesh, 1),
                chamfer_half(none, none, no_mesh, no_mesh, 1), chamfer_squared(none, none, no_mesh, no_mesh, 0)):
        assert out.item() == 0


def test_refusals():
    vertices, faces, mesh = meshes()
    with pytest.raises(ValueError, match="numbered 0..1; got 0..2"):
        edge_loss(var(vertices), edges(faces), mesh, 2)
    with pytest.raises(ValueError, match="46 numbers of meshes for 47 vertices"):
        normal_loss(var(vertices), plain.hinges(faces), mesh[1:], 3)
    with pytest.raises(ValueError, match="set 1 has points on one side only"):
        chamfer_squared(var(vertices[:2]), var(vertices[:1]), np.array([0, 1]), np.array([0]), 2)
