"""A constant sparse matrix times rows of values, with gradients: what gathers, differences and Laplacians of a mesh are.

Letters: R rows, S sources, C channels, E entries. float32, and float64 by which gradients are checked.
Each row is summed by one thread in the order of its entries, and so is each row of the gradient: the same bits with any number of threads.
The CUDA text has not yet run on a GPU.
"""

import jittor as jt
import numpy as np
from scipy.sparse import csr_matrix

from ops.kernels import require, require_real, require_shape

# in: start (R + 1), column (E), weight (E), values (S, C); out: (R, C)
_TIMES = """
    const long rows = out0_shape0, width = out0_shape1;
    #pragma omp parallel for schedule(static)
    for (long r = 0; r < rows; r++) {
        out0_type* __restrict__ to = out0_p + r * width;
        for (long c = 0; c < width; c++) to[c] = 0;
        for (long e = in0_p[r]; e < in0_p[r + 1]; e++) {
            const out0_type* __restrict__ from = in3_p + in1_p[e] * width;
            for (long c = 0; c < width; c++) to[c] += in2_p[e] * from[c];
        }
    }
"""
_TIMES_CUDA = """
__global__ static void sparse_times(@ARGS_DEF) {
    @PRECALC
    const long long width = out0_shape1, at = blockIdx.x * (long long)blockDim.x + threadIdx.x, r = at / width;
    if (r >= out0_shape0) return;
    out0_type sum = 0;
    for (int e = in0_p[r]; e < in0_p[r + 1]; e++) sum += in2_p[e] * in3_p[in1_p[e] * width + at % width];
    out0_p[at] = sum;
}
sparse_times<<<(out0_shape0 * (long long)out0_shape1 + 255) / 256, 256>>>(@ARGS);
"""


class _Times(jt.Function):
    def execute(self, values_SC, matrix):
        self.matrix = matrix
        return _multiply(matrix, values_SC)

    def grad(self, grad_RC):
        return _multiply(csr_matrix(self.matrix.T), grad_RC), None


def _multiply(matrix: csr_matrix, values_SC: jt.Var) -> jt.Var:
    start, column = (jt.array(np.asarray(x, np.int32)) for x in (matrix.indptr, matrix.indices))
    weight = jt.array(matrix.data.astype(str(values_SC.dtype)), dtype=values_SC.dtype)
    return jt.code((matrix.shape[0], values_SC.shape[1]), values_SC.dtype, [start, column, weight, values_SC],
                   cpu_src=_TIMES, cuda_src=_TIMES_CUDA)


def sparse_times(matrix: csr_matrix, values_SC: jt.Var) -> jt.Var:
    """matrix @ values, (R, C). matrix: scipy csr (R, S), a constant of at least one entry; gradients flow to the values.

    Raises: ValueError for shapes that do not fit, a matrix without entries, and values that are no floats.
    """
    require_shape(values_SC, "SC", "values", S=matrix.shape[1])
    require_real(values_SC, "values")
    require(matrix.nnz > 0, "the sparse matrix has no entries")
    return _Times()(values_SC, matrix)


def differences(pair_X2: np.ndarray, count: int) -> csr_matrix:
    """(X, count): value[first] - value[second] of each pair of row numbers."""
    sign_X2 = np.broadcast_to([1.0, -1.0], pair_X2.shape)
    return csr_matrix((sign_X2.ravel(), pair_X2.ravel(), 2 * np.arange(len(pair_X2) + 1)), shape=(len(pair_X2), count))
