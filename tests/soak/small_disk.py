"""Small disks to fill: a tmpfs in a mount namespace of this process's own, for which Linux asks for no rights. Used by full_disk."""

import shutil
import subprocess
import tempfile
import time
from pathlib import Path

NAMESPACE = ["unshare", "-Urm"]


def possible() -> bool:
    """Does this system let a process mount a tmpfs in a namespace of its own?"""
    if shutil.which("unshare") is None or shutil.which("mount") is None:
        return False
    with tempfile.TemporaryDirectory() as place:
        return subprocess.run([*NAMESPACE, "mount", "-t", "tmpfs", "tmpfs", place], capture_output=True).returncode == 0


class Disk:
    """A tmpfs of so many kilobytes."""

    def __init__(self, place: Path, kilobytes: int):
        self.place = place
        place.mkdir(parents=True, exist_ok=True)
        self._mount(["-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(place)])

    def __enter__(self) -> "Disk":
        return self

    def __exit__(self, *_) -> None:
        subprocess.run(["umount", "--lazy", str(self.place)], check=True)

    def become(self, options: str) -> None:
        """options: size=..k, ro, rw. A disk whose files are being written cannot become read-only: tried until it can."""
        for _ in range(2000):
            if subprocess.run(["mount", "-o", f"remount,{options}", str(self.place)], capture_output=True).returncode == 0:
                return
            time.sleep(0.005)
        raise RuntimeError(f"{self.place} does not become {options}")

    @staticmethod
    def _mount(words: list[str]) -> None:
        subprocess.run(["mount", *words], check=True)
