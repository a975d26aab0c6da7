"""Nearest neighbours through a tree of boxes, exact. Letters: B batch, Q queries, M sources, K neighbours.

On the CPU each cloud of sources becomes a tree with 16 points to a leaf and 16 boxes to a node (ops/point_tree.py); a query goes down
nearest box first and leaves out every box whose bound exceeds its k-th distance so far. At 256 sources that is level with comparing all
pairs, above it is faster. On CUDA all pairs are compared; that text has not yet run on a GPU. Plain twin: geometry/neighbors.py.
"""

import jittor as jt

from ops.kernels import require, require_float, require_shape
from ops.point_tree import TREE_HEADER

MOST_NEIGHBORS = 64  # the sorted lists of a query have that many places

_CPU_HEADER = TREE_HEADER + """
#include <memory>
typedef long long Key;  // bits of a squared distance, then the source's index: sorting keys sorts by distance, ties by index

struct Leaf { float x[16], y[16], z[16]; int index[16]; };
struct Tree {
    const long count;
    Lines<Leaf> leaves;
    std::vector<Lines<Boxes>> levels;  // levels[0]: boxes of the leaves by 16; levels[1]: boxes of those groups by 16; ... one group
    std::vector<long> boxes;           // on each level

    Tree(const float* points, long count) : count(count), leaves((count + 15) / 16) {
        std::vector<Spot> spots = make_spots(points, count);
        sort_into_blocks(spots.data(), count, 16);
        std::vector<float> low(leaves.count * 3), high(leaves.count * 3);
        for (long i = 0; i < leaves.count; i++) {
            for (long l = 0; l < 16; l++) {
                const int index = leaves[i].index[l] = spots[std::min(i * 16 + l, count - 1)].index;
                leaves[i].x[l] = points[index * 3l];
                leaves[i].y[l] = points[index * 3l + 1];
                leaves[i].z[l] = points[index * 3l + 2];
            }
            const float* axes[3] = {leaves[i].x, leaves[i].y, leaves[i].z};
            for (int c = 0; c < 3; c++) low[i * 3 + c] = *std::min_element(axes[c], axes[c] + 16);
            for (int c = 0; c < 3; c++) high[i * 3 + c] = *std::max_element(axes[c], axes[c] + 16);
        }
        for (long held = leaves.count; levels.empty() || levels.back().count > 1; held = levels.back().count) add_level(held, low, high);
    }
    // Groups the first boxes of low and high by 16, and leaves the boxes of the groups there.
    void add_level(long held, std::vector<float>& low, std::vector<float>& high) {
        boxes.push_back(held);
        levels.emplace_back((held + 15) / 16);
        std::fill_n((float*)levels.back().items, levels.back().count * 96, 0.f);
        for (long i = 0; i < held; i++)
            for (int c = 0; c < 3; c++) {
                const float least = low[i * 3 + c], most = high[i * 3 + c];
                levels.back()[i / 16].low[c][i % 16] = least;
                levels.back()[i / 16].high[c][i % 16] = most;
                low[i / 16 * 3 + c] = i % 16 ? std::min(least, low[i / 16 * 3 + c]) : least;
                high[i / 16 * 3 + c] = i % 16 ? std::max(most, high[i / 16 * 3 + c]) : most;
            }
    }
};

typedef Key Keys __attribute__((vector_size(32)));
static inline Keys after(Keys before, Keys keys) {  // the last of before, then the first three of keys
#ifdef __clang__
    return __builtin_shufflevector(before, keys, 3, 4, 5, 6);
#else
    return __builtin_shuffle(before, keys, Keys{3, 4, 5, 6});
#endif
}

// The k <= 4 V nearest sources of one query.
template <int V> struct Search {
    const Tree& tree;
    const float* q;
    const int k;
    int worst;        // bits of the k-th distance so far
    Keys found[V];    // ascending
    Search(const Tree& tree, const float* q, int k) : tree(tree), q(q), k(k), worst(INT_MAX) {
        for (int v = 0; v < V; v++) found[v] = Keys{} + LLONG_MAX;
        visit((int)tree.levels.size() - 1, 0);
    }
    void leaf(long node) {
        const Leaf& here = tree.leaves[node];
        const float qx = q[0], qy = q[1], qz = q[2];
        float d2[16];
        int near[16], count = 0;
        const int held = (int)std::min(16l, tree.count - node * 16);
        for (int l = 0; l < 16; l++) d2[l] = squared(here.x[l] - qx, here.y[l] - qy, here.z[l] - qz);
        for (int l = 0; l < 16; l++) { near[count] = l; count += (bits_of(d2[l]) <= worst) & (l < held); }
        if (count == 0) return;
        Keys list[V];
        for (int v = 0; v < V; v++) list[v] = found[v];
        for (int i = 0; i < count; i++) {
            const Keys key = Keys{} + ((Key)bits_of(d2[near[i]]) << 32 | here.index[near[i]]);
            for (int v = V - 1; v >= 0; v--) {
                const Keys shifted = after(v ? list[v - 1] : Keys{} - 1, list[v]), low = shifted > key ? shifted : key;
                list[v] = list[v] < low ? list[v] : low;
            }
        }
        for (int v = 0; v < V; v++) found[v] = list[v];
        worst = (int)(found[(k - 1) / 4][(k - 1) % 4] >> 32);
    }
    void visit(int level, long node) {
        float d2[16];
        int key[16], rank[16], sorted[16];
        const int held = (int)std::min(16l, tree.boxes[level] - node * 16);
        bound(tree.levels[level][node], q, d2);
        for (int l = 0; l < 16; l++) key[l] = ((l < held ? bits_of(d2[l]) : INT_MAX) & ~15) | l;
        for (int l = 0; l < 16; l++) rank[l] = 0;
        for (int j = 0; j < 16; j++)
            for (int l = 0; l < 16; l++) rank[l] += key[j] < key[l];
        for (int l = 0; l < 16; l++) sorted[rank[l]] = key[l];
        for (int i = 0; i < held && sorted[i] <= (worst | 15); i++) {
            if (level == 0) leaf(node * 16 + (sorted[i] & 15));
            else visit(level - 1, node * 16 + (sorted[i] & 15));
        }
    }
};
template <int V> static inline void search(const Tree& tree, const float* q, int k, Key* out) {
    const Search<V> done(tree, q, k);
    for (int i = 0; i < k; i++) out[i] = done.found[i / 4][i % 4];
}
static inline void search(const Tree& tree, const float* q, int k, Key* out) {
    switch ((k + 3) / 4) {
        case 1: return search<1>(tree, q, k, out);
        case 2: return search<2>(tree, q, k, out);
        case 3: return search<3>(tree, q, k, out);
        case 4: return search<4>(tree, q, k, out);
        case 5: case 6: return search<6>(tree, q, k, out);
        case 7: case 8: return search<8>(tree, q, k, out);
        default: return search<16>(tree, q, k, out);
    }
}
"""
_CPU = """
const long batch = in0_shape0, queries = in0_shape1, sources = in1_shape1, k = out0_shape2;
std::vector<std::unique_ptr<Tree>> trees(batch);
#pragma omp parallel
{
    #pragma omp single
    for (long b = 0; b < batch; b++) {
        #pragma omp task
        trees[b].reset(new Tree(in1_p + b * sources * 3, sources));
    }
    #pragma omp for schedule(dynamic, 64) nowait
    for (long row = 0; row < batch * queries; row++) {
        Key found[64];
        search(*trees[row / queries], in0_p + row * 3, (int)k, found);
        float *best = out0_p + row * k, *weight = out2_p + row * k, total = 0;
        for (long i = 0; i < k; i++) {
            best[i] = float_of((int)(found[i] >> 32));
            out1_p[row * k + i] = std::min(sources - 1, (long)(found[i] & INT_MAX));
        }
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
