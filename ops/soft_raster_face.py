"""The C++ of soft rasterisation that CPU and CUDA share: what a face is to a pixel. Definition: geometry/soft_raster.py."""

from ops.kernels import SHARED_HEADER

# Numbers, faces, places and blends. `exponent` is +-d^2 / sigma, D = 1 / (1 + exp(-exponent)). exp_fast comes from the machine's own header.
FACE = SHARED_HEADER + """
namespace soft_raster {
constexpr int TILE = 16, MOST_CHANNELS = 16;

template<class T> struct View {
    long height, width, faces;
    T sigma, gamma, near, far, background, lowest, reach;    // lowest: the exponent under which a face is cut; reach: where that is
    bool perspective;
};

struct Span { long top, bottom, left, right; };    // rows [top, bottom), columns [left, right)

BOTH long bounded(double x, long most) { return x < 0. ? 0 : x > most ? most : (long)x; }

template<class T> BOTH T least(const T* x) { const T two = x[1] < x[0] ? x[1] : x[0]; return x[2] < two ? x[2] : two; }
template<class T> BOTH T most(const T* x) { const T two = x[0] < x[1] ? x[1] : x[0]; return two < x[2] ? x[2] : two; }

// The face's corners, edges k -> k + 1, and turn: +1 or -1 for the way round, over twice the area where shares are asked for.
template<class T> struct Face {
    T x[3], y[3], z[3], ex[3], ey[3], inverse[3], turn, area;
    HERE explicit Face(const T* corner) {
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
    HERE bool drawn(const View<T>& v) const {
        for (int k = 0; k < 3; k++) if (!(z[k] >= v.near && z[k] <= v.far)) return false;
        return area > (T)1e-10;
    }
    HERE Span span(const View<T>& v) const {
        const double h = v.height, w = v.width;
        const double low_x = least(x) - v.reach, high_x = most(x) + v.reach;
        const double low_y = least(y) - v.reach, high_y = most(y) + v.reach;
        return {bounded(ceil((h - 1 - high_y * h) / 2), v.height), bounded(floor((h - 1 - low_y * h) / 2) + 1, v.height),
                bounded(ceil((low_x * h + w - 1) / 2), v.width), bounded(floor((high_x * h + w - 1) / 2) + 1, v.width)};
    }
};

// Where a pixel lies: offset from the nearest point of the outline, that point's place on its edge, and the sign.
template<class T> struct Place { T dx, dy, along, sign; int edge; };
template<class T> BOTH Place<T> place(const Face<T>& f, T px, T py) {
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
template<class T> BOTH T exponent(const Place<T>& p, T sigma) { return p.sign * (p.dx * p.dx + p.dy * p.dy) / sigma; }

BOTH Span both(const Span& a, const Span& b) {
    return {a.top > b.top ? a.top : b.top, a.bottom < b.bottom ? a.bottom : b.bottom, a.left > b.left ? a.left : b.left,
            a.right < b.right ? a.right : b.right};
}
template<class T> BOTH T centre_x(long j, const View<T>& v) { return (2 * j + 1 - v.width) / (T)v.height; }
template<class T> BOTH T centre_y(long i, const View<T>& v) { return (v.height - 1 - 2 * i) / (T)v.height; }

// A face's values at a pixel: shares b of the corners (clipped at 0, sum 1; raw and its sum before clipping are kept for the gradient).
template<class T> struct Blend { T raw[3], b[3], r[3], q, z, value[MOST_CHANNELS], clipped; };
template<class T> BOTH Blend<T> blend(const Face<T>& f, const T* values, long channels, T px, T py, bool perspective) {
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

// Adds what one pixel at (x, y) pulls at a face: its corners (9) and its values (3 C). mixed, top, total: of the picture there; g: its gradient.
template<class T> BOTH void mixture_back_at(const Face<T>& f, const T* value, long channels, const View<T>& v, T x, T y, const T* mixed, T top,
                                            T total, const T* g, T* dcorner, T* dvalue) {
    const Place<T> at = place(f, x, y);
    const T ex = exponent(at, v.sigma);
    if (ex <= v.lowest) return;
    const Blend<T> m = blend(f, value, channels, x, y, v.perspective);
    const T cover = 1 / (1 + exp_fast(-ex)), nearness = (v.far - m.z) / (v.far - v.near);
    const T weight = cover * exp_fast((nearness - top) / v.gamma) / total;
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
"""
