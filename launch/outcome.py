"""What became of each input of a batch: one table for people, one summary for programs."""

import unicodedata
from dataclasses import dataclass

import numpy as np

from dataset.disk import WriteError, explain

HEAD = ("input", "joints", "vertices", "expected error, cm", "quality", "warnings", "folder")
NUMBERS = (1, 2, 3, 5)    # columns that end at the right


@dataclass(frozen=True)
class Outcome:
    """What became of one input: folder on success, reason on failure. stood: it was there already, made from the same things.

    joints, vertices: how many. expected_error_cm: the mean over the joints in its report, None where the network does not say.
    quality: the verdict of its examination, "pass", "warn" or "fail".
    """
    input: str
    folder: str | None = None
    reason: str | None = None
    warnings: tuple[str, ...] = ()
    stood: bool = False
    joints: int | None = None
    vertices: int | None = None
    expected_error_cm: float | None = None
    quality: str | None = None

    def as_dict(self) -> dict:
        """A row of summary.json; that it stood already is left out: a second start writes the same bytes."""
        return {"input": self.input, "folder": self.folder, "reason": self.reason, "joints": self.joints, "vertices": self.vertices,
                "expected_error_cm": self.expected_error_cm, "quality": self.quality, "warnings": list(self.warnings)}


def table(outcomes: list[Outcome]) -> str:
    """One line per input, failures with their reason, then the total."""
    rows = [HEAD, *map(_row, outcomes)]
    widths = [max(width(row[c]) for row in rows) for c in range(len(HEAD) - 1)]
    lines = ["  ".join([*(_padded(text, widths[c], c in NUMBERS) for c, text in enumerate(row[:-1])), row[-1]]) for row in rows]
    return "\n".join([*lines, "-" * min(max(map(width, lines)), 120), _total(outcomes)])


def _row(o: Outcome) -> tuple[str, ...]:
    if o.reason is not None:
        return printable(o.input), "", "", "", "", "", f"FAILED: {printable(o.reason)}"
    numbers = (_number(o.joints), _number(o.vertices), _number(o.expected_error_cm, ".2f"), o.quality or "-", str(len(o.warnings)))
    return printable(o.input), *numbers, f"{o.folder}{' (unchanged)' * o.stood}"


def _total(outcomes: list[Outcome]) -> str:
    rigged = [o for o in outcomes if o.reason is None]
    errors = [o.expected_error_cm for o in rigged if o.expected_error_cm is not None]
    warnings, stood = sum(len(o.warnings) for o in rigged), sum(o.stood for o in rigged)
    parts = [f"{len(rigged)} rigged, {len(outcomes) - len(rigged)} failed"]
    if stood:
        parts.append(f"{stood} of them unchanged")
    if errors:
        parts.append(f"expected error {np.mean(errors):.2f} cm on average, {max(errors):.2f} at most")
    if warnings:
        parts.append(f"{warnings} warning{'s' * (warnings != 1)}, see report.json")
    return "; ".join(parts)


def _number(value: float | None, form: str = ",d") -> str:
    return "-" if value is None else format(value, form)


def width(text: str) -> int:
    """Columns on a terminal: Chinese, Japanese and Korean letters take two, marks upon letters none."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def printable(text: str) -> str:
    """A file's name may hold what moves a terminal's cursor or paints over other lines."""
    return "".join(c if c.isprintable() else "?" for c in text)


def _padded(text: str, columns: int, right: bool) -> str:
    space = " " * (columns - width(text))
    return space + text if right else text + space


def reason_of(error: Exception) -> str:
    """One line. Errors that are not ours to word carry their type; what the system says of a file is completed by what to do."""
    text = " ".join(str(error).split())
    if isinstance(error, OSError) and explain(error) != str(error):
        return " ".join(explain(error).split())
    return text if isinstance(error, (ValueError, WriteError)) and text else f"{type(error).__name__}: {text}"
