"""Measure a checkpoint, or a folder of predictions, against characters whose rig is known.

    python evaluate_joint_model.py --checkpoint output/TransRefiner-finetune --input characters/ --variants rest,posed,rotated
    python evaluate_joint_model.py --predictions predict_joint/my-run --data_root data --data_list data/val_list.txt
    python evaluate_joint_model.py --checkpoint output/my-run/best --input dev/ --ignore m2m_:hips,spine,chest --json m.json --plots plots/

    python evaluate_joint_model.py --generated 200 --variants posed --joints 52 --pose_bank data/cmu_pose_bank.npz
    python evaluate_joint_model.py --card docs --input dev/ --joints 22 --looks 1
    python evaluate_joint_model.py --calibrate docs --generated 100 --variants rest,posed --input dev/ --pose_bank data/cmu_pose_bank.npz

Prints one table (units: launch/evaluator.py), with the mean skeleton as the floor when --mean_skeleton names one.
Exit code: 0 when every asset was scored, 2 when any was not or the command itself is wrong.
"""

import argparse
import json
import sys
from dataclasses import replace
from itertools import chain
from pathlib import Path

from launch.door import enter, natural, positive
from launch.page import write_block

DEFAULT_CHECKPOINT = Path("output/TransRefiner-finetune")


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure rigs against characters whose rig is known.")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--checkpoint", type=Path, help=f"folder with model.safetensors (default: {DEFAULT_CHECKPOINT})")
    what.add_argument("--predictions", type=Path, help="folder that predict_joint_model.py wrote: predict_joint/<run>")
    parser.add_argument("--input", nargs="+", default=[], metavar="FILE_OR_FOLDER", help="assets with joints, and folders of them")
    parser.add_argument("--data_root", type=Path, help="folder that the lines of --data_list are relative to (default: data)")
    parser.add_argument("--data_list", type=Path, help="text file with one asset path a line")
    parser.add_argument("--variants", type=variants, default=None, help="of rest,posed,rotated, with commas (default: rest)")
    parser.add_argument("--joints", type=int, choices=(22, 52), help="score at this count only (default: at each asset's own, and at 22)")
    parser.add_argument("--generated", type=positive, metavar="N", help="measure on N generated validation humans too")
    parser.add_argument("--ignore", nargs="+", action="extend", type=ignored, default=[], metavar="PREFIX:JOINT,JOINT",
                        help="leave these joints out for assets whose file name, id or class begins so; an empty prefix means all")
    parser.add_argument("--frames", type=positive, default=8, help="poses of the vertex metrics (default: %(default)s)")
    parser.add_argument("--seed", type=natural, default=0, help="of poses, turns and point sampling (default: %(default)s)")
    parser.add_argument("--looks", type=positive, default=4, help="samplings that a prediction averages (default: %(default)s)")
    parser.add_argument("--one_pass", action="store_true", help="predict without looking for the hands first")
    parser.add_argument("--pose_bank", type=Path,
                        help="draw the poses from the held-out clips of a bank (.npz) or from a .bvh file (default: random rotations)")
    parser.add_argument("--up", choices=("auto", "y", "z"), default="auto", help="the files' up axis (default: what the format says)")
    parser.add_argument("--mean_skeleton", nargs="+", default=[], metavar="FILE_OR_FOLDER",
                        help="a .json, rigged files to average, or humans:COUNT (generated ones): adds the mean skeleton to the table")
    parser.add_argument("--card", type=Path, metavar="FOLDER", help="measure J2J under one change at a time (turns, poses, points, noise, "
                        "holes ...) and write robustness.md and images/robustness.png into FOLDER")
    parser.add_argument("--calibrate", type=Path, metavar="FOLDER", help="measure on the generated humans how far errors exceed what the "
                        "network expects, check it on --input, keep it beside the checkpoint (calibration.json), and write "
                        "robustness.md and images/reliability.png into FOLDER")
    parser.add_argument("--json", type=Path, help="write all figures here")
    parser.add_argument("--plots", type=Path, help="folder for PNGs: error of each joint, of each class")
    args = parser.parse_args(argv)
    if not args.input and not args.data_list and not args.generated:
        parser.error("name what to measure on: --input FILE_OR_FOLDER ..., --data_root DIR --data_list LIST or --generated N")
    if args.generated and args.predictions:
        parser.error("--predictions holds none of the generated humans; leave --generated out")
    if args.calibrate and (args.predictions or (args.generated or 0) < 2):
        parser.error("--calibrate wants a checkpoint and at least --generated 2")
    if args.card and (args.predictions or args.calibrate):
        parser.error("--card wants a checkpoint, and --calibrate is a command of its own")
    args.variants = args.variants or ("rest",)
    if args.predictions and args.variants != ("rest",):
        parser.error("--predictions knows only the assets as their files have them; leave --variants out")
    return args


def variants(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if not set(names) <= {"rest", "posed", "rotated"}:
        raise argparse.ArgumentTypeError(f"{text!r}: choose from rest,posed,rotated")
    return names


def ignored(text: str) -> tuple[str, tuple[str, ...]]:
    from dataset.format import FULL_NAMES
    prefix, colon, names = text.partition(":")
    joints = tuple(names.split(","))
    unknown = [name for name in joints if name not in FULL_NAMES]
    if not colon or unknown:
        raise argparse.ArgumentTypeError(f"{text!r}: write PREFIX:hips,spine with joint names of dataset/format.py"
                                         + (f" (unknown: {', '.join(unknown)})" if colon else ""))
    return prefix, joints


def main(argv: list[str] | None = None) -> int:
    return enter("evaluate_joint_model", run, parse(argv))


def run(args: argparse.Namespace) -> int:
    return calibrate(args) if args.calibrate else make_card(args) if args.card else measure(args)


def measure(args: argparse.Namespace) -> int:
    from launch.evaluator import as_json, as_table, evaluate, summarise  # these need Jittor, which main has started
    name, systems = open_systems(args)
    results = evaluate(shown(chain(read_named(args), generated(args))), systems, open_options(args))
    rows = summarise(results.scores)
    if rows:
        print(as_table(rows))
    report(results.failures)
    if args.json:
        settings = {"measured": name, "variants": list(args.variants), "generated": args.generated or 0,
                    "frames": args.frames, "seed": args.seed, "looks": args.looks, "one_pass": args.one_pass,
                    "pose_bank": args.pose_bank.name if args.pose_bank else None,
                    "ignore": [list(map(str, (prefix, ",".join(names)))) for prefix, names in args.ignore]}
        write_json(args.json, as_json(results, rows, settings))
    if args.plots:
        from launch.plots import plot_evaluation
        plot_evaluation(args.plots, results, rows)
    return 0 if results.scores and not results.failures else 2


def make_card(args: argparse.Namespace) -> int:
    from launch.plots import plot_card
    from launch.robustness import card_json, card_table, measure_card
    name, systems = open_systems(args)
    failures: list[tuple[str, str]] = []
    assets = apart(shown(chain(read_named(args), generated(args))), failures)
    readings = measure_card(assets, systems[name].predictor, args.seed, tuple(args.ignore), failures=failures)
    report(failures)
    if not readings:
        return 2
    settings = {"measured": name, "characters": len({r.figure for r in readings}), "joints": args.joints, "seed": args.seed,
                "looks": args.looks, "one_pass": args.one_pass, "ignore": [f"{prefix}:{','.join(names)}" for prefix, names in args.ignore]}
    table = card_table(readings)
    print(table, end="")
    if args.json:
        write_json(args.json, card_json(readings, settings))
    write_block(args.card / "robustness.md", "card", table)
    plot_card(args.card / "images" / "robustness.png", readings)
    return 2 if failures else 0


def apart(assets, failures: list[tuple[str, str]]):
    """The assets; what could not be read goes to the failures."""
    for asset in assets:
        if isinstance(asset, tuple):
            failures.append(asset)
        else:
            yield asset


def calibrate(args: argparse.Namespace) -> int:
    """Fit on the generated humans, check on what --input names."""
    from launch.evaluator import evaluate, expectations
    from launch.plots import plot_reliability
    from launch.reliability import describe, fit_calibration, gather, reliability_table, write_calibration
    from launch.rig_result import CM_PER_BOX
    name, systems = open_systems(args)
    options = replace(open_options(args), frames=1)  # the vertex metrics are not asked for
    results = {"generated": evaluate(shown(generated(args)), systems, options)}
    if args.input or args.data_list:
        results["checked"] = evaluate(shown(read_named(args)), systems, options)
    pairs = {kind: gather(expectations(found.scores)) for kind, found in results.items()}
    about = {"generated": args.generated, "variants": list(args.variants), "looks": args.looks, "seed": args.seed}
    calibration = fit_calibration(pairs["generated"], systems[name].predictor.fingerprint, about)
    described = {kind: describe(found, calibration, CM_PER_BOX) for kind, found in pairs.items()}
    table = reliability_table(described)
    written = write_calibration(args.checkpoint or DEFAULT_CHECKPOINT, calibration)
    print(f"factors: {calibration.factors}; kept in {written}\n\n{table}", end="")
    plot_reliability(args.calibrate / "images" / "reliability.png", described, calibration.factors)
    if args.json:
        write_json(args.json, {"factors": calibration.factors, "about": calibration.about, "sets": described})
    write_block(args.calibrate / "robustness.md", "reliability", table)
    failures = [failure for found in results.values() for failure in found.failures]
    report(failures)
    return 2 if failures else 0


def open_options(args: argparse.Namespace):
    from launch.evaluator import EvalOptions
    bank = open_bank(args.pose_bank) if args.pose_bank else None
    return EvalOptions(args.variants, args.joints, args.frames, args.seed, tuple(args.ignore), bank)


def report(failures: list[tuple[str, str]]) -> None:
    for source, reason in failures:
        print(f"not scored: {source}: {reason}", file=sys.stderr)


def write_json(path: Path, data: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def open_systems(args: argparse.Namespace) -> tuple[str, dict]:
    """The name of what is measured, and the systems of the table."""
    from launch.systems import FromFolder, FromPredictor
    from launch.predictor import Predictor, PredictorOptions
    if args.predictions:
        name, system = args.predictions.resolve().name, FromFolder(args.predictions)
    else:
        folder = args.checkpoint or DEFAULT_CHECKPOINT
        options = PredictorOptions(args.joints if args.card else None, args.seed, args.looks, not args.one_pass)
        name, system = folder.resolve().name, FromPredictor(Predictor(folder, options))
    systems = {name: system}
    if args.mean_skeleton:
        systems["mean skeleton"] = open_mean_skeleton(args.mean_skeleton, args.up)
    return name, systems


def open_bank(path: Path):
    """Of a bank, only the clips that training holds out; a .bvh file whole."""
    from dataset.sources.pose_bank import load_pose_bank, split_pose_bank
    return load_pose_bank(path) if path.suffix.lower() == ".bvh" else split_pose_bank(path)[1]


def open_mean_skeleton(named: list[str], up: str):
    """From a .json, from assets, or from generated humans ("humans:200": the seeds 0 to 199, which training sees first)."""
    from dataset.sources.humans import generate
    from launch.systems import MeanSkeleton
    kind, _, count = named[0].partition(":")
    if len(named) == 1 and named[0].endswith(".json"):
        return MeanSkeleton.read(Path(named[0]))
    if len(named) == 1 and kind == "humans":
        if not count.isdigit() or int(count) < 1:
            raise ValueError(f"--mean_skeleton {named[0]}: write humans:COUNT, for example humans:200")
        return MeanSkeleton.of(generate(seed) for seed in range(int(count)))
    return MeanSkeleton.of(asset for asset in read_assets(named, None, None, up) if not isinstance(asset, tuple))


def shown(assets):
    """The same assets, counted on a terminal."""
    from tqdm import tqdm
    return tqdm(assets, unit="asset", disable=not sys.stderr.isatty())


def generated(args: argparse.Namespace):
    """Humans that no training sees, one at a time, so that memory stays that of one."""
    from launch.training_data import VALIDATION_SEEDS
    from dataset.sources.humans import generate
    return (generate(VALIDATION_SEEDS + i) for i in range(args.generated or 0))


def read_named(args: argparse.Namespace):
    return read_assets(args.input, args.data_root, args.data_list, args.up) if args.input or args.data_list else iter(())


def read_assets(named: list[str], data_root: Path | None, data_list: Path | None, up: str):
    """Assets in order; a pair (input, reason) for each that cannot be read."""
    from dataset.sources.files import load_asset
    from launch.batch_predict import gather_inputs, reason_of
    files, missing = gather_inputs(named, data_root, data_list)
    for outcome in missing:
        yield outcome.input, outcome.reason
    for path in files:
        try:
            yield load_asset(path, up=None if up == "auto" else up)
        except (ValueError, OSError) as error:
            yield path.name, reason_of(error)


if __name__ == "__main__":
    sys.exit(main())
