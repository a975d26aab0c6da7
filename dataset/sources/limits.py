"""How much one file may ask of this machine, and the way to its bytes that asks first.

A small file can claim a billion vertices, name one mesh a million times, or be a pipe that never ends: readers compare what is claimed
with these numbers before they take memory.
"""

import os
import stat
from pathlib import Path

from dataset.asset import AssetError

MAX_VERTICES = 5_000_000
MAX_CORNERS = 30_000_000   # of all triangles
MAX_FILE = 4 << 30         # bytes; also what a GLB can hold at most
MAX_TEXT = 1 << 30         # bytes of a file that is read as text, which takes several times its size


def check_size(name: str, vertices: int, corners: int = 0) -> None:
    """Raises: AssetError naming the file where it has, or says it has, more vertices or corners of triangles than we take."""
    if vertices > MAX_VERTICES or corners > MAX_CORNERS:
        raise AssetError(f"{name}: more than {MAX_VERTICES} vertices or {MAX_CORNERS // 3} triangles: simplify it first")


def file_size(path: Path, most: int = MAX_FILE, what: str = "") -> int:
    """Bytes of a regular file. what: names it in the error, its own name by default.

    Raises: AssetError for what is missing, a folder, a pipe, a device, a link to itself, or larger than `most` bytes.
    """
    what = what or path.name
    try:
        found = os.stat(path)
    except FileNotFoundError:
        raise AssetError(f"{what}: cannot be read (no such file)") from None
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        raise AssetError(f"{what}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    if not stat.S_ISREG(found.st_mode):
        raise AssetError(f"{what}: cannot be read (it is no file)")
    if found.st_size > most:
        raise AssetError(f"{what}: has {found.st_size} bytes, more than the {most} that are read: make it smaller")
    return found.st_size


def read_file(path: Path, most: int = MAX_FILE, what: str = "") -> bytes:
    """All bytes of a regular file. Raises: as file_size, and where it may not be read."""
    size = file_size(path, most, what)
    try:
        with path.open("rb") as file:
            return file.read(size)
    except OSError as error:
        raise AssetError(f"{what or path.name}: cannot be read ({error.strerror or error})") from None
