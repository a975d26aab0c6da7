"""A constant sparse matrix times rows: against scipy, with its gradient, and the same bits with any number of threads."""

import jittor as jt
import numpy as np
import pytest
from scipy.sparse import csr_matrix, random

from ops.sparse import sparse_times

MATRIX = csr_matrix(random(40, 30, 0.1, random_state=0))     # some rows and columns are empty


def run(values, y):
    given = jt.array(values)
    out = sparse_times(MATRIX, given)
    return out.numpy(), jt.grad((out * jt.array(y)).sum(), given).numpy()


def inputs():
    rng = np.random.default_rng(1)
    return rng.normal(size=(30, 5)).astype("float32"), rng.normal(size=(40, 5)).astype("float32")


def test_agrees_with_scipy():
    values, y = inputs()
    assert (np.diff(MATRIX.indptr) == 0).any() and (np.diff(csr_matrix(MATRIX.T).indptr) == 0).any()
    out, grad = run(values, y)
    np.testing.assert_allclose(out, MATRIX @ values, atol=1e-6)
    np.testing.assert_allclose(grad, MATRIX.T @ y, atol=1e-6)


def test_the_same_bits_with_any_number_of_threads(with_threads):
    for one, two in zip(with_threads(1, run, *inputs()), with_threads(2, run, *inputs())):
        assert (one == two).all()


@pytest.mark.gpu
def test_gpu_gives_the_same(on_both):
    for cpu, gpu in zip(*on_both(run, *inputs())):
        np.testing.assert_allclose(gpu, cpu, atol=1e-6)


@pytest.mark.parametrize("values, matrix, complaint", [
    (np.zeros((29, 5), "float32"), MATRIX, "S = 30; got"), (np.zeros((30, 5), "int32"), MATRIX, "float32 or float64"),
    (np.zeros((30, 5), "float32"), csr_matrix((40, 30)), "no entries")])
def test_refusals(values, matrix, complaint):
    with pytest.raises(ValueError, match=complaint):
        sparse_times(matrix, jt.array(values))
