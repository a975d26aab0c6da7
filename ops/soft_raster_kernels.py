"""The C++ of ops/soft_raster.py: what a face is to a pixel, and the loops over tiles, faces and pixels, forward and backward."""

from ops.kernels import EXP_HEADER

# Numbers, the lists of the tiles, and what a face is to a pixel. `exponent` is +-d^2 / sigma, D = 1 / (1 + exp(-exponent)).
HEADER = EXP_HEADER + """
#include <algorithm>
#include <cmath>
#include <vector>
static inline double exp_fast(double x) { return std::exp(x < -700. ? -700. : x > 700. ? 700. : x); }

namespace soft_raster {
constexpr int TILE = 16, MOST_CHANNELS = 16;

template<class T> struct View {
    long height, width, faces;
    T sigma, gamma, near, far, background, lowest, reach;    // lowest: the exponent under which a face is cut; reach: where that is
    bool perspective;
};

struct Span { long top, bottom, left, right; };    // rows [top, bottom), columns [left, right)

static inline long bounded(double x, long most) { return x < 0. ? 0 : x > most ? most : (long)x; }

// The face's corners, edges k -> k + 1, and turn: +1 or -1 for the way round, over twice the area where shares are asked for.
template<class T> struct Face {
    T x[3], y[3], z[3], ex[3], ey[3], inverse[3], turn, area;
    explicit Face(const T* corner) {
        for (int k = 0; k < 3; k++) { x[k] = corner[3 * k]; y[k] = corner[3 * k + 1]; z[k] = corner[3 * k + 2]; }
        for (int k = 0; k < 3; k++) {
            ex[k] = x[(k + 1) % 3] - x[k];
            ey[k] = y[(k + 1) % 3] - y[k];
            inverse[k] = 1 / (ex[k] * ex[k] + ey[k] * ey[k]);
        }
        const T twice = ex[0] * (y[2] - y[0]) - ey[0] * (x[2] - x[0]);
        turn = twice < 0 ? -1 : 1;
        area = twice * turn;
    }
    bool drawn(const View<T>& v) const {
        for (int k = 0; k < 3; k++) if (!(z[k] >= v.near && z[k] <= v.far)) return false;
        return area > (T)1e-10;
    }
    Span span(const View<T>& v) const {
        const double h = v.height, w = v.width;
        const double low_x = std::min({x[0], x[1], x[2]}) - v.reach, high_x = std::max({x[0], x[1], x[2]}) + v.reach;
        const double low_y = std::min({y[0], y[1], y[2]}) - v.reach, high_y = std::max({y[0], y[1], y[2]}) + v.reach;
        return {bounded(std::ceil((h - 1 - high_y * h) / 2), v.height), bounded(std::floor((h - 1 - low_y * h) / 2) + 1, v.height),
                bounded(std::ceil((low_x * h + w - 1) / 2), v.width), bounded(std::floor((high_x * h + w - 1) / 2) + 1, v.width)};
    }
};

// Where a pixel lies: offset from the nearest point of the outline, that point's place on its edge, and the sign.
template<class T> struct Place { T dx, dy, along, sign; int edge; };
template<class T> static inline Place<T> place(const Face<T>& f, T px, T py) {
    T best = 0, dx = 0, dy = 0, along = 0, least = 0;
    int edge = 0;
    for (int k = 0; k < 3; k++) {
        const T fx = px - f.x[k], fy = py - f.y[k], side = f.turn * (f.ex[k] * fy - f.ey[k] * fx);
        T t = (fx * f.ex[k] + fy * f.ey[k]) * f.inverse[k];
        t = t < 0 ? 0 : t > 1 ? 1 : t;
        const T ox = fx - t * f.ex[k], oy = fy - t * f.ey[k], d2 = ox * ox + oy * oy;
        const bool nearer = k == 0 || d2 < best;
        best = nearer ? d2 : best; dx = nearer ? ox : dx; dy = nearer ? oy : dy; along = nearer ? t : along; edge = nearer ? k : edge;
        least = k == 0 || side < least ? side : least;
    }
    return {dx, dy, along, least >= 0 ? (T)1 : (T)-1, edge};
}
template<class T> static inline T exponent(const Place<T>& p, T sigma) { return p.sign * (p.dx * p.dx + p.dy * p.dy) / sigma; }

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
static inline Span both(const Span& a, const Span& b) {
    return {std::max(a.top, b.top), std::min(a.bottom, b.bottom), std::max(a.left, b.left), std::min(a.right, b.right)};
}
template<class T> static inline T centre_x(long j, const View<T>& v) { return (2 * j + 1 - v.width) / (T)v.height; }
template<class T> static inline T centre_y(long i, const View<T>& v) { return (v.height - 1 - 2 * i) / (T)v.height; }

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

// A face's values at a pixel: shares b of the corners (clipped at 0, sum 1; raw and its sum before clipping are kept for the gradient).
template<class T> struct Blend { T raw[3], b[3], r[3], q, z, value[MOST_CHANNELS], clipped; };
template<class T> static inline Blend<T> blend(const Face<T>& f, const T* values, long channels, T px, T py, bool perspective) {
    Blend<T> m;
    m.clipped = 0;
    for (int k = 0; k < 3; k++) {
        const int e = (k + 1) % 3;    // the edge across from corner k
        m.raw[k] = f.turn * (f.ex[e] * (py - f.y[e]) - f.ey[e] * (px - f.x[e])) / f.area;
        m.b[k] = m.raw[k] > 0 ? m.raw[k] : (T)0;
        m.clipped += m.b[k];
    }
    m.q = m.z = 0;
    for (int k = 0; k < 3; k++) {
        m.b[k] /= m.clipped;
        m.r[k] = perspective ? 1 / f.z[k] : (T)1;
        m.q += m.b[k] * m.r[k];
        m.z += m.b[k] * f.z[k];
    }
    if (perspective) m.z = 1 / m.q;
    for (long c = 0; c < channels; c++) {
        T sum = 0;
        for (int k = 0; k < 3; k++) sum += m.b[k] * m.r[k] * values[k * channels + c];
        m.value[c] = sum / m.q;
    }
    return m;
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
                const T x = centre_x(j, v), y = centre_y(i, v);
                const Place<T> at = place(f, x, y);
                const T ex = exponent(at, v.sigma);
                if (ex <= v.lowest) continue;
                const long p = i * v.width + j;
                const T *g = grad + p * channels, *mixed = image + p * channels;
                const Blend<T> m = blend(f, value, channels, x, y, v.perspective);
                const T cover = 1 / (1 + exp_fast(-ex)), nearness = (v.far - m.z) / (v.far - v.near);
                const T weight = cover * exp_fast((nearness - top[p]) / v.gamma) / total[p];
                T gain = 0, along = 0;    // <g, value - mixed> and <g, value>
                for (long c = 0; c < channels; c++) { gain += g[c] * (m.value[c] - mixed[c]); along += g[c] * m.value[c]; }
                // by D: the outline's two corners
                const T pull = -2 * at.sign / v.sigma * weight * (1 - cover) * gain;
                const int start = at.edge, end = (at.edge + 1) % 3;
                dcorner[3 * start] += pull * (1 - at.along) * at.dx;
                dcorner[3 * start + 1] += pull * (1 - at.along) * at.dy;
                dcorner[3 * end] += pull * at.along * at.dx;
                dcorner[3 * end + 1] += pull * at.along * at.dy;
                // by z and by the values: the shares
                const T dz = -weight * gain / (v.gamma * (v.far - v.near));
                const T dq = -weight * along / m.q - (v.perspective ? dz * m.z * m.z : (T)0);
                T db[3], mean = 0;
                for (int k = 0; k < 3; k++) {
                    T dr = dq;    // by b r, at share k
                    for (long c = 0; c < channels; c++) {
                        dvalue[k * channels + c] += weight * g[c] * m.b[k] * m.r[k] / m.q;
                        dr += weight * g[c] / m.q * value[k * channels + c];
                    }
                    db[k] = m.r[k] * dr + (v.perspective ? (T)0 : dz * f.z[k]);
                    dcorner[3 * k + 2] += v.perspective ? -m.b[k] * dr * m.r[k] * m.r[k] : dz * m.b[k];
                    mean += db[k] * m.b[k];
                }
                T over = 0;    // sum of raw gradients times raw shares: every share changes with the area
                for (int k = 0; k < 3; k++) {
                    db[k] = m.raw[k] > 0 ? (db[k] - mean) / m.clipped : (T)0;
                    over += db[k] * m.raw[k];
                }
                for (int k = 0; k < 3; k++) {
                    const int a = (k + 1) % 3, b = (k + 2) % 3;
                    const T side = f.turn * (db[k] - over) / f.area;
                    dcorner[3 * a] += side * (f.y[b] - y);
                    dcorner[3 * a + 1] += side * (x - f.x[b]);
                    dcorner[3 * b] += side * (y - f.y[a]);
                    dcorner[3 * b + 1] += side * (f.x[a] - x);
                }
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

_VIEW = """
    typedef in0_type T;
    const long batch = in0_shape0;
    const View<T> v = {(long)data["height"], (long)data["width"], in0_shape1, (T)data["sigma"], (T)data["gamma"], (T)data["near"],
                       (T)data["far"], (T)data["background"], (T)data["lowest"], (T)data["reach"], data["perspective"] != 0};
    const long pixels = v.height * v.width;
"""
# in: corners (B, F, 3, 3); out: clear (B, H, W)
CLEAR = _VIEW + """
    for (long b = 0; b < batch; b++) clearness(in0_p + b * 9 * v.faces, v, out0_p + b * pixels);
"""
# in: corners, clear, grad (B, H, W); out: gradient of the corners
CLEAR_BACK = _VIEW + """
    for (long b = 0; b < batch; b++)
        clearness_back(in0_p + b * 9 * v.faces, v, in1_p + b * pixels, in2_p + b * pixels, out0_p + b * 9 * v.faces);
"""
# in: corners, values (B, F, 3, C), background (C,); out: image (B, H, W, C), top and total (B, H, W)
MIX = _VIEW + """
    const long channels = in1_shape3;
    for (long b = 0; b < batch; b++)
        mixture(in0_p + b * 9 * v.faces, in1_p + b * 3 * channels * v.faces, in2_p, channels, v, out0_p + b * pixels * channels,
                out1_p + b * pixels, out2_p + b * pixels);
"""
# in: corners, values, image, top, total, grad (B, H, W, C); out: gradients of corners and values
MIX_BACK = _VIEW + """
    const long channels = in1_shape3;
    for (long b = 0; b < batch; b++)
        mixture_back(in0_p + b * 9 * v.faces, in1_p + b * 3 * channels * v.faces, channels, v, in2_p + b * pixels * channels,
                     in3_p + b * pixels, in4_p + b * pixels, in5_p + b * pixels * channels, out0_p + b * 9 * v.faces,
                     out1_p + b * 3 * channels * v.faces);
"""
