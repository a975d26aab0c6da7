"""Are the rigged files what they should be? The whole way: files in, the predict door, and each output held against other people's tools.

    npm install --prefix tests/rigging                                         once: three.js, three-vrm, the Khronos validator
    python -m benchmarks.acceptance_rigs --characters FOLDER --json FILE       all checks, about ten minutes of one core
    python -m benchmarks.acceptance_rigs --quick                               ten generated figures, two for each dialect

Rigs every character of FOLDER (glb, gltf, vrm; fbx where Blender's package is installed) and 50 generated ones, with a clip baked in:
all of them in the contest's dialect, some in each other dialect, and the users' own skeletons with new weights. docs/acceptance.md says
what is checked and what came out. Prints one table; exits with 1 when anything failed or could not be checked.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.acceptance import checks
from benchmarks.acceptance.checks import Output, Pass, Wrong
from benchmarks.acceptance.inputs import write_characters, write_dance
from benchmarks.acceptance.page import MODULES, Page, missing
from benchmarks.acceptance.witness import kept, name_of
from benchmarks.paired import ROOT, machine
from dataset.asset import AssetError
from dataset.sources.files import GLTF
from rigging.animation import Clip, load_clip
from rigging.fbx import SUFFIX as FBX, has_blender

ALL = Pass("contest")
OTHERS = (Pass("vrm"), Pass("mixamo"), Pass("ue5"), Pass("unity"), Pass("smpl"), Pass("ue5", "none"), Pass("unity", "mitten"),
          Pass("smpl", "mitten"), Pass("vrm", "none"))
OWN, OWN_VRM = Pass("contest", policy="keep-skeleton"), Pass("vrm", policy="keep-skeleton")
DOC, BEGIN, END = ROOT / "docs" / "acceptance.md", "<!-- acceptance:begin -->\n", "<!-- acceptance:end -->\n"
SAMPLES = 400        # vertices of a file that three.js is asked for, about
LIMITS = {"rigged": "-", "khronos": "0 errors", "untouched": "every byte", "contract": f"{checks.SUM:g}", "joints": f"{checks.JOINTS:g}",
          "weights": "1/255", "sides": "0 pairs", "three bones": f"{checks.VERTICES:g}", "three file": f"{checks.VERTICES:g}",
          "three rig": f"{checks.VERTICES:g}", "three-vrm": f"{checks.VERTICES:g}"}
SAYS = {"rigged": "the door rigs it", "khronos": "Khronos validator, errors", "untouched": "the user's own parts, byte by byte",
        "contract": "k influences, sums of 1, no NaN: sum's distance from 1", "joints": "round trip: joints, of the size",
        "weights": "round trip: weights", "sides": "round trip: left stays left", "three bones": "three.js: bones by name, of the size",
        "three file": "three.js plays: vertices against our skinning of the file",
        "three rig": "the same against the prediction and the clip",
        "three-vrm": "three-vrm: required bones; a bent elbow, of the forearm"}


@dataclass
class Results:
    """check -> (file, value or None, what is wrong or None), in the order in which they were made."""
    rows: dict[str, list[tuple[str, float | None, str | None]]] = field(default_factory=lambda: {check: [] for check in SAYS})
    not_checked: list[str] = field(default_factory=list)

    def add(self, check: str, file: str, value: float | None = None, trouble: str | None = None) -> None:
        self.rows[check].append((file, value, trouble))

    def ask(self, names: tuple[str, ...], file: str, check: Callable[[], float | dict | None]) -> None:
        """Run a check that answers for one or several names; what it finds wrong, or stumbles over, counts for each of them."""
        try:
            value = check()
        except (Wrong, AssetError, RuntimeError, LookupError, ValueError, AssertionError) as error:
            for name in names:
                self.add(name, file, trouble=f"{type(error).__name__}: {error}"[:400])
            return
        for name, one in zip(names, value.values() if isinstance(value, dict) else [value], strict=True):
            self.add(name, file, one)

    @property
    def failures(self) -> list[tuple[str, str, str]]:
        return [(check, file, trouble) for check, rows in self.rows.items() for file, _, trouble in rows if trouble]

    def table(self) -> str:
        """One line a check: files, failures, worst value, limit."""
        wide = max(map(len, SAYS.values()))
        lines = [f"{'check':{wide}}  files  failures  worst     limit"]
        for check, rows in self.rows.items():
            values = [value for _, value, _ in rows if value is not None]
            worst = f"{max(values):.2g}" if values else "-"
            lines.append(f"{SAYS[check]:{wide}}  {len(rows):5d}  {sum(bool(row[2]) for row in rows):8d}  {worst:8}  {LIMITS[check]}")
        return "\n".join(lines)


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    beside = Path(os.environ.get("TRANSREFINER_SHARED", ROOT.parent / "shared")) / "data" / "characters"
    parser.add_argument("--characters", type=Path, default=beside if beside.is_dir() else None, help="folder of glb, gltf, vrm, fbx files")
    parser.add_argument("--generated", type=int, default=50, help="characters by seed, humans and mascots in turn")
    parser.add_argument("--few", type=int, default=3, help="characters for each of the other dialects, beside two generated ones")
    parser.add_argument("--checkpoint", default="output/TransRefiner-finetune")
    parser.add_argument("--looks", type=int, default=1)
    parser.add_argument("--animate", type=Path, help="a .bvh, or a whole clip as .npz; else half a second of dance by rule, as BVH")
    parser.add_argument("--only", nargs="*", metavar="PASS", help="passes, such as contest-full-replace")
    parser.add_argument("--quick", action="store_true", help="ten generated figures, two of them in each other dialect")
    parser.add_argument("--work", type=Path, help="keep files and rigs here; rigs that stand are taken as they are")
    parser.add_argument("--pictures", type=Path, help="folder for a picture of each rig that three.js has drawn in the contest's dialect")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--doc", action="store_true", help="put the outcome into docs/acceptance.md")
    args = parser.parse_args(argv)
    if args.quick:
        args.generated, args.few = 10, 2
    return args


def main(argv: list[str] | None = None) -> int:
    args, started = parse(argv), time.perf_counter()
    results = Results()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as fresh:
        work = args.work or Path(fresh)
        work.mkdir(parents=True, exist_ok=True)
        clip_path = args.animate or work / "dance.bvh"
        if not args.animate:
            write_dance(clip_path)
        clip = load_clip(clip_path)
        generated = write_characters(work / "generated", args.generated)
        users = [] if args.quick else characters(args.characters, results)
        for way, files in plan(users, generated, args.few):
            if args.only is None or way.name in args.only:
                outputs = rig(way, files, clip_path, work, args, results)
                examine(outputs, clip, args.pictures if way == ALL else None, results)
                seconds = time.perf_counter() - started
                print(f"{way.name}: {len(outputs)} files, {len(results.failures)} failures so far, {seconds:.0f} s", flush=True)
    return report(args, results, time.perf_counter() - started)


def characters(folder: Path | None, results: Results) -> list[Path]:
    """The folder's files that can be read here."""
    if folder is None:
        results.not_checked.append("no folder of characters was given: only generated ones were checked")
        return []
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in (*GLTF, FBX))
    if not has_blender() and any(path.suffix.lower() == FBX for path in files):
        print("fbx files are left out: Blender's package is not installed (launch/locks/requirements-fbx.lock)")
        files = [path for path in files if path.suffix.lower() != FBX]
    return files


def plan(users: list[Path], generated: list[Path], few: int) -> list[tuple[Pass, list[Path]]]:
    """Which files go through which pass: all in the contest's dialect; in the others a few, each pass some others; all users' for VRM."""
    def some(files: list[Path], count: int, start: int) -> list[Path]:
        count = min(count, len(files))
        return [files[(start + k * len(files) // count) % len(files)] for k in range(count)]
    scenes = [path for path in users if path.suffix.lower() in GLTF]
    passes = [(ALL, users + generated)]
    for number, way in enumerate(OTHERS):
        own = scenes if way == OTHERS[0] else some(scenes, few, number)
        passes.append((way, own + some(generated, 2, 3 * number)))
    own_skeletons = ((OWN, scenes), (OWN_VRM, [path for path in scenes if path.suffix.lower() == ".vrm"]))
    return passes + [(way, files) for way, files in own_skeletons if files]


def rig(way: Pass, files: list[Path], clip: Path, work: Path, args: argparse.Namespace, results: Results) -> list[Output]:
    """Through the predict door, in a process of its own. Files that it does not rig are failures."""
    seen = work / "seen" / way.name
    command = [sys.executable, "-m", "benchmarks.acceptance.witness", str(seen), "--input", *map(str, files), "--animate", str(clip),
               "--checkpoint", args.checkpoint, "--looks", str(args.looks), "--output", str(work / "rigs"), "--name", way.name,
               "--dialect", way.dialect, "--hands", way.hands, "--rig", way.policy, "--influences", str(way.influences)]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    summary = work / "rigs" / way.name / "summary.json"
    if done.returncode not in (0, 2) or not summary.is_file():
        raise SystemExit(f"the predict door ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    found = {entry["input"]: entry for entry in json.loads(summary.read_text())["results"]}
    outputs = []
    for file in files:
        entry, name = found.get(file.name, {"reason": "not in the summary"}), f"{way.name}/{file.name}"
        results.add("rigged", name, trouble=entry.get("reason"))
        if not entry.get("reason"):
            path = summary.parent / entry["folder"] / ("rigged.vrm" if way.dialect == "vrm" else "rigged.glb")
            outputs.append(Output(file, path, way, kept(seen / f"{name_of(file)}.npz")))
    return outputs


def examine(outputs: list[Output], clip: Clip, pictures: Path | None, results: Results) -> None:
    """Every check on every output of a pass."""
    validate(outputs, results)
    for output in outputs:
        name = f"{output.way.name}/{output.source.name}"
        results.ask(("contract",), name, lambda: checks.contract(output))
        if output.source.suffix.lower() in GLTF:
            results.ask(("untouched",), name, lambda: checks.untouched(output, clip=True))
        if checks.has_contest_joints(output):
            results.ask(("joints", "weights", "sides"), name, lambda: checks.round_trip(output))
    if (lack := missing()) is not None:
        results.not_checked.append(lack)
        return
    with Page([output.path for output in outputs]) as page:
        for output in outputs:
            look(page, output, clip, pictures, results)


def look(page: Page, output: Output, clip: Clip, pictures: Path | None, results: Results) -> None:
    """What three.js and three-vrm make of one file."""
    name, frames = f"{output.way.name}/{output.source.name}", [round(k * (len(clip) - 1) / 4) for k in range(5)]
    every = max(1, len(output.handed.vertices_V3) // SAMPLES)
    names = ("three file", "three rig") if output.way.policy == "replace" else ("three file",)
    if pictures is not None:
        pictures.mkdir(parents=True, exist_ok=True)
    try:
        told = page.examine(output.path, [frame / clip.fps for frame in frames], every,
                            pictures / f"{output.source.stem}.png" if pictures else None)
    except RuntimeError as error:
        for check in names:
            results.add(check, name, trouble=f"does not load: {error}"[:400])
        return
    results.ask(names, name, lambda: checks.follows(output, told, clip, frames, every))
    if output.way.policy == "replace":
        results.ask(("three bones",), name, lambda: checks.bones_in_three(output, told))
    if output.way.dialect == "vrm":
        results.ask(("three-vrm",), name, lambda: checks.human(output, told))


def validate(outputs: list[Output], results: Results) -> None:
    """The Khronos validator over all of them in one go."""
    if not outputs:
        return
    if not (MODULES / "gltf-validator").is_dir():
        results.not_checked.append("no Khronos validator: npm install --prefix tests/rigging")
        return
    done = subprocess.run(["node", str(ROOT / "tests" / "rigging" / "validate.mjs"), *(str(output.path) for output in outputs)],
                          capture_output=True, text=True, check=True)
    for output, line in zip(outputs, done.stdout.splitlines(), strict=True):
        said = json.loads(line)
        results.add("khronos", f"{output.way.name}/{output.source.name}", float(said["errors"]), "; ".join(said["messages"][:3]) or None)


def report(args: argparse.Namespace, results: Results, seconds: float) -> int:
    """Print and write what was found. Returns the exit code."""
    print(results.table())
    for check, file, trouble in results.failures:
        print(f"FAILED {check}, {file}: {trouble}")
    for line in dict.fromkeys(results.not_checked):
        print(f"NOT CHECKED: {line}")
    found = as_data(results, seconds)
    print(f"{found['outputs']} rigged files, {len(results.failures)} failures, {seconds:.0f} s")
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(found, indent=1) + "\n")
    if args.doc:
        put_into(DOC, found)
    return 1 if results.failures or results.not_checked else 0


def as_data(results: Results, seconds: float) -> dict:
    """The same as plain data."""
    rows = {check: {"says": SAYS[check], "files": len(found), "failures": sum(bool(row[2]) for row in found), "limit": LIMITS[check],
                    "worst": max((row[1] for row in found if row[1] is not None), default=None)}
            for check, found in results.rows.items()}
    passes = [name.split("/")[0] for name, *_ in results.rows["rigged"]]
    return {"about": machine(), "outputs": sum(trouble is None for _, _, trouble in results.rows["rigged"]), "seconds": round(seconds),
            "processor_seconds": round(processor_seconds()), "passes": {way: passes.count(way) for way in dict.fromkeys(passes)},
            "checks": rows, "failed": results.failures, "not_checked": list(dict.fromkeys(results.not_checked))}


def processor_seconds() -> float:
    """Of this process and of those that it started and saw end."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def put_into(path: Path, found: dict) -> None:
    """The outcome as Markdown, between the document's markers."""
    about = found["about"]
    lines = ["| check | files | failures | worst | limit |", "|---|---|---|---|---|"]
    for row in found["checks"].values():
        worst = "-" if row["worst"] is None else f"{row['worst']:.2g}"
        lines.append(f"| {row['says']} | {row['files']} | {row['failures']} | {worst} | {row['limit']} |")
    passes = ", ".join(f"{way} {count}" for way, count in found["passes"].items())
    lines += ["", f"{found['outputs']} rigged files, {found['processor_seconds']} s of processor time on {about['processor']}, "
              f"{about['cores']} core{'s' * (about['cores'] != 1)}, {about['date']}. By pass: {passes}."]
    lines += [f"- failed: {check}, {file}: {trouble}" for check, file, trouble in found["failed"]]
    lines += [f"- not checked: {line}" for line in found["not_checked"]]
    head, rest = path.read_text(encoding="utf-8").split(BEGIN)
    path.write_text(head + BEGIN + "\n".join(lines) + "\n" + END + rest.split(END)[1], encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
