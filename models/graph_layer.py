"""Layers over graphs: one family of three kinds, from the least general to the most.

Paper: Bronstein, Bruna, Cohen and Velickovic, "Geometric Deep Learning", arXiv:2104.13478, section 5.3; in its words, with N(i) the sources
that have an edge to i and (+) a sum, mean or maximum:
    conv   y_i = W0 x_i + b + (+)_j c_ij W1 x_j              the edge's weight c_ij is given (none: 1)
    attn   y_i = W0 x_i + b + sum_j a(x_i, x_j) W1 x_j       a is learned, >= 0, and sums to 1 over j
    mp     y_i = W0 x_i + b + (+)_j psi(x_i, x_j, e_ij)      the whole message is learned
conv with (+) a sum is the GraphConv of mesh networks: W0 x_i + sum_j W1 x_j. attn's scores are those of Brody, Alon and Yahav, "How Attentive
are Graph Attention Networks?", arXiv:2105.14491, equation 7: s_ij = a . leaky_relu(Q x_i + K x_j), softmax over j, one a per head.
Ours: psi = W2 gelu(A x_i + B x_j + G e_ij), whose linear parts are taken at the nodes, before the edges; W1, W2 and K have no bias.
A node without neighbours hears nothing: its y is W0 x_i + b. No layer here looks at other nodes than neighbours (no norm over a batch), so
a batch of meshes gives what each mesh gives alone.
Letters: N nodes, E edges, C inputs, D outputs, H heads, G channels of an edge.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jittor as jt
from jittor import nn

from models.transformer_block import Linear
from ops.activation import gelu
from ops.kernels import require, require_int, require_shape
from ops.segment import rows_of, segment_max, segment_mean, segment_softmax, segment_sum

REDUCE = {"sum": segment_sum, "mean": segment_mean, "max": segment_max}


class Graph(NamedTuple):
    """source_E[e] = j and target_E[e] = i, int32: edge e carries what j tells i. count: N. weight_E1: c_ij of conv; feat_EG: e_ij of mp."""
    source_E: jt.Var
    target_E: jt.Var
    count: int
    weight_E1: jt.Var | None = None
    feat_EG: jt.Var | None = None

    @staticmethod
    def both_ways(edges_E2: jt.Var, count: int) -> "Graph":
        """Each edge of a mesh (geometry.mesh_batch) carries in both directions; first all from smaller to greater, then all back.

        Raises: ValueError for edges that are not (E, 2) int32.
        """
        require_shape(edges_E2, "E2", "edges")
        require_int(edges_E2, "edges")
        return Graph(jt.concat([edges_E2[:, 0], edges_E2[:, 1]]), jt.concat([edges_E2[:, 1], edges_E2[:, 0]]), count)


@dataclass(frozen=True)
class GraphLayerConfig:
    in_width: int               # C
    out_width: int              # D
    kind: str = "conv"          # "conv", "attn" or "mp"
    reduce: str = "sum"         # (+): "sum", "mean" or "max"; attn knows only its sum
    heads: int = 1              # H of attn; divides D
    hidden: int = 16            # channels inside psi of mp
    edge_width: int = 0         # G of mp; 0: edges have no features


class GraphLayer(nn.Module):
    """Shapes: x (N, C), graph of N nodes -> (N, D), float32.

    message, for mp: psi(x_target_EC, x_source_EC, feat_EG) -> (E, any) in place of the one above; update(kept_ND, heard): what becomes of
    W0 x_i + b and the reduced messages, in place of their sum. Raises: ValueError for a config or a graph that does not fit.
    """

    def __init__(self, cfg: GraphLayerConfig, message=None, update=None):
        super().__init__()
        kinds = {"conv": Convolved, "attn": Attended, "mp": Passed}
        require(cfg.kind in kinds, f"kind must be one of {sorted(kinds)}, not {cfg.kind!r}")
        require(cfg.reduce in REDUCE, f"reduce must be one of {sorted(REDUCE)}, not {cfg.reduce!r}")
        require(cfg.kind == "mp" or (message, update, cfg.edge_width) == (None, None, 0),
                f"only kind 'mp' takes a message, an update or features of edges; this is {cfg.kind!r}")
        require(cfg.kind != "attn" or cfg.reduce == "sum" and cfg.out_width % cfg.heads == 0,
                f"attn sums, and its heads divide its width; got {cfg}")
        self.keep = Linear(cfg.in_width, cfg.out_width)
        self.message = kinds[cfg.kind](cfg) if message is None else OverEdges(message)
        self.reduce = REDUCE[cfg.reduce]
        self.update = update

    def execute(self, x_NC: jt.Var, graph: Graph) -> jt.Var:
        require(x_NC.shape[0] == graph.count, f"x has {x_NC.shape[0]} rows and the graph {graph.count} nodes")
        kept_ND = self.keep(x_NC)
        heard_ND = self.reduce(self.message(x_NC, graph), graph.target_E, graph.count)
        return kept_ND + heard_ND if self.update is None else self.update(kept_ND, heard_ND)


class Convolved(nn.Module):
    """c_ij W1 x_j."""

    def __init__(self, cfg: GraphLayerConfig):
        super().__init__()
        self.tell = Linear(cfg.in_width, cfg.out_width, bias=False)

    def execute(self, x_NC: jt.Var, graph: Graph) -> jt.Var:
        told_ED = rows_of(self.tell(x_NC), graph.source_E)
        return told_ED if graph.weight_E1 is None else told_ED * graph.weight_E1


class Attended(nn.Module):
    """a_ij W1 x_j, head by head."""

    def __init__(self, cfg: GraphLayerConfig):
        super().__init__()
        width, self.heads = cfg.out_width, cfg.heads
        self.tell = Linear(cfg.in_width, width, bias=False)
        self.ask, self.key = Linear(cfg.in_width, width), Linear(cfg.in_width, width, bias=False)
        bound = (cfg.heads / width) ** 0.5
        self.score_D = jt.init.uniform((width,), "float32", -bound, bound)

    def execute(self, x_NC: jt.Var, graph: Graph) -> jt.Var:
        share_EH = segment_softmax(self.scores(x_NC, graph), graph.target_E, graph.count)
        told_ED = rows_of(self.tell(x_NC), graph.source_E)
        return (told_ED.reshape((told_ED.shape[0], self.heads, -1)) * share_EH.unsqueeze(2)).reshape(told_ED.shape)

    def scores(self, x_NC: jt.Var, graph: Graph) -> jt.Var:
        """s_ij, (E, H)."""
        met_ED = rows_of(self.ask(x_NC), graph.target_E) + rows_of(self.key(x_NC), graph.source_E)
        return (nn.leaky_relu(met_ED, 0.2) * self.score_D).reshape((met_ED.shape[0], self.heads, -1)).sum(2)


class Passed(nn.Module):
    """W2 gelu(A x_i + B x_j + G e_ij)."""

    def __init__(self, cfg: GraphLayerConfig):
        super().__init__()
        self.edge_width = cfg.edge_width
        self.of_target, self.of_source = Linear(cfg.in_width, cfg.hidden), Linear(cfg.in_width, cfg.hidden, bias=False)
        self.of_edge = Linear(cfg.edge_width, cfg.hidden, bias=False) if cfg.edge_width else None
        self.tell = Linear(cfg.hidden, cfg.out_width, bias=False)

    def execute(self, x_NC: jt.Var, graph: Graph) -> jt.Var:
        met_EC = rows_of(self.of_target(x_NC), graph.target_E) + rows_of(self.of_source(x_NC), graph.source_E)
        if self.of_edge is not None:
            require(graph.feat_EG is not None, f"this layer wants {self.edge_width} features of each edge; the graph has none")
            met_EC = met_EC + self.of_edge(graph.feat_EG)
        return self.tell(gelu(met_EC))


class OverEdges(nn.Module):
    """Any function of the two ends of an edge (and its features) as a message."""

    def __init__(self, message):
        super().__init__()
        self.message = message

    def execute(self, x_NC: jt.Var, graph: Graph) -> jt.Var:
        return self.message(rows_of(x_NC, graph.target_E), rows_of(x_NC, graph.source_E), graph.feat_EG)
