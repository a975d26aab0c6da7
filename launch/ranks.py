"""One batch over many processes: who takes what, and one summary of all, with the file system as the only meeting point.

    OMPI_COMM_WORLD_RANK, OMPI_COMM_WORLD_SIZE       set by mpirun; by hand, or from a job array's number, they do as well

Files are sorted by size and dealt, one to each rank in turn; whose turn comes first changes from round to round with the job's
number, so that a dead rank's rest falls to all ranks when the same command is started again. Nothing is locked and nobody waits: a
rank writes what became of its share, <run>/.ranks/<rank>-of-<size>.json, whole or not at all, and the one that finds all of them
there merges them. Two jobs at a time need two run names.
"""

import hashlib
import json
import os
import shutil
from collections.abc import MutableMapping
from dataclasses import dataclass
from pathlib import Path

from dataset.exporter import write_atomically
from launch.rank_failure import KEPT

FOLDER = ".ranks"


@dataclass(frozen=True)
class Ranks:
    """rank: 0 <= rank < size. job: what the ranks of one start share and another start does not; empty where nobody told."""
    rank: int = 0
    size: int = 1
    job: str = ""

    def __post_init__(self):
        if not 0 <= self.rank < self.size:
            raise ValueError(f"rank {self.rank} of {self.size}: OMPI_COMM_WORLD_RANK must be from 0 to OMPI_COMM_WORLD_SIZE - 1")

    @staticmethod
    def take(environment: MutableMapping[str, str] = os.environ) -> "Ranks":
        """Of this process. mpirun's variables are hidden from Jittor, which would start MPI, where ranks wait for each other and
        die together; they stay under another name for a program that starts again (launch/runtime.py).

        Raises: ValueError where only one of the two variables is set, or one is no number.
        """
        if KEPT in environment:
            rank, size, job = environment[KEPT].split(" ", 2)
            return Ranks(int(rank), int(size), job)
        rank, size = (environment.get(f"OMPI_COMM_WORLD_{word}") for word in ("RANK", "SIZE"))
        if rank is None and size is None:
            return Ranks()
        try:
            ranks = Ranks(int(rank), int(size), environment.get("PMIX_NAMESPACE", ""))
        except (TypeError, ValueError) as error:
            raise ValueError(f"OMPI_COMM_WORLD_RANK={rank} and OMPI_COMM_WORLD_SIZE={size}: set both, as whole numbers with "
                             "0 <= rank < size, or none") from error
        del environment["OMPI_COMM_WORLD_RANK"], environment["OMPI_COMM_WORLD_SIZE"]
        environment[KEPT] = f"{ranks.rank} {ranks.size} {ranks.job}"
        return ranks

    def share(self, sizes: list[int]) -> list[int]:
        """Which of the files, by place, are this rank's: the largest first under many ranks, in their order for one.

        Every place is in the share of exactly one rank. sizes: bytes of each file.
        """
        if self.size == 1:
            return list(range(len(sizes)))
        dealt = sorted(range(len(sizes)), key=lambda place: (-sizes[place], place))
        rounds = [dealt[start:start + self.size] for start in range(0, len(dealt), self.size)]
        turns = [(self.rank - self._first(number)) % self.size for number in range(len(rounds))]
        return [files[turn] for turn, files in zip(turns, rounds) if turn < len(files)]

    def _first(self, number: int) -> int:
        """The rank whose turn comes first in a round. A last, short round goes to some ranks only: by chance too."""
        return int.from_bytes(hashlib.sha256(f"{self.job}/{number}".encode()).digest()[:8], "little") % self.size

    def begin(self, run_folder: Path) -> None:
        """Before the work: nothing that an earlier start left may be taken for this rank's answer, nor for the summary of all."""
        if self.size > 1:
            (run_folder / FOLDER / self._name(self.rank)).unlink(missing_ok=True)
        if self.rank == 0:
            (run_folder / "summary.json").unlink(missing_ok=True)

    def hand_in(self, run_folder: Path, batch: str, share: dict[int, dict]) -> dict[int, dict] | None:
        """Leave what became of this rank's files; the merged whole for the last rank of all, None for the others.

        batch: digest of what the ranks work on. share: place of a file -> plain data.
        Raises: OSError when it cannot be written.
        """
        if self.size == 1:
            return share
        folder = run_folder / FOLDER
        done = {"job": self.job, "batch": batch, "share": share}
        write_atomically(folder / self._name(self.rank), json.dumps(done).encode())
        merged = {}
        for rank in range(self.size):
            try:
                other = json.loads((folder / self._name(rank)).read_text(encoding="utf-8"))
            except (OSError, ValueError):  # not there yet; or another rank finished at the same moment, merged and cleared
                return None
            if (other["job"], other["batch"]) != (self.job, batch):  # of an earlier start
                return None
            merged |= {int(place): data for place, data in other["share"].items()}
        return dict(sorted(merged.items()))

    def clear(self, run_folder: Path) -> None:
        """After the summary is written: the ranks' files are no longer needed."""
        shutil.rmtree(run_folder / FOLDER, ignore_errors=True)

    def _name(self, rank: int) -> str:
        return f"{rank}-of-{self.size}.json"
