"""What is dropped on the page: a mesh that is rigged on the spot, or a motion. One job at a time, done by the thread that calls `work`.

A dropped file's name is only shown. Its bytes stand for the moment of reading in a temporary folder, under a name of our own.
"""

import queue
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from dataset.asset import Asset, AssetError
from dataset.sources.files import SUFFIXES, load_asset
from rigging.animation import Clip, load_clip
from viewer.character import Character
from viewer.library import Library

MOST_BYTES = 256 << 20
NAME_LENGTH = 60
MOTIONS = (".bvh",)
TAKEN = (*SUFFIXES, *MOTIONS)
KEPT_JOBS = 100

# Takes an asset without a rig; says what it does next, piece by piece, and ends with the rigged asset.
Rigger = Callable[[Asset], Iterator[str | Asset]]


class Busy(RuntimeError):
    """Another file is being worked on."""


@dataclass
class Job:
    """state: waiting, working, done or failed. says: what is being done, or why it failed. character, clip: numbers in the library."""
    name: str
    suffix: str
    data: bytes
    state: str = "waiting"
    says: str = "waiting"
    step: int = 0
    began: float = 0.0
    character: int | None = None
    clip: int | None = None

    def as_dict(self) -> dict:
        """step of steps is how far it is; seconds, since it began."""
        return {"name": self.name, "state": self.state, "says": self.says, "step": self.step, "steps": 4,
                "seconds": round(time.monotonic() - self.began, 1) if self.began else 0, "character": self.character, "clip": self.clip}


class Uploads:
    """rigger: None where there is no network; then a mesh is shown as it is."""

    def __init__(self, library: Library, rigger: Rigger | None):
        self.library, self.rigger = library, rigger
        self._jobs: dict[int, Job] = {}
        self._waiting: queue.Queue[Job] = queue.Queue()

    def job(self, number: int) -> Job:
        """Raises: KeyError for a number that was never given or is long over."""
        return self._jobs[number]

    def take(self, name: str, data: bytes) -> int:
        """The number of the job that will read these bytes. name: as the user's file is called, used for its suffix and to be shown.

        Raises: AssetError for a suffix that is not read and for an empty file; Busy while another job is not over.
        """
        shown = shown_name(name)
        suffix = PurePosixPath(shown).suffix.lower()
        if suffix not in TAKEN:
            raise AssetError(f"{shown}: this kind of file is not read. Supported: {' '.join(TAKEN)}")
        if not data:
            raise AssetError(f"{shown}: the file is empty")
        if any(job.state in ("waiting", "working") for job in self._jobs.values()):
            raise Busy("another file is being rigged: wait until it is done")
        number = max(self._jobs, default=-1) + 1
        self._jobs[number] = job = Job(shown, suffix, data)
        self._jobs.pop(number - KEPT_JOBS, None)
        self._waiting.put(job)
        return number

    def work(self, wait: float | None = None) -> bool:
        """Do the next job in this thread; wait for one that many seconds (None: for ever). Returns whether there was one."""
        try:
            job = self._waiting.get(timeout=wait)
        except queue.Empty:
            return False
        job.began, job.state = time.monotonic(), "working"
        try:
            self._do(job)
            job.state = "done"
        except (ValueError, OSError, MemoryError) as error:    # AssetError is a ValueError
            job.state, job.says = "failed", str(error) or type(error).__name__
        except Exception as error:  # the page goes on, and the terminal says what was not foreseen
            traceback.print_exc(file=sys.stderr)
            job.state, job.says = "failed", f"{job.name}: {type(error).__name__}: {error}"
        job.data = b""
        return True

    def _do(self, job: Job) -> None:
        self._say(job, 1, "reading the file")
        read = read_bytes(job.data, job.name, job.suffix)
        if isinstance(read, Clip):
            job.clip = self.library.add_clip(read)
            return self._say(job, 4, f"{job.name}: motion of {len(read)} frames")
        Character.of(read)      # refuses what is too large to show before the network looks at it
        said = f"{job.name}: shown without a rig"
        if self.rigger is not None:
            self._say(job, 2, "finding joints and weights")
            for news in self.rigger(read):
                if isinstance(news, Asset):
                    read, said = news, f"{job.name}: {news.joint_count} joints"
                else:
                    self._say(job, 3, news)
        job.character = self.library.add_character(job.name, read)
        self._say(job, 4, said)

    @staticmethod
    def _say(job: Job, step: int, text: str) -> None:
        job.step, job.says = step, text


def shown_name(name: str) -> str:
    """The last part of a name that may be anything: printable characters, at most NAME_LENGTH, with its suffix."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    clean = "".join(c for c in last if c.isprintable()).strip() or "unnamed"
    if len(clean) <= NAME_LENGTH:
        return clean
    suffix = PurePosixPath(clean).suffix[:8]
    return clean[:NAME_LENGTH - len(suffix)] + suffix


def read_bytes(data: bytes, name: str, suffix: str) -> Asset | Clip:
    """A mesh without its rig, or a motion. Raises: AssetError naming the file as the user calls it."""
    with tempfile.TemporaryDirectory(prefix="transrefiner-view-") as folder:
        path = Path(folder) / f"upload{suffix}"
        path.write_bytes(data)
        try:
            if suffix in MOTIONS:
                return replace(load_clip(path), name=name)
            asset = load_asset(path)
        except AssetError as error:
            raise AssetError(str(error).replace(path.name, name)) from None
    return replace(asset, id=name, source=name)
