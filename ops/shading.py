"""Lit, smoothed pictures of what a z-buffer found. Plain twin of the light: geometry/shading.py, where its formula stands.

Letters: B batch, V vertices, F faces, H rows, W columns of the z-buffer, S samples along each side of a pixel. The CUDA text has not yet run
on a GPU.
"""

import jittor as jt

from ops.kernels import SHARED_HEADER, require, require_float, require_int, require_shape

_LIGHT = SHARED_HEADER + """
#include <cmath>
#include <string>
namespace shading {
struct Studio { float key[3], half[3], key_rgb[3], sky_rgb[3], ground_rgb[3], shade, rim, gloss; };
BOTH float kept(float x) { return x > 0.f ? x : 0.f; }
// Adds the colour of one sample to sum. value: of the face's three corners (normal 3, colour 3, sky), by weights w.
BOTH void add_sample(const Studio& s, const float* a, const float* b, const float* c, const float* w, float* sum) {
    float v[7];
    for (int k = 0; k < 7; k++) v[k] = w[0] * a[k] + w[1] * b[k] + w[2] * c[k];
    const float length2 = v[0] * v[0] + v[1] * v[1] + v[2] * v[2];
    const bool behind = a[2] + b[2] + c[2] < -.6f;    // of unit normals the mean, below BEHIND
    const float turn = (length2 > 1e-30f ? 1.f / sqrtf(length2) : 0.f) * (behind ? -1.f : 1.f);
    const float x = v[0] * turn, y = v[1] * turn, z = kept(v[2] * turn), sky = v[6], up = .5f + .5f * y;
    const float key = (1.f - s.shade + s.shade * sky) * kept(x * s.key[0] + y * s.key[1] + z * s.key[2]);
    const float half = kept(x * s.half[0] + y * s.half[1] + z * s.half[2]), half2 = half * half, half4 = half2 * half2;
    const float half8 = half4 * half4, half16 = half8 * half8, away = 1.f - z;
    const float over = sky * (s.rim * away * away * away * up + s.gloss * half16 * half16);
    for (int k = 0; k < 3; k++) {
        const float around = sky * (s.ground_rgb[k] + (s.sky_rgb[k] - s.ground_rgb[k]) * up);
        const float light = v[3 + k] * v[3 + k] * (around + key * s.key_rgb[k]) + over;
        sum[k] += light < 1.f ? sqrtf(kept(light)) : 1.f;
    }
}
// One pixel of the picture out of its S x S samples, which lie side by side in the z-buffer: colour of what is there, and its share.
BOTH void pixel(const Studio& s, const int* face, const float* bary, const int* faces, const float* values, long long width, int samples,
                unsigned char* out) {
    float sum[3] = {0.f, 0.f, 0.f};
    int found = 0;
    for (int i = 0; i < samples; i++)
        for (int j = 0; j < samples; j++) {
            const long long p = i * width + j;
            if (face[p] < 0) continue;
            const int* corner = faces + 3ll * face[p];
            add_sample(s, values + 7ll * corner[0], values + 7ll * corner[1], values + 7ll * corner[2], bary + 3 * p, sum);
            found++;
        }
    for (int k = 0; k < 3; k++) out[k] = (unsigned char)(found ? 255.f * sum[k] / found + .5f : 0.f);
    out[3] = (unsigned char)(255.f * found / (samples * samples) + .5f);
}
}
"""
_STUDIO = """
    shading::Studio studio;
    for (int k = 0; k < 3; k++) {
        const std::string at = std::to_string(k);
        studio.key[k] = data["key" + at]; studio.half[k] = data["half" + at]; studio.key_rgb[k] = data["key_rgb" + at];
        studio.sky_rgb[k] = data["sky_rgb" + at]; studio.ground_rgb[k] = data["ground_rgb" + at];
    }
    studio.shade = data["shade"]; studio.rim = data["rim"]; studio.gloss = data["gloss"];
    const int samples = data["samples"];
"""
_CPU = _STUDIO + """
    const long rows = out0_shape1, columns = out0_shape2, width = in0_shape2, vertices = in3_shape1;
    #pragma omp parallel for schedule(dynamic, 8)
    for (long r = 0; r < out0_shape0 * rows; r++) {
        const long b = r / rows, at = (b * in0_shape1 + r % rows * samples) * width;
        for (long j = 0; j < columns; j++) {
            const long p = at + j * samples;
            shading::pixel(studio, in0_p + p, in1_p + 3 * p, in2_p, in3_p + 7 * b * vertices, width, samples, out0_p + 4 * (r * columns + j));
        }
    }
"""
_CUDA = """
__global__ static void shade_pixels(@ARGS_DEF, shading::Studio studio, int samples) {
    @PRECALC
    const long long rows = out0_shape1, columns = out0_shape2, width = in0_shape2, vertices = in3_shape1;
    const long long at = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (at >= out0_shape0 * rows * columns) return;
    const long long b = at / (rows * columns), i = at / columns % rows, j = at % columns, p = (b * in0_shape1 + i * samples) * width + j * samples;
    shading::pixel(studio, in0_p + p, in1_p + 3 * p, in2_p, in3_p + 7 * b * vertices, width, samples, out0_p + 4 * at);
}
""" + _STUDIO + """
const long long pixels = (long long)out0_shape0 * out0_shape1 * out0_shape2;
shade_pixels<<<(pixels + 127) / 128, 128>>>(@ARGS, studio, samples);
"""


def shade(face_BHW: jt.Var, bary_BHW3: jt.Var, faces_F3: jt.Var, values_BV7: jt.Var, studio, samples: int = 1) -> jt.Var:
    """The picture (B, H / S, W / S, 4) uint8: the mean colour of what a pixel's S x S samples show, and how many of them show something.

    In:  face_BHW int32 and bary_BHW3 float32 as ops.raster.rasterize gives them for faces_F3; H and W whole multiples of S = samples.
         values_BV7 float32: of each vertex the unit normal (right, up, towards the eye), the colour as on the screen (0 to 1), and how
         much of the sky it sees (0 to 1). studio: a geometry.shading.Studio.
    Out: red, green, blue, not multiplied by the fourth, the share that is covered; 0 where nothing is. No gradients flow.
    Raises: ValueError on other shapes, dtypes or samples.
    """
    require_shape(face_BHW, "BHW", "face")
    batch, height, width = face_BHW.shape
    require_shape(bary_BHW3, "BHW3", "bary", B=batch, H=height, W=width)
    require_shape(faces_F3, "F3", "faces")
    require_shape(values_BV7, "BV7", "values", B=batch)
    require_int(face_BHW, "face")
    require_int(faces_F3, "faces")
    require_float(bary_BHW3, "bary")
    require_float(values_BV7, "values")
    require(samples >= 1 and height % samples == 0 and width % samples == 0, f"{samples} samples a side do not divide {height} x {width}")
    shape = (batch, height // samples, width // samples, 4)
    return jt.code(shape, "uint8", [face_BHW, bary_BHW3, faces_F3, values_BV7], cpu_src=_CPU, cpu_header=_LIGHT, cuda_src=_CUDA,
                   cuda_header=_LIGHT, data={"samples": float(samples), **_lights(studio)}).stop_grad()


def _lights(studio) -> dict[str, float]:
    key = [x / sum(y * y for y in studio.key_3) ** 0.5 for x in studio.key_3]
    half = [x + z for x, z in zip(key, (0, 0, 1))]
    half = [x / sum(y * y for y in half) ** 0.5 for x in half]
    rows = {"key": key, "half": half, "key_rgb": studio.key_rgb, "sky_rgb": studio.sky_rgb, "ground_rgb": studio.ground_rgb}
    return {**{f"{name}{k}": float(x) for name, row in rows.items() for k, x in enumerate(row)},
            "shade": float(studio.shade), "rim": float(studio.rim), "gloss": float(studio.gloss)}
