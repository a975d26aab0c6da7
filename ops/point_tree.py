"""C++ text that ops/neighbors.py and ops/sampling.py include: points sorted into small boxes, and a box's distance.

A balanced k-d tree without pointers (Bentley, "Multidimensional binary search trees used for associative searching", 1975): the points
are reordered so that each run of ``leaf`` of them is a compact block, and the tree above is implied by the order.

Exactness. Distances are computed in one way everywhere (``squared``), so every path sees the same bits. A box's bound is computed
with the same rounding and then lowered by 1e-6, so that it never exceeds the distance of a point inside; distances are compared
by their bits, which order like the numbers as none is negative. Coordinates are sorted by their bits too: a NaN, which is not allowed but
happens, has a place then and cannot lead the sort out of its array.
"""

TREE_HEADER = """
#include <algorithm>
#include <climits>
#include <cfloat>
#include <cstdlib>
#include <cstring>
#include <vector>

// Storage on cache lines of its own, not initialised.
template <class T> struct Lines {
    T* items;
    const long count;
    explicit Lines(long count) : items((T*)aligned_alloc(64, (count * sizeof(T) + 63) / 64 * 64)), count(count) {}
    Lines(Lines&& other) : items(other.items), count(other.count) { other.items = nullptr; }
    Lines(const Lines&) = delete;
    ~Lines() { free(items); }
    T& operator[](long i) { return items[i]; }
    const T& operator[](long i) const { return items[i]; }
};

static inline float squared(float dx, float dy, float dz) {
#if defined(__FMA__) || defined(__aarch64__)
    return __builtin_fmaf(dz, dz, __builtin_fmaf(dy, dy, dx * dx));
#else
    return dx * dx + dy * dy + dz * dz;
#endif
}
static inline int bits_of(float x) { int i; memcpy(&i, &x, 4); return i; }
static inline float float_of(int i) { float x; memcpy(&x, &i, 4); return x; }
static inline int swap_order(int i) { return i ^ (i >> 31 & INT_MAX); }  // float bits <-> integers in the floats' order

struct Spot { int place[3], index; };  // place: coordinates through swap_order

static inline int longest_side(const Spot* spots, long count) {
    int axis = 0, low[4], high[4];
    for (int c = 0; c < 4; c++) { low[c] = INT_MAX; high[c] = INT_MIN; }
    for (long i = 0; i < count; i++)
        for (int c = 0; c < 3; c++) {
            low[c] = std::min(low[c], spots[i].place[c]);
            high[c] = std::max(high[c], spots[i].place[c]);
        }
    float side[3];
    for (int c = 0; c < 3; c++) side[c] = float_of(swap_order(high[c])) - float_of(swap_order(low[c]));
    for (int c = 1; c < 3; c++) axis = side[c] > side[axis] ? c : axis;
    return axis;
}
// Reorders until each run of `leaf` is a block. The left part is the largest power of two of leaves below all of them, so that aligned
// runs of 2, 4, 8, ... blocks are compact as well.
static void sort_into_blocks(Spot* spots, long count, long leaf) {
    if (count <= leaf) return;
    long half = leaf;
    while (half * 2 < count) half *= 2;
    const int axis = longest_side(spots, count);
    std::nth_element(spots, spots + half, spots + count, [axis](const Spot& a, const Spot& b) { return a.place[axis] < b.place[axis]; });
    #pragma omp task if (count > 4096)
    sort_into_blocks(spots, half, leaf);
    sort_into_blocks(spots + half, count - half, leaf);
    #pragma omp taskwait
}
static std::vector<Spot> make_spots(const float* points, long count) {
    std::vector<Spot> spots(count);
    for (long i = 0; i < count; i++) {
        for (int c = 0; c < 3; c++) spots[i].place[c] = swap_order(bits_of(points[i * 3 + c]));
        spots[i].index = (int)i;
    }
    return spots;
}

// Boxes of 16 blocks side by side.
struct Boxes { float low[3][16], high[3][16]; };
static inline float beyond(float low, float high, float q) { return std::max(std::max(low - q, q - high), 0.f); }
// At most the squared distance from q to any point in each box.
static inline void bound(const Boxes& box, const float* q, float* __restrict__ d2) {
    const float qx = q[0], qy = q[1], qz = q[2];
    for (int l = 0; l < 16; l++)
        d2[l] = squared(beyond(box.low[0][l], box.high[0][l], qx), beyond(box.low[1][l], box.high[1][l], qy),
                        beyond(box.low[2][l], box.high[2][l], qz)) * (1.f - 1e-6f);
}
"""
