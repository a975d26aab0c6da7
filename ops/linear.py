"""Linear layer: one matrix product forward with the bias under it, one kernel backward. Letters: R rows, C inputs, D outputs."""

import jittor as jt

from ops.kernels import SGEMM_HEADER, has_sgemm, require_float, require_shape

_HEADER = SGEMM_HEADER + "#include <vector>\n"

# By blocks of rows: the bias is written first and the product added to it (beta = 1).
_FORWARD = """
const long rows = in0_shape0, inputs = in0_shape1, outputs = in1_shape0, block = row_block(rows);
#pragma omp parallel for schedule(static)
for (long first = 0; first < rows; first += block) {
    const long count = std::min(block, rows - first);
    const float* __restrict__ bias = in2_p;
    for (long row = first; row < first + count; row++) {
        float* __restrict__ y = out0_p + row * outputs;
        for (long d = 0; d < outputs; d++) y[d] = bias[d];
    }
    dnnl_sgemm('N', 'T', count, outputs, inputs, 1.f, in0_p + first * inputs, inputs, in1_p, inputs, 1.f,
               out0_p + first * outputs, outputs);
}
"""

# dX = dY W by blocks of rows, dW = dY^T X by quarters of its rows, db = sum_R dY through 64 partial sums over fixed ranges of rows: nothing
# of it depends on the number of threads.
_BACKWARD = """
const long rows = in0_shape0, inputs = in0_shape1, outputs = in1_shape0, parts = std::min(rows, 64l);
std::vector<float> partial(parts * outputs, 0.f);
#pragma omp parallel for schedule(static)
for (long part = 0; part < parts; part++) {
    const long first = rows * part / parts, last = rows * (part + 1) / parts;
    float* __restrict__ sum = &partial[part * outputs];
    for (long row = first; row < last; row++) {
        const float* __restrict__ dy = in2_p + row * outputs;
        for (long d = 0; d < outputs; d++) sum[d] += dy[d];
    }
}
for (long d = 0; d < outputs; d++) out2_p[d] = 0.f;
for (long part = 0; part < parts; part++)
    for (long d = 0; d < outputs; d++) out2_p[d] += partial[part * outputs + d];
const long block = row_block(rows), quarter = std::max(16l, (outputs + 3) / 4);
#pragma omp parallel for schedule(static)
for (long first = 0; first < rows; first += block)
    dnnl_sgemm('N', 'N', std::min(block, rows - first), inputs, outputs, 1.f, in2_p + first * outputs, outputs, in1_p, inputs, 0.f,
               out0_p + first * inputs, inputs);
#pragma omp parallel for schedule(static)
for (long first = 0; first < outputs; first += quarter)
    dnnl_sgemm('T', 'N', std::min(quarter, outputs - first), inputs, rows, 1.f, in2_p + first, outputs, in0_p, inputs, 0.f,
               out1_p + first * inputs, inputs);
"""


class _Linear(jt.Function):
    def execute(self, x_RC, weight_DC, bias_D):
        self.x_RC, self.weight_DC = x_RC, weight_DC
        return jt.code((x_RC.shape[0], weight_DC.shape[0]), "float32", [x_RC, weight_DC, bias_D], cpu_header=_HEADER, cpu_src=_FORWARD)

    def grad(self, grad_RD):
        shapes = [self.x_RC.shape, self.weight_DC.shape, (self.weight_DC.shape[0],)]
        return jt.code(shapes, ["float32"] * 3, [self.x_RC, self.weight_DC, grad_RD], cpu_header=_HEADER, cpu_src=_BACKWARD)


def linear(x: jt.Var, weight_DC: jt.Var, bias_D: jt.Var) -> jt.Var:
    """y = x W^T + b over the last axis.

    In:  x (.., C), weight_DC, bias_D float32. Out: (.., D) float32, gradients to all three.
    Raises: ValueError on other shapes or dtypes.
    """
    require_shape(weight_DC, "DC", "weight", C=x.shape[-1])
    require_shape(bias_D, "D", "bias", D=weight_DC.shape[0])
    for value, name in ((x, "x"), (weight_DC, "weight"), (bias_D, "bias")):
        require_float(value, name)
    if not has_sgemm():
        return jt.nn.matmul_transpose(x, weight_DC) + bias_D
    return _Linear.apply(x.reshape((-1, x.shape[-1])), weight_DC, bias_D).reshape((*x.shape[:-1], weight_DC.shape[0]))
