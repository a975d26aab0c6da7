"""One point of bench_scale.py's curves, in a process of its own so that its peak memory is its own. Prints one JSON line.

    python -m benchmarks.scale_point '{"curve": "points", "size": 4096, "preset": "small", "repeats": 3}'

points, joints, batch: the network alone, random weights, one encoding and 8,192 queries (`QUERIES`); the first run is thrown away.
vertices: the whole predict door on one file, from the start of the process to the last byte written, its parts timed inside.
"""

import io
import json
import statistics
import sys
import time
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path

import numpy as np

from launch.runtime import start_jittor

QUERIES = 8192


def network(preset: str, joints: int):
    """A network of random weights. More joints than the contest has: a tree of chains, made up here, since no file format knows it."""
    import models.joint_model as module
    from dataset.format import SKELETONS, Skeleton
    from launch.presets import PRESETS
    if joints not in SKELETONS:
        parents = tuple(None if j == 0 else max(0, j - 4) for j in range(joints))  # four chains from the root
        module.skeleton = lambda count: Skeleton(tuple(f"joint_{j}" for j in range(count)), parents, tuple(range(count)))
    net = module.JointModel(replace(PRESETS[preset]().network, joint_count=joints))
    net.eval()
    return net


def time_network(preset: str, points: int, joints: int, batch: int, repeats: int) -> dict:
    """Median seconds of encoding `batch` clouds together, and of decoding QUERIES positions of each."""
    import jittor as jt
    rng = np.random.default_rng(0)
    net = network(preset, joints)

    def cloud(count: int):
        return jt.array(rng.normal(size=(batch, count, 3)).astype("float32").clip(-1, 1))
    clouds, queries = (cloud(points), cloud(points)), (cloud(QUERIES), cloud(QUERIES))
    encoding, decoding = [], []
    with jt.no_grad():
        for _ in range(repeats + 1):
            start = time.perf_counter()
            code = net.encode(*clouds)
            jt.sync([code.joints_BJ3, code.tokens_BJD, code.fine.feat_BNC])
            middle = time.perf_counter()
            net.decode_skin(code, *queries).numpy()
            encoding.append(middle - start)
            decoding.append(time.perf_counter() - middle)
    return {"encode_s": statistics.median(encoding[1:]), "decode_s": statistics.median(decoding[1:])}


def time_door(words: list[str]) -> dict:
    """Run the predict door on one file and say what its parts took, seconds. Raises: SystemExit when it could not rig the file."""
    import launch.batch_predict as module
    import predict_joint_model
    parts: dict[str, float] = {}

    def timed(name: str, function):
        def run(*given, **named):
            start = time.perf_counter()
            try:
                return function(*given, **named)
            finally:
                parts[name] = parts.get(name, 0) + time.perf_counter() - start
        return run
    module.load_asset = timed("read_s", module.load_asset)
    module.Predictor.predict = timed("rig_s", module.Predictor.predict)
    module.write_rig = timed("write_s", module.write_rig)
    with redirect_stdout(io.StringIO()) as printed:
        code = predict_joint_model.main(words)
    if code:
        sys.exit(f"the predict door ended with {code}: {printed.getvalue()}")
    return parts


def peak_gb() -> float:
    """The most memory that this process has held, 1e9 bytes. Its rusage would not do: that begins with what the parent held."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) * 1024 / 1e9


def main() -> None:
    point = json.loads(sys.argv[1])
    start_jittor()
    if point["curve"] == "vertices":
        times = time_door(point["words"])
    else:
        sizes = {"points": 1024, "joints": 52, "batch": 1} | {point["curve"]: point["size"]}
        times = time_network(point["preset"], **sizes, repeats=point["repeats"])
    print(json.dumps({**times, "cpu_s": time.process_time(), "peak_gb": peak_gb()}))


if __name__ == "__main__":
    Path("/proc/self/oom_score_adj").write_text("500")  # should memory run out, this process goes and not its neighbours
    main()
