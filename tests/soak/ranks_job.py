"""One job of several ranks under a real mpirun: start it, harm a rank, and see how all of it ends. For tests/soak/ranks_in_trouble.py."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.soak.killing import ROOT, gone, session

SPOKEN = re.compile(r"\w+_model: rank \d+ of \d+ on .*|mpirun noticed that process rank \d+ .*")


@dataclass(frozen=True)
class Some:
    """So many ranks that run the same command; environment: of these alone."""
    count: int
    words: list[str]
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Ended:
    """code: mpirun's. seconds: from the fault (a signal, else the first message, else the start) to the end of the last process.
    spoken: the messages that name a rank. left: processes that outlived mpirun by two seconds."""
    code: int
    seconds: float
    said: str
    spoken: list[str]
    left: list[int]


def mpirun(folder: Path, groups: list[Some], meddle: Callable[[int], None] | None = None, limit: float = 3600.0) -> Ended:
    """Run the groups as one job. meddle(mpirun's pid): waits for its moment and does harm; the clock starts when it returns.

    Raises: TimeoutError when the job does not end in `limit` seconds; then it is killed.
    """
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("OMPI_", "PMIX_", "TRANSREFINER_RANKS", "use_mpi", "mpicc"))}
    environment |= {"OPAL_PREFIX": sys.prefix, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
                    "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    words = [str(Path(sys.prefix) / "bin" / "mpirun"), "--oversubscribe", "--bind-to", "none"]
    for group in groups:
        passed = [word for name, value in group.environment.items() for word in ("-x", f"{name}={value}")]
        words += [*([":"] if group is not groups[0] else []), "-np", str(group.count), *passed, sys.executable, *group.words]
    said = folder / f"said-{time.monotonic_ns()}.txt"
    with open(said, "wb") as file:
        process = subprocess.Popen(words, cwd=ROOT, env=environment, stdout=file, stderr=subprocess.STDOUT, start_new_session=True)
    begun = time.monotonic()
    try:
        if meddle is not None:
            meddle(process.pid)
            begun = time.monotonic()
        return _until_the_end(process, said, begun, begun if meddle else None, limit)
    finally:
        for pid in session(process.pid):
            os.kill(pid, signal.SIGKILL)
        process.wait()


def _until_the_end(process: subprocess.Popen, said: Path, begun: float, fault: float | None, limit: float) -> Ended:
    while process.poll() is None:
        if time.monotonic() > begun + limit:
            raise TimeoutError(f"not ended after {limit:g} s: {said.read_text(errors='replace')[-1500:]}")
        if fault is None and SPOKEN.search(said.read_text(errors="replace")):
            fault = time.monotonic()
        time.sleep(0.05)
    gone(process.pid, within=2.0)
    text = said.read_text(errors="replace")
    return Ended(process.returncode, time.monotonic() - (fault or begun), text, SPOKEN.findall(text), session(process.pid))


def pid_of(rank: int, leader: int, within: float = 1800.0) -> int:
    """The process that mpirun started for a rank. Raises: TimeoutError."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        for pid in session(leader):
            try:
                parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
                variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if parent == leader and f"OMPI_COMM_WORLD_RANK={rank}".encode() in variables:
                return pid
        time.sleep(0.05)
    raise TimeoutError(f"rank {rank} did not start within {within:g} s")


def wait_for(condition: Callable[[], bool], within: float = 1800.0) -> None:
    """Raises: TimeoutError."""
    end = time.monotonic() + within
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"what was to come did not within {within:g} s")
        time.sleep(0.02)
