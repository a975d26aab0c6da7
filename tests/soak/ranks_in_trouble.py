"""Several ranks under faults, with a real mpirun.

    python -m tests.soak.ranks_in_trouble [--only NAME ...] [--folder DIR] [--done FILE]

Promised, for training and for prediction: where a rank is killed, crashes, hangs, lacks a module, meets a bad asset, computes NaN or
holds other parameters than the others, all ranks end within 60 s, with one message that names the rank and the cause, an exit code
other than 0 and no process left; the same command with --resume (a prediction: the same command) then comes to the bits of an
unbroken run. Any number of ranks works or is refused clearly. Prints a table; exit code 1 on a breach. Every scenario is the same
at each start (the kills come when a certain step is done).
"""

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from dataset.sources.npz import write_npz
from launch.training_log import read_log
from tests.dataset.figures import capsule_man
from tests.soak.killing import ROOT
from tests.soak.ranks_job import Ended, Some, mpirun, pid_of, wait_for

WITHIN = 60.0           # seconds from a fault to the end of all
PATIENCE = 30           # rank_timeout where a rank is stopped
STEPS = 8
TRAIN = ["train_joint_model.py", "--preset", "tiny", "--joints", "22", "--name", "run", "--set", f"optim.steps={STEPS}",
         "--set", "save_every=4", "--set", "log_every=1", "--set", "validate_every=8", "--set", "check_every=2", "--set", "data.humans=3",
         "--set", "data.val_humans=1"]
ABSENT = """import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == {module!r}:
            raise ModuleNotFoundError("No module named {module!r}", name=name)
sys.meta_path.insert(0, Absent())
"""


@dataclass
class Row:
    """What became of a scenario. breaches: what was promised and did not hold."""
    scenario: str
    ranks: int
    seconds: float
    code: int
    message: str
    breaches: list[str]


def judged(scenario: str, ranks: int, ended: Ended, cause: str | None, after: Iterable[str] = ()) -> Row:
    """cause: what the one message must match; None: the job must end well. after: what a later start breached."""
    breaches = [f"{len(ended.left)} processes left"] * bool(ended.left)
    if cause is None:
        breaches += [f"exit code {ended.code}: {ended.said[-800:]}"] * (ended.code != 0)
    else:
        breaches += ["exit code 0"] * (ended.code == 0)
        breaches += [f"{ended.seconds:.0f} s until all had ended"] * (ended.seconds > WITHIN)
        breaches += [f"{len(ended.spoken)} messages: {ended.spoken or ended.said[-800:]}"] * (len(ended.spoken) != 1)
        breaches += [f"no word of {cause!r}"] * (not any(re.search(cause, line) for line in ended.spoken))
    return Row(scenario, ranks, round(ended.seconds, 1), ended.code, ended.spoken[0] if ended.spoken else "", [*breaches, *after])


@dataclass(frozen=True)
class Place:
    """Where the soak works, and whether it starts again after a fault."""
    folder: Path
    start_again: bool = True

    def train(self, name: str, *extra: str, mischief: bool = False) -> list[str]:
        """The training command of a run."""
        program = ["-m", "tests.soak.ranks_mischief", *TRAIN[1:]] if mischief else TRAIN
        return [*program, "--output", str(self.folder / name), "--cache", str(self.folder / "cache"), *extra]

    def predict(self, name: str, *inputs: Path) -> list[str]:
        return ["predict_joint_model.py", "--checkpoint", str(self.checkpoint()), "--output", str(self.folder / name), "--name", "run",
                "--input", *map(str, inputs)]

    def lacking(self, module: str) -> dict[str, str]:
        """The environment of a rank that cannot import a module."""
        folder = self.folder / f"without-{module}"
        folder.mkdir(exist_ok=True)
        (folder / "sitecustomize.py").write_text(ABSENT.format(module=module))
        return {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}

    def checkpoint(self) -> Path:
        """A network of chance, made in a process of its own: Jittor must not run in this one, whose children die."""
        folder = self.folder / "checkpoint"
        if not folder.exists():
            code = ("import sys; from pathlib import Path; from launch.runtime import start_jittor; start_jittor(); "
                    "from tests.launch.random_checkpoint import save_random; save_random(Path(sys.argv[1]), points=64)")
            subprocess.run([sys.executable, "-c", code, str(folder)], cwd=ROOT, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
        return folder

    def characters(self, count: int) -> list[Path]:
        """Files without a rig; the last lets its name end in -bad and holds no geometry."""
        folder = self.folder / "characters"
        folder.mkdir(exist_ok=True)
        man = replace(capsule_man(22), cls="vroid", joints_J3=None, skin_VJ=None, parents=None, names=None, matrix_local_J44=None)
        for number in range(count):
            write_npz(folder / f"{number}.npz", replace(man, id=str(number)))
        return [folder / f"{number}.npz" for number in range(count)]

    def damaged(self) -> Path:
        """A folder with one rigged character that is cut off in the middle."""
        folder = self.folder / "damaged"
        folder.mkdir(exist_ok=True)
        write_npz(folder / "torn.npz", capsule_man(22))
        data = (folder / "torn.npz").read_bytes()
        (folder / "torn.npz").write_bytes(data[:len(data) // 2])
        return folder

    def unbroken(self, ranks: int = 2) -> dict:
        """What a training that nothing befell leaves."""
        name = f"unbroken-{ranks}"
        if not (self.folder / name).exists():
            shutil.rmtree(self.folder / f"{name}.part", ignore_errors=True)
            ended = mpirun(self.folder, [Some(ranks, self.train(f"{name}.part"))])
            if ended.code:
                raise RuntimeError(f"the unbroken run failed: {ended.said[-2000:]}")
            (self.folder / f"{name}.part").rename(self.folder / name)
        return trained(self.folder / name)


def trained(output: Path) -> dict:
    """The bits of a training: its checkpoints, its state, and every logged figure but the speed."""
    run = output / "run"
    files = {str(f): (run / f).read_bytes() for f in ("state.safetensors", "last/model.safetensors", "best/model.safetensors")}
    return {**files, "log": [{k: v for k, v in row.items() if k != "samples_per_s"} for row in read_log(run / "log.csv")]}


# ------------------------------------------------------------------------------------------------------------- training


def resumed(place: Place, name: str, ranks: int = 2) -> list[str]:
    """Breaches of: --resume comes to the unbroken run's bits."""
    if not place.start_again:
        return []
    ended = mpirun(place.folder, [Some(ranks, place.train(name, "--resume"))])
    if ended.code:
        return [f"--resume failed: {ended.said[-800:]}"]
    mine, whole = trained(place.folder / name), place.unbroken(ranks)
    return [f"after --resume {key} differs from the unbroken run's" for key in whole if mine[key] != whole[key]]


def signalled(rank: int, number: signal.Signals, *extra: str) -> Callable[[Place, str], Row]:
    """A signal to a rank in the midst of training, when five steps are logged."""
    def scenario(place: Place, name: str) -> Row:
        log = place.folder / name / "run" / "log.csv"

        def meddle(leader: int) -> None:
            pid = pid_of(rank, leader)
            wait_for(lambda: log.exists() and len(read_log(log)) >= 5)
            os.kill(pid, number)

        ended = mpirun(place.folder, [Some(2, place.train(name, *extra))], meddle)
        stopped, killed = rf"rank {rank} did not come within {PATIENCE} s", rf"process rank {rank} .*signal {int(number)}\b"
        cause = stopped if number == signal.SIGSTOP else killed
        return judged(name, 2, ended, cause, resumed(place, name))
    return scenario


def mischievous(what: str, cause: str) -> Callable[[Place, str], Row]:
    """Rank 1 goes wrong by itself at step 5; see tests/soak/ranks_mischief.py."""
    def scenario(place: Place, name: str) -> Row:
        ended = mpirun(place.folder, [Some(2, place.train(name, mischief=True), {"MISCHIEF": f"{what} 1 5"})])
        return judged(name, 2, ended, cause, resumed(place, name))
    return scenario


def without(module: str, cause: str, program: str = "train") -> Callable[[Place, str], Row]:
    """Rank 1 of 2 cannot import a module."""
    def scenario(place: Place, name: str) -> Row:
        words = place.train(name) if program == "train" else place.predict(name, *place.characters(3))
        ended = mpirun(place.folder, [Some(1, words), Some(1, words, place.lacking(module))])
        return judged(name, 2, ended, cause, [] if program == "train" else finished(place, name, place.characters(3)))
    return scenario


def bad_file(here: int) -> Callable[[Place, str], Row]:
    """A training file that cannot be read, on both ranks (here 2) or on the second (1)."""
    def scenario(place: Place, name: str) -> Row:
        bad = Some(here, place.train(name, "--assets", str(place.damaged())))
        ended = mpirun(place.folder, [Some(1, place.train(name)), bad] if here == 1 else [bad])
        return judged(name, 2, ended, rf"rank {2 - here} of 2 .*torn\.npz")
    return scenario


def many(ranks: int, batch: int, cause: str | None) -> Callable[[Place, str], Row]:
    """More ranks than cores, and than the three characters; a batch that divides or does not."""
    def scenario(place: Place, name: str) -> Row:
        ended = mpirun(place.folder, [Some(ranks, place.train(name, "--set", f"optim.batch={batch}"))])
        return judged(name, ranks, ended, cause)
    return scenario


# ----------------------------------------------------------------------------------------------------------- prediction


def predicted(output: Path) -> dict:
    """Every file of a prediction; what names the run or the program's version is left out."""
    run, found = output / "run", {}
    for path in filter(Path.is_file, run.rglob("*")):
        found[str(path.relative_to(run))] = path.read_bytes()
        if path.suffix == ".json":
            found[str(path.relative_to(run))] = {k: v for k, v in json.loads(path.read_text()).items() if k != "made_from"}
    return found


def finished(place: Place, name: str, inputs: list[Path], code: int = 0) -> list[str]:
    """Breaches of: the same command again leaves what one process leaves that nothing befell."""
    if not place.start_again:
        return []
    for output, ranks in ((name, 2), ("alone", 1)):
        ended = mpirun(place.folder, [Some(ranks, place.predict(output, *inputs))])
        if ended.code != code:
            return [f"a later start of {ranks} ends with {ended.code}: {ended.said[-800:]}"]
    mine, whole = predicted(place.folder / name), predicted(place.folder / "alone")
    differing = sorted(key for key in mine if mine[key] != whole.get(key))
    summary = json.loads((place.folder / name / "run" / "summary.json").read_text())
    missing = len(inputs) - code // 2 - summary["done"]
    return [f"{key} is not as one process leaves it" for key in differing] + [f"{missing} rigs are missing"] * (missing != 0)


def predict_killed(place: Place, name: str) -> Row:
    """Rank 1 is killed when the first rig is there."""
    inputs, run = place.characters(8), place.folder / name / "run"

    def meddle(leader: int) -> None:
        pid = pid_of(1, leader)
        wait_for(lambda: any(run.glob("*/[0-9]*")))
        os.kill(pid, signal.SIGKILL)

    ended = mpirun(place.folder, [Some(2, place.predict(name, *inputs))], meddle)
    return judged(name, 2, ended, r"process rank 1 .*signal 9\b", finished(place, name, inputs))


def predict_many(ranks: int, files: int) -> Callable[[Place, str], Row]:
    """Shares of different sizes, empty ones too."""
    def scenario(place: Place, name: str) -> Row:
        inputs = place.characters(files)
        ended = mpirun(place.folder, [Some(ranks, place.predict(name, *inputs))])
        return judged(name, ranks, ended, None, finished(place, name, inputs))
    return scenario


def predict_bad(place: Place, name: str) -> Row:
    """A file that cannot be read is listed, the others are rigged; exit code 2."""
    inputs = [*place.characters(3), place.damaged() / "torn.npz"]
    ended = mpirun(place.folder, [Some(2, place.predict(name, *inputs))])
    row = judged(name, 2, replace(ended, code=ended.code - 2), None, finished(place, name, inputs, code=2))
    listed = re.search(r"torn\.npz +FAILED: .*", ended.said)
    return replace(row, code=ended.code, message=" ".join(listed[0].split()) if listed else "",
                   breaches=row.breaches + ["the bad file is not listed"] * (not listed or "3 rigged, 1 failed" not in ended.said))


def predict_nothing(place: Place, name: str) -> Row:
    """What is wrong for every rank is said once."""
    words = place.predict(name, *place.characters(3))
    words[words.index("--checkpoint") + 1] = str(place.folder / "no-checkpoint")
    return judged(name, 2, mpirun(place.folder, [Some(2, words)]), r"rank 0 of 2 .*no-checkpoint")


SCENARIOS: dict[str, Callable[[Place, str], Row]] = {   # those that tell most come first
    "train: rank 1 killed": signalled(1, signal.SIGKILL, "--set", "data.workers=1"),
    "train: a bit of rank 1's parameters flips": mischievous("flip", r"step 6: parameters of rank 1 differ"),
    "train: rank 1 stopped": signalled(1, signal.SIGSTOP, "--set", f"rank_timeout={PATIENCE}"),
    "predict: rank 1 killed": predict_killed,
    "train: rank 1 meets a bad asset": mischievous("asset", r"rank 1 of 2 .*its skin holds NaN"),
    "train: rank 1 crashes": mischievous("crash", r"process rank 1 .*signal 11\b"),
    "predict: a damaged file": predict_bad,
    "train: 4 ranks, batch of 4, 3 characters": many(4, 4, None),
    "train: 3 ranks, batch of 3": many(3, 3, None),
    "train: rank 0 killed": signalled(0, signal.SIGKILL),
    "train: rank 0 stopped": signalled(0, signal.SIGSTOP, "--set", f"rank_timeout={PATIENCE}"),
    "train: rank 1 quits": mischievous("quit", r"rank 1 of 2 .*before its time"),
    "train: a bit of rank 1's optimiser flips": mischievous("moment", r"step 6: parameters of rank 1 differ"),
    "train: rank 1 computes NaN": mischievous("nan", r"rank 1 of 2 .*step 5: loss nan"),
    "train: a damaged file": bad_file(2),
    "train: a damaged file for rank 1": bad_file(1),
    "train: rank 1 lacks safetensors": without("safetensors", r"rank 1 of 2 .*safetensors"),
    "train: rank 1 lacks Jittor": without("jittor", r"rank 1 of 2 .*jittor"),
    "train: 3 ranks, batch of 4": many(3, 4, r"a batch of 4 cannot be split over 3 ranks"),
    "predict: rank 1 lacks safetensors": without("safetensors", r"rank 1 of 2 .*safetensors", "predict"),
    "predict: rank 1 lacks Jittor": without("jittor", r"rank 1 of 2 .*jittor", "predict"),
    "predict: no checkpoint": predict_nothing,
    "predict: 3 ranks, 4 files": predict_many(3, 4),
    "predict: 4 ranks, 1 file": predict_many(4, 1),
}


def soak(names: Iterable[str], folder: Path, done: Path | None = None, start_again: bool = True) -> list[Row]:
    """The scenarios in turn. done: a file of finished rows, a JSON a line: those without a breach are not repeated, new ones are added."""
    before = [Row(**json.loads(line)) for line in done.read_text().splitlines()] if done and done.exists() else []
    rows = [row for row in before if not row.breaches]
    for name in names:
        if name in {row.scenario for row in rows}:
            continue
        shutil.rmtree(folder / name, ignore_errors=True)
        try:
            row = SCENARIOS[name](Place(folder, start_again), name)
        except TimeoutError as error:
            row = Row(name, 0, 0.0, -1, "", [str(error)])
        rows.append(row)
        print(line_of(row), flush=True)
        if done:
            with open(done, "a") as file:
                file.write(json.dumps(asdict(row)) + "\n")
    return rows


def line_of(row: Row) -> str:
    line = f"{row.scenario:42}{row.ranks:3}{row.seconds:7.1f} s{row.code:5}  {row.message[:160]}"
    return "\n".join([line, *(f"    BREACH: {breach}" for breach in row.breaches)])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", nargs="+", metavar="NAME", help="scenarios whose names hold one of these words")
    parser.add_argument("--folder", type=Path, help="where to work; kept (default: a temporary folder)")
    parser.add_argument("--done", type=Path, metavar="FILE", help="keep finished rows here, and go on after them")
    parser.add_argument("--once", action="store_true", help="leave out the later starts, which must come to an unbroken run's bits")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))  # so that the running job is ended too
    names = [name for name in SCENARIOS if not args.only or any(word in name for word in args.only)]
    with tempfile.TemporaryDirectory(prefix="transrefiner-ranks-") as scratch:
        folder = (args.folder or Path(scratch)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        print(f"{'scenario':42}{'ranks':>3}{'ended in':>9}{'code':>5}  message")
        rows = soak(names, folder, args.done, not args.once)
    broken = sum(bool(row.breaches) for row in rows)
    print(f"{len(rows)} scenarios, {broken} with a breach; the slowest ended {max(row.seconds for row in rows):.1f} s after its fault")
    return int(broken > 0)


if __name__ == "__main__":
    sys.exit(main())
