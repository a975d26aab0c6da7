"""Point Cloud Transformer: the network the contest handed out as its baseline, here as the yardstick.

Paper: Guo et al., "PCT: Point Cloud Transformer", arXiv:2012.09688. Input embedding with neighbours: section 3.3 and figure 4;
offset-attention: section 3.2, equations 4-9; the concatenated attention outputs, their lift and the max and mean pooling:
section 3.1, equations 1-3 and figure 2.
Written from the paper alone.
Ours: layer norm where the paper has batch norm, so that one sample and a batch give the same result; gelu where it has relu; the first
linear layer of a group acts before the gather (a linear map of a difference is the difference of the maps), K times less work; levels
are fractions of N (1/2 and 1/4: the paper's 512 and 256 at 1024 points), so that any cloud fits; normals enter beside the positions.
Letters: B batch, N points, M kept points, K neighbours, C and D channels, E embedding, G global code.
"""

from dataclasses import dataclass

import jittor as jt
from jittor import nn

from ops.activation import gelu
from ops.batched_matmul import bmm
from ops.gather import gather, group_max
from ops.linear import linear
from ops.neighbors import knn
from ops.norm import LayerNorm
from ops.sampling import farthest_point_sample

INPUT_WIDTH = 7  # position, normal, and 1 where a normal is known


@dataclass(frozen=True)
class BackboneConfig:
    """Widths in channels. The paper's: width 64, neighbours 32, attention_layers 4, code_width 1024."""
    width: int = 64            # C of the point-wise embedding; groups widen it to 2C, then to E = 4C
    neighbours: int = 32       # K of a group
    attention_layers: int = 4
    code_width: int = 1024     # lifted features; the global code is twice as wide (max and mean)


class Linear(nn.Linear):
    """Jittor's layer through our product, whose bits do not depend on the number of threads. (.., C) -> (.., D)."""

    def execute(self, x: jt.Var) -> jt.Var:
        return linear(x, self.weight, jt.zeros((self.out_features,)) if self.bias is None else self.bias)


class LBR(nn.Module):
    """The paper's Linear-BatchNorm-ReLU, with layer norm and gelu (see the header). (.., C) -> (.., D)."""

    def __init__(self, in_width: int, out_width: int):
        super().__init__()
        self.linear = Linear(in_width, out_width, bias=False)  # the norm's bias makes this one's idle
        self.norm = LayerNorm(out_width)

    def execute(self, x: jt.Var) -> jt.Var:
        return gelu(self.norm(self.linear(x)))


class SampleAndGroup(nn.Module):
    """Keep a fraction of the points and give each the strongest response among its neighbours' differences.

    y_m = max_k LBR(LBR([f_k - f_m, f_m])) over the K points nearest to the kept point m.

    Shapes: xyz_BN3, feat_BNC -> (B, M, 3), (B, M, D) with M = max(1, N // 2).
    """

    def __init__(self, in_width: int, out_width: int, neighbours: int):
        super().__init__()
        self.neighbours = neighbours
        self.lift_difference = Linear(in_width, out_width, bias=False)
        self.lift_own = Linear(in_width, out_width, bias=False)
        self.norm = LayerNorm(out_width)
        self.mix = LBR(out_width, out_width)

    def execute(self, xyz_BN3: jt.Var, feat_BNC: jt.Var) -> tuple[jt.Var, jt.Var]:
        batch, points = xyz_BN3.shape[:2]
        kept_BM1 = farthest_point_sample(xyz_BN3, max(1, points // 2)).unsqueeze(2)
        kept_xyz_BM3 = gather(xyz_BN3, kept_BM1).squeeze(2)
        _, near_BMK = knn(kept_xyz_BM3, xyz_BN3, min(self.neighbours, points))
        lifted_BND = self.lift_difference(feat_BNC)
        difference_BMKD = gather(lifted_BND, near_BMK) - gather(lifted_BND, kept_BM1)
        own_BM1D = gather(self.lift_own(feat_BNC), kept_BM1)
        group_BMKD = self.mix(gelu(self.norm(difference_BMKD + own_BM1D)))
        return kept_xyz_BM3, group_max(group_BMKD)


class OffsetAttention(nn.Module):
    """y = LBR(x - A V(x)) + x: attention's result enters as what it changes (equation 5).

    A_ij = a_ij / sum_j a_ij with a_ij = softmax_i(q_i . k_j): softmax over the first axis, then rows scaled to sum 1 (equation 8).
    Queries and keys share one map of width C/4 (section 3.2; figure 3).

    Shapes: (B, M, C) -> (B, M, C).
    """

    def __init__(self, width: int):
        super().__init__()
        self.query_key = Linear(width, width // 4, bias=False)
        self.value = Linear(width, width)
        self.change = LBR(width, width)

    def execute(self, x_BMC: jt.Var) -> jt.Var:
        query_BMA = self.query_key(x_BMC)
        score_BMM = bmm(query_BMA, query_BMA, trans_b=True)
        column_BMM = nn.softmax(score_BMM, dim=1)
        weight_BMM = column_BMM / (column_BMM.sum(2, keepdims=True) + 1e-9)
        attended_BMC = bmm(weight_BMM, self.value(x_BMC))
        return x_BMC + self.change(x_BMC - attended_BMC)


class PointCloudTransformer(nn.Module):
    """Points to one global code: embedding, two groups, offset-attention layers, lift, max and mean.

    Shapes: points_BN3, normals_BN3 or None -> (B, G) with G = 2 code_width.
    Units:  positions in the unit box; normals of unit length, or zero where unknown.
    Raises: ValueError when points are not (B, N, 3) or normals differ in shape.
    """

    def __init__(self, cfg: BackboneConfig):
        super().__init__()
        embedding = 4 * cfg.width
        self.point_1 = LBR(INPUT_WIDTH, cfg.width)
        self.point_2 = LBR(cfg.width, cfg.width)
        self.group_1 = SampleAndGroup(cfg.width, 2 * cfg.width, cfg.neighbours)
        self.group_2 = SampleAndGroup(2 * cfg.width, embedding, cfg.neighbours)
        self.attention = nn.ModuleList([OffsetAttention(embedding) for _ in range(cfg.attention_layers)])
        self.lift = LBR(embedding * (cfg.attention_layers + 1), cfg.code_width)

    def execute(self, points_BN3: jt.Var, normals_BN3: jt.Var | None) -> jt.Var:
        feat_BNC = self.point_2(self.point_1(point_features(points_BN3, normals_BN3)))
        xyz_BM3, feat_BMC = self.group_1(points_BN3, feat_BNC)
        _, feat_BME = self.group_2(xyz_BM3, feat_BMC)
        outputs = [feat_BME]
        for layer in self.attention:
            outputs.append(layer(outputs[-1]))
        lifted_BMG = self.lift(jt.concat(outputs, dim=2))
        return jt.concat([lifted_BMG.max(dim=1), lifted_BMG.mean(dim=1)], dim=1)


def point_features(points_BN3: jt.Var, normals_BN3: jt.Var | None) -> jt.Var:
    """[position, normal, 1 where the normal is not zero else 0]: (B, N, 7). None stands for normals that are all unknown."""
    if points_BN3.ndim != 3 or points_BN3.shape[2] != 3:
        raise ValueError(f"points must be (B, N, 3), not {tuple(points_BN3.shape)}")
    if normals_BN3 is None:
        normals_BN3 = jt.zeros(points_BN3.shape)
    if tuple(normals_BN3.shape) != tuple(points_BN3.shape):
        raise ValueError(f"normals must be {tuple(points_BN3.shape)} like the points, not {tuple(normals_BN3.shape)}")
    known_BN1 = (normals_BN3.sqr().sum(2, keepdims=True) > 0).float32()
    return jt.concat([points_BN3, normals_BN3, known_BN1], dim=2)
