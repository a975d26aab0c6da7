"""Time and peak memory of prediction against points, vertices, joints and batch: a table, curves, and the bar of a million vertices.

    python -m benchmarks.bench_scale --json benchmarks/results/DATE/bench_scale.json       about four minutes; kernels must be compiled
    python -m benchmarks.bench_scale --quick --json FILE                                   tiny sizes and network: tests the plumbing

Every point is a process of its own (scale_point.py); its peak memory is what the kernel says of it at its end (VmHWM). GB are 1e9 bytes.
The vertices' curve runs the predict door as a user does, on a .glb of a generated human whose triangles are split until it has just so
many vertices; below the human's own 12,700 a figure of boxes. The other curves time the network with random weights.
Keys: vertices_1m_gb, vertices_1m_s (the whole process); vertex_slope (of rigging, the door's part between reading and writing).
Letters: V vertices, F faces, E edges.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.paired import ROOT, machine, write_result
from dataset.exporter import pack_glb, write_atomically
from dataset.sources.humans import generate
from tests.dataset.figures import capsule_man

CURVES = {"points": (1024, 2048, 4096, 8192, 16384), "vertices": (1000, 10_000, 100_000, 1_000_000), "joints": (22, 52, 128),
          "batch": (1, 2, 4, 8, 16)}
QUICK = {"points": (64,), "vertices": (300, 600), "joints": (128,), "batch": (2,)}
CHECKPOINT = "output/TransRefiner-finetune"
PARTS = ("encode_s", "decode_s", "read_s", "rig_s", "write_s")  # what a point times
PICTURE = ROOT / "docs" / "images" / "scale_curves.png"


def split(vertices_V3: np.ndarray, faces_F3: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each triangle in four; the midpoint of an edge is shared."""
    edge_E2 = np.sort(faces_F3[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    number_U, place_E = np.unique(edge_E2[:, 0] * len(vertices_V3) + edge_E2[:, 1], return_inverse=True)
    first_U, second_U = np.divmod(number_U, len(vertices_V3))
    ab, bc, ca = len(vertices_V3) + place_E.reshape(-1, 3).T
    a, b, c = faces_F3.T
    faces = [np.stack(corners, 1) for corners in ((a, ab, ca), (b, bc, ab), (c, ca, bc), (ab, bc, ca))]
    return np.concatenate([vertices_V3, (vertices_V3[first_U] + vertices_V3[second_U]) / 2]), np.concatenate(faces)


def refine(vertices_V3: np.ndarray, faces_F3: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The mesh with exactly `count` >= V vertices: split as a whole while that fits, then triangles split at their middles."""
    while True:
        finer = split(vertices_V3, faces_F3)
        if len(finer[0]) > count:
            break
        vertices_V3, faces_F3 = finer
    while len(vertices_V3) < count:
        here_P3 = faces_F3[:count - len(vertices_V3)]
        new_P = len(vertices_V3) + np.arange(len(here_P3))
        a, b, c = here_P3.T
        faces_F3 = np.concatenate([faces_F3[len(here_P3):], *(np.stack(t, 1) for t in ((a, b, new_P), (b, c, new_P), (c, a, new_P)))])
        vertices_V3 = np.concatenate([vertices_V3, vertices_V3[here_P3].mean(1)])
    return vertices_V3, faces_F3


def write_figure(path: Path, count: int, human) -> None:
    """A .glb of bare triangles with `count` vertices."""
    base = human if len(human.vertices_V3) <= count else capsule_man(22, splits=0)
    vertices_V3, faces_F3 = refine(np.float64(base.vertices_V3), np.int64(base.faces_F3), count)
    x, y, z = np.float32(vertices_V3).T
    positions_V3, indices = np.stack([x, z, -y], 1), faces_F3.astype("<u4").ravel()  # Z up to Y up
    views = [{"buffer": 0, "byteOffset": 0, "byteLength": positions_V3.nbytes},
             {"buffer": 0, "byteOffset": positions_V3.nbytes, "byteLength": indices.nbytes}]
    accessors = [{"bufferView": 0, "componentType": 5126, "count": count, "type": "VEC3", "min": positions_V3.min(0).tolist(),
                  "max": positions_V3.max(0).tolist()}, {"bufferView": 1, "componentType": 5125, "count": len(indices), "type": "SCALAR"}]
    document = {"asset": {"version": "2.0"}, "scene": 0, "scenes": [{"nodes": [0]}], "nodes": [{"mesh": 0}],
                "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1}]}], "accessors": accessors,
                "bufferViews": views, "buffers": [{"byteLength": positions_V3.nbytes + indices.nbytes}]}
    write_atomically(path, pack_glb(document, positions_V3.tobytes() + indices.tobytes()))


def run_point(point: dict) -> dict:
    """The point's times, seconds and peak memory of its process. Raises: SystemExit when it failed; its messages are above."""
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "benchmarks.scale_point", json.dumps(point)], cwd=ROOT, stdout=subprocess.PIPE,
                          text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    if done.returncode:
        sys.exit(f"the point {point} ended with {done.returncode}")
    return {"curve": point["curve"], "size": point["size"], **json.loads(done.stdout), "process_s": time.perf_counter() - start}


def measure(curves: dict[str, tuple[int, ...]], preset: str, repeats: int, folder: Path) -> list[dict]:
    rows, human = [], generate(5).in_network_frame()
    for curve, sizes in curves.items():
        for size in sizes:
            point = {"curve": curve, "size": size, "preset": preset, "repeats": repeats}
            if curve == "vertices":
                write_figure(folder / f"{size}.glb", size, human)
                point["words"] = ["--input", str(folder / f"{size}.glb"), "--checkpoint", CHECKPOINT, "--output", str(folder / "out")]
            rows.append(run_point(point))
            print(line(rows[-1]), flush=True)
    return rows


def line(row: dict) -> str:
    parts = "  ".join(f"{name[:-2]} {row[name]:7.3f}" for name in PARTS if name in row)
    return (f"{row['curve']:9} {row['size']:9,}  {parts}  process {row['process_s']:6.1f} s, {row['cpu_s']:6.1f} core s  "
            f"{row['peak_gb']:5.2f} GB")


def keys(rows: list[dict]) -> dict[str, float]:
    """vertices_1m_*: of the largest mesh; vertex_slope: between the two largest."""
    smaller, largest = [row for row in rows if row["curve"] == "vertices"][-2:]
    slope = math.log(largest["rig_s"] / smaller["rig_s"]) / math.log(largest["size"] / smaller["size"])
    return {"vertices_1m_gb": largest["peak_gb"], "vertices_1m_s": largest["process_s"], "vertex_slope": slope}


def short(size: int) -> str:
    """16k for 16,384, 1M for a million."""
    for unit, letter in ((1_000_000, "M"), (1000, "k")):
        if size >= unit:
            return f"{size // unit}{letter}"
    return str(size)


def draw(rows: list[dict], path: Path) -> None:
    """Time above, peak memory below, a column for each curve."""
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt
    curves = list(dict.fromkeys(row["curve"] for row in rows))
    figure, axes = plt.subplots(2, len(curves), figsize=(3.4 * len(curves), 5.6), squeeze=False)
    for column, curve in enumerate(curves):
        own = [row for row in rows if row["curve"] == curve]
        sizes = [row["size"] for row in own]
        for name in (name for name in PARTS if name in own[0]):
            axes[0, column].plot(sizes, [row[name] for row in own], "o-", label=name[:-2])
        axes[1, column].plot(sizes, [row["peak_gb"] for row in own], "o-", color="0.3")
        axes[0, column].set(xscale="log", yscale="log", ylabel="seconds" if column == 0 else "", title=curve)
        axes[1, column].set(xscale="log", ylim=(0, None), xlabel=curve, ylabel="peak memory, GB" if column == 0 else "")
        axes[0, column].legend(frameon=False, fontsize=8)
        for axis in axes[:, column]:
            axis.set_xticks(sizes, [short(size) for size in sizes])
            axis.minorticks_off()
            axis.grid(alpha=0.3)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write keys and rows here")
    parser.add_argument("--picture", type=Path, metavar="PNG", help=f"default: {PICTURE.relative_to(ROOT)}, with --quick none")
    parser.add_argument("--quick", action="store_true", help="tiny sizes and network: for the test of this program")
    args = parser.parse_args()
    about = machine(threads=os.environ.get("OMP_NUM_THREADS", "all cores"))
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(QUICK if args.quick else CURVES, "tiny" if args.quick else "small", 1 if args.quick else 3, Path(folder))
    found = keys(rows)
    print("  ".join(f"{name} {value:.2f}" for name, value in found.items()))
    picture = args.picture or (None if args.quick else PICTURE)
    if picture is not None:
        draw(rows, picture)
    write_result(args.json, found, rows, about)


if __name__ == "__main__":
    main()
