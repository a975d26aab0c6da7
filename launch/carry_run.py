"""Carry a training run from one machine to another in files of at most 15 MB.

    python -m launch.carry_run pack output/NAME FOLDER         FOLDER: new or empty
    python -m launch.carry_run unpack FOLDER output/NAME       NAME: new; training goes on from it with --resume

What travels is what --resume and prediction need; index.json beside the pieces tells whose they are, and their SHA-256.
"""

import argparse
import hashlib
import json
import sys
from pathlib import Path

from dataset.asset import one_line
from dataset.exporter import replace_folder
from launch.door import answer

INDEX = "index.json"
FILES = ("state.safetensors", "log.csv", *(f"{kind}/{name}" for kind in ("best", "last") for name in ("model.safetensors", "config.json")))
PIECE = 15_000_000      # bytes


def pack(run: Path, folder: Path) -> None:
    """The folder appears whole or not at all.

    Raises: FileNotFoundError where there is no run; ValueError for a folder that is not empty; WriteError.
    """
    if not (run / FILES[0]).is_file():
        raise FileNotFoundError(one_line(f"{run} holds no {FILES[0]}; name the folder of a training run, output/<name>"))
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(one_line(f"{folder} is not empty; choose a new folder"))
    replace_folder(folder, lambda fresh: write_pieces(run, fresh))


def write_pieces(run: Path, folder: Path) -> None:
    index = {}
    for name in FILES:
        if (run / name).is_file():
            data = (run / name).read_bytes()
            count = max(1, -(-len(data) // PIECE))
            for k in range(count):
                piece_of(folder, name, k).write_bytes(data[k * PIECE:(k + 1) * PIECE])
            index[name] = {"sha256": hashlib.sha256(data).hexdigest(), "pieces": count}
    (folder / INDEX).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")


def unpack(folder: Path, run: Path) -> None:
    """The run appears whole or not at all.

    Raises: FileNotFoundError; ValueError for pieces that are absent or damaged, or a run that exists; WriteError.
    """
    if run.exists():
        raise ValueError(one_line(f"{run} exists already and would be lost; choose another name, or move it away"))
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        wanted = {name: (str(index[name]["sha256"]), int(index[name]["pieces"])) for name in FILES if name in index}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(one_line(f"{folder / INDEX} is damaged ({error}); carry it again")) from error
    if FILES[0] not in wanted:
        raise ValueError(one_line(f"{folder / INDEX} names no {FILES[0]}; it is not what pack writes"))

    def fill(fresh: Path) -> None:
        for name, told in wanted.items():
            (fresh / name).parent.mkdir(exist_ok=True)
            (fresh / name).write_bytes(joined(folder, name, *told))
    replace_folder(run, fill)


def piece_of(folder: Path, name: str, number: int) -> Path:
    return folder / f"{name.replace('/', '-')}.{number:03d}"


def joined(folder: Path, name: str, sha256: str, pieces: int) -> bytes:
    """The file's bytes, proven. A piece that is no plain file of the size that pack writes is not read."""
    data = []
    for k in range(pieces):
        piece = piece_of(folder, name, k)
        if not piece.is_file() or piece.stat().st_size > PIECE:
            raise ValueError(one_line(f"{piece} is absent or no piece; carry it again"))
        data.append(piece.read_bytes())
    whole = b"".join(data)
    if hashlib.sha256(whole).hexdigest() != sha256:
        raise ValueError(one_line(f"{folder}: the pieces of {name} are damaged; carry them again"))
    return whole


def run(args: argparse.Namespace) -> int:
    {"pack": pack, "unpack": unpack}[args.way](args.source, args.target)
    return 0


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="launch.carry_run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("way", choices=("pack", "unpack"))
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    return answer("carry_run", run, parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
