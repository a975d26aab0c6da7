"""One checkpoint whose weights are the mean of several: trainings that began from the same weights and saw other samples.

    python -m launch.average_checkpoints OUT output/my-a/best output/my-b/best

Such runs end in one valley of the loss, and the middle of it lies lower than its sides: Wortsman et al., Model soups, ICML 2022,
arXiv:2203.05482. It costs nothing at prediction, and two cores train two runs without waiting for each other. Runs that began from
different weights have no such middle; evaluate before you use what comes out. One checkpoint alone comes out as it is, but for --points.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from dataset.asset import one_line
from launch.checkpoint import Arrays, check_keys, load_extra, load_model, save_model
from launch.door import answer, positive


def mean_of(folders: list[Path]) -> tuple[Arrays, dict]:
    """(params, config): the mean in float64, in the first one's dtypes, and the first one's config.

    Raises: FileNotFoundError; ValueError where a folder is damaged or holds another network than the first.
    """
    total, config = load_model(folders[0])
    dtypes, shapes = ({name: getattr(array, what) for name, array in total.items()} for what in ("dtype", "shape"))
    for folder in folders[1:]:
        params, other = load_model(folder)
        if {k: v for k, v in other.items() if k != "data"} != {k: v for k, v in config.items() if k != "data"}:
            raise ValueError(one_line(f"{folder} holds another network than {folders[0]}; only runs of one config can be averaged"))
        check_keys(shapes, params, str(folder))
        total = {name: total[name] + params[name].astype(np.float64) for name in total}
    return {name: (array / len(folders)).astype(dtypes[name]) for name, array in total.items()}, config


def average(out: Path, folders: list[Path], points: int | None = None) -> None:
    """Write the mean to the folder `out`. points: that prediction draws of a surface; the first one's where None."""
    params, config = mean_of(folders)
    if points is not None:
        config = {**config, "data": {**config.get("data", {}), "points": points}}
    runs = [load_extra(folder) for folder in folders]
    save_model(out, params, config, runs[0] if len(runs) == 1 else {"mean_of": runs})


def run(args: argparse.Namespace) -> int:
    average(args.out, args.checkpoints, args.points)
    return 0


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="launch.average_checkpoints", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder to write")
    parser.add_argument("checkpoints", type=Path, nargs="+", help="folders, of one network")
    parser.add_argument("--points", type=positive, help="that prediction draws of a surface (default: as trained)")
    return answer("average_checkpoints", run, parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
