"""Nearest neighbours by brute force. Letters: B batch, Q queries, M sources, K neighbours.

Plain twin: geometry/neighbors.py. The CUDA text has not yet run on a GPU.
"""

import jittor as jt

from ops.kernels import require, require_float, require_shape

MOST_NEIGHBORS = 64  # the sorted list of the CUDA kernel lives in registers and local memory

# Sources stand in blocks of 16 neighbours in order, 16 blocks side by side in a group of 256: element v of the group's block l at
# v * 16 + l. So the distances and the least distance of each block vectorise over l. Then k times: the first block with the least
# distance, its first element with that distance (ties thus go to the smaller index), which is struck out. Far points fill the last group.
_CPU_HEADER = """
#include <vector>
#include <algorithm>
#include <cfloat>
static const long GROUP = 256;
static inline void measure(const float* __restrict__ xyz, const float* q, float* __restrict__ d2, float* __restrict__ least) {
    const float *x = xyz, *y = xyz + GROUP, *z = xyz + 2 * GROUP, qx = q[0], qy = q[1], qz = q[2];
    for (int l = 0; l < 16; l++) least[l] = FLT_MAX;
    for (int v = 0; v < 16; v++)
        for (int l = 0; l < 16; l++) {
            const float dx = x[v * 16 + l] - qx, dy = y[v * 16 + l] - qy, dz = z[v * 16 + l] - qz;
            const float d = dx * dx + dy * dy + dz * dz;
            d2[v * 16 + l] = d;
            least[l] = d < least[l] ? d : least[l];
        }
}
static inline long strike_least(float* __restrict__ d2, float* __restrict__ least, int blocks, float& distance) {
    float best = FLT_MAX;
    int block = blocks - 1;
    for (int j = 0; j < blocks; j++) best = least[j] < best ? least[j] : best;
    for (int j = 0; j < blocks; j++) { const int here = least[j] == best ? j : blocks - 1; block = here < block ? here : block; }
    float* element = d2 + block / 16 * GROUP + block % 16;
    int v = 0;
    while (v < 15 && element[v * 16] != best) v++;
    element[v * 16] = FLT_MAX;
    float left = FLT_MAX;
    for (int u = 0; u < 16; u++) left = element[u * 16] < left ? element[u * 16] : left;
    least[block] = left;
    distance = best;
    return block * 16 + v;
}
"""
_CPU = """
const long batch = in0_shape0, queries = in0_shape1, sources = in1_shape1, k = out0_shape2;
const long groups = (sources + GROUP - 1) / GROUP, size = groups * GROUP;
std::vector<float> split(batch * 3 * size, 1e18f);
for (long b = 0; b < batch; b++)
    for (long m = 0; m < sources; m++)
        for (long c = 0; c < 3; c++)
            split[((b * groups + m / GROUP) * 3 + c) * GROUP + m % 16 * 16 + m % GROUP / 16] = in1_p[(b * sources + m) * 3 + c];
#pragma omp parallel
{
    std::vector<float> d2(size), least(size / 16);
    #pragma omp for schedule(static)
    for (long row = 0; row < batch * queries; row++) {
        for (long g = 0; g < groups; g++)
            measure(&split[(row / queries * groups + g) * 3 * GROUP], in0_p + row * 3, &d2[g * GROUP], &least[g * 16]);
        float *best = out0_p + row * k, *weight = out2_p + row * k, total = 0;
        for (long i = 0; i < k; i++)
            out1_p[row * k + i] = std::min(sources - 1, strike_least(d2.data(), least.data(), (int)groups * 16, best[i]));
        for (long i = 0; i < k; i++) total += weight[i] = i == 0 ? 1.f : best[i] > 0.f ? best[0] / best[i] : 0.f;
        for (long i = 0; i < k; i++) weight[i] /= total;
    }
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
    for (int i = 0; i < k; i++) total += i == 0 ? 1.f : best[i] > 0.f ? best[0] / best[i] : 0.f;
    for (int i = 0; i < k; i++) {
        out0_p[row * k + i] = best[i];
        out1_p[row * k + i] = best_at[i];
        out2_p[row * k + i] = (i == 0 ? 1.f : best[i] > 0.f ? best[0] / best[i] : 0.f) / total;
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
    Out: idx_BQ3 int32 as in knn; weight_BQ3 float32, >= 0, sum 1. A query that lies on a source has weight 1 there (on the
         smaller index where several coincide). No gradients flow.
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
