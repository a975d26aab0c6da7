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
    """Token of joint j = Fourier(x_j) + identity_j + what the points around x_j look like, on one level and, where asked, on the finest.

    Shapes: joints (B, J, 3) without gradient, level of M points with C channels, fine of N points -> (B, J, D).
    fine_neighbours: points of the finest level pooled around each joint, 0: none. The anchors' features know the whole figure but are
    a quarter as dense; where the limb's surface lies about a joint is seen on the finest level only.
    """

    def __init__(self, joint_count: int, point_width: int, width: int, octaves: int, neighbours: int, fine_width: int = 0,
                 fine_neighbours: int = 0):
        super().__init__()
        self.fourier = FourierEmbedder(octaves)
        self.lift_position = Linear(self.fourier.width, width)
        self.identity = jt.init.gauss((joint_count, width), "float32", std=0.5)
        self.pool = LocalPooling(point_width, width, neighbours)
        self.pool_fine = LocalPooling(fine_width, width, fine_neighbours) if fine_neighbours else None

    def execute(self, joints_BJ3: jt.Var, level: Level, fine: Level) -> jt.Var:
        tokens_BJD = self.lift_position(self.fourier(joints_BJ3)) + self.identity + around(self.pool, joints_BJ3, level)
        return tokens_BJD if self.pool_fine is None else tokens_BJD + around(self.pool_fine, joints_BJ3, fine)


def around(pool: LocalPooling, joints_BJ3: jt.Var, level: Level) -> jt.Var:
    """(B, J, D): a level's neighbourhood of each joint, as seen from the features interpolated at the joint."""
    here_BJC = interpolate(level.feat_BNC, *three_nearest(joints_BJ3, level.xyz_BN3))
    return pool(joints_BJ3, here_BJC, level.xyz_BN3, level.feat_BNC)


class JointRefiner(nn.Module):
    """L times (self-attention among joints, cross-attention to points), then one delta per joint; all of it ``rounds`` times.

    A round begins where the last one ended, with tokens read anew from there; all rounds share their weights and learn from the
    last one's joints: final = stop(initial) + delta_1 + delta_2 + ...
    Shapes: initial (B, J, 3), level of M points, fine of N points -> Refined of the last round.
    """

    def __init__(self, tokens: JointTokens, point_width: int, width: int, depth: int, head_width: int, rounds: int = 1):
        super().__init__()
        heads = width // head_width
        self.rounds = rounds
        self.tokens = tokens
        self.among_joints = nn.ModuleList([SelfAttentionBlock(width, heads) for _ in range(depth)])
        self.to_points = nn.ModuleList([CrossAttentionBlock(width, point_width, heads) for _ in range(depth)])
        self.norm = LayerNorm(width)
        self.to_delta = Linear(width, 3, gain=0.1)

    def execute(self, initial_BJ3: jt.Var, level: Level, fine: Level) -> Refined:
        refined = Refined(initial_BJ3.detach(), None)
        for _ in range(self.rounds):
            refined = self.once(refined.joints_BJ3, level, fine)
        return refined

    def once(self, start_BJ3: jt.Var, level: Level, fine: Level) -> Refined:
        tokens_BJD = self.tokens(start_BJ3.detach(), level, fine)
        for among, to_points in zip(self.among_joints, self.to_points):
            tokens_BJD = to_points(among(tokens_BJD), level.feat_BNC)
        tokens_BJD = self.norm(tokens_BJD)
        return Refined(start_BJ3 + self.to_delta(tokens_BJD), tokens_BJD)
