"""The record of a training run: a CSV that survives kill and resume, and a picture of its curves."""

import csv
import io
from pathlib import Path

from dataset.disk import replace_file, sync, writing

Row = dict[str, str | float]


class TrainingLog:
    """Appends rows to a CSV. Rows of steps that a resumed run will do again are dropped first, so that no step stands twice.

    A key that appears later (a validation figure) gets its own column; the file is rewritten then, which is rare. Rows of before a
    resume keep their text, so that the file ends as an unbroken run's. Raises, everywhere: WriteError.
    """

    def __init__(self, path: Path, from_step: int):
        self.path = path
        self.rows: list[Row] = []
        if from_step and path.exists():
            self.rows = [row for row in _whole_rows(path) if float(row["step"]) <= from_step]
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
        with writing(self.path), open(self.path, "r+", newline="") as file:   # not "a": a log that was removed is told, not begun anew
            file.seek(0, io.SEEK_END)
            csv.DictWriter(file, self.columns).writerow(row)

    def sync(self) -> None:
        """What was written reaches the disk: before a training state that counts on it."""
        with writing(self.path):
            sync(self.path)

    def _rewrite(self) -> None:
        text = io.StringIO()
        writer = csv.DictWriter(text, self.columns)
        writer.writeheader()
        writer.writerows(self.rows)
        replace_file(self.path, lambda part: part.write_bytes(text.getvalue().encode()))


def _columns(rows: list[Row], known: list[str] | None = None) -> list[str]:
    columns = list(known or ["step"])
    for row in rows:
        columns += [key for key in row if key not in columns]
    return columns


def read_log(path: Path) -> list[dict[str, float]]:
    """Rows with the figures they have."""
    return [{key: float(value) for key, value in row.items()} for row in _whole_rows(path)]


def _whole_rows(path: Path) -> list[Row]:
    """As text. A last line without its end is left out (the machine died while writing): "1" may have been to be "12"."""
    text = path.read_bytes().decode(errors="replace")
    rows = map(_figures, csv.DictReader(io.StringIO(text[:text.rfind("\n") + 1], newline="")))
    return [row for row in rows if "step" in row]


def _figures(row: dict) -> Row:
    """What a row holds; nothing where that is no row of numbers."""
    figures = {key: value for key, value in row.items() if value not in ("", None)}
    try:
        for value in figures.values():
            float(value)
    except (ValueError, TypeError):
        return {}
    return figures


def plot_curves(log: Path, picture: Path) -> None:
    """Loss parts and validation figures against steps, as a PNG. Raises: WriteError."""
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
    try:
        replace_file(picture, lambda part: figure.savefig(part, dpi=90, format="png"))
    finally:
        plt.close(figure)
