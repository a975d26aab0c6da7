"""Triangles to pixels: a z-buffer. Plain twin: geometry/raster.py, by whose rules it draws.

Letters: B batch, V vertices, F faces, H rows from the top, W columns from the left.
On the CPU a picture is cut into tiles; each has the list of the faces that reach it, in their order, and is drawn by one thread. On CUDA a
warp draws each face, and the nearest wins by the smallest of (depth, face) as one integer. So no bit depends on who is first. The CUDA text
has not yet run on a GPU.
"""

import jittor as jt

from ops.kernels import SHARED_HEADER, require, require_float, require_int, require_shape

# What a face is to a pixel, in float64, for both machines. Coordinates that are not finite are found by their bits: -Ofast knows no others.
_FACE = SHARED_HEADER + """
namespace hard_raster {
struct Box { int top, bottom, left, right; };    // rows [top, bottom), columns [left, right)
BOTH bool is_finite(float x) {
    union { float f; unsigned i; } bits;
    bits.f = x;
    return (bits.i & 0x7f800000u) != 0x7f800000u;
}
BOTH int bounded(double x, int most) { return x < 0. ? 0 : x > most ? most : (int)x; }
BOTH double least(double a, double b, double c) { const double ab = a < b ? a : b; return ab < c ? ab : c; }
BOTH double most(double a, double b, double c) { const double ab = a > b ? a : b; return ab > c ? ab : c; }

// Corner a, and the edges to b and c over twice the area; of each corner z, or 1 / z with perspective.
struct Face {
    double ax, ay, bx, by, cx, cy, z[3];
    Box box;
    bool drawn;
};
BOTH Face face_of(const float* points, const int* corner, int vertices, int height, int width, bool perspective) {
    Face f;
    f.drawn = false;
    f.box.top = f.box.bottom = f.box.left = f.box.right = 0;
    double x[3], y[3];
    for (int k = 0; k < 3; k++) {
        if (corner[k] < 0 || corner[k] >= vertices) return f;
        const float* p = points + 3ll * corner[k];
        if (!is_finite(p[0]) || !is_finite(p[1]) || !is_finite(p[2]) || (perspective && !(p[2] > 0.f))) return f;
        x[k] = p[0]; y[k] = p[1];
        f.z[k] = perspective ? 1. / p[2] : (double)p[2];
    }
    const double area = (x[1] - x[0]) * (y[2] - y[0]) - (y[1] - y[0]) * (x[2] - x[0]);
    if (area == 0.) return f;
    f.ax = x[0]; f.ay = y[0];
    f.bx = (x[1] - x[0]) / area; f.by = (y[1] - y[0]) / area;
    f.cx = (x[2] - x[0]) / area; f.cy = (y[2] - y[0]) / area;
    f.box.left = bounded(ceil(least(x[0], x[1], x[2]) - .5), width);
    f.box.right = bounded(floor(most(x[0], x[1], x[2]) - .5) + 1., width);
    f.box.top = bounded(ceil(least(y[0], y[1], y[2]) - .5), height);
    f.box.bottom = bounded(floor(most(y[0], y[1], y[2]) - .5) + 1., height);
    f.drawn = f.box.left < f.box.right && f.box.top < f.box.bottom;
    return f;
}
// Weights of the corners at a pixel's centre; `inside` as the twin has it: a centre on an edge counts for both sides.
struct Weight { double a, b, c; };
BOTH Weight weight_at(const Face& f, int row, int column) {
    const double dx = column + .5 - f.ax, dy = row + .5 - f.ay;
    Weight w;
    w.b = dx * f.cy - dy * f.cx;
    w.c = dy * f.bx - dx * f.by;
    w.a = 1. - w.b - w.c;
    return w;
}
BOTH bool inside(const Weight& w) { return (w.a >= -1e-9) & (w.b >= -1e-9) & (w.c >= -1e-9); }
BOTH double depth_of(const Face& f, const Weight& w, bool perspective) {
    const double mixed = w.a * f.z[0] + w.b * f.z[1] + w.c * f.z[2];
    return perspective ? 1. / mixed : mixed;
}
BOTH void resolve(const Face& f, int row, int column, bool perspective, float* bary, float* depth) {
    const Weight w = weight_at(f, row, column);
    const double z = depth_of(f, w, perspective);
    bary[0] = (float)(perspective ? w.a * f.z[0] * z : w.a);
    bary[1] = (float)(perspective ? w.b * f.z[1] * z : w.b);
    bary[2] = (float)(perspective ? w.c * f.z[2] * z : w.c);
    *depth = (float)z;
}
BOTH void leave_empty(float* bary, float* depth) {
    union { float f; unsigned i; } infinite;
    infinite.i = 0x7f800000u;
    bary[0] = bary[1] = bary[2] = 0.f;
    *depth = infinite.f;
}
}
"""
_CPU_HEADER = """
#include <algorithm>
#include <cfloat>
#include <cmath>
#include <vector>
""" + _FACE + """
namespace hard_raster {
constexpr int TILE = 32;
// Faces of each tile of a picture, tiles row by row: face[first[t]] .. face[first[t + 1] - 1].
struct Tiles {
    int across, count;
    std::vector<int> first, face;
    Tiles(const float* points, const int* faces, int vertices, int count_F, int height, int width, bool perspective)
        : across((width + TILE - 1) / TILE), count(across * ((height + TILE - 1) / TILE)), first(count + 1) {
        std::vector<Box> box(count_F);
        for (int f = 0; f < count_F; f++) {
            box[f] = face_of(points, faces + 3l * f, vertices, height, width, perspective).box;
            each(box[f], [&](int t) { first[t + 1]++; });
        }
        for (int t = 0; t < count; t++) first[t + 1] += first[t];
        face.resize(first[count]);
        std::vector<int> at(first.begin(), first.end() - 1);
        for (int f = 0; f < count_F; f++) each(box[f], [&](int t) { face[at[t]++] = f; });
    }
    template <class Do> void each(const Box& b, Do run) const {
        if (b.top >= b.bottom || b.left >= b.right) return;
        for (int row = b.top / TILE; row <= (b.bottom - 1) / TILE; row++)
            for (int column = b.left / TILE; column <= (b.right - 1) / TILE; column++) run(row * across + column);
    }
};

static void draw_tile(const float* points, const int* faces, int vertices, const Tiles& tiles, int t, int height, int width, bool perspective,
                      int* face_HW, float* bary_HW3, float* depth_HW) {
    const int top = t / tiles.across * TILE, left = t % tiles.across * TILE;
    const int bottom = std::min(top + TILE, height), right = std::min(left + TILE, width);
    float nearest[TILE * TILE];
    int shown[TILE * TILE];
    std::fill_n(nearest, TILE * TILE, FLT_MAX);
    std::fill_n(shown, TILE * TILE, -1);
    for (int e = tiles.first[t]; e < tiles.first[t + 1]; e++) {
        const int id = tiles.face[e];
        const Face f = face_of(points, faces + 3l * id, vertices, height, width, perspective);
        const int first = std::max(left, f.box.left), last = std::min(right, f.box.right);
        for (int i = std::max(top, f.box.top); i < std::min(bottom, f.box.bottom); i++) {
            float* near = nearest + (i - top) * TILE - left;
            int* show = shown + (i - top) * TILE - left;
            for (int j = first; j < last; j++) {
                const Weight w = weight_at(f, i, j);
                const float z = (float)depth_of(f, w, perspective);
                const bool wins = inside(w) & (z < near[j]);
                near[j] = wins ? z : near[j];
                show[j] = wins ? id : show[j];
            }
        }
    }
    for (int i = top; i < bottom; i++)
        for (int j = left; j < right; j++) {
            const long p = (long)i * width + j;
            const int id = face_HW[p] = shown[(i - top) * TILE + j - left];
            if (id < 0) leave_empty(bary_HW3 + 3 * p, depth_HW + p);
            else resolve(face_of(points, faces + 3l * id, vertices, height, width, perspective), i, j, perspective, bary_HW3 + 3 * p, depth_HW + p);
        }
}
}
"""
_CPU = """
    using namespace hard_raster;
    const int batch = in0_shape0, vertices = in0_shape1, faces = in1_shape0, height = out0_shape1, width = out0_shape2;
    const bool perspective = data["perspective"] != 0;
    const long pixels = (long)height * width;
    std::vector<Tiles*> tiles(batch);
    #pragma omp parallel for schedule(dynamic, 1) if (batch > 1)
    for (int b = 0; b < batch; b++) tiles[b] = new Tiles(in0_p + 3l * b * vertices, in1_p, vertices, faces, height, width, perspective);
    const int each = tiles[0]->count;
    #pragma omp parallel for schedule(dynamic, 1)
    for (int t = 0; t < batch * each; t++) {
        const int b = t / each;
        draw_tile(in0_p + 3l * b * vertices, in1_p, vertices, *tiles[b], t % each, height, width, perspective, out0_p + b * pixels,
                  out1_p + 3 * b * pixels, out2_p + b * pixels);
    }
    for (Tiles* t : tiles) delete t;
"""

_CUDA_HEADER = _FACE + """
namespace hard_raster {
BOTH unsigned long long key_of(float depth, int face) {    // orders by depth, then by face
    union { float f; int i; } bits;
    bits.f = depth;
    const unsigned ordered = (unsigned)(bits.i ^ (bits.i >> 31 & 0x7fffffff)) ^ 0x80000000u;
    return (unsigned long long)ordered << 32 | (unsigned)face;
}
}
"""
_CUDA = """
__global__ static void forget(unsigned long long* key, long long count) {
    const long long p = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (p < count) key[p] = ~0ull;
}
__global__ static void cover(@ARGS_DEF, unsigned long long* key, bool perspective) {
    @PRECALC
    using namespace hard_raster;
    const int vertices = in0_shape1, faces = in1_shape0, height = out0_shape1, width = out0_shape2;
    const long long which = (blockIdx.x * (long long)blockDim.x + threadIdx.x) / 32;    // a warp a face
    if (which >= (long long)in0_shape0 * faces) return;
    const int b = which / faces, id = which % faces;
    const Face f = face_of(in0_p + 3ll * b * vertices, in1_p + 3ll * id, vertices, height, width, perspective);
    if (!f.drawn) return;
    const int wide = f.box.right - f.box.left;
    const long long count = (long long)wide * (f.box.bottom - f.box.top);
    for (long long p = threadIdx.x % 32; p < count; p += 32) {
        const int row = f.box.top + p / wide, column = f.box.left + p % wide;
        const Weight w = weight_at(f, row, column);
        if (inside(w)) atomicMin(key + ((long long)b * height + row) * width + column, key_of((float)depth_of(f, w, perspective), id));
    }
}
__global__ static void settle(@ARGS_DEF, const unsigned long long* key, bool perspective) {
    @PRECALC
    using namespace hard_raster;
    const int vertices = in0_shape1, height = out0_shape1, width = out0_shape2;
    const long long p = blockIdx.x * (long long)blockDim.x + threadIdx.x, pixels = (long long)height * width;
    if (p >= in0_shape0 * pixels) return;
    const int id = key[p] == ~0ull ? -1 : (int)(unsigned)key[p], b = p / pixels, row = p % pixels / width, column = p % width;
    out0_p[p] = id;
    if (id < 0) leave_empty(out1_p + 3 * p, out2_p + p);
    else resolve(face_of(in0_p + 3ll * b * vertices, in1_p + 3ll * id, vertices, height, width, perspective), row, column, perspective,
                 out1_p + 3 * p, out2_p + p);
}
const long long pixels_of_all = (long long)out0_shape0 * out0_shape1 * out0_shape2, faces_of_all = (long long)in0_shape0 * in1_shape0;
unsigned long long* keys = (unsigned long long*)out3_p;
const bool in_perspective = data["perspective"] != 0;
forget<<<(pixels_of_all + 255) / 256, 256>>>(keys, pixels_of_all);
cover<<<(faces_of_all + 7) / 8, 256>>>(@ARGS, keys, in_perspective);
settle<<<(pixels_of_all + 255) / 256, 256>>>(@ARGS, keys, in_perspective);
"""


def rasterize(points_BV3: jt.Var, faces_F3: jt.Var, height: int, width: int, perspective: bool = False) -> tuple[jt.Var, jt.Var, jt.Var]:
    """Which face each pixel shows, where on it, and how far away.

    In:  points_BV3 float32: x in pixels to the right, y in pixels down (the centre of the first pixel is 0.5, 0.5), depth away from the eye,
         one row of pictures for B sets of points; faces_F3 int32, F >= 1. With perspective, depth is the distance z along the eye's axis,
         and faces with a corner at z <= 0 are left out; so is a face with a corner that is not finite or names no vertex.
    Out: face_BHW int32, -1 where nothing is; bary_BHW3 float32, weights of the face's corners for what is straight in space, 0 where
         nothing is; depth_BHW float32, inf where nothing is. A centre on an edge counts for both sides; equally near (as float32): the
         smaller face. No gradients flow.
    Raises: ValueError on other shapes or dtypes, no face, or a picture without pixels.
    """
    require_shape(points_BV3, "BV3", "points")
    require_shape(faces_F3, "F3", "faces")
    require_float(points_BV3, "points")
    require_int(faces_F3, "faces")
    require(faces_F3.shape[0] > 0, "there are no faces")
    require(height > 0 and width > 0, f"a picture of {height} x {width} pixels")
    shape = (points_BV3.shape[0], int(height), int(width))
    keys = (*shape, 2) if jt.flags.use_cuda else (1, 1, 1, 2)    # room for CUDA's integers
    drawn = jt.code([shape, (*shape, 3), shape, keys], ["int32", "float32", "float32", "int32"], [points_BV3, faces_F3], cpu_src=_CPU,
                    cpu_header=_CPU_HEADER, cuda_src=_CUDA, cuda_header=_CUDA_HEADER, data={"perspective": float(perspective)})
    return tuple(x.stop_grad() for x in drawn[:3])
