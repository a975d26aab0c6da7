"""GELU and softmax, fused and vectorised. On CUDA Jittor's own operators of the same formulas."""

import jittor as jt

from ops.kernels import EXP_HEADER, on_cpu, require, require_float

# u = sqrt(2/pi) (x + 0.044715 x^3); (1 + tanh u) / 2 = 1 / (1 + exp(-2u)) = s, so y = x s. Chunks with pointers of their own, because
# gcc forgets what __restrict__ promised once a loop is moved into an OpenMP region, and then does not vectorise.
_GELU_HEADER = EXP_HEADER + """
static inline float gelu_share(float x) { return 1.f / (1.f + exp_fast(-1.5957691216f * (x + .044715f * x * x * x))); }
// From x = 6 on s is 1 in float32, or a rounding below it, which the slope's x^3 would make large.
static inline float gelu_slope(float x, float s) { return x < 6.f ? x * s * (1.f - s) * 1.5957691216f * (1.f + .134145f * x * x) : 0.f; }
"""
_GELU = """
const long size = in0_shape0, chunk = 4096;
#pragma omp parallel for schedule(static)
for (long start = 0; start < size; start += chunk) {
    const float* __restrict__ x = in0_p + start;
    float* __restrict__ y = out0_p + start;
    const long count = std::min(chunk, size - start);
    for (long i = 0; i < count; i++) y[i] = x[i] * gelu_share(x[i]);
}
"""
_GELU_BACK = """
const long size = in0_shape0, chunk = 4096;
#pragma omp parallel for schedule(static)
for (long start = 0; start < size; start += chunk) {
    const float* __restrict__ x = in0_p + start;
    const float* __restrict__ dy = in1_p + start;
    float* __restrict__ dx = out0_p + start;
    const long count = std::min(chunk, size - start);
    for (long i = 0; i < count; i++) {
        const float s = gelu_share(x[i]);
        dx[i] = dy[i] * (s + gelu_slope(x[i], s));
    }
}
"""

_SOFTMAX = """
const long rows = in0_shape0, width = in0_shape1;
#pragma omp parallel for schedule(static)
for (long row = 0; row < rows; row++) {
    const float* __restrict__ x = in0_p + row * width;
    float* __restrict__ y = out0_p + row * width;
    float most = x[0], sum = 0.f;
    for (long c = 0; c < width; c++) most = x[c] > most ? x[c] : most;
    for (long c = 0; c < width; c++) { y[c] = exp_fast(x[c] - most); sum += y[c]; }
    const float share = 1.f / sum;
    for (long c = 0; c < width; c++) y[c] *= share;
}
"""
_SOFTMAX_BACK = """
const long rows = in0_shape0, width = in0_shape1;
#pragma omp parallel for schedule(static)
for (long row = 0; row < rows; row++) {
    const float* __restrict__ y = in0_p + row * width;
    const float* __restrict__ dy = in1_p + row * width;
    float* __restrict__ dx = out0_p + row * width;
    float along = 0.f;
    for (long c = 0; c < width; c++) along += y[c] * dy[c];
    for (long c = 0; c < width; c++) dx[c] = y[c] * (dy[c] - along);
}
"""


class _Gelu(jt.Function):
    def execute(self, x_P):
        self.x_P = x_P
        return jt.code(x_P.shape, "float32", [x_P], cpu_header=_GELU_HEADER, cpu_src=_GELU)

    def grad(self, grad_P):
        return jt.code(grad_P.shape, "float32", [self.x_P, grad_P], cpu_header=_GELU_HEADER, cpu_src=_GELU_BACK)


class _Softmax(jt.Function):
    def execute(self, x_RC):
        self.y_RC = jt.code(x_RC.shape, "float32", [x_RC], cpu_header=EXP_HEADER, cpu_src=_SOFTMAX)
        return self.y_RC

    def grad(self, grad_RC):
        return jt.code(grad_RC.shape, "float32", [self.y_RC, grad_RC], cpu_src=_SOFTMAX_BACK)


def gelu(x: jt.Var) -> jt.Var:
    """GELU in its tanh form: y = x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), within 5e-4 of x Phi(x).

    Paper: Hendrycks and Gimpel, "Gaussian error linear units", 2016, section 2.
    In:  x float32 of any shape. Out: the same shape, with gradient. Raises: ValueError on another dtype.
    """
    require_float(x, "x")
    if not on_cpu():
        inner = jt.minimum(1.5957691216 * (x + 0.044715 * x * x * x), 17.0)     # beyond it the share is 1 and its slope 0, as in the kernel
        return x * jt.sigmoid(inner)
    return _Gelu.apply(x.reshape((-1,))).reshape(x.shape)


def softmax(x: jt.Var) -> jt.Var:
    """y_c = exp(x_c) / sum_c exp(x_c) over the last axis.

    In:  x (.., C) float32, at least one axis. Out: the same shape, with gradient. Raises: ValueError on another dtype or no axis.
    """
    require_float(x, "x")
    require(len(x.shape) >= 1 and x.shape[-1] >= 1, f"softmax needs a last axis; got shape {tuple(x.shape)}")
    if not on_cpu():
        return jt.nn.softmax(x, dim=-1)
    return _Softmax.apply(x.reshape((-1, x.shape[-1]))).reshape(x.shape)
