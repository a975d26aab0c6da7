"""The record of a training run: a CSV that survives kill and resume, and a picture of its curves."""

import csv
import os
from pathlib import Path


class TrainingLog:
    """Appends rows to a CSV. Rows of steps that a resumed run will do again are dropped first, so that no step stands twice.

    A key that appears later (a validation figure) gets its own column; the file is rewritten then, which is rare.
    """

    def __init__(self, path: Path, from_step: int):
        self.path = path
        self.rows: list[dict[str, float]] = []
        if from_step and path.exists():
            self.rows = [row for row in read_log(path) if row["step"] <= from_step]
        self.columns = _columns(self.rows)
        self._rewrite()

    def write(self, step: int, row: dict[str, float]) -> None:
        row = {"step": step, **row}
        self.rows.append(row)
        columns = _columns(self.rows[-1:], self.columns)
        if columns != self.columns:
            self.columns = columns
            self._rewrite()
            return
        with open(self.path, "a", newline="") as file:
            csv.DictWriter(file, self.columns).writerow(row)

    def _rewrite(self) -> None:
        part = self.path.with_suffix(".part")
        with open(part, "w", newline="") as file:
            writer = csv.DictWriter(file, self.columns)
            writer.writeheader()
            writer.writerows(self.rows)
        os.replace(part, self.path)


def _columns(rows: list[dict[str, float]], known: list[str] | None = None) -> list[str]:
    columns = list(known or ["step"])
    for row in rows:
        columns += [key for key in row if key not in columns]
    return columns


def read_log(path: Path) -> list[dict[str, float]]:
    """Rows with the figures they have; a torn last line (the machine died while writing) is left out."""
    with open(path, newline="") as file:
        rows = []
        for row in csv.DictReader(file):
            try:
                rows.append({k: float(v) for k, v in row.items() if v not in ("", None)})
            except (ValueError, TypeError):
                continue
    return [row for row in rows if "step" in row]


def plot_curves(log: Path, picture: Path) -> None:
    """Loss parts and validation figures against steps, as a PNG."""
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    rows = read_log(log)
    keys = [k for k in _columns(rows) if k not in ("step", "lr", "gradient", "samples_per_s")]
    figure, axes = plt.subplots(1, 2, figsize=(12, 4.5))
    for axis, wanted, title in ((axes[0], False, "training loss, parts"), (axes[1], True, "validation (averaged weights)")):
        for key in keys:
            points = [(row["step"], row[key]) for row in rows if key in row]
            if key.startswith("val_") == wanted and points:
                axis.plot(*zip(*points), label=key.removeprefix("val_"), linewidth=1.2)
        axis.set(title=title, xlabel="step", yscale="log")
        axis.grid(alpha=0.3)
        if axis.lines:
            axis.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(picture, dpi=90)
    plt.close(figure)
