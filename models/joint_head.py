"""Joint regression: where the joints are, before refinement. Two heads, chosen by the config.

MlpHead is the published one: a plain MLP on the pooled code. VotingHead lets every anchor point vote
joint_j = sum_p softmax_p(w_pj) (x_p + o_pj), which moves with the points and was the main idea of the contest's second place.
Letters: B batch, M anchor points, C channels, G global code, J joints.
"""

import jittor as jt
from jittor import nn

from models.transformer_block import MLP
from ops.activation import softmax
from ops.norm import LayerNorm


class MlpHead(nn.Module):
    """code (B, G) -> joints (B, J, 3) in the unit box. The anchors are not used."""

    def __init__(self, anchor_width: int, code_width: int, joint_count: int):
        super().__init__()
        self.joint_count = joint_count
        self.mlp = MLP(code_width, 2 * code_width, 3 * joint_count)

    def execute(self, xyz_BM3: jt.Var, feat_BMC: jt.Var, code_BG: jt.Var) -> jt.Var:
        return self.mlp(code_BG).reshape(code_BG.shape[0], self.joint_count, 3)


class VotingHead(nn.Module):
    """joint_j = sum_p softmax_p(w_pj) (x_p + o_pj).

    Shapes: xyz (B, M, 3), feat (B, M, C), code (B, G) unused -> (B, J, 3) in the unit box.
    """

    def __init__(self, anchor_width: int, code_width: int, joint_count: int):
        super().__init__()
        self.joint_count = joint_count
        self.norm = LayerNorm(anchor_width)
        self.mlp = MLP(anchor_width, anchor_width, 4 * joint_count, gain=0.3)

    def execute(self, xyz_BM3: jt.Var, feat_BMC: jt.Var, code_BG: jt.Var) -> jt.Var:
        batch, count, _ = xyz_BM3.shape
        votes_BJ4M = self.mlp(self.norm(feat_BMC)).reshape(batch, count, self.joint_count, 4).transpose(0, 2, 3, 1)
        weight_BJM = softmax(votes_BJ4M[:, :, 3])
        place_BJ3M = votes_BJ4M[:, :, :3] + xyz_BM3.transpose(0, 2, 1).unsqueeze(1)
        return (place_BJ3M * weight_BJM.unsqueeze(2)).sum(-1)
