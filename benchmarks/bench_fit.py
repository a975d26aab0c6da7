"""How near a fit comes to the true pose: generated humans in poses that no bank of the fit holds, shown as four silhouettes.

    python -m benchmarks.bench_fit [--motion BANK.npz] [--pairs 20] [--first 0] [--views between|around] [--alone] [--known]
        [--scan] [--json FILE]

Three of five poses come from the held-out clips of a motion bank (--motion; without one all are made by rule, by another draw than the
fit's own bank). The fit knows the rig, four hard-edged silhouettes of 128 rows drawn by the z-buffer, and their cameras. It searches
the bank that everybody has, launch/fit_poses.py; with --known the other clips of the motion bank.
--views: between (default) looks from -30, 15, 60 and 105 degrees, 10 above the horizon; around: from front, left, back and right, where
opposite pictures tell almost the same. --alone: also soft silhouettes alone, from the rest pose, as a fit was before. --scan: the posed
mesh instead of pictures, with the last step onto its surface and (pull_cm) without.
--first begins later, and --join brings parts together: python -m benchmarks.bench_fit --join a.json b.json --json FILE
Errors: mean distance of 22 joints, cm of a figure whose longest side at rest is 170 cm. Prints a line a pair and what is halved.
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.paired import machine, write_result

FIRST_HUMAN = 1000
CM = 170.0
ROWS = 128


class Pair(NamedTuple):
    figure: "Figure"
    targets: list
    rest: "Asset"
    posed: "Asset"
    truth_J3: np.ndarray
    source: str


def pair(number: int, held_out, views: str) -> Pair:
    """held_out: a PoseBank of unseen motion, or None."""
    from dataset.poses import procedural_bank
    from dataset.sources.humans import generate
    from geometry.camera import around
    from launch.pose_figure import Figure, Target, silhouette_of
    rng = np.random.default_rng([7, number])
    moved = held_out is not None and number % 5 < 3
    bank = held_out if moved else procedural_bank.__wrapped__(999)     # 999 poses by the same rules are others than the 1024
    man = generate(FIRST_HUMAN + number).in_network_frame().with_joints(22)
    posed = man.posed(bank.basis(int(rng.integers(len(bank))), man.parents, man.joints_J3, man.local_J44()))
    cameras = around(posed.vertices_V3, 8, elevation=10, start=-30)[:4] if views == "between" else around(posed.vertices_V3, 4, elevation=10)
    targets = [Target(c, silhouette_of(posed.vertices_V3, posed.faces_F3, c, ROWS, ROWS).astype(float)) for c in cameras]
    figure = Figure(man.vertices_V3, man.faces_F3, np.float64(man.joints_J3), man.parents, man.skin_VJ)
    return Pair(figure, targets, man, posed, np.float64(posed.joints_J3), "motion" if moved else "rule")


def error_cm(one: Pair, pose) -> float:
    joints_J3 = one.figure.joints(one.figure.transforms(*pose))
    return float(np.linalg.norm(joints_J3 - one.truth_J3, axis=1).mean() / one.figure.size * CM)


def measured(one: Pair, alone: bool, bank, scan: bool = False) -> dict:
    from launch.fit_inputs import scan_targets
    from launch.fit_poses import fit_bank
    from launch.pose_figure import Pose
    from launch.pose_fit import FindOptions, find_pose
    from launch.silhouette_fit import FitOptions, fit_pose
    bank = fit_bank() if bank is None else bank
    targets, scan_P3 = scan_targets(one.posed, one.rest) if scan else (one.targets, None)
    began, cpu = time.perf_counter(), time.process_time()
    found = find_pose(one.figure, targets, bank, scan_P3=scan_P3)
    row = {"wall_s": time.perf_counter() - began, "cpu_s": time.process_time() - cpu, "faces": len(one.figure.faces_F3), "pose": one.source,
           "rest_cm": error_cm(one, one.figure.rest), "fit_cm": error_cm(one, found.pose), "iou": float(found.iou_N.mean())}
    row["ratio"] = row["fit_cm"] / row["rest_cm"]
    if scan:
        row["pull_cm"] = error_cm(one, find_pose(one.figure, targets, bank, FindOptions(finish_scan=None), scan_P3).pose)
    if alone:
        fit = fit_pose(one.figure, one.targets, FitOptions())
        row["alone_ratio"] = error_cm(one, Pose(fit.turn_J33, fit.offset_3)) / row["rest_cm"]
    return row


def summary(rows: list[dict]) -> dict:
    out = {"median_ratio": statistics.median(r["ratio"] for r in rows), "halved": sum(r["ratio"] < 0.5 for r in rows) / len(rows)}
    for key in ("rest_cm", "fit_cm", "pull_cm", "iou", "wall_s", "cpu_s"):
        if key not in rows[0]:
            continue
        out[f"median_{key}"] = statistics.median(r[key] for r in rows)
    if all("alone_ratio" in r for r in rows):
        out |= {"alone_median_ratio": statistics.median(r["alone_ratio"] for r in rows),
                "alone_halved": sum(r["alone_ratio"] < 0.5 for r in rows) / len(rows)}
    return out


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="How near a fit comes to the true pose.")
    parser.add_argument("--motion", metavar="BANK.npz")
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--views", choices=("between", "around"), default="between")
    parser.add_argument("--alone", action="store_true")
    parser.add_argument("--known", action="store_true")
    parser.add_argument("--scan", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--join", nargs="+", type=Path, metavar="JSON", help="measure nothing: bring parts of one run (--first) together")
    args = parser.parse_args(argv)
    if args.join:
        parts = [json.loads(path.read_text()) for path in args.join]
        return told(args.json, [row for part in parts for row in part["rows"]], parts[0]["views"], parts[0]["bank"])
    from launch.runtime import start_jittor
    start_jittor()
    from dataset.sources.pose_bank import split_pose_bank
    known, held_out = split_pose_bank(args.motion) if args.motion else (None, None)
    rows = []
    for number in range(args.first, args.first + args.pairs):
        rows.append(measured(pair(number, held_out, args.views), args.alone, known if args.known else None, args.scan))
        print(f"{number:3d} " + " ".join(f"{k} {v:.2f}" if isinstance(v, float) else f"{k} {v}" for k, v in rows[-1].items()), flush=True)
    return told(args.json, rows, args.views, "motion" if args.known else "fit_poses")


def told(path: Path | None, rows: list[dict], views: str, bank: str) -> int:
    result = summary(rows)
    print(" ".join(f"{k} {v:.3f}" for k, v in result.items()))
    write_result(path, {**result, "pairs": len(rows), "views": views, "bank": bank}, rows, machine())
    return 0


if __name__ == "__main__":
    sys.exit(main())
