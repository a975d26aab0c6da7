"""Pictures of an evaluation: error of each joint, and of each class and variant. No display needed."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import numpy as np  # noqa: E402  (the backend must be chosen first)
from matplotlib import pyplot as plt  # noqa: E402

from dataset.format import skeleton  # noqa: E402
from launch.evaluator import Results, joint_means  # noqa: E402


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


def _finish(axis) -> None:
    axis.set_ylim(bottom=0)
    axis.grid(axis="y", alpha=0.3)
    if axis.containers:
        axis.legend(fontsize=8)


def _save(path: Path, figure) -> None:
    figure.tight_layout()
    figure.savefig(path, dpi=90, metadata={"Software": None})  # no version in the file: the same bytes from the same numbers
    plt.close(figure)
