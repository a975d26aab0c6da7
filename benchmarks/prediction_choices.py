"""What the choices at prediction are worth, with the weights of one checkpoint: points, looks, and how looks are averaged.

    python -m benchmarks.prediction_choices --dev data/dev --motion BANK.npz --table docs/ablations.md [--json FILE]

Every choice rigs the same characters, at rest and in one held-out pose: those of --dev at 22 joints without m2m's hips, spine and chest,
and generated ones that no training saw, at 52.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import numpy as np

from benchmarks.paired import ROOT
from launch.page import write_block
from launch.runtime import start_jittor

start_jittor()

from dataset.sources.humans import generate  # noqa: E402  (Jittor starts first)
from dataset.sources.mascots import generate_mascot  # noqa: E402
from dataset.sources.npz import load_npz  # noqa: E402
from dataset.sources.pose_bank import split_pose_bank  # noqa: E402
from launch.evaluator import EvalOptions, Results, evaluate, summarise  # noqa: E402
from launch.predictor import Predictor, PredictorOptions  # noqa: E402
from launch.systems import BoxRig, FromPredictor  # noqa: E402
from launch.training_data import VALIDATION_SEEDS  # noqa: E402

POINTS, LOOKS = 1536, 4
IGNORED = (("m2m", ("hips", "spine", "chest")),)
CHOICES = {  # name -> points, looks, whether looks count by what they expect; the released choice first
    "1,536 points, 4 looks": (POINTS, LOOKS, True),
    "1,024 points (as trained)": (1024, LOOKS, True),
    "2,048 points": (2048, LOOKS, True),
    "3,072 points": (3072, LOOKS, True),
    "1 look": (POINTS, 1, True),
    "2 looks": (POINTS, 2, True),
    "8 looks": (POINTS, 8, True),
    "looks count alike": (POINTS, LOOKS, False),
    "1,024 points, looks count alike": (1024, LOOKS, False),
}


def system(checkpoint: Path, joints: int, points: int, looks: int, weighted: bool) -> Callable[..., BoxRig]:
    """The checkpoint with these choices, as the evaluator wants it."""
    predictor = Predictor(checkpoint, PredictorOptions(joints=joints, looks=looks))
    predictor.points, predictor.refiner = points, None
    rig = FromPredictor(predictor)

    def alike(asset):
        with patch("launch.predictor.weights_of", lambda expected_RJ, shape: np.full(shape, 1 / shape[0])):
            return rig(asset)
    return rig if weighted else alike


def measure(args: argparse.Namespace) -> dict[str, dict[str, dict]]:
    """choice -> "dev rest", "dev posed", "generated rest", "generated posed" -> the evaluator's means."""
    bank = split_pose_bank(args.motion)[1]
    dev = [load_npz(file) for file in sorted(args.dev.glob("*.npz"))]
    made = [generate(VALIDATION_SEEDS + k) for k in range(args.humans)] + [generate_mascot(VALIDATION_SEEDS + k) for k in range(args.mascots)]
    found: dict[str, dict[str, dict]] = {name: {} for name in CHOICES}
    for kind, assets, joints in (("dev", dev, 22), ("generated", made, 52)):
        systems = {name: system(args.checkpoint, joints, *choice) for name, choice in CHOICES.items()}
        results: Results = evaluate(assets, systems, EvalOptions(variants=("rest", "posed"), joints=joints, ignore=IGNORED, bank=bank))
        for row in summarise(results.scores):
            if row["class"] == "all" and row["variant"] != "all":
                found[row["system"]][f"{kind} {row['variant']}"] = row
    return found


def table(found: dict[str, dict[str, dict]]) -> str:
    columns = [(f"{kind} {variant}", key) for kind in ("dev", "generated") for variant in ("rest", "posed") for key in ("j2j", "skin_l1")]
    lines = ["| choice | " + " | ".join(f"{where}: {'J2J' if key == 'j2j' else key}" for where, key in columns) + " |",
             "|---" * (len(columns) + 1) + "|"]
    for name, rows in found.items():
        lines.append(f"| {name} | " + " | ".join(f"{rows[where][key]:.{5 if key == 'j2j' else 4}f}" for where, key in columns) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, default=ROOT / "output" / "TransRefiner-finetune")
    parser.add_argument("--dev", type=Path, required=True)
    parser.add_argument("--motion", type=Path, required=True, help="a pose bank, whose held-out clips pose")
    parser.add_argument("--humans", type=int, default=16)
    parser.add_argument("--mascots", type=int, default=8)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--table", type=Path, help="put the Markdown table between this file's marks")
    args = parser.parse_args()
    found = measure(args)
    text = table(found)
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n")
    if args.table:
        write_block(args.table, "prediction", text + "\n")
    print(text)


if __name__ == "__main__":
    main()
