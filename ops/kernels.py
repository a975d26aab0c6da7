"""What the kernels share: shape checks, and the C++ text that several of them include.

All kernels are ``jt.code`` texts whose shapes and constants are run-time values, so that each text is compiled once per machine
(about two seconds) and serves every size. None of them uses float atomics or sums in an order that depends on the schedule: the same
input gives the same bits, whatever the number of threads (matrix products: for the same number of threads).
"""

import jittor as jt

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

# Row-major single precision matrix product of oneDNN, which Jittor has loaded when use_mkl is set.
SGEMM_HEADER = """
#include <omp.h>
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


def require_int(x: jt.Var, name: str) -> None:
    require(str(x.dtype) == "int32", f"{name} must be int32; got {x.dtype}")
