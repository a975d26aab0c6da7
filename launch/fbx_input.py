"""FBX among the inputs: each file becomes a GLB in a private temporary folder, which lives until its rig is written.

    with FbxInputs() as fbx:
        glb = fbx.readable(Path("hero.fbx"), 0)     # a file of any other kind is itself
        fbx.forget(0)
"""

import os
import shutil
import signal
import tempfile
import threading
from pathlib import Path

from launch.ending import on_end
from rigging.fbx import SUFFIX, has_blender, read_fbx

LONGEST = 200  # bytes of a name


def also_in_folders() -> tuple[str, ...]:
    """Suffixes that count in a folder besides those that we read ourselves: FBX, where it can be converted."""
    return (SUFFIX,) if has_blender() else ()


class FbxInputs:
    """The temporary folder of one batch. It appears with the first FBX file; leaving the block removes it, and so do Ctrl-C and
    SIGTERM inside it, which end the program with 128 + the signal's number: Jittor's own handler ends it on the spot."""

    def __init__(self):
        self._folder: tempfile.TemporaryDirectory | None = None
        self._before = {}

    def __enter__(self) -> "FbxInputs":
        if threading.current_thread() is threading.main_thread():   # no other may ask for signals, nor gets any
            self._before = on_end(lambda number: SystemExit(128 + number))
        return self

    def __exit__(self, *error) -> None:
        if self._folder is not None:
            self._folder.cleanup()
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def readable(self, path: Path, place: int) -> Path:
        """path, or for an FBX file the GLB that it becomes, named after it. place: its number in the batch.

        Raises: AssetError naming the file where Blender is missing or cannot read it.
        """
        if path.suffix.lower() != SUFFIX:
            return path
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="transrefiner-")  # 0700: the user's own
        return read_fbx(path, self._place(place) / f"{_shortened(path.name)}.glb")

    def forget(self, place: int) -> None:
        """Remove what was made for this place; nothing where nothing was."""
        if self._folder is not None:
            shutil.rmtree(self._place(place), ignore_errors=True)

    def _place(self, place: int) -> Path:
        return Path(self._folder.name) / str(place)


def _shortened(name: str) -> str:
    """The name cut to what leaves room for endings: 255 bytes are the most that a name can have."""
    return os.fsdecode(os.fsencode(name)[:LONGEST].decode(errors="ignore").encode())
