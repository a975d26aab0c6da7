"""The loops of ops/soft_raster.py on the CPU, over tiles, faces and pixels, forward and backward."""

from ops.kernels import EXP_HEADER
from ops.soft_raster_face import FACE

HEADER = EXP_HEADER + """
#include <algorithm>
#include <cmath>
#include <vector>
static inline double exp_fast(double x) { return std::exp(x < -700. ? -700. : x > 700. ? 700. : x); }
""" + FACE + """
namespace soft_raster {
// Faces of each tile, tiles row by row: face[first[t]] .. face[first[t + 1] - 1].
struct Tiles {
    long across, count;
    std::vector<long> first;
    std::vector<int> face;
    Span of(long t, long height, long width) const {
        const long top = t / across * TILE, left = t % across * TILE;
        return {top, std::min(top + TILE, height), left, std::min(left + TILE, width)};
    }
};
template<class T> static Tiles sorted(const T* corners, const View<T>& v) {
    Tiles tiles;
    tiles.across = (v.width + TILE - 1) / TILE;
    tiles.count = tiles.across * ((v.height + TILE - 1) / TILE);
    tiles.first.assign(tiles.count + 1, 0);
    std::vector<long> at;
    for (int fill = 0; fill < 2; fill++) {
        for (long f = 0; f < v.faces; f++) {
            const Face<T> face(corners + 9 * f);
            if (!face.drawn(v)) continue;
            const Span s = face.span(v);
            if (s.top >= s.bottom || s.left >= s.right) continue;
            for (long row = s.top / TILE; row <= (s.bottom - 1) / TILE; row++)
                for (long column = s.left / TILE; column <= (s.right - 1) / TILE; column++) {
                    const long t = row * tiles.across + column;
                    if (fill) tiles.face[at[t]++] = (int)f; else tiles.first[t + 1]++;
                }
        }
        if (fill) break;
        for (long t = 0; t < tiles.count; t++) tiles.first[t + 1] += tiles.first[t];
        tiles.face.resize(tiles.first[tiles.count]);
        at.assign(tiles.first.begin(), tiles.first.end() - 1);
    }
    return tiles;
}
template<class T> static void clearness(const T* corners, const View<T>& v, T* clear) {
    const Tiles tiles = sorted(corners, v);
    #pragma omp parallel for schedule(dynamic, 1)
    for (long t = 0; t < tiles.count; t++) {
        const Span box = tiles.of(t, v.height, v.width);
        T left_over[TILE * TILE];
        for (T& c : left_over) c = 1;
        for (long e = tiles.first[t]; e < tiles.first[t + 1]; e++) {
            const Face<T> face(corners + 9 * tiles.face[e]);
            const Span s = both(box, face.span(v));
            for (long i = s.top; i < s.bottom; i++) {
                const T y = centre_y(i, v);
                T* row = left_over + (i - box.top) * TILE - box.left;
                for (long j = s.left; j < s.right; j++) {
                    const T ex = exponent(place(face, centre_x(j, v), y), v.sigma);
                    row[j] *= ex > v.lowest ? 1 / (1 + exp_fast(ex)) : (T)1;
                }
            }
        }
        for (long i = box.top; i < box.bottom; i++)
            for (long j = box.left; j < box.right; j++) clear[i * v.width + j] = left_over[(i - box.top) * TILE + j - box.left];
    }
}

// d clear / d exponent_j = -clear D_j; d (d^2) / d corner = -2 (1 - t or t) (p - nearest point).
template<class T> static void clearness_back(const T* corners, const View<T>& v, const T* clear, const T* grad, T* out) {
    const Tiles tiles = sorted(corners, v);
    std::vector<T> parts(6 * tiles.face.size());
    #pragma omp parallel for schedule(dynamic, 1)
    for (long t = 0; t < tiles.count; t++) {
        const Span box = tiles.of(t, v.height, v.width);
        for (long e = tiles.first[t]; e < tiles.first[t + 1]; e++) {
            const Face<T> face(corners + 9 * tiles.face[e]);
            const Span s = both(box, face.span(v));
            T sx0 = 0, sx1 = 0, sx2 = 0, sy0 = 0, sy1 = 0, sy2 = 0;
            for (long i = s.top; i < s.bottom; i++) {
                const T y = centre_y(i, v);
                for (long j = s.left; j < s.right; j++) {
                    const Place<T> p = place(face, centre_x(j, v), y);
                    const T ex = exponent(p, v.sigma), pull = grad[i * v.width + j] * clear[i * v.width + j];
                    const T c = ex > v.lowest ? 2 * p.sign / v.sigma * pull / (1 + exp_fast(-ex)) : (T)0;
                    const T start_x = c * (1 - p.along) * p.dx, start_y = c * (1 - p.along) * p.dy, end_x = c * p.along * p.dx,
                            end_y = c * p.along * p.dy;
                    sx0 += p.edge == 0 ? start_x : p.edge == 2 ? end_x : (T)0;
                    sy0 += p.edge == 0 ? start_y : p.edge == 2 ? end_y : (T)0;
                    sx1 += p.edge == 1 ? start_x : p.edge == 0 ? end_x : (T)0;
                    sy1 += p.edge == 1 ? start_y : p.edge == 0 ? end_y : (T)0;
                    sx2 += p.edge == 2 ? start_x : p.edge == 1 ? end_x : (T)0;
                    sy2 += p.edge == 2 ? start_y : p.edge == 1 ? end_y : (T)0;
                }
            }
            T* part = parts.data() + 6 * e;
            part[0] = sx0; part[1] = sy0; part[2] = sx1; part[3] = sy1; part[4] = sx2; part[5] = sy2;
        }
    }
    std::fill(out, out + 9 * v.faces, (T)0);
    for (size_t e = 0; e < tiles.face.size(); e++)
        for (int k = 0; k < 3; k++)
            for (int a = 0; a < 2; a++) out[9 * (long)tiles.face[e] + 3 * k + a] += parts[6 * e + 2 * k + a];
}

template<class T> static void mixture(const T* corners, const T* values, const T* background, long channels, const View<T>& v, T* image,
                                      T* top, T* total) {
    const Tiles tiles = sorted(corners, v);
    #pragma omp parallel for schedule(dynamic, 1)
    for (long t = 0; t < tiles.count; t++) {
        const Span box = tiles.of(t, v.height, v.width);
        for (long i = box.top; i < box.bottom; i++) for (long j = box.left; j < box.right; j++) {
            const long p = i * v.width + j;
            top[p] = v.background;
            total[p] = 1;
            for (long c = 0; c < channels; c++) image[p * channels + c] = background[c];
        }
        for (long e = tiles.first[t]; e < tiles.first[t + 1]; e++) {
            const Face<T> face(corners + 9 * tiles.face[e]);
            const T* value = values + 3 * channels * tiles.face[e];
            const Span s = both(box, face.span(v));
            for (long i = s.top; i < s.bottom; i++) for (long j = s.left; j < s.right; j++) {
                const T x = centre_x(j, v), y = centre_y(i, v), ex = exponent(place(face, x, y), v.sigma);
                if (ex <= v.lowest) continue;
                const long p = i * v.width + j;
                const Blend<T> m = blend(face, value, channels, x, y, v.perspective);
                const T nearness = (v.far - m.z) / (v.far - v.near);
                if (nearness > top[p]) {    // what there is counts less by this much
                    const T less = exp_fast((top[p] - nearness) / v.gamma);
                    top[p] = nearness;
                    total[p] *= less;
                    for (long c = 0; c < channels; c++) image[p * channels + c] *= less;
                }
                const T weight = exp_fast((nearness - top[p]) / v.gamma) / (1 + exp_fast(-ex));
                total[p] += weight;
                for (long c = 0; c < channels; c++) image[p * channels + c] += weight * m.value[c];
            }
        }
        for (long i = box.top; i < box.bottom; i++) for (long j = box.left; j < box.right; j++)
            for (long c = 0; c < channels; c++) image[(i * v.width + j) * channels + c] /= total[i * v.width + j];
    }
}

template<class T> static void mixture_back(const T* corners, const T* values, long channels, const View<T>& v, const T* image, const T* top,
                                           const T* total, const T* grad, T* out_corners, T* out_values) {
    const Tiles tiles = sorted(corners, v);
    const long size = 9 + 3 * channels;
    std::vector<T> parts(size * tiles.face.size(), (T)0);
    #pragma omp parallel for schedule(dynamic, 1)
    for (long t = 0; t < tiles.count; t++) {
        const Span box = tiles.of(t, v.height, v.width);
        for (long e = tiles.first[t]; e < tiles.first[t + 1]; e++) {
            const Face<T> f(corners + 9 * tiles.face[e]);
            const T* value = values + 3 * channels * tiles.face[e];
            T *dcorner = parts.data() + size * e, *dvalue = dcorner + 9;
            const Span s = both(box, f.span(v));
            for (long i = s.top; i < s.bottom; i++) for (long j = s.left; j < s.right; j++) {
                const long p = i * v.width + j;
                mixture_back_at(f, value, channels, v, centre_x(j, v), centre_y(i, v), image + p * channels, top[p], total[p],
                                grad + p * channels, dcorner, dvalue);
            }
        }
    }
    std::fill(out_corners, out_corners + 9 * v.faces, (T)0);
    std::fill(out_values, out_values + 3 * channels * v.faces, (T)0);
    for (size_t e = 0; e < tiles.face.size(); e++) {
        const long f = tiles.face[e];
        for (int k = 0; k < 9; k++) out_corners[9 * f + k] += parts[size * e + k];
        for (long k = 0; k < 3 * channels; k++) out_values[3 * channels * f + k] += parts[size * e + 9 + k];
    }
}
}
using namespace soft_raster;
"""

VIEW = """
    typedef in0_type T;
    const long batch = in0_shape0;
    const View<T> v = {(long)data["height"], (long)data["width"], in0_shape1, (T)data["sigma"], (T)data["gamma"], (T)data["near"],
                       (T)data["far"], (T)data["background"], (T)data["lowest"], (T)data["reach"], data["perspective"] != 0};
    const long pixels = v.height * v.width;
"""
# in: corners (B, F, 3, 3); out: clear (B, H, W)
CLEAR = VIEW + """
    for (long b = 0; b < batch; b++) clearness(in0_p + b * 9 * v.faces, v, out0_p + b * pixels);
"""
# in: corners, clear, grad (B, H, W); out: gradient of the corners
CLEAR_BACK = VIEW + """
    for (long b = 0; b < batch; b++)
        clearness_back(in0_p + b * 9 * v.faces, v, in1_p + b * pixels, in2_p + b * pixels, out0_p + b * 9 * v.faces);
"""
# in: corners, values (B, F, 3, C), background (C,); out: image (B, H, W, C), top and total (B, H, W)
MIX = VIEW + """
    const long channels = in1_shape3;
    for (long b = 0; b < batch; b++)
        mixture(in0_p + b * 9 * v.faces, in1_p + b * 3 * channels * v.faces, in2_p, channels, v, out0_p + b * pixels * channels,
                out1_p + b * pixels, out2_p + b * pixels);
"""
# in: corners, values, image, top, total, grad (B, H, W, C); out: gradients of corners and values
MIX_BACK = VIEW + """
    const long channels = in1_shape3;
    for (long b = 0; b < batch; b++)
        mixture_back(in0_p + b * 9 * v.faces, in1_p + b * 3 * channels * v.faces, channels, v, in2_p + b * pixels * channels,
                     in3_p + b * pixels, in4_p + b * pixels, in5_p + b * pixels * channels, out0_p + b * 9 * v.faces,
                     out1_p + b * 3 * channels * v.faces);
"""
