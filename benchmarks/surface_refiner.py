"""Can graph layers over the mesh better the weights that the decoder gives each vertex alone? An experiment: docs/ablations.md has its answer.

    python -m benchmarks.surface_refiner --raw RAW --dev data/dev --assets data/rocketbox --humans 215 --mascots 60
    python -m benchmarks.surface_refiner --raw RAW --steps 750 --features all --teach all --json FILE

The first command keeps the released checkpoint's raw weights of every character in RAW (four looks for dev, two for the others; generated ones
have seeds that nobody trained on). The second trains a refiner on them in minutes and measures skin_l1 (kind B, 22 joints) before and after;
--power measures the same for weights raised to powers, which makes them harder or softer without any training, and where the error lies.

The nodes are pairs (point, joint) that can have a weight; edges join the same joint's pairs of neighbouring points, and all pairs of one point hear
their mean, so that one set of parameters serves any number of joints (after the distances to bones of Liu et al., "NeuroSkinning", SIGGRAPH 2019):
    x_p -> x + W gelu(conv(norm x) + point's mean of V norm x), depth times -> r_p;  weights = softmax over a point's joints of log w + r
Letters: V vertices, U distinct points, E edges of the mesh, J joints, N pairs, P edges between pairs, C channels.
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from launch.runtime import start_jittor

jt = start_jittor()

from jittor import nn  # noqa: E402  (Jittor comes first)

from benchmarks.paired import machine, write_result  # noqa: E402
from dataset.asset import Asset, merge_fingers  # noqa: E402
from dataset.format import skeleton  # noqa: E402
from dataset.sources.conventions import rocketbox_to_contest  # noqa: E402
from dataset.sources.humans import generate  # noqa: E402
from dataset.sources.mascots import generate_mascot  # noqa: E402
from dataset.sources.npz import load_npz  # noqa: E402
from geometry.mesh_batch import MeshBatch  # noqa: E402
from geometry.segment import segment_max  # noqa: E402
from geometry.topology import welded  # noqa: E402
from launch.evaluator import truth  # noqa: E402
from launch.predictor import Predictor, PredictorOptions  # noqa: E402
from models.graph_layer import Graph, GraphLayer, GraphLayerConfig  # noqa: E402
from models.metrics import skin_l1  # noqa: E402
from models.skin_decoder import tail_matrix  # noqa: E402
from models.transformer_block import MLP, Linear  # noqa: E402
from ops.activation import gelu  # noqa: E402
from ops.norm import LayerNorm  # noqa: E402
from ops.segment import rows_of, segment_mean, segment_softmax  # noqa: E402

CHECKPOINT = "output/TransRefiner-finetune"
UNSEEN = 100_000        # first seed of the generated characters
LEAST = 1e-4            # a weight below it counts as this: its logarithm stays a number
OWN, BESIDE = 2e-3, 2e-2    # a pair: the point's own weight is at least the first, or a neighbour's the second
FEATURES = {"all": 11, "weights": 3}


class Pairs(NamedTuple):
    """point_N, joint_N: int64, sorted by point, then joint. feat_NC, log_N float32. source_P, target_P: edges between pairs, int64."""
    point_N: np.ndarray
    joint_N: np.ndarray
    feat_NC: np.ndarray
    log_N: np.ndarray
    source_P: np.ndarray
    target_P: np.ndarray
    points: int


@dataclass(frozen=True)
class Character:
    """What is learned from and measured on. share_U: of the vertices at each point, sum 1. place_V: the point of each vertex."""
    name: str
    pairs: Pairs
    raw_UJ: np.ndarray
    true_N: np.ndarray
    share_U: np.ndarray
    place_V: np.ndarray
    true_VJ: np.ndarray


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
    return Pairs(point_N, joint_N, feat_NC, np.float32(log_N), ends_P2.T.ravel(), ends_P2.T[::-1].ravel(), len(skin_UJ))


def features(points_U3, normals_U3, joints_J3, parents, skin_UJ, point_N, joint_N) -> np.ndarray:
    """(N, 11) float32: three of the weight; then place and direction by the joint's bone and its parent's, in lengths of the bone."""
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
    """Pairs -> weights (N, 1) that sum to 1 over each point's pairs. It begins as the decoder's own: the last layer is zero."""

    def __init__(self, inputs: int, width: int, depth: int):
        super().__init__()
        self.inputs = inputs
        self.lift = MLP(inputs, 2 * width, width)
        self.blocks = nn.ModuleList([SurfaceBlock(width) for _ in range(depth)])
        self.norm = LayerNorm(width)
        self.to_shift = Linear(width, 1, gain=0.0)

    def execute(self, pairs: Pairs) -> jt.Var:
        point_N, source_P, target_P = (jt.array(np.int32(x)) for x in (pairs.point_N, pairs.source_P, pairs.target_P))
        graph = Graph(source_P, target_P, len(pairs.point_N))
        x_NC = self.lift(jt.array(pairs.feat_NC[:, :self.inputs].copy()))
        for block in self.blocks:
            x_NC = block(x_NC, graph, point_N, pairs.points)
        return segment_softmax(jt.array(pairs.log_N[:, None]) + self.to_shift(self.norm(x_NC)), point_N, pairs.points)


def predict_all(args: argparse.Namespace) -> None:
    """Keep the checkpoint's raw answer for each character, in a folder for each group; what is there stays."""
    for group, looks, assets in (("dev", 4, files(args.dev)), ("assets", 2, (rocketbox_to_contest(a) for a in files(args.assets))),
                                 ("generated", 2, generated(args.humans, args.mascots))):
        folder = args.raw / group
        folder.mkdir(parents=True, exist_ok=True)
        predictor = Predictor(CHECKPOINT, PredictorOptions(looks=looks))
        for asset in map(truth, assets):
            rig = predictor.predict(asset)
            boxed = asset.to_frame(rig.to_box)
            np.savez(folder / f"{asset.cls}_{asset.id}.npz", vertices=np.float32(boxed.vertices_V3), faces=boxed.faces_F3,
                     joints=rig.box_joints_J3, skin=rig.skin_VJ, true_skin=np.float32(asset.skin_VJ))


def files(folder: Path) -> Iterator[Asset]:
    return (load_npz(path) for path in sorted(folder.glob("*.npz")))


def generated(humans: int, mascots: int) -> Iterator[Asset]:
    yield from (generate(UNSEEN + seed) for seed in range(humans))
    yield from (generate_mascot(UNSEEN + seed) for seed in range(mascots))


def read(path: Path) -> Character:
    with np.load(path) as kept:
        skin_VJ, true_VJ = (merge_fingers(w) if w.shape[1] > 22 else w for w in (kept["skin"], kept["true_skin"]))
        vertices_V3, faces_F3, joints_J3 = kept["vertices"], kept["faces"], np.float64(kept["joints"][:22])
    points_U3, place_V = welded(vertices_V3)
    vertex_U = np.full(len(points_U3), -1)
    vertex_U[place_V[::-1]] = np.arange(len(place_V))[::-1]      # the first vertex at each point
    raw_UJ = np.float32(skin_VJ[vertex_U])
    pairs = pairs_of(MeshBatch.of([points_U3], [place_V[faces_F3]]), joints_J3, skeleton(22).parents, raw_UJ)
    share_U = np.bincount(place_V, minlength=len(points_U3)) / len(place_V)
    return Character(path.stem, pairs, raw_UJ, np.float32(true_VJ[vertex_U][pairs.point_N, pairs.joint_N]), share_U, place_V, true_VJ)


def l1_after(net: SurfaceRefiner, character: Character) -> float:
    with jt.no_grad():
        weight_N = net(character.pairs).numpy()[:, 0]
    skin_UJ = np.zeros_like(character.raw_UJ)
    skin_UJ[character.pairs.point_N, character.pairs.joint_N] = weight_N
    return skin_l1(skin_UJ[character.place_V], character.true_VJ)


def l1_at_power(character: Character, power: float) -> float:
    skin_UJ = character.raw_UJ.astype(float) ** power
    return skin_l1((skin_UJ / skin_UJ.sum(1, keepdims=True))[character.place_V], character.true_VJ)


def lost_share(characters: list[Character]) -> float:
    """Share of the summed error that lies at points whose true owner got less than a tenth of the weight: too far for a correction."""
    lost = total = 0.0
    for c in characters:
        raw_VJ, owner_V1 = c.raw_UJ[c.place_V], c.true_VJ.argmax(1)[:, None]
        error_V = np.abs(raw_VJ - c.true_VJ).mean(1) / len(raw_VJ)
        lost += error_V[np.take_along_axis(raw_VJ, owner_V1, 1)[:, 0] < 0.1].sum()
        total += error_V.sum()
    return lost / total


def entropies(characters: list[Character]) -> tuple[float, float]:
    """Mean entropy of a vertex's weights, nats: of the raw ones and of the true ones."""
    of = lambda w_VJ: float(-(w_VJ * np.log(np.maximum(w_VJ, 1e-12))).sum(1).mean())  # noqa: E731
    return tuple(round(np.mean([of(w) for w in weights]), 3)
                 for weights in ([c.raw_UJ[c.place_V] for c in characters], [c.true_VJ for c in characters]))


def train(net: SurfaceRefiner, pool: list[Character], steps: int, rate: float, rng: np.random.Generator) -> None:
    """One character a step, L1 over its vertices, Adam with a cosine to zero."""
    optimizer = nn.Adam(net.parameters(), lr=rate)
    for step in range(steps):
        optimizer.lr = rate * (0.5 + 0.5 * np.cos(np.pi * step / steps))
        character = pool[rng.integers(len(pool))]
        share_N1 = jt.array(np.float32(character.share_U[character.pairs.point_N])[:, None])
        loss = ((net(character.pairs) - jt.array(character.true_N[:, None])).abs() * share_N1).sum()
        if not np.isfinite(loss.item()):
            raise FloatingPointError(f"the loss is {loss.item()} at step {step}, {character.name}")
        optimizer.step(loss)


def held_out(characters: list[Character], every: int) -> tuple[list[Character], list[Character]]:
    return [c for i, c in enumerate(characters) if i % every], characters[::every]


def experiment(args: argparse.Namespace) -> None:
    about = machine(steps=args.steps)
    dev, assets, made = ([read(path) for path in sorted((args.raw / group).glob("*.npz"))] for group in ("dev", "assets", "generated"))
    (assets, assets_held), (made, made_held) = held_out(assets, 9), held_out(made, 12)
    groups = {"dev": dev, "assets held out": assets_held, "generated held out": made_held}
    if args.power:
        print("error where the true owner has less than .1:", {name: round(lost_share(g), 2) for name, g in groups.items()})
        print("entropy, raw and true:", {name: entropies(g) for name, g in groups.items()})
        for power in args.power:
            print(f"power {power}", {name: round(np.mean([l1_at_power(c, power) for c in g]), 5) for name, g in groups.items()})
        return
    jt.set_global_seed(args.seed)
    net = SurfaceRefiner(FEATURES[args.features], args.width, args.depth)
    began = time.time()
    train(net, {"all": assets + made, "assets": assets, "generated": made}[args.teach], args.steps, args.rate,
          np.random.default_rng(args.seed))
    about |= {"seconds": time.time() - began}
    rows = [{"group": name, "id": c.name, "points": c.pairs.points, "before": l1_at_power(c, 1), "after": l1_after(net, c)}
            for name, group in groups.items() for c in group]
    keys = {}
    for name in groups:
        before, after = (np.mean([row[when] for row in rows if row["group"] == name]) for when in ("before", "after"))
        keys |= {f"{name} before": before, f"{name} after": after}
        print(f"{name:20} {before:.5f} -> {after:.5f} ({after / before - 1:+.1%})")
    began = time.perf_counter()
    for character in dev:
        l1_after(net, character)
    keys["ms for 10,000 points"] = 1e7 * (time.perf_counter() - began) / sum(c.pairs.points for c in dev)
    print(f"{keys['ms for 10,000 points']:.0f} ms for 10,000 points")
    write_result(args.json, keys, rows, about)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--raw", type=Path, required=True, metavar="FOLDER", help="where raw predictions are kept")
    parser.add_argument("--dev", type=Path, metavar="FOLDER", help="predict: characters to measure on")
    parser.add_argument("--assets", type=Path, metavar="FOLDER", help="predict: Rocketbox avatars to learn from")
    parser.add_argument("--humans", type=int, default=215)
    parser.add_argument("--mascots", type=int, default=60)
    parser.add_argument("--power", type=float, nargs="*", help="measure weights raised to these powers, and train nothing")
    parser.add_argument("--features", choices=FEATURES, default="all", help="of a pair: its weight alone, or its place by the bones too")
    parser.add_argument("--teach", choices=("all", "assets", "generated"), default="all")
    parser.add_argument("--steps", type=int, default=750)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--width", type=int, default=24)
    parser.add_argument("--depth", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    predict_all(args) if args.dev else experiment(args)


if __name__ == "__main__":
    main()
