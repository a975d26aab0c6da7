"""What the soaks of killing share: a program that notes what it is doing where a kill cannot erase it, and kills by time, phase or change.

Processes that are to be killed have a plain Python for their parent, never one that runs Jittor, which would die with them.
"""

import contextlib
import hashlib
import json
import mmap
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
_SIZE, _NAME = 64, 48           # bytes of a note, and of its name; the rest is a number in decimal digits
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Note:
    """A name and a number in a small shared file: what a program is doing. Memory that is mapped outlives a SIGKILL."""

    def __init__(self, path: Path):
        if not path.exists():
            path.write_bytes(bytes(_SIZE))
        with open(path, "r+b") as file:
            self.map = mmap.mmap(file.fileno(), _SIZE)

    def write(self, name: str, number: int) -> None:
        self.map[:] = name.encode().ljust(_NAME, b"\0") + str(number).encode().ljust(_SIZE - _NAME, b"\0")

    def read(self) -> tuple[str, int]:
        name, number = bytes(self.map[:_NAME]), bytes(self.map[_NAME:])
        return name.rstrip(b"\0").decode() or "start", int(number.rstrip(b"\0") or 0)

    def during(self, name: str, function: Callable, number: Callable[..., int]) -> Callable:
        """function, noted as `name` while it runs; number(*its arguments)."""
        def noted(*given, **named):
            before = self.read()
            self.write(name, number(*given))
            try:
                return function(*given, **named)
            finally:
                self.write(before[0], max(before[1], self.read()[1]))
        return noted


@contextlib.contextmanager
def watched(under: Path, meet: Callable[[str, str], None]) -> Iterator[None]:
    """meet(what, path) before each call of this process that changes or syncs a file under a folder: "open" (for writing), then
    "empty" where that empties it, "rename" (path: "old -> new"), "remove", "mkdir", "rmdir" and "fsync". An audit hook stays for ever; it
    is silent outside.
    """
    place, on, fsync = os.path.abspath(under), [True], os.fsync

    def inside(path: object, folder: int = -1) -> str | None:
        if not isinstance(path, (str, bytes, os.PathLike)):
            return None
        base = os.readlink(f"/proc/self/fd/{folder}") if folder >= 0 else os.getcwd()    # as rmtree names what it removes
        full = os.path.normpath(os.path.join(base, os.fsdecode(path)))
        return full if full == place or full.startswith(place + os.sep) else None

    def hook(event: str, given: tuple) -> None:
        if not on[0]:
            return
        if event == "open" and inside(given[0]) and isinstance(given[2], int) and given[2] & _WRITES:
            meet("open", inside(given[0]))
            if given[2] & os.O_TRUNC:
                meet("empty", inside(given[0]))
        elif event == "os.rename" and inside(given[1]):
            meet("rename", f"{inside(given[0])} -> {inside(given[1])}")
        elif event in ("os.remove", "os.mkdir", "os.rmdir") and inside(given[0], given[-1]):
            meet(event.removeprefix("os."), inside(given[0], given[-1]))

    def noted_fsync(handle: int) -> None:
        if inside(path := os.readlink(f"/proc/self/fd/{handle}")):
            meet("fsync", path)
        fsync(handle)

    sys.addaudithook(hook)
    os.fsync = noted_fsync
    try:
        yield
    finally:
        on[0], os.fsync = False, fsync


def killer_at(count: int, group: bool = False) -> Callable[[str, str], None]:
    """For watched: SIGKILL this process (or its whole group) before change number `count`, the first being 1; at "empty" after it."""
    met = [0]

    def meet(what: str, path: str) -> None:
        met[0] += 1
        if met[0] == count:
            if what == "empty":
                Path(path).touch()
                os.truncate(path, 0)
            os.killpg(0, signal.SIGKILL) if group else os.kill(os.getpid(), signal.SIGKILL)
    return meet


def killed_before_each(action: Callable[[], object], under: Path, prepare: Callable[[], object],
                       examine: Callable[[int], object]) -> int:
    """Run action in a child again and again, killed before its 1st, 2nd, ... change of a file under the folder, until it ends by itself.

    prepare() before each, examine(n) after each kill. Returns how many kills there were. Raises: RuntimeError when the action fails.
    """
    for count in range(1, 10_000):
        prepare()
        child = os.fork()
        if child == 0:
            try:
                with watched(under, killer_at(count)):
                    action()
                os._exit(0)
            except BaseException as error:
                print(f"{type(error).__name__}: {error}", file=sys.stderr)
                os._exit(1)
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status):
            if os.WEXITSTATUS(status):
                raise RuntimeError("the action failed by itself; see above")
            return count - 1
        examine(count)
    raise RuntimeError("the action changes files without an end")


def begin(words: list[str], said: Path) -> subprocess.Popen:
    """A program as the head of a session of its own; what it says goes to a file."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    with open(said, "wb") as file:
        return subprocess.Popen(words, cwd=ROOT, env=environment, stdout=file, stderr=subprocess.STDOUT, start_new_session=True)


def session(leader: int) -> list[int]:
    """Live processes of the session that `leader` heads or headed (zombies are dead)."""
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = Path(entry.path, "stat").read_text().rpartition(")")[2].split()
                if int(fields[3]) == leader and fields[0] not in "ZX":
                    found.append(int(entry.name))
    return found


def gone(leader: int, within: float) -> bool:
    """Do all processes of the session end by themselves within so many seconds?"""
    end = time.monotonic() + within
    while session(leader):
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def wait_for(process: subprocess.Popen, patience: float) -> int:
    """Its exit code; -1 where it hangs: then it is ended after so many seconds."""
    try:
        return process.wait(patience)
    except subprocess.TimeoutExpired:
        end_session(process)
        return -1


def end_session(process: subprocess.Popen) -> None:
    """SIGKILL for everything that the program has started, at one moment."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def contents(folder: Path) -> dict[str, str]:
    """Path under folder -> digest, of every file, hidden ones too; an empty folder stands as itself."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            found[str(path.relative_to(folder))] = hashlib.sha256(path.read_bytes()).hexdigest()
        elif not any(path.iterdir()):
            found[f"{path.relative_to(folder)}/"] = "empty"
    return found


def hidden(folder: Path) -> list[str]:
    """What unfinished writing leaves: dotted names, .part, .tmp, under folder."""
    return [str(p.relative_to(folder)) for p in folder.rglob("*") if p.name.startswith(".") or p.suffix in (".part", ".tmp")]


def program() -> str:
    """Digest of all our own source but the tests: what was made by one program is not to be compared with another's."""
    files = sorted(path for place in ("geometry", "dataset", "rigging", "ops", "pictures", "PCT", "models", "launch")
                   for path in (ROOT / place).rglob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in [*files, *sorted(ROOT.glob("*.py"))])).hexdigest()


def kill_until(count: int, file: Path, references: Callable[[], tuple], chain: Callable[..., list[dict]], per_chain: int = 5) -> dict:
    """Chains of kills until there were `count` of them. Progress is kept in the file: {"kills", "chains", "breaches"}; returned.

    references(): what unbroken runs leave. Where a chain ends otherwise and the program was changed meanwhile, it does not count, and
    they are made anew. chain(*references, number, kills): the kills that it made, each {"phase", ...}; raises AssertionError for a
    broken promise.
    """
    progress = json.loads(file.read_text()) if file.exists() else {"kills": [], "chains": 0, "breaches": []}
    made_by, made = program(), references()
    while len(progress["kills"]) < count:
        try:
            progress["kills"] += chain(*made, progress["chains"], min(per_chain, count - len(progress["kills"])))
        except AssertionError as error:
            if made_by != program():
                print(f"  the program was changed meanwhile: a chain does not count ({str(error)[-900:]})", flush=True)
                made_by, made = program(), references()
                continue
            progress["breaches"].append(f"chain {progress['chains']}: {error}")
            print(f"BROKEN: {progress['breaches'][-1][:2000]}", flush=True)
        progress["chains"] += 1
        file.write_text(json.dumps(progress))
    return progress


def counted(progress: dict, key: str) -> str:
    """How many kills had which value: "data 3, step 7"."""
    return ", ".join(f"{name} {n}" for name, n in sorted(Counter(kill[key] for kill in progress["kills"]).items()))
