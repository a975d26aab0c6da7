"""linear against numbers by hand and NumPy's float64 products and gradients, with oneDNN and without."""

import jittor as jt
import numpy as np
import pytest

import ops.linear
from ops.linear import linear
from tests.ops.gradients import draw, value_and_grads


def run(x, weight, bias, y):
    return value_and_grads(linear, (x, weight, bias), y)


@pytest.fixture(params=["oneDNN", "plain"])
def backend(request, monkeypatch):
    if request.param == "oneDNN" and not ops.linear.has_sgemm():
        pytest.skip("no oneDNN here")
    monkeypatch.setattr(ops.linear, "has_sgemm", lambda: request.param == "oneDNN")


def test_by_hand(backend):
    out, dx, dweight, dbias = run(*(np.array(v, "float32") for v in ([[1, 2]], [[3, 4], [5, 6]], [10, 20], [[1, 10]])))
    assert out.tolist() == [[21, 37]]
    assert dx.tolist() == [[53, 64]]
    assert dweight.tolist() == [[1, 2], [10, 20]] and dbias.tolist() == [1, 10]


@pytest.mark.parametrize("shape, outputs", [((1,), 1), ((5,), 3), ((2, 7, 4), 9), ((1100, 16), 24), ((3, 1, 1), 5)])
def test_agrees_with_numpy(backend, shape, outputs):
    x, weight, bias, y = draw(0, *shape), draw(1, outputs, shape[-1]), draw(2, outputs), draw(3, *shape[:-1], outputs)
    got = run(x, weight, bias, y)
    x, weight, bias, y = (v.astype(float) for v in (x, weight, bias, y))
    flat_x, flat_y = x.reshape(-1, shape[-1]), y.reshape(-1, outputs)
    for value, want in zip(got, (x @ weight.T + bias, y @ weight, flat_y.T @ flat_x, flat_y.sum(0))):
        assert value.shape == want.shape
        np.testing.assert_allclose(value, want, atol=2e-4, rtol=1e-5)


def test_two_runs_are_equal(backend):
    args = draw(4, 700, 40), draw(5, 30, 40), draw(6, 30), draw(7, 700, 30)
    assert all((a == b).all() for a, b in zip(run(*args), run(*args)))


@pytest.mark.parametrize("x, weight, bias, message", [
    ((2, 4), (3, 5), (3,), r"weight must have shape \(D, C\), C = 4"), ((2, 4), (3, 4), (4,), r"bias must have shape \(D\), D = 3")])
def test_refuses_shapes_that_do_not_fit(x, weight, bias, message):
    with pytest.raises(ValueError, match=message):
        linear(jt.zeros(x), jt.zeros(weight), jt.zeros(bias))


def test_refuses_integers():
    with pytest.raises(ValueError, match="x must be float32"):
        linear(jt.zeros((2, 4), dtype="int32"), jt.zeros((3, 4)), jt.zeros(3))
