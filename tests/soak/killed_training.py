"""A training that is killed loses nothing: --resume always works and ends with the bits of a run that was never killed.

    python -m tests.soak.killed_training                        50 kills of whole trainings, then every window of the saving code
    python -m tests.soak.killed_training --count 10 --seed 3
    python -m tests.soak.killed_training --windows              only the windows of the saving code, seconds

Whole trainings: the tiny preset with one data worker is killed by SIGKILL at random times, in chosen phases (data preparation,
validation, checkpoint writing, last moments ...) or before a random change of a file; all its processes, its main process alone (its
worker must end by itself) or its worker alone (the training must say so and stop). Each time it goes on with --resume. At the end
every file of the run must be the unbroken run's, bit for bit; of log.csv all but the speed. Nothing unfinished may lie about.

Windows: the saving code runs in a child that is killed before its first, second, ... change or sync of a file. After each, the old or
the new is there, whole; a new attempt succeeds and leaves nothing unfinished. No rename may come before what it names has reached the
disk. Progress is kept in --work: the same command again goes on. Exit code 1 when a promise is broken.
"""

import argparse
import csv
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from tests.soak.killing import (Note, begin, contents, counted, end_session, gone, hidden, kill_until, killer_at, session, wait_for,
                                watched)

STEPS = 24
OPTIONS = ["--preset", "tiny", "--joints", "22", "--name", "run", "--resume",
           *(word for value in (f"optim.steps={STEPS}", "save_every=3", "log_every=1", "validate_every=6", "data.humans=3",
                                "data.val_humans=1", "data.workers=1") for word in ("--set", value))]
PHASES = ("data", "step", "validation", "checkpoint", "curves", "state", "end")
SPEED = "samples_per_s"     # the only figure of a log that is a time
PATIENCE = 1500.0           # seconds that a training may take before it counts as hanging


def as_training(note: str, change: int, output: str, words: list[str]) -> int:
    """In the child: train_joint_model's own main, noting its phases and its step; killed before the change-th change of a file."""
    import train_joint_model as door
    noted = Note(Path(note))
    for name, phase in (("open_data", "data"), ("train_step", "step"), ("evaluate", "validation"), ("save_checkpoint", "checkpoint"),
                        ("plot_curves", "curves"), ("save_training_state", "state")):
        setattr(door, name, noted.during(phase, getattr(door, name), lambda *given: _step_of(given, noted)))
    with watched(Path(output), killer_at(change, group=True)):
        return door.main(words)


def _step_of(given: tuple, noted: Note) -> int:
    """What a call knows of the training's step; what was known before, where it knows nothing."""
    for thing in given:
        optimizer = getattr(thing, "optimizer", thing)
        if hasattr(optimizer, "fingerprint"):
            return optimizer.step
    return noted.read()[1]


class Run:
    """One training in its folder, started as often as needed."""

    def __init__(self, work: Path, name: str):
        self.output, self.cache = work / name / "out", work / name / "cache"
        self.note_file, self.said = work / name / "note", work / name / "said.txt"
        self.folder = self.output / "run"
        self.before, self.program, self.extra = [], [sys.executable, "-m", "tests.soak.killed_training"], []     # of the command

    def start(self, change: int = 0):
        self.note_file.parent.mkdir(parents=True, exist_ok=True)
        self.note_file.unlink(missing_ok=True)
        self.note = Note(self.note_file)
        words = [*self.before, *self.program, "--as-training", str(self.note_file), str(change), str(self.output), *OPTIONS,
                 "--output", str(self.output), "--cache", str(self.cache), *self.extra]
        self.process, self.begun = begin(words, self.said), time.monotonic()
        return self.process

    def finish(self) -> int:
        """Start it and let it end. Returns its exit code, -1 when it hangs."""
        self.start()
        return self.wait()

    def wait(self) -> int:
        return wait_for(self.process, PATIENCE)

    def elapsed(self) -> float:
        return time.monotonic() - self.begun


def strike(run: Run, rng: random.Random, usual: float) -> dict | None:
    """Start the training and kill it. Returns what was killed, when and in which phase; None when it ended before."""
    kind = rng.choice(["time", "time", "phase", "phase", "phase", "change"])
    whom = rng.choice(["all", "all", "main", "worker"]) if kind != "change" else "all"
    if whom == "worker":
        kind, aim = "phase", "step"     # the only time at which a worker is sure to live
    else:
        aim = rng.choice(PHASES) if kind == "phase" else None
    moment = rng.uniform(0, 1.1 * usual if kind == "time" else 0.6 * usual if whom == "worker" else 0.6 if aim == "end" else 0.1)
    process = run.start(rng.randint(1, 150) if kind == "change" else 0)
    while kind == "phase" and process.poll() is None and not _is_at(run.note.read(), aim):
        time.sleep(0.001)
    end = time.monotonic() + (PATIENCE if kind == "change" else moment)
    while process.poll() is None and time.monotonic() < end:
        time.sleep(0.002)
    if process.poll() is not None and process.returncode >= 0:
        return None
    phase, step = run.note.read()
    kill = {"kind": kind, "whom": whom, "phase": phase, "step": step, "after_s": round(run.elapsed(), 2)}
    return kill if hit(run, whom) else None


def _is_at(noted: tuple[str, int], aim: str) -> bool:
    return noted[1] >= STEPS if aim == "end" else noted[0] == aim


def hit(run: Run, whom: str) -> bool:
    """Kill, and check what must follow. False where there was no worker to kill. Raises: AssertionError naming the broken promise."""
    process = run.process
    if whom == "all":
        end_session(process)
        return True
    if whom == "main":
        process.kill()
        process.wait()
        assert gone(process.pid, 30), f"processes outlive a killed training: {session(process.pid)}"
        return True
    shells = [pid for pid in session(process.pid) if _words(pid)[:1] == ["sh"]]
    workers = [int(pid) for shell in shells for pid in Path(f"/proc/{shell}/task/{shell}/children").read_text().split()]
    if not workers:
        end_session(process)
        return False
    os.kill(workers[0], signal.SIGKILL)
    code = run.wait()
    said = run.said.read_text(errors="replace")
    assert code in (0, 2), f"a training whose worker was killed ended with {code}: {said[-800:]}"    # 0: the worker had done its share
    if code == 2:
        assert "a data worker ended early" in said and "--resume" in said and "Traceback" not in said, said[-800:]
    assert gone(process.pid, 30), f"processes outlive a training that ended: {session(process.pid)}"
    return True


def _words(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []


def log_of(folder: Path) -> list[list[str]]:
    """The text of every cell of log.csv but the speed's."""
    with open(folder / "log.csv", newline="") as file:
        rows = list(csv.reader(file))
    speed = rows[0].index(SPEED)
    return [[cell for place, cell in enumerate(row) if place != speed] for row in rows]


def compare(run: Run, unbroken: Run) -> None:
    """Raises: AssertionError naming what differs."""
    got, want = contents(run.folder), contents(unbroken.folder)
    assert got.keys() == want.keys(), f"files: {sorted(got.keys() ^ want.keys())}"
    differ = [name for name in want if got[name] != want[name] and name != "log.csv"]
    assert not differ, f"other bits than the unbroken run's: {differ}"
    assert log_of(run.folder) == log_of(unbroken.folder), "log.csv differs from the unbroken run's"
    assert not hidden(run.output) + hidden(run.cache), f"left behind: {hidden(run.output) + hidden(run.cache)}"


def chain(work: Path, seed: int, unbroken: Run, usual: float, number: int, kills: int) -> list[dict]:
    """One training killed `kills` times at most, then finished and compared. Returns the kills."""
    rng, run, struck = random.Random(f"{seed}/{number}"), Run(work, "chain"), []
    shutil.rmtree(work / "chain", ignore_errors=True)
    for _ in range(kills):
        kill = strike(run, rng, usual)
        if kill is None:
            break
        struck.append(kill | {"chain": number})
        print(f"  chain {number}: {json.dumps(struck[-1])}", flush=True)
    code = run.finish()
    assert code == 0, f"--resume after {struck} ended with {code}: {run.said.read_text(errors='replace')[-1500:]}"
    compare(run, unbroken)
    return struck


def reference(work: Path) -> tuple[Run, float]:
    """The unbroken run, and the seconds that it took."""
    unbroken = Run(work, "unbroken")
    shutil.rmtree(work / "unbroken", ignore_errors=True)
    assert unbroken.finish() == 0, unbroken.said.read_text(errors="replace")[-1500:]
    return unbroken, unbroken.elapsed()


def soak(work: Path, count: int, seed: int) -> int:
    """Kill until there were `count` kills. Returns how many promises were broken."""
    work.mkdir(parents=True, exist_ok=True)
    progress = kill_until(count, work / "progress.json", lambda: reference(work), partial(chain, work, seed))
    broken = len(progress["breaches"])
    print(f"{len(progress['kills'])} kills in {progress['chains']} runs; in phase: {counted(progress, 'phase')}; "
          f"of: {counted(progress, 'whom')}; by: {counted(progress, 'kind')}; {progress['chains'] - broken} of {progress['chains']} runs "
          f"ended with the bits of the unbroken one; {broken} breaches")
    return broken


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["--as-training"]:
        return as_training(argv[1], int(argv[2]), argv[3], argv[4:])
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--count", type=int, default=50, help="kills of whole trainings")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--windows", action="store_true", help="only the windows of the saving code")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "killed_training", help="scratch and progress")
    args = parser.parse_args(argv)
    from tests.soak.saving_windows import all_windows
    broken = all_windows(args.work / "windows")
    return int(bool(broken + (0 if args.windows else soak(args.work, args.count, args.seed))))


if __name__ == "__main__":
    sys.exit(main())
