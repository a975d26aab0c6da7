"""A reader that breaks each promise of the fuzzer once, to see that it notices: input 1 is the first misdeed. All else it refuses."""

import ctypes
import os
import pickle
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.soak.fuzz_inputs import Reader, hostile

SEED = b"a victim's seed"
OUTSIDE = Path(tempfile.gettempdir()) / "transrefiner-victim"


class Refusal(ValueError):
    pass


class _Caller:
    def __reduce__(self):
        return len, ("abc",)


def _segfault(path: Path) -> None:
    ctypes.string_at(1)


def _spin(path: Path) -> None:
    while True:
        pass


def _take_memory(path: Path) -> None:
    try:
        bytearray(1 << 40)
    except MemoryError:
        raise Refusal(f"{path.name}: too big") from None    # swallowed, and yet it was asked for


def _connect(path: Path) -> None:
    with socket.socket() as s:
        s.settimeout(0.1)
        s.connect_ex(("127.0.0.1", 9))


MISDEEDS = {
    "traceback": lambda path: {}["absent"],
    "exit": lambda path: sys.exit(0),
    "died": _segfault,
    "hung": _spin,
    "memory": _take_memory,
    "unclear": lambda path: (_ for _ in ()).throw(Refusal("something is wrong")),
    "forged": lambda path: (_ for _ in ()).throw(Refusal(f"{path.name}: bad\nall is well")),
    "outside": lambda path: OUTSIDE.write_text("x"),
    "removed": lambda path: OUTSIDE.unlink(missing_ok=True),
    "shell": lambda path: os.system("true"),
    "process": lambda path: subprocess.run(["true"]),
    "unpickled": lambda path: pickle.loads(pickle.dumps(_Caller())),
    "evaluated": lambda path: eval("1 + 1"),
    "connected": _connect,
}
FIELD = {"traceback": "crashed", "exit": "crashed", "died": "crashed", "hung": "hung", "memory": "memory", "unclear": "unclear",
         "forged": "unclear", "outside": "outside", "removed": "outside"}   # all others: code


def _read(path: Path) -> None:
    data = path.read_bytes()
    if data in _INPUTS:
        MISDEEDS[list(MISDEEDS)[_INPUTS.index(data)]](path)
    if data != SEED:
        raise Refusal(f"{path.name}: no good")


READERS = (Reader("victim", ".bin", lambda: [SEED], _read, (Refusal,), lambda data, rng: data + rng.randbytes(8), only_mutate=True),)
_INPUTS = [hostile(READERS[0], [SEED], 0, index) for index in range(1, 1 + len(MISDEEDS))]
