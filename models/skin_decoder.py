"""Skin decoder: U-Net-like up-sampling to the points, then weights at ANY query positions.

Papers: Ronneberger et al., "U-Net", arXiv:1505.04597 (skips); Zhao et al., "Point Transformer", arXiv:2012.09164 (transition up by
three-nearest interpolation). Ours: queries are scored against the refined joints' tokens, with the geometry of each
query and bone in the score, so that every mesh vertex is decoded on its own instead of interpolating weights.
Letters: B batch, N points, M coarser points, Q queries, J joints, C and D channels, H pair channels.
"""

from dataclasses import dataclass

import jittor as jt
import numpy as np
from jittor import nn

from models.backbone import Level, PointEmbedder
from models.transformer_block import Linear, LocalAttentionBlock, MLP, SelfAttentionBlock
from ops.activation import gelu, softmax
from ops.batched_matmul import bmm
from ops.gather import interpolate
from ops.neighbors import knn, three_nearest
from ops.norm import LayerNorm


@dataclass(frozen=True)
class SkinDecoderConfig:
    use_attention: bool = True      # self-attention in the up-sampling blocks
    use_pair_geometry: bool = True  # distances between query and bone in the score
    local_neighbours: int = 12      # K of the local attention on the finest level
    width: int = 64                 # of the finest level's features and of the score
    pair_width: int = 16            # hidden channels of the pair term


class UpLevel(nn.Module):
    """y_i = W s_i + sum_k w_ik U f_k with w_ik ~ 1/d^2 over the three nearest coarse points, then a block.

    Shapes: fine Level of N points, coarse Level of M points -> Level of N points with out_width channels.
    """

    def __init__(self, fine_width: int, coarse_width: int, out_width: int, head_width: int, local_neighbours: int,
                 use_attention: bool):
        super().__init__()
        self.lift_skip = Linear(fine_width, out_width)
        self.lift_coarse = Linear(coarse_width, out_width)
        self.local_neighbours = local_neighbours
        heads = out_width // head_width
        if not use_attention:
            self.block = MLP(out_width, 2 * out_width, out_width)
        else:
            self.block = (LocalAttentionBlock if local_neighbours else SelfAttentionBlock)(out_width, heads)

    def execute(self, fine: Level, coarse: Level) -> Level:
        idx_BN3, weight_BN3 = three_nearest(fine.xyz_BN3, coarse.xyz_BN3)
        climbed_BND = interpolate(self.lift_coarse(coarse.feat_BNC), idx_BN3, weight_BN3)
        x_BND = self.lift_skip(fine.feat_BNC) + climbed_BND
        if isinstance(self.block, LocalAttentionBlock):
            count = min(self.local_neighbours, fine.xyz_BN3.shape[1])
            return Level(fine.xyz_BN3, self.block(x_BND, knn(fine.xyz_BN3, fine.xyz_BN3, count)[1]))
        return Level(fine.xyz_BN3, self.block(x_BND))


class SkinDecoder(nn.Module):
    """Levels and joint tokens -> a fine feature per point (``climb``) -> weights at query positions (``score``)."""

    def __init__(self, cfg: SkinDecoderConfig, widths: tuple[int, ...], token_width: int, head_width: int, octaves: int,
                 use_normals: bool, parents: tuple[int | None, ...]):
        super().__init__()
        self.scale = cfg.width ** -0.5
        outs = (cfg.width,) + widths[1:-1]
        self.ups = nn.ModuleList([UpLevel(fine, coarse, out, head_width, cfg.local_neighbours if level == 0 else 0,
                                          cfg.use_attention)
                                  for level, (fine, coarse, out) in enumerate(zip(widths[:-1], outs[1:] + widths[-1:], outs))])
        self.norm = LayerNorm(cfg.width)
        self.embed_query = PointEmbedder(octaves, cfg.width, use_normals)
        self.mix = MLP(cfg.width, 2 * cfg.width, cfg.width)
        self.norm_query = LayerNorm(cfg.width)
        self.to_query = Linear(cfg.width, cfg.width)
        self.to_key = Linear(token_width, cfg.width)
        self.pair = PairTerm(cfg, token_width, parents) if cfg.use_pair_geometry else None

    def climb(self, levels: list[Level]) -> Level:
        """Coarse to fine. Returns the finest level with ``width`` channels."""
        level = levels[-1]
        for up, fine in zip(reversed(list(self.ups)), reversed(levels[:-1])):
            level = up(fine, level)
        return Level(level.xyz_BN3, self.norm(level.feat_BNC))

    def score(self, fine: Level, query_BQ3: jt.Var, normals_BQ3: jt.Var, joints_BJ3: jt.Var, tokens_BJD: jt.Var) -> jt.Var:
        """Logits (B, Q, J) of each query's weight on each joint."""
        idx_BQ3, weight_BQ3 = three_nearest(query_BQ3, fine.xyz_BN3)
        x_BQC = interpolate(fine.feat_BNC, idx_BQ3, weight_BQ3) + self.embed_query(query_BQ3, normals_BQ3)
        x_BQC = self.norm_query(x_BQC + self.mix(x_BQC))
        logits_BQJ = bmm(self.to_query(x_BQC), self.to_key(tokens_BJD), trans_b=True) * self.scale
        if self.pair is not None:
            logits_BQJ = logits_BQJ + self.pair(x_BQC, query_BQ3, joints_BJ3, tokens_BJD)
        return logits_BQJ

    def execute(self, fine: Level, query_BQ3: jt.Var, normals_BQ3: jt.Var, joints_BJ3: jt.Var, tokens_BJD: jt.Var) -> jt.Var:
        return softmax(self.score(fine, query_BQ3, normals_BQ3, joints_BJ3, tokens_BJD))


class PairTerm(nn.Module):
    """w . gelu(A x_q + B t_j + C g_qj): the geometry g of query and bone, read in the light of both.

    g_qj = [distance to joint j, distance to the segment from j to its tail, place along it, distance to the parent's segment].
    Shapes: x (B, Q, C), query (B, Q, 3), joints (B, J, 3), tokens (B, J, D) -> (B, Q, J).
    """

    def __init__(self, cfg: SkinDecoderConfig, token_width: int, parents: tuple[int | None, ...]):
        super().__init__()
        self.lift_query = Linear(cfg.width, cfg.pair_width)
        self.lift_token = Linear(token_width, cfg.pair_width)
        self.geometry_4H = jt.init.uniform((4, cfg.pair_width), "float32", -2.0, 2.0)
        self.out_H = jt.init.uniform((cfg.pair_width,), "float32", -1.0, 1.0)
        self._tail_JJ = jt.array(tail_matrix(parents)).stop_grad()
        self._parent_J = jt.array(np.array([0 if p is None else p for p in parents], "int32")).stop_grad()

    def execute(self, x_BQC: jt.Var, query_BQ3: jt.Var, joints_BJ3: jt.Var, tokens_BJD: jt.Var) -> jt.Var:
        joint_d_BQJ, bone_d_BQJ, along_BQJ = bone_geometry(query_BQ3, joints_BJ3, jt.matmul(self._tail_JJ, joints_BJ3))
        parent_d_BQJ = bone_d_BQJ[:, :, self._parent_J]
        geometry = (joint_d_BQJ, bone_d_BQJ, along_BQJ, parent_d_BQJ)
        sum_BQJH = self.lift_query(x_BQC).unsqueeze(2) + self.lift_token(tokens_BJD).unsqueeze(1)
        for g_BQJ, weight_H in zip(geometry, (self.geometry_4H[i] for i in range(4))):
            sum_BQJH = sum_BQJH + g_BQJ.unsqueeze(-1) * weight_H
        return (gelu(sum_BQJH) * self.out_H).sum(-1)


def tail_matrix(parents: tuple[int | None, ...]) -> np.ndarray:
    """T (J, J) with tails = T @ joints: the mean of a joint's children; a leaf runs on half its own bone's length."""
    count = len(parents)
    tails_JJ = np.zeros((count, count), "float32")
    for joint in range(count):
        children = [c for c in range(count) if parents[c] == joint]
        if children:
            tails_JJ[joint, children] = 1 / len(children)
        else:
            tails_JJ[joint, joint] = 1.5
            tails_JJ[joint, parents[joint]] = -0.5
    return tails_JJ


def bone_geometry(query_BQ3: jt.Var, head_BJ3: jt.Var, tail_BJ3: jt.Var) -> tuple[jt.Var, jt.Var, jt.Var]:
    """Distance to a bone's head, distance to its segment, and the place along it (0 head, 1 tail, cut to [-1, 2]).

    Lengths are in the unit box. A zero-length bone behaves as a point. Each result: (B, Q, J).
    """
    axis_BJ3 = tail_BJ3 - head_BJ3
    length2_BJ = (axis_BJ3 * axis_BJ3).sum(-1) + 1e-6
    reach_BQ1J3 = query_BQ3.unsqueeze(2) - head_BJ3.unsqueeze(1)
    along_BQJ = (reach_BQ1J3 * axis_BJ3.unsqueeze(1)).sum(-1) / length2_BJ.unsqueeze(1)
    rest_BQJ3 = reach_BQ1J3 - along_BQJ.clamp(0.0, 1.0).unsqueeze(-1) * axis_BJ3.unsqueeze(1)
    return ((reach_BQ1J3 * reach_BQ1J3).sum(-1) + 1e-8).sqrt(), ((rest_BQJ3 * rest_BQJ3).sum(-1) + 1e-8).sqrt(), along_BQJ.clamp(-1.0, 2.0)
