"""The process in which hostile files are read: limited in memory and time, and watched.

    python -m tests.soak.fuzz_child READER FIRST COUNT SEED FOLDER TABLE...    (FUZZ_SECONDS: for one input)

Started by tests/soak/fuzz.py. FOLDER/state holds, as eight float64, what was found so far and which input is being read, so that it
outlives this process; FOLDER/findings one JSON line for each fault. Kernel timers end a read that hangs: SIGPROF after SECONDS of this
process's own time (a busy machine makes nobody late), SIGALRM after SECONDS_BY_THE_CLOCK.
"""

import faulthandler
import gc
import json
import os
import resource
import signal
import sys
import time
import traceback
import warnings
from pathlib import Path

import numpy as np

from tests.soak.fuzz_inputs import Reader, hostile, readers

SECONDS_BY_THE_CLOCK = 12     # for each second of its own time: the machine may be busy
MEMORY = 2 << 30            # bytes of address space beyond what the program itself takes
FIELDS = ("index", "read", "refused", "worst_s", "worst_index", "peak_mib", "peak_index", "done")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES_FILES = {"os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.symlink", "os.link", "os.truncate", "os.chmod", "os.chown",
                 "os.utime", "os.setxattr", "shutil.rmtree", "shutil.move"}
RUNS_CODE = {"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "pty.spawn", "os.fork", "pickle.find_class"}
OWN_CODE = (str(Path(__file__).resolve().parents[2]), sys.prefix, sys.base_prefix, "<frozen")


class Watch:
    """An audit hook: while armed, it notes what no reader may do. Hooks cannot be removed, so one lives as long as its process."""

    def __init__(self, folder: Path, may_start: tuple[str, ...]):
        self.folder, self.may_start, self.armed, self.seen = str(folder), may_start, False, []
        sys.addaudithook(self)

    def __call__(self, event: str, args: tuple) -> None:
        if not self.armed:
            return
        fault = self._fault(event, args)
        if fault:
            self.seen.append(fault)

    def _fault(self, event: str, args: tuple) -> str | None:
        if event == "open":
            return f"outside: writes {args[0]!r}" if (args[2] or 0) & WRITING and not self._inside(args[0]) else None
        if event in CHANGES_FILES:
            return None if self._inside(args[0]) else f"outside: {event} {args[0]!r}"
        if event == "subprocess.Popen" and self._may_start(args[1]):
            return None
        if event == "os.fork" and self.may_start == ("os.fork",):
            return None
        if event in RUNS_CODE or event.startswith(("socket.connect", "socket.bind", "socket.getaddrinfo", "socket.sendto", "urllib.")):
            return None if _importing() else f"code: {event} {args!r:.200}"
        if event == "exec" and not args[0].co_filename.startswith(OWN_CODE) and not _importing():
            return f"code: exec of {args[0].co_filename!r}"
        return None

    def _inside(self, path) -> bool:
        if isinstance(path, int):
            return True     # an open file: its opening was seen
        real = os.path.realpath(os.fsdecode(path))
        return real == os.devnull or real == self.folder or real.startswith(self.folder + os.sep)

    def _may_start(self, command) -> bool:
        words = tuple(map(str, command)) if isinstance(command, (list, tuple)) else ()
        return bool(self.may_start) and words[:len(self.may_start)] == self.may_start


def _importing() -> bool:
    """Whether a module of ours or of a package is being imported for the first time: that runs its code, and none of the input's."""
    frame = sys._getframe(2)
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def fault_of(error: BaseException, reader: Reader) -> str | None:
    """What is wrong with the way in which a file was refused; None for a clear refusal."""
    if _is_memory(error):
        return f"memory: ran into the limit, {_where(error)}"
    if not isinstance(error, reader.refusals):
        return f"traceback: {type(error).__name__} at {_where(error)}"
    text = str(error)
    if reader.file_name not in text:
        return f"unclear: {type(error).__name__} at {_where(error)} does not name the file"
    if not text.isprintable():
        return f"unclear: {type(error).__name__} at {_where(error)} prints what the file says as it stands"
    return None


def _is_memory(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, MemoryError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _where(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if f.filename.startswith(OWN_CODE[0]) and not {"site-packages", "soak"} & set(Path(f.filename).parts)]
    frame = (ours or frames)[-1]
    return f"{Path(frame.filename).name}:{frame.lineno} ({frame.name}), innermost {Path(frames[-1].filename).name}:{frames[-1].lineno}"


def _memory_now() -> int:
    """Bytes of address space that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def _limit_memory() -> None:
    limit = _memory_now() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def read_one(reader: Reader, path: Path, watch: Watch, limit_s: float) -> tuple[str, list[str]]:
    """("read" or "refused", faults) of the file there."""
    faults, outcome = [], "read"
    signal.setitimer(signal.ITIMER_PROF, limit_s)
    signal.setitimer(signal.ITIMER_REAL, SECONDS_BY_THE_CLOCK * limit_s)
    watch.armed = True
    try:
        reader.read(path)
    except BaseException as error:
        watch.armed = False
        outcome, fault = "refused", fault_of(error, reader)
        faults += [fault] if fault else []
    watch.armed = False
    signal.setitimer(signal.ITIMER_PROF, 0)
    signal.setitimer(signal.ITIMER_REAL, 0)
    faults, watch.seen = [*faults, *watch.seen], []
    return outcome, faults


def replace_file(path: Path, data: bytes) -> None:
    """A new file under the old name: what an earlier read still has mapped stays whole."""
    path.unlink(missing_ok=True)
    path.write_bytes(data)


def main(argv: list[str]) -> None:
    name, first, count, seed, folder = argv[0], int(argv[1]), int(argv[2]), int(argv[3]), Path(argv[4]).resolve()
    limit_s = float(os.environ.get("FUZZ_SECONDS", "5"))
    sys.dont_write_bytecode = True
    faulthandler.enable()
    warnings.simplefilter("ignore")
    reader = readers(argv[5:])[name]
    seeds = reader.seeds()
    scratch = folder / "scratch"
    scratch.mkdir(exist_ok=True)
    path = scratch / reader.file_name
    os.environ["TMPDIR"] = str(scratch)
    for data in seeds:          # imports what the reader imports late, and proves that the seeds are good
        replace_file(path, data)
        reader.read(path)
    state = np.memmap(folder / "state", np.float64, "r+", shape=len(FIELDS))
    findings = os.open(folder / "findings", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    watch, start_mib = Watch(scratch, reader.may_start), _peak_mib()
    _limit_memory()
    for index in range(first, first + count):
        state[0] = index
        replace_file(path, hostile(reader, seeds, seed, index))
        begin = time.process_time()
        outcome, faults = read_one(reader, path, watch, limit_s)
        seconds, peak_mib = time.process_time() - begin, _peak_mib() - start_mib
        if faults:
            os.write(findings, b"".join(json.dumps({"index": index, "fault": fault}).encode() + b"\n" for fault in faults))
        else:
            state[FIELDS.index(outcome)] += 1
        if seconds > state[3]:
            state[3:5] = seconds, index
        if peak_mib > state[5]:
            state[5:7] = peak_mib, index
        if index % 1000 == 999:
            gc.collect()
    state[7] = 1


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main(sys.argv[1:])
