"""Attention of each point to its K nearest points: linear in N, nothing of size N x N, no gathered copies of keys and values.

Paper: Zhao et al., "Point Transformer", arXiv:2012.09164 (attention over a local neighbourhood), with scalar dot-product scores.
Letters: B batch, N queries, M sources, K neighbours, C channels, H heads, E = C / H channels per head.
"""

import jittor as jt

FORWARD = r"""
    const int B = in0_shape0, N = in0_shape1, C = in0_shape2, M = in1_shape1, K = in3_shape2;
    const int H = (int)data["heads"], E = C / H;
    const float scale = 1.0f / std::sqrt((float)E);
    #pragma omp parallel for
    for (int bn = 0; bn < B * N; bn++) {
        const int b = bn / N;
        const int* idx = in3_p + (size_t)bn * K;
        for (int h = 0; h < H; h++) {
            const float* q = in0_p + (size_t)bn * C + h * E;
            float* p = out1_p + ((size_t)bn * H + h) * K;
            float top = -1e30f, sum = 0;
            for (int j = 0; j < K; j++) {
                const float* k = in1_p + ((size_t)b * M + idx[j]) * C + h * E;
                float s = 0;
                #pragma omp simd reduction(+:s)
                for (int e = 0; e < E; e++) s += q[e] * k[e];
                p[j] = s * scale;
                if (p[j] > top) top = p[j];
            }
            for (int j = 0; j < K; j++) { p[j] = std::exp(p[j] - top); sum += p[j]; }
            float* o = out0_p + (size_t)bn * C + h * E;
            for (int e = 0; e < E; e++) o[e] = 0;
            for (int j = 0; j < K; j++) {
                p[j] /= sum;
                const float w = p[j];
                const float* v = in2_p + ((size_t)b * M + idx[j]) * C + h * E;
                #pragma omp simd
                for (int e = 0; e < E; e++) o[e] += w * v[e];
            }
        }
    }
"""

# one task per (sample, head): keys and values of a head are disjoint memory, so sums need no atomics and keep their order
BACKWARD = r"""
    const int B = in0_shape0, N = in0_shape1, C = in0_shape2, M = in1_shape1, K = in3_shape2;
    const int H = (int)data["heads"], E = C / H;
    const float scale = 1.0f / std::sqrt((float)E);
    #pragma omp parallel for
    for (int bh = 0; bh < B * H; bh++) {
        const int b = bh / H, h = bh % H;
        for (int m = 0; m < M; m++) for (int e = 0; e < E; e++) {
            out1_p[((size_t)b * M + m) * C + h * E + e] = 0;
            out2_p[((size_t)b * M + m) * C + h * E + e] = 0;
        }
        std::vector<float> dp(K);
        for (int n = 0; n < N; n++) {
            const size_t bn = (size_t)b * N + n;
            const int* idx = in3_p + bn * K;
            const float* p = in4_p + (bn * H + h) * K;
            const float* q = in0_p + bn * C + h * E;
            const float* g = in5_p + bn * C + h * E;
            float* dq = out0_p + bn * C + h * E;
            float dot = 0;
            for (int j = 0; j < K; j++) {
                const size_t at = ((size_t)b * M + idx[j]) * C + h * E;
                const float* v = in2_p + at;
                float* dv = out2_p + at;
                const float w = p[j];
                float s = 0;
                #pragma omp simd reduction(+:s)
                for (int e = 0; e < E; e++) { s += g[e] * v[e]; dv[e] += w * g[e]; }
                dp[j] = s; dot += w * s;
            }
            for (int e = 0; e < E; e++) dq[e] = 0;
            for (int j = 0; j < K; j++) {
                const size_t at = ((size_t)b * M + idx[j]) * C + h * E;
                const float ds = p[j] * (dp[j] - dot) * scale;
                const float* k = in1_p + at;
                float* dk = out1_p + at;
                #pragma omp simd
                for (int e = 0; e < E; e++) { dq[e] += ds * k[e]; dk[e] += ds * q[e]; }
            }
        }
    }
"""

HEADER = "#include <cmath>\n#include <vector>\n"


class _LocalAttention(jt.Function):
    def execute(self, q_BNC, k_BMC, v_BMC, idx_BNK, heads):
        batch, count, _ = q_BNC.shape
        out_BNC, weight_BNHK = jt.code([q_BNC.shape, (batch, count, heads, idx_BNK.shape[2])], ["float32", "float32"],
                                       [q_BNC, k_BMC, v_BMC, idx_BNK], cpu_src=FORWARD, cpu_header=HEADER,
                                       data={"heads": heads})
        self.saved = (q_BNC, k_BMC, v_BMC, idx_BNK, weight_BNHK)
        self.heads = heads
        return out_BNC

    def grad(self, grad_BNC):
        q_BNC, k_BMC, v_BMC = self.saved[:3]
        dq, dk, dv = jt.code([q_BNC.shape, k_BMC.shape, v_BMC.shape], ["float32"] * 3, [*self.saved, grad_BNC],
                             cpu_src=BACKWARD, cpu_header=HEADER, data={"heads": self.heads})
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
