"""Where a training's samples come from: a contest tree, generated humans, further folders of rigs, and motion.

Everything is prepared once under a cache folder whose name says what is in it; drawing, posing and sampling follow in dataset/.
"""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from dataset.asset import AssetError
from dataset.augment import FINETUNE, PRETRAIN, Mix
from dataset.characters import packed_character
from dataset.crew import Crew
from dataset.dataset import RigDataset, contest_files, contest_tracks
from dataset.pipeline import Batch
from dataset.poses import Bank
from dataset.prepared import Packed, PreparedAssets, prepare
from dataset.sampler import Sampler
from dataset.sources.pose_bank import split_pose_bank
from launch.presets import TrainConfig
from launch.runtime import mpi_rank

VALIDATION_SEEDS = 1_000_000  # generated characters from here on are never trained on
VALIDATION_BATCH = 8
MOST_PREPARERS = 16         # each holds MakeHuman's data: some 250 MB
WORTH_A_PREPARER = 16       # characters: starting a process costs as much time as a few of them
HUMAN_SOURCES = ("humans", "makehuman", "garments", "gowns", "anime", "accessories", "shapes", "proportions", "conventions", "mascot_robes",
                 "mascot_shells", "mascot_weights", "mascot_body", "mascot_gear", "mascot_rig")
MASCOT_SOURCES = ("mascots", "mascot_rig", "mascot_shells", "mascot_weights", "mascot_body", "mascot_faces", "mascot_gear", "mascot_robes",
                  "shapes")


@dataclass(frozen=True)
class DataPaths:
    """What the command line names; see train_joint_model.py --help."""
    data_root: Path | None
    train_list: str
    val_list: str
    assets: tuple[Path, ...]
    motion: Path | None
    cache: Path


@dataclass
class TrainingData:
    """Training batches from any step on, and the same validation batches every time.

    A batch holds what dataset.pipeline makes, and query (B, Q, 3), query_normals: its first Q points; skin is cut to them. Where a loss
    looks at surfaces, the queries go on with the K vertices of the patch.
    """
    train: PreparedAssets
    validation: RigDataset
    mix: Mix
    cfg: TrainConfig
    groups: tuple[tuple[int, int, float], ...]
    dataset: RigDataset | None = None

    def train_batches(self, start: int, stop: int, rank: int, world_size: int) -> Iterator[Batch]:
        cfg, fixed = self.cfg, self.validation.pipeline
        self.dataset = RigDataset(self.train, self.mix, fixed.sampler, fixed.joints, cfg.optim.batch,
                                  seed=cfg.seed, rank=rank, world_size=world_size, workers=cfg.data.workers,
                                  group_weights=self.groups, patch=cfg.data.patch if cfg.loss.on_surface else 0)
        for batch in self.dataset.batches(start, stop):
            yield with_queries(batch, cfg.data.queries)

    def validation_batches(self) -> Iterator[Batch]:
        """Each validation character in one pose of each kind that the stage trains."""
        kinds = [kind for kind in ("rest", "random", "mocap") if getattr(self.mix, kind) > 0]
        for batch in self.validation.validation_batches(VALIDATION_BATCH, kinds):
            yield with_queries(batch, self.cfg.data.queries)

    def close(self) -> None:
        if self.dataset is not None:
            self.dataset.close()


def with_queries(batch: Batch, count: int) -> Batch:
    """Points come in random order, so the first ones are a fair choice of queries. After them come those of a patch, without truth."""
    batch = {**batch, "query": batch["points"][:, :count], "query_normals": batch["normals"][:, :count], "skin": batch["skin"][:, :count]}
    if "patch" in batch:
        batch["query"] = np.concatenate([batch["query"], batch["patch"]], axis=1)
        batch["query_normals"] = np.concatenate([batch["query_normals"], batch["patch_normals"]], axis=1)
    return batch


def open_data(cfg: TrainConfig, paths: DataPaths) -> TrainingData:
    """Prepare what is missing (once) and open it.

    Raises: AssetError naming the file at fault.
    """
    joints = (cfg.network if cfg.model == "transrefiner" else cfg.pct).joint_count
    mix = {"pretrain": PRETRAIN, "finetune": FINETUNE}[cfg.stage]
    mix = with_shares(with_rest(mix, cfg.data.rest_share), cfg.data.turned_share, cfg.data.stretched_share)
    bank = motion_bank(paths)
    if mix.mocap and bank is not None:
        mix = replace(mix, mocap_pose=replace(mix.mocap_pose, bank=bank))
    if paths.data_root is not None:
        train = prepare_files(contest_files(paths.data_root, paths.train_list), paths.cache)
        validation = prepare_files(contest_files(paths.data_root, paths.val_list), paths.cache)
        groups: tuple[tuple[int, int, float], ...] = ()
    else:
        files = [file for folder in paths.assets for file in npz_files(folder)]
        train = prepare_generated(0, cfg.data.humans, cfg.data.mascots, files, paths.cache)
        validation = prepare_generated(VALIDATION_SEEDS, cfg.data.val_humans, cfg.data.val_mascots, [], paths.cache)
        groups = share_groups(cfg.data.humans + cfg.data.mascots, len(train), cfg.data.extra_share)
    sampler = Sampler(cfg.data.points)
    return TrainingData(train, RigDataset(validation, mix, sampler, joints, 1, seed=cfg.seed), mix, cfg, groups)


def with_rest(mix: Mix, share: float | None) -> Mix:
    """The mix with this share of rest poses. Raises: ValueError for a share that is not in 0..1."""
    if share is None:
        return mix
    require_share("rest_share", share)
    keep = (1 - share) / (1 - mix.rest)
    return replace(mix, rest=share, random=mix.random * keep, mocap=mix.mocap * keep)


def with_shares(mix: Mix, turned: float | None, stretched: float | None) -> Mix:
    """The mix with these shares of figures turned to any orientation, and of figures given other proportions.

    Raises: ValueError for a share that is not in 0..1.
    """
    if turned is not None:
        require_share("turned_share", turned)
        mix = replace(mix, rotate=replace(mix.rotate, p=turned))
    if stretched is not None:
        require_share("stretched_share", stretched)
        mix = replace(mix, stretch=replace(mix.stretch, p=stretched))
    return mix


def require_share(name: str, share: float) -> None:
    if not 0 <= share <= 1:
        raise ValueError(f"data.{name} must lie in 0..1, not {share}")


def share_groups(generated: int, total: int, extra_share: float) -> tuple[tuple[int, int, float], ...]:
    """Fixed shares of the draws for generated characters and for further assets; none when there is one kind only."""
    if generated == total or not 0 < extra_share < 1:
        return ()
    return ((0, generated, 1 - extra_share), (generated, total, extra_share))


def motion_bank(paths: DataPaths) -> Bank | None:
    """The contest's tracks, or the training clips of the given bank; None: poses by rule."""
    if paths.motion is not None:
        return split_pose_bank(paths.motion)[0]
    return contest_tracks(paths.data_root) if paths.data_root is not None else None


def npz_files(folder: Path) -> list[Path]:
    files = sorted(folder.rglob("*.npz"))
    if not files:
        raise AssetError(f"{folder}: holds no .npz files; --assets wants folders of rigged characters in the contest's format")
    return files


def prepare_generated(first_seed: int, humans: int, mascots: int, files: list[Path], cache: Path) -> PreparedAssets:
    """Generated humans with seeds first_seed .. first_seed + humans - 1, then mascots with seeds counted alike, then the files."""
    if humans < 0 or mascots < 0 or humans + mascots < 1:
        raise AssetError("data.humans + data.mascots and data.val_humans + data.val_mascots must be at least 1, and none below 0, "
                         "when no --data_root is given")

    wanted = [("human", first_seed + i) for i in range(humans)] + [("mascot", first_seed + i) for i in range(mascots)]
    key = f"humans {first_seed} {humans} generator {generator_version(HUMAN_SOURCES)}; {stamp(files)}"
    if mascots:
        key += f"; mascots {first_seed} {mascots} generator {generator_version(MASCOT_SOURCES)}"
    return prepared([*wanted, *(("file", file) for file in files)], key, cache)


def generator_version(modules: tuple[str, ...]) -> str:
    """A hash of the code that makes characters: prepared data follows when it changes."""
    folder = Path(__file__).resolve().parent.parent / "dataset" / "sources"
    return hashlib.blake2b(b"".join((folder / f"{n}.py").read_bytes() for n in modules), digest_size=8).hexdigest()


def prepare_files(files: list[Path], cache: Path) -> PreparedAssets:
    return prepared([("file", file) for file in files], stamp(files), cache)


def stamp(files: list[Path]) -> str:
    """Names, sizes and times of files: what tells prepared data that its sources have changed."""
    return " ".join(f"{f.resolve()}:{f.stat().st_size}:{f.stat().st_mtime_ns}" for f in files)


def prepared(wanted: list[tuple[str, int | Path]], key: str, cache: Path) -> PreparedAssets:
    """wanted: (source, which) of dataset/characters.py."""
    folder = cache / hashlib.blake2b(key.encode(), digest_size=8).hexdigest()
    return prepare(packed_characters(wanted), folder, key)


def packed_characters(wanted: list[tuple[str, int | Path]]) -> Iterator[Packed]:
    """One after the other, made by as many processes as pay. Says how far it is where that takes long."""
    with Crew(packed_character, preparers(len(wanted))) as crew:
        yield from tqdm(crew.answers(wanted), "preparing characters", len(wanted), disable=mpi_rank() != 0, unit="", delay=5, mininterval=5)


def preparers(characters: int) -> int:
    """How many processes prepare so many characters: a core each (as many as OMP_NUM_THREADS says where it is set), but none for so few
    that a process costs more than it gives, or where there is one core."""
    threads = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]       # OpenMP takes a list, outermost level first
    cores = int(threads) if threads.isdecimal() else len(os.sched_getaffinity(0))
    workers = min(cores, MOST_PREPARERS, characters // WORTH_A_PREPARER)
    return workers if workers > 1 else 0
