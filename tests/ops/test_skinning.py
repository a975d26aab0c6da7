"""linear_blend_skinning against a bent arm by hand, float64 NumPy values and gradients, and its laws."""

import jittor as jt
import numpy as np
import pytest

from ops.skinning import linear_blend_skinning
from tests.ops.gradients import draw, value_and_grads


def draw_skin(seed, *shape):
    skin = np.exp(draw(seed, *shape))
    return skin / skin.sum(-1, keepdims=True)


def run(vertices, skin, transforms, y):
    return value_and_grads(linear_blend_skinning, (vertices, skin, transforms), y)


def twin(vertices, skin, transforms, y):
    vertices, skin, transforms, y = (x.astype(float) for x in (vertices, skin, transforms, y))
    per_joint = np.einsum("bjxy,bvy->bvjx", transforms[..., :3], vertices) + transforms[:, None, :, :, 3]
    dvertices = np.einsum("bvx,bvj,bjxy->bvy", y, skin, transforms[..., :3])
    homogeneous = np.concatenate([vertices, np.ones_like(vertices[..., :1])], -1)
    return ((skin[..., None] * per_joint).sum(2), dvertices, np.einsum("bvx,bvjx->bvj", y, per_joint),
            np.einsum("bvx,bvj,bvy->bjxy", y, skin, homogeneous))


def test_by_hand():
    # Joint 0 stays, joint 1 turns by 90 degrees about z and rises by 2: (1, 0, 0) -> (0, 1, 2); half and half -> (.5, .5, 1).
    stay = np.eye(4)[:3]
    turn = np.array([[0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 2]])
    out = linear_blend_skinning(jt.array(np.tile(np.array([1, 0, 0], "float32"), (1, 3, 1))),
                                jt.array(np.array([[[1, 0], [0, 1], [0.5, 0.5]]], "float32")),
                                jt.array(np.stack([stay, turn])[None].astype("float32"))).numpy()
    np.testing.assert_allclose(out, [[[1, 0, 0], [0, 1, 2], [0.5, 0.5, 1]]], atol=1e-6)


@pytest.mark.parametrize("batch, vertices, joints", [(1, 1, 1), (2, 30, 22), (1, 7, 52)])
def test_agrees_with_twin(batch, vertices, joints):
    args = (draw(0, batch, vertices, 3), draw_skin(1, batch, vertices, joints), draw(2, batch, joints, 3, 4), draw(3, batch, vertices, 3))
    for got, want in zip(run(*args), twin(*args)):
        np.testing.assert_allclose(got, want, atol=2e-5)


def test_one_rigid_motion_for_all_joints_is_that_motion():
    turn = np.linalg.qr(np.random.default_rng(4).normal(size=(3, 3)))[0]
    transform = np.concatenate([turn, [[1], [2], [3]]], 1).astype("float32")
    vertices = draw(5, 1, 40, 3)
    out = linear_blend_skinning(jt.array(vertices), jt.array(draw_skin(6, 1, 40, 9)), jt.array(np.tile(transform, (1, 9, 1, 1)))).numpy()
    np.testing.assert_allclose(out, vertices @ turn.T + [1, 2, 3], atol=1e-5)


def test_permuting_joints_changes_nothing():
    vertices, skin, transforms = draw(7, 1, 20, 3), draw_skin(8, 1, 20, 6), draw(9, 1, 6, 3, 4)
    order = [3, 1, 0, 5, 4, 2]
    out = linear_blend_skinning(*map(jt.array, (vertices, skin, transforms))).numpy()
    moved = linear_blend_skinning(*map(jt.array, (vertices, skin[..., order].copy(), transforms[:, order].copy()))).numpy()
    np.testing.assert_allclose(moved, out, atol=1e-5)


@pytest.mark.parametrize("vertices, skin, transforms, message", [
    ((1, 5, 2), (1, 5, 4), (1, 4, 3, 4), "vertices must have shape"), ((1, 5, 3), (1, 6, 4), (1, 4, 3, 4), "skin must have shape .*V = 5"),
    ((1, 5, 3), (1, 5, 4), (1, 4, 4, 4), "transforms must have shape .*J = 4"), ((2, 5, 3), (2, 5, 4), (1, 4, 3, 4), "B = 2")])
def test_refuses_shapes_that_do_not_fit(vertices, skin, transforms, message):
    with pytest.raises(ValueError, match=message):
        linear_blend_skinning(jt.zeros(vertices), jt.zeros(skin), jt.zeros(transforms))


def test_refuses_integers():
    with pytest.raises(ValueError, match="skin must be float32"):
        linear_blend_skinning(jt.zeros((1, 5, 3)), jt.zeros((1, 5, 4), dtype="int32"), jt.zeros((1, 4, 3, 4)))
