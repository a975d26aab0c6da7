"""How well the rig examination tells good rigs from broken ones: every ground-truth rig, and each breakage on several characters.

    python -m benchmarks.quality --input FOLDER... [--humans 30] [--mascots 20] [--seed 9000] [--broken NAME...] [--html FILE]
        [--answers FOLDER]

--input: folders or files of characters with joints and weights; --answers: these with the network's answers instead. --broken: file
stems of the characters that are broken in every way of tests/rigging/broken_rigs.py. --html: also write the report of the first
character. Prints a line a rig, then the spread of each measure over the good rigs, then the share of good rigs that do not fail and of
broken ones that do.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from dataset.asset import Asset, network_rotation
from dataset.format import skeleton
from rigging.quality import Quality, assess
from rigging.rig import CharacterRig
from tests.rigging.broken_rigs import BROKEN, Case


def rig_of(asset: Asset) -> CharacterRig:
    return CharacterRig(np.float64(asset.joints_J3), asset.parents, asset.names, asset.skin_VJ, network_rotation(asset).rotation_33)


def characters(args: argparse.Namespace) -> Iterator[tuple[str, Asset]]:
    from dataset.sources.files import expand_inputs, load_asset
    from dataset.sources.humans import generate
    from dataset.sources.mascots import generate_mascot
    for path in expand_inputs(args.input) if args.input else ():
        yield Path(path).stem, load_asset(path)
    for seed in range(args.seed, args.seed + args.humans):
        yield f"human {seed}", generate(seed)
    for seed in range(args.seed, args.seed + args.mascots):
        yield f"mascot {seed}", generate_mascot(seed)


def answered(folder: Path, name: str, asset: Asset) -> CharacterRig:
    """The rig with the network's joints and weights in place of the file's, as benchmarks/weights.py keeps them."""
    with np.load(folder / f"{name}.npz") as data:
        joints_J3, skin_VJ = np.float64(data["joints"]), np.float32(data["skin"])
    bones = skeleton(len(joints_J3))
    return CharacterRig(joints_J3, bones.parents, bones.names, skin_VJ, network_rotation(asset).rotation_33)


def line(name: str, quality: Quality, seconds: float) -> str:
    said = [f"{verdict}: " + ", ".join(f"{check.key} {check.value:.3g}" + (f" ({check.where[0]})" if check.where else "")
                                       for check in quality.of(verdict)) for verdict in ("fail", "warn") if quality.of(verdict)]
    return f"{name:44.44s} {quality.verdict:5s} {seconds:5.2f} s  {'; '.join(said)}"


def examined(name: str, asset: Asset, rig: CharacterRig) -> Quality:
    start = time.process_time()
    quality = assess(asset.vertices_V3, asset.faces_F3, rig)
    print(line(name, quality, time.process_time() - start), flush=True)
    return quality


def spread(good: list[Quality]) -> None:
    """Each measure's median, 90th, 98th percentile and worst over the good rigs, beside its limits."""
    print(f"\n{'measure':14s} {'median':>9s} {'p90':>9s} {'p98':>9s} {'worst':>9s} {'warns':>9s} {'fails':>9s}")
    for check in good[0].checks if good else ():
        value_Q = np.array([c.value for quality in good for c in quality.checks if c.key == check.key])
        sign = -1 if check.fail < check.warn else 1
        numbers = [*(sign * np.percentile(sign * value_Q, (50, 90, 98, 100))), check.warn, check.fail]
        print(f"{check.key:14s} " + " ".join(f"{x:9.4g}" for x in numbers))


def write_page(path: Path, name: str, asset: Asset, rig: CharacterRig, quality: Quality) -> None:
    from launch.runtime import start_jittor
    start_jittor()
    from pictures.report import draw
    from rigging.quality_figure import Figure
    from rigging.report_html import report_html
    start = time.process_time()
    page = report_html(name, quality, draw(Figure.of(asset.vertices_V3, asset.faces_F3, rig)))
    path.write_bytes(page)
    print(f"{path}: {len(page) / 1e6:.2f} MB, {time.process_time() - start:.2f} s for {len(asset.vertices_V3)} vertices")


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", nargs="*", default=[], help="characters with joints and weights")
    parser.add_argument("--humans", type=int, default=0, help="generated humans")
    parser.add_argument("--mascots", type=int, default=0, help="generated mascots")
    parser.add_argument("--seed", type=int, default=9000, help="first seed of the generated figures")
    parser.add_argument("--broken", nargs="*", default=[], help="stems of the characters to break")
    parser.add_argument("--answers", type=Path, help="examine the network's answers kept here (benchmarks.weights --cache), not the rigs")
    parser.add_argument("--html", type=Path, help="where the first character's page goes")
    args = parser.parse_args(argv)
    good, broken = [], {}
    for name, asset in characters(args):
        rig = answered(args.answers, name, asset) if args.answers else rig_of(asset)
        good.append(examined(name, asset, rig))
        if args.html and len(good) == 1:
            write_page(args.html, name, asset, rig, good[0])
        if name in args.broken:
            case = Case(asset.vertices_V3, asset.faces_F3, rig_of(asset))
            for what, breakage in BROKEN.items():
                broken[name, what] = examined(f"{name}: {what}", asset, breakage(case)).verdict
    spread(good)
    verdicts = [quality.verdict for quality in good]
    print(f"\ngood rigs: {len(good)}, fail {verdicts.count('fail')}, warn {verdicts.count('warn')}, pass {verdicts.count('pass')}")
    if broken:
        print(f"broken rigs: {len(broken)}, flagged {list(broken.values()).count('fail')}; not flagged: "
              + (", ".join(": ".join(key) for key, verdict in broken.items() if verdict != "fail") or "none"))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
