"""local_attention against a float64 loop: values, gradients by central differences, repeatability, refusals."""

import jittor as jt
import numpy as np
import pytest

from ops.local_attention import local_attention


def twin(q, k, v, idx, heads):
    out = np.zeros(q.shape)
    each = q.shape[2] // heads
    for b, n, h in np.ndindex(q.shape[0], q.shape[1], heads):
        cut = slice(h * each, (h + 1) * each)
        score = k[b, idx[b, n], cut] @ q[b, n, cut] / np.sqrt(each)
        weight = np.exp(score - score.max())
        out[b, n, cut] = weight / weight.sum() @ v[b, idx[b, n], cut]
    return out


@pytest.fixture
def example():
    rng = np.random.default_rng(0)
    q, k, v = rng.normal(size=(2, 5, 8)), rng.normal(size=(2, 7, 8)), rng.normal(size=(2, 7, 8))
    return q, k, v, rng.integers(0, 7, size=(2, 5, 3)), rng.normal(size=(2, 5, 8))


def as_vars(*arrays):
    return [jt.array(a.astype("int32" if a.dtype.kind == "i" else "float32")) for a in arrays]


def test_one_neighbour_by_hand():
    q, k = np.ones((1, 1, 2)), np.ones((1, 2, 2))
    v = np.array([[[1.0, 2.0], [5.0, 7.0]]])
    assert local_attention(*as_vars(q, k, v, np.array([[[1]]])), 1).numpy().tolist() == [[[5.0, 7.0]]]
    assert local_attention(*as_vars(q, k, v, np.array([[[0, 1]]])), 1).numpy().tolist() == [[[3.0, 4.5]]]  # equal scores


def test_agrees_with_twin(example):
    q, k, v, idx, _ = example
    np.testing.assert_allclose(local_attention(*as_vars(q, k, v, idx), 2).numpy(), twin(q, k, v, idx, 2), atol=1e-5)


def test_gradients_against_central_differences(example):
    q, k, v, idx, seed = example
    inputs = as_vars(q, k, v)
    loss = (local_attention(*inputs, *as_vars(idx), 2) * as_vars(seed)[0]).sum()
    for which, grad in enumerate(jt.grad(loss, inputs)):
        want, arrays = np.zeros(inputs[which].shape), [q, k, v]
        for place in np.ndindex(want.shape):
            ends = []
            for step in (1e-5, -1e-5):
                moved = [a.copy() for a in arrays]
                moved[which][place] += step
                ends.append((twin(*moved, idx, 2) * seed).sum())
            want[place] = (ends[0] - ends[1]) / 2e-5
        np.testing.assert_allclose(grad.numpy(), want, atol=1e-4)


def test_repeats_bit_for_bit(example):
    q, k, v, idx, _ = example
    runs = []
    for _ in range(2):
        inputs = as_vars(q, k, v)
        grads = jt.grad(local_attention(*inputs, *as_vars(idx), 2).sqr().sum(), inputs)
        runs.append([g.numpy() for g in grads])
    assert all((a == b).all() for a, b in zip(*runs))


@pytest.mark.parametrize("width, heads", [(64, 2), (40, 2), (96, 2)])
def test_all_widths_of_a_head_agree_with_the_twin_and_its_gradient(width, heads):
    # E = 32 has a text of its own; 20 and 48 leave a rest beside whole sixteens. d out / d v is linear: <out, y> = <v, grad>
    rng = np.random.default_rng(1)
    q, k, v, y = (rng.normal(size=(2, count, width)) for count in (9, 11, 11, 9))
    idx = rng.integers(0, 11, size=(2, 9, 5))
    inputs = as_vars(q, k, v)
    out = local_attention(*inputs, *as_vars(idx), heads)
    np.testing.assert_allclose(out.numpy(), twin(q, k, v, idx, heads), atol=1e-5)
    grads = [g.numpy().astype(float) for g in jt.grad((out * as_vars(y)[0]).sum(), inputs)]
    assert np.isclose((grads[2] * v).sum(), (out.numpy() * y).sum(), rtol=1e-4)
    for which, grad in enumerate(grads):
        way, ends = rng.normal(size=grad.shape), []
        for step in (1e-5, -1e-5):
            moved = [a + step * way if place == which else a for place, a in enumerate((q, k, v))]
            ends.append((twin(*moved, idx, heads) * y).sum())
        assert np.isclose((grad * way).sum(), (ends[0] - ends[1]) / 2e-5, rtol=1e-3, atol=1e-3)


def test_the_number_of_threads_changes_nothing(with_threads):
    rng = np.random.default_rng(2)
    q, k, v, idx = (*(rng.normal(size=(2, 50, 64)) for _ in range(3)), rng.integers(0, 50, size=(2, 50, 7)))

    def run():
        inputs = as_vars(q, k, v)
        out = local_attention(*inputs, *as_vars(idx), 2)
        return [x.numpy() for x in (out, *jt.grad(out.sqr().sum(), inputs))]

    assert all((a == b).all() for a, b in zip(with_threads(1, run), with_threads(2, run)))


@pytest.mark.gpu
def test_cuda_agrees_with_the_cpu(example, on_both):
    q, k, v, idx, _ = example

    def run():
        inputs = as_vars(q, k, v)
        out = local_attention(*inputs, *as_vars(idx), 2)
        return [x.numpy() for x in (out, *jt.grad(out.sqr().sum(), inputs))]

    for cpu, cuda in zip(*on_both(run)):
        np.testing.assert_allclose(cuda, cpu, atol=1e-5)


@pytest.mark.parametrize("change, message", [({"heads": 3}, "divide"), ({"idx": (2, 4, 3)}, "idx must be")])
def test_refuses_what_it_cannot_do(example, change, message):
    q, k, v, idx, _ = example
    idx = np.zeros(change["idx"], int) if "idx" in change else idx
    with pytest.raises(ValueError, match=message):
        local_attention(*as_vars(q, k, v, idx), change.get("heads", 2))
