"""Teach a checkpoint to correct its weights over the surface: a small graph network learns from the checkpoint's own answers.

    bash launch/teach_refiner.sh --checkpoint output/my-finetune/best --data_root DIR           # a contest tree
    bash launch/teach_refiner.sh --checkpoint output/my-finetune/best --assets FOLDER... --humans 200

For those whose characters are of the kind that the checkpoint was trained on (docs/ablations.md: better there, not on other kinds). The
checkpoint rigs every character; the refiner (models/surface_refiner.py) learns the true weights from these answers and is measured on
characters that it has not seen: those of val_list.txt, or every ninth. Where their error falls it is kept as `refiner` in the checkpoint's
folder, where prediction and evaluation find it; else nothing is written. Remove that folder to do without.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from dataset.asset import Asset, AssetError
from launch.door import enter, natural, positive

HELD = 9            # every so manieth character is held out where no list names others


def run(args: argparse.Namespace) -> int:
    """0, whether a refiner was kept or not. Raises: AssetError, ValueError, OSError."""
    import jittor as jt

    from launch.predictor import Predictor, PredictorOptions
    from launch.refiner_lessons import examples_of, teach
    from launch.skin_refiner import save_refiner
    from models.surface_refiner import SurfaceRefiner
    predictor = Predictor(args.checkpoint, PredictorOptions(looks=args.looks))
    predictor.refiner = None        # it is to be taught anew
    pool, held, began = [], [], time.time()
    for number, (asset, out) in enumerate(characters(args), 1):
        if asset.has_faces:
            (held if out else pool).extend(examples_of(predictor, asset))
        if number % 10 == 0:
            say(f"{number} characters rigged, {time.time() - began:.0f} s")
    if not pool or not held:
        raise AssetError(f"characters to learn from: {len(pool)}, to measure on: {len(held)}; give meshes with weights by --data_root, "
                         "--assets, --humans or --mascots, two at least")
    jt.set_global_seed(args.seed)
    net = SurfaceRefiner()
    teach(net, pool, args.steps, seed=args.seed, say=say)
    before, after = (float(np.mean([example.l1(by) for example in held])) for by in (None, net))
    gain = f"skin_l1 of {len(held)} held-out examples: {before:.5f} -> {after:.5f} ({after / before - 1:+.1%})"
    if not after < before:
        say(f"{gain}. No better: nothing was written")
        return 0
    about = {"examples": len(pool), "held_out": len(held), "before": before, "after": after, "steps": args.steps, "seed": args.seed}
    say(f"{gain}. Kept: {save_refiner(args.checkpoint, net, predictor.fingerprint, about)}")
    return 0


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def characters(args: argparse.Namespace) -> Iterator[tuple[Asset, bool]]:
    """Each with whether it is held out."""
    from dataset.characters import read_rig
    from dataset.dataset import contest_files
    from dataset.sources.humans import generate
    from dataset.sources.mascots import generate_mascot
    from launch.refiner_lessons import UNSEEN
    from launch.training_data import npz_files
    if args.data_root is not None:
        for out, name in ((False, args.train_list), (True, args.val_list)):
            yield from ((asset, out) for asset in map(read_rig, contest_files(args.data_root, name)[:args.most]))
    rigs = (read_rig(file) for folder in args.assets for file in npz_files(folder))
    for kind in (rigs, (generate(UNSEEN + k) for k in range(args.humans)), (generate_mascot(UNSEEN + k) for k in range(args.mascots))):
        yield from ((asset, k % HELD == 0) for k, asset in enumerate(kind))


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="launch/teach_refiner.sh", description=__doc__,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--checkpoint", type=Path, required=True, help="whose weights are to be corrected")
    made.add_argument("--data_root", type=Path, help="contest tree: lists and .npz files")
    made.add_argument("--train_list", default="train_list.txt", help="under --data_root")
    made.add_argument("--val_list", default="val_list.txt", help="under --data_root: held out")
    made.add_argument("--most", type=positive, default=300, help="files of each list that are taken (default: %(default)s)")
    made.add_argument("--assets", type=Path, nargs="*", default=[], help="folders of rigged .npz files")
    made.add_argument("--humans", type=natural, default=0, help="generated humans that no training has seen")
    made.add_argument("--mascots", type=natural, default=0, help="generated mascots, likewise")
    made.add_argument("--looks", type=positive, default=2, help="of the checkpoint at each character (default: %(default)s)")
    made.add_argument("--steps", type=positive, default=750, help="one example each (default: %(default)s)")
    made.add_argument("--seed", type=natural, default=0)
    return made


def main(arguments: list[str] | None = None) -> int:
    return enter("teach_refiner", run, parser().parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
