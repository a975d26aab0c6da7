"""Three kinds of graph layer: by hand, each as a case of the next, independence of batch mates, relabelling, and what learns."""

import jittor as jt
import numpy as np
import pytest

from geometry.mesh_batch import MeshBatch
from models.graph_layer import Graph, GraphLayer, GraphLayerConfig
from tests.geometry.test_mesh_batch import LONELY, SQUARE
from tests.ops.gradients import draw

KINDS = {"conv": {}, "attn": {"heads": 2}, "mp": {}}
by_kind = pytest.mark.parametrize("kind", KINDS)


def layer(kind="conv", seed=1, **change):
    jt.set_global_seed(seed)
    return GraphLayer(GraphLayerConfig(**{"in_width": 3, "out_width": 4, "kind": kind, **KINDS[kind], **change}))


def graph_of(edges_E2, count):
    return Graph.both_ways(jt.array(np.int32(edges_E2).reshape(-1, 2)), count)


def run(net, x_NC, graph):
    return net(jt.array(x_NC), graph).numpy()


def set_weights(net, **arrays):
    for name, var in net.named_parameters():
        if name in arrays:
            var.assign(jt.array(np.float32(arrays[name])))


def test_graph_conv_by_hand():
    # a path 0 - 1 - 2 and node 3 alone: y_i = 2 x_i + 1 + 10 sum_j x_j
    net = layer(in_width=1, out_width=1)
    set_weights(net, **{"keep.weight": [[2]], "keep.bias": [1], "message.tell.weight": [[10]]})
    x, graph = np.float32([[1], [2], [3], [4]]), graph_of([[0, 1], [1, 2]], 4)
    assert run(net, x, graph).tolist() == [[23], [45], [27], [9]]
    half = graph._replace(weight_E1=jt.array(np.float32([[1], [0.5], [1], [1]])))   # 2 hears half of 1
    assert run(net, x, half).tolist() == [[23], [45], [17], [9]]
    means = layer(in_width=1, out_width=1, reduce="mean")
    set_weights(means, **{"keep.weight": [[2]], "keep.bias": [1], "message.tell.weight": [[10]]})
    assert run(means, x, graph).tolist() == [[23], [25], [27], [9]]


def test_attention_with_constant_scores_is_the_mean():
    attn, conv = layer("attn"), layer("conv", reduce="mean")
    same = {name: var.numpy() for name, var in attn.named_parameters()}
    set_weights(attn, **{"message.score_D": np.zeros(4)})
    set_weights(conv, **{name: same[name] for name, _ in conv.named_parameters()})
    graph = graph_of([[0, 1], [1, 2], [1, 3], [2, 3]], 6)
    np.testing.assert_allclose(run(attn, draw(0, 6, 3), graph), run(conv, draw(0, 6, 3), graph), atol=1e-6)


def test_message_passing_configured_as_attention_is_attention():
    attn = layer("attn", heads=1)
    told = attn.message

    def message(target_EC, source_EC, _):   # the share's numerator and denominator, which the update divides
        met_ED = told.ask(target_EC) + told.key(source_EC)
        raised_E1 = (jt.nn.leaky_relu(met_ED, 0.2) * told.score_D).sum(1, keepdims=True).exp()
        return jt.concat([told.tell(source_EC) * raised_E1, raised_E1], 1)

    general = GraphLayer(GraphLayerConfig(3, 4, "mp"), message, lambda kept, heard: kept + heard[:, :4] / jt.maximum(heard[:, 4:], 1e-9))
    general.keep = attn.keep
    x, graph = draw(2, 6, 3), graph_of([[0, 1], [1, 2], [1, 3], [2, 3]], 6)
    np.testing.assert_allclose(run(general, x, graph), run(attn, x, graph), atol=1e-6)
    told.score_D.assign(told.score_D + 1)
    assert np.abs(run(attn, x, graph) - run(general, x, graph)).max() < 1e-6   # both read the same scores


@by_kind
def test_a_batch_gives_what_each_mesh_gives(kind):
    net, meshes = layer(kind), (SQUARE, LONELY, SQUARE)
    batch = MeshBatch.of(*zip(*meshes))
    x = draw(3, len(batch.vertices_V3), 3)
    whole = run(net, x, graph_of(batch.edges_E2, len(x)))
    for mesh, alone in enumerate(meshes):
        mine = batch.vert2mesh_V == mesh
        got = run(net, x[mine], graph_of(MeshBatch.of([alone[0]], [alone[1]]).edges_E2, mine.sum()))
        np.testing.assert_allclose(whole[mine], got, atol=1e-6)


@by_kind
def test_other_labels_change_nothing_else(kind):
    net, rng = layer(kind), np.random.default_rng(4)
    edges, order, x = np.array([[0, 1], [0, 4], [1, 2], [1, 3], [2, 3], [5, 6]]), rng.permutation(8), draw(5, 8, 3)
    y = run(net, x, graph_of(edges, 8))
    moved = np.empty_like(x)
    moved[order] = x
    got = run(net, moved, graph_of(order[rng.permutation(edges)], 8))
    np.testing.assert_allclose(got[order], y, atol=1e-6)
    assert np.abs(got - y).max() > 0.1      # and the order does matter


@by_kind
def test_a_far_node_is_not_heard(kind):
    net, x = layer(kind), draw(6, 5, 3)
    graph = graph_of([[0, 1], [1, 2], [2, 3]], 5)
    y = run(net, x, graph)
    x[3] += 1
    changed = np.abs(run(net, x, graph) - y).max(1) > 1e-6
    assert changed.tolist() == [False, False, True, True, False]


@pytest.mark.parametrize("kind, change", [("conv", {}), ("conv", {"reduce": "max"}), ("attn", {}), ("mp", {"edge_width": 2})])
def test_every_parameter_learns(kind, change):
    net = layer(kind, **change)
    graph = graph_of([[0, 1], [1, 2], [1, 3], [2, 3]], 5)._replace(feat_EG=jt.array(draw(7, 8, 2)))
    loss = (net(jt.array(draw(8, 5, 3)), graph) * jt.array(draw(9, 5, 4))).sum()
    for (name, _), grad in zip(net.named_parameters(), jt.grad(loss, net.parameters())):
        assert np.abs(grad.numpy()).max() > 1e-4, f"{name} never learns"


@by_kind
def test_a_graph_without_edges_keeps_what_is_there(kind):
    net, x = layer(kind), draw(10, 3, 3)
    assert (run(net, x, graph_of([], 3)) == net.keep(jt.array(x)).numpy()).all()


@pytest.mark.parametrize("change, message", [
    ({"kind": "spectral"}, "kind must be one of"), ({"reduce": "min"}, "reduce must be one of"), ({"edge_width": 2}, "only kind 'mp'"),
    ({"kind": "attn", "heads": 3}, "heads divide"), ({"kind": "attn", "reduce": "max"}, "attn sums")])
def test_configs_that_do_not_fit(change, message):
    with pytest.raises(ValueError, match=message):
        GraphLayer(GraphLayerConfig(**{"in_width": 3, "out_width": 4, **change}))


def test_graphs_that_do_not_fit():
    graph = graph_of([[0, 1]], 2)
    with pytest.raises(ValueError, match="x has 3 rows and the graph 2 nodes"):
        layer()(jt.zeros((3, 3)), graph)
    with pytest.raises(ValueError, match="wants 2 features of each edge"):
        layer("mp", edge_width=2)(jt.zeros((2, 3)), graph)
    with pytest.raises(ValueError, match="edges must have shape"):
        Graph.both_ways(jt.zeros((2, 3), dtype="int32"), 2)
    with pytest.raises(ValueError, match="edges must be int32"):
        Graph.both_ways(jt.zeros((2, 2)), 2)
