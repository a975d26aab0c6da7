"""Pre-norm transformer blocks over points and over joints: the parts the whole network is made of.

Papers: Vaswani et al., arXiv:1706.03762 (attention, feed-forward); Xiong et al., arXiv:2002.04745 (norm before each branch).
Ours: layer norm only, never batch norm, so that one sample and a batch give the same rig; no dropout, so that a step is a
function of its batch alone and a resumed run repeats the unbroken one.
Letters: B batch, N queries, M keys, K neighbours, C channels, H heads, E channels per head.
"""

import jittor as jt
from jittor import nn

from ops.activation import gelu
from ops.attention import attention
from ops.linear import linear
from ops.local_attention import local_attention
from ops.norm import LayerNorm


class Linear(nn.Module):
    """y = x W^T + b. Shapes: (..., C) -> (..., D). Weights uniform in +-1/sqrt(C) times ``gain``; bias zero, or none."""

    def __init__(self, in_width: int, out_width: int, gain: float = 1.0, bias: bool = True):
        super().__init__()
        bound = gain / in_width ** 0.5
        self.weight = jt.init.uniform((out_width, in_width), "float32", -bound, bound)
        if bias:
            self.bias = jt.zeros((out_width,))
        else:
            self._no_bias = jt.zeros((out_width,)).stop_grad()

    def execute(self, x: jt.Var) -> jt.Var:
        return linear(x, self.weight, self.bias if hasattr(self, "bias") else self._no_bias)


def to_keys(in_width: int, out_width: int) -> Linear:
    """Keys take no bias: it would add the same number to all scores of a query, which the softmax ignores."""
    return Linear(in_width, out_width, bias=False)


class MLP(nn.Module):
    """Linear, gelu, linear. Shapes: (..., C) -> (..., D)."""

    def __init__(self, in_width: int, hidden: int, out_width: int, gain: float = 1.0):
        super().__init__()
        self.rise = Linear(in_width, hidden)
        self.fall = Linear(hidden, out_width, gain)

    def execute(self, x: jt.Var) -> jt.Var:
        return self.fall(gelu(self.rise(x)))


def split_heads(x_BNC: jt.Var, heads: int) -> jt.Var:
    batch, count, width = x_BNC.shape
    return x_BNC.reshape(batch, count, heads, width // heads).transpose(0, 2, 1, 3)


def join_heads(x_BHNE: jt.Var) -> jt.Var:
    batch, heads, count, width = x_BHNE.shape
    return x_BHNE.transpose(0, 2, 1, 3).reshape(batch, count, heads * width)


class SelfAttentionBlock(nn.Module):
    """x + attend(norm x), then x + mlp(norm x). Shapes: (B, N, C) -> (B, N, C)."""

    def __init__(self, width: int, heads: int, expansion: int = 2):
        super().__init__()
        _check_heads(width, heads)
        self.heads = heads
        self.norm_attention = LayerNorm(width)
        self.to_query, self.to_key, self.to_value = Linear(width, width), to_keys(width, width), Linear(width, width)
        self.to_out = Linear(width, width)
        self.norm_mlp = LayerNorm(width)
        self.mlp = MLP(width, expansion * width, width)

    def attend(self, x_BNC: jt.Var) -> jt.Var:
        q, k, v = (split_heads(to(x_BNC), self.heads) for to in (self.to_query, self.to_key, self.to_value))
        return self.to_out(join_heads(attention(q, k, v)))

    def execute(self, x_BNC: jt.Var) -> jt.Var:
        x_BNC = x_BNC + self.attend(self.norm_attention(x_BNC))
        return x_BNC + self.mlp(self.norm_mlp(x_BNC))


class LocalAttentionBlock(SelfAttentionBlock):
    """The same block, each point attending only to its K nearest points: linear in N, for the fine levels.

    Shapes: x (B, N, C), idx (B, N, K) int32 with idx[b, n, j] = m: point m is the j-th neighbour of point n.
    """

    def execute(self, x_BNC: jt.Var, idx_BNK: jt.Var) -> jt.Var:
        y_BNC = self.norm_attention(x_BNC)
        q_BNC, k_BNC, v_BNC = self.to_query(y_BNC), self.to_key(y_BNC), self.to_value(y_BNC)
        x_BNC = x_BNC + self.to_out(local_attention(q_BNC, k_BNC, v_BNC, idx_BNK, self.heads))
        return x_BNC + self.mlp(self.norm_mlp(x_BNC))


class CrossAttentionBlock(nn.Module):
    """Queries read from another set: x + attend(norm x, norm y), then x + mlp(norm x).

    Shapes: x (B, N, C), y (B, M, S) -> (B, N, C).
    """

    def __init__(self, width: int, source_width: int, heads: int, expansion: int = 2):
        super().__init__()
        _check_heads(width, heads)
        self.heads = heads
        self.norm_query = LayerNorm(width)
        self.norm_source = LayerNorm(source_width)
        self.to_query = Linear(width, width)
        self.to_key, self.to_value = to_keys(source_width, width), Linear(source_width, width)
        self.to_out = Linear(width, width)
        self.norm_mlp = LayerNorm(width)
        self.mlp = MLP(width, expansion * width, width)

    def execute(self, x_BNC: jt.Var, y_BMS: jt.Var) -> jt.Var:
        y_BMS = self.norm_source(y_BMS)
        q = split_heads(self.to_query(self.norm_query(x_BNC)), self.heads)
        k, v = split_heads(self.to_key(y_BMS), self.heads), split_heads(self.to_value(y_BMS), self.heads)
        x_BNC = x_BNC + self.to_out(join_heads(attention(q, k, v)))
        return x_BNC + self.mlp(self.norm_mlp(x_BNC))


def _check_heads(width: int, heads: int) -> None:
    if width % heads:
        raise ValueError(f"width {width} does not divide into {heads} heads")
