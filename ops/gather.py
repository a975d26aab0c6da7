"""Move features along indices, with gradients. Letters: B batch, M sources, Q targets, K neighbours, C channels.

The gradients add into each row in the order of the targets, by one thread (on CUDA one warp): no atomics, the same bits each run.
Indices are checked when the kernel runs on the CPU: one outside 0..M-1 raises RuntimeError there. The CUDA texts have compiled, but not yet
run on a GPU.
"""

import jittor as jt

from ops.kernels import ROW_HEADER, require_float, require_int, require_shape

_CHECK = """
    int low = 0, high = -1;
    for (long i = 0; i < targets * batch * k; i++) {
        low = at[i] < low ? at[i] : low;
        high = at[i] > high ? at[i] : high;
    }
    if (low < 0 || high >= sources) LOGf << "gather: indices span" << low << "to" << high << "but there are" << sources << "sources";
"""

# in: feat (B, M, C), idx (B, Q, K), weight (B, Q, K)
_INTERPOLATE = """
    const long batch = in0_shape0, sources = in0_shape1, width = in0_shape2, targets = in1_shape1, k = in1_shape2;
    const int* at = in1_p;
""" + _CHECK + """
    #pragma omp parallel for schedule(static)
    for (long row = 0; row < batch * targets; row++)
        blend(out0_p + row * width, in0_p + row / targets * sources * width, at + row * k, in2_p + row * k, k, width, width);
"""
_INTERPOLATE_CUDA = """
__global__ static void interpolate(@ARGS_DEF) {
    @PRECALC
    const long long width = in0_shape2, k = in1_shape2;
    const long long at = blockIdx.x * (long long)blockDim.x + threadIdx.x, row = at / width, c = at % width;
    if (row >= in1_shape0 * (long long)in1_shape1) return;
    const float* feat = in0_p + row / in1_shape1 * in0_shape1 * width;
    float sum = 0;
    for (int i = 0; i < k; i++) sum += in2_p[row * k + i] * feat[in1_p[row * k + i] * width + c];
    out0_p[at] = sum;
}
interpolate<<<(in1_shape0 * (long long)in1_shape1 * in0_shape2 + 255) / 256, 256>>>(@ARGS);
"""

# in: feat (B, M, C), idx (B, R); out: (B, R, C)
_GATHER = """
    const long batch = in0_shape0, sources = in0_shape1, width = in0_shape2, targets = in1_shape1, k = 1;
    const int* at = in1_p;
""" + _CHECK + """
    #pragma omp parallel for schedule(static)
    for (long row = 0; row < batch * targets; row++) {
        const float* __restrict__ from = in0_p + (row / targets * sources + at[row]) * width;
        float* __restrict__ to = out0_p + row * width;
        for (long c = 0; c < width; c++) to[c] = from[c];
    }
"""
_GATHER_CUDA = """
__global__ static void gather(@ARGS_DEF) {
    @PRECALC
    const long long width = in0_shape2;
    const long long at = blockIdx.x * (long long)blockDim.x + threadIdx.x, row = at / width;
    if (row >= in1_shape0 * (long long)in1_shape1) return;
    out0_p[at] = in0_p[(row / in1_shape1 * in0_shape1 + in1_p[row]) * width + at % width];
}
gather<<<(in1_shape0 * (long long)in1_shape1 * in0_shape2 + 255) / 256, 256>>>(@ARGS);
"""

# in: grad (B, Q, C), idx (B, Q, K), for interpolate weight (B, Q, K); out: (B, M, C)
_BACK = """
    const long batch = out0_shape0, sources = out0_shape1, width = out0_shape2, targets = in1_shape1, k = in1_shape2;
    const long block = 64, blocks = (width + block - 1) / block;
    #pragma omp parallel for schedule(static)
    for (long job = 0; job < batch * blocks; job++) {
        const long b = job / blocks, start = job % blocks * block, count = start + block < width ? block : width - start;
        float* to = out0_p + b * sources * width + start;
        for (long m = 0; m < sources; m++) for (long c = 0; c < count; c++) to[m * width + c] = 0.f;
        for (long q = b * targets; q < (b + 1) * targets; q++)
            for (long i = q * k; i < (q + 1) * k; i++) add_scaled(to + in1_p[i] * width, in0_p + q * width + start, WEIGHT, count);
    }
"""
# A warp for each source and 128 channels reads all indices of its cloud, and adds the rows that name the source in their order.
_BACK_CUDA = """
__global__ static void add_rows(@ARGS_DEF) {
    @PRECALC
    const long long sources = out0_shape1, width = out0_shape2, k = in1_shape2, rows = in1_shape1 * k, blocks = (width + 127) / 128;
    const long long job = (blockIdx.x * (long long)blockDim.x + threadIdx.x) / 32, at = job / blocks, b = at / sources;
    const int lane = threadIdx.x % 32;
    if (b >= out0_shape0) return;
    const long long first = job % blocks * 128 + lane;
    float sum[4] = {0.f, 0.f, 0.f, 0.f};
    for (long long start = b * rows; start < (b + 1) * rows; start += 32) {
        const bool hit = start + lane < (b + 1) * rows && in1_p[start + lane] == at % sources;
        for (unsigned hits = __ballot_sync(~0u, hit); hits; hits &= hits - 1) {
            const long long i = start + __ffs(hits) - 1;
            const float weight = WEIGHT, *from = in0_p + i / k * width;
            for (int t = 0; t < 4; t++) if (first + 32 * t < width) sum[t] += weight * from[first + 32 * t];
        }
    }
    for (int t = 0; t < 4; t++) if (first + 32 * t < width) out0_p[at * width + first + 32 * t] = sum[t];
}
add_rows<<<(out0_shape0 * (long long)out0_shape1 * ((out0_shape2 + 127) / 128) * 32 + 255) / 256, 256>>>(@ARGS);
"""
_GATHER_BACK, _INTERPOLATE_BACK = ({"cpu_header": ROW_HEADER, "cpu_src": _BACK.replace("WEIGHT", weight),
                                    "cuda_src": _BACK_CUDA.replace("WEIGHT", weight)} for weight in ("1.f", "in2_p[i]"))

# in: (R, K, C); out: the maximum (R, C) and its k (R, C)
_MAX = """
    const long rows = in0_shape0, k = in0_shape1, width = in0_shape2;
    #pragma omp parallel for schedule(static)
    for (long row = 0; row < rows; row++) {
        float* __restrict__ best = out0_p + row * width;
        int* __restrict__ best_at = out1_p + row * width;
        const float* __restrict__ first = in0_p + row * k * width;
        for (long c = 0; c < width; c++) { best[c] = first[c]; best_at[c] = 0; }
        for (long i = 1; i < k; i++) {
            const float* __restrict__ from = first + i * width;
            for (long c = 0; c < width; c++) {
                best_at[c] = from[c] > best[c] ? (int)i : best_at[c];
                best[c] = from[c] > best[c] ? from[c] : best[c];
            }
        }
    }
"""
_MAX_CUDA = """
__global__ static void group_max(@ARGS_DEF) {
    @PRECALC
    const long long at = blockIdx.x * (long long)blockDim.x + threadIdx.x, width = in0_shape2, row = at / width;
    if (row >= in0_shape0) return;
    const float* from = in0_p + row * in0_shape1 * width + at % width;
    float best = from[0];
    int best_at = 0;
    for (int i = 1; i < in0_shape1; i++) if (from[i * width] > best) { best = from[i * width]; best_at = i; }
    out0_p[at] = best;
    out1_p[at] = best_at;
}
group_max<<<(in0_shape0 * (long long)in0_shape2 + 255) / 256, 256>>>(@ARGS);
"""

# in: grad (R, C), the k (R, C); out: (R, K, C)
_MAX_BACK = """
    const long rows = out0_shape0, k = out0_shape1, width = out0_shape2;
    #pragma omp parallel for schedule(static)
    for (long row = 0; row < rows; row++) {
        const float* __restrict__ from = in0_p + row * width;
        const int* __restrict__ at = in1_p + row * width;
        for (long i = 0; i < k; i++) {
            float* __restrict__ to = out0_p + (row * k + i) * width;
            for (long c = 0; c < width; c++) to[c] = at[c] == i ? from[c] : 0.f;
        }
    }
"""
_MAX_BACK_CUDA = """
__global__ static void group_max_back(@ARGS_DEF) {
    @PRECALC
    const long long at = blockIdx.x * (long long)blockDim.x + threadIdx.x, width = out0_shape2, group = at / width;
    if (group >= out0_shape0 * (long long)out0_shape1) return;
    const long long from = group / out0_shape1 * width + at % width;
    out0_p[at] = in1_p[from] == group % out0_shape1 ? in0_p[from] : 0.f;
}
group_max_back<<<(out0_shape0 * (long long)out0_shape1 * out0_shape2 + 255) / 256, 256>>>(@ARGS);
"""


class _Gather(jt.Function):
    def execute(self, feat_BMC, idx_BR):
        self.idx_BR, self.shape = idx_BR, feat_BMC.shape
        shape = (*idx_BR.shape, feat_BMC.shape[2])
        return jt.code(shape, "float32", [feat_BMC, idx_BR], cpu_src=_GATHER, cuda_src=_GATHER_CUDA)

    def grad(self, grad_BRC):
        idx_BR1 = self.idx_BR.unsqueeze(2)
        return jt.code(self.shape, "float32", [grad_BRC, idx_BR1], **_GATHER_BACK), None


class _Interpolate(jt.Function):
    def execute(self, feat_BMC, idx_BQK, weight_BQK):
        self.idx_BQK, self.weight_BQK, self.shape = idx_BQK, weight_BQK, feat_BMC.shape
        shape = (*idx_BQK.shape[:2], feat_BMC.shape[2])
        return jt.code(shape, "float32", [feat_BMC, idx_BQK, weight_BQK], cpu_header=ROW_HEADER, cpu_src=_INTERPOLATE,
                       cuda_src=_INTERPOLATE_CUDA)

    def grad(self, grad_BQC):
        return jt.code(self.shape, "float32", [grad_BQC, self.idx_BQK, self.weight_BQK], **_INTERPOLATE_BACK), None, None


class _GroupMax(jt.Function):
    def execute(self, x_RKC):
        rows, _, width = self.shape = x_RKC.shape
        best_RC, self.at_RC = jt.code([(rows, width)] * 2, ["float32", "int32"], [x_RKC], cpu_src=_MAX, cuda_src=_MAX_CUDA)
        return best_RC

    def grad(self, grad_RC):
        return jt.code(self.shape, "float32", [grad_RC, self.at_RC], cpu_src=_MAX_BACK, cuda_src=_MAX_BACK_CUDA)


def gather(feat_BMC: jt.Var, idx_BQK: jt.Var) -> jt.Var:
    """Rows of feat by index: out[b, q, k] = feat[b, idx[b, q, k]]; idx may also be (B, Q), then out is (B, Q, C).

    In:  feat_BMC float32; idx_BQK int32 in 0..M-1.
    Out: (B, Q, K, C) float32. The gradient adds up in feat; a row that no index names gets 0.
    Raises: ValueError on other shapes or dtypes; RuntimeError when evaluated with an index out of range.
    """
    require_shape(feat_BMC, "BMC", "feat")
    require_shape(idx_BQK, "BQ" if len(idx_BQK.shape) == 2 else "BQK", "idx", B=feat_BMC.shape[0])
    require_float(feat_BMC, "feat")
    require_int(idx_BQK, "idx")
    idx_BR = idx_BQK.reshape((feat_BMC.shape[0], -1))
    return _Gather.apply(feat_BMC, idx_BR).reshape((*idx_BQK.shape, feat_BMC.shape[2]))


def interpolate(feat_BMC: jt.Var, idx_BQK: jt.Var, weight_BQK: jt.Var) -> jt.Var:
    """Weighted sums of rows: out[b, q] = sum_k weight[b, q, k] feat[b, idx[b, q, k]], as three_nearest gives them (K = 3).

    In:  feat_BMC, weight_BQK float32; idx_BQK int32 in 0..M-1.
    Out: (B, Q, C) float32. The gradient flows to feat only: weights count as geometry.
    Raises: ValueError on other shapes or dtypes; RuntimeError when evaluated with an index out of range.
    """
    require_shape(feat_BMC, "BMC", "feat")
    require_shape(idx_BQK, "BQK", "idx", B=feat_BMC.shape[0])
    require_shape(weight_BQK, "BQK", "weight", **dict(zip("BQK", idx_BQK.shape)))
    require_float(feat_BMC, "feat")
    require_int(idx_BQK, "idx")
    require_float(weight_BQK, "weight")
    return _Interpolate.apply(feat_BMC, idx_BQK, weight_BQK)


def group_max(x_BQKC: jt.Var) -> jt.Var:
    """Maximum over the K neighbours of each group.

    In:  x_BQKC float32, K >= 1.
    Out: (B, Q, C) float32. The gradient goes to the maximum alone, of equal ones to the smallest k.
    Raises: ValueError on other shapes or dtypes.
    """
    require_shape(x_BQKC, "BQKC", "x")
    require_float(x_BQKC, "x")
    batch, queries, k, width = x_BQKC.shape
    return _GroupMax.apply(x_BQKC.reshape((-1, k, width))).reshape((batch, queries, width))
