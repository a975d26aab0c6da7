"""TransRefiner: points in, joints and skin weights out. Reads like the figure.

    points -> Fourier embedding -> PT2 backbone -> joint regression -> [detach] joint refinement -> skin decoder -> weights
                                                                                             \-> expected error of each joint

Source: the TransRefiner README of the 5th Jittor AI Challenge, rigging track (2025); widths, heads and losses were never
published and are ours. Each named part can be switched off by one config field, for the ablation.
Letters: B batch, N points, M anchors, Q queries, J joints, C and D channels.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import jittor as jt
from jittor import nn

from dataset.format import skeleton
from models.backbone import BackboneConfig, Level, PT2Backbone
from models.joint_head import MlpHead, VotingHead
from models.joint_refiner import JointRefiner, JointTokens, Refined
from models.skin_decoder import SkinDecoder, SkinDecoderConfig
from models.transformer_block import Linear, MLP
from ops.gather import interpolate
from ops.neighbors import three_nearest
from PCT.rig import Rig


@dataclass(frozen=True)
class JointModelConfig:
    joint_count: int = 52            # 22 or 52
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    joint_head: str = "vote"         # "vote" or "mlp"
    refine_depth: int = 2            # L; 0 removes the refinement: final = initial
    token_width: int = 128           # of a joint's token
    refine_rounds: int = 1           # how often the refinement is applied, each time from where the last one ended
    token_neighbours: int = 16       # anchors pooled around each joint
    fine_neighbours: int = 0         # points of the finest level pooled around each joint
    confidence: bool = False         # say how far off each joint is expected to be; the presets do, the first checkpoints did not
    decoder: SkinDecoderConfig = field(default_factory=SkinDecoderConfig)


class Joints(NamedTuple):
    """Joints before and after refinement, what each knows, and how far off it expects to be."""
    initial_BJ3: jt.Var
    joints_BJ3: jt.Var
    tokens_BJD: jt.Var
    expected_error_BJ: jt.Var | None


class Encoding(NamedTuple):
    """What one cloud becomes; any number of queries can be decoded from it. The first four as in Joints."""
    initial_BJ3: jt.Var
    joints_BJ3: jt.Var
    tokens_BJD: jt.Var
    expected_error_BJ: jt.Var | None
    fine: Level


class JointModel(nn.Module):
    """Shapes: points (B, N, 3) in [-1, 1], normals (B, N, 3) or None (a zero normal means unknown), queries (B, Q, 3) -> Rig.

    The weights of a row sum to 1. Raises: ValueError on wrong shapes.
    """

    def __init__(self, cfg: JointModelConfig):
        super().__init__()
        self.cfg = cfg
        parents = skeleton(cfg.joint_count).parents
        body, width = cfg.backbone, cfg.backbone.widths[1]
        self.backbone = PT2Backbone(body)
        self.fuse = AnchorFusion(body.widths, body.global_width)
        head = {"vote": VotingHead, "mlp": MlpHead}
        if cfg.joint_head not in head:
            raise ValueError(f"joint_head must be one of {sorted(head)}, not {cfg.joint_head!r}")
        self.head = head[cfg.joint_head](width, body.global_width, cfg.joint_count)
        tokens = JointTokens(cfg.joint_count, width, cfg.token_width, body.octaves, cfg.token_neighbours, body.widths[0],
                             cfg.fine_neighbours)
        self.refiner = (JointRefiner(tokens, width, cfg.token_width, cfg.refine_depth, body.head_width, cfg.refine_rounds)
                        if cfg.refine_depth else NoRefiner(tokens))
        self.confidence = ErrorHead(cfg.token_width) if cfg.confidence else None
        self.decoder = SkinDecoder(cfg.decoder, body.widths, cfg.token_width, body.head_width, body.octaves,
                                   body.use_normals, parents)

    def find_joints(self, points_BN3: jt.Var, normals_BN3: jt.Var | None = None) -> tuple[Joints, list[Level]]:
        """The half of the network that the joints need, and the levels that the skin goes on from."""
        normals_BN3 = jt.zeros_like(points_BN3) if normals_BN3 is None else normals_BN3
        levels, code_BG = self.backbone(points_BN3, normals_BN3)
        anchors = self.fuse(levels, code_BG)
        initial_BJ3 = self.head(anchors.xyz_BN3, anchors.feat_BNC, code_BG)
        joints_BJ3, tokens_BJD = self.refiner(initial_BJ3, anchors, levels[0])
        return Joints(initial_BJ3, joints_BJ3, tokens_BJD, None if self.confidence is None else self.confidence(tokens_BJD)), levels

    def encode(self, points_BN3: jt.Var, normals_BN3: jt.Var | None = None) -> Encoding:
        joints, levels = self.find_joints(points_BN3, normals_BN3)
        return Encoding(*joints, self.decoder.climb(levels))

    def decode_skin(self, code: Encoding, query_BQ3: jt.Var, normals_BQ3: jt.Var | None = None) -> jt.Var:
        """Weights (B, Q, J) at any positions. The skin teaches the joints nothing: it sees them detached."""
        normals_BQ3 = jt.zeros_like(query_BQ3) if normals_BQ3 is None else normals_BQ3
        return self.decoder(code.fine, query_BQ3, normals_BQ3, code.joints_BJ3.detach(), code.tokens_BJD)

    def execute(self, points_BN3: jt.Var, normals_BN3: jt.Var | None = None, query_BQ3: jt.Var | None = None,
                query_normals_BQ3: jt.Var | None = None) -> Rig:
        """Queries default to the points themselves."""
        if query_BQ3 is None:
            query_BQ3, query_normals_BQ3 = points_BN3, normals_BN3
        code = self.encode(points_BN3, normals_BN3)
        return Rig(code.initial_BJ3, code.joints_BJ3, self.decode_skin(code, query_BQ3, query_normals_BQ3), code.expected_error_BJ)


class AnchorFusion(nn.Module):
    """The N/4 level's features with those of every coarser level and the global code added: what the joints are read from.

    Shapes: levels, code (B, G) -> Level of N/4 points with widths[1] channels.
    """

    def __init__(self, widths: tuple[int, ...], code_width: int):
        super().__init__()
        self.lift_coarse = nn.ModuleList([Linear(width, widths[1]) for width in widths[2:]])
        self.lift_code = Linear(code_width, widths[1])

    def execute(self, levels: list[Level], code_BG: jt.Var) -> Level:
        xyz_BM3, feat_BMC = levels[1]
        feat_BMC = feat_BMC + self.lift_code(code_BG).unsqueeze(1)
        for lift, coarse in zip(self.lift_coarse, levels[2:]):
            feat_BMC = feat_BMC + interpolate(lift(coarse.feat_BNC), *three_nearest(xyz_BM3, coarse.xyz_BN3))
        return Level(xyz_BM3, feat_BMC)


class ErrorHead(nn.Module):
    """tokens (B, J, D) -> the expected distance (B, J) of each refined joint from the truth, in box units, always positive.

    Ours, after Kendall and Gal, arXiv:1703.04977 (a network that learns its own noise). One number a joint, because errors of joints
    run in all directions alike. It also tells a cloud that does not stand upright: there every joint is expected to be wrong.
    """

    def __init__(self, width: int):
        super().__init__()
        self.mlp = MLP(width, width, 1)

    def execute(self, tokens_BJD: jt.Var) -> jt.Var:
        # between e^-7 and e^1 around e^-3, a joint's usual error early in training; the ends are never reached by a real error
        return (self.mlp(tokens_BJD).squeeze(-1).tanh() * 4 - 3).exp()


class NoRefiner(nn.Module):
    """Stands in when refinement is switched off: the initial joints are final, and only the tokens are made."""

    def __init__(self, tokens: JointTokens):
        super().__init__()
        self.tokens = tokens

    def execute(self, initial_BJ3: jt.Var, level: Level, fine: Level) -> Refined:
        return Refined(initial_BJ3, self.tokens(initial_BJ3.detach(), level, fine))
