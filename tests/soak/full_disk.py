"""A disk that is full, read-only, forbidden or gone: one sentence that names the file and the repair, and nothing finished is lost.

    python -m tests.soak.full_disk                  every scenario with the real programs
    python -m tests.soak.full_disk --only prediction
    python -m tests.soak.full_disk --windows        only the saving code, at every amount of room, seconds

It runs in a mount namespace of its own (`unshare -Urm`, Linux, no rights needed), with small tmpfs disks that are filled, enlarged and
made read-only. Where the system allows no such namespace it says so and tests nothing. Root sees no permissions: what must be forbidden
is run without capabilities (`setpriv`). Files that vanish at a certain moment are removed by an audit hook when the program opens them.
--work remembers which scenarios were kept: the same command again goes on with the others.
Checked each time: exit code 2 (of a batch: of a bad input too), one line that names the file and says what to do, no traceback; what
was saved or finished before is whole and untouched; nothing unfinished lies about; and once there is room, --resume or the same command
ends with the bits of an undisturbed run. Exit code 1 when a promise is broken, 3 when nothing could be tested.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.soak.disk_scenarios import Prediction, Training
from tests.soak.killing import ROOT, contents, hidden
from tests.soak.saving_windows import PREDICTION, TRAINING, Window, fresh
from tests.soak.small_disk import NAMESPACE, Disk, possible

INSIDE = "TRANSREFINER_SMALL_DISKS"      # set in the process that runs in the namespace
BLOCK = 4096                             # bytes that a tmpfs gives at a time

def pass_through(window: Window, place: Path, step: int) -> tuple[int, list[str]]:
    """Save with 0, step, 2 step, ... blocks of room, until it succeeds. Returns how often the disk was full, and what was found broken."""
    broken: list[str] = []
    with Disk(place, 4096):
        for full, room in enumerate(range(0, 1000, step)):
            fresh(window, place / "work")
            filled = fill(place, room)
            before = contents(place / "work")
            try:
                window.save(place / "work")
                filled.unlink()
                return full, broken
            except OSError as error:
                told = str(error)
            if not re.search(rf"^{re.escape(str(place))}\S* cannot be written: No space left on device; make room", told):
                broken.append(f"{window.name}, {room} blocks of room: it says {told!r}")
            broken += [f"{window.name}, {room} blocks of room: left behind {hidden(place / 'work')}"] if hidden(place / "work") else []
            broken += examined(window, place / "work", before, f"{window.name}, {room} blocks of room")
            filled.unlink()
            broken += examined(window, place / "work", {}, f"{window.name}, {room} blocks, then room again", again=True)
    return full, [*broken, f"{window.name}: never succeeds"]


def fill(place: Path, room: int) -> Path:
    """A file that leaves so many blocks of the disk free."""
    free = os.statvfs(place)
    with open(place / "filler", "wb") as file:
        file.write(bytes(max(0, free.f_bavail - room) * BLOCK))
    return place / "filler"


def examined(window: Window, work: Path, before: dict, where: str, again: bool = False) -> Iterator[str]:
    """What is broken after a failed saving. again: there is room now, and it must succeed."""
    try:
        if again:
            window.save(work)
        window.whole(work)
        missing = before.keys() - contents(work).keys()
        if missing:
            yield f"{where}: lost {sorted(missing)}"
    except Exception as error:
        yield f"{where}: {type(error).__name__}: {error}"


def all_windows(place: Path, step: int) -> list[str]:
    found, total = [], 0
    for window in (*TRAINING, *PREDICTION):
        full, broken = pass_through(window, place, step)
        print(f"{window.name}: disk full at {full} amounts of room, {len(broken)} broken")
        found += broken
        total += full
    print(f"windows: {total} times a full disk, {len(found)} breaches", flush=True)
    return found


def soak(work: Path, kinds: list[str], only: str | None) -> list[str]:
    """Every scenario of the kinds that was not kept before, by work/kept.txt. Returns what is broken."""
    broken, kept = [], work / "kept.txt"
    before = kept.read_text().splitlines() if kept.exists() else []
    for kind in kinds:
        scenarios = {"training": Training, "prediction": Prediction}[kind](work / kind).scenarios()
        for name, scenario in scenarios.items():
            if only and only not in name or f"{kind}, {name}" in before:
                continue
            try:
                scenario()
                print(f"{kind}, {name}: kept", flush=True)
                with open(kept, "a") as file:
                    file.write(f"{kind}, {name}\n")
            except AssertionError as error:
                broken.append(f"{kind}, {name}: {error}")
                print(f"BROKEN: {broken[-1][:2500]}", flush=True)
    return broken


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--only", choices=("training", "prediction"), help="scenarios of one program")
    parser.add_argument("--scenario", help="only those whose name holds this")
    parser.add_argument("--windows", action="store_true", help="only the saving code")
    parser.add_argument("--step", type=int, default=1, help=f"blocks of {BLOCK} bytes between two amounts of room, for the saving code")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "full_disk", help="scratch")
    args = parser.parse_args(argv)
    if INSIDE not in os.environ:
        if not possible():
            print("SKIPPED: this system allows no mount namespace (unshare -Urm), so no small disk can be made; nothing was tested")
            return 3
        words = [*NAMESPACE, sys.executable, "-m", "tests.soak.full_disk", *(sys.argv[1:] if argv is None else argv)]
        return subprocess.run(words, cwd=ROOT, env={**os.environ, INSIDE: "1", "PYTHONPATH": str(ROOT)}).returncode
    broken = [] if args.scenario else all_windows(args.work.absolute() / "disk", args.step)
    if not args.windows:
        broken += soak(args.work.absolute(), [args.only] if args.only else ["training", "prediction"], args.scenario)
    print("\n".join([*(f"BROKEN: {fault[:400]}" for fault in broken[:20]), f"{len(broken)} breaches"]))
    if not broken:
        shutil.rmtree(args.work, ignore_errors=True)
    return int(bool(broken))


if __name__ == "__main__":
    sys.exit(main())
