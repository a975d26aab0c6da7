"""Time segment operations against Jittor's own reindex_reduce, and what a graph layer and a mesh batch cost; draw how far layers reach.

    OMP_NUM_THREADS=1 python -m benchmarks.bench_graph [--json FILE] [--picture FILE --meshes 8] [--rounds 7]

On a batch of generated humans. Everything in one process, turn by turn, copies from and to NumPy included; medians and the quartiles of the
ratios. Whatever is compared must agree before it is timed.
"""

import argparse
import os
import statistics
import time
from pathlib import Path

import numpy as np

from launch.runtime import start_jittor

jt = start_jittor()

from benchmarks.paired import compare, machine, write_result  # noqa: E402  (Jittor comes first)
from dataset.sources.humans import generate  # noqa: E402
from geometry.mesh_batch import MeshBatch  # noqa: E402
from models.graph_layer import Graph, GraphLayer, GraphLayerConfig  # noqa: E402
from ops import segment  # noqa: E402

REACHES = (1, 4, 16)


def humans(count: int) -> MeshBatch:
    meshes = [generate(seed) for seed in range(count)]
    return MeshBatch.of([m.vertices_V3 for m in meshes], [m.faces_F3 for m in meshes])


def own_softmax(x_EC: jt.Var, target_E: jt.Var, count: int) -> jt.Var:
    raised_EC = (x_EC - segment._greatest(x_EC, target_E, count)[target_E]).exp()
    return raised_EC / segment._added(raised_EC, target_E, count)[target_E]


def own_mean(x_EC: jt.Var, target_E: jt.Var, count: int) -> jt.Var:
    size_S1 = segment._added(jt.ones((x_EC.shape[0], 1)), target_E, count)
    return segment._added(x_EC, target_E, count) / jt.maximum(size_S1, 1.0)


OURS = {"sum": segment.segment_sum, "mean": segment.segment_mean, "max": segment.segment_max, "softmax": segment.segment_softmax}
PLAIN = {"sum": segment._added, "mean": own_mean, "max": segment._greatest, "softmax": own_softmax}


def both_ways(op, x_EC: np.ndarray, target_E: jt.Var, count: int, y: np.ndarray) -> list[np.ndarray]:
    """Value and gradient of <op(x), y>."""
    x = jt.array(x_EC)
    out = op(x, target_E, count)
    return [v.numpy() for v in (out, jt.grad((out * jt.array(y)).sum(), x))]


def turns(cases: dict, rounds: int) -> dict[str, list[float]]:
    """Seconds of each case, one after the other in every round; the first round is thrown away."""
    seconds = {name: [] for name in cases}
    for turn in range(rounds + 1):
        for name, case in cases.items():
            start = time.perf_counter()
            case()
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def segment_row(name: str, target_E: np.ndarray, count: int, width: int, rounds: int) -> dict:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(len(target_E), width)).astype("float32")
    y = rng.normal(size=x.shape if name == "softmax" else (count, width)).astype("float32")
    index = jt.array(np.int32(target_E))
    cases = {"ours": lambda: both_ways(OURS[name], x, index, count, y), "plain": lambda: both_ways(PLAIN[name], x, index, count, y)}
    named = np.bincount(target_E, minlength=count) > 0      # of an empty segment reindex_reduce says -3.4e38
    for ours, plain in zip(cases["ours"](), cases["plain"]()):
        keep = named if len(ours) == count else slice(None)
        assert np.abs(ours - plain)[keep].max() < 1e-3, f"{name} disagrees with reindex_reduce"
    seconds = turns(cases, rounds)
    return {"what": f"segment_{name}", "rows": len(x), "segments": count, "width": width,
            "ms": {k: 1e3 * statistics.median(v) for k, v in seconds.items()}, "ratio": list(compare(seconds["ours"], seconds["plain"]))}


def layer_row(kind: str, graph: Graph, width: int, rounds: int) -> dict:
    net = GraphLayer(GraphLayerConfig(width, width, kind))
    x = np.random.default_rng(1).normal(size=(graph.count, width)).astype("float32")

    def forward():
        with jt.no_grad():
            net(jt.array(x), graph).sync()

    def learn():
        y_ND = net(jt.array(x), graph)
        jt.sync(jt.grad((y_ND * y_ND).sum(), net.parameters()))     # of a plain sum the forward way would be left out

    seconds = turns({"forward": forward, "with backward": learn}, rounds)
    return {"what": f"GraphLayer {kind}", "nodes": graph.count, "edges": graph.source_E.shape[0], "width": width,
            "ms": {k: 1e3 * statistics.median(v) for k, v in seconds.items()}}


def batch_row(batch: MeshBatch, rounds: int) -> dict:
    meshes = [batch[b] for b in range(len(batch))]

    def build():
        fresh = MeshBatch.of(*zip(*meshes))
        return fresh.face2edge_F3, fresh.vertex_normals_V3, fresh.mask_BM

    return {"what": "MeshBatch: pack, edges, face2edge, normals", "meshes": len(batch), "vertices": len(batch.vertices_V3),
            "faces": len(batch.faces_F3), "ms": {"numpy": 1e3 * statistics.median(turns({"build": build}, rounds)["build"])}}


def draw(path: Path, batch: MeshBatch) -> None:
    """Left: which places of the padded form are filled. Right: from where a point of the chest has heard after so many layers."""
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt
    figure, axes = plt.subplots(1, 2 + len(REACHES), figsize=(11, 3.6), width_ratios=[1.5] + [1] * (1 + len(REACHES)))
    axes[0].imshow(batch.mask_BM, aspect="auto", cmap="Greys", vmax=2, interpolation="nearest")
    axes[0].set(xlabel="M", ylabel="B", title=f"padded: {batch.mask_BM.mean():.0%} filled", yticks=range(len(batch)))
    vertices_V3, faces_F3 = batch[0]
    edges_E2 = MeshBatch.of([vertices_V3], [faces_F3]).edges_E2
    graph = Graph.both_ways(jt.array(np.int32(edges_E2)), len(vertices_V3))
    heard_V1 = np.zeros((len(vertices_V3), 1), "float32")
    middle_3 = (vertices_V3.min(0) + vertices_V3.max(0)) / 2 + np.array([0, 0.22 * np.ptp(vertices_V3[:, 1]), 0])
    heard_V1[np.abs(vertices_V3 - middle_3)[:, :2].sum(1).argmin()] = 1
    for layers in range(max(REACHES) + 1):
        if layers in (0, *REACHES):
            axis = axes[1 + (0, *REACHES).index(layers)]
            order_V = heard_V1[:, 0].argsort(kind="stable")
            axis.scatter(*vertices_V3[order_V, :2].T, c=heard_V1[order_V, 0] > 0, s=1.5, cmap="coolwarm", vmin=0, vmax=1)
            axis.set(title=f"{layers} layers: {int((heard_V1 > 0).sum())} points", aspect="equal")
            axis.axis("off")
        heard_V1 = (heard_V1 + segment.segment_max(segment.rows_of(jt.array(heard_V1), graph.source_E), graph.target_E,
                                                   graph.count).numpy()).clip(0, 1)
    figure.tight_layout()
    figure.savefig(path, dpi=90)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers here too")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw and time nothing")
    parser.add_argument("--meshes", type=int, default=2, help="generated humans in the batch")
    parser.add_argument("--width", type=int, default=24, help="channels")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each side")
    args = parser.parse_args()
    batch = humans(args.meshes)
    if args.picture:
        return draw(args.picture, batch)
    about = machine(threads=os.environ.get("OMP_NUM_THREADS", "all"))
    graph = Graph.both_ways(jt.array(np.int32(batch.edges_E2)), len(batch.vertices_V3))
    rows = [segment_row(name, graph.target_E.numpy(), graph.count, args.width, args.rounds) for name in OURS]
    rows += [layer_row(kind, graph, args.width, args.rounds) for kind in ("conv", "attn", "mp")] + [batch_row(batch, args.rounds)]
    for row in rows:
        print(row["what"], {k: round(v, 1) for k, v in row["ms"].items()}, "ms", "ratio {:.2f} ({:.2f}-{:.2f})".format(*row["ratio"])
              if "ratio" in row else "")
    write_result(args.json, {f"{row['what']}_ratio": row["ratio"][0] for row in rows if "ratio" in row}, rows, about)


if __name__ == "__main__":
    main()
