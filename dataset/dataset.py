"""Batches for the trainer: the same ones whoever makes them (this process, or workers), from whatever step, split over ranks.

Letters: B batch, N points, J joints. See dataset/pipeline.py for what a sample is.
"""

from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path

import numpy as np

from dataset.asset import Asset, AssetError
from dataset.augment import Mix
from dataset.crew import Crew
from dataset.pipeline import Batch, Pipeline, stack
from dataset.poses import TrackBank
from dataset.prepared import load_prepared
from dataset.sampler import Sampler
from dataset.sources.files import is_there, listed_files
from dataset.sources.npz import load_track

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
        self._crew: Crew | None = None

    def batches(self, start_step: int = 0, stop_step: int | None = None) -> Iterator[Batch]:
        """This rank's share of the batches of steps start_step, start_step + 1, ... (endless without stop_step)."""
        self.close()        # a crew from an earlier iterator may hold batches of other steps
        self._crew = Crew(self.pipeline.train_batch, self.workers)
        steps = count(start_step) if stop_step is None else range(start_step, stop_step)
        yield from self._crew.answers((step, self.slots) for step in steps)
        self.close()

    def validation_batches(self, batch: int, views: Sequence[str] = ("rest", "random")) -> Iterator[Batch]:
        """Every asset once per view ("rest", "random" or "mocap"), always the same poses and points, in this process."""
        places = [(index, view, kind) for index in range(len(self.pipeline.assets)) for view, kind in enumerate(views)]
        for start in range(0, len(places), batch):
            yield stack([self.pipeline.validation_sample(*place) for place in places[start:start + batch]])

    def close(self) -> None:
        """End the workers. Safe to call twice."""
        if self._crew is not None:
            self._crew.close()
        self._crew = None

    def __enter__(self) -> "RigDataset":
        return self

    def __exit__(self, *_) -> None:
        self.close()


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


def contest_tracks(data_root: str | Path) -> TrackBank | None:
    """All frames of data_root/track/*.npz as one bank, in the order of the names; None when there is no track."""
    files = sorted((Path(data_root) / "track").glob("*.npz"))
    if not files:
        return None
    return TrackBank(np.concatenate([load_track(file)[0] for file in files]))
