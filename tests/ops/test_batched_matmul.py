"""bmm against a product by hand and NumPy's float64 products and gradients, with oneDNN and without."""

import itertools

import jittor as jt
import numpy as np
import pytest

import ops.batched_matmul
from ops.batched_matmul import bmm
from tests.ops.gradients import draw, value_and_grads


def run(a, b, y, trans_a, trans_b):
    return value_and_grads(lambda a, b: bmm(a, b, trans_a, trans_b), (a, b), y)


def turn(x, flag):
    return np.swapaxes(x, -1, -2) if flag else x


def test_by_hand():
    a, b = np.array([[[1, 2]], [[3, 4]]], "float32"), np.array([[[5], [6]], [[7], [8]]], "float32")
    out, grad_a, grad_b = run(a, b, np.array([[[1]], [[10]]], "float32"), False, False)
    assert out.tolist() == [[[17]], [[53]]]
    assert grad_a.tolist() == [[[5, 6]], [[70, 80]]]
    assert grad_b.tolist() == [[[1], [2]], [[30], [40]]]


@pytest.mark.parametrize("with_onednn", [True, False])
@pytest.mark.parametrize("trans_a, trans_b", itertools.product([False, True], repeat=2))
@pytest.mark.parametrize("lead, sizes", [((3,), (4, 5, 6)), ((2, 3), (17, 1, 9)), ((1,), (1, 1, 1)), ((1,), (70, 40, 50))])
def test_agrees_with_numpy(lead, sizes, trans_a, trans_b, with_onednn, monkeypatch):
    if with_onednn and not ops.batched_matmul.has_sgemm():
        pytest.skip("no oneDNN here")
    monkeypatch.setattr(ops.batched_matmul, "has_sgemm", lambda: with_onednn)
    rows, inner, columns = sizes
    a, b, y = draw(0, *lead, rows, inner), draw(1, *lead, inner, columns), draw(2, *lead, rows, columns)
    out, grad_a, grad_b = run(turn(a, trans_a).copy(), turn(b, trans_b).copy(), y, trans_a, trans_b)
    a, b, y = a.astype(float), b.astype(float), y.astype(float)
    np.testing.assert_allclose(out, a @ b, atol=1e-4)
    np.testing.assert_allclose(grad_a, turn(y @ turn(b, True), trans_a), atol=1e-4)
    np.testing.assert_allclose(grad_b, turn(turn(a, True) @ y, trans_b), atol=1e-4)


def test_two_runs_are_equal():
    a, b, y = draw(3, 5, 30, 40), draw(4, 5, 40, 20), draw(5, 5, 30, 20)
    first, second = run(a, b, y, False, False), run(a, b, y, False, False)
    assert all((x == z).all() for x, z in zip(first, second))


@pytest.mark.parametrize("a, b, flags, message", [
    ((2, 3, 4), (2, 5, 6), {}, "not 4 and 5"), ((2, 3, 4), (3, 4, 5), {}, "equal leading axes"), ((3, 4), (4, 5), {}, "leading axes"),
    ((2, 3, 4), (2, 4, 5), {"trans_a": True}, "not 3 and 4"), ((2, 3, 4), (2, 4, 5), {"trans_b": True}, "not 4 and 5")])
def test_refuses_shapes_that_do_not_fit(a, b, flags, message):
    with pytest.raises(ValueError, match=message):
        bmm(jt.zeros(a), jt.zeros(b), **flags)


def test_refuses_integers():
    with pytest.raises(ValueError, match="b must be float32"):
        bmm(jt.zeros((1, 2, 2)), jt.zeros((1, 2, 2), dtype="int32"))
