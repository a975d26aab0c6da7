"""PT2 backbone: levels of farthest-point down-sampling, local pooling and self-attention over a point cloud.

Papers: Qi et al., "PointNet++", arXiv:1706.02413 (farthest points, grouping); Wang et al., "EdgeConv", arXiv:1801.07829
(pairs [f_c, f_nb - f_c]); Zhao et al., "Point Transformer", arXiv:2012.09164 (levels of a quarter each).
Ours: the pooling MLP's first layer is linear in [f_nb - f_c, f_c, x_nb - x_c], so it is applied before the gather, to N rows
instead of N K; attention over all points of a level, since a character's pose is a long-range fact.
Letters: B batch, N points, M points of the next level (N/4), K neighbours, C and D channels.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jittor as jt
from jittor import nn

from models.FourierEmbedder import FourierEmbedder
from models.transformer_block import Linear, MLP, SelfAttentionBlock
from ops.activation import gelu
from ops.gather import gather, group_max
from ops.linear import linear
from ops.neighbors import knn
from ops.norm import LayerNorm
from ops.sampling import farthest_point_sample


@dataclass(frozen=True)
class BackboneConfig:
    octaves: int = 6                              # of the Fourier embedding; 0 removes it
    use_normals: bool = True                      # False: normals are ignored even when given
    widths: tuple[int, ...] = (64, 128, 256)      # channels at N, N/4, N/16 ... points
    depths: tuple[int, ...] = (2, 2)              # self-attention blocks at each level below the first; 0 removes them
    neighbours: int = 16                          # K of the local pooling
    head_width: int = 32                          # channels per attention head
    global_width: int = 256                       # width of the pooled code


class Level(NamedTuple):
    """Positions of a level in the unit box and the features there."""
    xyz_BN3: jt.Var
    feat_BNC: jt.Var


class PointEmbedder(nn.Module):
    """Position and normal of a point -> features. A zero normal means "unknown" and gets a learned vector instead.

    Shapes: xyz (B, N, 3) in [-1, 1], normals (B, N, 3) of unit length or zero -> (B, N, C).
    """

    def __init__(self, octaves: int, width: int, use_normals: bool = True):
        super().__init__()
        self.use_normals = use_normals
        self.fourier = FourierEmbedder(octaves)
        self.lift_position = Linear(self.fourier.width, width)
        if use_normals:
            self.lift_normal = Linear(3, width)
            self.no_normal = jt.init.gauss((width,), "float32", std=0.02)
        self.norm = LayerNorm(width)
        self.mlp = MLP(width, width, width)

    def execute(self, xyz_BN3: jt.Var, normals_BN3: jt.Var) -> jt.Var:
        x_BNC = self.lift_position(self.fourier(xyz_BN3))
        if self.use_normals:
            known_BN1 = ((normals_BN3 * normals_BN3).sum(-1, keepdims=True) > 0.25).float32()
            x_BNC = x_BNC + known_BN1 * self.lift_normal(normals_BN3) + (1 - known_BN1) * self.no_normal
        return x_BNC + self.mlp(self.norm(x_BNC))


class LocalPooling(nn.Module):
    """max over K neighbours of W2 gelu(W1 [f_nb - f_c, f_c, x_nb - x_c] + b1) + b2.

    Shapes: centre_xyz (B, M, 3), centre_feat (B, M, C), xyz (B, N, 3), feat (B, N, C) -> (B, M, D).
    """

    def __init__(self, in_width: int, out_width: int, neighbours: int):
        super().__init__()
        self.neighbours = neighbours
        hidden = max(out_width // 2, 16)
        self.lift_neighbour = Linear(in_width, hidden)   # W1's columns for f_nb; those for f_c absorb the difference
        self.lift_centre = Linear(in_width, hidden)
        self.offset_3H = jt.init.uniform((3, hidden), "float32", -2.0, 2.0)  # offsets are about a tenth of the box
        self.out = Linear(hidden, out_width)

    def execute(self, centre_xyz_BM3: jt.Var, centre_feat_BMC: jt.Var, xyz_BN3: jt.Var, feat_BNC: jt.Var) -> jt.Var:
        _, idx_BMK = knn(centre_xyz_BM3, xyz_BN3, min(self.neighbours, xyz_BN3.shape[1]))
        near_BMKH = gather(self.lift_neighbour(feat_BNC) + self._offset(xyz_BN3), idx_BMK)
        centre_BMH = self.lift_centre(centre_feat_BMC) - self._offset(centre_xyz_BM3)
        return group_max(self.out(gelu(near_BMKH + centre_BMH.unsqueeze(2))))

    def _offset(self, xyz_BN3: jt.Var) -> jt.Var:
        return linear(xyz_BN3, self.offset_3H.transpose(0, 1), jt.zeros((self.offset_3H.shape[1],)))


class DownLevel(nn.Module):
    """Farthest-point sample a quarter of the points, pool their neighbourhoods, let them attend to each other."""

    def __init__(self, in_width: int, out_width: int, depth: int, cfg: BackboneConfig):
        super().__init__()
        self.pool = LocalPooling(in_width, out_width, cfg.neighbours)
        self.skip = Linear(in_width, out_width)
        self.blocks = nn.ModuleList([SelfAttentionBlock(out_width, out_width // cfg.head_width) for _ in range(depth)])

    def execute(self, level: Level) -> Level:
        count = max(level.xyz_BN3.shape[1] // 4, 4)
        idx_BM = farthest_point_sample(level.xyz_BN3, count)
        xyz_BM3, feat_BMC = gather(level.xyz_BN3, idx_BM), gather(level.feat_BNC, idx_BM)
        feat_BMD = self.skip(feat_BMC) + self.pool(xyz_BM3, feat_BMC, level.xyz_BN3, level.feat_BNC)
        for block in self.blocks:
            feat_BMD = block(feat_BMD)
        return Level(xyz_BM3, feat_BMD)


class PT2Backbone(nn.Module):
    """Points and normals -> every level (fine to coarse) and a global code.

    Shapes: points (B, N, 3), normals (B, N, 3) float32, zeros where unknown -> (levels, code (B, G)).
    Raises: ValueError when N < 16 or the shapes disagree.
    """

    def __init__(self, cfg: BackboneConfig):
        super().__init__()
        if len(cfg.depths) != len(cfg.widths) - 1:
            raise ValueError(f"{len(cfg.widths)} widths need {len(cfg.widths) - 1} depths, not {len(cfg.depths)}")
        self.embed = PointEmbedder(cfg.octaves, cfg.widths[0], cfg.use_normals)
        self.downs = nn.ModuleList([DownLevel(a, b, depth, cfg)
                                    for a, b, depth in zip(cfg.widths[:-1], cfg.widths[1:], cfg.depths)])
        self.norm = LayerNorm(cfg.widths[-1])
        self.to_code = Linear(2 * cfg.widths[-1], cfg.global_width)

    def execute(self, points_BN3: jt.Var, normals_BN3: jt.Var) -> tuple[list[Level], jt.Var]:
        check_cloud(points_BN3, normals_BN3)
        levels = [Level(points_BN3, self.embed(points_BN3, normals_BN3))]
        for down in self.downs:
            levels.append(down(levels[-1]))
        last_BMC = self.norm(levels[-1].feat_BNC)
        code_BG = gelu(self.to_code(jt.concat([group_max(last_BMC.unsqueeze(1)).squeeze(1), last_BMC.mean(1)], dim=-1)))
        return levels, code_BG


def check_cloud(points_BN3: jt.Var, normals_BN3: jt.Var) -> None:
    if points_BN3.ndim != 3 or points_BN3.shape[2] != 3 or points_BN3.shape[1] < 16:
        raise ValueError(f"points must be (B, N >= 16, 3), not {tuple(points_BN3.shape)}")
    if tuple(normals_BN3.shape) != tuple(points_BN3.shape):
        raise ValueError(f"normals {tuple(normals_BN3.shape)} must have the shape of the points {tuple(points_BN3.shape)}")
