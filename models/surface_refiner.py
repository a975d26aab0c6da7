"""Surface refiner: the decoder gives each vertex its weights alone; here neighbours on the surface correct each other.

A second, small network, taught after the first by its own answers (launch/teach_refiner.py). The nodes are pairs (point, joint) that can
have a weight; edges join the same joint's pairs of neighbouring points, and all pairs of one point hear their mean, so that one set of
parameters serves any number of joints (after the distances to bones of Liu et al., "NeuroSkinning", SIGGRAPH 2019):
    x_p -> x + W gelu(conv(norm x) + point's mean of V norm x), depth times -> r_p;  weights = softmax over a point's joints of log w + r
It begins as the decoder's own answer: the last layer is zero, so r is.
Letters: U distinct points, E edges of the mesh, J joints, N pairs, P edges between pairs, C channels.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jittor as jt
import numpy as np
from jittor import nn

from geometry.mesh_batch import MeshBatch
from geometry.segment import segment_max
from models.graph_layer import Graph, GraphLayer, GraphLayerConfig
from models.skin_decoder import tail_matrix
from models.transformer_block import MLP, Linear
from ops.activation import gelu
from ops.norm import LayerNorm
from ops.segment import rows_of, segment_mean, segment_softmax

LEAST = 1e-4            # a weight below it counts as this: its logarithm stays a number
OWN, BESIDE = 2e-3, 2e-2    # a pair: the point's own weight is at least the first, or a neighbour's the second
INPUTS = 11             # features of a pair


class Pairs(NamedTuple):
    """point_N, joint_N: int64, sorted by point, then joint. feat_NC, log_N float32. ends_P2: the edges between pairs, each once, int32."""
    point_N: np.ndarray
    joint_N: np.ndarray
    feat_NC: np.ndarray
    log_N: np.ndarray
    ends_P2: np.ndarray
    points: int


def pairs_of(mesh: MeshBatch, joints_J3: np.ndarray, parents: tuple[int | None, ...], skin_UJ: np.ndarray) -> Pairs:
    """mesh: one mesh of distinct points, in one frame with the joints. skin_UJ: rows sum to 1."""
    from_P, to_P = np.concatenate([mesh.edges_E2, mesh.edges_E2[:, ::-1]]).T
    beside_UJ = segment_max(skin_UJ[from_P], to_P, len(skin_UJ))
    asked_UJ = (skin_UJ >= OWN) | (beside_UJ >= BESIDE)
    asked_UJ[np.arange(len(skin_UJ)), skin_UJ.argmax(1)] = True     # no point is without a pair
    point_N, joint_N = np.nonzero(asked_UJ)
    place_UJ = np.full(asked_UJ.shape, -1)
    place_UJ[point_N, joint_N] = np.arange(len(point_N))
    ends_P2 = place_UJ[mesh.edges_E2].transpose(0, 2, 1)
    ends_P2 = ends_P2[(ends_P2 >= 0).all(2)]
    log_N = np.log(np.maximum(skin_UJ[point_N, joint_N], LEAST))
    feat_NC = features(mesh.vertices_V3, mesh.vertex_normals_V3, joints_J3, parents, skin_UJ, point_N, joint_N)
    return Pairs(point_N, joint_N, feat_NC, np.float32(log_N), np.int32(ends_P2), len(skin_UJ))


def features(points_U3: np.ndarray, normals_U3: np.ndarray, joints_J3: np.ndarray, parents: tuple[int | None, ...], skin_UJ: np.ndarray,
             point_N: np.ndarray, joint_N: np.ndarray) -> np.ndarray:
    """(N, INPUTS) float32: three of the weight; then place and direction by the joint's bone and its parent's, in lengths of the bone."""
    axis_J3 = tail_matrix(parents) @ joints_J3 - joints_J3
    above_J = np.array([0 if p is None else p for p in parents])
    length_J = np.maximum(np.linalg.norm(axis_J3, axis=1), 1e-2 * np.ptp(joints_J3, axis=0).max())
    weight_N, above_N, length_N = skin_UJ[point_N, joint_N], above_J[joint_N], length_J[joint_N]
    reach_N3, normal_N3 = points_U3[point_N] - joints_J3[joint_N], normals_U3[point_N]
    along_N = (reach_N3 * axis_J3[joint_N]).sum(1) / length_N ** 2
    above_along_N = ((points_U3[point_N] - joints_J3[above_N]) * axis_J3[above_N]).sum(1) / length_J[above_N] ** 2
    away_N3 = reach_N3 - along_N.clip(0, 1)[:, None] * axis_J3[joint_N]
    away_N = np.linalg.norm(away_N3, axis=1)
    columns = [weight_N, np.log(np.maximum(weight_N, LEAST)) / 5 + 1, weight_N / skin_UJ.max(1)[point_N],
               np.linalg.norm(reach_N3, axis=1) / length_N, away_N / length_N, along_N.clip(-2, 3), above_along_N.clip(-2, 3),
               (normal_N3 * away_N3).sum(1) / np.maximum(away_N, 1e-9), (normal_N3 * axis_J3[joint_N]).sum(1) / length_N,
               length_N / length_J[above_N], length_N / np.ptp(points_U3, axis=0).max()]
    return np.float32(np.stack(columns, 1).clip(-6, 6))


@dataclass(frozen=True)
class SurfaceRefinerConfig:
    """inputs: the first so many features of a pair; 3: of its weight alone."""
    inputs: int = INPUTS
    width: int = 24
    depth: int = 3


class SurfaceBlock(nn.Module):
    """x + W gelu(conv(norm x) + point's mean of V norm x). Shapes: (N, C) -> (N, C)."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = LayerNorm(width)
        self.surface = GraphLayer(GraphLayerConfig(width, width, "conv", "mean"))
        self.rivals, self.fall = Linear(width, width, bias=False), Linear(width, width)

    def execute(self, x_NC: jt.Var, graph: Graph, point_N: jt.Var, points: int) -> jt.Var:
        y_NC = self.norm(x_NC)
        rivals_NC = rows_of(segment_mean(self.rivals(y_NC), point_N, points), point_N)
        return x_NC + self.fall(gelu(self.surface(y_NC, graph) + rivals_NC))


class SurfaceRefiner(nn.Module):
    """Pairs -> weights (N, 1) that sum to 1 over each point's pairs."""

    def __init__(self, cfg: SurfaceRefinerConfig = SurfaceRefinerConfig()):
        super().__init__()
        self.cfg = cfg
        self.lift = MLP(cfg.inputs, 2 * cfg.width, cfg.width)
        self.blocks = nn.ModuleList([SurfaceBlock(cfg.width) for _ in range(cfg.depth)])
        self.norm = LayerNorm(cfg.width)
        self.to_shift = Linear(cfg.width, 1, gain=0.0)

    def execute(self, pairs: Pairs) -> jt.Var:
        point_N, graph = jt.array(np.int32(pairs.point_N)), Graph.both_ways(jt.array(pairs.ends_P2), len(pairs.point_N))
        x_NC = self.lift(jt.array(pairs.feat_NC[:, :self.cfg.inputs].copy()))
        for block in self.blocks:
            x_NC = block(x_NC, graph, point_N, pairs.points)
        return segment_softmax(jt.array(pairs.log_N[:, None]) + self.to_shift(self.norm(x_NC)), point_N, pairs.points)

    def refined(self, pairs: Pairs, joints: int) -> np.ndarray:
        """(U, J) float32: the weights of all pairs, 0 elsewhere."""
        with jt.no_grad():
            weight_N = self(pairs).numpy()[:, 0]
        skin_UJ = np.zeros((pairs.points, joints), np.float32)
        skin_UJ[pairs.point_N, pairs.joint_N] = weight_N
        return skin_UJ
