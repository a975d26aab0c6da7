"""Time several ways of doing the same thing side by side: each in a process of its own, turn by turn (A B A B), medians and spread.

Processes of their own, because two frameworks in one would share and disturb each other's thread pools; turns, because these
machines are noisy and what disturbs one side then disturbs the other. A worker is a program that ends in ``serve({...})``:

    def step(): ...
    serve({"step": step})                                     # in the worker
    jittor = Worker([sys.executable, "-m", "benchmarks.x", "--serve"], threads=2)
    rounds = take_turns({"jittor": jittor, "torch": torch}, "step", rounds=7)
    ratio = compare(rounds["jittor"], rounds["torch"])        # in the benchmark
"""

import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / ".venv-peers" / "bin" / "python"
RESULTS = ROOT / "benchmarks" / "results"


def peers_python() -> str:
    """The interpreter of the libraries compared with. Raises: SystemExit with the command that makes it."""
    if not PEERS.exists():
        sys.exit("the libraries to compare with are not installed; make their environment first: bash benchmarks/setup_peers.sh")
    return str(PEERS)


def serve(cases: dict[str, Callable[[], dict | None]]) -> None:
    """Answer each line of standard input, a case's name, by running it: seconds, and whatever the case returns, as one JSON line.

    The first run of each case (compiling, filling caches) is the caller's to throw away. Whatever a case prints goes to stderr.
    """
    answers, sys.stdout = os.fdopen(os.dup(sys.stdout.fileno()), "w"), sys.stderr
    os.dup2(sys.stderr.fileno(), 1)
    print(json.dumps({"ready": sorted(cases)}), file=answers, flush=True)
    for line in sys.stdin:
        start = time.perf_counter()
        extra = cases[line.strip()]() or {}
        print(json.dumps({"seconds": time.perf_counter() - start, **extra}), file=answers, flush=True)


class Worker:
    """A process that serves cases. ``threads``: what OpenMP, BLAS and numba may use in it; ``env``: further environment variables."""

    def __init__(self, command: list[str], threads: int, env: dict[str, str] | None = None):
        limits = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")}
        self.command = command
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env={**os.environ, **limits, **(env or {}), "PYTHONPATH": str(ROOT)})
        self.cases = self._answer()["ready"]

    def _answer(self) -> dict:
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{' '.join(self.command)} ended without an answer; its messages are above")
        return json.loads(line)

    def run(self, case: str) -> dict:
        self.process.stdin.write(case + "\n")
        self.process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def take_turns(workers: dict[str, Worker], case: str, rounds: int, warmup: int = 1) -> dict[str, list[float]]:
    """Seconds of each worker, ``rounds`` each, one worker after the other in every round."""
    times = {name: [] for name in workers}
    for turn in range(warmup + rounds):
        for name, worker in workers.items():
            seconds = worker.run(case)["seconds"]
            if turn >= warmup:
                times[name].append(seconds)
    return times


class Ratio(NamedTuple):
    """Ours over theirs: the median of the rounds' own ratios, and the quartiles of these."""
    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f}-{self.high:.2f})"


def compare(ours: list[float], theirs: list[float]) -> Ratio:
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    low, _, high = statistics.quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else ratios * 3
    return Ratio(statistics.median(ratios), low, high)


def machine(**more) -> dict:
    """What a number needs beside it: processor, cores, date, versions on both sides, the command, and what the benchmark adds."""
    model = next((line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), platform.processor())
    return {"processor": model, "cores": len(os.sched_getaffinity(0)), "date": datetime.date.today().isoformat(),
            "python": platform.python_version(), "versions": _versions(sys.executable, ("jittor", "numpy", "scipy")),
            "peers": _versions(str(PEERS), ("torch", "numpy", "numba", "scipy", "trimesh")) if PEERS.exists() else None,
            **more, "load_before": os.getloadavg()[0], "command": " ".join(["python", *_program(), *sys.argv[1:]])}


def _program() -> list[str]:
    """What was started: a module, or a file where there is none."""
    spec = sys.modules["__main__"].__spec__
    return ["-m", spec.name] if spec else sys.argv[:1]


def _versions(python: str, packages: tuple[str, ...]) -> dict[str, str]:
    """Of another interpreter's packages, read without importing them."""
    program = "import importlib.metadata as m, json, sys; print(json.dumps({p: m.version(p) for p in sys.argv[1:]}))"
    return json.loads(subprocess.run([python, "-c", program, *packages], check=True, capture_output=True, text=True).stdout)


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def write_result(path: Path | None, keys: dict[str, float], rows: list[dict], about: dict) -> None:
    """The benchmark's JSON: ``keys`` are its claims, ``rows`` its table, ``about`` what machine() said. Nothing without a path."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({**keys, "about": about, "rows": rows}, indent=2) + "\n")
