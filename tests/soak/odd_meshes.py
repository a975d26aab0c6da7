"""Odd but legal meshes through the real prediction door: each gets a rig or a refusal with a reason.

    python -m tests.soak.odd_meshes                     all cases, in a few minutes; exit code 1 on a breach
    python -m tests.soak.odd_meshes --only "far" cube   those whose names hold one of these words
    python -m tests.soak.odd_meshes --doc               writes the table into docs/trust.md, between its markers
    python -m tests.soak.odd_meshes --progress FILE     keeps each result as a line; a second start does what is missing (with --doc, too)

Promised: no traceback; a refusal names the file and what is wrong; a rig has finite joints, weights that keep their contract and a
GLB that reads back; a rig that is certainly nonsense never passes its examination; the same person at another place, in another unit or
turned gets the same rig. One process, the released checkpoint, seeds fixed. Letters: V vertices, J joints, P positions.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.scale_point import peak_gb
from launch.runtime import start_jittor
from tests.soak import odd_shapes as shapes
from tests.soak.odd_cases import CASES, Case

ROOT = Path(__file__).resolve().parent.parent.parent
CHECKPOINT = ROOT / "output" / "TransRefiner-finetune"
PAGE = ROOT / "docs" / "trust.md"
BEGIN, END = "<!-- odd meshes: begin -->", "<!-- odd meshes: end -->"
MOST_SECONDS, MOST_MIB = 120.0, 2000.0     # of a case, and as much again for each million vertices
REASON = 110        # letters of a reason that the table shows


@dataclass(frozen=True)
class Result:
    """drift: mean distance of the joints from the plain person's, where it is the same person, cm of a person of 170 cm."""
    name: str
    vertices: int
    outcome: str
    verdict: str = "-"
    reason: str = ""
    drift: float | None = None
    seconds: float = 0.0
    peak_mib: float = 0.0
    breaches: list[str] = field(default_factory=list)


class Door:
    """The door's code on one file at a time, with the checkpoint loaded once."""

    def __init__(self, folder: Path):
        from launch.batch_predict import BatchOptions
        from launch.predictor import Predictor, PredictorOptions
        self.folder, self.predictor = folder, Predictor(CHECKPOINT, PredictorOptions(looks=4))
        self.options = BatchOptions(folder / "out", "odd", show_progress=False)
        self.person_J3 = None

    def rig(self, path: Path):
        """-> Outcome, as the door lists it."""
        from launch.batch_predict import predict_files
        return predict_files(self.predictor, [path], self.options)[0]

    def plain_person(self) -> np.ndarray:
        """(J, 3) joints of the plain person, metres."""
        if self.person_J3 is None:
            outcome = self.rig(shapes.write_glb(self.folder / "plain person.glb", shapes.person()))
            self.person_J3 = joints_of(self.options.output / "odd" / outcome.folder)
        return self.person_J3


def joints_of(folder: Path) -> np.ndarray:
    """In the file's frame."""
    return np.array([joint["position"] for joint in json.loads((folder / "report.json").read_text())["joints"]])


def run(door: Door, case: Case) -> Result:
    """One case from writing its file to reading its rig back; its files are removed. Seconds are the processor's: a machine is shared."""
    path = case.make(door.folder)
    reset_peak()
    start = time.process_time()
    outcome = door.rig(path)
    seconds, peak = time.process_time() - start, peak_gb() * 1e9 / 2 ** 20
    path.unlink()
    if outcome.reason is not None:
        return Result(case.name, case.vertices, "refused", "-", outcome.reason, None, seconds, peak,
                      refused_breaches(case, path, outcome.reason))
    rigged = door.options.output / "odd" / outcome.folder
    breaches, drift = rigged_breaches(case, rigged, outcome), None
    if case.same is not None and not breaches:
        drift = drift_cm(door.plain_person(), joints_of(rigged), case)
        breaches += [f"joints are {drift:.2f} cm from the plain person's"] if drift > case.most_drift else []
    report = json.loads((rigged / "report.json").read_text())
    shutil.rmtree(rigged)
    reason = next(iter(report["warnings"]), "")
    limit = 1 + outcome.vertices / 1e6
    breaches += [f"took {seconds:.0f} s"] if seconds > MOST_SECONDS * limit else []
    breaches += [f"took {peak:.0f} MiB"] if peak > MOST_MIB * limit else []
    return Result(case.name, outcome.vertices, "rig", outcome.quality, reason, drift, seconds, peak, breaches)


def reset_peak() -> None:
    """From here on the kernel counts this process's peak memory anew."""
    Path("/proc/self/clear_refs").write_text("5")


def refused_breaches(case: Case, path: Path, reason: str) -> list[str]:
    breaches = [] if case.must in ("refused", "either", "doubt") else ["should be rigged"]
    if not reason.startswith(path.name):
        breaches.append("the reason does not begin with the file's name")
    if "Error" in reason:
        breaches.append("the reason is Python's, not a sentence for the user")
    return breaches


def rigged_breaches(case: Case, folder: Path, outcome) -> list[str]:
    """What a rig's folder breaks of its contract."""
    from dataset.sources.gltf import load_gltf
    breaches = ["should be refused"] if case.must == "refused" else []
    if case.must == "doubt" and outcome.quality == "pass":
        breaches.append("passes, though it is no good rig")
    joints_J3, skin_VJ = (np.load(folder / f"predict_{name}.npy") for name in ("skeleton", "skin"))
    if not np.isfinite(joints_J3).all():
        breaches.append("joints are not finite")
    if not (np.isfinite(skin_VJ).all() and skin_VJ.min() >= 0 and np.abs(skin_VJ.sum(1, dtype=float) - 1).max() <= 1e-6):
        breaches.append("weights break their contract")
    if (folder / "rigged.glb").exists():
        again = load_gltf(folder / "rigged.glb")      # refuses what is not finite, and weights that do not sum to one
        if again.joint_count != len(joints_J3) or (np.count_nonzero(again.skin_VJ, axis=1) > 4).any():
            breaches.append("rigged.glb has other joints, or more than four influences")
    elif not case.is_cloud:
        breaches.append("no rigged.glb")
    return breaches


def drift_cm(plain_J3: np.ndarray, joints_J3: np.ndarray, case: Case) -> float:
    factor, turn_33, offset_3 = case.same
    home_J3 = (joints_J3 - offset_3) / factor @ turn_33
    return float(np.linalg.norm(home_J3 - plain_J3, axis=1).mean() / np.ptp(shapes.person().vertices_V3, axis=0).max() * 170)


# ----------------------------------------------------------------------------------------------- tables


def row(result: Result) -> str:
    drift = "" if result.drift is None else f"{result.drift:.2f} cm"
    state = "  BREACH: " + "; ".join(result.breaches) if result.breaches else ""
    return (f"{result.name:44} {result.vertices:9,} {result.outcome:8} {result.verdict:5} {drift:>9} {result.seconds:6.1f} s "
            f"{result.peak_mib:6.0f} MiB  {shortened(result.reason)}{state}")


def shortened(text: str) -> str:
    return text if len(text) <= REASON else text[:REASON - 3].rsplit(" ", 1)[0] + " ..."


def as_markdown(results: list[Result]) -> str:
    lines = ["| mesh | vertices | outcome | examination | joints moved | s | MiB | reason, or the first warning |",
             "|---|---|---|---|---|---|---|---|"]
    for r in results:
        drift = "" if r.drift is None else f"{r.drift:.2f} cm"
        text = shortened(r.reason.partition(": ")[2] if r.outcome == "refused" else r.reason).replace("|", "\\|")
        lines.append(f"| {r.name} | {r.vertices:,} | {r.outcome} | {r.verdict} | {drift} | {r.seconds:.1f} | {r.peak_mib:.0f} | {text} |")
    return "\n".join(lines)


def write_doc(results: list[Result]) -> None:
    """The table between the markers of docs/trust.md. Raises: ValueError where the page has no markers."""
    text = PAGE.read_text(encoding="utf-8")
    begin, end = text.index(BEGIN) + len(BEGIN), text.index(END)
    PAGE.write_text(f"{text[:begin]}\n{summary(results)}\n\n{as_markdown(results)}\n{text[end:]}", encoding="utf-8")


def summary(results: list[Result]) -> str:
    rigged = [r for r in results if r.outcome == "rig"]
    verdicts = ", ".join(f"{sum(r.verdict == v for r in rigged)} {v}" for v in ("pass", "warn", "fail"))
    count = f"{len(results)} of {len(CASES)}" if len(results) < len(CASES) else f"All {len(CASES)}"
    return (f"{count} cases: {len(rigged)} rigged ({verdicts}), {len(results) - len(rigged)} refused with a reason, "
            f"{sum(bool(r.breaches) for r in results)} breaches; at most {max(r.seconds for r in results):.0f} s and "
            f"{max(r.peak_mib for r in results):,.0f} MiB.")


def known(progress: Path | None) -> dict[str, Result]:
    if progress is None or not progress.exists():
        return {}
    return {entry["name"]: Result(**entry) for entry in map(json.loads, progress.read_text().splitlines())}


def keep(result: Result, progress: Path | None) -> None:
    if progress is not None:
        with progress.open("a") as file:
            file.write(json.dumps(asdict(result)) + "\n")


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--only", nargs="+", default=[""], help="cases whose names hold one of these words")
    parser.add_argument("--progress", type=Path, help="file of results, a line each")
    parser.add_argument("--doc", action="store_true", help="write the table into docs/trust.md")
    options = parser.parse_args(words)
    done, chosen = known(options.progress), [case for case in CASES if any(word in case.name for word in options.only)]
    missing = [case for case in chosen if case.name not in done]
    for case in (case for case in chosen if case.name in done):
        print(row(done[case.name]))
    if missing:
        start_jittor()
        with tempfile.TemporaryDirectory() as folder:
            door = Door(Path(folder))
            for case in missing:
                done[case.name] = run(door, case)
                keep(done[case.name], options.progress)
                print(row(done[case.name]), flush=True)
    results = [done[case.name] for case in chosen]
    if options.doc:
        write_doc(results)
    print(summary(results))
    return int(any(result.breaches for result in results))


if __name__ == "__main__":
    sys.exit(main())
