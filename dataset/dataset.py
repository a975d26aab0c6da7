"""Batches for the trainer: the same ones whoever makes them (this process, or workers), from whatever step, split over ranks.

Letters: B batch, N points, J joints. See dataset/pipeline.py for what a sample is.
"""

import os
import pickle
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from dataset.asset import Asset, AssetError
from dataset.augment import Mix
from dataset.pipeline import Batch, Pipeline, stack
from dataset.poses import TrackBank
from dataset.prepared import load_prepared
from dataset.sampler import Sampler
from dataset.sources.files import is_there, listed_files
from dataset.sources.npz import load_npz, load_track

_ROOT = Path(__file__).resolve().parent.parent
# A shell stands between: Jittor's SIGCHLD handler ends the trainer at once when a child of its dies by a signal, as a worker does when
# memory runs out; the shell ends with a number instead, and the trainer can say what happened.
_COMMAND = ("sh", "-c", '"$0" -c "from dataset.pipeline import serve; serve()"; exit $?', sys.executable)


class RigDataset:
    """Batches as dicts of float32 arrays: points (B, N, 3) and normals (B, N, 3) in the unit box, has_normals (B,), joints (B, J, 3),
    joint_mask (B, J), skin (B, N, J), skin_mask (B,), upright (B,): 0 for a figure turned to any orientation; and "asset": the B
    sources, for messages.

    assets: Assets, PreparedAssets, or a prepared folder. batch: over all ranks. workers: processes beside this one (0: none).
    Points come in random order, so the first Q of them are a fair choice of queries. With ``patch`` K > 0 there are also patch (B, K, 3) and
    patch_normals, vertices of a connected piece of each mesh in the sample's pose and box, and patch_faces (B, 2K, 3) int32, -1 where
    there are no more.
    Raises: ValueError when the batch does not divide over the ranks.
    """

    def __init__(self, assets: Sequence[Asset] | str | Path, mix: Mix, sampler: Sampler, joints: int, batch: int, *, seed: int = 0,
                 rank: int = 0, world_size: int = 1, workers: int = 0, group_weights: tuple[tuple[int, int, float], ...] = (),
                 patch: int = 0):
        if not 0 <= rank < world_size or batch % world_size:
            raise ValueError(f"a batch of {batch} cannot be split over {world_size} ranks (this is rank {rank}); "
                             "choose a multiple of the number of ranks")
        if isinstance(assets, (str, Path)):
            assets = load_prepared(assets)
        self.pipeline = Pipeline(assets, mix, sampler, joints, batch, seed, group_weights, patch)
        share = batch // world_size
        self.slots = tuple(range(rank * share, (rank + 1) * share))
        self.workers = workers
        self._crew: list[_Worker] = []

    def batches(self, start_step: int = 0, stop_step: int | None = None) -> Iterator[Batch]:
        """This rank's share of the batches of steps start_step, start_step + 1, ... (endless without stop_step)."""
        step = start_step
        if not self.workers:
            while stop_step is None or step < stop_step:
                yield self.pipeline.train_batch(step, self.slots)
                step += 1
            return
        self.close()        # a crew from an earlier iterator may hold batches of other steps
        self._crew = [_Worker(self.pipeline) for _ in range(self.workers)]
        for ahead in range(2 * self.workers):
            self._crew[ahead % self.workers].ask(start_step + ahead, self.slots)
        while stop_step is None or step < stop_step:
            worker = self._crew[(step - start_step) % self.workers]
            batch = worker.answer()
            worker.ask(step + 2 * self.workers, self.slots)
            yield batch
            step += 1
        self.close()

    def validation_batches(self, batch: int, views: Sequence[str] = ("rest", "random")) -> Iterator[Batch]:
        """Every asset once per view ("rest", "random" or "mocap"), always the same poses and points, in this process."""
        places = [(index, view, kind) for index in range(len(self.pipeline.assets)) for view, kind in enumerate(views)]
        for start in range(0, len(places), batch):
            yield stack([self.pipeline.validation_sample(*place) for place in places[start:start + batch]])

    def close(self) -> None:
        """End the workers. Safe to call twice."""
        for worker in self._crew:
            worker.close()
        self._crew = []

    def __enter__(self) -> "RigDataset":
        return self

    def __exit__(self, *_) -> None:
        self.close()


class _Worker:
    """A fresh Python (never a fork: Jittor has threads) that runs dataset.pipeline.serve and nothing of the trainer's main module."""

    def __init__(self, pipeline: Pipeline):
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1",
                       "PYTHONPATH": os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))}
        self.process = subprocess.Popen(_COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        self._send(pipeline)

    def ask(self, step: int, slots: tuple[int, ...]) -> None:
        self._send((step, slots))

    def answer(self) -> Batch:
        """Raises: AssetError for a bad asset, ChildProcessError when the worker ended, RuntimeError with its trace for anything else."""
        try:
            kind, content = pickle.load(self.process.stdout)
        except (EOFError, pickle.UnpicklingError):
            raise self._ended() from None
        if kind == "asset":
            raise AssetError(content)
        if kind == "error":
            raise RuntimeError(f"a data worker failed:\n{content}")
        return content

    def _send(self, message) -> None:
        try:
            pickle.dump(message, self.process.stdin, protocol=5)
            self.process.stdin.flush()
        except BrokenPipeError:
            raise self._ended() from None

    def _ended(self) -> ChildProcessError:
        code = self.process.wait()
        cause = f"killed by signal {code - 128}, as the system does when memory runs out" if code > 128 else f"exit code {code}"
        return ChildProcessError(f"a data worker ended early ({cause}; what it said is above). Make room in memory, or lower data.workers")

    def close(self) -> None:
        """It ends when its stdin does, after the batch that it is at."""
        for pipe in (self.process.stdin, self.process.stdout):
            try:
                pipe.close()
            except BrokenPipeError:     # what was still to be sent has no reader any more
                pass
        self.process.wait()


def contest_files(data_root: str | Path, list_name: str) -> list[Path]:
    """The files that a contest list (train_list.txt ...) names, one a line, relative to data_root.

    Raises: AssetError when the list cannot be read, is empty, or names a file that is not there.
    """
    path = Path(data_root) / list_name
    if not is_there(path):
        raise AssetError(f"{path}: cannot be read (no such file); give --data_root the folder that holds the lists")
    files = listed_files(path, data_root)
    if not files:
        raise AssetError(f"{path}: names no files; it needs one .npz a line, relative to {data_root}")
    for file in files:
        if not is_there(file):
            raise AssetError(f"{file}: named in {list_name} but not there; unpack the contest's data under {data_root}")
    return files


def contest_assets(data_root: str | Path, list_name: str) -> Iterator[Asset]:
    """The rigged characters of a contest list, read one by one (for prepare)."""
    return (load_npz(file) for file in contest_files(data_root, list_name))


def contest_tracks(data_root: str | Path) -> TrackBank | None:
    """All frames of data_root/track/*.npz as one bank, in the order of the names; None when there is no track."""
    files = sorted((Path(data_root) / "track").glob("*.npz"))
    if not files:
        return None
    return TrackBank(np.concatenate([load_track(file)[0] for file in files]))
