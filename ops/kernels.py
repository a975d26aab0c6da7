"""What the kernels share: shape checks, and the C++ text that several of them include.

All kernels are ``jt.code`` texts whose shapes and constants are run-time values, so that each text is compiled once per machine
(about two seconds) and serves every size. None of them uses float atomics or sums in an order that depends on the schedule: the same
input gives the same bits, whatever the number of threads.
"""

import jittor as jt

# Before a method (HERE) or a function (BOTH) that a CPU text and a CUDA text share.
SHARED_HEADER = """
#ifdef __CUDACC__
#define HERE __host__ __device__
#else
#define HERE
#endif
#define BOTH HERE static inline
"""

# 2^f on [-1/2, 1/2], Chebyshev interpolation of degree 6 (relative error 3e-9), times 2^n put together from its bits. It is ours
# because gcc vectorises it on every machine, where expf vectorises only with a recent glibc. Relative error below 1e-7 (1 + |x|); arguments
# are clamped to [-87, 87] by their bits, because Jittor's -Ofast would let a comparison of floats swallow a NaN, and a NaN must be seen.
EXP_HEADER = """
static inline float exp_fast(float x) {
    union { unsigned i; float f; } bits;
    bits.f = x;
    const unsigned size = bits.i & 0x7fffffffu;
    if (size > 0x42ae0000u && size <= 0x7f800000u) bits.i = (bits.i & 0x80000000u) | 0x42ae0000u;
    x = bits.f;
    float t = x * 1.442695041f;
    int n = (int)(t + (t < 0.f ? -.5f : .5f));
    float f = t - (float)n;
    float p = 1.546144472e-04f;
    p = p * f + 1.340042818e-03f;
    p = p * f + 9.618056678e-03f;
    p = p * f + 5.550327227e-02f;
    p = p * f + 2.402265092e-01f;
    p = p * f + 6.931472067e-01f;
    p = p * f + 1.f;
    bits.i = ((unsigned)n + 127u) << 23;
    return p * bits.f;
}
"""

# Sums over the channels of a row, 16 at a time (gcc splits such vectors where the machine's are shorter).
ROW_HEADER = """
typedef float Floats16 __attribute__((vector_size(64), aligned(4), may_alias));
static inline void add_scaled(float* __restrict__ to, const float* __restrict__ from, float weight, long count) {
    long c = 0;
    for (; c + 16 <= count; c += 16) *(Floats16*)(to + c) += *(const Floats16*)(from + c) * weight;
    for (; c < count; c++) to[c] += from[c] * weight;
}
static inline float dot(const float* __restrict__ a, const float* __restrict__ b, long count) {
    Floats16 sums = {};
    float sum = 0.f;
    long c = 0;
    for (; c + 16 <= count; c += 16) sums += *(const Floats16*)(a + c) * *(const Floats16*)(b + c);
    for (int l = 0; l < 16; l++) sum += sums[l];
    for (; c < count; c++) sum += a[c] * b[c];
    return sum;
}
// to = sum_i weight[i] feat[at[i]], rows of `width`; at[i] counts in steps of `stride`.
static inline void blend(float* __restrict__ to, const float* __restrict__ feat, const int* at, const float* weight, long k, long width,
                         long stride) {
    long c = 0;
    for (; c + 32 <= width; c += 32) {
        Floats16 low = {}, high = {};
        for (long i = 0; i < k; i++) {
            const float* from = feat + at[i] * stride + c;
            low += *(const Floats16*)from * weight[i];
            high += *(const Floats16*)(from + 16) * weight[i];
        }
        *(Floats16*)(to + c) = low;
        *(Floats16*)(to + c + 16) = high;
    }
    for (; c < width; c++) {
        float sum = 0.f;
        for (long i = 0; i < k; i++) sum += weight[i] * feat[at[i] * stride + c];
        to[c] = sum;
    }
}
"""

# Row-major single precision matrix product of oneDNN, which Jittor has loaded when use_mkl is set; and rows of a block that one thread takes:
# they stay in the cache, and at least eight blocks where there are rows enough, so that every thread gets some.
SGEMM_HEADER = """
#include <algorithm>
static inline long row_block(long rows) { return std::max(64l, std::min(512l, (rows + 7) / 8)); }
extern "C" int dnnl_sgemm(char transa, char transb, long m, long n, long k, float alpha, const float* a, long lda,
                          const float* b, long ldb, float beta, float* c, long ldc);
"""


def on_cpu() -> bool:
    return not jt.flags.use_cuda


def has_sgemm() -> bool:
    """Whether dnnl_sgemm can be called: on the CPU, with oneDNN loaded."""
    return bool(jt.compile_extern.use_mkl) and on_cpu()


def require(condition: bool, message: str) -> None:
    """Raise ValueError(message) unless the condition holds."""
    if not condition:
        raise ValueError(message)


def require_shape(x: jt.Var, pattern: str, name: str, **sizes: int) -> None:
    """Check the rank of x against letters such as ``"BN3"``: a digit or a letter in ``sizes`` must match, other letters are free.

    Raises: ValueError naming the argument, the wanted and the given shape.
    """
    wanted = [int(letter) if letter.isdigit() else sizes.get(letter) for letter in pattern]
    fits = len(x.shape) == len(wanted) and all(w is None or w == n for w, n in zip(wanted, x.shape))
    if not fits:
        letters = ", ".join(pattern)
        given = "".join(f", {letter} = {size}" for letter, size in sizes.items() if letter in pattern)
        raise ValueError(f"{name} must have shape ({letters}){given}; got {tuple(x.shape)}")


def require_float(x: jt.Var, name: str) -> None:
    require(str(x.dtype) == "float32", f"{name} must be float32; got {x.dtype}")


def require_real(x: jt.Var, name: str) -> None:
    """float32, or float64 by which gradients are checked."""
    require(str(x.dtype) in ("float32", "float64"), f"{name} must be float32 or float64; got {x.dtype}")


def require_int(x: jt.Var, name: str) -> None:
    require(str(x.dtype) == "int32", f"{name} must be int32; got {x.dtype}")
