"""Reductions over segments, with gradients: rows that name the same number belong together, in any order. Plain twin: geometry/segment.py.

Letters: N rows, C channels, S segments. segment_N[n] = s: row n is one of segment s.
An empty segment has sum 0, mean 0 and maximum 0: what a vertex without neighbours hears is nothing.

On the CPU the rows are first put into the order of their segments (a stable counting sort, of the indices alone); each segment is then added
up by one thread, in the order of its rows: the same bits with any number of threads. On CUDA Jittor's own operators, whose sums are in no
fixed order.
"""

import jittor as jt

from ops.gather import gather
from ops.kernels import EXP_HEADER, ROW_HEADER, on_cpu, require, require_float, require_int, require_shape

# rows[first[s]] .. rows[first[s + 1] - 1] are the rows of segment s, ascending. Each kernel sorts for itself, once for all channels.
_SORT = """
#include <vector>
struct Segments {
    std::vector<long> first;
    std::vector<int> rows;
    Segments(const int* at, long count, long segments) : first(segments + 2), rows(count) {
        int low = 0, high = -1;
        for (long n = 0; n < count; n++) { low = at[n] < low ? at[n] : low; high = at[n] > high ? at[n] : high; }
        if (low < 0 || high >= segments) LOGf << "segments span" << low << "to" << high << "but there are" << segments << "segments";
        for (long n = 0; n < count; n++) first[at[n] + 2]++;
        for (long s = 0; s < segments; s++) first[s + 2] += first[s + 1];
        for (long n = 0; n < count; n++) rows[first[at[n] + 1]++] = (int)n;
    }
};
"""

# in: x (N, C), segment (N); out: (S, C)
_SUM = """
const long width = in0_shape1, segments = out0_shape0;
const Segments sorted(in1_p, in0_shape0, segments);
#pragma omp parallel for schedule(static)
for (long s = 0; s < segments; s++) {
    float* to = out0_p + s * width;
    for (long c = 0; c < width; c++) to[c] = 0.f;
    for (long i = sorted.first[s]; i < sorted.first[s + 1]; i++) add_scaled(to, in0_p + sorted.rows[i] * width, 1.f, width);
}
"""

# in: x (N, C), segment (N); out: the maximum (S, C) and its row (S, C), -1 in an empty segment
_MAX = """
const long width = in0_shape1, segments = out0_shape0;
const Segments sorted(in1_p, in0_shape0, segments);
#pragma omp parallel for schedule(static)
for (long s = 0; s < segments; s++) {
    float* __restrict__ best = out0_p + s * width;
    int* __restrict__ best_at = out1_p + s * width;
    for (long c = 0; c < width; c++) { best[c] = 0.f; best_at[c] = -1; }
    for (long i = sorted.first[s]; i < sorted.first[s + 1]; i++) {
        const int row = sorted.rows[i];
        const float* __restrict__ from = in0_p + row * width;
        for (long c = 0; c < width; c++) {
            const bool better = best_at[c] < 0 || from[c] > best[c];
            best_at[c] = better ? row : best_at[c];
            best[c] = better ? from[c] : best[c];
        }
    }
}
"""
# in: grad (S, C), the row (S, C); out: (N, C). A row is one segment's alone, so no two threads write one place.
_MAX_BACK = """
const long rows = out0_shape0, width = out0_shape1, segments = in0_shape0;
for (long i = 0; i < rows * width; i++) out0_p[i] = 0.f;
#pragma omp parallel for schedule(static)
for (long s = 0; s < segments; s++)
    for (long c = 0; c < width; c++)
        if (in1_p[s * width + c] >= 0) out0_p[in1_p[s * width + c] * width + c] = in0_p[s * width + c];
"""

# in: x (N, C), segment (N), anything (S) that tells S; out: (N, C). Each segment goes row by row, all channels of a row together.
_SOFTMAX = """
const long width = in0_shape1, segments = in2_shape0;
const Segments sorted(in1_p, in0_shape0, segments);
#pragma omp parallel
{
    std::vector<float> most_C(width), sum_C(width);
    float *__restrict__ most = most_C.data(), *__restrict__ sum = sum_C.data();
    #pragma omp for schedule(static)
    for (long s = 0; s < segments; s++) {
        const long begin = sorted.first[s], end = sorted.first[s + 1];
        for (long i = begin; i < end; i++) {
            const float* __restrict__ x = in0_p + sorted.rows[i] * width;
            for (long c = 0; c < width; c++) most[c] = i == begin || x[c] > most[c] ? x[c] : most[c];
        }
        for (long c = 0; c < width; c++) sum[c] = 0.f;
        for (long i = begin; i < end; i++) {
            const float* __restrict__ x = in0_p + sorted.rows[i] * width;
            float* __restrict__ y = out0_p + sorted.rows[i] * width;
            for (long c = 0; c < width; c++) { y[c] = exp_fast(x[c] - most[c]); sum[c] += y[c]; }
        }
        for (long i = begin; i < end; i++) {
            float* __restrict__ y = out0_p + sorted.rows[i] * width;
            for (long c = 0; c < width; c++) y[c] /= sum[c];
        }
    }
}
"""
# dx = y (dy - sum of y dy over the segment). in: y (N, C), dy (N, C), segment (N), anything (S)
_SOFTMAX_BACK = """
const long width = in0_shape1, segments = in3_shape0;
const Segments sorted(in2_p, in0_shape0, segments);
#pragma omp parallel
{
    std::vector<float> along_C(width);
    float* __restrict__ along = along_C.data();
    #pragma omp for schedule(static)
    for (long s = 0; s < segments; s++) {
        for (long c = 0; c < width; c++) along[c] = 0.f;
        for (long i = sorted.first[s]; i < sorted.first[s + 1]; i++) {
            const float *__restrict__ y = in0_p + sorted.rows[i] * width, *__restrict__ dy = in1_p + sorted.rows[i] * width;
            for (long c = 0; c < width; c++) along[c] += y[c] * dy[c];
        }
        for (long i = sorted.first[s]; i < sorted.first[s + 1]; i++) {
            const float *__restrict__ y = in0_p + sorted.rows[i] * width, *__restrict__ dy = in1_p + sorted.rows[i] * width;
            float* __restrict__ dx = out0_p + sorted.rows[i] * width;
            for (long c = 0; c < width; c++) dx[c] = y[c] * (dy[c] - along[c]);
        }
    }
}
"""


class _Sum(jt.Function):
    def execute(self, x_NC, segment_N, count):
        self.segment_N = segment_N
        return jt.code((count, x_NC.shape[1]), "float32", [x_NC, segment_N], cpu_header=ROW_HEADER + _SORT, cpu_src=_SUM)

    def grad(self, grad_SC):
        return rows_of(grad_SC, self.segment_N), None, None


class _Max(jt.Function):
    def execute(self, x_NC, segment_N, count):
        self.shape = x_NC.shape
        shape = count, x_NC.shape[1]
        best_SC, self.row_SC = jt.code([shape, shape], ["float32", "int32"], [x_NC, segment_N], cpu_header=_SORT, cpu_src=_MAX)
        return best_SC

    def grad(self, grad_SC):
        return jt.code(self.shape, "float32", [grad_SC, self.row_SC], cpu_src=_MAX_BACK), None, None


class _Softmax(jt.Function):
    def execute(self, x_NC, segment_N, count):
        self.segment_N, self.any_S = segment_N, jt.zeros((count,))
        self.y_NC = jt.code(x_NC.shape, "float32", [x_NC, segment_N, self.any_S], cpu_header=EXP_HEADER + _SORT, cpu_src=_SOFTMAX)
        return self.y_NC

    def grad(self, grad_NC):
        inputs = [self.y_NC, grad_NC, self.segment_N, self.any_S]
        return jt.code(self.y_NC.shape, "float32", inputs, cpu_header=_SORT, cpu_src=_SOFTMAX_BACK), None, None


def segment_sum(x_NC: jt.Var, segment_N: jt.Var, count: int) -> jt.Var:
    """out[s] = sum of the rows of segment s.

    In:  x_NC float32, segment_N int32 in 0..count - 1, in any order; N and count may be 0.
    Out: (S, C) float32, gradient to x. Raises: ValueError on other shapes or dtypes; RuntimeError when evaluated (on the CPU) with a
         segment out of range. The same holds for the others.
    """
    _check(x_NC, segment_N, count)
    return _Sum.apply(x_NC, segment_N, int(count)) if on_cpu() else _added(x_NC, segment_N, count)


def segment_mean(x_NC: jt.Var, segment_N: jt.Var, count: int) -> jt.Var:
    """out[s] = the mean of the rows of segment s, (S, C). The rest as segment_sum."""
    total_SC = segment_sum(x_NC, segment_N, count)
    size_S1 = segment_sum(jt.ones((x_NC.shape[0], 1)), segment_N, count)
    return total_SC / jt.maximum(size_S1, 1.0).stop_grad()


def segment_max(x_NC: jt.Var, segment_N: jt.Var, count: int) -> jt.Var:
    """out[s, c] = the greatest x[n, c] of segment s, (S, C). On the CPU the gradient goes to the maximum alone, of equal ones to the first
    row. The rest as segment_sum."""
    _check(x_NC, segment_N, count)
    if on_cpu():
        return _Max.apply(x_NC, segment_N, int(count))
    return _greatest(x_NC, segment_N, count) * (_added(jt.ones((x_NC.shape[0], 1)), segment_N, count) > 0).float32()


def segment_softmax(x_NC: jt.Var, segment_N: jt.Var, count: int) -> jt.Var:
    """out[n, c] = exp(x[n, c]) / sum of exp(x[m, c]) over the rows m of n's segment, (N, C). The rest as segment_sum."""
    _check(x_NC, segment_N, count)
    if on_cpu():
        return _Softmax.apply(x_NC, segment_N, int(count))
    raised_NC = (x_NC - rows_of(_greatest(x_NC, segment_N, count), segment_N).stop_grad()).exp()
    return raised_NC / rows_of(_added(raised_NC, segment_N, count), segment_N)


def rows_of(x_SC: jt.Var, segment_N: jt.Var) -> jt.Var:
    """out[n] = x[segment[n]], (N, C): what each segment tells its rows. Gradient to x: segment_sum. Raises: as segment_sum."""
    return gather(x_SC.unsqueeze(0), segment_N.unsqueeze(0)).squeeze(0)


def _added(x_NC: jt.Var, segment_N: jt.Var, count: int) -> jt.Var:
    return x_NC.reindex_reduce("add", [int(count), x_NC.shape[1]], ["@e0(i0)", "i1"], extras=[segment_N])


def _greatest(x_NC: jt.Var, segment_N: jt.Var, count: int) -> jt.Var:
    return x_NC.reindex_reduce("maximum", [int(count), x_NC.shape[1]], ["@e0(i0)", "i1"], extras=[segment_N])


def _check(x_NC: jt.Var, segment_N: jt.Var, count: int) -> None:
    require_shape(x_NC, "NC", "x")
    require_shape(segment_N, "N", "segment", N=x_NC.shape[0])
    require_float(x_NC, "x")
    require_int(segment_N, "segment")
    require(count >= 0, f"count must be >= 0; got {count}")
