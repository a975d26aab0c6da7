"""Load: a batch of many files, some of them bad, by one process of the real script: memory, open and temporary files stay flat.

    python -m tests.soak.load                                2,000 files, some 40 minutes of a core; again: goes on where it stopped
    python -m tests.soak.load --count 200 --keep             smaller; --keep leaves the folder
    python -m tests.soak.load --picture docs/images/load.png draws the memory curve too

Promised, and a breach each where it fails: the batch ends with exit code 2 and says nothing of a traceback; every good file has a whole
folder (each file of its full size, weights that keep their contract, a GLB that reads again) and every bad one its reason in summary.json
and in the table, in the inputs' order; no code in a file is run, nothing but results is written; over the last three quarters the memory
grows by less than SLOPE MiB per 1,000 files, and open files, threads and temporary files do not grow at all; the same command again
changes not one byte, in REMADE of the time (not looked at where the program was changed while the batch ran: then all is made anew,
as it should). Memory is what the kernel calls VmRSS of the process, read from /proc every second.
Ends with a line of figures, <folder>/result.json, and exit code 1 on a breach.
"""

import argparse
import csv
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dataset.exporter import SUM_TOLERANCE
from dataset.sources.files import load_asset
from tests.soak.load_corpus import LISTING, WITNESS, make_corpus

ROOT = Path(__file__).resolve().parent.parent.parent
PROGRAM = ("geometry", "dataset", "rigging", "ops", "pictures", "PCT", "models", "launch")
BAD_SHARE = 0.05
SLOPE = 10.0       # MiB per 1,000 files
REMADE = 0.2       # of the first run's time
ENOUGH = 200       # files, from which a slope means something
CHEAP = ["--looks", "1", "--one_pass", "--joints", "22"]
RUN = "load"


class Moment(NamedTuple):
    """seconds since the start; done: files that have a folder; rss_mib; how many files, threads and temporary entries are open."""
    seconds: float
    done: int
    rss_mib: float
    files: int
    threads: int
    temporary: int


class Ended(NamedTuple):
    code: int
    seconds: float
    said: str
    moments: list[Moment]


def command(folder: Path, options: list[str]) -> list[str]:
    return ["bash", "launch/predict_joint_model.sh", "--data_root", str(folder / "in"), "--data_list", str(folder / "in" / LISTING),
            "--output", str(folder / "out"), "--name", RUN, *options]


def run_batch(folder: Path, options: list[str], every: float = 1.0) -> Ended:
    """The script as one process, looked at every so many seconds; what it says goes to <folder>/said.txt, moments to moments.csv."""
    temporary = folder / "tmp"
    temporary.mkdir(exist_ok=True)
    began, moments = time.monotonic(), []
    with (folder / "said.txt").open("w+") as said, (folder / "moments.csv").open("w", newline="") as table:
        rows = csv.writer(table)
        rows.writerow(Moment._fields)
        process = subprocess.Popen(command(folder, options), cwd=ROOT, stdout=said, stderr=subprocess.STDOUT,
                                   env=os.environ | {"TMPDIR": str(temporary)})
        while process.poll() is None:
            moment = look(process.pid, folder, began)
            if moment is not None:
                moments.append(moment)
                rows.writerow(moment)
                table.flush()
            time.sleep(every)
        seconds = time.monotonic() - began
        said.seek(0)
        return Ended(process.returncode, seconds, said.read(), moments)


def look(pid: int, folder: Path, began: float) -> Moment | None:
    """None while the process is still a shell, or no more."""
    here = Path("/proc") / str(pid)
    try:
        status = dict(line.split(":", 1) for line in (here / "status").read_text().splitlines())
        if not status["Name"].strip().startswith("python"):
            return None
        files, rss_mib = len(os.listdir(here / "fd")), int(status["VmRSS"].split()[0]) / 1024
    except (OSError, KeyError):
        return None
    return Moment(round(time.monotonic() - began, 2), len(finished(folder)), round(rss_mib, 2), files, int(status["Threads"]),
                  sum(1 for _ in (folder / "tmp").rglob("*")))


def finished(folder: Path) -> list[str]:
    """<cls>/<id> of every folder that has its plain name."""
    run = folder / "out" / RUN
    return [f"{cls.name}/{entry.name}" for cls in os.scandir(run) if cls.is_dir()
            for entry in os.scandir(cls.path) if not entry.name.startswith(".")] if run.is_dir() else []


def batch_breaches(folder: Path, names: dict[str, bool], ended: Ended) -> Iterator[str]:
    """What the batch has not done that it should, or has done that it should not."""
    expected = 0 if all(names.values()) else 2
    if ended.code != expected:
        yield f"exit code {ended.code}, not {expected}; it said: {ended.said[-500:]}"
    if "Traceback" in ended.said:
        yield "a traceback was printed"
    path = folder / "out" / RUN / "summary.json"
    if not path.is_file():
        yield "no summary.json"
        return
    rows = json.loads(path.read_text(encoding="utf-8"))["results"]
    if [row["input"] for row in rows] != list(names):
        yield "summary.json does not list the inputs in their order"
    for row in rows:
        if names.get(row["input"]):
            yield from rig_breaches(folder / "out" / RUN, row)
        elif row["folder"] is not None or not row["reason"] or f"FAILED: {row['reason']}" not in ended.said:
            yield f"{row['input']} is bad and not listed with its reason: {row}"
    if sorted(finished(folder)) != sorted(row["folder"] for row in rows if row["folder"]):
        yield "there are folders that summary.json does not name"
    yield from (f"left behind: {entry}" for entry in (folder / "out").rglob(".*"))
    yield from (f"left behind: {entry}" for entry in (folder / "tmp").iterdir())
    if (folder / "in" / WITNESS).exists():
        yield "code that a file brought was run"


def rig_breaches(run: Path, row: dict) -> Iterator[str]:
    """What is wrong with the rig of one good file."""
    if row["folder"] is None:
        yield f"{row['input']} is good and was not rigged: {row['reason']}"
        return
    rig = run / row["folder"]
    try:
        report = json.loads((rig / "report.json").read_text(encoding="utf-8"))
        sizes = {path.name: path.stat().st_size for path in rig.iterdir() if path.name != "report.json"}
        joints_J3, skin_VJ, vertices_V3 = (np.load(rig / f"{name}.npy")
                                           for name in ("predict_skeleton", "predict_skin", "transformed_vertices"))
        glb = load_asset(rig / "rigged.glb") if report["faces"] else None
    except (OSError, ValueError, KeyError) as error:
        yield f"{row['input']}: its folder is not whole: {error}"
        return
    if report["input"] != row["input"] or report["files"] != sizes:
        yield f"{row['input']}: report.json names {report['input']} and {report['files']}, the folder holds {sizes}"
    if not np.isfinite(joints_J3).all() or skin_VJ.shape != (len(vertices_V3), len(joints_J3)) or not (skin_VJ >= 0).all() \
            or np.abs(skin_VJ.sum(1, dtype=np.float64) - 1).max() > SUM_TOLERANCE:
        yield f"{row['input']}: its joints or weights break their contract"
    if glb is not None and (glb.joint_count != len(joints_J3) or glb.skin_VJ is None or len(glb.vertices_V3) != len(vertices_V3)):
        yield f"{row['input']}: rigged.glb lost vertices, joints or weights"


def later(moments: list[Moment]) -> list[Moment]:
    """Those of the last three quarters of the files."""
    return [m for m in moments if m.done >= moments[-1].done / 4]


def slope(moments: list[Moment]) -> float:
    """MiB of memory per 1,000 files, over the last three quarters: the straight line of least squares."""
    kept = later(moments)
    return float(np.polyfit([m.done / 1000 for m in kept], [m.rss_mib for m in kept], 1)[0])


def growth_breaches(moments: list[Moment]) -> Iterator[str]:
    grown = slope(moments)
    if grown > SLOPE:
        yield f"memory grows by {grown:.1f} MiB per 1,000 files, more than {SLOPE:g}"
    kept = later(moments)
    half = len(kept) // 2
    for name in ("files", "threads", "temporary"):
        # the middle value: whether a file is just being read when it is looked at is chance
        before, after = (np.median([getattr(m, name) for m in part]) for part in (kept[:half], kept[half:]))
        if after > before:
            yield f"{name}: {before:g} in the first half of what was looked at, {after:g} in the second"


def program() -> str:
    """A digest of the source files that a rig depends on."""
    digest = hashlib.sha256()
    for path in sorted(path for folder in PROGRAM for path in (ROOT / folder).rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def stamps(folder: Path) -> dict[str, tuple[int, int]]:
    """Inode and time of last change of every file of a run but its summary, which each run writes anew."""
    run = folder / "out" / RUN
    return {str(path.relative_to(run)): (path.stat().st_ino, path.stat().st_mtime_ns) for path in run.rglob("*")
            if path.name != "summary.json"}


def again_breaches(folder: Path, first: Ended, options: list[str], names: dict[str, bool]) -> tuple[float, list[str]]:
    """Seconds of the same command again, and what it did that it should not."""
    summary, before, curve = folder / "out" / RUN / "summary.json", stamps(folder), (folder / "moments.csv").read_bytes()
    was = summary.read_bytes()
    ended = run_batch(folder, options)
    (folder / "moments.csv").write_bytes(curve)   # the curve that is worth keeping is the first run's
    found = []
    if ended.code != first.code or summary.read_bytes() != was or stamps(folder) != before:
        found.append("the same command again changed something")
    if f"{sum(names.values())} of them unchanged" not in ended.said:
        found.append(f"the same command again did not leave all as it was: {ended.said[-300:]}")
    if len(names) >= ENOUGH and ended.seconds > REMADE * first.seconds:
        found.append(f"the same command again took {ended.seconds:.0f} s, the first {first.seconds:.0f} s")
    return round(ended.seconds, 1), found


def draw(moments: list[Moment], path: Path) -> None:
    """Memory by files done."""
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt
    figure, axis = plt.subplots(figsize=(5.6, 2.6))
    axis.plot([m.done for m in moments], [m.rss_mib for m in moments], lw=0.8, color="#2a6f97")
    axis.set(xlabel="files rigged", ylabel="memory, MiB", ylim=(0, None), xlim=(0, None))
    axis.set_title(f"one process, {moments[-1].done:,} rigs: {slope(moments):+.1f} MiB per 1,000", fontsize=10)
    axis.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    plt.close(figure)


def soak(folder: Path, count: int, bad: int, seed: int, options: list[str]) -> tuple[dict, list[str], Ended]:
    """The whole test in a folder. Returns: its figures, its breaches, and the first run."""
    names, made_by = make_corpus(folder / "in", count, bad, seed), program()
    ended = run_batch(folder, options)
    breaches = list(batch_breaches(folder, names, ended))
    figures = {"files": count, "bad": bad, "code": ended.code, "seconds": round(ended.seconds, 1)}
    if count >= ENOUGH and ended.moments:
        breaches += growth_breaches(ended.moments)
        kept = later(ended.moments)
        figures |= {"mib_per_1000": round(slope(ended.moments), 2), "mib_peak": max(m.rss_mib for m in ended.moments),
                    "mib_begin": kept[0].rss_mib, "mib_end": kept[-1].rss_mib, "open_files": max(m.files for m in kept),
                    "threads": max(m.threads for m in kept), "temporary": max(m.temporary for m in kept)}
    if program() != made_by:
        figures["seconds_again"] = "not measured: the program was changed meanwhile"
    elif not breaches:
        figures["seconds_again"], breaches = again_breaches(folder, ended, options, names)
    return figures, breaches, ended


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=2000, help="files, one in twenty bad (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the files (default: %(default)s)")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "transrefiner-load", help="where all is written")
    parser.add_argument("--options", nargs=argparse.REMAINDER, default=CHEAP, help=f"of the prediction (default: {' '.join(CHEAP)})")
    parser.add_argument("--picture", type=Path, metavar="PNG", help="draw the memory curve")
    parser.add_argument("--keep", action="store_true", help="leave inputs and rigs where they are")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    figures, breaches, ended = soak(args.folder.resolve(), args.count, round(args.count * BAD_SHARE), args.seed, args.options)
    if args.picture is not None and ended.moments:
        draw(ended.moments, args.picture)
    (args.folder / "result.json").write_text(json.dumps({"figures": figures, "breaches": breaches}, indent=1) + "\n")
    print("\n".join(f"BREACH: {breach}" for breach in breaches))
    print("  ".join(f"{name} {value}" for name, value in figures.items()))
    if not args.keep and not breaches:
        for part in ("in", "out", "tmp"):
            shutil.rmtree(args.folder / part, ignore_errors=True)
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
