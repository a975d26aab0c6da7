"""A disk that is full, read-only, forbidden or gone: one sentence that names the file and the repair, and nothing that was finished is lost.

    python -m tests.soak.full_disk                  every scenario with the real programs
    python -m tests.soak.full_disk --only prediction
    python -m tests.soak.full_disk --windows        only the saving code, at every amount of room, seconds

It runs in a mount namespace of its own (`unshare -Urm`, Linux, no rights needed), with small tmpfs disks that are filled, enlarged and
made read-only; where the system allows no such namespace it says so and tests nothing. Root sees no permissions: what must be forbidden
is run without capabilities (`setpriv`). Files that vanish at a certain moment are removed by an audit hook when the program opens them.
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
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.soak.killed_prediction import MESHES, Batch, references
from tests.soak.killed_training import Run, compare, reference
from tests.soak.killing import ROOT, contents, hidden, wait_for
from tests.soak.saving_windows import PREDICTION, TRAINING, Window, fresh

NAMESPACE = ["unshare", "-Urm"]
INSIDE = "TRANSREFINER_SMALL_DISKS"      # set in the process that runs in the namespace
POWERLESS = ["setpriv", "--inh-caps=-all", "--bounding-set=-all", "--"]
PATIENCE = 300.0
BLOCK = 4096                             # bytes that a tmpfs gives at a time


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


# --- the saving code at every amount of room ------------------------------------------------------------------------------------------

def pass_through(window: Window, place: Path) -> tuple[int, list[str]]:
    """Save with 0, 1, 2, ... blocks of room, until it succeeds. Returns how often the disk was full, and what was found broken."""
    broken: list[str] = []
    with Disk(place, 4096):
        for room in range(0, 1000):
            fresh(window, place / "work")
            filled = fill(place, room)
            before = contents(place / "work")
            try:
                window.save(place / "work")
                filled.unlink()
                return room, broken
            except OSError as error:
                told = str(error)
            if not re.search(rf"^{re.escape(str(place))}\S* cannot be written: No space left on device; make room", told):
                broken.append(f"{window.name}, {room} blocks of room: it says {told!r}")
            broken += [f"{window.name}, {room} blocks of room: left behind {hidden(place / 'work')}"] if hidden(place / "work") else []
            broken += examined(window, place / "work", before, f"{window.name}, {room} blocks of room")
            filled.unlink()
            broken += examined(window, place / "work", {}, f"{window.name}, {room} blocks, then room again", again=True)
    return room, [*broken, f"{window.name}: never succeeds"]


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


def all_windows(place: Path) -> list[str]:
    found, total = [], 0
    for window in (*TRAINING, *PREDICTION):
        full, broken = pass_through(window, place)
        print(f"{window.name}: disk full at {full} amounts of room, {len(broken)} broken")
        found += broken
        total += full
    print(f"windows: {total} times a full disk, {len(found)} breaches", flush=True)
    return found


# --- the real programs ----------------------------------------------------------------------------------------------------------------

VANISH = """
import os, shutil, sys
def hook(event, given, target={target!r}, doomed={doomed!r}, left=[{count}]):
    if event == "open" and left[0] and isinstance(given[0], (str, bytes, os.PathLike)) and os.fsdecode(given[0]).startswith(target):
        left[0] -= 1
        if not left[0]:
            shutil.rmtree(doomed) if os.path.isdir(doomed) else os.unlink(doomed)
sys.addaudithook(hook)
from tests.soak.{module} import main
sys.exit(main(sys.argv[1:]))
"""


def vanishing(run: Run | Batch, target: Path, doomed: Path, count: int = 1, module: str = "killed_prediction") -> None:
    """The program's next start removes `doomed` at the moment when it opens, for the count-th time, what begins with `target`."""
    run.program = [sys.executable, "-c", VANISH.format(target=str(target), doomed=str(doomed), count=count, module=module)]


def sentence(run: Run | Batch, code: int, *wanted: str) -> None:
    """The last start ended with code 2 and one line that holds what is wanted. Raises: AssertionError."""
    said = run.said.read_text(errors="replace").replace("\r", "\n")
    lines = [line for line in said.splitlines() if all(word in line for word in wanted)]
    assert code == 2, f"exit code {code}: {said[-1500:]}"
    assert len(lines) == 1 and "Traceback" not in said, f"no single line with {wanted}: {said[-1500:]}"


class Training:
    """Scenarios of a training, each in a folder of its own; the unbroken run is made once."""

    def __init__(self, work: Path):
        self.work = work
        self.unbroken, _ = reference(work)

    def run(self) -> Run:
        shutil.rmtree(self.work / "run", ignore_errors=True)
        return Run(self.work, "run")

    def goes_on(self, run: Run) -> None:
        assert run.finish() == 0, run.said.read_text(errors="replace")[-1500:]
        compare(run, self.unbroken)

    def full(self, kilobytes: int) -> None:
        run = self.run()
        with Disk(run.output, kilobytes) as disk:
            sentence(run, run.finish(), "No space left on device; make room", str(run.folder), "--resume")
            assert not hidden(run.output), f"left behind: {hidden(run.output)}"
            disk.become("size=64m")
            self.goes_on(run)

    def full_while_preparing(self) -> None:
        run = self.run()
        with Disk(run.cache, 500) as disk:
            sentence(run, run.finish(), "No space left on device; make room", str(run.cache))
            assert not list(run.cache.iterdir()), f"left behind: {list(run.cache.iterdir())}"
            disk.become("size=64m")
            self.goes_on(run)

    def read_only(self) -> None:
        run = self.run()
        with Disk(run.output, 64_000) as disk:
            disk.become("ro")
            sentence(run, run.finish(), str(run.folder), "Read-only file system", "name a folder on another")
            disk.become("rw")
            self.goes_on(run)

    def read_only_at_once(self) -> None:
        """As a disk does that has found an error in itself."""
        run = self.run()
        with Disk(run.output, 64_000) as disk:
            run.start()
            until(lambda: run.note.read()[1] >= 4, run)
            disk.become("ro")
            before = contents(run.folder)
            sentence(run, run.wait(), str(run.folder), "Read-only file system", "--resume")
            assert contents(run.folder).keys() == before.keys()
            disk.become("rw")
            self.goes_on(run)

    def folder_removed(self) -> None:
        run = self.run()
        run.start()
        until(lambda: run.note.read()[1] >= 4, run)
        while run.folder.exists():
            shutil.rmtree(run.folder, ignore_errors=True)
        sentence(run, run.wait(), str(run.folder), "No such file or directory", "was removed")
        assert not run.folder.exists(), f"begun anew without its log: {contents(run.folder)}"
        self.goes_on(run)

    def forbidden_input(self) -> None:
        run = self.run()
        rigs = self._rigs()
        (rigs / "b.npz").chmod(0)
        run.extra, run.before = ["--assets", str(rigs)], POWERLESS
        sentence(run, run.finish(), str(rigs / "b.npz"), "ermission denied")

    def vanished_input(self) -> None:
        run = self.run()
        rigs = self._rigs()
        run.extra = ["--assets", str(rigs)]
        vanishing(run, rigs / "b.npz", rigs / "b.npz", module="killed_training")
        sentence(run, run.finish(), str(rigs / "b.npz"))

    def _rigs(self) -> Path:
        from dataset.sources.npz import write_npz
        from tests.dataset.figures import capsule_man
        rigs = self.work / "rigs"
        shutil.rmtree(rigs, ignore_errors=True)
        rigs.mkdir()
        for name in "ab":
            write_npz(rigs / f"{name}.npz", capsule_man(22))
        return rigs

    def scenarios(self) -> dict[str, Callable[[], None]]:
        return {**{f"full at {size} kB": lambda size=size: self.full(size) for size in (8, 150, 400, 900, 1200, 1500)},
                "full while preparing data": self.full_while_preparing, "read-only": self.read_only,
                "read-only while running": self.read_only_at_once, "run folder removed": self.folder_removed,
                "input forbidden": self.forbidden_input, "input vanished": self.vanished_input}


class Prediction:
    """Scenarios of a batch; the undisturbed one is made once."""

    def __init__(self, work: Path):
        self.work = work / "batches"
        self.whole, _, _ = references(self.work)
        self.size = sum(p.stat().st_size for p in self.whole.output.rglob("*") if p.is_file()) // 1024

    def batch(self) -> Batch:
        shutil.rmtree(self.work / "batch", ignore_errors=True)
        return Batch(self.work, "batch")

    def finished(self, batch: Batch) -> dict:
        """The rigs there, all of them whole. Raises: AssertionError."""
        rigs, wanted = batch.rigs(), self.whole.rigs()
        assert all(files == wanted[name][0] for name, (files, _) in rigs.items()), "a folder that is not whole"
        assert not hidden(batch.output), f"left behind: {hidden(batch.output)}"
        return rigs

    def goes_on(self, batch: Batch, before: dict) -> None:
        assert batch.finish() == 0, batch.said.read_text(errors="replace")[-1500:]
        assert all(batch.rigs()[name] == rig for name, rig in before.items()), "what was finished was touched"
        assert contents(batch.folder) == contents(self.whole.folder), "other bytes than the undisturbed batch's"

    def full(self, share: float) -> None:
        batch = self.batch()
        with Disk(batch.output, int(self.size * share)) as disk:
            sentence(batch, batch.finish(), "No space left on device; make room", str(batch.folder))
            before = self.finished(batch)
            disk.become("size=64m")
            self.goes_on(batch, before)

    def read_only(self) -> None:
        batch = self.batch()
        with Disk(batch.output, 64_000) as disk:
            disk.become("ro")
            sentence(batch, batch.finish(), str(batch.folder), "Read-only file system", "name a folder on another")
            disk.become("rw")
            self.goes_on(batch, {})

    def read_only_at_once(self) -> None:
        batch = self.batch()
        with Disk(batch.output, 64_000) as disk:
            batch.start()
            until(lambda: len(batch.rigs()) >= 2, batch)
            disk.become("ro")
            sentence(batch, wait_for(batch.process, PATIENCE), str(batch.folder), "Read-only file system")
            disk.become("rw")
            before = {name: rig for name, rig in batch.rigs().items() if rig[0] == self.whole.rigs()[name][0]}
            assert before.keys() == batch.rigs().keys(), "a folder that is not whole"
            self.goes_on(batch, before)

    def folder_removed(self) -> None:
        batch = self.batch()
        batch.start()
        until(lambda: len(batch.rigs()) >= 2, batch)
        shutil.rmtree(batch.folder, ignore_errors=True)
        sentence(batch, wait_for(batch.process, PATIENCE), str(batch.folder), "removed")
        self.goes_on(batch, {})

    def one_input(self, change: Callable[[Batch, Path], None], *wanted: str) -> None:
        """change makes one mesh unreadable; the others are rigged, and once it is back the batch is completed."""
        mesh = sorted(self.work.glob("meshes/*.obj"))[0]
        kept, batch = mesh.read_bytes(), self.batch()
        try:
            change(batch, mesh)
            sentence(batch, batch.finish(), mesh.name, "FAILED", *wanted)
            before = self.finished(batch)
            assert len(before) == MESHES - 1
        finally:
            mesh.unlink(missing_ok=True)
            mesh.write_bytes(kept)
        batch.before, batch.program = [], batch.usual
        self.goes_on(batch, before)

    @staticmethod
    def _forbid(batch: Batch, mesh: Path) -> None:
        mesh.chmod(0)
        batch.before = POWERLESS

    @staticmethod
    def _vanish(batch: Batch, mesh: Path) -> None:
        vanishing(batch, mesh, mesh, count=2)      # first it is digested, then read

    def checkpoint_gone(self, when: Callable[[Batch], Path], code: int) -> None:
        """Removed when it is opened: a sentence. Removed later: nobody minds."""
        net, batch = self.work / "net", self.batch()
        shutil.copytree(net, self.work / "net-kept", dirs_exist_ok=True)
        try:
            vanishing(batch, when(batch), net)
            ended = batch.finish()
            if code:
                sentence(batch, ended, str(net))
            else:
                assert ended == 0 and not net.exists() and contents(batch.folder) == contents(self.whole.folder)
        finally:
            shutil.copytree(self.work / "net-kept", net, dirs_exist_ok=True)
        batch.program = batch.usual
        self.goes_on(batch, {} if code else batch.rigs())

    def scenarios(self) -> dict[str, Callable[[], None]]:
        return {**{f"full at {share:.0%} of what it needs": lambda share=share: self.full(share) for share in (0.02, 0.4, 0.8)},
                "read-only": self.read_only, "read-only while running": self.read_only_at_once, "run folder removed": self.folder_removed,
                "input forbidden": lambda: self.one_input(self._forbid, "ermission denied"),
                "input vanished": lambda: self.one_input(self._vanish, "o such file"),
                "checkpoint vanished before it was read": lambda: self.checkpoint_gone(lambda b: self.work / "net" / "model.safetensors", 2),
                "checkpoint vanished while running": lambda: self.checkpoint_gone(lambda b: self.work / "meshes", 0)}


def until(true: Callable[[], bool], run: Run | Batch) -> None:
    while not true():
        assert run.process.poll() is None, f"it ended before its time: {run.said.read_text(errors='replace')[-800:]}"
        time.sleep(0.002)


def soak(work: Path, kinds: list[str], only: str | None) -> list[str]:
    """Every scenario of the kinds. Returns what is broken."""
    broken = []
    for kind in kinds:
        scenarios = {"training": Training, "prediction": Prediction}[kind](work / kind).scenarios()
        for name, scenario in scenarios.items():
            if only and only not in name:
                continue
            try:
                scenario()
                print(f"{kind}, {name}: kept", flush=True)
            except AssertionError as error:
                broken.append(f"{kind}, {name}: {error}")
                print(f"BROKEN: {broken[-1][:2500]}", flush=True)
    return broken


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--only", choices=("training", "prediction"), help="scenarios of one program")
    parser.add_argument("--scenario", help="only those whose name holds this")
    parser.add_argument("--windows", action="store_true", help="only the saving code")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "full_disk", help="scratch")
    args = parser.parse_args(argv)
    if INSIDE not in os.environ:
        if not possible():
            print("SKIPPED: this system allows no mount namespace (unshare -Urm), so no small disk can be made; nothing was tested")
            return 3
        words = [*NAMESPACE, sys.executable, "-m", "tests.soak.full_disk", *(sys.argv[1:] if argv is None else argv)]
        return subprocess.run(words, cwd=ROOT, env={**os.environ, INSIDE: "1", "PYTHONPATH": str(ROOT)}).returncode
    broken = [] if args.scenario else all_windows(args.work.absolute() / "disk")
    if not args.windows:
        broken += soak(args.work.absolute(), [args.only] if args.only else ["training", "prediction"], args.scenario)
    print("\n".join([*(f"BROKEN: {fault[:400]}" for fault in broken[:20]), f"{len(broken)} breaches"]))
    shutil.rmtree(args.work, ignore_errors=True)
    return int(bool(broken))


if __name__ == "__main__":
    sys.exit(main())
