"""The folder of one rig: written whole, described in its report, and recognised again when it was made from the same things."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dataset.asset import Asset, network_rotation
from dataset.exporter import replace_folder, save_contest
from dataset.format import DIALECTS, skeleton
from dataset.preview import draw_preview
from geometry.similarity import Similarity
from rigging.scene_fresh import write_glb

OUTSIDE = 0.01            # box units beyond the mesh's bounding box before a joint counts as outside
ASYMMETRY = 1.15          # a left bone this much longer than its right one is worth a word
DOUBT = 0.5               # confidence under which a joint is named
CM_PER_BOX = 85.0         # a figure whose longest side (2 box units) is 170 cm
INFLUENCE = 1e-3          # weights below it do not count as an influence
REPORT = "report.json"


class RigResult(NamedTuple):
    """A rig in the user's frame and vertex order, and the same in the unit box of the contest's layout.

    joints_J3, box_joints_J3, box_vertices_V3, skin_VJ: float32. skin_VJ: >= 0, rows sum to 1 within 1e-6.
    confidence_J: in (0, 1], see launch/predictor.py; None where there is nothing to tell it from. to_box: user's frame -> box.
    expected_error_J: mean distance from the truth that the network expects of each joint, box units; None where it does not say.
    turned: degrees that the figure was turned by to stand upright before it was rigged.
    """
    joints_J3: np.ndarray
    parents: tuple[int | None, ...]
    names: tuple[str, ...]
    skin_VJ: np.ndarray
    confidence_J: np.ndarray | None
    box_joints_J3: np.ndarray
    box_vertices_V3: np.ndarray
    to_box: Similarity
    expected_error_J: np.ndarray | None = None
    turned: float = 0.0

    @property
    def expected_error_cm(self) -> float | None:
        """Mean over the joints, for a figure whose longest side is 170 cm."""
        return None if self.expected_error_J is None else round(float(self.expected_error_J.mean()) * CM_PER_BOX, 2)


@dataclass(frozen=True)
class Making:
    """How a rig was made, for its report. input: file name. made_from: digest of all that decides the folder's bytes."""
    input: str
    run: str
    seed: int
    looks: int
    dialect: str
    influences: int
    made_from: str


def write_rig(folder: Path, asset: Asset, rig: RigResult, making: Making) -> dict:
    """Make the folder, complete or not at all; an older one is replaced. Returns its report."""
    report = make_report(asset, rig, making)

    def fill(fresh: Path) -> None:
        _write_files(fresh, asset, rig, making)
        report["files"] = {path.name: path.stat().st_size for path in sorted(fresh.iterdir())}
        (fresh / REPORT).write_bytes(as_json(report))
    replace_folder(folder, fill, sweep=False)
    return report


def _write_files(folder: Path, asset: Asset, rig: RigResult, making: Making) -> None:
    save_contest(folder, rig.box_joints_J3, rig.skin_VJ, rig.box_vertices_V3)
    if asset.has_faces:
        names = tuple(DIALECTS[making.dialect][name] for name in rig.names)
        write_glb(folder / "rigged.glb", asset.vertices_V3, asset.faces_F3, asset.normals_V3, rig.joints_J3, rig.parents, names,
                  rig.skin_VJ, asset.up, making.influences)
    turn = network_rotation(asset)  # so that the figure's front is drawn as the front, whatever the file's custom
    draw_preview(folder / "preview.png", turn.apply(asset.vertices_V3), asset.faces_F3 if asset.has_faces else None,
                 turn.apply(rig.joints_J3), rig.parents, "z", skin_VJ=rig.skin_VJ)


def standing(folder: Path, made_from: str) -> dict | None:
    """The report of a folder that was made from just these things and has every file at its full size; None for any other."""
    try:
        report = json.loads((folder / REPORT).read_text(encoding="utf-8"))
        if report["made_from"] != made_from or not isinstance(report["warnings"], list):
            return None
        whole = all((folder / name).stat().st_size == size for name, size in report["files"].items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return report if whole and report["files"] else None


def make_report(asset: Asset, rig: RigResult, making: Making) -> dict:
    """What was predicted, as plain data; the same input gives the same bytes."""
    influences_V = (rig.skin_VJ > INFLUENCE).sum(1)
    doubts = [None] * len(rig.names) if rig.confidence_J is None else [round(float(c), 4) for c in rig.confidence_J]
    errors = ([None] * len(rig.names) if rig.expected_error_J is None
              else [round(float(e) * CM_PER_BOX, 2) for e in rig.expected_error_J])
    joints = [{"name": name, "parent": parent, "position": [round(float(x), 6) for x in position], "confidence": doubt,
               "expected_error_cm": error}
              for name, parent, position, doubt, error in zip(rig.names, rig.parents, rig.joints_J3, doubts, errors)]
    return {"input": making.input, "run": making.run, "up": asset.up, "seed": making.seed, "looks": making.looks,
            "vertices": len(asset.vertices_V3), "faces": len(asset.faces_F3) if asset.has_faces else 0, "joint_count": len(joints),
            "expected_error_cm": rig.expected_error_cm, "turned_upright_degrees": round(rig.turned, 1),
            "influences": {"mean": round(float(influences_V.mean()), 3), "max": int(influences_V.max())},
            "warnings": warnings_of(rig, influences_V, making.influences), "joints": joints, "made_from": making.made_from}


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


def as_json(data: dict) -> bytes:
    """As reports and summaries are written: to be read by people too."""
    return (json.dumps(data, indent=1, ensure_ascii=False) + "\n").encode()


def _names(rig: RigResult, chosen_J: np.ndarray) -> str:
    return ", ".join(name for name, chosen in zip(rig.names, chosen_J) if chosen)
