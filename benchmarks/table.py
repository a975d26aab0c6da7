"""The README's table of speeds, made from the dated results so that no number is typed by hand.

    python -m benchmarks.table             print the table of the newest results
    python -m benchmarks.table --write     put it into README.md, between its markers

A result is benchmarks/results/<date>/<benchmark>.json, as each benchmark's --json writes it.
"""

import argparse
import json
import sys
from typing import NamedTuple

from benchmarks.paired import RESULTS, ROOT

BEGIN, END = "<!-- speed:begin -->\n", "<!-- speed:end -->\n"


class Claim(NamedTuple):
    """One line: which key of which benchmark, what it says, how the number is written, and the bar it is held against."""
    benchmark: str
    key: str
    text: str
    form: str
    bar: str


CLAIMS = (
    Claim("bench_step", "train_ratio_small", "training step, preset `small`: time / PyTorch's", "{:.2f}", "<= 1.0"),
    Claim("bench_step", "train_ratio_base", "training step, preset `base`: time / PyTorch's", "{:.2f}", "<= 1.0"),
    Claim("bench_step", "forward_ratio", "rig of a 10,000-vertex character: time / PyTorch's", "{:.2f}", "<= 1.0"),
    Claim("bench_data", "data_ratio", "posed, sampled training samples: the contest baseline's time / ours", "{:.0f}", ">= 20"),
    Claim("bench_data", "data_share", "a worker's time for a batch / a step of preset `small`", "{:.3f}", "<= 0.10"),
    Claim("bench_kernels", "knn_16k_ratio", "16 nearest of 16,384 points: time / SciPy's cKDTree", "{:.2f}", "<= 1.0"),
    Claim("bench_kernels", "fps_16k_ratio", "farthest 4,096 of 16,384 points: time / numba's", "{:.2f}", "<= 1.0"),
    Claim("bench_scale", "vertices_1m_gb", "a mesh of a million vertices, peak memory in GB", "{:.2f}", "<= 3"),
    Claim("bench_scale", "vertices_1m_s", "a mesh of a million vertices, seconds", "{:.0f}", "-"),
    Claim("bench_startup", "second_start_s", "second start of the predict door to its first rig, seconds", "{:.1f}", "< 6"),
    Claim("bench_raster", "preview_s", "preview of 10,000 faces, 512 px, four views, seconds", "{:.2f}", "< 1"),
    Claim("bench_raster", "soft_ratio", "soft silhouettes forward and backward: NumPy's time / ours", "{:.0f}", ">= 5"),
    Claim("bench_mpi", "mpi_ratio", "throughput of two ranks with a thread each / one rank with two", "{:.2f}", ">= 0.9"),
    Claim("bench_mpi", "allreduce_share", "the all-reduce's share of a step", "{:.3f}", "-"),
)


def written(claim: Claim, result: dict) -> str:
    """The number, and the quartiles of its rounds where the benchmark tells them."""
    spread = result.get(f"{claim.key}_spread")
    return claim.form.format(result[claim.key]) + (f" ({'-'.join(claim.form.format(end) for end in spread)})" if spread else "")


def newest() -> dict[str, dict]:
    """benchmark -> its result of the latest date that has one."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(RESULTS.glob("*/bench_*.json"))}


def table(results: dict[str, dict]) -> str:
    """Markdown. A claim without a measurement is left out: nothing is claimed then."""
    lines = ["| what | measured | bar | command (2 cores) | date |", "|---|---|---|---|---|"]
    for claim in CLAIMS:
        about = results.get(claim.benchmark, {}).get("about")
        if about is not None:
            value = written(claim, results[claim.benchmark])
            lines.append(f"| {claim.text} | {value} | {claim.bar} | `python -m benchmarks.{claim.benchmark}` | {about['date']} |")
    machines = sorted({result["about"]["processor"] for result in results.values()})
    about_all = f"Machine: {'; '.join(machines)}, 2 cores, no GPU. Medians of paired runs, quartiles in brackets; rows and versions: "
    return "\n".join(lines) + f"\n\n{about_all}[benchmarks/results](benchmarks/results).\n"


def with_table(readme: str, new: str) -> str:
    """The README with everything between the markers replaced. Raises: ValueError when the markers are not there once each."""
    if readme.count(BEGIN) != 1 or readme.count(END) != 1:
        raise ValueError(f"README.md must hold {BEGIN.strip()} and {END.strip()} once each")
    before, rest = readme.split(BEGIN)
    return before + BEGIN + "\n" + new + "\n" + END + rest.split(END)[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="put the table into README.md")
    args = parser.parse_args()
    new, readme = table(newest()), ROOT / "README.md"
    if args.write:
        readme.write_text(with_table(readme.read_text(), new))
    else:
        sys.stdout.write(new)


if __name__ == "__main__":
    main()
