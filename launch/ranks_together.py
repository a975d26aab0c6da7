"""Ranks that train together: they wait for each other no longer than they must, compare what they hold, and end as one.

Jittor's own exchanges (launch/optimizer.py) wait for ever for a rank that does not come, and hold Python's lock while they do. So
before each of them the ranks meet here, through the MPI library that Jittor has loaded, where time is looked at. A rank that fails
ends without MPI's farewell (launch/ranks.py), upon which mpirun ends the others.
"""

import atexit
import ctypes
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import NoReturn

import jittor as jt
import numpy as np

from launch.rank_failure import fail

TAG = 4711
# Jittor's handlers end by exit(), which says MPI's farewell and so waits for ranks that wait for this one
CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGCHLD)


class RankTrouble(RuntimeError):
    """Ranks cannot go on together; the message names them. mine: it is this rank's to tell, where all know the same."""

    def __init__(self, message: str, mine: bool = True):
        super().__init__(message)
        self.mine = mine


def guard(program: str) -> None:
    """A rank that fails from here on ends at once, whatever way it goes, unless leave(0) was called. Does nothing in a process alone."""
    if jt.world_size > 1:
        for number in CRASHES:
            signal.signal(number, signal.SIG_DFL)
        atexit.register(_stray, program)


def leave(code: int) -> NoReturn:
    """The end of the program: with MPI's farewell after a success alone."""
    atexit.unregister(_stray)
    if code and jt.world_size > 1:
        _abandon(code)
    sys.exit(code)


def _stray(program: str) -> None:
    """The interpreter ends, and nobody called leave."""
    _abandon(fail(program, "ended before its time; why stands above, if anywhere"))


def _abandon(code: int) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


class Meeting:
    """Where all ranks wait for each other before an exchange. Make one on every rank, after Jittor has started under mpirun.

    patience: seconds that rank 0 waits for the others; these wait a tenth and 5 s longer for it, since it knows who lacks. 0: for ever.
    Who waits sleeps a sixteenth of the time waited, 10 ms at most, so that ranks that share a core get on.
    """

    def __init__(self, patience: float):
        if not patience >= 0:
            raise ValueError(f"rank_timeout must be 0 (for ever) or a number of seconds, not {patience:g}")
        self.patience, self.size, self.rank = patience, jt.world_size, jt.rank
        if self.size == 1:
            return
        self._mpi = ctypes.CDLL(None)
        self._comm, self._byte = (ctypes.c_void_p(ctypes.addressof(ctypes.c_char.in_dll(self._mpi, f"ompi_mpi_{name}")))
                                  for name in ("comm_world", "byte"))
        self._note = ctypes.create_string_buffer(1)

    def wait(self, when: str) -> None:
        """Return when all ranks are here. when: for the message, "step 12".

        Raises: RankTrouble naming the ranks that did not come in time.
        """
        if self.size == 1:
            return
        if self.rank:
            self._send(0)
            missing = self._receive([0], self.patience * 1.1 + 5 if self.patience else 0)
        else:
            others = list(range(1, self.size))
            missing = self._receive(others, self.patience)
            for rank in others if not missing else ():
                self._send(rank)
        if missing:
            raise RankTrouble(f"{when}: {named(missing)} did not come within {self.patience:g} s (rank_timeout); stopped, or waiting for "
                              "a disk? All ranks end; mend it and go on with --resume")

    def _send(self, rank: int) -> None:
        self._check(self._mpi.MPI_Send(self._note, 1, self._byte, rank, TAG, self._comm))

    def _receive(self, ranks: list[int], patience: float) -> list[int]:
        """Wait for a note from each. Returns those that sent none in time."""
        begun, arrived, pending = time.monotonic(), ctypes.c_int(), {}
        for rank in ranks:
            pending[rank] = ctypes.c_void_p()
            self._check(self._mpi.MPI_Irecv(self._note, 1, self._byte, rank, TAG, self._comm, ctypes.byref(pending[rank])))
        while True:
            for rank, request in list(pending.items()):
                self._check(self._mpi.MPI_Test(ctypes.byref(request), ctypes.byref(arrived), None))
                if arrived.value:
                    del pending[rank]
            waited = time.monotonic() - begun
            if not pending or patience and waited > patience:
                return list(pending)
            time.sleep(min(waited / 16, 0.01))

    @staticmethod
    def _check(code: int) -> None:
        if code:
            raise RankTrouble(f"MPI answers with error {code}")


def compare(fingerprint: int, when: str) -> None:
    """Every rank must hold the same bits; a drift would train several networks and save one. fingerprint: 32 bits.

    Raises: RankTrouble on every rank, naming the ones that differ from most (from rank 0, where no value has a majority).
    """
    if jt.world_size == 1:
        return
    halves = np.zeros((jt.world_size, 2), "int32")
    halves[jt.rank] = fingerprint >> 16, fingerprint & 0xFFFF
    all_of_them = [high << 16 | low for high, low in jt.array(halves).mpi_all_reduce("add").numpy().tolist()]
    differing = odd_ones(all_of_them)
    if differing:
        values = ", ".join(f"rank {rank}: {value:08x}" for rank, value in list(enumerate(all_of_them))[:16])
        raise RankTrouble(f"{when}: parameters of {named(differing)} differ from those of the others ({values}). A fault of the machine, "
                          "or another version of the program there; all ranks end, and --resume goes on from the last state",
                          mine=jt.rank == 0)


def odd_ones(values: Sequence[int]) -> list[int]:
    """The places whose value is not the most frequent one; of two that are equally frequent the first holds."""
    usual, _ = Counter(values).most_common(1)[0]
    return [place for place, value in enumerate(values) if value != usual]


def named(ranks: Sequence[int]) -> str:
    """"rank 1", "ranks 1 and 3", "ranks 0, 1 and 3"."""
    *most, last = map(str, ranks)
    return f"ranks {', '.join(most)} and {last}" if most else f"rank {last}"
