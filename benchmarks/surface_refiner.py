"""Can graph layers over the mesh better the weights that the decoder gives each vertex alone? An experiment: docs/ablations.md has its answer.

    python -m benchmarks.surface_refiner --raw RAW --dev data/dev --assets data/rocketbox --humans 215 --mascots 60
    python -m benchmarks.surface_refiner --raw RAW --steps 750 --features all --teach all --json FILE

The first command keeps the released checkpoint's raw weights of every character in RAW (four looks for dev, two for the others; generated ones
have seeds that nobody trained on). The second trains a refiner on them in minutes and measures skin_l1 (kind B, 22 joints) before and after;
--power measures the same for weights raised to powers, which makes them harder or softer without any training, and where the error lies.

The refiner is models/surface_refiner.py, which bash launch/teach_refiner.sh teaches for a checkpoint of one's own. Letters: V vertices, J joints.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from launch.runtime import start_jittor

jt = start_jittor()

from benchmarks.paired import machine, write_result  # noqa: E402  (Jittor comes first)
from dataset.asset import Asset, merge_fingers  # noqa: E402
from dataset.sources.conventions import rocketbox_to_contest  # noqa: E402
from dataset.sources.humans import generate  # noqa: E402
from dataset.sources.mascots import generate_mascot  # noqa: E402
from dataset.sources.npz import load_npz  # noqa: E402
from launch.evaluator import truth  # noqa: E402
from launch.predictor import Predictor, PredictorOptions  # noqa: E402
from launch.refiner_lessons import UNSEEN, Example, teach  # noqa: E402
from models.metrics import skin_l1  # noqa: E402
from models.surface_refiner import INPUTS, SurfaceRefiner, SurfaceRefinerConfig  # noqa: E402

CHECKPOINT = "output/TransRefiner-finetune"
FEATURES = {"all": INPUTS, "weights": 3}


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


def read(path: Path) -> Example:
    with np.load(path) as kept:
        skin_VJ, true_VJ = (merge_fingers(w) if w.shape[1] > 22 else w for w in (kept["skin"], kept["true_skin"]))
        return Example.of(path.stem, kept["vertices"], kept["faces"], np.float64(kept["joints"][:22]), skin_VJ, true_VJ)


def l1_at_power(example: Example, power: float) -> float:
    skin_VJ = example.raw_VJ.astype(float) ** power
    return skin_l1(skin_VJ / skin_VJ.sum(1, keepdims=True), example.true_VJ)


def lost_share(examples: list[Example]) -> float:
    """Share of the summed error that lies at points whose true owner got less than a tenth of the weight: too far for a correction."""
    lost = total = 0.0
    for one in examples:
        owner_V1 = one.true_VJ.argmax(1)[:, None]
        error_V = np.abs(one.raw_VJ - one.true_VJ).mean(1) / len(one.raw_VJ)
        lost += error_V[np.take_along_axis(one.raw_VJ, owner_V1, 1)[:, 0] < 0.1].sum()
        total += error_V.sum()
    return lost / total


def entropies(examples: list[Example]) -> tuple[float, float]:
    """Mean entropy of a vertex's weights, nats: of the raw ones and of the true ones."""
    of = lambda w_VJ: float(-(w_VJ * np.log(np.maximum(w_VJ, 1e-12))).sum(1).mean())  # noqa: E731
    return tuple(round(np.mean([of(w) for w in weights]), 3) for weights in ([e.raw_VJ for e in examples], [e.true_VJ for e in examples]))


def held_out(characters: list[Example], every: int) -> tuple[list[Example], list[Example]]:
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
    net = SurfaceRefiner(SurfaceRefinerConfig(FEATURES[args.features], args.width, args.depth))
    began = time.time()
    teach(net, {"all": assets + made, "assets": assets, "generated": made}[args.teach], args.steps, args.rate, args.seed)
    about |= {"seconds": time.time() - began}
    rows = [{"group": name, "id": c.name, "points": c.seen.pairs.points, "before": c.l1(), "after": c.l1(net)}
            for name, group in groups.items() for c in group]
    keys = {}
    for name in groups:
        before, after = (np.mean([row[when] for row in rows if row["group"] == name]) for when in ("before", "after"))
        keys |= {f"{name} before": before, f"{name} after": after}
        print(f"{name:20} {before:.5f} -> {after:.5f} ({after / before - 1:+.1%})")
    began = time.perf_counter()
    for character in dev:
        character.l1(net)
    keys["ms for 10,000 points"] = 1e7 * (time.perf_counter() - began) / sum(c.seen.pairs.points for c in dev)
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
