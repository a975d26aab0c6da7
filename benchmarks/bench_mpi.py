"""Two MPI ranks with one thread each against one process with two threads: train steps of preset small, global batch 8.

    python -m benchmarks.bench_mpi [--json FILE] [--rounds 15]

mpi_ratio: samples a second of the ranks over those of the single process, median over rounds of one step each, in turns.
allreduce_share: the share of the ranks' step that goes into averaging the gradients, waiting for the slower rank included: one minus
the time of the same step without it.
The network, losses, optimiser and step are the training door's own; the batch is synthetic (benchmarks/step_jittor.py), because the
data path has a benchmark of its own. The ranks are not tied to cores, as launch/setup.sh leaves them.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from benchmarks.paired import Worker, compare, machine, serve, take_turns, write_result

RANKS = 2
BATCH = 8             # over all ranks
CASES = ("train", "without")  # a step, and one that does not average the gradients


# ----------------------------------------------------------------------------------------------- the worker


def work(preset: str, folder: Path) -> None:
    """Serve the cases. Rank 0 answers the benchmark; the others do as it does, woken by a pipe, so that a waiting rank costs nothing."""
    from launch.runtime import start_jittor
    jt = start_jittor()
    cases = make_cases(jt, preset)
    pipes = [folder / f"rank{rank}" for rank in range(1, jt.world_size)]
    if jt.rank:
        with open(pipes[jt.rank - 1]) as orders:
            for line in orders:
                cases[line.strip()]()
        return
    writers = [open(pipe, "w", buffering=1) for pipe in pipes]

    def on_all_ranks(name: str) -> None:
        for writer in writers:
            writer.write(name + "\n")
        cases[name]()

    serve({name: lambda name=name: on_all_ranks(name) for name in cases})
    for writer in writers:
        writer.close()


def make_cases(jt, preset: str) -> dict:
    """The training door's step on this rank's share of the batch, with and without the average over ranks."""
    from benchmarks.step_jittor import make_batch
    from launch.build import build_model
    from launch.config import to_dict
    from launch.optimizer import AdamW
    from launch.presets import PRESETS
    from models.losses import RigLoss
    from train_joint_model import train_step
    jt.set_global_seed(0, different_seed_for_mpi=False)
    cfg = PRESETS[preset](52)
    model, loss_of = build_model({"model": "transrefiner", "network": to_dict(cfg.network)}), RigLoss(52, cfg.loss)
    optimizer = AdamW(dict(model.named_parameters()), cfg.optim)
    share = BATCH // jt.world_size
    batch = {key: value[jt.rank * share:(jt.rank + 1) * share] for key, value in make_batch(cfg, loss_of.parents).items()}

    def step(averaging: bool) -> None:
        there, jt.in_mpi = jt.in_mpi, jt.in_mpi and averaging
        try:
            train_step(model, loss_of, optimizer, batch)
        finally:
            jt.in_mpi = there
        jt.sync_all(True)  # the parameters' update too

    return {"train": lambda: step(True), "without": lambda: step(False)}


# ----------------------------------------------------------------------------------------------- the report


def start(preset: str, folder: Path, ranks: int, threads: int) -> Worker:
    command = [sys.executable, "-m", "benchmarks.bench_mpi", "--serve", str(folder), "--preset", preset]
    if ranks > 1:
        for rank in range(1, ranks):
            os.mkfifo(folder / f"rank{rank}")
        as_root = ["--allow-run-as-root"] if os.getuid() == 0 else []
        command = [str(Path(sys.prefix) / "bin" / "mpirun"), *as_root, "--bind-to", "none", "--oversubscribe", "-np", str(ranks), *command]
    return Worker(command, threads)


def measure(preset: str, rounds: int) -> tuple[dict[str, float], list[dict]]:
    with tempfile.TemporaryDirectory() as folder:
        workers = {"one": start(preset, Path(folder), 1, RANKS), "ranks": start(preset, Path(folder), RANKS, 1)}
        times = take_turns(workers, "train", rounds, warmup=3)
        apart = {"whole": [], "without": []}
        for turn in range(rounds + 1):
            for name, case in (("whole", "train"), ("without", "without")):
                seconds = workers["ranks"].run(case)["seconds"]
                apart[name] += [seconds] if turn else []
        for worker in workers.values():
            worker.close()
    ratio, rest = compare(times["one"], times["ranks"]), compare(apart["without"], apart["whole"])
    rows = [{"what": "one process, 2 threads", **spread(times["one"])}, {"what": "2 ranks, 1 thread each", **spread(times["ranks"])},
            {"what": "2 ranks, nothing averaged", **spread(apart["without"])}]
    keys = {"mpi_ratio": ratio.median, "mpi_ratio_spread": [ratio.low, ratio.high], "allreduce_share": 1 - rest.median}
    return keys, rows


def spread(seconds: list[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    return {"median_ms": 1e3 * ordered[len(ordered) // 2], "least_ms": 1e3 * ordered[0], "most_ms": 1e3 * ordered[-1],
            "samples_per_s": BATCH / ordered[len(ordered) // 2]}


def table(rows: list[dict]) -> str:
    lines = [f"{'step of ' + str(BATCH) + ' samples':28}{'median ms':>11}{'least':>9}{'most':>9}{'samples/s':>11}"]
    return "\n".join(lines + [f"{r['what']:28}{r['median_ms']:11.0f}{r['least_ms']:9.0f}{r['most_ms']:9.0f}{r['samples_per_s']:11.2f}"
                              for r in rows])


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--preset", default="small")
    parser.add_argument("--serve", type=Path, metavar="FOLDER", help="be a worker; the ranks' pipes lie in FOLDER")
    args = parser.parse_args(argv)
    if args.serve:
        return work(args.preset, args.serve)
    about = machine()
    keys, rows = measure(args.preset, args.rounds)
    print(table(rows))
    print(f"\nmpi_ratio {keys['mpi_ratio']:.2f} ({keys['mpi_ratio_spread'][0]:.2f}-{keys['mpi_ratio_spread'][1]:.2f}; bar: at least 0.9)   "
          f"allreduce_share {keys['allreduce_share']:.1%}")
    write_result(args.json, keys, rows, about)


if __name__ == "__main__":
    main()
