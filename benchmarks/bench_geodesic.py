"""Distances over characters' surfaces: edges, our heat method and potpourri3d's against exact ones, and what each costs.

    PYTHONPATH=.oracles python -m benchmarks.bench_geodesic FILE.npz ... --json benchmarks/results/<date>/bench_geodesic.json

benchmarks/requirements-oracles.txt says how to get the two libraries. Of each file the largest piece is taken; errors are means over its points,
relative to libigl's exact distance (Mitchell, Mount and Papadimitriou 1987) from one point. One thread, best of three. A piece that is no
manifold is left out: libigl's exact distances end the process there.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import igl
import numpy as np
import potpourri3d

from benchmarks.paired import machine, write_result
from dataset.sources.npz import load_npz
from geometry.geodesic import distances, graph
from geometry.heat import HeatMethod
from geometry.topology import components, edges, proper_faces, welded


def largest_piece(file: Path) -> tuple[np.ndarray, np.ndarray]:
    asset = load_npz(file)
    points_U3, place_V = welded(asset.vertices_V3)
    faces_F3 = proper_faces(place_V[asset.faces_F3])
    label_U = components(faces_F3, len(points_U3))
    used_W, faces = np.unique(faces_F3[label_U[faces_F3[:, 0]] == np.bincount(label_U).argmax()], return_inverse=True)
    return points_U3[used_W], faces.reshape(-1, 3).astype(np.int64)


def is_manifold(faces_F3: np.ndarray) -> bool:
    """No edge has more than two faces, and the two run along it in opposite directions."""
    way_P2 = faces_F3[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2)
    return len(np.unique(way_P2, axis=0)) == len(way_P2)


def best(run: Callable, times: int = 3) -> tuple[float, object]:
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        result = run()
        seconds.append(time.perf_counter() - start)
    return min(seconds), result


def measure(file: Path, points_W3: np.ndarray, faces_F3: np.ndarray) -> dict:
    none = np.zeros(0, np.int64)
    truth_W = igl.exact_geodesic(points_W3, faces_F3, np.zeros(1, np.int64), none, np.arange(len(points_W3)), none)
    row = {"file": file.stem, "points": len(points_W3), "faces": len(faces_F3)}
    ways = {"edge": (lambda: graph(points_W3, edges(faces_F3)), lambda built: distances(built, [0])),
            "heat": (lambda: HeatMethod.of(points_W3, faces_F3), lambda built: built.distances([0])),
            "potpourri3d": (lambda: potpourri3d.MeshHeatMethodDistanceSolver(points_W3, faces_F3), lambda built: built.compute_distance(0))}
    for name, (build, ask) in ways.items():
        build_s, built = best(build)
        ask_s, got_W = best(lambda: ask(built))
        error_W = np.abs(got_W - truth_W)[truth_W > 0] / truth_W[truth_W > 0]
        row |= {f"{name}_build_s": build_s, f"{name}_ask_s": ask_s, f"{name}_error": float(error_W.mean())}
    return row


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(argv)
    rows = []
    for file in args.files:
        points_W3, faces_F3 = largest_piece(file)
        if not is_manifold(faces_F3):
            print(f"{file.stem}: left out, no manifold")
            continue
        rows.append(measure(file, points_W3, faces_F3))
        print({key: round(value, 4) if isinstance(value, float) else value for key, value in rows[-1].items()}, flush=True)
    keys = {f"{name}_{kind}": float(np.mean([row[f"{name}_{kind}"] for row in rows]))
            for name in ("edge", "heat", "potpourri3d") for kind in ("build_s", "ask_s", "error")}
    print({key: round(value, 4) for key, value in keys.items()})
    write_result(args.json, keys, rows, machine())


if __name__ == "__main__":
    main()
