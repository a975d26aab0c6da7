"""Fuzz the readers: a hostile file harms nothing.

    python -m tests.soak.fuzz                                   every reader, 100,000 inputs each
    python -m tests.soak.fuzz --reader npz bvh --count 1000     some
    python -m tests.soak.fuzz --reader npz --only 4711 --save broken.npz     one input again, kept as a file

Promised of each input: it is read, or refused with the reader's own error in one printable line that names the file; the process
stays alive; no read takes over 5 s of processor time (60 s by the clock) or 2 GiB beyond the program; no file is written, renamed or
removed outside the scratch folder; no code runs, no connection is made, no process is started.
An input is made from (reader, seed, index) alone. Progress is kept in --folder after every 2,000 inputs; the same command goes on there.
Prints a line for each reader. Exit code 1 on a breach: the inputs lie in --folder/<reader>/.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np

from tests.soak.fuzz_child import FIELDS, replace_file
from tests.soak.fuzz_inputs import TABLES, Reader, hostile, readers

ROOT = Path(__file__).resolve().parents[2]
CHUNK = 2000
KEPT = 3        # inputs kept of each kind of fault
HUNG = {-signal.SIGPROF: "the limit of processor time", -signal.SIGALRM: "twelve times the limit by the clock"}
SECONDS = 5.0   # of processor time for one input
KINDS = {"traceback": "crashed", "unclear": "unclear", "memory": "memory", "outside": "outside", "code": "code"}  # word of a fault -> field

__all__ = ["Reader", "Result", "fuzz"]


@dataclass
class Result:
    """What became of `count` inputs. read and refused: as they should be. crashed: the process died, or another exception than a refusal
    came out. unclear: a refusal that does not name the file or prints raw control characters. memory: ran into the limit.
    outside: a file written or changed outside the folder. code: something was run, started or connected to.
    worst_s: processor seconds of the slowest read; peak_mib: resident memory beyond the program's own. faults: text -> indices (a few)."""
    reader: str
    seed: int
    count: int = 0
    read: int = 0
    refused: int = 0
    crashed: int = 0
    hung: int = 0
    unclear: int = 0
    memory: int = 0
    outside: int = 0
    code: int = 0
    worst_s: float = 0.0
    worst_index: int = -1
    peak_mib: float = 0.0
    peak_index: int = -1
    faults: dict[str, list[int]] = field(default_factory=dict)

    @property
    def good(self) -> bool:
        return self.count == self.read + self.refused and not self.faults

    def line(self) -> str:
        return (f"{self.reader}: {self.count} inputs, {self.read} read, {self.refused} refused, {self.crashed} crashed, {self.hung} hung, "
                f"{self.unclear} unclear, {self.memory} over memory, {self.outside} files outside, {self.code} code run; "
                f"worst {1000 * self.worst_s:.0f} ms (input {self.worst_index}), peak {self.peak_mib:.0f} MiB (input {self.peak_index})")


def markdown(result: Result) -> str:
    """Its row in docs/trust.md."""
    figures = (result.count, result.read, result.refused, result.crashed + result.unclear, result.hung, f"{1000 * result.worst_s:.0f}",
               f"{result.peak_mib:.0f}", result.memory, result.outside, result.code)
    return f"| {result.reader} | " + " | ".join(f"{n:,}" if isinstance(n, int) else n for n in figures) + " |"


def fuzz(reader: Reader, count: int, seed: int = 0, first: int = 0, folder: str | Path = "output/soak/fuzz",
         tables: Sequence[str] = TABLES, limit_s: float = SECONDS) -> Result:
    """Read the inputs first .. first + count - 1 in a child process that is replaced when it dies.

    folder: gets <reader>/ with a scratch folder and the offending inputs. tables: modules with READERS in which the child finds it.
    """
    home = Path(folder).resolve() / reader.name.replace(" ", "-").replace("/", "-")
    home.mkdir(parents=True, exist_ok=True)
    result, index, end = Result(reader.name, seed), first, first + count
    seeds = reader.seeds()
    while index < end:
        index = _one_child(reader, index, end - index, home, tables, limit_s, result)
    for indices in result.faults.values():
        for kept in indices:
            (home / f"{reader.name.replace(' ', '-')}-{seed}-{kept}{reader.suffix}").write_bytes(hostile(reader, seeds, seed, kept))
    return result


def _one_child(reader: Reader, first: int, count: int, home: Path, tables: Sequence[str], limit_s: float, result: Result) -> int:
    """Run one child until it is through or dead; its figures go into result. Returns the input after the last one it read."""
    (home / "findings").unlink(missing_ok=True)
    np.array([-1, *[0] * (len(FIELDS) - 1)], np.float64).tofile(home / "state")
    command = [sys.executable, "-m", "tests.soak.fuzz_child", reader.name, str(first), str(count), str(result.seed), str(home), *tables]
    given = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "FUZZ_SECONDS": str(limit_s)}
    with (home / "stderr").open("wb") as errors:
        code = subprocess.run(command, cwd=ROOT, env=os.environ | given, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=errors).returncode
    state = dict(zip(FIELDS, np.fromfile(home / "state", np.float64)))
    if state["index"] < 0:
        said = (home / "stderr").read_text(errors="replace")
        raise RuntimeError(f"{reader.name}: a child ended before the first input (exit code {code}):\n{said[-3000:]}")
    _add(result, state, home / "findings")
    after = int(state["index"]) + 1
    if not state["done"]:
        how = f"hung: over {HUNG[code]}" if code in HUNG else f"traceback: the process died, exit code {code}"
        _count(result, how, after - 1)
    result.count += after - first
    return after


def _add(result: Result, state: dict[str, float], findings: Path) -> None:
    result.read += int(state["read"])
    result.refused += int(state["refused"])
    if state["worst_s"] > result.worst_s:
        result.worst_s, result.worst_index = state["worst_s"], int(state["worst_index"])
    if state["peak_mib"] > result.peak_mib:
        result.peak_mib, result.peak_index = state["peak_mib"], int(state["peak_index"])
    for line in findings.read_text().splitlines() if findings.exists() else ():
        found = json.loads(line)
        _count(result, found["fault"], found["index"])


def _count(result: Result, fault: str, index: int) -> None:
    kind = KINDS.get(fault.partition(":")[0], "hung")
    setattr(result, kind, getattr(result, kind) + 1)
    kept = result.faults.setdefault(fault, [])
    if len(kept) < KEPT:
        kept.append(index)


def merged(a: Result, b: Result) -> Result:
    """The figures of two stretches of one run."""
    slow, big = max(a, b, key=lambda r: r.worst_s), max(a, b, key=lambda r: r.peak_mib)
    sums = {name: getattr(a, name) + getattr(b, name) for name in ("count", "read", "refused", "hung", *KINDS.values())}
    faults = {fault: (a.faults.get(fault, []) + b.faults.get(fault, []))[:KEPT] for fault in {**a.faults, **b.faults}}
    return replace(a, **sums, worst_s=slow.worst_s, worst_index=slow.worst_index, peak_mib=big.peak_mib, peak_index=big.peak_index,
                   faults=faults)


def run(reader: Reader, count: int, seed: int, folder: Path, tables: Sequence[str] = TABLES, limit_s: float = SECONDS) -> Result:
    """fuzz() in stretches, each noted in folder/<reader>-<seed>.json; goes on where that file says an earlier run came to."""
    folder.mkdir(parents=True, exist_ok=True)
    notes = folder / f"{reader.name.replace(' ', '-')}-{seed}.json"
    result = Result(**json.loads(notes.read_text())) if notes.exists() else Result(reader.name, seed)
    while result.count < count:
        part = fuzz(reader, min(CHUNK, count - result.count), seed, result.count, folder, tables, limit_s)
        result = merged(result, part)
        fresh = notes.with_suffix(".part")
        fresh.write_text(json.dumps(asdict(result)))
        fresh.replace(notes)
    return result


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reader", nargs="+", metavar="NAME", help="default: all")
    parser.add_argument("--count", type=int, default=100_000, help="inputs for each reader (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=ROOT / "output" / "soak" / "fuzz", help="progress and offending inputs")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--markdown", action="store_true", help="read nothing; print the rows of docs/trust.md from the progress so far")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of processor time for one input (default: %(default)s)")
    parser.add_argument("--only", type=int, metavar="INDEX", help="make this one input of the one reader, and write it to --save")
    parser.add_argument("--save", type=Path, metavar="FILE")
    parser.add_argument("--tables", nargs="+", default=TABLES, metavar="MODULE", help="modules with READERS (default: %(default)s)")
    args = parser.parse_args(argv)
    known = readers(args.tables)
    unknown = sorted(set(args.reader or ()) - set(known))
    if unknown:
        parser.error(f"no reader {', '.join(unknown)}; known: {', '.join(known)}")
    chosen = [known[name] for name in args.reader or known]
    if args.only is not None:
        if args.save is None or len(chosen) != 1:
            parser.error("--only needs one --reader and --save")
        replace_file(args.save, hostile(chosen[0], chosen[0].seeds(), args.seed, args.only))
        return 0
    if args.markdown:
        for reader in chosen:
            print(markdown(run(reader, 0, args.seed, args.folder)))
        return 0
    results = []
    for reader in chosen:
        results.append(run(reader, args.count, args.seed, args.folder, args.tables, args.seconds))
        print(results[-1].line(), flush=True)
        for fault, indices in results[-1].faults.items():
            print(f"  {fault}: inputs {', '.join(map(str, indices))}", flush=True)
        if args.json:
            args.json.write_text(json.dumps([asdict(result) for result in results], indent=1) + "\n")
    return 0 if all(result.good for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
