"""Time the second start of the predict door, from the shell to the finished rig of one 10,000-vertex character, and list its parts.

    python -m benchmarks.bench_startup [--json FILE] [--runs 5]

second_start_s: median wall seconds of whole `bash launch/predict_joint_model.sh FILE` runs, caches warm, the door's default options.
The parts come from the same door called from inside, with clocks around its steps; Jittor is lazy, so the network's answers are
fetched where a clock stops, which the door itself does not do. Where the door does two things at once, both count: shares may sum
to more than the whole.
new_kernels: what characters of many sizes, with and without normals and faces, need beyond what set-up has compiled: 0 is the aim.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from benchmarks.paired import ROOT, machine, write_result

VERTICES = 10_000
CHECKPOINT = Path("output/TransRefiner-finetune")
SIZES = (22, 100, 1023, 1024, 1025, 8191, 8192, 8193, 8194, 16385)  # around the numbers of points and of queries decoded at once
SHELL = 'source launch/setup.sh; exec "$PYTHON" -m benchmarks.bench_startup --inside "$0" "$EPOCHREALTIME"'


# ----------------------------------------------------------------------------------------------- the character


def make_character(path: Path, count: int = VERTICES) -> None:
    """Write a generated human of exactly ``count`` vertices as GLB: its largest triangles get a vertex in their middle."""
    from rigging.scene_fresh import write_glb
    from dataset.sources.humans import HumanStyle, generate
    coarse = replace(HumanStyle(), low_poly=1.0)
    asset = next(a for a in map(lambda seed: generate(seed, coarse), range(1000)) if len(a.vertices_V3) <= count)
    vertices_V3, faces_F3, skin_VJ = refine(asset.vertices_V3, asset.faces_F3, asset.skin_VJ, count)
    write_glb(path, vertices_V3, faces_F3, None, asset.joints_J3, asset.parents, asset.names, skin_VJ, asset.up)


def refine(vertices_V3, faces_F3, skin_VJ, count: int):
    """The same surface with ``count`` vertices (V <= count <= V + F): a new vertex in the middle of each of the largest triangles."""
    import numpy as np

    from geometry.sampling import triangle_areas
    split = np.argsort(-triangle_areas(vertices_V3, faces_F3), kind="stable")[:count - len(vertices_V3)]
    a, b, c = faces_F3[split].T
    middle = np.arange(len(vertices_V3), len(vertices_V3) + len(split))
    whole = np.delete(faces_F3, split, axis=0)
    parts = [np.stack(corners, 1) for corners in ((a, b, middle), (b, c, middle), (c, a, middle))]
    mean = lambda x_VC: np.concatenate([x_VC, x_VC[faces_F3[split]].mean(1)]).astype(x_VC.dtype)  # noqa: E731
    return mean(vertices_V3), np.concatenate([whole, *parts]), mean(skin_VJ)


# ----------------------------------------------------------------------------------------------- whole runs


def whole_run(character: Path) -> float:
    """Seconds of one run of the door, as a user starts it. Raises: SystemExit when it fails."""
    with tempfile.TemporaryDirectory() as output:  # a fresh one: what stands there already would not be rigged again
        began = time.perf_counter()
        run(["bash", "launch/predict_joint_model.sh", str(character), "--output", output])
        return time.perf_counter() - began


def run(command: list[str]) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with code {done.returncode}:\n{done.stderr}")
    return done.stdout


# ----------------------------------------------------------------------------------------------- parts


class Clocks:
    """Seconds by part, in the order of their first use."""

    def __init__(self):
        self.seconds: dict[str, float] = defaultdict(float)

    def around(self, part: str, work: Callable, finish: Callable = lambda answer: None) -> Callable:
        """The same function with a clock around it; the first call counts apart where the part's name has a '{}'."""
        def timed(*args, **kwargs):
            nonlocal calls
            began = time.perf_counter()
            answer = work(*args, **kwargs)
            finish(answer)
            self.seconds[part.format("first" if calls == 0 else "further")] += time.perf_counter() - began
            calls += 1
            return answer
        calls = 0
        return timed


def inside(character: Path, shell_done: float) -> dict[str, float]:
    """The door's own steps, one clock each. shell_done: time.time() when bash was about to become this Python."""
    clocks = Clocks()
    clocks.seconds["python starts"] = time.time() - shell_done
    clocks.around("import numpy", __import__)("numpy")
    from launch.runtime import start_jittor
    jt = clocks.around("start Jittor", start_jittor)()
    clocks.around("import our rooms", import_rooms)()
    watch(clocks, jt)
    import predict_joint_model
    with tempfile.TemporaryDirectory() as folder:
        answers, sys.stdout = sys.stdout, sys.stderr
        code = clocks.around("the door in all", predict_joint_model.main)(["--input", str(character), "--output", folder])
        sys.stdout = answers
    if code:
        sys.exit(code)
    whole = clocks.seconds.pop("the door in all")
    known = sum(s for part, s in clocks.seconds.items() if part.startswith("- "))
    clocks.seconds["- the rest of the door"] = max(whole - known, 0.0)
    return dict(clocks.seconds)


def import_rooms() -> None:
    import launch.batch_predict  # noqa: F401
    import launch.predictor  # noqa: F401


def watch(clocks: Clocks, jt) -> None:
    """Put clocks around the door's steps, under every name that our modules know them by."""
    import dataset.exporter
    import dataset.sources.files
    import launch.predictor
    import pictures.preview
    import pictures.report
    import rigging.quality
    import rigging.scene
    import rigging.weights
    from dataset.sampler import Sampler
    from models.joint_model import JointModel

    def fetch(answer) -> None:
        jt.sync_all(True)

    steps = {"- load the checkpoint": launch.predictor.Predictor.__init__, "- sample points": Sampler.places,
             "- encode, {}": JointModel.encode, "- decode, {}": JointModel.decode_skin}
    for (part, step), owner in zip(steps.items(), (launch.predictor.Predictor, Sampler, JointModel, JointModel)):
        setattr(owner, step.__name__, clocks.around(part, step, fetch if "{}" in part else lambda answer: None))
    for part, module, name in (("- read the file", dataset.sources.files, "load_asset"),
                               ("- draw the preview", pictures.preview, "draw_preview"),
                               ("- write arrays", dataset.exporter, "save_contest"), ("- polish the weights", rigging.weights, "polish"),
                               ("- examine the rig", rigging.quality, "examine"), ("- put the rig into the scene", rigging.scene, "add_rig"),
                               ("- draw the report", pictures.report, "draw")):
        step = getattr(module, name)
        timed = clocks.around(part, step)
        for known in list(sys.modules.values()):
            if getattr(known, name, None) is step:
                setattr(known, name, timed)


def parts_run(character: Path) -> dict[str, float]:
    """One run from inside: seconds by part, with the shell before and the end of the process after."""
    began = time.time()
    shell_done, parts, ended = json.loads(run(["bash", "-c", SHELL, str(character)]).splitlines()[-1])
    return {"bash and the set-up check": shell_done - began, **parts, "the process ends": time.time() - ended}


# ----------------------------------------------------------------------------------------------- kernels


def count_new_kernels() -> int:
    """How many kernels characters of SIZES, meshes and clouds, with and without normals, need beyond those that set-up compiles."""
    from launch.runtime import start_jittor
    start_jittor()
    from launch.compile_kernels import compile_all, figure, loaded_kernels
    from launch.predictor import Predictor, PredictorOptions
    compile_all(CHECKPOINT)
    before = loaded_kernels()
    for mesh in map(figure, SIZES):
        for asset in (mesh, replace(mesh, normals_V3=None), replace(mesh, faces_F3=None), replace(mesh, faces_F3=None, normals_V3=None)):
            Predictor(CHECKPOINT, PredictorOptions(looks=4)).predict(asset)  # the first file of a start, each
    return len(loaded_kernels() - before)


# ----------------------------------------------------------------------------------------------- the report


def measure(runs: int) -> tuple[dict[str, float], list[dict]]:
    with tempfile.TemporaryDirectory() as folder:
        character = Path(folder) / "character.glb"
        make_character(character)
        whole_run(character)  # warms the caches
        new = int(run([sys.executable, "-m", "benchmarks.bench_startup", "--kernels"]).splitlines()[-1])
        seconds = [whole_run(character) for _ in range(runs)]
        parts_run(character)
        inside_runs = [parts_run(character) for _ in range(runs)]
    rows = [{"part": "whole run", "median_s": statistics.median(seconds), "least_s": min(seconds), "most_s": max(seconds)}]
    for part in inside_runs[0]:
        values = [each.get(part, 0.0) for each in inside_runs]
        rows.append({"part": part, "median_s": statistics.median(values), "least_s": min(values), "most_s": max(values)})
    return {"second_start_s": rows[0]["median_s"], "new_kernels": new}, rows


def table(rows: list[dict]) -> str:
    lines = [f"{'part':32}{'median':>9}{'least':>9}{'most':>9}   seconds"]
    return "\n".join(lines + [f"{r['part']:32}{r['median_s']:9.3f}{r['least_s']:9.3f}{r['most_s']:9.3f}" for r in rows])


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--inside", nargs=2, metavar=("FILE", "TIME"), help="what a run from inside is started with")
    parser.add_argument("--kernels", action="store_true", help="print the number of new kernels and nothing else")
    args = parser.parse_args(argv)
    if args.inside:
        parts = inside(Path(args.inside[0]), float(args.inside[1]))
        return print(json.dumps([float(args.inside[1]), parts, time.time()]))
    if args.kernels:
        return print(count_new_kernels())
    about = machine()
    keys, rows = measure(args.runs)
    print(table(rows))
    print(f"\nsecond_start_s {keys['second_start_s']:.2f} (bar: under 6)   new_kernels {keys['new_kernels']} (bar: 0)")
    write_result(args.json, keys, rows, about)


if __name__ == "__main__":
    main()
