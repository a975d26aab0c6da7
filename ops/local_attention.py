"""Attention of each point to its K nearest points: linear in N, nothing of size N x N, no gathered copies of keys and values.

Paper: Zhao et al., "Point Transformer", arXiv:2012.09164 (attention over a local neighbourhood), with scalar dot-product scores.
Letters: B batch, N queries, M sources, K neighbours, C channels, H heads, E = C / H channels per head.
"""

import jittor as jt

from ops.kernels import EXP_HEADER, ROW_HEADER

# E is a constant where it is the networks' 32, so that rows stay in registers; WIDTH 0 stands for any other.
_HEADER = EXP_HEADER + ROW_HEADER + """
#include <cmath>
#include <cstring>
#include <vector>
struct Sizes { long B, N, C, M, K, H, E; float scale; };
static inline void soften(float* __restrict__ p, long K) {
    float top = p[0], sum = 0.f;
    for (long j = 1; j < K; j++) top = p[j] > top ? p[j] : top;
    for (long j = 0; j < K; j++) { p[j] = exp_fast(p[j] - top); sum += p[j]; }
    const float share = 1.f / sum;
    for (long j = 0; j < K; j++) p[j] *= share;
}
template <int WIDTH> static void attend(const Sizes& s, const float* q, const float* k, const float* v, const int* idx, float* out,
                                        float* p) {
    const long E = WIDTH ? WIDTH : s.E;
    #pragma omp parallel for schedule(static)
    for (long bn = 0; bn < s.B * s.N; bn++) {
        const int* near = idx + bn * s.K;
        for (long h = 0; h < s.H; h++) {
            const long at = bn * s.C + h * E, base = bn / s.N * s.M * s.C + h * E;
            float* weight = p + (bn * s.H + h) * s.K;
            for (long j = 0; j < s.K; j++) weight[j] = dot(q + at, k + base + near[j] * s.C, E) * s.scale;
            soften(weight, s.K);
            blend(out + at, v + base, near, weight, s.K, E, s.C);
        }
    }
}
// One task per (sample, head): keys and values of a head are disjoint memory, so sums need no atomics and keep their order.
template <int WIDTH> static void attend_back(const Sizes& s, const float* q, const float* k, const float* v, const int* idx, const float* p,
                                             const float* grad, float* dq, float* dk, float* dv) {
    const long E = WIDTH ? WIDTH : s.E;
    #pragma omp parallel for schedule(dynamic)
    for (long bh = 0; bh < s.B * s.H; bh++) {
        const long b = bh / s.H, h = bh % s.H, base = b * s.M * s.C + h * E;
        for (long m = 0; m < s.M; m++) {
            memset(dk + base + m * s.C, 0, E * sizeof(float));
            memset(dv + base + m * s.C, 0, E * sizeof(float));
        }
        std::vector<float> slope(s.K);
        for (long bn = b * s.N; bn < (b + 1) * s.N; bn++) {
            const int* near = idx + bn * s.K;
            const float* weight = p + (bn * s.H + h) * s.K;
            const long at = bn * s.C + h * E;
            float along = 0.f;
            for (long j = 0; j < s.K; j++) {
                slope[j] = dot(grad + at, v + base + near[j] * s.C, E);
                add_scaled(dv + base + near[j] * s.C, grad + at, weight[j], E);
                along += weight[j] * slope[j];
            }
            for (long j = 0; j < s.K; j++) {
                slope[j] = weight[j] * (slope[j] - along) * s.scale;
                add_scaled(dk + base + near[j] * s.C, q + at, slope[j], E);
            }
            blend(dq + at, k + base, near, slope.data(), s.K, E, s.C);
        }
    }
}
"""
_SIZES = """
    Sizes s = {in0_shape0, in0_shape1, in0_shape2, in1_shape1, in3_shape2, (long)data["heads"], 0, 0.f};
    s.E = s.C / s.H;
    s.scale = 1.f / std::sqrt((float)s.E);
"""
# in: q (B, N, C), k, v (B, M, C), idx (B, N, K); out: (B, N, C) and the weights (B, N, H, K)
_FORWARD = _SIZES + """
    (s.E == 32 ? attend<32> : attend<0>)(s, in0_p, in1_p, in2_p, in3_p, out0_p, out1_p);
"""
# in: the same, the weights, grad (B, N, C); out: gradients of q, k, v
_BACKWARD = _SIZES + """
    (s.E == 32 ? attend_back<32> : attend_back<0>)(s, in0_p, in1_p, in2_p, in3_p, in4_p, in5_p, out0_p, out1_p, out2_p);
"""


class _LocalAttention(jt.Function):
    def execute(self, q_BNC, k_BMC, v_BMC, idx_BNK, heads):
        batch, count, _ = q_BNC.shape
        out_BNC, weight_BNHK = jt.code([q_BNC.shape, (batch, count, heads, idx_BNK.shape[2])], ["float32", "float32"],
                                       [q_BNC, k_BMC, v_BMC, idx_BNK], cpu_src=_FORWARD, cpu_header=_HEADER,
                                       data={"heads": heads})
        self.saved = (q_BNC, k_BMC, v_BMC, idx_BNK, weight_BNHK)
        self.heads = heads
        return out_BNC

    def grad(self, grad_BNC):
        q_BNC, k_BMC, v_BMC = self.saved[:3]
        dq, dk, dv = jt.code([q_BNC.shape, k_BMC.shape, v_BMC.shape], ["float32"] * 3, [*self.saved, grad_BNC],
                             cpu_src=_BACKWARD, cpu_header=_HEADER, data={"heads": self.heads})
        return dq, dk, dv, None, None


def local_attention(q_BNC: jt.Var, k_BMC: jt.Var, v_BMC: jt.Var, idx_BNK: jt.Var, heads: int) -> jt.Var:
    """out[b, n] = sum_j softmax_j(q_n . k_idx[n,j] / sqrt(E)) v_idx[n,j], for each head on its own E channels.

    Shapes: q (B, N, C), k and v (B, M, C) float32, idx (B, N, K) int32 in [0, M) -> (B, N, C). Gradients to q, k and v; sums
    run in a fixed order, so results repeat bit for bit. On CUDA the same sum is built from gathers (no kernel yet).
    Raises: ValueError when shapes disagree or C does not divide into the heads.
    """
    batch, count, width = q_BNC.shape
    if k_BMC.shape != v_BMC.shape or k_BMC.shape[0] != batch or k_BMC.shape[2] != width:
        raise ValueError(f"q {tuple(q_BNC.shape)}, k {tuple(k_BMC.shape)}, v {tuple(v_BMC.shape)} do not fit together")
    if tuple(idx_BNK.shape[:2]) != (batch, count) or idx_BNK.ndim != 3:
        raise ValueError(f"idx must be ({batch}, {count}, K), not {tuple(idx_BNK.shape)}")
    if width % heads:
        raise ValueError(f"{width} channels do not divide into {heads} heads")
    if jt.flags.use_cuda:
        return _gathered(q_BNC, k_BMC, v_BMC, idx_BNK, heads)
    return _LocalAttention()(q_BNC, k_BMC, v_BMC, idx_BNK, heads)


def _gathered(q_BNC, k_BMC, v_BMC, idx_BNK, heads):
    from ops.gather import gather
    batch, count, width = q_BNC.shape
    near = idx_BNK.shape[2]
    q = q_BNC.reshape(batch, count, 1, heads, width // heads)
    k, v = (gather(x, idx_BNK).reshape(batch, count, near, heads, width // heads) for x in (k_BMC, v_BMC))
    weight = jt.nn.softmax((q * k).sum(-1) * (width // heads) ** -0.5, dim=2)
    return (weight.unsqueeze(-1) * v).sum(2).reshape(batch, count, width)
