"""Joint refinement: joints look at each other and at the points around them, and correct themselves.

The first guess enters DETACHED: final = stop(initial) + delta, so that no gradient of the refinement reaches the regressor
through the joints; each of the two learns its own task (as published for TransRefiner).
Letters: B batch, J joints, M points, C and D channels.
"""

from typing import NamedTuple

import jittor as jt
from jittor import nn

from models.backbone import Level, LocalPooling
from models.FourierEmbedder import FourierEmbedder
from models.transformer_block import CrossAttentionBlock, Linear, SelfAttentionBlock
from ops.gather import interpolate
from ops.neighbors import three_nearest
from ops.norm import LayerNorm


class Refined(NamedTuple):
    """joints (B, J, 3) in the unit box, tokens (B, J, D): what each joint knows, for the skin decoder."""
    joints_BJ3: jt.Var
    tokens_BJD: jt.Var


class JointTokens(nn.Module):
    """Token of joint j = Fourier(x_j) + identity_j + what the points around x_j look like.

    Shapes: joints (B, J, 3) without gradient, level of M points with C channels -> (B, J, D).
    """

    def __init__(self, joint_count: int, point_width: int, width: int, octaves: int, neighbours: int):
        super().__init__()
        self.fourier = FourierEmbedder(octaves)
        self.lift_position = Linear(self.fourier.width, width)
        self.identity = jt.init.gauss((joint_count, width), "float32", std=0.5)
        self.pool = LocalPooling(point_width, width, neighbours)

    def execute(self, joints_BJ3: jt.Var, level: Level) -> jt.Var:
        idx_BJ3, weight_BJ3 = three_nearest(joints_BJ3, level.xyz_BN3)
        here_BJC = interpolate(level.feat_BNC, idx_BJ3, weight_BJ3)
        around_BJD = self.pool(joints_BJ3, here_BJC, level.xyz_BN3, level.feat_BNC)
        return self.lift_position(self.fourier(joints_BJ3)) + self.identity + around_BJD


class JointRefiner(nn.Module):
    """L times (self-attention among joints, cross-attention to points), then one delta per joint.

    Shapes: initial (B, J, 3), level of M points -> Refined.
    """

    def __init__(self, joint_count: int, point_width: int, width: int, depth: int, head_width: int, octaves: int,
                 neighbours: int):
        super().__init__()
        heads = width // head_width
        self.tokens = JointTokens(joint_count, point_width, width, octaves, neighbours)
        self.among_joints = nn.ModuleList([SelfAttentionBlock(width, heads) for _ in range(depth)])
        self.to_points = nn.ModuleList([CrossAttentionBlock(width, point_width, heads) for _ in range(depth)])
        self.norm = LayerNorm(width)
        self.to_delta = Linear(width, 3, gain=0.1)

    def execute(self, initial_BJ3: jt.Var, level: Level) -> Refined:
        start_BJ3 = initial_BJ3.detach()
        tokens_BJD = self.tokens(start_BJ3, level)
        for among, to_points in zip(self.among_joints, self.to_points):
            tokens_BJD = to_points(among(tokens_BJD), level.feat_BNC)
        tokens_BJD = self.norm(tokens_BJD)
        return Refined(start_BJ3 + self.to_delta(tokens_BJD), tokens_BJD)
