"""Layer normalisation in one pass forward and one backward. Letters: R rows, C channels.

Paper: Ba et al., "Layer normalization", 2016. On CUDA Jittor's own operators.
"""

import jittor as jt
from jittor import nn

from ops.kernels import on_cpu, require_float, require_shape

_FORWARD = """
const long rows = in0_shape0, width = in0_shape1;
const float eps = data["eps"];
#pragma omp parallel for schedule(static)
for (long row = 0; row < rows; row++) {
    const float* __restrict__ x = in0_p + row * width;
    float* __restrict__ y = out0_p + row * width;
    float mean = 0.f, square = 0.f;
    for (long c = 0; c < width; c++) mean += x[c];
    mean /= width;
    for (long c = 0; c < width; c++) square += (x[c] - mean) * (x[c] - mean);
    const float inverse = 1.f / std::sqrt(square / width + eps);
    for (long c = 0; c < width; c++) y[c] = (x[c] - mean) * inverse * in1_p[c] + in2_p[c];
    out1_p[row * 2] = mean;
    out1_p[row * 2 + 1] = inverse;
}
"""

# n = (x - mean) inverse, g = dy weight:  dx = inverse (g - mean(g) - n mean(g n)), dweight = sum_R dy n, dbias = sum_R dy.
# The two sums go through 64 partial sums over fixed ranges of rows, so that they do not depend on the number of threads.
_BACKWARD = """
const long rows = in0_shape0, width = in0_shape1, parts = std::min(rows, 64l);
std::vector<float> partial(parts * 2 * width, 0.f);
#pragma omp parallel for schedule(static)
for (long part = 0; part < parts; part++) {
    float* __restrict__ weight_sum = &partial[part * 2 * width];
    float* __restrict__ bias_sum = weight_sum + width;
    for (long row = rows * part / parts; row < rows * (part + 1) / parts; row++) {
        const float* __restrict__ x = in0_p + row * width;
        const float* __restrict__ dy = in1_p + row * width;
        float* __restrict__ dx = out0_p + row * width;
        const float mean = in3_p[row * 2], inverse = in3_p[row * 2 + 1];
        float sum = 0.f, along = 0.f;
        for (long c = 0; c < width; c++) {
            const float n = (x[c] - mean) * inverse, g = dy[c] * in2_p[c];
            sum += g;
            along += g * n;
            weight_sum[c] += dy[c] * n;
            bias_sum[c] += dy[c];
        }
        sum /= width;
        along /= width;
        for (long c = 0; c < width; c++)
            dx[c] = inverse * (dy[c] * in2_p[c] - sum - (x[c] - mean) * inverse * along);
    }
}
for (long c = 0; c < width; c++) out1_p[c] = out2_p[c] = 0.f;
for (long part = 0; part < parts; part++)
    for (long c = 0; c < width; c++) {
        out1_p[c] += partial[part * 2 * width + c];
        out2_p[c] += partial[part * 2 * width + width + c];
    }
"""


class _LayerNorm(jt.Function):
    def execute(self, x_RC, weight_C, bias_C, eps):
        self.x_RC, self.weight_C = x_RC, weight_C
        y_RC, self.moments_R2 = jt.code([x_RC.shape, (x_RC.shape[0], 2)], ["float32"] * 2, [x_RC, weight_C, bias_C],
                                        cpu_header="#include <cmath>", cpu_src=_FORWARD, data={"eps": eps})
        return y_RC

    def grad(self, grad_RC):
        shapes = [self.x_RC.shape, self.weight_C.shape, self.weight_C.shape]
        grads = jt.code(shapes, ["float32"] * 3, [self.x_RC, grad_RC, self.weight_C, self.moments_R2],
                        cpu_header="#include <vector>\n#include <algorithm>", cpu_src=_BACKWARD)
        return (*grads, None)


def layer_norm(x: jt.Var, weight_C: jt.Var, bias_C: jt.Var, eps: float = 1e-5) -> jt.Var:
    """y = (x - mean) / sqrt(var + eps) * weight + bias, with mean and (biased) variance over the last axis.

    In:  x (.., C), weight_C, bias_C float32.
    Out: (.., C) float32, gradients to all three.
    Raises: ValueError on other shapes or dtypes.
    """
    require_shape(weight_C, "C", "weight", C=x.shape[-1])
    require_shape(bias_C, "C", "bias", C=x.shape[-1])
    for value, name in ((x, "x"), (weight_C, "weight"), (bias_C, "bias")):
        require_float(value, name)
    if not on_cpu():
        return jt.nn.layer_norm(x, (x.shape[-1],), weight_C, bias_C, eps)
    return _LayerNorm.apply(x.reshape((-1, x.shape[-1])), weight_C, bias_C, float(eps)).reshape(x.shape)


class LayerNorm(nn.Module):
    """layer_norm with its weight (ones) and bias (zeros) as parameters. Shapes: (.., C) -> (.., C)."""

    def __init__(self, width: int):
        super().__init__()
        self.weight = jt.ones((width,))
        self.bias = jt.zeros((width,))

    def execute(self, x: jt.Var) -> jt.Var:
        return layer_norm(x, self.weight, self.bias)
