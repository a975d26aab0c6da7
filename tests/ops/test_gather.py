"""gather, interpolate and group_max against numbers by hand, NumPy, and the adjoint law <op(x), y> = <x, grad(y)>."""

import jittor as jt
import numpy as np
import pytest

from ops.gather import gather, group_max, interpolate
from tests.ops.gradients import draw, value_and_grads


def pick(seed, high, *shape):
    return np.random.default_rng(seed).integers(0, high, shape).astype("int32")


def value_and_grad(op, x, y, *rest):
    """op(x) and the gradient of <op(x), y> with respect to x."""
    return value_and_grads(lambda x: op(x, *[jt.array(r) for r in rest]), (x,), y)


def scatter(grad_BRC, idx_BR, sources):
    want = np.zeros((grad_BRC.shape[0], sources, grad_BRC.shape[2]))
    for b, idx_R in enumerate(idx_BR):
        np.add.at(want[b], idx_R, grad_BRC[b].astype(float))
    return want


def test_gather_by_hand():
    feat = np.array([[[1, 2], [3, 4], [5, 6]]], "float32")
    value, grad = value_and_grad(gather, feat, np.ones((1, 2, 2, 2), "float32"), np.array([[[2, 0], [2, 2]]], "int32"))
    assert value.tolist() == [[[[5, 6], [1, 2]], [[5, 6], [5, 6]]]]
    assert grad.tolist() == [[[1, 1], [0, 0], [3, 3]]]


@pytest.mark.parametrize("batch, sources, width", [(1, 1, 1), (3, 40, 5), (2, 17, 130)])
def test_gather_agrees_with_numpy(batch, sources, width):
    feat, idx, y = draw(0, batch, sources, width), pick(1, sources, batch, 9, 4), draw(2, batch, 9, 4, width)
    value, grad = value_and_grad(gather, feat, y, idx)
    assert (value == np.stack([f[i] for f, i in zip(feat, idx)])).all()
    np.testing.assert_allclose(grad, scatter(y.reshape(batch, 36, width), idx.reshape(batch, 36), sources), atol=1e-5)


def test_gather_of_one_index_per_query():
    feat, idx, y = draw(3, 2, 8, 6), pick(4, 8, 2, 5), draw(5, 2, 5, 6)
    value, grad = value_and_grad(gather, feat, y, idx)
    assert (value == np.stack([f[i] for f, i in zip(feat, idx)])).all()
    np.testing.assert_allclose(grad, scatter(y, idx, 8), atol=1e-6)


def test_interpolate_by_hand():
    # (1 * 10 + 2 * 1) / 3 = 4
    feat = np.array([[[10], [1], [7]]], "float32")
    idx, weight = np.array([[[0, 1, 1]]], "int32"), np.array([[[1 / 3, 1 / 3, 1 / 3]]], "float32")
    value, grad = value_and_grad(interpolate, feat, np.full((1, 1, 1), 6, "float32"), idx, weight)
    np.testing.assert_allclose(value, [[[4]]], rtol=1e-6)
    np.testing.assert_allclose(grad, [[[2], [4], [0]]], rtol=1e-6)


@pytest.mark.parametrize("width", [3, 64, 200])
def test_interpolate_agrees_with_numpy(width):
    feat, idx, weight, y = draw(6, 2, 30, width), pick(7, 30, 2, 50, 3), draw(8, 2, 50, 3), draw(9, 2, 50, width)
    value, grad = value_and_grad(interpolate, feat, y, idx, weight)
    rows = np.stack([f[i] for f, i in zip(feat, idx)]).astype(float)
    np.testing.assert_allclose(value, (rows * weight[..., None]).sum(2), atol=1e-5)
    pulled = (y[:, :, None] * weight[..., None].astype(float)).reshape(2, 150, width)
    np.testing.assert_allclose(grad, scatter(pulled, idx.reshape(2, 150), 30), atol=1e-5)


def test_group_max_by_hand():
    x = np.array([[[[1, 5], [3, 5], [2, 4]]]], "float32")
    value, grad = value_and_grad(group_max, x, np.array([[[10, 20]]], "float32"))
    assert value.tolist() == [[[3, 5]]]
    assert grad.tolist() == [[[[0, 20], [10, 0], [0, 0]]]]  # the tie of 5 goes to k = 0


@pytest.mark.parametrize("k, width", [(1, 4), (7, 33), (16, 64)])
def test_group_max_agrees_with_numpy(k, width):
    x, y = draw(10, 2, 11, k, width), draw(11, 2, 11, width)
    value, grad = value_and_grad(group_max, x, y)
    assert (value == x.max(2)).all()
    want = np.zeros_like(x)
    np.put_along_axis(want, x.argmax(2)[:, :, None], y[:, :, None], axis=2)
    assert (grad == want).all()


def test_permuting_neighbours_leaves_the_maximum():
    x = draw(12, 1, 5, 9, 7)
    value = group_max(jt.array(x)).numpy()
    assert (group_max(jt.array(x[:, :, ::-1].copy())).numpy() == value).all()


def test_gradients_are_equal_in_two_runs():
    feat, idx, y = draw(13, 1, 4, 70), pick(14, 4, 1, 500), draw(15, 1, 500, 70)
    weight = draw(16, 1, 500, 1)
    for op, rest in ((gather, [idx]), (interpolate, [idx[..., None], weight])):
        first, second = (value_and_grad(op, feat, y, *rest)[1] for _ in range(2))
        assert (first == second).all()


def test_the_number_of_threads_changes_nothing(with_threads):
    feat, idx, weight, y = draw(17, 3, 40, 150), pick(18, 40, 3, 90, 3), draw(19, 3, 90, 3), draw(20, 3, 90, 150)
    one, two = (with_threads(threads, value_and_grad, interpolate, feat, y, idx, weight) for threads in (1, 2))
    assert all((a == b).all() for a, b in zip(one, two))


@pytest.mark.gpu
@pytest.mark.parametrize("width", [5, 64, 200])
def test_cuda_agrees_with_the_cpu(on_both, width):
    feat, idx, weight = draw(21, 3, 40, width), pick(22, 40, 3, 50, 3), draw(23, 3, 50, 3)
    cases = [(gather, feat, draw(24, 3, 50, 3, width), idx), (interpolate, feat, draw(25, 3, 50, width), idx, weight),
             (group_max, draw(26, 2, 9, 7, width), draw(27, 2, 9, width))]
    for case in cases:
        for cpu, cuda in zip(*on_both(value_and_grad, *case)):
            np.testing.assert_allclose(cuda, cpu, atol=1e-5)
    first, second = (on_both(value_and_grad, *cases[1])[1][1] for _ in range(2))
    assert (first == second).all()


@pytest.mark.parametrize("wrong", [-1, 4])
def test_an_index_out_of_range_is_refused(wrong):
    feat, idx = jt.ones((1, 4, 2)), jt.array(np.array([[0, wrong]], "int32"))
    with pytest.raises(RuntimeError, match="but there are 4 sources"):
        gather(feat, idx).sync()
    with pytest.raises(RuntimeError, match="but there are 4 sources"):
        interpolate(feat, idx.reshape((1, 1, 2)), jt.ones((1, 1, 2))).sync()


def test_wrong_shapes_and_types_are_refused():
    feat, idx = jt.zeros((2, 4, 3)), jt.zeros((2, 5, 3), dtype="int32")
    with pytest.raises(ValueError, match="feat must have shape"):
        gather(feat[0], idx)
    with pytest.raises(ValueError, match="idx must have shape"):
        gather(feat, idx[:1])
    with pytest.raises(ValueError, match="idx must be int32; got float32"):
        gather(feat, jt.zeros((2, 5, 3)))
    with pytest.raises(ValueError, match="weight must have shape .*K = 3"):
        interpolate(feat, idx, jt.zeros((2, 5, 2)))
    with pytest.raises(ValueError, match="x must have shape"):
        group_max(feat)
    with pytest.raises(ValueError, match="x must be float32"):
        group_max(jt.zeros((1, 2, 2, 2), dtype="int32"))
