"""Scaled dot-product attention. Letters: B batch, H heads, N queries, M keys, E width of a head, C = H E.

Paper: Vaswani et al., "Attention is all you need", 2017, equation 1. The backward pass recomputes the probabilities from the row's
log-sum-exp, as Dao et al., "FlashAttention", 2022, section 3.1; ours: plain row blocks that fit the cache, whole rows of M.
No N x M matrix is ever kept. On CUDA, and without oneDNN, the plain formula in Jittor's own operators.
"""

import math

import jittor as jt

from ops.kernels import EXP_HEADER, SGEMM_HEADER, has_sgemm, require, require_float

_HEADER = EXP_HEADER + SGEMM_HEADER + """
#include <vector>
#include <cmath>
#include <cfloat>
"""

# Where head h of batch b lies, and how far its rows are apart, in the layouts (B, H, N, E) and (B, N, H E).
_SIZES = """
const long heads = data["heads"], batch = data["batch"], rows = data["rows"], keys = data["keys"], width = data["width"];
const bool packed = data["packed"] != 0;
const float scale = 1.f / std::sqrt((float)width);
const long stride = packed ? heads * width : width;
const long block = std::min(rows, std::max(16l, 65536 / keys)), blocks = (rows + block - 1) / block;
auto start = [&](long head, long length) {
    return packed ? head / heads * length * stride + head % heads * width : head * length * width;
};
"""

_FORWARD = _SIZES + """
#pragma omp parallel
{
    std::vector<float> room(block * keys);
    #pragma omp for schedule(static)
    for (long job = 0; job < batch * heads * blocks; job++) {
        const long head = job / blocks, first = job % blocks * block, count = std::min(block, rows - first);
        const float* q = in0_p + start(head, rows) + first * stride;
        const float* k = in1_p + start(head, keys);
        const float* v = in2_p + start(head, keys);
        float* to = out0_p + start(head, rows) + first * stride;
        float* lse = out1_p + head * rows + first;
        float* score = room.data();
        dnnl_sgemm('N', 'T', count, keys, width, scale, q, stride, k, stride, 0.f, score, keys);
        for (long n = 0; n < count; n++) {
            float* __restrict__ s = score + n * keys;
            float most = -FLT_MAX, sum = 0.f;
            for (long m = 0; m < keys; m++) most = s[m] > most ? s[m] : most;
            for (long m = 0; m < keys; m++) { s[m] = exp_fast(s[m] - most); sum += s[m]; }
            const float share = 1.f / sum;
            for (long m = 0; m < keys; m++) s[m] *= share;
            lse[n] = most + std::log(sum);
        }
        dnnl_sgemm('N', 'N', count, width, keys, 1.f, score, keys, v, stride, 0.f, to, stride);
    }
}
"""

# P = exp(S - lse), dP = dO V^T, dS = P (dP - sum_m P dP), dQ = dS K scale, dK = dS^T Q scale, dV = P^T dO
_BACKWARD = _SIZES + """
#pragma omp parallel
{
    std::vector<float> room(2 * block * keys);
    #pragma omp for schedule(static)
    for (long head = 0; head < batch * heads; head++)
    for (long first = 0; first < rows; first += block) {
        const long count = std::min(block, rows - first), at = start(head, rows) + first * stride, at_key = start(head, keys);
        const float *q = in0_p + at, *k = in1_p + at_key, *v = in2_p + at_key, *grad = in3_p + at;
        const float *lse = in4_p + head * rows + first, add = first > 0;
        float *score = room.data(), *pull = score + block * keys;
        dnnl_sgemm('N', 'T', count, keys, width, scale, q, stride, k, stride, 0.f, score, keys);
        dnnl_sgemm('N', 'T', count, keys, width, 1.f, grad, stride, v, stride, 0.f, pull, keys);
        for (long n = 0; n < count; n++) {
            float* __restrict__ p = score + n * keys;
            float* __restrict__ d = pull + n * keys;
            float mean = 0.f;
            for (long m = 0; m < keys; m++) { p[m] = exp_fast(p[m] - lse[n]); mean += p[m] * d[m]; }
            for (long m = 0; m < keys; m++) d[m] = p[m] * (d[m] - mean);
        }
        dnnl_sgemm('T', 'N', keys, width, count, 1.f, score, keys, grad, stride, add, out2_p + at_key, stride);
        dnnl_sgemm('N', 'N', count, width, keys, scale, pull, keys, k, stride, 0.f, out0_p + at, stride);
        dnnl_sgemm('T', 'N', keys, width, count, scale, pull, keys, q, stride, add, out1_p + at_key, stride);
    }
}
"""


class _Attention(jt.Function):
    def execute(self, q, k, v, sizes):
        self.shapes, self.sizes = (q.shape, k.shape, v.shape), sizes
        self.inputs = [x.reshape((-1,)) for x in (q, k, v)]
        lse_size = int(sizes["batch"] * sizes["heads"] * sizes["rows"])
        out, self.lse = jt.code([self.inputs[0].shape, (lse_size,)], ["float32"] * 2, self.inputs,
                                cpu_header=_HEADER, cpu_src=_FORWARD, data=sizes)
        return out.reshape(q.shape)

    def grad(self, grad):
        grads = jt.code([x.shape for x in self.inputs], ["float32"] * 3, [*self.inputs, grad.reshape((-1,)), self.lse],
                        cpu_header=_HEADER, cpu_src=_BACKWARD, data=self.sizes)
        return (*[g.reshape(shape) for g, shape in zip(grads, self.shapes)], None)


def attention(q_BHNE: jt.Var, k_BHME: jt.Var, v_BHME: jt.Var) -> jt.Var:
    """out = softmax_m(q k^T / sqrt(E)) v for each batch and head.

    In:  q_BHNE, k_BHME, v_BHME float32; N, M, E >= 1.
    Out: (B, H, N, E) float32, gradients to all three.
    Raises: ValueError on other shapes or dtypes.
    """
    _check(q_BHNE, k_BHME, v_BHME, 4)
    require(q_BHNE.shape[1] == k_BHME.shape[1], f"q and k must have equally many heads; got {q_BHNE.shape[1]} and {k_BHME.shape[1]}")
    if not has_sgemm():
        return _plain(q_BHNE, k_BHME, v_BHME)
    batch, heads, rows, width = q_BHNE.shape
    return _Attention.apply(q_BHNE, k_BHME, v_BHME, _sizes(batch, heads, rows, k_BHME.shape[2], width, packed=0))


def multi_head_attention(q_BNC: jt.Var, k_BMC: jt.Var, v_BMC: jt.Var, heads: int) -> jt.Var:
    """attention() with the heads side by side in the channels, as linear layers give them: no transposition, no copy.

    In:  q_BNC, k_BMC, v_BMC float32; head h owns the channels h E .. (h + 1) E - 1 with E = C / heads.
    Out: (B, N, C) float32, gradients to all three.
    Raises: ValueError on other shapes or dtypes, or when heads does not divide C.
    """
    _check(q_BNC, k_BMC, v_BMC, 3)
    batch, rows, channels = q_BNC.shape
    require(heads >= 1 and channels % heads == 0, f"heads must divide the {channels} channels; got {heads}")
    width, keys = channels // heads, k_BMC.shape[1]
    if not has_sgemm():
        split = [x.reshape((batch, -1, heads, width)).transpose(0, 2, 1, 3) for x in (q_BNC, k_BMC, v_BMC)]
        return _plain(*split).transpose(0, 2, 1, 3).reshape(q_BNC.shape)
    return _Attention.apply(q_BNC, k_BMC, v_BMC, _sizes(batch, heads, rows, keys, width, packed=1))


def _plain(q_BHNE: jt.Var, k_BHME: jt.Var, v_BHME: jt.Var) -> jt.Var:
    score_BHNM = jt.matmul(q_BHNE, k_BHME.transpose(0, 1, 3, 2)) * (1 / math.sqrt(q_BHNE.shape[-1]))
    return jt.matmul(jt.nn.softmax(score_BHNM, dim=-1), v_BHME)


def _sizes(batch, heads, rows, keys, width, packed):
    names = ("batch", "heads", "rows", "keys", "width", "packed")
    return dict(zip(names, map(float, (batch, heads, rows, keys, width, packed))))


def _check(q, k, v, rank):
    shapes = f"q {tuple(q.shape)}, k {tuple(k.shape)}, v {tuple(v.shape)}"
    require(len(q.shape) == len(k.shape) == rank and k.shape == v.shape,
            f"q must have {rank} axes and k and v the same shape; got {shapes}")
    require(q.shape[0] == k.shape[0] and q.shape[-1] == k.shape[-1], f"q and k must agree in batch and width; got {shapes}")
    require(min(*q.shape, *k.shape) >= 1, f"attention needs at least one query and key; got {shapes}")
    for x, name in ((q, "q"), (k, "k"), (v, "v")):
        require_float(x, name)
