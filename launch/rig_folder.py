"""The folder of one rig: written whole, described in its report, and recognised again when it was made from the same things."""

import json
from dataclasses import dataclass
from pathlib import Path

from dataset.asset import Asset, network_rotation
from dataset.exporter import replace_folder, save_contest
from launch.delivery import Delivered, Delivery, deliver
from launch.rig_result import CM_PER_BOX, RigResult
from rigging.fbx import write_fbx
from rigging.quality import Quality
from rigging.report_html import report_html

DOUBT = 0.5               # confidence under which a joint is named
INFLUENCE = 1e-3          # weights below it do not count as an influence
REPORT = "report.json"


@dataclass(frozen=True)
class Making:
    """How a rig was made, for its report. input: file name. made_from: digest of all that decides the folder's bytes."""
    input: str
    run: str
    seed: int
    looks: int
    made_from: str


def write_rig(folder: Path, source: Path, asset: Asset, rig: RigResult, making: Making, wishes: Delivery) -> dict:
    """Make the folder, complete or not at all; an older one is replaced. asset: as read from source. Returns its report.

    Raises: AssetError or ValueError where the file and the rig do not go together; then nothing is written.
    """
    delivered = deliver(source, asset, rig, wishes)
    report = make_report(asset, rig, making, wishes, delivered)

    def fill(fresh: Path) -> None:
        _write_files(fresh, asset, rig, wishes, delivered, report)
        report["files"] = {path.name: path.stat().st_size for path in sorted(fresh.iterdir())}
        (fresh / REPORT).write_bytes(as_json(report))
    replace_folder(folder, fill, sweep=False)
    return report


def _write_files(folder: Path, asset: Asset, rig: RigResult, wishes: Delivery, delivered: Delivered, report: dict) -> None:
    from pictures.preview import draw_preview, draw_turntable  # these need Jittor, which a door has started; reports are read without
    from pictures.report import draw
    save_contest(folder, rig.box_joints_J3, rig.skin_VJ, rig.box_vertices_V3)
    if delivered.scene is not None:
        scene = folder / ("rigged.vrm" if wishes.dialect == "vrm" else "rigged.glb")
        delivered.scene.file.write(scene)
        if wishes.fbx:
            write_fbx(scene, folder / "rigged.fbx")
    page = report_html(report["input"], delivered.quality, draw(delivered.figure), report["joints"], report["weights"],
                       [*report["warnings"], *delivered.notes])
    (folder / "report.html").write_bytes(page)
    turn = network_rotation(asset)  # so that the figure's front is drawn as the front, whatever the file's custom
    figure = (turn.apply(asset.vertices_V3), asset.faces_F3 if asset.has_faces else None, turn.apply(rig.joints_J3), rig.parents, "z")
    draw_preview(folder / "preview.png", *figure, skin_VJ=delivered.rig.skin_VJ)
    if wishes.turntable:
        draw_turntable(folder / "turntable.gif", *figure, skin_VJ=delivered.rig.skin_VJ)


def standing(folder: Path, made_from: str) -> dict | None:
    """The report of a folder that was made from just these things and has every file at its full size; None for any other."""
    try:
        report = json.loads((folder / REPORT).read_text(encoding="utf-8"))
        if report["made_from"] != made_from or not _is_ours(report):
            return None
        whole = all((folder / name).stat().st_size == size for name, size in report["files"].items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return report if whole and report["files"] else None


def _is_ours(report: dict) -> bool:
    """Whether what a batch reads from it again is of the kind that we write."""
    numbers = [report.get("joint_count"), report.get("vertices"), report.get("expected_error_cm")]
    return (isinstance(report["warnings"], list) and all(isinstance(warning, str) for warning in report["warnings"])
            and all(number is None or type(number) in (int, float) for number in numbers) and isinstance(report["quality"]["verdict"], str))


def make_report(asset: Asset, rig: RigResult, making: Making, wishes: Delivery, delivered: Delivered) -> dict:
    """What was predicted, as plain data; the same input gives the same bytes."""
    influences_V = (delivered.rig.skin_VJ > INFLUENCE).sum(1)
    return {"input": making.input, "run": making.run, "up": asset.up, "seed": making.seed, "looks": making.looks,
            "vertices": len(asset.vertices_V3), "faces": len(asset.faces_F3) if asset.has_faces else 0, "joint_count": len(rig.names),
            "dialect": wishes.dialect, "hands": wishes.hands, "rig": wishes.policy,
            "expected_error_cm": rig.expected_error_cm, "turned_upright_degrees": round(rig.turned, 1),
            "influences": {"mean": round(float(influences_V.mean()), 3), "max": int(influences_V.max())},
            "quality": delivered.quality.as_dict(), "warnings": warnings_of(rig, delivered.quality),
            "notes": delivered.notes, "weights": [rounded(step.as_dict()) for step in delivered.steps],
            "joints": joint_rows(rig), "made_from": making.made_from}


def joint_rows(rig: RigResult) -> list[dict]:
    """A row a joint: name, parent, position, and how sure the network is of it, None where it does not say."""
    doubts = [None] * len(rig.names) if rig.confidence_J is None else [round(float(c), 4) for c in rig.confidence_J]
    errors = ([None] * len(rig.names) if rig.expected_error_J is None
              else [round(float(e) * CM_PER_BOX, 2) for e in rig.expected_error_J])
    bounds = [None] * len(rig.names) if rig.error_bound_J is None else [round(float(e) * CM_PER_BOX, 2) for e in rig.error_bound_J]
    return [{"name": name, "parent": parent, "position": [float(f"{x:.8g}") for x in position], "confidence": doubt,
             "expected_error_cm": error, "error_bound_90_cm": bound}
            for name, parent, position, doubt, error, bound in zip(rig.names, rig.parents, rig.joints_J3, doubts, errors, bounds)]


def rounded(data):
    """Plain data with its floats at six digits, so that a report reads well."""
    if isinstance(data, dict):
        return {key: rounded(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [rounded(value) for value in data]
    return float(f"{data:.6g}") if isinstance(data, float) else data


def warnings_of(rig: RigResult, quality: Quality) -> list[str]:
    """Plain sentences about what an animator should look at, the worst first."""
    doubted = [] if rig.confidence_J is None else [name for name, sure in zip(rig.names, rig.confidence_J) if sure < DOUBT]
    found = [check.sentence for verdict in ("fail", "warn") for check in quality.of(verdict)]
    return found + ([f"low confidence: {', '.join(doubted)}"] if doubted else [])


def as_json(data: dict) -> bytes:
    """As reports and summaries are written: to be read by people too."""
    text = json.dumps(data, indent=1, ensure_ascii=False) + "\n"
    return text.encode(errors="backslashreplace")   # a file name that is no Unicode has halves of letters: JSON writes them as \udc80
