"""Nearest neighbours by brute force. Letters: B batch, Q queries, M sources, K neighbours.

Plain twin: geometry/neighbors.py. The CUDA text has not yet run on a GPU.
"""

import jittor as jt

from ops.kernels import require, require_float, require_shape

MOST_NEIGHBORS = 64  # the sorted list of the CUDA kernel lives in registers and local memory

# One block of 16 sources at a time: their distances vectorise, and a block whose smallest distance does not beat the K-th best is
# skipped whole. Sources are padded to whole blocks with a far point, so that a pair's distance is computed the same way wherever it lies.
_CPU_HEADER = """
#include <vector>
#include <cfloat>
"""
_CPU = """
const long batch = in0_shape0, queries = in0_shape1, sources = in1_shape1, k = out0_shape2;
const long padded = (sources + 15) / 16 * 16;
std::vector<float> split(batch * 3 * padded, 1e18f);
for (long b = 0; b < batch; b++)
    for (long m = 0; m < sources; m++)
        for (long c = 0; c < 3; c++)
            split[(b * 3 + c) * padded + m] = in1_p[(b * sources + m) * 3 + c];
#pragma omp parallel for schedule(static)
for (long row = 0; row < batch * queries; row++) {
    const float* x = &split[row / queries * 3 * padded];
    const float* y = x + padded;
    const float* z = y + padded;
    const float qx = in0_p[row * 3], qy = in0_p[row * 3 + 1], qz = in0_p[row * 3 + 2];
    float* best = out0_p + row * k;
    int* best_at = out1_p + row * k;
    float* weight = out2_p + row * k;
    for (long i = 0; i < k; i++) { best[i] = FLT_MAX; best_at[i] = 0; }
    for (long start = 0; start < padded; start += 16) {
        float d2[16], least = FLT_MAX;
        for (int i = 0; i < 16; i++) {
            const float dx = x[start + i] - qx, dy = y[start + i] - qy, dz = z[start + i] - qz;
            d2[i] = dx * dx + dy * dy + dz * dz;
        }
        for (int i = 0; i < 16; i++) least = d2[i] < least ? d2[i] : least;
        if (!(least < best[k - 1])) continue;
        for (int i = 0; i < 16 && start + i < sources; i++) {
            if (!(d2[i] < best[k - 1])) continue;
            long at = k - 1;
            for (; at > 0 && best[at - 1] > d2[i]; at--) { best[at] = best[at - 1]; best_at[at] = best_at[at - 1]; }
            best[at] = d2[i];
            best_at[at] = (int)(start + i);
        }
    }
    float total = 0;
    for (long i = 0; i < k; i++) total += weight[i] = (best[0] + 1e-20f) / (best[i] + 1e-20f);
    for (long i = 0; i < k; i++) weight[i] /= total;
}
"""

_CUDA = """
__global__ static void nearest(@ARGS_DEF) {
    @PRECALC
    const long long queries = in0_shape1, sources = in1_shape1;
    const int k = out0_shape2;
    const long long row = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (row >= in0_shape0 * queries) return;
    const float* source = in1_p + row / queries * sources * 3;
    const float qx = in0_p[row * 3], qy = in0_p[row * 3 + 1], qz = in0_p[row * 3 + 2];
    float best[64];
    int best_at[64];
    for (int i = 0; i < k; i++) { best[i] = 3.4e38f; best_at[i] = 0; }
    for (long long m = 0; m < sources; m++) {
        const float dx = source[m * 3] - qx, dy = source[m * 3 + 1] - qy, dz = source[m * 3 + 2] - qz;
        const float d2 = dx * dx + dy * dy + dz * dz;
        if (!(d2 < best[k - 1])) continue;
        int at = k - 1;
        for (; at > 0 && best[at - 1] > d2; at--) { best[at] = best[at - 1]; best_at[at] = best_at[at - 1]; }
        best[at] = d2;
        best_at[at] = (int)m;
    }
    float total = 0;
    for (int i = 0; i < k; i++) total += (best[0] + 1e-20f) / (best[i] + 1e-20f);
    for (int i = 0; i < k; i++) {
        out0_p[row * k + i] = best[i];
        out1_p[row * k + i] = best_at[i];
        out2_p[row * k + i] = (best[0] + 1e-20f) / (best[i] + 1e-20f) / total;
    }
}
nearest<<<(in0_shape0 * in0_shape1 + 127) / 128, 128>>>(@ARGS);
"""


def knn(query_BQ3: jt.Var, source_BM3: jt.Var, k: int) -> tuple[jt.Var, jt.Var]:
    """The k nearest sources of each query.

    In:  query_BQ3, source_BM3 float32, finite; 1 <= k <= min(M, 64).
    Out: d2_BQK float32, squared distances, ascending; idx_BQK int32, idx[b, q, j] = m means that source[b, m] is the j-th nearest of
         query[b, q]. Of equally distant sources the smaller index comes first. No gradients flow.
    Raises: ValueError on other shapes, dtypes or k.
    """
    return _nearest(query_BQ3, source_BM3, k)[:2]


def three_nearest(query_BQ3: jt.Var, source_BM3: jt.Var) -> tuple[jt.Var, jt.Var]:
    """The three nearest sources of each query and their inverse-distance weights: w_k = (1 / d2_k) / sum_i (1 / d2_i).

    In:  query_BQ3, source_BM3 float32, finite; M >= 3.
    Out: idx_BQ3 int32 as in knn; weight_BQ3 float32, >= 0, sum 1. A query that lies on one source has weight 1 there; on several
         coinciding sources, equal shares. No gradients flow.
    Raises: ValueError on other shapes or dtypes, or M < 3.
    """
    return _nearest(query_BQ3, source_BM3, 3)[1:]


def _nearest(query_BQ3: jt.Var, source_BM3: jt.Var, k: int) -> list[jt.Var]:
    require_shape(query_BQ3, "BQ3", "query")
    require_shape(source_BM3, "BM3", "source", B=query_BQ3.shape[0])
    require_float(query_BQ3, "query")
    require_float(source_BM3, "source")
    most = min(source_BM3.shape[1], MOST_NEIGHBORS)
    require(1 <= k <= most, f"k must lie in 1..{most} (M = {source_BM3.shape[1]} sources); got {k}")
    shape = (*query_BQ3.shape[:2], int(k))
    found = jt.code([shape] * 3, ["float32", "int32", "float32"], [query_BQ3, source_BM3],
                    cpu_header=_CPU_HEADER, cpu_src=_CPU, cuda_src=_CUDA)
    return [x.stop_grad() for x in found]
