"""The Jittor mesh batch against its twin, and its gradients against central differences of the twin."""

import jittor as jt
import numpy as np
import pytest

from geometry.mesh_batch import MeshBatch as Layout
from ops.mesh_batch import MeshBatch
from tests.geometry.test_mesh_batch import EMPTY, LONELY, SQUARE, batch_of
from tests.ops.gradients import draw, value_and_grads

TWINS = {"face_normals": "face_normals_F3", "vertex_normals": "vertex_normals_V3", "face_areas": "face_areas_F"}


@pytest.fixture(scope="module")
def layout():
    rng = np.random.default_rng(0)
    crumpled = rng.normal(size=(7, 3)), np.array([[0, 1, 2], [2, 1, 3], [3, 4, 5], [0, 5, 1]])   # vertex 6 stands alone
    return batch_of(SQUARE, EMPTY, crumpled, LONELY)


def at(layout, vertices_V3):
    return Layout(vertices_V3, layout.faces_F3, layout.vertex_counts_B, layout.face_counts_B)


def differences(layout, name, y, step=1e-6):
    vertices = layout.vertices_V3
    value = lambda shift: (getattr(at(layout, vertices + shift.reshape(-1, 3)), name) * y).sum()
    return np.array([value(e) - value(-e) for e in step * np.eye(vertices.size)]).reshape(-1, 3) / (2 * step)


@pytest.mark.parametrize("name", TWINS)
def test_values_and_gradients_are_the_twins(layout, name):
    want = getattr(layout, TWINS[name])
    y = draw(1, *want.shape)
    value, grad = value_and_grads(lambda v: getattr(MeshBatch(layout, v), name)(), (np.float32(layout.vertices_V3),), y)
    np.testing.assert_allclose(value, want, atol=2e-6)
    np.testing.assert_allclose(grad, differences(layout, TWINS[name], y.astype(float)), atol=1e-4)


def test_edges_are_the_layouts(layout):
    ends_E23 = layout.vertices_V3[layout.edges_E2]
    np.testing.assert_allclose(MeshBatch(layout).edge_vectors().numpy(), ends_E23[:, 1] - ends_E23[:, 0], atol=1e-6)


@pytest.mark.parametrize("name", TWINS)
def test_in_double_precision(layout, name):
    exact = jt.array(layout.vertices_V3, dtype="float64")
    np.testing.assert_allclose(getattr(MeshBatch(layout, exact), name)().numpy(), getattr(layout, TWINS[name]), atol=1e-14)


def test_packed_to_padded_and_back_with_gradients(layout):
    batch, x = MeshBatch(layout), draw(2, len(layout.vertices_V3), 4)
    y = draw(3, *layout.mask_BM.shape, 4)
    value, grad = value_and_grads(batch.padded, (x,), y)
    assert (value == layout.padded(x)).all() and (grad == layout.packed(y)).all()
    assert (batch.packed(batch.padded(jt.array(x))).numpy() == x).all()
    value, grad = value_and_grads(batch.packed, (y,), x)
    assert (value == layout.packed(y)).all() and (grad == layout.padded(x)).all()


def test_a_face_without_area_has_no_normal_and_a_finite_gradient():
    flat = Layout.of([np.array([[0, 0, 0], [1, 0, 0], [2, 0, 0.]])], [[[0, 1, 2], [1, 1, 2]]])
    for name in TWINS:
        y = draw(4, *getattr(flat, TWINS[name]).shape)
        value, grad = value_and_grads(lambda v: getattr(MeshBatch(flat, v), name)(), (np.float32(flat.vertices_V3),), y)
        assert (value == 0).all() or name == "face_areas" and value.max() < 1e-14
        assert np.isfinite(grad).all()


@pytest.mark.parametrize("meshes", [(), (EMPTY,), (EMPTY, (SQUARE[0], None))])
def test_batches_without_any_face(meshes):
    layout = batch_of(*meshes)
    batch = MeshBatch(layout)
    assert (batch.vertex_normals().numpy() == 0).all() and batch.face_areas().numpy().shape == (0,)
    x = draw(5, len(layout.vertices_V3), 2)
    assert (batch.packed(batch.padded(jt.array(x))).numpy() == x).all() and batch.edge_vectors().numpy().shape == (0, 3)


def test_what_does_not_fit_is_refused(layout):
    with pytest.raises(ValueError, match="vertices must have shape .*V = 16"):
        MeshBatch(layout, jt.zeros((15, 3)))
    with pytest.raises(ValueError, match="vertices must be float32 or float64; got int32"):
        MeshBatch(layout, jt.zeros((16, 3), dtype="int32"))
    batch = MeshBatch(layout)
    with pytest.raises(ValueError, match="x must have shape .*V = 16"):
        batch.padded(jt.zeros((15, 2)))
    with pytest.raises(ValueError, match="x must have shape .*B = 4, M = 7"):
        batch.packed(jt.zeros((4, 6, 2)))
