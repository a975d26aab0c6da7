"""Pictures of an evaluation: error of each joint, of each class and variant; reliability; the robustness card. No display needed."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import numpy as np  # noqa: E402  (the backend must be chosen first)
from matplotlib import pyplot as plt  # noqa: E402
from matplotlib.ticker import LogLocator, NullLocator  # noqa: E402

from dataset.format import skeleton  # noqa: E402
from launch.evaluator import Results, joint_means  # noqa: E402
from launch.robustness import Reading, curves, level_text  # noqa: E402


def plot_evaluation(folder: Path, results: Results, rows: list[dict]) -> list[Path]:
    """per_joint_<count>.png for each joint count, and per_class.png. Returns what was written."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for joints in sorted({s.joints for s in results.scores}):
        written.append(folder / f"per_joint_{joints}.png")
        _save(written[-1], _per_joint(results, joints))
    if rows:
        written.append(folder / "per_class.png")
        _save(written[-1], _per_class(rows))
    return written


def _per_joint(results: Results, joints: int):
    systems = list(dict.fromkeys(s.system for s in results.scores if s.joints == joints))
    figure, axis = plt.subplots(figsize=(max(7, 0.28 * joints + 2), 4.5))
    width = 0.8 / len(systems)
    for k, system in enumerate(systems):
        error_J = joint_means([s for s in results.scores if (s.system, s.joints) == (system, joints)])
        axis.bar(np.arange(joints) + (k - (len(systems) - 1) / 2) * width, np.nan_to_num(error_J), width, label=system)
    axis.set_xticks(np.arange(joints), skeleton(joints).names, rotation=90, fontsize=7)
    axis.set(ylabel="distance to the true joint (box units)", title=f"error of each of {joints} joints", xlim=(-1, joints))
    _finish(axis)
    return figure


def _per_class(rows: list[dict]):
    figure, axes = plt.subplots(1, 2, figsize=(12, 4.5))
    for axis, metric, unit in ((axes[0], "j2j", "box edges"), (axes[1], "skin_l1", "mean over all entries")):
        shown = [row for row in rows if row[metric] is not None]
        groups = list(dict.fromkeys((row["class"], row["variant"], row["joints"]) for row in shown))
        systems = list(dict.fromkeys(row["system"] for row in shown))
        width = 0.8 / max(1, len(systems))
        for k, system in enumerate(systems):
            mine = {(row["class"], row["variant"], row["joints"]): row[metric] for row in shown if row["system"] == system}
            heights = [mine.get(group, 0.0) for group in groups]
            axis.bar(np.arange(len(groups)) + (k - (len(systems) - 1) / 2) * width, heights, width, label=system)
        axis.set_xticks(np.arange(len(groups)), [f"{c} {v} {j}" for c, v, j in groups], rotation=45, ha="right", fontsize=7)
        axis.set(title=metric, ylabel=unit)
        _finish(axis)
    return figure


def plot_reliability(path: Path, described: dict[str, dict], factors: dict[str, float]) -> None:
    """described: name of a set of characters -> launch.reliability.describe. Left: expected against true errors; right: coverage."""
    figure, (errors, shares) = plt.subplots(1, 2, figsize=(12, 5.2))
    for name, data in described.items():
        line, = errors.plot([b["expected_cm"] for b in data["bins"]], [b["true_cm"] for b in data["bins"]], "o-", label=name)
        q = [c["nominal"] for c in data["coverage"]]
        shares.plot(q, [c["calibrated"] for c in data["coverage"]], "-", color=line.get_color(), label=f"{name}, calibrated")
        shares.plot(q, [c["exponential"] for c in data["coverage"]], ":", color=line.get_color(), label=f"{name}, as the network says")
        shares.plot(0.9, data["under_bound"], "o", color=line.get_color())
    reach = [b[key] for data in described.values() for b in data["bins"] for key in ("expected_cm", "true_cm") if b[key] > 0] or [1.0]
    ends = [min(reach) / 1.2, max(reach) * 1.2]
    errors.plot(ends, ends, "--", color="gray", label="as expected")
    errors.set(xscale="log", yscale="log", xlabel="expected error (cm of a figure of 170 cm), tenths of the joints",
               ylabel="true error (cm), mean of each tenth", title="What the network expects, and what is")
    for axis in (errors.xaxis, errors.yaxis):
        axis.set_minor_locator(NullLocator())
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter("{x:g}")
    shares.plot([0, 1], [0, 1], "--", color="gray")
    written = ", ".join(f"{k:.2f}" if kind == "all" else f"{k:.2f} ({kind})" for kind, k in factors.items())
    shares.set(xlabel="nominal share", ylabel="share of true errors under the bound", xlim=(0, 1), ylim=(0, 1),
               title=f"Bounds: expected error times\n{written}")
    for axis in (errors, shares):
        axis.grid(alpha=0.3)
        axis.legend(fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    _save(path, figure)


def plot_card(path: Path, readings: list[Reading]) -> None:
    """A panel for each sweep: J2J of each character in gray, their median and mean, against the level; one scale for all."""
    drawn = list(curves(readings))
    columns = min(4, len(drawn))
    figure, axes = plt.subplots(-(-len(drawn) // columns), columns, figsize=(4.2 * columns, 3.4 * -(-len(drawn) // columns)), squeeze=False)
    top = 1.15 * max(row["mean"] for _, rows in drawn for row in rows)
    for axis, (sweep, rows) in zip(axes.flat, drawn):
        levels = [row["level"] for row in rows]
        places = list(range(len(levels))) if sweep.even or isinstance(levels[0], str) else levels
        for character in sorted({r.figure for r in readings}):
            mine = {r.level: r.j2j for r in readings if (r.sweep, r.figure) == (sweep.name, character)}
            axis.plot(places, [mine.get(level, np.nan) for level in levels], "-", color="0.8", linewidth=0.8)
        axis.plot(places, [row["mean"] for row in rows], "s--", color="tab:orange", markersize=4, label="mean")
        axis.plot(places, [row["median"] for row in rows], "o-", color="tab:blue", markersize=4, label="median")
        every = places if len(places) <= 9 else places[::2]
        axis.set_xticks(every, [level_text(levels[places.index(place)]) for place in every], fontsize=9,
                        rotation=20 if isinstance(levels[0], str) else 0)
        axis.set_title(f"{sweep.name} ({sweep.unit})" if sweep.unit else sweep.name, fontsize=11)
        axis.set_ylim(0, top)
        axis.grid(alpha=0.3)
    for axis in axes[:, 0]:
        axis.set_ylabel("J2J (box edges)")
    axes[0, 0].legend(fontsize=9, loc="upper center")
    for axis in axes.flat[len(drawn):]:
        axis.set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    _save(path, figure)


def _finish(axis) -> None:
    axis.set_ylim(bottom=0)
    axis.grid(axis="y", alpha=0.3)
    if axis.containers:
        axis.legend(fontsize=8)


def _save(path: Path, figure) -> None:
    figure.tight_layout()
    figure.savefig(path, dpi=90, metadata={"Software": None})  # no version in the file: the same bytes from the same numbers
    plt.close(figure)
