"""Farthest point sampling. Letters: B batch, N points, M picked points.

Algorithm: Eldar et al., "The farthest point strategy for progressive image sampling", 1997; the start is ours.
Plain twin: geometry/sampling.py. The CUDA text has not yet run on a GPU.
"""

import jittor as jt

from ops.kernels import require, require_float, require_shape

_CPU_HEADER = """
#include <vector>
#include <cfloat>
#include <cmath>
"""
# near[i]: squared distance of point i to the nearest pick, updated and maximised in blocks of 64 (vectorised); the pick is then the
# first point of the first block that reaches the maximum. Padding repeats point 0 in place but is kept at distance -1: never picked.
_CPU = """
const long batch = in0_shape0, points = in0_shape1, count = out0_shape1, padded = (points + 63) / 64 * 64, blocks = padded / 64;
#pragma omp parallel for schedule(static)
for (long b = 0; b < batch; b++) {
    const float* p = in0_p + b * points * 3;
    int* picked = out0_p + b * count;
    std::vector<float> room(4 * padded, 0.f), block_far(blocks);
    float *x = &room[0], *y = x + padded, *z = y + padded, *near = z + padded;
    double sum[3] = {0, 0, 0};
    for (long i = 0; i < points; i++) {
        x[i] = p[i * 3]; y[i] = p[i * 3 + 1]; z[i] = p[i * 3 + 2];
        sum[0] += x[i]; sum[1] += y[i]; sum[2] += z[i];
    }
    float cx = (float)(sum[0] / points), cy = (float)(sum[1] / points), cz = (float)(sum[2] / points);
    for (long i = 0; i < padded; i++) near[i] = i < points ? FLT_MAX : -1.f;
    for (long step = 0; step < count; step++) {
        float far = -2.f;
        for (long k = 0; k < blocks; k++) {
            float most = -2.f;
            for (long i = k * 64; i < k * 64 + 64; i++) {
                const float dx = x[i] - cx, dy = y[i] - cy, dz = z[i] - cz, d2 = dx * dx + dy * dy + dz * dz;
                near[i] = d2 < near[i] ? d2 : near[i];
                most = near[i] > most ? near[i] : most;
            }
            block_far[k] = most;
            far = most > far ? most : far;
        }
        long k = 0;
        while (k < blocks - 1 && block_far[k] < far) k++;
        long at = k * 64;
        while (at < points - 1 && near[at] < far) at++;
        picked[step] = (int)at;
        cx = x[at]; cy = y[at]; cz = z[at];
        if (step == 0) for (long i = 0; i < points; i++) near[i] = FLT_MAX;
    }
}
"""

_CUDA = """
__global__ static void farthest(@ARGS_DEF) {
    @PRECALC
    const int points = in0_shape1, count = out0_shape1, lane = threadIdx.x, lanes = blockDim.x;
    const float* p = in0_p + (long long)blockIdx.x * points * 3;
    float* near = out1_p + (long long)blockIdx.x * points;
    __shared__ float far_of[256];
    __shared__ int at_of[256];
    __shared__ double sum_of[3];
    if (lane < 3) {
        double sum = 0;
        for (int i = 0; i < points; i++) sum += p[i * 3 + lane];
        sum_of[lane] = sum / points;
    }
    __syncthreads();
    float cx = (float)sum_of[0], cy = (float)sum_of[1], cz = (float)sum_of[2];
    for (int i = lane; i < points; i += lanes) near[i] = 3.4e38f;
    for (int step = 0; step < count; step++) {
        float far = -2.f;
        int at = 0;
        for (int i = lane; i < points; i += lanes) {
            const float dx = p[i * 3] - cx, dy = p[i * 3 + 1] - cy, dz = p[i * 3 + 2] - cz;
            const float d2 = fminf(dx * dx + dy * dy + dz * dz, near[i]);
            near[i] = step == 0 ? 3.4e38f : d2;
            if (d2 > far) { far = d2; at = i; }
        }
        far_of[lane] = far;
        at_of[lane] = at;
        __syncthreads();
        for (int half = lanes / 2; half > 0; half /= 2) {
            if (lane < half) {
                const int other = lane + half;
                if (far_of[other] > far_of[lane] || (far_of[other] == far_of[lane] && at_of[other] < at_of[lane])) {
                    far_of[lane] = far_of[other];
                    at_of[lane] = at_of[other];
                }
            }
            __syncthreads();
        }
        at = at_of[0];
        if (lane == 0) out0_p[(long long)blockIdx.x * count + step] = at;
        cx = p[at * 3]; cy = p[at * 3 + 1]; cz = p[at * 3 + 2];
        __syncthreads();
    }
}
farthest<<<in0_shape0, 256>>>(@ARGS);
"""


def farthest_point_sample(points_BN3: jt.Var, count: int) -> jt.Var:
    """Pick count points of each cloud, each as far as possible from those picked before.

    The first pick is the point farthest from the centroid, so the picked positions do not depend on the order of the points (but for
    exact ties, which go to the smaller index). Once all distinct positions are picked, the remaining picks repeat one of them.

    In:  points_BN3 float32, finite; 1 <= count <= N.
    Out: idx_BM int32 with M = count, in the order of picking. No gradients flow.
    Raises: ValueError on other shapes, dtypes or counts.
    """
    require_shape(points_BN3, "BN3", "points")
    require_float(points_BN3, "points")
    batch, points, _ = points_BN3.shape
    require(1 <= count <= points, f"count must lie in 1..{points} (N points); got {count}")
    idx_BM, _ = jt.code([(batch, int(count)), (batch, points if jt.flags.use_cuda else 1)], ["int32", "float32"], [points_BN3],
                        cpu_header=_CPU_HEADER, cpu_src=_CPU, cuda_src=_CUDA)
    return idx_BM.stop_grad()
