"""Trainings and batches whose disk fills, turns read-only, forbids or loses something at a chosen moment. Used by full_disk."""

import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

from dataset.sources.npz import write_npz
from tests.dataset.figures import capsule_man
from tests.soak.killed_prediction import MESHES, Batch, references
from tests.soak.killed_training import Run, compare, reference
from tests.soak.killing import contents, hidden, wait_for
from tests.soak.small_disk import Disk

POWERLESS = ["setpriv", "--inh-caps=-all", "--bounding-set=-all", "--"]     # root without what makes it see no permissions
PATIENCE = 1500.0       # seconds that a batch may take before it counts as hanging

VANISH = """
import os, shutil, sys
def hook(event, given, target={target!r}, doomed={doomed!r}, left=[{count}]):
    if event in ("open", "import") and left[0] and isinstance(given[0], (str, bytes, os.PathLike)) and os.fsdecode(given[0]).startswith(target):
        left[0] -= 1
        if not left[0]:
            shutil.rmtree(doomed) if os.path.isdir(doomed) else os.unlink(doomed)
sys.addaudithook(hook)
from tests.soak.{module} import main
sys.exit(main(sys.argv[1:]))
"""


def vanishing(run: Run | Batch, target: Path | str, doomed: Path, count: int = 1, module: str = "killed_prediction") -> None:
    """The program's next start removes `doomed` at the moment when it opens or imports, for the count-th time, what begins with `target`."""
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
        while batch.folder.exists():    # it may be written to in this moment
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

    def checkpoint_gone(self, opened: Path | str, code: int) -> None:
        """Removed when `opened` is opened or imported (safetensors opens files behind Python's back): before it was read, that is told; later,
        nobody minds."""
        net, batch = self.work / "net", self.batch()
        shutil.copytree(net, self.work / "net-kept", dirs_exist_ok=True)
        try:
            vanishing(batch, opened, net)
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
                "checkpoint vanished before it was read": lambda: self.checkpoint_gone("safetensors", 2),
                "checkpoint vanished while running": lambda: self.checkpoint_gone(self.work / "meshes", 0)}


def until(true: Callable[[], bool], run: Run | Batch) -> None:
    while not true():
        assert run.process.poll() is None, f"it ended before its time: {run.said.read_text(errors='replace')[-800:]}"
        time.sleep(0.002)
