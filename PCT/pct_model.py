"""The baseline rig network: Point Cloud Transformer, a plain joint head and a query skin head.

Backbone: arXiv:2012.09688 (point_cloud_transformer.py). Heads: the contest's baseline in spirit; joints from an MLP on the global code,
weights from the dot product of a vertex query and a joint query.
Ours: each joint query also knows which joint it is; the skin head reads the joints detached, so that weights never bend joints.
Letters: B batch, N points, Q query positions, J joints, G global code, D query width.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import jittor as jt
from jittor import nn

from ops.activation import gelu
from ops.batched_matmul import bmm
from PCT.point_cloud_transformer import LBR, BackboneConfig, Linear, PointCloudTransformer, point_features, INPUT_WIDTH
from PCT.rig import Rig


@dataclass(frozen=True)
class PCTConfig:
    """Widths in channels; see BackboneConfig for the first four."""
    joint_count: int = 52
    width: int = 64
    neighbours: int = 32
    attention_layers: int = 4
    code_width: int = 1024
    head_width: int = 512   # hidden layers of the joint head
    query_width: int = 256  # D, where vertices and joints meet

    def backbone(self) -> BackboneConfig:
        return BackboneConfig(self.width, self.neighbours, self.attention_layers, self.code_width)


def paper(joint_count: int = 52) -> PCTConfig:
    """The paper's widths."""
    return PCTConfig(joint_count)


def small(joint_count: int = 52) -> PCTConfig:
    """Trains on a CPU."""
    return PCTConfig(joint_count, width=32, neighbours=16, code_width=512, head_width=256, query_width=128)


def tiny(joint_count: int = 52) -> PCTConfig:
    """For tests: milliseconds."""
    return PCTConfig(joint_count, width=8, neighbours=4, attention_layers=2, code_width=32, head_width=32, query_width=16)


class PCTEncoding(NamedTuple):
    """What one look at the points yields; weights are decoded from it anywhere."""
    initial_BJ3: jt.Var
    joints_BJ3: jt.Var
    code_BG: jt.Var


class PCTModel(nn.Module):
    """The same interface as models.joint_model.JointModel, so that one set of doors serves both.

    Raises: ValueError for shapes that do not fit (see point_features).
    """

    def __init__(self, cfg: PCTConfig):
        super().__init__()
        self.cfg = cfg
        code = 2 * cfg.code_width
        self.backbone = PointCloudTransformer(cfg.backbone())
        self.joint_1 = LBR(code, cfg.head_width)
        self.joint_2 = LBR(cfg.head_width, cfg.head_width)
        self.joint_out = Linear(cfg.head_width, 3 * cfg.joint_count)
        self.skin_head = QuerySkin(cfg, code)

    def encode(self, points_BN3: jt.Var, normals_BN3: jt.Var | None = None) -> PCTEncoding:
        code_BG = self.backbone(points_BN3, normals_BN3)
        joints_BJ3 = self.joint_out(self.joint_2(self.joint_1(code_BG))).reshape(-1, self.cfg.joint_count, 3)
        return PCTEncoding(joints_BJ3, joints_BJ3, code_BG)

    def decode_skin(self, encoding: PCTEncoding, query_BQ3: jt.Var, query_normals_BQ3: jt.Var | None = None) -> jt.Var:
        """Weights at any positions: (B, Q, J), >= 0, rows sum to 1."""
        return self.skin_head(encoding, query_BQ3, query_normals_BQ3)

    def execute(self, points_BN3: jt.Var, normals_BN3: jt.Var | None = None, query_BQ3: jt.Var | None = None,
                query_normals_BQ3: jt.Var | None = None) -> Rig:
        """query_BQ3 None: weights at the points themselves."""
        if query_BQ3 is None:
            query_BQ3, query_normals_BQ3 = points_BN3, normals_BN3
        encoding = self.encode(points_BN3, normals_BN3)
        skin_BQJ = self.decode_skin(encoding, query_BQ3, query_normals_BQ3)
        return Rig(encoding.initial_BJ3, encoding.joints_BJ3, skin_BQJ)


class QuerySkin(nn.Module):
    """skin_qj = softmax_j(a_q . b_j / sqrt(D)), a from [position, normal, code], b from [joint, its identity, code].

    A linear layer on [x, code] is the sum of one on x and one on the code, so the code is mapped once, not once a query.
    """

    def __init__(self, cfg: PCTConfig, code_width: int):
        super().__init__()
        self.scale = 1 / math.sqrt(cfg.query_width)
        self.lift_point = Linear(INPUT_WIDTH, cfg.query_width)
        self.lift_point_code = Linear(code_width, cfg.query_width, bias=False)
        self.point_mix = LBR(cfg.query_width, cfg.query_width)
        self.point_out = Linear(cfg.query_width, cfg.query_width)
        self.lift_joint = Linear(3, cfg.query_width, bias=False)
        self.lift_joint_code = Linear(code_width, cfg.query_width, bias=False)
        self.identity_JD = jt.randn((cfg.joint_count, cfg.query_width)) * 0.5
        self.joint_mix = LBR(cfg.query_width, cfg.query_width)
        self.joint_out = Linear(cfg.query_width, cfg.query_width, bias=False)  # softmax over J cannot see a bias

    def execute(self, encoding: PCTEncoding, query_BQ3: jt.Var, query_normals_BQ3: jt.Var | None) -> jt.Var:
        point_BQD = self.lift_point(point_features(query_BQ3, query_normals_BQ3))
        point_BQD = self._head(point_BQD, self.lift_point_code(encoding.code_BG), self.point_mix, self.point_out)
        joint_BJD = self.lift_joint(encoding.joints_BJ3.detach()) + self.identity_JD.unsqueeze(0)
        joint_BJD = self._head(joint_BJD, self.lift_joint_code(encoding.code_BG), self.joint_mix, self.joint_out)
        return nn.softmax(bmm(point_BQD, joint_BJD, trans_b=True) * self.scale, dim=2)

    @staticmethod
    def _head(own_BPD: jt.Var, code_BD: jt.Var, mix: LBR, out: Linear) -> jt.Var:
        return out(mix(gelu(own_BPD + code_BD.unsqueeze(1))))
