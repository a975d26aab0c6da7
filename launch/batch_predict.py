"""Rig many files: one folder each, complete or absent, and a summary that names what failed and why.

    <output>/<run>/<cls>/<id>/predict_skeleton.npy      joints (J, 3)          the contest's layout, in the unit box, Z up
                              predict_skin.npy          weights (V, J)         as the network says, original vertex order
                              transformed_vertices.npy  vertices (V, 3)
                              rigged.glb | rigged.vrm   meshes only: the file's own scene with the rig in it, polished weights
                              rigged.fbx                the same scene, with --fbx
                              preview.png  turntable.gif (with --turntable)  report.json
    <output>/<run>/summary.json                         there when the batch came to its end

Nothing written depends on the clock, on the number of processes, on other inputs or on their order (only a second input of the
same name is told apart by a number). A folder that was made from the same file, checkpoint, options and program is left as it is,
so that a batch started again does what is missing.
"""

import hashlib
import json
import re
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from tqdm import tqdm

from dataset.asset import Asset, AssetError
from dataset.disk import WriteError
from dataset.exporter import sweep_leftovers, write_atomically
from dataset.sources import npz
from dataset.sources.files import GLTF, expand_inputs, listed_files, load_asset
from dataset.sources.gltf_container import Container
from launch.delivery import Delivery
from launch.fbx_input import FbxInputs, also_in_folders
from launch.outcome import Outcome, reason_of
from launch.predictor import Predictor, geometry_only
from launch.ranks import Ranks
from launch.rig_folder import Making, as_json, standing, write_rig

ROOT = Path(__file__).resolve().parent.parent
CODE = ("geometry", "dataset", "rigging", "ops", "pictures", "PCT", "models", "launch")
NAME_LENGTH = 100


@dataclass(frozen=True)
class BatchOptions:
    """Where results go and how files are read.

    output: parent folder; run: its subfolder. read_ahead: files loaded at a time while the network works.
    up: "y", "z" or "auto" (what the file says). wishes: how the rig is handed out.
    """
    output: Path
    run: str
    up: str = "auto"
    wishes: Delivery = Delivery()
    read_ahead: int = 4
    show_progress: bool = True


class Task(NamedTuple):
    """One file, its place among the inputs, and the folder that its rig goes to."""
    place: int
    path: Path
    folder: str


class Loaded(NamedTuple):
    """What the reader found: the digest of what the rig is made from, the file that was read (of an FBX, the GLB that it became) and
    the asset in it; or the outcome, where there is nothing to do."""
    made_from: str
    source: Path | None = None
    asset: Asset | None = None
    outcome: Outcome | None = None


def gather_inputs(named: list[str], data_root: Path | None, data_list: Path | None) -> tuple[list[Path], list[Outcome]]:
    """Files to rig, each once, and an Outcome for each name that leads to none.

    named: files and folders. data_list: one path a line relative to data_root (default "data"); empty lines are skipped.
    Raises: AssetError for a data_list that cannot be read, or leads out of data_root.
    """
    files, missing = {}, []
    for name in named:
        try:
            files |= dict.fromkeys(expand_inputs([name], also_in_folders()))
        except AssetError as error:
            missing.append(Outcome(name, reason=reason_of(error)))
    if data_list is not None:
        files |= dict.fromkeys(listed_files(data_list, data_root or Path("data")))
    return list(files), missing


def predict_files(predictor: Predictor, files: list[Path], options: BatchOptions, failed: list[Outcome] = (),
                  ranks: Ranks = Ranks()) -> list[Outcome] | None:
    """Rig each file, or this rank's share. A file that cannot be read or rigged becomes an Outcome with its reason and no folder.

    failed: what went wrong before, listed first. Returns: what became of all inputs, in their order, after summary.json was
    written; None for a rank when others are still at work (the last one answers for all).
    Raises: OSError only when <output>/<run> itself, or what belongs in it, cannot be made or written; what is finished stands.
    """
    run_folder = options.output / safe_name(options.run)
    run_folder.mkdir(parents=True, exist_ok=True)
    ranks.begin(run_folder)
    tasks = plan(files)
    mine = [tasks[place] for place in ranks.share([size_of(task.path) for task in tasks])]
    common = common_digest(predictor, options)
    done = {task.place: asdict(outcome) for task, outcome in _rig_all(predictor, mine, run_folder, options, common, ranks)}
    merged = ranks.hand_in(run_folder, digest_of(common, *(str(task.path) for task in tasks)), done)
    if merged is None:
        return None
    outcomes = [*failed, *(Outcome(**data | {"warnings": tuple(data["warnings"])}) for data in merged.values())]
    _all_there(run_folder, outcomes)
    write_atomically(run_folder / "summary.json", as_json(summary(predictor, options, outcomes)))
    ranks.clear(run_folder)
    return outcomes


def plan(files: list[Path]) -> list[Task]:
    """Where each file's rig goes: <cls>/<id>, the later of two equal ones with a number, whether or not it can be rigged.

    So every rank, and every later start with the same inputs, comes to the same names.
    """
    with ThreadPoolExecutor(8) as pool:  # reading an .npz's names is waiting for the disk
        identities = list(pool.map(identity, files))
    taken: dict[str, int] = {}
    folders = [f"{safe_name(cls)}/{free_name(safe_name(name), safe_name(cls), taken)}" for cls, name in identities]
    return [Task(place, *pair) for place, pair in enumerate(zip(files, folders))]


def identity(path: Path) -> tuple[str, str]:
    """The asset's cls and id, as its reader will give them, without reading its geometry."""
    if path.suffix.lower() != ".npz":
        return "other", path.stem
    try:
        return npz.identity(path)
    except AssetError:  # reading it will say what is wrong
        return "other", path.stem


def _rig_all(predictor: Predictor, tasks: list[Task], run_folder: Path, options: BatchOptions, common: str,
             ranks: Ranks) -> Iterator[tuple[Task, Outcome]]:
    """The tasks' outcomes, in their order. Files are read ahead; to write beside the network as well was measured, and gained nothing."""
    _sweep(tasks, run_folder)
    hide = not options.show_progress or ranks.rank > 0
    for task, loaded in tqdm(_read(tasks, run_folder, options, common), total=len(tasks), unit="asset", disable=hide):
        yield task, loaded.outcome or _rig_one(predictor, task, loaded, run_folder, options)


def _rig_one(predictor: Predictor, task: Task, loaded: Loaded, run_folder: Path, options: BatchOptions) -> Outcome:
    try:
        making = Making(task.path.name, options.run, predictor.options.seed, predictor.options.looks, loaded.made_from)
        rig = predictor.predict(loaded.asset)
        asset = geometry_only(loaded.asset)
        if not run_folder.is_dir():
            raise _removed(run_folder)
        return rigged(task, write_rig(run_folder / task.folder, loaded.source, asset, rig, making, options.wishes))
    except Exception as error:  # one bad asset never stops the others; a disk that takes nothing more does
        if isinstance(error, WriteError) and not error.is_of_one_file:
            raise
        return Outcome(task.path.name, reason=reason_of(error))


def _all_there(run_folder: Path, outcomes: list[Outcome]) -> None:
    """Raises: WriteError where a finished rig is gone: somebody who removed the folder while a rig was written to it found it made again."""
    if any(outcome.folder and not (run_folder / outcome.folder).is_dir() for outcome in outcomes):
        raise _removed(run_folder)


def _removed(run_folder: Path) -> WriteError:
    return WriteError(f"{run_folder}: was removed, or rigs in it, while it was being filled; start the same command again")


def rigged(task: Task, report: dict, stood: bool = False) -> Outcome:
    return Outcome(task.path.name, task.folder, warnings=tuple(report["warnings"]), stood=stood, joints=report.get("joint_count"),
                   vertices=report.get("vertices"), expected_error_cm=report.get("expected_error_cm"),
                   quality=report.get("quality", {}).get("verdict"))


def _read(tasks: list[Task], run_folder: Path, options: BatchOptions, common: str) -> Iterator[tuple[Task, Loaded]]:
    """Files in order, each loaded by a thread while its predecessors are being rigged; those that stand already are not loaded."""
    def load(task: Task) -> Loaded:
        try:
            made_from = source_digest(task.path, common)
            report = standing(run_folder / task.folder, made_from)
            if report is not None:
                return Loaded(made_from, outcome=rigged(task, report, stood=True))
            source = fbx.readable(task.path, task.place)
            return Loaded(made_from, source, load_asset(source, up=None if options.up == "auto" else options.up))
        except Exception as error:
            return Loaded("", outcome=Outcome(task.path.name, reason=reason_of(error)))
    with FbxInputs() as fbx, ThreadPoolExecutor(1) as pool:
        waiting = deque()
        for task in tasks:
            waiting.append((task, pool.submit(load, task)))
            if len(waiting) > options.read_ahead:
                yield from _next(waiting, fbx)
        while waiting:
            yield from _next(waiting, fbx)


def _next(waiting: deque, fbx: FbxInputs) -> Iterator[tuple[Task, Loaded]]:
    """The first one. When the next is asked for, its rig has been written, and what an FBX was converted to may go."""
    task, loaded = waiting.popleft()
    yield task, loaded.result()
    fbx.forget(task.place)


def _sweep(tasks: list[Task], run_folder: Path) -> None:
    """Remove what a killed run left half-written of these tasks."""
    names: dict[str, set[str]] = {}
    for task in tasks:
        cls, name = task.folder.split("/")
        names.setdefault(cls, set()).add(name)
    for cls, here in names.items():
        sweep_leftovers(run_folder / cls, here)


def common_digest(predictor: Predictor, options: BatchOptions) -> str:
    """Of all that the rigs of a batch have in common: checkpoint, options and program."""
    refiner = "" if predictor.refiner is None else predictor.refiner.digest
    return digest_of(predictor.fingerprint, repr(predictor.calibration), refiner, repr(predictor.options), options.run, options.up,
                     options.wishes.digest(), _code_digest())


@cache
def _code_digest() -> str:
    """Of our own source files: a new version makes its results anew."""
    files = sorted(file for folder in CODE for file in (ROOT / folder).rglob("*.py"))
    return digest_of(*(f"{file.relative_to(ROOT)}\n{file.read_text(encoding='utf-8')}" for file in files))


def source_digest(path: Path, common: str) -> str:
    """Of one rig: what is common, the file's name and bytes, and those of the buffers that a glTF keeps beside it. Pictures beside a
    file are not looked at.

    Raises: AssetError when the file is not there.
    """
    if not path.is_file():
        raise AssetError(f"{path.name}: no such file")
    parts = [path]
    if path.suffix.lower() in GLTF:
        uris = [str(buffer.get("uri", "data:")) for buffer in Container(path).document.get("buffers", [])]
        parts += [path.parent / unquote(uri) for uri in uris if not uri.startswith("data:")]
    contents = []
    for part in filter(Path.is_file, parts):  # a buffer that is missing or elsewhere: reading the file refuses it
        with part.open("rb") as file:
            contents.append(hashlib.file_digest(file, "sha256").hexdigest())
    return digest_of(common, path.name, *contents)


def digest_of(*texts: str) -> str:
    """SHA-256 of a list of texts, such that no two lists run together."""
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()


def size_of(path: Path) -> int:
    """Bytes; 0 for a file that is not there."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def safe_name(text: str) -> str:
    """A folder name that stays where it is put: letters, digits, '.', '_' and '-', no leading dot, never empty."""
    name = re.sub(r"[^\w.\-]+", "_", text).lstrip(".")[:NAME_LENGTH].rstrip(".")
    return name or "unnamed"


def free_name(name: str, cls: str, taken: dict[str, int]) -> str:
    """name, or name-2, name-3, ... when an input before has it (letter case does not tell names apart: some disks do not).

    taken: how often each name has been asked for; kept here, so that a thousand files of one name do not search from 2 each time.
    """
    asked = f"{cls}/{name}".casefold()
    number = taken.get(asked, 0) + 1
    while number > 1 and f"{asked}-{number}" in taken:
        number += 1
    taken[asked] = number
    if number == 1:
        return name
    taken[f"{asked}-{number}"] = 1
    return f"{name}-{number}"


def summary(predictor: Predictor, options: BatchOptions, outcomes: list[Outcome]) -> dict:
    return {"run": options.run, "joints": predictor.joint_count, "seed": predictor.options.seed,
            "done": sum(o.reason is None for o in outcomes), "failed": sum(o.reason is not None for o in outcomes),
            "results": [o.as_dict() for o in outcomes]}
