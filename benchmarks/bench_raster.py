"""The rasterisers: a preview of a character, soft silhouettes against a NumPy reference, and how both grow with faces and pixels.

    python -m benchmarks.bench_raster [--json FILE] [--rounds 9]

preview_s: preview.png of a generated human of about 10,000 faces, four views 512 pixels high on their sheet, lit, with skeleton and weights,
reading nothing and writing the file; preview_cpu_s: the processor time of that, all threads, which busy neighbours hardly change.
soft_ratio: the reference's time over ours for a silhouette and its gradient (about 1,000 faces, 128 x 128 pixels, sigma 1e-4, float32), median over
rounds in turns; both must agree to 2e-4. The reference (benchmarks/raster_reference.py) meets every face with every pixel, as the definition says;
ours only those that are near. Two threads each.
The rows give seconds by faces and pixels: the z-buffer, and the soft silhouette forward and backward.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.paired import Worker, compare, machine, serve, take_turns, write_result
from geometry.camera import around
from geometry.soft_raster import Softness

PREVIEW_FACES, SOFT_FACES, SOFT_PIXELS = 10_000, 1_000, 128
FACES, PIXELS = (1_000, 4_000, 16_000, 64_000), (128, 256, 512)
SOFT = Softness(sigma=1e-4, near=1e-3, far=1e3)
AGREE = 2e-4     # of values up to 1 and of gradients over their largest


# ----------------------------------------------------------------------------------------------- the meshes


def mesh_of(faces: int) -> tuple:
    """A generated human, Z up, of at most this many faces and nearly as many: cut into four or thinned. Points, faces, joints, parents, and
    the vertex that each point came from."""
    from dataset.sources.humans import generate
    from pictures.surface import thinned
    human = generate(0).in_network_frame()
    points_P3, faces_F3, vertex_P = np.float64(human.vertices_V3), human.faces_F3, np.arange(len(human.vertices_V3))
    if faces > len(faces_F3):
        points_P3, faces_F3 = cut_in_four(points_P3, faces_F3)
    fits, too_many = 8, 2000
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        fits, too_many = (middle, too_many) if len(thinned(points_P3, faces_F3, middle)[0]) <= faces else (fits, middle)
    faces_F3, kept, _ = thinned(points_P3, faces_F3, fits)
    return points_P3[kept], faces_F3, human, vertex_P[kept] if len(vertex_P) == len(points_P3) else None


def cut_in_four(points_P3: np.ndarray, faces_F3: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each face by the middles of its edges, whose points are not shared."""
    a, b, c = points_P3[faces_F3].transpose(1, 0, 2)
    ab, bc, ca = (a + b) / 2, (b + c) / 2, (c + a) / 2
    corners = np.concatenate([np.stack(face, 1) for face in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))])
    return corners.reshape(-1, 3), np.arange(3 * len(corners)).reshape(-1, 3)


def corners_of(points_P3: np.ndarray, faces_F3: np.ndarray) -> np.ndarray:
    """(F, 3, 3) float32 on a camera's picture, half from the left."""
    return np.float32(around(points_P3, 1, start=40)[0].project(points_P3)[faces_F3])


# ----------------------------------------------------------------------------------------------- the worker


def work(folder: Path) -> None:
    from launch.runtime import start_jittor
    jt = start_jittor()
    serve({**preview_case(folder), **soft_case(jt, folder), **scaling_cases(jt)})


def preview_case(folder: Path) -> dict:
    from pictures import preview
    points_P3, faces_F3, human, vertex_P = mesh_of(PREVIEW_FACES)
    preview.HEIGHT, preview.MAX_WIDTH = 512, 4096    # the figure's height decides

    def draw() -> dict:
        start = time.process_time()
        preview.draw_preview(folder / "preview.png", points_P3, faces_F3, human.joints_J3, human.parents, "z", skin_VJ=human.skin_VJ[vertex_P])
        return {"faces": len(faces_F3), "cpu_s": time.process_time() - start}
    return {"preview": draw}


def soft_case(jt, folder: Path) -> dict:
    from ops.soft_raster import soft_silhouette
    with np.load(folder / "soft.npz") as scene:
        corners, weight, soft = scene["corners"], scene["weight"], Softness(*scene["soft"].tolist())

    def run() -> None:
        c, w = jt.array(corners[None]), jt.array(weight[None])
        cover = soft_silhouette(c, *weight.shape, soft)
        slope = jt.grad((cover * w).sum(), c)
        np.savez(folder / "ours.npz", cover=cover.numpy()[0], slope=slope.numpy()[0])
    return {"soft": run}


def scaling_cases(jt) -> dict:
    from ops.raster import rasterize
    from ops.soft_raster import soft_silhouette
    cases = {}
    for faces in FACES:
        points_P3, faces_F3, _, _ = mesh_of(faces)
        corners = corners_of(points_P3, faces_F3)
        for pixels in PIXELS:
            def hard(corners=corners, pixels=pixels) -> dict:
                placed = np.float32(corners.reshape(1, -1, 3) * (pixels / 2, -pixels / 2, 1) + (pixels / 2, pixels / 2, 0))
                at = np.arange(3 * len(corners), dtype="int32").reshape(-1, 3)
                rasterize(jt.array(placed), jt.array(at), pixels, pixels, True)[0].numpy()
                return {"faces": len(corners)}

            def soft(corners=corners, pixels=pixels) -> dict:
                c = jt.array(corners[None])
                jt.grad(soft_silhouette(c, pixels, pixels, SOFT).sum(), c).numpy()
                return {"faces": len(corners)}
            cases |= {f"hard {faces} {pixels}": hard, f"soft {faces} {pixels}": soft}
    return cases


# ----------------------------------------------------------------------------------------------- the report


def quartiles(seconds: list[float]) -> dict[str, float]:
    low, middle, high = np.percentile(seconds, [25, 50, 75])
    return {"median_s": round(middle, 5), "low_s": round(low, 5), "high_s": round(high, 5)}


def agree(folder: Path) -> None:
    """Raises: RuntimeError where the two sides did not compute the same."""
    with np.load(folder / "ours.npz") as ours, np.load(folder / "reference.npz") as reference:
        for name in ("cover", "slope"):
            apart = abs(ours[name] - reference[name]).max() / abs(reference[name]).max()
            if not apart <= AGREE:
                raise RuntimeError(f"{name}: ours and the reference are {apart:.1e} apart, more than {AGREE}")


def measure(folder: Path, rounds: int) -> tuple[dict[str, float], list[dict]]:
    points_P3, faces_F3, _, _ = mesh_of(SOFT_FACES)
    weight_HW = np.random.default_rng(0).normal(size=(SOFT_PIXELS, SOFT_PIXELS)).astype("float32")
    np.savez(folder / "soft.npz", corners=corners_of(points_P3, faces_F3), weight=weight_HW, soft=np.array(SOFT))
    workers = {"ours": Worker([sys.executable, "-m", "benchmarks.bench_raster", "--serve", str(folder)], threads=2),
               "reference": Worker([sys.executable, "-m", "benchmarks.raster_reference", str(folder)], threads=2)}
    try:
        turns = take_turns(workers, "soft", rounds)
        agree(folder)
        ours = workers["ours"]
        found = [ours.run("preview") for _ in range(rounds + 1)][1:]
        preview, cpu = ([each[key] for each in found] for key in ("seconds", "cpu_s"))
        rows = [{"what": "preview", "faces": found[0]["faces"], **quartiles(preview)},
                {"what": "preview, processor time of all threads", "faces": found[0]["faces"], **quartiles(cpu)}]
        rows += [{"what": f"soft silhouette and gradient, {side}", "faces": len(faces_F3), "pixels": SOFT_PIXELS, **quartiles(turns[side])}
                 for side in turns]
        for case in (c for c in ours.cases if c[:5] in ("hard ", "soft ")):
            found = [ours.run(case) for _ in range(rounds + 1)][1:]
            what, _, pixels = case.split()
            rows.append({"what": what, "faces": found[0]["faces"], "pixels": int(pixels), **quartiles([each["seconds"] for each in found])})
    finally:
        for worker in workers.values():
            worker.close()
    ratio = compare(turns["reference"], turns["ours"])
    return {"preview_s": statistics.median(preview), "preview_s_spread": np.percentile(preview, [25, 75]).tolist(),
            "preview_cpu_s": statistics.median(cpu), "soft_ratio": ratio.median, "soft_ratio_spread": [ratio.low, ratio.high]}, rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        return work(args.serve)
    about = machine(threads=2, rounds=args.rounds)
    with tempfile.TemporaryDirectory() as folder:
        keys, rows = measure(Path(folder), args.rounds)
    for row in sorted(rows, key=lambda row: (row["what"], row["faces"], row.get("pixels", 0))):
        print(f"{row['what']:40s} {row['faces']:7,d} faces {row.get('pixels', ''):>5} px  {1e3 * row['median_s']:9.1f} ms "
              f"({1e3 * row['low_s']:.1f}-{1e3 * row['high_s']:.1f})")
    print(", ".join(f"{key} {value}" for key, value in keys.items()))
    write_result(args.json, keys, rows, about)


if __name__ == "__main__":
    main()
