"""layer_norm against numbers by hand, float64 NumPy values and gradients, and its laws."""

import jittor as jt
import numpy as np
import pytest

import ops.norm
from ops.norm import layer_norm
from tests.ops.gradients import draw, value_and_grads


@pytest.fixture(params=["fused", "plain"])
def backend(request, monkeypatch):
    """The kernel, and Jittor's own operators that stand in for it on CUDA."""
    monkeypatch.setattr(ops.norm, "on_cpu", lambda: request.param == "fused")


def run(x, weight, bias, y, eps=1e-5):
    return value_and_grads(lambda *inputs: layer_norm(*inputs, eps), (x, weight, bias), y)


def twin(x, weight, bias, y, eps=1e-5):
    x, weight, bias, y = (v.astype(float) for v in (x, weight, bias, y))
    inverse = 1 / np.sqrt(x.var(-1, keepdims=True) + eps)
    n = (x - x.mean(-1, keepdims=True)) * inverse
    g = y * weight
    dx = inverse * (g - g.mean(-1, keepdims=True) - n * (g * n).mean(-1, keepdims=True))
    lead = tuple(range(x.ndim - 1))
    return n * weight + bias, dx, (y * n).sum(lead), y.sum(lead)


def test_by_hand(backend):
    # mean 2, deviation 1 (eps 0): -1 and 1, then times 2 and plus 3
    out, _, dweight, dbias = run(np.array([[1, 3]], "float32"), np.full(2, 2, "float32"), np.full(2, 3, "float32"),
                                 np.array([[10, 20]], "float32"), 0.0)
    np.testing.assert_allclose(out, [[1, 5]], rtol=1e-6)
    np.testing.assert_allclose(dweight, [-10, 20], rtol=1e-6)
    assert dbias.tolist() == [10, 20]


@pytest.mark.parametrize("shape", [(1, 1), (5,), (3, 7), (2, 33, 64), (200, 19)])
def test_agrees_with_twin(backend, shape):
    width = shape[-1]
    args = 3 + 2 * draw(0, *shape), draw(1, width), draw(2, width), draw(3, *shape)
    for got, want in zip(run(*args), twin(*args)):
        assert got.shape == want.shape
        np.testing.assert_allclose(got, want, atol=5e-5, rtol=1e-4)


def test_shift_and_scale_of_the_input_change_nothing():
    x, one, zero = draw(4, 6, 32), np.ones(32, "float32"), np.zeros(32, "float32")
    out = layer_norm(*map(jt.array, (x, one, zero))).numpy()
    np.testing.assert_allclose(layer_norm(*map(jt.array, (7 * x + 5, one, zero))).numpy(), out, atol=1e-4)
    np.testing.assert_allclose(out.mean(-1), 0, atol=1e-6)


def test_a_constant_row_gives_the_bias_and_a_finite_gradient():
    out, dx, _, _ = run(np.full((2, 8), 4, "float32"), draw(5, 8), draw(6, 8), draw(7, 2, 8))
    np.testing.assert_allclose(out, np.tile(draw(6, 8), (2, 1)))
    assert np.isfinite(dx).all()


def test_not_a_number_stays_visible():
    x = draw(8, 3, 20)
    x[1, 4] = np.nan
    out = layer_norm(jt.array(x), jt.ones(20), jt.zeros(20)).numpy()
    assert np.isnan(out[1]).all() and np.isfinite(out[[0, 2]]).all()


def test_two_runs_are_equal():
    args = draw(9, 130, 40), draw(10, 40), draw(11, 40), draw(12, 130, 40)
    assert all((a == b).all() for a, b in zip(run(*args), run(*args)))


def test_refuses_wrong_shapes_and_types():
    with pytest.raises(ValueError, match=r"weight must have shape \(C\), C = 4; got \(3,\)"):
        layer_norm(jt.zeros((2, 4)), jt.zeros(3), jt.zeros(4))
    with pytest.raises(ValueError, match="bias must have shape"):
        layer_norm(jt.zeros((2, 4)), jt.zeros(4), jt.zeros((4, 1)))
    with pytest.raises(ValueError, match="x must be float32"):
        layer_norm(jt.zeros((2, 4), dtype="int32"), jt.zeros(4), jt.zeros(4))
