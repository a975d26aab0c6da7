"""The loops of ops/soft_raster.py on CUDA, forward and backward. They have not yet run on a GPU; tests/ops/test_cuda_texts.py runs them on a CPU.

Forward: a block draws a tile; it looks through all faces, 256 at a time, and each thread visits those that reach the tile, in their order, for
its pixel. Backward: a block goes over the pixels that a face reaches and adds up its gradient in a fixed order. Nothing is added by whoever
comes first, so the same input gives the same bits.
"""

from ops.soft_raster_face import FACE
from ops.soft_raster_kernels import VIEW

CUDA_HEADER = """
__device__ static inline float exp_fast(float x) { return expf(x < -87.f ? -87.f : x > 87.f ? 87.f : x); }
__device__ static inline double exp_fast(double x) { return exp(x < -700. ? -700. : x > 700. ? 700. : x); }
""" + FACE + """
namespace soft_raster {
constexpr int PIXELS = TILE * TILE, LANES = 128;
struct Here { Span tile; long row, column; bool there; };
template<class T> __device__ static inline Here here(const View<T>& v) {
    const long across = (v.width + TILE - 1) / TILE, top = blockIdx.x / across * TILE, left = blockIdx.x % across * TILE;
    const long bottom = top + TILE < v.height ? top + TILE : v.height, right = left + TILE < v.width ? left + TILE : v.width;
    const long row = top + threadIdx.x / TILE, column = left + threadIdx.x % TILE;
    return {{top, bottom, left, right}, row, column, row < bottom && column < right};
}
// Of faces start .. start + 255 those that reach the tile. All threads of the block call it, before and after they read `reaches`.
template<class T> __device__ static inline void look(const T* corners, const View<T>& v, const Span& tile, long start, bool* reaches) {
    bool reached = false;
    __syncthreads();
    if (start + threadIdx.x < v.faces) {
        const Face<T> face(corners + 9 * (start + threadIdx.x));
        const Span s = both(tile, face.span(v));
        reached = face.drawn(v) && s.top < s.bottom && s.left < s.right;
    }
    reaches[threadIdx.x] = reached;
    __syncthreads();
}

template<class T> __global__ static void clearness(const T* corners, View<T> v, T* clear) {
    __shared__ bool reaches[PIXELS];
    const Here h = here(v);
    corners += blockIdx.y * 9 * v.faces;
    const T x = centre_x(h.column, v), y = centre_y(h.row, v);
    T left_over = 1;
    for (long start = 0; start < v.faces; start += PIXELS) {
        look(corners, v, h.tile, start, reaches);
        for (int k = 0; k < PIXELS; k++) {
            if (!reaches[k]) continue;
            const T ex = exponent(place(Face<T>(corners + 9 * (start + k)), x, y), v.sigma);
            left_over *= ex > v.lowest ? 1 / (1 + exp_fast(ex)) : (T)1;
        }
    }
    if (h.there) clear[(blockIdx.y * v.height + h.row) * v.width + h.column] = left_over;
}

template<class T> __global__ static void mixture(const T* corners, const T* values, const T* background, long channels, View<T> v, T* image, T* top,
                                                 T* total) {
    __shared__ bool reaches[PIXELS];
    const Here h = here(v);
    corners += blockIdx.y * 9 * v.faces;
    values += blockIdx.y * 3 * channels * v.faces;
    const T x = centre_x(h.column, v), y = centre_y(h.row, v);
    T best = v.background, sum = 1, mixed[MOST_CHANNELS];
    for (long c = 0; c < channels; c++) mixed[c] = background[c];
    for (long start = 0; start < v.faces; start += PIXELS) {
        look(corners, v, h.tile, start, reaches);
        for (int k = 0; k < PIXELS; k++) {
            if (!reaches[k]) continue;
            const Face<T> face(corners + 9 * (start + k));
            const T ex = exponent(place(face, x, y), v.sigma);
            if (ex <= v.lowest) continue;
            const Blend<T> m = blend(face, values + 3 * channels * (start + k), channels, x, y, v.perspective);
            const T nearness = (v.far - m.z) / (v.far - v.near);
            if (nearness > best) {    // what there is counts less by this much
                const T less = exp_fast((best - nearness) / v.gamma);
                best = nearness;
                sum *= less;
                for (long c = 0; c < channels; c++) mixed[c] *= less;
            }
            const T weight = exp_fast((nearness - best) / v.gamma) / (1 + exp_fast(-ex));
            sum += weight;
            for (long c = 0; c < channels; c++) mixed[c] += weight * m.value[c];
        }
    }
    if (!h.there) return;
    const long p = (blockIdx.y * v.height + h.row) * v.width + h.column;
    top[p] = best;
    total[p] = sum;
    for (long c = 0; c < channels; c++) image[p * channels + c] = mixed[c] / sum;
}

// The sum over the block's threads, in a fixed order; every thread gets it.
template<class T> __device__ static inline T block_sum(T part, T* parts) {
    __syncthreads();
    parts[threadIdx.x] = part;
    __syncthreads();
    for (int half = LANES / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) parts[threadIdx.x] += parts[threadIdx.x + half];
        __syncthreads();
    }
    return parts[0];
}
// The pixels that a face reaches, shared out to the block's threads: none where it is not drawn.
template<class T> struct Reach {
    Span s;
    long wide, count;
    __device__ Reach(const Face<T>& face, const View<T>& v) : s(face.span(v)) {
        wide = s.right - s.left;
        count = face.drawn(v) && s.top < s.bottom && wide > 0 ? wide * (s.bottom - s.top) : 0;
    }
};

template<class T> __global__ static void clearness_back(const T* corners, View<T> v, const T* clear, const T* grad, T* out) {
    __shared__ T parts[LANES];
    const long at = blockIdx.y * v.faces + blockIdx.x, first = blockIdx.y * v.height * v.width;
    const Face<T> face(corners + 9 * at);
    const Reach<T> reach(face, v);
    T sum[9] = {0, 0, 0, 0, 0, 0, 0, 0, 0};
    for (long k = threadIdx.x; k < reach.count; k += LANES) {
        const long i = reach.s.top + k / reach.wide, j = reach.s.left + k % reach.wide, pixel = first + i * v.width + j;
        const Place<T> p = place(face, centre_x(j, v), centre_y(i, v));
        const T ex = exponent(p, v.sigma);
        if (ex <= v.lowest) continue;
        const T c = 2 * p.sign / v.sigma * grad[pixel] * clear[pixel] / (1 + exp_fast(-ex));
        const int end = (p.edge + 1) % 3;
        sum[3 * p.edge] += c * (1 - p.along) * p.dx;
        sum[3 * p.edge + 1] += c * (1 - p.along) * p.dy;
        sum[3 * end] += c * p.along * p.dx;
        sum[3 * end + 1] += c * p.along * p.dy;
    }
    for (int k = 0; k < 9; k++) {
        const T whole = block_sum(sum[k], parts);
        if (threadIdx.x == 0) out[9 * at + k] = whole;
    }
}

template<class T> __global__ static void mixture_back(const T* corners, const T* values, long channels, View<T> v, const T* image, const T* top,
                                                      const T* total, const T* grad, T* out_corners, T* out_values) {
    __shared__ T parts[LANES];
    const long at = blockIdx.y * v.faces + blockIdx.x, first = blockIdx.y * v.height * v.width;
    const Face<T> face(corners + 9 * at);
    const Reach<T> reach(face, v);
    T dcorner[9], dvalue[3 * MOST_CHANNELS];
    for (int k = 0; k < 9; k++) dcorner[k] = 0;
    for (int k = 0; k < 3 * channels; k++) dvalue[k] = 0;
    for (long k = threadIdx.x; k < reach.count; k += LANES) {
        const long i = reach.s.top + k / reach.wide, j = reach.s.left + k % reach.wide, p = first + i * v.width + j;
        mixture_back_at(face, values + 3 * channels * at, channels, v, centre_x(j, v), centre_y(i, v), image + p * channels, top[p], total[p],
                        grad + p * channels, dcorner, dvalue);
    }
    for (int k = 0; k < 9; k++) {
        const T whole = block_sum(dcorner[k], parts);
        if (threadIdx.x == 0) out_corners[9 * at + k] = whole;
    }
    for (int k = 0; k < 3 * channels; k++) {
        const T whole = block_sum(dvalue[k], parts);
        if (threadIdx.x == 0) out_values[3 * channels * at + k] = whole;
    }
}
}
using namespace soft_raster;
"""

_TILES = VIEW + """
    const dim3 tiles(((v.width + TILE - 1) / TILE) * ((v.height + TILE - 1) / TILE), batch), each_face(v.faces, batch);
"""
# inputs and outputs as in ops/soft_raster_kernels.py
CLEAR = _TILES + """
    clearness<T><<<tiles, PIXELS>>>(in0_p, v, out0_p);
"""
CLEAR_BACK = _TILES + """
    clearness_back<T><<<each_face, LANES>>>(in0_p, v, in1_p, in2_p, out0_p);
"""
MIX = _TILES + """
    mixture<T><<<tiles, PIXELS>>>(in0_p, in1_p, in2_p, in1_shape3, v, out0_p, out1_p, out2_p);
"""
MIX_BACK = _TILES + """
    mixture_back<T><<<each_face, LANES>>>(in0_p, in1_p, in1_shape3, v, in2_p, in3_p, in4_p, in5_p, out0_p, out1_p);
"""
