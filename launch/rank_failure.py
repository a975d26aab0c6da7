"""One rank of many fails: one message that names it and the cause, and the end of all. The standard library only.

mpirun ends all ranks as soon as one ends with a code other than 0. What is left to do is to speak first, and once: what fails on one
rank mostly fails on all, so rank r waits r turns before it speaks, and is ended meanwhile where a lower rank had something to say.
"""

import os
import socket
import sys
import time
import traceback
from collections.abc import Mapping
from types import TracebackType

KEPT = "TRANSREFINER_RANKS"   # rank, size and job, after mpirun's own variables were taken away (launch/ranks.py)
TURN = 5.0                    # seconds between the ranks' turns to speak: longer than mpirun takes to end a rank on a busy machine
LAST_TURN = 4


def rank_and_size(environment: Mapping[str, str] = os.environ) -> tuple[int, int]:
    """Of this process, whether or not launch/ranks.py has hidden mpirun's variables; (0, 1) for a process alone."""
    given = [environment.get(f"OMPI_COMM_WORLD_{word}", "") for word in ("RANK", "SIZE")]
    try:
        rank, size = environment[KEPT].split(" ")[:2] if KEPT in environment else given
        return int(rank), int(size)
    except ValueError:
        return 0, 1


def fail(program: str, words: object, code: int = 2, concerned: bool = True) -> int:
    """Say why this process ends, on standard error, with rank and host where it is one of many. Returns code.

    concerned: False for a rank that only knows that another one is at fault; it speaks after all turns, if nobody else does.
    """
    rank, size = rank_and_size()
    if size > 1:
        time.sleep(TURN * (min(rank, LAST_TURN) + (0 if concerned else LAST_TURN)))
        words = f"rank {rank} of {size} on {socket.gethostname()}: {words}"
    print(f"{program}: {words}", file=sys.stderr, flush=True)
    return code


def name_rank_in_errors(program: str) -> None:
    """From now on an error that nobody catches is one line with the rank, its trace after it, and the end of the process.

    Not the interpreter's ordinary end: that says MPI's farewell, and waits there for ranks that wait for this one. Does nothing in a
    process alone. Jittor's import sets a hook of its own: call this before it, and again after.
    """
    if rank_and_size()[1] == 1:
        return

    def end(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        told = f"{kind.__name__}: {error}" if str(error) else kind.__name__
        if issubclass(kind, ImportError):
            fail(program, f"{told}. Is the same environment on every machine? There: bash launch/doctor.sh", 1)
        else:
            fail(program, told, 1)
            traceback.print_exception(kind, error, trace)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)

    sys.excepthook = end
