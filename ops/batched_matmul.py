"""Batched matrix product. Letters: N, K, M rows, inner size and columns.

Jittor 1.3.11's own batched product on the CPU is a broadcast and a sum, several times slower than oneDNN (benchmarks/bench_kernels.py).
"""

import jittor as jt

from ops.kernels import SGEMM_HEADER, has_sgemm, require, require_float

# Rows in blocks that the shape alone decides, each one thread's (oneDNN runs single-threaded inside a parallel region): with threads of
# its own oneDNN adds up in another order on some machines, and a rig would depend on their number.
_SGEMM = """
const long batch = in0_shape0, rows = out0_shape1, columns = out0_shape2;
const bool flip_a = data["trans_a"] != 0, flip_b = data["trans_b"] != 0;
const long inner = flip_a ? in0_shape1 : in0_shape2, size_a = in0_shape1 * in0_shape2, size_b = in1_shape1 * in1_shape2;
const long lda = in0_shape2, ldb = in1_shape2, block = row_block(rows), blocks = (rows + block - 1) / block;
#pragma omp parallel for schedule(static)
for (long part = 0; part < batch * blocks; part++) {
    const long i = part / blocks, first = part % blocks * block;
    dnnl_sgemm(flip_a ? 'T' : 'N', flip_b ? 'T' : 'N', std::min(block, rows - first), columns, inner, 1.f,
               in0_p + i * size_a + first * (flip_a ? 1 : lda), lda, in1_p + i * size_b, ldb, 0.f,
               out0_p + (i * rows + first) * columns, columns);
}
"""


def _product(a, b, trans_a, trans_b):
    rows, columns = a.shape[2 if trans_a else 1], b.shape[1 if trans_b else 2]
    return jt.code((a.shape[0], rows, columns), "float32", [a, b], cpu_header=SGEMM_HEADER, cpu_src=_SGEMM,
                   data={"trans_a": float(trans_a), "trans_b": float(trans_b)})


class _Bmm(jt.Function):
    def execute(self, a, b, trans_a, trans_b):
        self.saved = a, b, trans_a, trans_b
        return _product(a, b, trans_a, trans_b)

    def grad(self, grad):
        a, b, trans_a, trans_b = self.saved
        # c = op(a) op(b):  d op(a) = g op(b)^T, d op(b) = op(a)^T g; a transposed operand takes the transposed of that
        grad_a = _product(b, grad, trans_b, True) if trans_a else _product(grad, b, False, not trans_b)
        grad_b = _product(grad, a, True, trans_a) if trans_b else _product(a, grad, not trans_a, False)
        return grad_a, grad_b, None, None


def bmm(a: jt.Var, b: jt.Var, trans_a: bool = False, trans_b: bool = False) -> jt.Var:
    """out[i] = op(a[i]) @ op(b[i]) with op the transposition of the last two axes where trans_a or trans_b says so.

    In:  a (.., N, K), or (.., K, N) when trans_a; b (.., K, M), or (.., M, K) when trans_b; float32; equal leading axes, at least one.
    Out: (.., N, M) float32, gradients to both.
    Raises: ValueError on other shapes or dtypes.
    """
    require_float(a, "a")
    require_float(b, "b")
    shapes = f"got a {tuple(a.shape)}, b {tuple(b.shape)}, trans_a {trans_a}, trans_b {trans_b}"
    require(len(a.shape) >= 3 and a.shape[:-2] == b.shape[:-2], f"bmm needs equal leading axes; {shapes}")
    inner_a, inner_b = a.shape[-2 if trans_a else -1], b.shape[-1 if trans_b else -2]
    require(inner_a == inner_b, f"bmm needs equal inner sizes, not {inner_a} and {inner_b}; {shapes}")
    if not has_sgemm():
        return jt.matmul(a.transpose(-1, -2) if trans_a else a, b.transpose(-1, -2) if trans_b else b)
    flat_a, flat_b = a.reshape((-1, *a.shape[-2:])), b.reshape((-1, *b.shape[-2:]))
    out = _Bmm.apply(flat_a, flat_b, bool(trans_a), bool(trans_b))
    return out.reshape((*a.shape[:-2], *out.shape[1:]))
