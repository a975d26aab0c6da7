"""A batch of predictions that is killed: the same command finishes what is missing, and nothing else.

    python -m tests.soak.killed_prediction                  20 kills of whole batches, then every window of the folder's writing
    python -m tests.soak.killed_prediction --count 5 --seed 3
    python -m tests.soak.killed_prediction --windows        only the windows, seconds

Whole batches: six small meshes, a tiny untrained network, SIGKILL at random times and in chosen phases. After each kill every rig's
folder is absent or whole; where a batch of another seed stood before, each is the old one or the new one. Every later start leaves
finished folders as they are: same bytes, same times. At the end every file is the unbroken batch's, bit for bit (none holds a time),
and nothing unfinished lies about. Windows: as in killed_training. Progress is kept in --work: the same command again goes on. Exit code 1
when a promise is broken.
"""

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np

from tests.soak.killing import Note, begin, contents, counted, end_session, hidden, kill_until, session, wait_for

MESHES = 6
PHASES = ("reading", "network", "delivery", "folder", "summary")
PATIENCE = 1500.0


def as_prediction(note: str, words: list[str]) -> int:
    """In the child: predict_joint_model's own main, noting its phases."""
    from launch.runtime import start_jittor
    start_jittor()
    import launch.batch_predict as batch
    import launch.rig_folder as rig_folder
    import predict_joint_model as door
    from launch.predictor import Predictor
    noted = Note(Path(note))
    for home, name, phase in ((batch, "load_asset", "reading"), (Predictor, "predict", "network"), (rig_folder, "deliver", "delivery"),
                              (rig_folder, "replace_folder", "folder"), (batch, "write_atomically", "summary")):
        setattr(home, name, noted.during(phase, getattr(home, name), lambda *_: noted.read()[1]))
    return door.main(words)


def make_inputs(work: Path) -> None:
    """The meshes, and a checkpoint of chance in work/net. In a process of its own: it starts Jittor."""
    from launch.runtime import start_jittor
    start_jittor()
    from tests.launch.random_checkpoint import save_random
    from tests.soak.load_corpus import GOOD
    (work / "meshes").mkdir()
    for place, (name, make) in enumerate(list(GOOD.items())[:MESHES]):
        make(work / "meshes" / f"{place}-{name}", np.random.default_rng([0, place]))
    save_random(work / "net", points=64)


class Batch:
    """One batch in its folder, started as often as needed."""

    def __init__(self, work: Path, name: str):
        self.work, self.output = work, work / name / "out"
        self.note_file, self.said, self.folder = work / name / "note", work / name / "said.txt", work / name / "out" / "run"
        self.usual = [sys.executable, "-m", "tests.soak.killed_prediction"]
        self.before, self.program = [], self.usual      # of the command

    def start(self, seed: int = 0):
        self.note_file.parent.mkdir(parents=True, exist_ok=True)
        self.note_file.unlink(missing_ok=True)
        self.note = Note(self.note_file)
        words = ["--input", str(self.work / "meshes"), "--checkpoint", str(self.work / "net"), "--output", str(self.output),
                 "--name", "run", "--looks", "1", "--one_pass", "--seed", str(seed)]
        self.process = begin([*self.before, *self.program, "--as-prediction", str(self.note_file), *words], self.said)
        self.begun = time.monotonic()
        return self.process

    def finish(self, seed: int = 0) -> int:
        return wait_for(self.start(seed), PATIENCE)

    def rigs(self) -> dict[str, tuple[dict[str, str], dict[str, int]]]:
        """<cls>/<id> of every folder that is visible -> (its files' digests, their times)."""
        return {f"{f.parent.name}/{f.name}": (contents(f), {p.name: p.stat().st_mtime_ns for p in [f, *f.iterdir()]})
                for f in self.folder.glob("*/*") if f.is_dir() and not f.name.startswith(".") and not f.parent.name.startswith(".")}


def strike(batch: Batch, rng: random.Random, usual: float) -> dict | None:
    """Start the batch and kill it. Returns when and in which phase; None when it ended before."""
    aim = rng.choice((None, None, *PHASES))
    passes = rng.randint(1, MESHES) if aim in ("network", "delivery", "folder") else 1     # of the phase, before it is hit
    moment = rng.uniform(0, 1.1 * usual) if aim is None else rng.uniform(0, 0.05)
    process, was = batch.start(), False
    while aim is not None and passes and process.poll() is None:
        at = batch.note.read()[0] == aim
        passes -= at and not was
        was = at
        time.sleep(0.0005)
    end = time.monotonic() + moment
    while process.poll() is None and time.monotonic() < end:
        time.sleep(0.002)
    if process.poll() is not None:
        return None
    kill = {"kind": "time" if aim is None else "phase", "phase": batch.note.read()[0], "after_s": round(time.monotonic() - batch.begun, 2)}
    end_session(process)
    assert not session(process.pid), "a process outlives its killed batch"
    return kill


def chain(work: Path, seed: int, whole: Batch, other: Batch, usual: float, number: int, kills: int) -> list[dict]:
    """One batch killed `kills` times at most, then finished; every second one over what stands from another seed. Returns the kills."""
    older = other if number % 2 else None
    rng, batch, struck = random.Random(f"{seed}/{number}"), Batch(work, "chain"), []
    shutil.rmtree(work / "chain", ignore_errors=True)
    if older is not None:
        shutil.copytree(older.output, batch.output)
    wanted, before = whole.rigs(), {} if older is None else older.rigs()
    finished: dict = {}
    for turn in range(kills + 1):
        kill = strike(batch, rng, usual) if turn < kills else None
        if kill is None:
            break
        finished = examine(batch, wanted, before, finished)
        struck.append(kill | {"chain": number, "finished": len(finished)})
        print(f"  chain {number}: {json.dumps(struck[-1])}", flush=True)
    code = batch.finish() if kill is not None or turn == kills else wait_for(batch.process, PATIENCE)
    assert code == 0, f"the start after {struck} ended with {code}: {batch.said.read_text(errors='replace')[-1500:]}"
    examine(batch, wanted, {}, finished)
    assert contents(batch.folder) == contents(whole.folder), "other files or bytes than the unbroken batch's"
    assert not hidden(batch.output), f"left behind: {hidden(batch.output)}"
    return struck


def examine(batch: Batch, wanted: dict, before: dict, finished: dict) -> dict:
    """Each visible folder is whole; what was finished is as it was. before: what stood there at first. Returns what is finished now."""
    now = batch.rigs()
    for name, (files, _) in now.items():
        assert files == wanted[name][0] or (name in before and files == before[name][0]), f"{name} is not whole: {sorted(files)}"
    for name, then in finished.items():
        assert now.get(name) == then, f"{name} was finished, and was touched again"
    for name in before.keys() - now.keys():     # moved aside for the new one at this moment; the next start puts it back
        cls, rig = name.split("/")
        aside = list((batch.folder / cls).glob(f".{rig}.*.old"))
        assert len(aside) == 1 and contents(aside[0]) == before[name][0], f"{name} is lost"
    return {name: rig for name, rig in now.items() if rig[0] == wanted[name][0]}


def references(work: Path) -> tuple[Batch, Batch, float]:
    """The unbroken batch, one of another seed, and the seconds that the first took. Made by the program as it is now."""
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    code = wait_for(begin([sys.executable, "-m", "tests.soak.killed_prediction", "--make-inputs", str(work)], work / "said.txt"), PATIENCE)
    assert code == 0, (work / "said.txt").read_text()[-1500:]
    older, whole = Batch(work, "older"), Batch(work, "whole")
    for batch, seed in ((older, 1), (whole, 0)):
        assert batch.finish(seed) == 0, batch.said.read_text(errors="replace")[-1500:]
    assert len(whole.rigs()) == MESHES and all(older.rigs()[name][0] != whole.rigs()[name][0] for name in whole.rigs())
    return whole, older, time.monotonic() - whole.begun


def soak(work: Path, count: int, seed: int) -> int:
    """Kill until there were `count` kills. Returns how many promises were broken."""
    work.mkdir(parents=True, exist_ok=True)
    place = work / "batches"
    progress = kill_until(count, work / "progress.json", lambda: references(place), partial(chain, place, seed))
    print(f"{len(progress['kills'])} kills in {progress['chains']} batches, every second over an older one; in phase: "
          f"{counted(progress, 'phase')}; by: {counted(progress, 'kind')}; {len(progress['breaches'])} breaches")
    return len(progress["breaches"])


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["--as-prediction"]:
        return as_prediction(argv[1], argv[2:])
    if argv[:1] == ["--make-inputs"]:
        return make_inputs(Path(argv[1])) or 0
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--count", type=int, default=20, help="kills of whole batches")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--windows", action="store_true", help="only the windows of the folder's writing")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "killed_prediction", help="scratch and progress")
    args = parser.parse_args(argv)
    from tests.soak.saving_windows import PREDICTION, all_windows
    broken = all_windows(args.work / "windows", PREDICTION)
    return int(bool(broken + (0 if args.windows else soak(args.work, args.count, args.seed))))


if __name__ == "__main__":
    sys.exit(main())
