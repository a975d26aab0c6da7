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
static const long BLOCKS_FROM = 1536;  // points; below, sorting costs more than it saves (measured)
// Squared distances are kept as their bits, unsigned: they order like the numbers, a NaN counts as far, and the 0 of padding can be neither
// improved nor picked (where the largest is 0, all points tie, and the first is picked).
static inline int lanes_below(const float* a, const unsigned* b, int* lanes) {
    int count = 0;
    for (int l = 0; l < 16; l++) { lanes[count] = l; count += (unsigned)bits_of(a[l]) < b[l]; }
    return count;
}
static inline int lanes_equal(const unsigned* a, unsigned b, int* lanes) {
    int count = 0;
    for (int l = 0; l < 16; l++) { lanes[count] = l; count += a[l] == b; }
    return count;
}
static inline unsigned largest(const unsigned* a, long count) {
    unsigned most = 0;
    for (long i = 0; i < count; i++) most = a[i] > most ? a[i] : most;
    return most;
}

// The plain way, for small clouds. 256 points to a group, in 16 runs of 16 in order that stand side by side: element v of run l at
// v * 16 + l. So all of it vectorises over l; the pick is the first element of the first run that has the largest near.
struct Group { float x[256], y[256], z[256]; unsigned near[256], far[16]; };
static inline unsigned update(Group& here, const float* q) {
    const float qx = q[0], qy = q[1], qz = q[2];
    unsigned far[16];
    for (int l = 0; l < 16; l++) far[l] = 0;
    for (int v = 0; v < 16; v++)
        for (int l = 0; l < 16; l++) {
            const int at = v * 16 + l;
            const unsigned d2 = bits_of(squared(here.x[at] - qx, here.y[at] - qy, here.z[at] - qz));
            const unsigned near = d2 < here.near[at] ? d2 : here.near[at];
            here.near[at] = near;
            far[l] = near > far[l] ? near : far[l];
        }
    for (int l = 0; l < 16; l++) here.far[l] = far[l];
    return largest(far, 16);
}
static void forget(Lines<Group>& group, long count) {
    for (long g = 0; g < group.count; g++)
        for (long v = 0; v < 16; v++)
            for (long l = 0; l < 16; l++) group[g].near[v * 16 + l] = g * 256 + l * 16 + v < count ? UINT_MAX : 0;
}
static void pick_plainly(const float* points, long count, const float* centre, long picks, int* picked) {
    const long groups = (count + 255) / 256;
    Lines<Group> group(groups);
    for (long g = 0; g < groups; g++)
        for (long v = 0; v < 16; v++)
            for (long l = 0; l < 16; l++) {
                const long from = std::min(g * 256 + l * 16 + v, count - 1), to = v * 16 + l;
                group[g].x[to] = points[from * 3];
                group[g].y[to] = points[from * 3 + 1];
                group[g].z[to] = points[from * 3 + 2];
            }
    const float* q = centre;
    for (long step = 0; step < picks; step++, q = points + picked[step - 1] * 3) {
        if (step <= 1) forget(group, count);
        unsigned most = 0;
        for (long g = 0; g < groups; g++) most = std::max(most, update(group[g], q));
        long g = 0, l = 0, v = 0;
        while (g < groups * 16 - 1 && group[g / 16].far[g % 16] != most) g++;
        l = g % 16, g /= 16;
        while (v < 15 && group[g].near[v * 16 + l] != most) v++;
        picked[step] = (int)std::min(g * 256 + l * 16 + v, count - 1);
    }
}

// The way for large clouds: compact blocks, of which those that a new pick cannot improve are left alone.
// near: squared distance to the nearest pick, 0 in the padding of the last block. index: in the caller's order.
struct Block { float x[64], y[64], z[64]; unsigned near[64]; int index[64]; };
struct Cloud {
    const long count, blocks, groups;
    Lines<Block> block;
    Lines<Boxes> boxes, top;  // of 16 blocks each; of 16 of those groups each
    Lines<unsigned> far, top_far;  // of each block, and of each group, the largest near; padded to whole sixteens with 0

    Cloud(const float* points, long count) : count(count), blocks((count + 63) / 64), groups((blocks + 15) / 16), block(blocks),
                                             boxes(groups), top((groups + 15) / 16), far(groups * 16), top_far(top.count * 16) {
        std::vector<Spot> spots = make_spots(points, count);
        sort_into_blocks(spots.data(), count, 64);
        for (long i = 0; i < blocks * 64; i++) {
            const long index = spots[std::min(i, count - 1)].index;
            Block& to = block[i / 64];
            to.x[i % 64] = points[index * 3];
            to.y[i % 64] = points[index * 3 + 1];
            to.z[i % 64] = points[index * 3 + 2];
            to.index[i % 64] = (int)index;
        }
        forget();
        box();
    }
    void box() {
        std::fill_n((float*)boxes.items, boxes.count * 96, 0.f);
        std::fill_n((float*)top.items, top.count * 96, 0.f);
        for (long k = 0; k < blocks; k++) {
            const float* axes[3] = {block[k].x, block[k].y, block[k].z};
            for (int c = 0; c < 3; c++) boxes[k / 16].low[c][k % 16] = *std::min_element(axes[c], axes[c] + 64);
            for (int c = 0; c < 3; c++) boxes[k / 16].high[c][k % 16] = *std::max_element(axes[c], axes[c] + 64);
        }
        for (long g = 0; g < groups; g++)
            for (int c = 0; c < 3; c++) {
                const float *low = boxes[g].low[c], *high = boxes[g].high[c];
                const long held = std::min(16l, blocks - g * 16);
                top[g / 16].low[c][g % 16] = *std::min_element(low, low + held);
                top[g / 16].high[c][g % 16] = *std::max_element(high, high + held);
            }
    }
    void forget() {
        for (long i = 0; i < blocks * 64; i++) block[i / 64].near[i % 64] = i < count ? UINT_MAX : 0;
        for (long k = 0; k < far.count; k++) far[k] = k < blocks ? UINT_MAX : 0;
        for (long g = 0; g < top_far.count; g++) top_far[g] = g < groups ? UINT_MAX : 0;
    }
    void update(long k, const float* q) {
        Block& here = block[k];
        const float qx = q[0], qy = q[1], qz = q[2];
        unsigned most = 0;
        for (int i = 0; i < 64; i++) {
            const unsigned d2 = bits_of(squared(here.x[i] - qx, here.y[i] - qy, here.z[i] - qz));
            const unsigned near = d2 < here.near[i] ? d2 : here.near[i];
            here.near[i] = near;
            most = near > most ? near : most;
        }
        far[k] = most;
    }
    void approach_group(long g, const float* q) {
        float d2[16];
        int hit[16];
        bound(boxes[g], q, d2);
        const int hits = lanes_below(d2, &far[g * 16], hit);
        for (int h = 0; h < hits; h++) update(g * 16 + hit[h], q);
        top_far[g] = largest(&far[g * 16], 16);
    }
    // Brings near up to date with a new pick. Returns the largest that is left.
    unsigned approach(const float* q) {
        for (long t = 0; t < top.count; t++) {
            float d2[16];
            int hit[16];
            bound(top[t], q, d2);
            const int hits = lanes_below(d2, &top_far[t * 16], hit);
            for (int h = 0; h < hits; h++) approach_group(t * 16 + hit[h], q);
        }
        return largest(&top_far[0], top_far.count);
    }
    // The smallest index of those whose near is `most`, which is the largest.
    int farthest(unsigned most) const {
        if (most == 0) return 0;  // every position is picked: all points tie
        int found = INT_MAX, group[16], inside[16];
        for (long t = 0; t < top.count; t++)
            for (int g = lanes_equal(&top_far[t * 16], most, group) - 1; g >= 0; g--)
                for (int k = lanes_equal(&far[(t * 16 + group[g]) * 16], most, inside) - 1; k >= 0; k--) {
                    const Block& here = block[(t * 16 + group[g]) * 16 + inside[k]];
                    for (int i = 0; i < 64; i++) found = std::min(found, here.near[i] == most ? here.index[i] : INT_MAX);
                }
        return found == INT_MAX ? 0 : found;
    }
};
"""
_CPU = """
const long batch = in0_shape0, points = in0_shape1, count = out0_shape1;
#pragma omp parallel for schedule(static) if (batch > 1)
for (long b = 0; b < batch; b++) {
    const float* p = in0_p + b * points * 3;
    int* picked = out0_p + b * count;
    double sum[3] = {0, 0, 0};
    for (long i = 0; i < points; i++) for (int c = 0; c < 3; c++) sum[c] += p[i * 3 + c];
    const float centre[3] = {(float)(sum[0] / points), (float)(sum[1] / points), (float)(sum[2] / points)};
    if (points < BLOCKS_FROM) { pick_plainly(p, points, centre, count, picked); continue; }
    Cloud cloud(p, points);
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
