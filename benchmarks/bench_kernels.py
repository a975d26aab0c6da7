"""Time each kernel of ops/ against its peer, turn by turn: PyTorch, for searches SciPy's cKDTree, for farthest points numba.

    python -m benchmarks.bench_kernels [--threads 2] [--json FILE] [--only NAME] [--plain] [--device cuda]

A case is one kernel at one size (benchmarks/kernel_cases.py), forward, and forward with backward where there are gradients. Both sides
get the same arrays, and their outputs are compared before anything is timed: a wrong answer ends the benchmark. Each turn repeats the case
for at least 30 ms. Ratios are ours / peer, the median of the turns and the quartiles; <kernel>_ratio in the JSON is the geometric mean
over the sizes, with backward where there is one. Jittor differentiates scalars only, so our backward pass does one product more.
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.kernel_cases import Case, all_cases, write_cases
from benchmarks.paired import Worker, compare, machine, peers_python, take_turns, write_result


def spacing(points_N3: np.ndarray, picks_M: np.ndarray) -> np.ndarray:
    """Distance of each pick from those before it: what farthest point sampling is about, the same however near-ties fall."""
    picked_M3 = points_N3[picks_M].astype(float)
    if len(set(picks_M.tolist())) < len(picks_M):
        raise ValueError("a point was picked twice")
    return np.array([np.sqrt(((picked_M3[:i] - picked_M3[i]) ** 2).sum(-1).min()) for i in range(1, len(picks_M))])


def disagreement(case: Case, ours: list[np.ndarray], peer: list[np.ndarray]) -> str | None:
    """What differs between the outputs of the two sides beyond rounding, or None. Indices may differ where distances tie in rounding."""
    if case.kernel.startswith("fps"):
        ours, peer = ([np.stack([spacing(p, i) for p, i in zip(case.inputs[0], x[0])])] for x in (ours, peer))
    for place, (a, b) in enumerate(zip(ours, peer, strict=True)):
        if a.shape != b.shape:
            return f"output {place} has shape {a.shape}, the peer's {b.shape}"
        if a.dtype.kind == "i":
            share = float((a != b).mean())
            if share > 1e-3:
                return f"{share:.2%} of the indices in output {place} differ"
        elif not np.abs(a - b).max() <= 1e-3 * max(float(np.abs(b).max()), 1e-6):
            return f"output {place} differs by {np.abs(a - b).max():.3g}; its largest value is {np.abs(b).max():.3g}"
    return None


def check(folder: Path, place: int, case: Case, workers: dict[str, Worker]) -> None:
    """Raises: SystemExit when the sides disagree."""
    for way in case.ways:
        outputs = {}
        for side, worker in workers.items():
            worker.run(f"{place}/{way}/check")
            with np.load(folder / f"{place}-{way}-{side}.npz") as arrays:
                outputs[side] = [arrays[name] for name in arrays.files]
        fault = disagreement(case, outputs["ours"], outputs["peer"])
        if fault:
            sys.exit(f"{case.kernel}, {case.size}, {way}: {fault}. A wrong answer is not timed")


def measure(place: int, case: Case, workers: dict[str, Worker], rounds: int) -> dict:
    row = {"kernel": case.kernel, "size": case.size}
    for way in case.ways:
        times = take_turns(workers, f"{place}/{way}", rounds)
        ratio = compare(times["ours"], times["peer"])
        row |= {f"{way}_ms": {side: 1e3 * statistics.median(seconds) for side, seconds in times.items()},
                f"{way}_ratio": list(ratio)}
    return row


def show(row: dict) -> str:
    text = f"{row['kernel']:22} {row['size']:34}"
    for way in ("forward", "both"):
        if f"{way}_ms" in row:
            median, low, high = row[f"{way}_ratio"]
            text += f" {row[f'{way}_ms']['ours']:8.2f} {row[f'{way}_ms']['peer']:8.2f} {median:5.2f} ({low:.2f}-{high:.2f})"
            text += f" {row[f'{way}_ms']['plain']:8.2f}" if "plain" in row[f"{way}_ms"] else ""
    return text


def summarise(rows: list[dict]) -> dict[str, float]:
    """<kernel>_ratio: the geometric mean over the sizes, with backward where there is one."""
    keys = {}
    for kernel in dict.fromkeys(row["kernel"] for row in rows):
        ratios = [row.get("both_ratio", row["forward_ratio"])[0] for row in rows if row["kernel"] == kernel]
        keys[f"{kernel}_ratio"] = statistics.geometric_mean(ratios)
    return keys


def run_cases(folder: Path, cases: list[Case], workers: dict[str, Worker], rounds: int) -> list[dict]:
    """The table's rows, printed as they come. The cases must lie in the folder already, for the workers read them at their start."""
    rows = []
    print(f"{'kernel':22} {'size':34} {'forward':>8} {'peer':>8} ratio {'':11} {'both':>8} {'peer':>8} ratio   (ms)")
    for place, case in enumerate(cases):
        asked = {side: worker for side, worker in workers.items() if side != "plain" or case.plain}
        check(folder, place, case, {side: asked[side] for side in ("ours", "peer")})
        rows.append(measure(place, case, asked, rounds))
        print(show(rows[-1]), flush=True)
    return rows


def start_workers(folder: Path, threads: int, device: str, plain: bool) -> dict[str, Worker]:
    ending = [str(folder), "--device", device]
    workers = {"ours": Worker([sys.executable, "-m", "benchmarks.jittor_kernels", *ending], threads),
               "peer": Worker([peers_python(), "-m", "benchmarks.peer_kernels", *ending], threads)}
    if plain:
        workers["plain"] = Worker([sys.executable, "-m", "benchmarks.jittor_kernels", *ending, "--plain"], threads)
    return workers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9, help="turns of each side")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers here too")
    parser.add_argument("--only", default="", metavar="NAME", help="kernels whose name contains this")
    parser.add_argument("--plain", action="store_true", help="a third column: the same in Jittor's own operators")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    args = parser.parse_args()
    cases = [case for case in all_cases() if args.only in case.kernel]
    about = machine(threads=str(args.threads), device=args.device)
    with tempfile.TemporaryDirectory() as name:
        write_cases(Path(name), cases)
        workers = start_workers(Path(name), args.threads, args.device, args.plain)
        rows = run_cases(Path(name), cases, workers, args.rounds)
        for worker in workers.values():
            worker.close()
    keys = summarise(rows)
    print("\n" + "\n".join(f"{name:34} {value:.2f}" for name, value in keys.items()))
    write_result(args.json, keys, rows, about)


if __name__ == "__main__":
    main()
