"""Determinism: the same input gives the same bytes, and the same seed the same training, whatever should not matter.

    python -m tests.soak.determinism                       all, about 15 minutes of a core
    python -m tests.soak.determinism --part grouping       or: surroundings, training
    python -m tests.soak.determinism --kinds rigged.glb cloud.xyz --checkpoint FOLDER

Promised, on one machine:
grouping      every file of a rig's folder has the same bytes whatever number of files is read ahead, in any order, among any neighbours
              or alone, by any number of ranks: the full product of these.
surroundings  the same again in fresh processes: other hash seeds, threads, time zones, locales, current folders, places and dates of the
              input and the output. Under another file name: all but report.json and report.html, which say the name.
training      two runs of a seed leave the same log.csv (but for its speed column) and the same bytes in last/, best/ and
              state.safetensors, with any number of data workers, hash seed and cache. Another seed leaves others.
Where the program is changed meanwhile and something differs, it is examined again; folders' digests then differ, as they should.
Exit code 1 on a breach.
"""

import argparse
import csv
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tests.soak.load import ROOT, program
from tests.soak.load_corpus import GOOD

CHECKPOINT = ROOT / "output" / "TransRefiner-finetune"
KINDS = ("rigged.glb", "mesh.obj", "mesh.stl", "contest.npz", "cloud.ply")
AHEAD, ORDERS, SIZES = (1, 3, 8), ("as named", "reversed", "shuffled"), (1, 2, 3)
MADE_FROM = "made_from"     # of a report: the digest of all that decides its bytes, the program too
SPEED = "samples_per_s"     # the column of log.csv that is a time
TINY = ["--preset", "tiny", "--joints", "22", "--set", "log_every=1", "--set", "save_every=4", "--set", "validate_every=4",
        "--set", "data.humans=3", "--set", "data.val_humans=1", "--name", "run"]
Prints = dict[str, str]     # a file's place in a run -> SHA-256 of its bytes


def characters(folder: Path, kinds: tuple[str, ...], seed: int) -> list[Path]:
    """A file of each kind of tests.soak.load_corpus.GOOD, made in the folder; numbered, as of two with one stem the later gets a number."""
    folder.mkdir(parents=True)
    paths = [folder / f"{place}-{kind}" for place, kind in enumerate(kinds)]
    for place, path in enumerate(paths):
        GOOD[kinds[place]](path, np.random.default_rng([seed, place]))
    return paths


def prints(run: Path) -> Prints:
    """Of all files of a run, hidden ones too, but summary.json, which lists the inputs in their order; the digest in a report by itself."""
    found = {}
    for path in sorted(path for path in run.rglob("*") if path.is_file() and path.name != "summary.json"):
        name, data = str(path.relative_to(run)), path.read_bytes()
        if path.name == "report.json":
            found[f"{name} {MADE_FROM}"] = json.loads(data)[MADE_FROM]
            data = data.replace(found[f"{name} {MADE_FROM}"].encode(), b"")
        found[name] = hashlib.sha256(data).hexdigest()
    return found


class Reference(NamedTuple):
    """What a way must leave: that of the first one. run: makes it anew. differ: compares two of them."""
    run: Callable
    differ: Callable[..., list[str]]
    left: list      # [what it left, the program it was made by]

    @staticmethod
    def of(run: Callable, differ: Callable[..., list[str]]) -> "Reference":
        return Reference(run, differ, [run(), program()])

    def against(self, way: Callable) -> list[str]:
        """What the way leaves otherwise. Others may work at the program meanwhile: what differs is then looked at again."""
        while True:
            found = self.differ(way(), self.left[0])
            if program() == self.left[1]:
                return found
            if not (found := [name for name in found if not name.endswith(MADE_FROM)]):
                return []
            self.left[:] = self.run(), program()


def differences(got: Prints, wanted: Prints) -> list[str]:
    return sorted(name for name in got.keys() | wanted.keys() if got.get(name) != wanted.get(name))


def grouping(files: list[Path], folder: Path, checkpoint: Path, options: dict) -> Iterator[tuple[str, list[str]]]:
    """Name and differences of each way to group the files. Every way begins with a network of its own, as a process does; Jittor runs.

    options: of the predictor (launch.predictor.PredictorOptions).
    """
    from launch.batch_predict import BatchOptions, predict_files
    from launch.predictor import Predictor, PredictorOptions
    from launch.ranks import Ranks

    def rig(given: list[Path], ahead: int, size: int) -> Prints:
        batch = BatchOptions(folder, "run", read_ahead=ahead, show_progress=False)
        for rank in range(size):
            outcomes = predict_files(Predictor(checkpoint, PredictorOptions(**options)), given, batch, (), Ranks(rank, size, "job"))
        refused = [o.reason for o in outcomes if o.reason]
        if refused:
            raise RuntimeError(f"not rigged, so nothing can be compared: {refused}")
        found = prints(folder / "run")
        shutil.rmtree(folder / "run")
        return found

    wanted = rig(files, 4, 1)
    for ahead, order, size in product(AHEAD, ORDERS, SIZES):
        given = {"as named": files, "reversed": files[::-1], "shuffled": random.Random(ahead * size).sample(files, len(files))}[order]
        yield f"{ahead} read ahead, {order}, {size} ranks", differences(rig(given, ahead, size), wanted)
    alone = {}
    for file in files:
        alone |= rig([file], 4, 1)
    yield "each alone", differences(alone, wanted)
    both = rig([*files, files[0]], 4, 1)
    second = {name.replace("-2/", "/"): value for name, value in both.items() if "-2/" in name}
    first = {name: value for name, value in both.items() if "-2/" not in name}
    yield "one of them twice", differences(first, wanted) + differences(wanted | second, wanted)


class Way(NamedTuple):
    """How a process differs from the first one. changes: of its environment, None to take a variable away. here: its current folder.
    moved: the inputs lie elsewhere and are of another date; named: they have other names, too."""
    name: str
    changes: dict[str, str | None] = {}
    here: str = "."
    moved: bool = False
    named: bool = False


WAYS = (Way("again"), Way("two threads", {"OMP_NUM_THREADS": "2"}), Way("as many threads as cores", {"OMP_NUM_THREADS": None}),
        Way("hash seed 0", {"PYTHONHASHSEED": "0"}), Way("hash seed 4294967295", {"PYTHONHASHSEED": "4294967295"}),
        Way("another time zone", {"TZ": "Pacific/Kiritimati"}),
        Way("no locale", {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}),
        Way("Turkish", {"LC_ALL": "tr_TR.UTF-8", "LANG": "tr_TR.UTF-8", "LANGUAGE": "tr"}),
        Way("another current folder", here="/"), Way("another place and date of the inputs", moved=True),
        Way("other names", moved=True, named=True),
        Way("all at once", {"OMP_NUM_THREADS": "2", "PYTHONHASHSEED": "77", "TZ": "Asia/Kathmandu", "LC_ALL": "C"}, "/", True))


def surroundings(files: list[Path], folder: Path, checkpoint: Path, words: list[str],
                 ways: tuple[Way, ...] = WAYS) -> Iterator[tuple[str, list[str]]]:
    """Name and differences of each way to start the real script. words: further options of it."""
    def rig(way: Way) -> Prints:
        inputs = [elsewhere(file, folder / "an other Ort", way.named) for file in files] if way.moved else files
        output = folder / f"out {len(way.name)}"
        command = ["bash", str(ROOT / "launch" / "predict_joint_model.sh"), *map(str, inputs), "--checkpoint", str(checkpoint),
                   "--output", str(output), "--name", "run", *words]
        done = subprocess.run(command, cwd=ROOT / way.here, env=environment(way.changes), capture_output=True, text=True, errors="replace")
        if done.returncode:
            raise RuntimeError(f"{way.name}: ended with {done.returncode}: {done.stdout[-1000:]}{done.stderr[-1000:]}")
        found = prints(output / "run")
        shutil.rmtree(output)
        return without_names(found) if way.named else found

    def told_apart(got: Prints, wanted: Prints) -> list[str]:
        return differences(got, wanted if any("/report." in name for name in got) else without_names(wanted))

    first = Reference.of(lambda: rig(Way("the first")), told_apart)
    for way in ways:
        yield way.name, first.against(lambda: rig(way))


def environment(changes: dict[str, str | None]) -> dict[str, str]:
    """Of this process, one thread, without what would make a rank of it, changed."""
    base = {k: v for k, v in os.environ.items() if not k.startswith(("OMPI_", "PMIX_", "TRANSREFINER_RANKS"))}
    return {k: v for k, v in (base | {"OMP_NUM_THREADS": "1"} | changes).items() if v is not None}


def elsewhere(file: Path, folder: Path, renamed: bool) -> Path:
    """A copy in another folder, of 1990, with a letter more in front of its name where asked."""
    folder.mkdir(exist_ok=True)
    copy = folder / f"{'z' * renamed}{file.name}"
    shutil.copyfile(file, copy)
    os.utime(copy, (631152000, 631152000))
    return copy


def without_names(found: Prints) -> Prints:
    """Only what does not say the file's name, under the names before; a contest file's folder has the name that stands in it."""
    kept = {name: value for name, value in found.items() if "/report." not in name}
    return {name.replace("other/z", "other/"): value for name, value in kept.items()}


class Training(NamedTuple):
    """What a run of the training door leaves: the rows of log.csv without the speed, and its files' prints."""
    rows: list[dict[str, str]]
    files: Prints


def train(folder: Path, cache: Path, steps: int, words: list[str], changes: dict[str, str | None]) -> Training:
    """Raises: RuntimeError for a training that fails."""
    command = [sys.executable, str(ROOT / "train_joint_model.py"), *TINY, "--set", f"optim.steps={steps}", "--output", str(folder),
               "--cache", str(cache), *words]
    done = subprocess.run(command, cwd=ROOT, env=environment({"PYTHONPATH": str(ROOT)} | changes), capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{words}: ended with {done.returncode}: {done.stderr[-2000:]}")
    with (folder / "run" / "log.csv").open() as file:
        rows = [{key: value for key, value in row.items() if key != SPEED} for row in csv.DictReader(file)]
    kept = {name: value for name, value in prints(folder / "run").items() if not name.endswith((".csv", ".png"))}
    kept |= {f"{kind}/model.safetensors": numbers_of(folder / "run" / kind / "model.safetensors") for kind in ("best", "last")}
    shutil.rmtree(folder)
    return Training(rows, kept)


def numbers_of(path: Path) -> str:
    """Digest of all arrays of a .safetensors file: its head holds the config too, which says how many workers there were."""
    data = path.read_bytes()
    return hashlib.sha256(data[8 + int.from_bytes(data[:8], "little"):]).hexdigest()


def workers(count: int) -> list[str]:
    return ["--set", f"data.workers={count}"]


TRAININGS: tuple[tuple[str, list[str], dict[str, str | None]], ...] = (
    ("again", workers(0), {}), ("another hash seed and cache", workers(0), {"PYTHONHASHSEED": "5"}),
    ("two threads", workers(0), {"OMP_NUM_THREADS": "2"}),
    *((f"{count} workers", workers(count), {}) for count in (1, 2, 3)), ("2 workers, two threads", workers(2), {"OMP_NUM_THREADS": "2"}))


def training(folder: Path, steps: int, stage: str) -> Iterator[tuple[str, list[str]]]:
    """Name and differences of each way to train with one seed; the last trains with another, and must differ."""
    def run(words: list[str], changes: dict[str, str | None]) -> Training:
        cache = folder / ("cache 2" if "PYTHONHASHSEED" in changes else "cache")
        return train(folder / "runs", cache, steps, ["--stage", stage, *words], changes)

    def told_apart(one: Training, two: Training) -> list[str]:
        rows = [f"log.csv: step {row['step']}" for row, other in zip(one.rows, two.rows) if row != other]
        configs = [f"{kind}/config.json" for kind in ("best", "last")]   # they say how many workers there were
        return rows[:1] + [name for name in differences(one.files, two.files) if name not in configs]

    first = Reference.of(lambda: run(workers(0), {}), told_apart)
    for name, words, changes in TRAININGS:
        yield f"{stage}, {name}", first.against(lambda: run(words, changes))
    other = first.against(lambda: run([*workers(0), "--set", "seed=1"], {}))
    yield f"{stage}, another seed differs", [] if other else ["it does not"]


def report(part: str, found: Iterator[tuple[str, list[str]]]) -> tuple[int, int]:
    """Prints a line a way. Returns: how many ways there were, and how many of them differ."""
    ways = breaches = 0
    for name, differ in found:
        ways, breaches = ways + 1, breaches + bool(differ)
        print(f"{part:13} {name:45} {'DIFFERS: ' + ', '.join(differ[:6]) if differ else 'same'}", flush=True)
    return ways, breaches


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=("grouping", "surroundings", "training"), help="only this one")
    parser.add_argument("--kinds", nargs="+", choices=GOOD, default=KINDS, help="of the characters (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the characters (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=12, help="of each training (default: %(default)s)")
    parser.add_argument("--looks", type=int, default=4, help="of each prediction (default: %(default)s)")
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINT)
    args = parser.parse_args()
    ways = breaches = 0
    with tempfile.TemporaryDirectory(prefix="transrefiner-determinism-") as name:
        folder = Path(name)
        files, checkpoint = characters(folder / "in", tuple(args.kinds), args.seed), args.checkpoint.resolve()
        parts: dict[str, Callable[[], list[Iterator[tuple[str, list[str]]]]]] = {
            "grouping": lambda: [grouping(files, folder, checkpoint, {"looks": args.looks})],
            "surroundings": lambda: [surroundings(files, folder, checkpoint, ["--looks", str(args.looks)])],
            "training": lambda: [training(folder, args.steps, stage) for stage in ("pretrain", "finetune")]}
        if args.part in (None, "grouping"):
            from launch.runtime import start_jittor
            start_jittor()
        for part in [args.part] if args.part else parts:
            for found in parts[part]():
                more, bad = report(part, found)
                ways, breaches = ways + more, breaches + bad
    print(f"ways {ways}  breaches {breaches}")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
