"""Files that appear whole or not at all, and one plain sentence where the disk does not play along.

New content goes beside its place under a hidden name, reaches the disk, and is renamed; then the folder's entry reaches the disk too.
So a kill or a loss of power at any moment leaves the old file or the new one. Folders: dataset/exporter.py.
"""

import errno
import fcntl
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_AGAIN = ", then start the same command again"
_ADVICE = {errno.ENOSPC: "make room on that disk" + _AGAIN, errno.EDQUOT: "make room within your quota" + _AGAIN,
           errno.EROFS: "that disk is mounted read-only: name a folder on another",
           errno.EACCES: "give this user the right to it (chmod, chown), or name another",
           errno.EPERM: "give this user the right to it (chmod, chown), or name another",
           errno.ENOENT: "it, or a folder above it, is not there or was removed: put it back" + _AGAIN,
           errno.ENOTDIR: "a file stands where a folder is needed: remove it, or name another folder",
           errno.EEXIST: "a file stands where a folder is needed: remove it, or name another folder",
           errno.EIO: "the disk fails: use another",
           errno.EFBIG: "this disk, or this user's limit (ulimit -f), allows no file of that size: name a folder elsewhere",
           errno.ENAMETOOLONG: "give it a shorter name"}
_SHORT_WRITE = re.compile(r"\d+ requested and \d+ written")   # what NumPy says of a full disk, without its number


class WriteError(OSError):
    """Something could not be written. The text is a whole sentence: path, cause, repair; errno is the cause's."""

    @property
    def is_of_one_file(self) -> bool:
        """The next file may well be written: what was wrong is the name or the size of this one."""
        return self.errno in (errno.EFBIG, errno.ENAMETOOLONG)


def explain(error: OSError) -> str:
    """One sentence: which file, what happened, what to do. What is no error of the system keeps its own words."""
    number, path = error.errno, error.filename
    if isinstance(error, WriteError) or number is None or not isinstance(path, (str, bytes, os.PathLike)):
        return str(error)
    return _sentence(path, "", number)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Errors of the system inside, about path, what lies under it, beside it, or nothing that they name, become a WriteError about path."""
    try:
        yield
    except WriteError:
        raise
    except OSError as error:
        number = errno.ENOSPC if error.errno is None and _SHORT_WRITE.search(str(error)) else error.errno
        if number is None or not _concerns(error.filename, path):
            raise
        told = WriteError(_sentence(path, " cannot be written", number))
        told.errno = number
        raise told from error


def _concerns(named: object, path: Path) -> bool:
    """named: an error's filename. Beside path lies what path is made from, and above it what it lies in."""
    if not isinstance(named, (str, os.PathLike)):
        return named is None
    place, parent = Path(os.path.abspath(named)), Path(os.path.abspath(path)).parent
    return place.is_relative_to(parent) or parent.is_relative_to(place)


def _sentence(path: str | bytes | os.PathLike, doing: str, number: int) -> str:
    advice, place = _ADVICE.get(number), "".join(c if c.isprintable() else "?" for c in os.fsdecode(path))
    return f"{place}{doing}: {os.strerror(number)}" + (f"; {advice}" if advice else "")


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """write(part) fills the hidden file `part` beside path, which is then renamed. The folder must be there.

    What ended processes left of it is removed; where several write one path at once, as ranks do, the last one's stands.
    Raises: WriteError; what write raises that is no error of the disk. Then the old file stands and nothing lies beside it.
    """
    with writing(path):
        _sweep(path)
        part = path.parent / f".{path.name}.{int.from_bytes(os.urandom(4), 'big')}.part"
        try:
            with _locked(part):
                write(part)
                sync(part)
                os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
        sync(path.parent)


@contextmanager
def _locked(part: Path) -> Iterator[None]:
    """The file is made and says by its lock that its writer lives: a lock ends with its process, whatever number that had, on whatever machine."""
    handle = -1
    while handle < 0 or not os.fstat(handle).st_nlink:      # swept between its making and its locking: again
        if handle >= 0:
            os.close(handle)
        handle = os.open(part, os.O_WRONLY | os.O_CREAT, 0o666)
        with suppress(OSError):                             # a disk without locks: _sweep leaves everything there
            fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(handle)


def _sweep(path: Path) -> None:
    """Remove the unfinished files of path that nobody holds locked."""
    hidden = re.compile(rf"\.{re.escape(path.name)}\.\d+\.part")
    for entry in [e for e in os.scandir(path.parent) if hidden.fullmatch(e.name)]:
        with suppress(OSError):         # locked, gone by now, or not ours
            handle = os.open(entry.path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(entry.path)
            finally:
                os.close(handle)


def sync(path: Path) -> None:
    """A file's content, or a folder's entries, reach the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_folder(folder: Path) -> None:
    """Every file under folder and every folder's entries reach the disk."""
    for place, _, names in os.walk(folder):
        for name in names:
            sync(Path(place, name))
        sync(Path(place))
