"""Rig many files: one folder each, complete or absent, and a summary that names what failed and why.

    <output>/<run>/<cls>/<id>/predict_skeleton.npy      joints (J, 3)          the contest's layout, in the unit box, Z up
                              predict_skin.npy          weights (V, J)         original vertex order
                              transformed_vertices.npy  vertices (V, 3)
                              rigged.glb                meshes only: in the file's own frame
                              preview.png  report.json
    <output>/<run>/summary.json

Nothing written depends on the clock, on other inputs or on their order (only a second asset of the same name is told apart by a number).
"""

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from dataset.asset import Asset, AssetError, network_rotation
from dataset.exporter import replace_folder, write_contest, write_glb
from dataset.format import DIALECTS, skeleton
from dataset.preview import draw_preview
from dataset.sources.files import expand_inputs, load_asset
from launch.predictor import Predictor, RigResult

OUTSIDE = 0.01            # box units beyond the mesh's bounding box before a joint counts as outside
ASYMMETRY = 1.15          # a left bone this much longer than its right one is worth a word
DOUBT = 0.5               # confidence under which a joint is named
INFLUENCE = 1e-3          # weights below it do not count as an influence
NAME_LENGTH = 100


@dataclass(frozen=True)
class BatchOptions:
    """Where results go and how files are read.

    output: parent folder; run: its subfolder. read_ahead: files loaded at a time while the network works.
    up: "y", "z" or "auto" (what the file says). dialect: bone names of the GLB, a key of dataset.format.DIALECTS.
    influences: the most that a vertex keeps in rigged.glb, 1-8; predict_skin.npy keeps all.
    """
    output: Path
    run: str
    up: str = "auto"
    dialect: str = "contest"
    influences: int = 4
    read_ahead: int = 4
    show_progress: bool = True


@dataclass(frozen=True)
class Outcome:
    """What became of one input: folder on success, reason on failure."""
    input: str
    folder: str | None = None
    reason: str | None = None
    warnings: tuple[str, ...] = ()


def gather_inputs(named: list[str], data_root: Path | None, data_list: Path | None) -> tuple[list[Path], list[Outcome]]:
    """Files to rig, each once, and an Outcome for each name that leads to none.

    named: files and folders. data_list: one path a line relative to data_root (default "data"); empty lines are skipped.
    Raises: OSError when data_list cannot be read; ValueError when it is no text.
    """
    files, missing = {}, []
    for name in named:
        try:
            files |= dict.fromkeys(expand_inputs([name]))
        except AssetError as error:
            missing.append(Outcome(name, reason=reason_of(error)))
    if data_list is not None:
        lines = (line.strip() for line in data_list.read_text(encoding="utf-8").splitlines())
        files |= dict.fromkeys((data_root or Path("data")) / line for line in lines if line)
    return list(files), missing


def predict_files(predictor: Predictor, files: list[Path], options: BatchOptions, failed: list[Outcome] = ()) -> list[Outcome]:
    """Rig each file. A file that cannot be read or rigged becomes an Outcome with its reason and leaves no folder.

    failed: what went wrong before, listed first.
    Raises: OSError only when <output>/<run> itself cannot be made or written.
    """
    run_folder = options.output / safe_name(options.run)
    run_folder.mkdir(parents=True, exist_ok=True)
    taken: set[str] = set()
    outcomes = list(failed)
    progress = tqdm(_read(files, options), total=len(files), unit="asset", disable=not options.show_progress)
    for path, asset in progress:
        if isinstance(asset, Exception):
            outcomes.append(Outcome(path.name, reason=reason_of(asset)))
            continue
        try:
            outcomes.append(_predict_one(predictor, path, asset, run_folder, taken, options))
        except Exception as error:  # one bad asset never stops the others
            outcomes.append(Outcome(path.name, reason=reason_of(error)))
    _write_json(run_folder / "summary.json", summary(predictor, options, outcomes))
    return outcomes


def _read(files: list[Path], options: BatchOptions) -> Iterator[tuple[Path, Asset | Exception]]:
    """Files in order, each loaded by a thread while its predecessors are being rigged."""
    def load(path: Path) -> Asset | Exception:
        try:
            return load_asset(path, up=None if options.up == "auto" else options.up)
        except Exception as error:
            return error
    with ThreadPoolExecutor(1) as pool:
        waiting = []
        for path in files:
            waiting.append((path, pool.submit(load, path)))
            if len(waiting) > options.read_ahead:
                first, asset = waiting.pop(0)
                yield first, asset.result()
        for path, asset in waiting:
            yield path, asset.result()


def _predict_one(predictor: Predictor, path: Path, asset: Asset, run_folder: Path, taken: set[str], options: BatchOptions) -> Outcome:
    rig = predictor.predict(asset)
    cls, name = safe_name(asset.cls or "other"), free_name(safe_name(str(asset.id)), safe_name(asset.cls or "other"), taken)
    report = make_report(path.name, asset, rig, predictor, options)
    folder = run_folder / cls / name
    replace_folder(folder, lambda fresh: write_rig(fresh, asset, rig, report, options))
    return Outcome(path.name, folder=f"{cls}/{name}", warnings=tuple(report["warnings"]))


def write_rig(folder: Path, asset: Asset, rig: RigResult, report: dict, options: BatchOptions) -> None:
    """All files of one rig. folder exists and is empty."""
    write_contest(folder, rig.box_joints_J3, rig.skin_VJ, rig.box_vertices_V3)
    if asset.has_faces:
        names = tuple(DIALECTS[options.dialect][name] for name in rig.names)
        write_glb(folder / "rigged.glb", asset.vertices_V3, asset.faces_F3, asset.normals_V3, rig.joints_J3, rig.parents, names,
                  rig.skin_VJ, asset.up, options.influences)
    turn = network_rotation(asset)  # so that the figure's front is drawn as the front, whatever the file's custom
    draw_preview(folder / "preview.png", turn.apply(asset.vertices_V3), asset.faces_F3 if asset.has_faces else None,
                 turn.apply(rig.joints_J3), rig.parents, "z", skin_VJ=rig.skin_VJ)
    _write_json(folder / "report.json", report)


def safe_name(text: str) -> str:
    """A folder name that stays where it is put: letters, digits, '.', '_' and '-', no leading dot, never empty."""
    name = re.sub(r"[^\w.\-]+", "_", text).lstrip(".")[:NAME_LENGTH].rstrip(".")
    return name or "unnamed"


def free_name(name: str, cls: str, taken: set[str]) -> str:
    """name, or name-2, name-3, ... when this batch has used it (letter case does not tell names apart: some disks do not)."""
    number, free = 1, name
    while f"{cls}/{free}".casefold() in taken:
        number += 1
        free = f"{name}-{number}"
    taken.add(f"{cls}/{free}".casefold())
    return free


def make_report(source: str, asset: Asset, rig: RigResult, predictor: Predictor, options: BatchOptions) -> dict:
    """What was predicted, as plain data; the same input gives the same bytes."""
    influences_V = (rig.skin_VJ > INFLUENCE).sum(1)
    doubts = [None] * len(rig.names) if rig.confidence_J is None else [round(float(c), 4) for c in rig.confidence_J]
    joints = [{"name": name, "parent": parent, "position": [round(float(x), 6) for x in position], "confidence": doubt}
              for name, parent, position, doubt in zip(rig.names, rig.parents, rig.joints_J3, doubts)]
    return {"input": source, "run": options.run, "up": asset.up, "seed": predictor.options.seed, "looks": predictor.options.looks,
            "vertices": len(asset.vertices_V3), "faces": len(asset.faces_F3) if asset.has_faces else 0, "joint_count": len(joints),
            "influences": {"mean": round(float(influences_V.mean()), 3), "max": int(influences_V.max())},
            "warnings": warnings_of(rig, influences_V, options.influences), "joints": joints}


def warnings_of(rig: RigResult, influences_V: np.ndarray, kept: int) -> list[str]:
    """Plain sentences about what an animator should look at."""
    low_3, high_3 = rig.box_vertices_V3.min(0) - OUTSIDE, rig.box_vertices_V3.max(0) + OUTSIDE
    outside_J = ((rig.box_joints_J3 < low_3) | (rig.box_joints_J3 > high_3)).any(1)
    out = []
    if outside_J.any():
        out.append(f"joints outside the mesh's box: {_names(rig, outside_J)}")
    if rig.confidence_J is not None and (rig.confidence_J < DOUBT).any():
        out.append(f"low confidence: {_names(rig, rig.confidence_J < DOUBT)}")
    uneven_J = uneven_bones(rig)
    if uneven_J.any():
        out.append(f"left and right bones differ by more than {ASYMMETRY - 1:.0%}, to: {_names(rig, uneven_J)}")
    crowded = int((influences_V > kept).sum())
    if crowded:
        out.append(f"{crowded} of {len(influences_V)} vertices have more than {kept} influences; "
                   f"rigged.glb keeps the strongest {kept}")
    return out


def uneven_bones(rig: RigResult) -> np.ndarray:
    """(J,) True where the bone ending in a left joint and its mirror differ in length by more than ASYMMETRY; right ones stay False."""
    bones = skeleton(len(rig.names))
    length_J = np.array([0 if p is None else np.linalg.norm(rig.box_joints_J3[j] - rig.box_joints_J3[p])
                         for j, p in enumerate(bones.parents)])
    mirrored_J = length_J[list(bones.mirror)]
    longer_J, shorter_J = np.maximum(length_J, mirrored_J), np.minimum(length_J, mirrored_J)
    left_J = np.array([name.startswith("l_") for name in rig.names])
    return left_J & (longer_J > ASYMMETRY * shorter_J)


def summary(predictor: Predictor, options: BatchOptions, outcomes: list[Outcome]) -> dict:
    return {"run": options.run, "joints": predictor.joint_count, "seed": predictor.options.seed,
            "done": sum(o.reason is None for o in outcomes), "failed": sum(o.reason is not None for o in outcomes),
            "results": [{"input": o.input, "folder": o.folder, "reason": o.reason, "warnings": list(o.warnings)} for o in outcomes]}


def table(outcomes: list[Outcome]) -> str:
    """One line per input, failures with their reason, then the count."""
    width = max((len(o.input) for o in outcomes), default=0)
    lines = []
    for o in outcomes:
        note = f" ({len(o.warnings)} warning{'s' * (len(o.warnings) != 1)}, see report.json)" if o.warnings else ""
        lines.append(f"{o.input:<{width}}  " + (f"FAILED  {o.reason}" if o.reason else f"ok      {o.folder}{note}"))
    failed = sum(o.reason is not None for o in outcomes)
    return "\n".join(lines + [f"{len(outcomes) - failed} rigged, {failed} failed"])


def reason_of(error: Exception) -> str:
    """One line. Errors that are not ours to word carry their type."""
    text = " ".join(str(error).split())
    return text if isinstance(error, ValueError) and text else f"{type(error).__name__}: {text}"


def _names(rig: RigResult, chosen_J: np.ndarray) -> str:
    return ", ".join(name for name, chosen in zip(rig.names, chosen_J) if chosen)


def _write_json(path: Path, data: dict) -> None:
    path.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
