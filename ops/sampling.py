"""Farthest point sampling. Letters: B batch, N points, M picked points.

Algorithm: Eldar et al., "The farthest point strategy for progressive image sampling", 1997; the start is ours. On the CPU large clouds are
sorted into compact blocks, and a block that a new pick cannot improve is skipped (the idea of Han et al., "QuickFPS", IEEE TCAD 2023);
the picks are those of the plain loop, ties included.
Plain twin: geometry/sampling.py. The CUDA text has not yet run on a GPU.
"""

import jittor as jt

from ops.kernels import require, require_float, require_shape
from ops.point_tree import TREE_HEADER

_CPU_HEADER = TREE_HEADER + """
static const long LAZY_FROM = 4096;  // points; below, sorting costs more than it saves (measured)
// 64 points. near: squared distance to the nearest pick, -1 in the padding of the last block. index: in the caller's order.
struct Block { float x[64], y[64], z[64], near[64]; int index[64]; };
struct Cloud {
    const long count, blocks;
    const bool lazy;      // blocks are compact: those that a new pick cannot improve are left alone
    Lines<Block> block;
    Lines<Boxes> boxes;   // of 16 blocks each
    Lines<float> far;     // of each block the largest near; padded to whole groups of 16 with -1

    Cloud(const float* points, long count) : count(count), blocks((count + 63) / 64), lazy(count >= LAZY_FROM), block(blocks),
                                             boxes((blocks + 15) / 16), far(boxes.count * 16) {
        std::vector<Spot> spots(lazy ? make_spots(points, count) : std::vector<Spot>());
        if (lazy) sort_into_blocks(spots.data(), count, 64);
        for (long i = 0; i < blocks * 64; i++) {
            const long place = std::min(i, count - 1), index = lazy ? spots[place].index : place;
            Block& to = block[i / 64];
            to.x[i % 64] = points[index * 3];
            to.y[i % 64] = points[index * 3 + 1];
            to.z[i % 64] = points[index * 3 + 2];
            to.index[i % 64] = (int)index;
        }
        forget();
        for (long k = 0; lazy && k < blocks; k++) {
            const float* axes[3] = {block[k].x, block[k].y, block[k].z};
            for (int c = 0; c < 3; c++) boxes[k / 16].low[c][k % 16] = *std::min_element(axes[c], axes[c] + 64);
            for (int c = 0; c < 3; c++) boxes[k / 16].high[c][k % 16] = *std::max_element(axes[c], axes[c] + 64);
        }
    }
    void forget() {
        for (long i = 0; i < blocks * 64; i++) block[i / 64].near[i % 64] = i < count ? FLT_MAX : -1.f;
        for (long k = 0; k < far.count; k++) far[k] = k < blocks ? FLT_MAX : -1.f;
    }
    // Lowers near by the distances to q. Returns the largest that is left. One machine code for all paths: all see the same bits.
    __attribute__((noinline)) float update(long first, long last, const float* q) {
        const float qx = q[0], qy = q[1], qz = q[2];
        float all = -1.f;
        for (long k = first; k <= last; k++) {
            Block& here = block[k];
            float most = -1.f;
            for (int i = 0; i < 64; i++) {
                const float d2 = squared(here.x[i] - qx, here.y[i] - qy, here.z[i] - qz);
                const float near = d2 < here.near[i] ? d2 : here.near[i];
                here.near[i] = near;
                most = near > most ? near : most;
            }
            far[k] = most;
            all = most > all ? most : all;
        }
        return all;
    }
    float approach(const float* q) {
        if (!lazy) return update(0, blocks - 1, q);
        for (long g = 0; g < boxes.count; g++) {
            float d2[16];
            int hit[16], hits = 0;
            bound(boxes[g], q, d2);
            for (int l = 0; l < 16; l++) { hit[hits] = l; hits += d2[l] < far[g * 16 + l]; }
            for (int h = 0; h < hits; h++) update(g * 16 + hit[h], g * 16 + hit[h], q);
        }
        float all = -1.f;
        for (long k = 0; k < far.count; k++) all = std::max(all, far[k]);
        return all;
    }
    // The smallest index of those whose near is `most`, which is the largest.
    int farthest(float most) const {
        if (most <= 0.f) return 0;  // every position is picked: all points tie
        long k = 0, i = 0;
        while (k < blocks - 1 && far[k] != most) k++;
        while (i < 63 && block[k].near[i] != most) i++;
        int found = block[k].index[i];
        for (; lazy && k < blocks; k++)  // without, the caller's order is kept, and later places hold larger indices
            if (far[k] == most)
                for (i = 0; i < 64; i++) found = std::min(found, block[k].near[i] == most ? block[k].index[i] : INT_MAX);
        return found;
    }
};
"""
_CPU = """
const long batch = in0_shape0, points = in0_shape1, count = out0_shape1;
#pragma omp parallel for schedule(static)
for (long b = 0; b < batch; b++) {
    const float* p = in0_p + b * points * 3;
    int* picked = out0_p + b * count;
    Cloud cloud(p, points);
    double sum[3] = {0, 0, 0};
    for (long i = 0; i < points; i++) for (int c = 0; c < 3; c++) sum[c] += p[i * 3 + c];
    const float centre[3] = {(float)(sum[0] / points), (float)(sum[1] / points), (float)(sum[2] / points)};
    picked[0] = cloud.farthest(cloud.approach(centre));
    cloud.forget();
    for (long step = 1; step < count; step++) picked[step] = cloud.farthest(cloud.approach(p + picked[step - 1] * 3));
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
