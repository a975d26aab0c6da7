"""attention against numbers by hand and a float64 NumPy twin with its gradients, in both layouts, with oneDNN and without."""

import jittor as jt
import numpy as np
import pytest

import ops.attention
from ops.attention import attention, multi_head_attention
from tests.ops.gradients import draw, value_and_grads


def run(op, q, k, v, y, *rest):
    """[out, dq, dk, dv] of <out, y>."""
    return value_and_grads(lambda *inputs: op(*inputs, *rest), (q, k, v), y)


def twin(q, k, v, y):
    q, k, v, y = (x.astype(float) for x in (q, k, v, y))
    scale = q.shape[-1] ** -0.5
    score = q @ np.swapaxes(k, -1, -2) * scale
    p = np.exp(score - score.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    dp = y @ np.swapaxes(v, -1, -2)
    ds = p * (dp - (p * dp).sum(-1, keepdims=True)) * scale
    return p @ v, ds @ k, np.swapaxes(ds, -1, -2) @ q, np.swapaxes(p, -1, -2) @ y


def pack(x_BHNE):
    batch, heads, rows, width = x_BHNE.shape
    return np.ascontiguousarray(x_BHNE.transpose(0, 2, 1, 3).reshape(batch, rows, heads * width))


@pytest.fixture(params=["oneDNN", "plain"])
def backend(request, monkeypatch):
    if request.param == "oneDNN" and not ops.attention.has_sgemm():
        pytest.skip("no oneDNN here")
    monkeypatch.setattr(ops.attention, "has_sgemm", lambda: request.param == "oneDNN")


def test_by_hand(backend):
    # E = 1: scores ln 3 and 0 give shares 3/4 and 1/4
    q, k = np.full((1, 1, 1, 1), np.log(3), "float32"), np.array([1, 0], "float32").reshape(1, 1, 2, 1)
    v = np.array([8, 4], "float32").reshape(1, 1, 2, 1)
    out, dq, _, dv = run(attention, q, k, v, np.ones((1, 1, 1, 1), "float32"))
    np.testing.assert_allclose(out, [[[[7]]]], rtol=1e-6)
    np.testing.assert_allclose(dv.ravel(), [0.75, 0.25], rtol=1e-6)
    np.testing.assert_allclose(dq.ravel(), [0.75 * 8 - 0.75 * 7], rtol=1e-5)


@pytest.mark.parametrize("shape, keys", [((1, 1, 1, 1), 1), ((2, 3, 5, 4), 7), ((1, 2, 52, 16), 64), ((1, 2, 100, 8), 1100)])
def test_agrees_with_twin(backend, shape, keys):
    batch, heads, rows, width = shape
    q, y = draw(0, *shape), draw(1, *shape)
    k, v = draw(2, batch, heads, keys, width), draw(3, batch, heads, keys, width)
    want = twin(q, k, v, y)
    for got, expected in zip(run(attention, q, k, v, y), want):
        np.testing.assert_allclose(got, expected, atol=2e-5)
    for got, expected in zip(run(multi_head_attention, *map(pack, (q, k, v, y)), heads), want):
        np.testing.assert_allclose(got, pack(expected), atol=2e-5)


def test_large_scores_do_not_overflow(backend):
    q, k, v = 60 * draw(4, 1, 1, 6, 8), 60 * draw(5, 1, 1, 9, 8), draw(6, 1, 1, 9, 8)
    out = attention(*map(jt.array, (q, k, v))).numpy()
    np.testing.assert_allclose(out, twin(q, k, v, np.ones_like(q))[0], atol=1e-3)


def test_permuting_keys_changes_nothing_and_permuting_queries_permutes(backend):
    q, k, v = draw(7, 1, 2, 20, 8), draw(8, 1, 2, 30, 8), draw(9, 1, 2, 30, 8)
    order, turn = np.random.default_rng(0).permutation(30), np.random.default_rng(1).permutation(20)
    out = attention(*map(jt.array, (q, k, v))).numpy()
    moved = attention(jt.array(q[:, :, turn]), jt.array(k[:, :, order]), jt.array(v[:, :, order])).numpy()
    np.testing.assert_allclose(moved, out[:, :, turn], atol=1e-6)


def test_identical_keys_share_alike(backend):
    v = draw(10, 1, 1, 5, 3)
    out = attention(jt.array(draw(11, 1, 1, 2, 3)), jt.ones((1, 1, 5, 3)), jt.array(v)).numpy()
    np.testing.assert_allclose(out, np.broadcast_to(v.mean(2, keepdims=True), out.shape), atol=1e-6)


def test_not_a_number_stays_visible(backend):
    for where in range(3):
        inputs = [draw(12 + i, 1, 1, 20, 8) for i in range(3)]
        inputs[where][0, 0, 3, 2] = np.nan
        assert np.isnan(attention(*map(jt.array, inputs)).numpy()).any()


def test_two_runs_are_equal(backend):
    inputs = [draw(20 + i, 3, 2, 40, 16) for i in range(4)]
    first, second = run(attention, *inputs), run(attention, *inputs)
    assert all((a == b).all() for a, b in zip(first, second))


@pytest.mark.parametrize("q, k, v, message", [
    ((1, 2, 5, 4), (1, 2, 6, 4), (1, 2, 7, 4), "k and v the same shape"), ((1, 2, 5, 4), (1, 2, 6, 3), (1, 2, 6, 3), "batch and width"),
    ((1, 2, 5, 4), (2, 2, 6, 4), (2, 2, 6, 4), "batch and width"), ((1, 2, 5, 4), (1, 3, 6, 4), (1, 3, 6, 4), "equally many heads"),
    ((2, 5, 4), (2, 6, 4), (2, 6, 4), "q must have 4 axes")])
def test_refuses_shapes_that_do_not_fit(q, k, v, message):
    with pytest.raises(ValueError, match=message):
        attention(jt.zeros(q), jt.zeros(k), jt.zeros(v))


def test_refuses_heads_that_do_not_divide_and_integers():
    x = jt.zeros((1, 5, 6))
    for heads in (4, 0):
        with pytest.raises(ValueError, match=f"heads must divide the 6 channels; got {heads}"):
            multi_head_attention(x, x, x, heads)
    with pytest.raises(ValueError, match="v must be float32"):
        multi_head_attention(x, x, jt.zeros((1, 5, 6), dtype="int32"), 2)
