"""What bench_kernels times: each kernel's inputs at the network's shapes, and how a worker serves them. NumPy only: both sides import it.

The shapes are those of the presets small (1024 points, levels of 1024, 256, 64, widths 64, 128, 256) and base (2048 points, widths from
96 to 512), batch 8, and of vertex decoding. Letters: B batch, N, Q, M points, K neighbours, C channels, H heads, E channels per head, J
joints.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.paired import serve
from geometry.neighbors import knn, three_nearest

SPAN = 0.03  # seconds that a turn lasts at least: short kernels are repeated


@dataclass(frozen=True)
class Case:
    """One kernel at one size. The first ``grads`` inputs want gradients (0: there are none)."""

    kernel: str
    size: str
    inputs: tuple[np.ndarray, ...]
    grads: int = 0
    options: dict[str, int] = field(default_factory=dict)
    plain: bool = True  # whether plain Jittor can do it in reasonable time and memory

    @property
    def ways(self) -> tuple[str, ...]:
        return ("forward", "both") if self.grads else ("forward",)


def body(rng: np.random.Generator, batch: int, count: int) -> np.ndarray:
    """Points on an ellipsoid of a person's proportions, (B, N, 3) float32."""
    way = rng.normal(size=(batch, count, 3))
    return np.float32(way / np.linalg.norm(way, axis=-1, keepdims=True) * [0.4, 0.2, 1.0])


def neighbours(query_BQ3: np.ndarray, source_BM3: np.ndarray, k: int) -> np.ndarray:
    return np.stack([knn(q, s, k)[1] for q, s in zip(query_BQ3, source_BM3)]).astype("int32")


def search_cases(rng: np.random.Generator) -> list[Case]:
    cases = []
    for kernel, batch, queries, sources, k in (("knn", 8, 256, 1024, 16), ("knn", 8, 1024, 1024, 12), ("knn", 8, 512, 2048, 24),
                                               ("knn_16k", 1, 16384, 16384, 16)):
        source = body(rng, batch, sources)
        cases.append(Case(kernel, f"{batch} x {queries} in {sources}, K {k}", (source[:, :queries], source), options={"k": k},
                          plain=batch > 1))
    for batch, queries, sources in ((8, 1024, 256), (1, 10000, 1024), (1, 100000, 1024)):
        cases.append(Case("three_nearest", f"{batch} x {queries} in {sources}", (body(rng, batch, queries), body(rng, batch, sources)),
                          plain=queries < 100000))
    for kernel, batch, points, count in (("fps", 8, 1024, 256), ("fps", 1, 1024, 256), ("fps", 1, 4096, 1024),
                                         ("fps_16k", 1, 16384, 4096)):
        cases.append(Case(kernel, f"{batch} x {points} -> {count}", (body(rng, batch, points),), options={"count": count},
                          plain=points <= 1024))
    return cases


def gather_cases(rng: np.random.Generator) -> list[Case]:
    draw, cases = partial(_draw, rng), []
    for queries, sources, k, width, out_width in ((256, 1024, 16, 64, 128), (512, 2048, 24, 96, 192)):
        source = body(rng, 8, sources)
        cases.append(Case("gather", f"8 x {queries} x {k} of {sources} x {width}",
                          (draw(8, sources, width), neighbours(source[:, :queries], source, k)), 1))
        cases.append(Case("group_max", f"8 x {queries} x {k} x {out_width}", (draw(8, queries, k, out_width),), 1))
    for batch, queries, sources, width in ((8, 1024, 256, 64), (8, 2048, 512, 96), (1, 10000, 1024, 64)):
        query, source = body(rng, batch, queries), body(rng, batch, sources)
        idx, weight = (np.stack(x) for x in zip(*(three_nearest(q, s) for q, s in zip(query, source))))
        cases.append(Case("interpolate", f"{batch} x {queries} of {sources} x {width}",
                          (draw(batch, sources, width), idx.astype("int32"), weight.astype("float32")), 1))
    for points, k, width, heads in ((1024, 12, 64, 2), (2048, 16, 96, 3)):
        cloud = body(rng, 8, points)
        cases.append(Case("local_attention", f"8 x {points}, K {k}, {heads} heads of {width // heads}",
                          (*(draw(8, points, width) for _ in range(3)), neighbours(cloud, cloud, k)), 3, {"heads": heads}))
    for vertices in (512, 4096):
        skin = rng.dirichlet(np.full(52, 0.1), (8, vertices)).astype("float32")
        cases.append(Case("linear_blend_skinning", f"8 x {vertices}, J 52", (draw(8, vertices, 3), skin, draw(8, 52, 3, 4)), 3))
    return cases


def dense_cases(rng: np.random.Generator) -> list[Case]:
    draw, cases = partial(_draw, rng), []
    for heads, rows, keys in ((4, 256, 256), (8, 64, 64), (8, 52, 320), (6, 512, 512)):
        qkv = draw(8, heads, rows, 32), draw(8, heads, keys, 32), draw(8, heads, keys, 32)
        cases.append(Case("attention", f"8 x {heads} x {rows} to {keys}, E 32", qkv, 3))
    for rows, width in ((256, 128), (64, 256)):
        cases.append(Case("multi_head_attention", f"8 x {rows} x {width}, {width // 32} heads",
                          tuple(draw(8, rows, width) for _ in range(3)), 3, {"heads": width // 32}))
    for batch, rows, inner, columns in ((32, 256, 32, 256), (8, 1024, 64, 52)):
        cases.append(Case("bmm", f"{batch} x {rows} x {inner} x {columns}", (draw(batch, rows, inner), draw(batch, inner, columns)), 2))
    for rows, width in ((8192, 52), (2048, 256)):
        cases.append(Case("softmax", f"{rows} x {width}", (draw(rows, width),), 1))
    for rows, width in ((8192, 64), (2048, 128), (512, 256)):
        cases.append(Case("layer_norm", f"{rows} x {width}", (draw(rows, width), draw(width), draw(width)), 3))
        cases.append(Case("gelu", f"{rows} x {2 * width}", (draw(rows, 2 * width),), 1))
        cases.append(Case("linear", f"{rows} x {width} to {2 * width}", (draw(rows, width), draw(2 * width, width), draw(2 * width)), 3))
    return cases


def _draw(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.normal(size=shape).astype("float32")


def all_cases() -> list[Case]:
    rng = np.random.default_rng(0)
    return [*search_cases(rng), *gather_cases(rng), *dense_cases(rng)]


def write_cases(folder: Path, cases: list[Case]) -> None:
    for place, case in enumerate(cases):
        np.savez(folder / f"{place}.npz", *case.inputs)
    (folder / "cases.json").write_text(json.dumps([[c.kernel, c.size, c.grads, c.options] for c in cases]))


def read_cases(folder: Path) -> list[Case]:
    cases = []
    for place, (kernel, size, grads, options) in enumerate(json.loads((folder / "cases.json").read_text())):
        with np.load(folder / f"{place}.npz") as arrays:
            cases.append(Case(kernel, size, tuple(arrays[name] for name in arrays.files), grads, options))
    return cases


def pull_of(shape: tuple[int, ...]) -> np.ndarray:
    """The gradient that a backward pass starts from: the same on both sides, as it comes from the shape alone."""
    return np.random.default_rng(sum(shape)).normal(size=shape).astype("float32")


def serve_cases(folder: Path, side: str, prepare: Callable[[Case], dict[str, Callable[[], list]]], fetch: Callable) -> None:
    """Serve "<place>/<way>" (time) and "<place>/<way>/check" (leave the outputs in the folder, as <place>-<way>-<side>.npz).

    prepare: case -> way -> a function that computes, waits for the result and returns it; called at the case's first use.
    fetch: one output -> array.
    """
    answers, ready = {}, {}
    for place, case in enumerate(read_cases(folder)):
        def run(way: str, place: int = place, case: Case = case) -> list:
            if place not in ready:
                ready.clear()  # one case's arrays at a time
                ready[place] = prepare(case)
            return ready[place][way]()
        for way in case.ways:
            answers[f"{place}/{way}"] = partial(_time, partial(run, way))
            answers[f"{place}/{way}/check"] = partial(_save, folder / f"{place}-{way}-{side}.npz", partial(run, way), fetch)
    serve(answers)


def _time(run: Callable[[], list]) -> dict:
    count, start = 0, time.perf_counter()
    while count == 0 or time.perf_counter() - start < SPAN:
        run()
        count += 1
    return {"seconds": (time.perf_counter() - start) / count}


def _save(path: Path, run: Callable[[], list], fetch: Callable) -> None:
    np.savez(path, *(fetch(x) for x in run()))
