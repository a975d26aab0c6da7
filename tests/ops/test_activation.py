"""gelu and softmax against numbers by hand and float64 NumPy values and gradients."""

import jittor as jt
import numpy as np
import pytest
from scipy.special import erf

import ops.activation
from ops.activation import gelu, softmax
from tests.ops.gradients import draw, value_and_grads


@pytest.fixture(params=["fused", "plain"])
def backend(request, monkeypatch):
    """The kernel, and Jittor's own operators that stand in for it on CUDA."""
    monkeypatch.setattr(ops.activation, "on_cpu", lambda: request.param == "fused")


def twin_gelu(x):
    x = x.astype(float)
    return x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def test_gelu_by_hand(backend):
    value, grad = value_and_grads(gelu, (np.array([0, 30, -30], "float32"),), np.array([2, 2, 2], "float32"))
    np.testing.assert_allclose(value, [0, 30, 0], atol=1e-8)
    np.testing.assert_allclose(grad, [1, 2, 0], atol=1e-8)


@pytest.mark.parametrize("shape", [(1,), (3, 5), (2, 3, 4000)])
def test_gelu_agrees_with_twin(backend, shape):
    x, y = 3 * draw(0, *shape), draw(1, *shape)
    value, grad = value_and_grads(gelu, (x,), y)
    np.testing.assert_allclose(value, twin_gelu(x), rtol=2e-6, atol=1e-6)
    step = 1e-5
    slope = (twin_gelu(x.astype(float) + step) - twin_gelu(x.astype(float) - step)) / (2 * step)
    np.testing.assert_allclose(grad, slope * y, atol=2e-5)


def test_gelu_stays_close_to_the_exact_form():
    x = np.linspace(-8, 8, 2001, dtype="float32")
    np.testing.assert_allclose(gelu(jt.array(x)).numpy(), x / 2 * (1 + erf(x / 2**0.5)), atol=5e-4)


def test_softmax_by_hand(backend):
    value, grad = value_and_grads(softmax, (np.log(np.array([[1, 3]], "float32")),), np.array([[0, 8]], "float32"))
    np.testing.assert_allclose(value, [[0.25, 0.75]], rtol=1e-6)
    np.testing.assert_allclose(grad, [[0.25 * -6, 0.75 * 2]], rtol=1e-5)


@pytest.mark.parametrize("shape", [(1,), (7, 1), (4, 22), (2, 3, 100)])
def test_softmax_agrees_with_twin(backend, shape):
    x, y = 4 * draw(2, *shape), draw(3, *shape)
    value, grad = value_and_grads(softmax, (x,), y)
    want = np.exp(x.astype(float) - x.max(-1, keepdims=True))
    want /= want.sum(-1, keepdims=True)
    np.testing.assert_allclose(value, want, rtol=5e-6, atol=1e-7)
    np.testing.assert_allclose(grad, want * (y - (want * y).sum(-1, keepdims=True)), atol=1e-6)
    np.testing.assert_allclose(value.sum(-1), 1, atol=1e-6)


def test_softmax_of_extreme_and_masked_scores():
    x = np.array([[1e4, 0, -1e4], [0, -1e9, -3e38], [5, 5, 5]], "float32")
    np.testing.assert_allclose(softmax(jt.array(x)).numpy(), [[1, 0, 0], [1, 0, 0], [1 / 3] * 3], atol=1e-7)


def test_softmax_permutes_and_ignores_a_shift():
    x, order = draw(4, 5, 37), np.random.default_rng(5).permutation(37)
    y = softmax(jt.array(x)).numpy()
    np.testing.assert_allclose(softmax(jt.array(x[:, order] + 3)).numpy(), y[:, order], rtol=1e-5)


@pytest.mark.parametrize("op", [gelu, softmax])
def test_not_a_number_stays_visible_and_two_runs_are_equal(op):
    x = draw(6, 3, 50)
    x[1, 7] = np.nan
    first, second = op(jt.array(x)).numpy(), op(jt.array(x)).numpy()
    assert np.isnan(first[1, 7]) and np.isfinite(first[[0, 2]]).all()
    assert np.array_equal(first, second, equal_nan=True)


def test_other_types_are_refused():
    for op in (gelu, softmax):
        with pytest.raises(ValueError, match="x must be float32; got int32"):
            op(jt.zeros((2, 2), dtype="int32"))
    with pytest.raises(ValueError, match="last axis"):
        softmax(jt.zeros((2, 0)))
