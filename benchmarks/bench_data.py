"""The data path against the contest baseline's way, and against the train step that it feeds. One thread each, in turns.

    python -m benchmarks.bench_data [--rounds 7] [--characters 12] [--json FILE]

data_ratio: seconds per sample, the reference's (benchmarks/reference_data.py) over ours, one core each; >= 20 wanted. A sample: a
generated human of about 13,000 vertices and 52 joints under a random or motion pose (half and half), 2048 points with normals and
skin, half of them mesh vertices as the baseline has it, in the unit box. Ours reads prepared shards and answers in batches of 8, as
training asks for them; the reference reads pickled .npz files, an item at a time. Both are in the system's file cache. The second
ratio is against the reference with its skinning done as one matrix product, which the baseline does not do.
data_share: seconds in which one data worker makes a batch of 8 as training has it (preset small's 1024 points, FINETUNE with all its
augmentations, pickled as for the pipe) over the train step of preset small at batch 8 with two threads; <= 0.10 wanted. Batches and
steps take turns too, so that neither disturbs the other. The breakdown has the time per sample of such batches.
Both sides answer with points, normals, joints and skin as float32.
"""

import argparse
import json
import pickle
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.paired import PEERS, Worker, compare, machine, serve, take_turns, write_result
from dataset import pipeline
from dataset.augment import FINETUNE, Clutter, Draw, Jitter, Mirror, Mix, NormalDropout, PointDensity
from dataset.body import Body, SparseSkin
from dataset.pipeline import Pipeline
from dataset.poses import procedural_bank
from dataset.prepared import PreparedAssets, load_prepared, prepare
from dataset.sampler import Sampler
from dataset.sources.humans import generate

BATCH = 8
REST = "the rest"
PARTS = {(Mix, "__call__"): "choosing a pose", (Draw, "move"): "kinematics", (Sampler, "spots"): "sampling faces and vertices",
         (SparseSkin, "rows"): "weights of the corners", (Body, "posed"): "skinning", (Body, "widened"): "bounding box",
         (pipeline, "_carried"): "weights of the points", (Body, "normals"): "normals", (pipeline, "pose_normals"): "normals",
         (Clutter, "shells"): "augmentation of points", (PointDensity, "keep"): "augmentation of points",
         (Jitter, "__call__"): "augmentation of points", (pipeline, "_fill"): "box and batch", (pipeline, "_blank"): "box and batch"}
TASK = {"points": 2048, "mocap_share": 0.5, "reference_samples": 8, "our_samples": 160, "batches": 10}


def plain_mix(mocap_share: float) -> Mix:
    """Poses only: what the reference does, and nothing of our augmentation."""
    quiet = replace(FINETUNE, rest=0.0, random=1 - mocap_share, mocap=mocap_share, mirror=Mirror(0.0), density=PointDensity(0.0),
                    normal_dropout=NormalDropout(0.0))
    return replace(quiet, **{name: replace(getattr(quiet, name), p=0.0) for name in ("rotate", "tilt", "stretch", "clutter", "jitter")})


def time_parts(work: Callable[[], object], samples: int) -> dict[str, float]:
    """Seconds per sample that `work` spends in each of PARTS, what these call of each other not counted twice, and in the rest."""
    spent, running = dict.fromkeys([*PARTS.values(), REST], 0.0), [REST]
    since = [time.perf_counter()]

    def switch() -> None:
        now = time.perf_counter()
        spent[running[-1]] += now - since[0]
        since[0] = now

    def timed(function: Callable, part: str) -> Callable:
        def call(*args, **kwargs):
            switch()
            running.append(part)
            try:
                return function(*args, **kwargs)
            finally:
                switch()
                running.pop()
        return call

    plain = {place: getattr(*place) for place in PARTS}
    try:
        for place, part in PARTS.items():
            setattr(*place, timed(plain[place], part))
        since[0] = time.perf_counter()
        work()
        switch()
    finally:
        for place, function in plain.items():
            setattr(*place, function)
    return {part: seconds / samples for part, seconds in spent.items()}


def serve_ours(folder: Path) -> None:
    """Our worker: cases "samples" (the reference's task) and "batch" (one of training's)."""
    task, assets = json.loads((folder / "task.json").read_text()), load_prepared(folder / "prepared", verify=False)
    same = Pipeline(assets, plain_mix(task["mocap_share"]), Sampler(task["points"], vertex_share=0.5), 52, BATCH)
    done = {"samples": 0, "batch": 0}

    def samples() -> dict:
        start, first, count = time.perf_counter(), done["samples"], task["our_samples"] // BATCH
        for step in range(first, first + count):
            last = same.train_batch(step, range(BATCH))
        done["samples"] += count
        return {"seconds": (time.perf_counter() - start) / (count * BATCH),
                "shapes": {name: list(last[name].shape[1:]) for name in ("points", "normals", "joints", "skin")}}

    def batch() -> dict:
        training = Pipeline(assets, FINETUNE, Sampler(training_points(folder)), 52, BATCH)
        start = time.perf_counter()
        for step in range(done["batch"], done["batch"] + task["batches"]):
            pickle.dumps(("batch", training.train_batch(step, range(BATCH))), protocol=5)
        done["batch"] += task["batches"]
        return {"seconds": (time.perf_counter() - start) / task["batches"]}

    def breakdown() -> dict:
        training = Pipeline(assets, FINETUNE, Sampler(training_points(folder)), 52, BATCH)
        return {"parts": time_parts(lambda: [training.train_batch(step, range(BATCH)) for step in range(task["batches"])],
                                    task["batches"] * BATCH)}

    serve({"samples": samples, "batch": batch, "breakdown": breakdown})


def training_points(folder: Path) -> int:
    """Points of a cloud in the batch that the train step beside us is fed with (launch.presets would start Jittor here)."""
    with np.load(folder / "step" / "batch.npz") as batch:
        return batch["points"].shape[1]


def make_inputs(folder: Path, characters: int) -> PreparedAssets:
    """The same generated humans as shards and as pickled .npz files, a track of motion for the reference, and the task."""
    humans = [generate(seed) for seed in range(characters)]
    assets = prepare(humans, folder / "prepared", key="bench_data")
    (folder / "characters").mkdir()
    for n, human in enumerate(humans):
        human = human.in_network_frame()
        np.savez(folder / "characters" / f"{n:03d}.npz", vertices=human.vertices_V3, faces=human.faces_F3, joints=human.joints_J3,
                 skin=human.skin_VJ, matrix_local=human.local_J44(), parents=np.array(list(human.parents), dtype=object),
                 names=list(human.names), cls=human.cls, id=human.id)
    bank, first = procedural_bank(), assets[0]
    track_TJ44 = [bank.basis(t, first.parents, first.joints_J3, first.local_J44()) for t in range(0, len(bank), 8)]
    np.savez(folder / "track.npz", matrix_basis=np.stack(track_TJ44))
    (folder / "task.json").write_text(json.dumps(TASK))
    return assets


def reference_workers(folder: Path) -> dict[str, Worker]:
    """The reference in each environment that has trimesh; the faster one is the opponent."""
    pythons = {"reference": sys.executable} | ({"reference, peers' NumPy": str(PEERS)} if PEERS.exists() else {})
    return {name: Worker([python, "-m", "benchmarks.reference_data", str(folder)], threads=1) for name, python in pythons.items()}


def measure_samples(folder: Path, ours: Worker, rounds: int) -> dict[str, list[float]]:
    """Seconds per sample by rounds: "ours", "reference" in its faster environment, and "reference, one product" there."""
    workers = reference_workers(folder)
    try:
        shapes = {name: worker.run("samples")["shapes"] for name, worker in ({"ours": ours} | workers).items()}
        if any(shape != shapes["ours"] for shape in shapes.values()):
            raise RuntimeError(f"the two ways do not make the same thing: {shapes}")
        trial = take_turns(workers, "samples", rounds=3)
        fastest = workers[min(workers, key=lambda name: statistics.median(trial[name]))]
        seconds: dict[str, list[float]] = {"ours": [], "reference": [], "reference, one product": []}
        for _ in range(rounds):
            seconds["ours"].append(ours.run("samples")["seconds"])
            seconds["reference"].append(fastest.run("samples")["seconds"])
            seconds["reference, one product"].append(fastest.run("samples, one product")["seconds"])
    finally:
        for worker in workers.values():
            worker.close()
    return seconds


def measure_share(folder: Path, ours: Worker, rounds: int) -> dict[str, list[float]]:
    """Seconds of a batch and of a train step of preset small with one and with two threads, by rounds."""
    command = [sys.executable, "-m", "benchmarks.step_jittor", str(folder / "step"), "--preset", "small"]
    out: dict[str, list[float]] = {}
    for threads in (2, 1):
        step = Worker(command, threads)
        try:
            step.run("train")       # compiles
            turns = min(rounds, 3) if threads == 1 else rounds
            batch, train = [], []
            for _ in range(turns):
                batch.append(ours.run("batch")["seconds"])
                train.append(step.run("train")["seconds"])
            out[f"train step, {threads} thread{'s' if threads > 1 else ''}"] = train
            out.setdefault("one worker's batch of 8", batch)
        finally:
            step.close()
    return out


def table(seconds: dict[str, list[float]]) -> list[dict]:
    """One row each: median and quartiles in milliseconds."""
    rows = []
    for what, values in seconds.items():
        low, middle, high = np.percentile(values, [25, 50, 75]) * 1e3
        rows.append({"what": what, "ms": middle, "low": low, "high": high})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--characters", type=int, default=12)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        return serve_ours(args.serve)
    about, folder = machine(), Path(tempfile.mkdtemp(prefix="bench_data_"))
    try:
        sizes = [entry.vertices for entry in make_inputs(folder, args.characters).entries]
        ours = Worker([sys.executable, "-m", "benchmarks.bench_data", "--serve", str(folder)], threads=1)
        try:
            samples, share = measure_samples(folder, ours, args.rounds), measure_share(folder, ours, args.rounds)
            parts = ours.run("breakdown")["parts"]
        finally:
            ours.close()
    finally:
        shutil.rmtree(folder)
    report(samples, share, parts, {**about, "characters": len(sizes), "median_vertices": statistics.median(sizes)}, args.json)


def report(samples: dict, share: dict, parts: dict[str, float], about: dict, path: Path | None) -> None:
    """Print the tables and the claims, and write them."""
    rows = table({f"sample of {TASK['points']} points, {name}": values for name, values in samples.items()} | share)
    rows += [{"what": f"  of a training sample: {name}", "ms": seconds * 1e3} for name, seconds in parts.items()]
    print(f"{about['characters']} characters, median {about['median_vertices']:.0f} vertices\n")
    for row in rows:
        spread = f"   ({row['low']:.3f}-{row['high']:.3f})" if "low" in row else ""
        print(f"{row['what']:<52} {row['ms']:9.3f} ms{spread}")
    ratio, tuned = (compare(samples[name], samples["ours"]) for name in ("reference", "reference, one product"))
    part = compare(share["one worker's batch of 8"], share["train step, 2 threads"])
    print(f"\ndata_ratio {ratio}, wanted >= 20; with skinning as one product in the reference {tuned}")
    print(f"data_share {part.median:.3f} ({part.low:.3f}-{part.high:.3f}), wanted <= 0.10")
    keys = {"data_ratio": ratio.median, "data_ratio_spread": [ratio.low, ratio.high], "data_ratio_one_product": tuned.median,
            "data_share": part.median, "data_share_spread": [part.low, part.high]}
    write_result(path, keys, rows, about)


if __name__ == "__main__":
    main()
