"""Training step and forward pass against the same network in PyTorch, side by side: A B A B on one machine, in one run.

    python -m benchmarks.bench_step [--json FILE] [--threads 2] [--rounds 9] [--presets small base] [--device cuda] [--compile]

The peer is benchmarks/torch_twin.py with fused AdamW; its memory allocator is told to keep its pages (without that PyTorch's step
took a third longer here). Both sides get the same weights and the same batch of 8 with 52 joints; the forward pass is one
character of 10,000 vertices, all decoded at once. Losses of both sides are compared: a peer that computes something else ends the run.
--compile: torch.compile the peer as well.
"""

import argparse
import math
import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks.paired import Ratio, Worker, compare, machine, peers_python, take_turns, write_result

KEEP_PAGES = {"MALLOC_TRIM_THRESHOLD_": "-1", "MALLOC_MMAP_MAX_": "0", "MALLOC_TOP_PAD_": str(1 << 28)}
WARM_UP = 3


def check_alike(workers: dict[str, Worker], case: str, answer: str) -> None:
    """First runs of a case, which compile; both sides must have computed the same.

    Raises: SystemExit with both numbers when they differ by more than a thousandth.
    """
    for _ in range(WARM_UP):
        ours, theirs = (worker.run(case)[answer] for worker in workers.values())
        if not math.isclose(ours, theirs, rel_tol=1e-3):
            sys.exit(f"bench_step: {case} gives {ours} in Jittor and {theirs} in PyTorch; the two are not the same network")


def measure(preset: str, args: argparse.Namespace) -> tuple[dict[str, Ratio], list[dict]]:
    """Ratios ours / theirs of the training step and of the forward pass, and their rows."""
    with tempfile.TemporaryDirectory() as folder:
        device = ["--device", args.device]
        workers = {"jittor": Worker([sys.executable, "-m", "benchmarks.step_jittor", folder, "--preset", preset, *device], args.threads)}
        peer = [peers_python(), "-m", "benchmarks.step_torch", folder, *device, *(["--compile"] if args.compile else [])]
        workers["torch"] = Worker(peer, args.threads, KEEP_PAGES)
        ratios, rows = {}, []
        for case, answer in (("train", "loss"), ("forward", "check")):
            check_alike(workers, case, answer)
            times = take_turns(workers, case, args.rounds)
            ratios[case] = compare(times["jittor"], times["torch"])
            rows.append({"preset": preset, "case": case, "ratio": ratios[case]._asdict(),
                         **{f"{name}_s": statistics.median(seconds) for name, seconds in times.items()}})
            seconds = "   ".join(f"{name} {statistics.median(values):.4f} s" for name, values in times.items())
            print(f"{preset:6} {case:8} {seconds}   ratio {ratios[case]}", flush=True)
        for worker in workers.values():
            worker.close()
    return ratios, rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--presets", nargs="+", default=["small", "base"], choices=("tiny", "small", "base"))
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--compile", action="store_true")
    args = parser.parse_args()
    about, keys, rows = machine(threads=args.threads, device=args.device), {}, []
    for preset in args.presets:
        ratios, more = measure(preset, args)
        rows += more
        name_of = {"train": f"train_ratio_{preset}", "forward": "forward_ratio"}
        for case, ratio in ratios.items():
            if ratio.median > keys.get(name_of[case], 0.0):  # forward: the worst of the presets
                keys[name_of[case]], keys[f"{name_of[case]}_spread"] = ratio.median, [ratio.low, ratio.high]
    write_result(args.json, keys, rows, about)


if __name__ == "__main__":
    main()
