"""How far a joint may be off: from the error that the network expects to a bound that 90 % of true errors keep.

A network that learns its own errors says what it expects of each joint (models/joint_model.py: ErrorHead), as the mean of an exponential
distribution; 90 % of such a distribution lie below ln 10 = 2.303 times its mean. Here that factor is measured instead, as a quantile of
true / expected error over generated validation characters (split conformal prediction: Vovk, Gammerman and Shafer, Algorithmic Learning
in a Random World, 2005), and kept beside the checkpoint in calibration.json:

    {"format": "transrefiner-calibration-1", "checkpoint": SHA-256 of the network, "coverage": 0.9, "factors": {"all": 2.1}, "about": {...}}
`factors` has the one key "all", or one for each of KINDS. Without the file the exponential's factor holds.
Letters: J joints, P pairs of an expected and a true error.
"""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dataset.format import BODY_NAMES, skeleton

COVERAGE = 0.9
EXPONENTIAL = -math.log(1 - COVERAGE)   # 2.303: the factor where nothing was measured
FILE, FORMAT = "calibration.json", "transrefiner-calibration-1"
KINDS = ("trunk", "arms", "legs", "fingers")
WORTH = 0.98        # a factor for each kind is kept when it lowers the held-out loss at least to this share of the single factor's
FOLDS = 10
MOST_FACTOR = 1e6   # of a file


@dataclass(frozen=True)
class Calibration:
    """factors: "all" or each of KINDS -> what to multiply an expected error with. about: how it was measured, for the reader.
    checkpoint: the fingerprint of the network that it was measured on, None for any."""
    factors: dict[str, float] = field(default_factory=lambda: {"all": EXPONENTIAL})
    checkpoint: str | None = None
    about: dict = field(default_factory=dict)

    def factor_J(self, joint_count: int) -> np.ndarray:
        return np.array([self.factors.get(kind, self.factors.get("all")) for kind in kinds(joint_count)], np.float64)


class Pairs(NamedTuple):
    """Joints that were measured: expected_P and true_P in one unit, whatever it is; kind_P indexes KINDS; figure_P names the character,
    since the joints of one are wrong together."""
    expected_P: np.ndarray
    true_P: np.ndarray
    kind_P: np.ndarray
    figure_P: np.ndarray

    def among(self, chosen_P: np.ndarray) -> "Pairs":
        return Pairs(*(values_P[chosen_P] for values_P in self))


def kinds(joint_count: int) -> tuple[str, ...]:
    """The kind of each of 22 or 52 joints."""
    def kind(joint: int, name: str) -> str:
        if joint >= len(BODY_NAMES):
            return "fingers"
        if name[:2] not in ("l_", "r_"):
            return "trunk"
        return "legs" if name[2:] in ("upper_leg", "lower_leg", "foot", "toe_base") else "arms"
    return tuple(kind(j, name) for j, name in enumerate(skeleton(joint_count).names))


def bound_90(expected_error_J: np.ndarray, calibration: Calibration = Calibration()) -> np.ndarray:
    """(J,) float64: the distance that nine true errors of ten stay below, in the unit of the expected errors. J is 22 or 52.

    Raises: ValueError for expected errors that are negative or not finite.
    """
    expected_error_J = np.asarray(expected_error_J, np.float64)
    if not (np.isfinite(expected_error_J).all() and (expected_error_J >= 0).all()):
        raise ValueError("expected errors must be finite and >= 0")
    return expected_error_J * calibration.factor_J(len(expected_error_J))


def read_calibration(folder: str | Path, checkpoint: str | None = None) -> Calibration:
    """What lies beside a checkpoint; the exponential's factor where there is no file.

    checkpoint: the fingerprint that it must have been measured on; None asks for none.
    Raises: ValueError naming the file, for one that is damaged or belongs to another network.
    """
    path = Path(folder) / FILE
    mend = "write it again with evaluate_joint_model.py --calibrate, or remove it"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Calibration()
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} cannot be read ({error}); {mend}") from error
    factors = data.get("factors") if isinstance(data, dict) and (data.get("format"), data.get("coverage")) == (FORMAT, COVERAGE) else None
    if not isinstance(factors, dict) or set(factors) not in ({"all"}, set(KINDS)) or not all(map(_is_factor, factors.values())):
        raise ValueError(f"{path} is no calibration in the format {FORMAT}; {mend}")
    if checkpoint is not None and data.get("checkpoint") != checkpoint:
        raise ValueError(f"{path} was measured on another network; {mend}")
    return Calibration({kind: float(k) for kind, k in factors.items()}, data.get("checkpoint"), data.get("about") or {})


def _is_factor(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < MOST_FACTOR


def write_calibration(folder: str | Path, calibration: Calibration) -> Path:
    path = Path(folder) / FILE
    data = {"format": FORMAT, "checkpoint": calibration.checkpoint, "coverage": COVERAGE, "factors": calibration.factors,
            "about": calibration.about}
    path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    return path


# ------------------------------------------------------------------------------------------------------------ measuring it


def gather(measured: list[tuple[str, np.ndarray, np.ndarray]]) -> Pairs:
    """From (character, expected_error_J, errors_J) of each prediction; joints with a NaN error are left out.

    Raises: ValueError when nothing is left.
    """
    parts = [Pairs(np.float64(expected_J), np.float64(errors_J), np.array([KINDS.index(kind) for kind in kinds(len(errors_J))]),
                   np.full(len(errors_J), figure, object)) for figure, expected_J, errors_J in measured]
    if not parts:
        raise ValueError("no prediction says what error it expects; calibration needs a checkpoint with network.confidence=true")
    pairs = Pairs(*(np.concatenate(values) for values in zip(*parts)))
    pairs = pairs.among(np.isfinite(pairs.true_P) & (pairs.expected_P > 0))
    if not len(pairs.true_P):
        raise ValueError("no joint has both an expected and a true error")
    return pairs


def quantile_factor(pairs: Pairs, coverage: float = COVERAGE) -> float:
    """The least k among the pairs' own ratios with P(true <= k expected) >= coverage."""
    ratio_P = np.sort(pairs.true_P / pairs.expected_P)
    return float(ratio_P[max(0, math.ceil(coverage * len(ratio_P)) - 1)])


def by_kind(pairs: Pairs) -> dict[str, float]:
    """A factor for each of KINDS; a kind without a joint takes the one of all."""
    whole = quantile_factor(pairs)
    groups = {kind: pairs.among(pairs.kind_P == k) for k, kind in enumerate(KINDS)}
    return {kind: quantile_factor(group) if len(group.true_P) else whole for kind, group in groups.items()}


def bounds(pairs: Pairs, factors: dict[str, float]) -> np.ndarray:
    """(P,) float64, in the unit of the pairs."""
    return pairs.expected_P * np.array([factors.get(kind, factors.get("all")) for kind in KINDS], np.float64)[pairs.kind_P]


def coverage_of(pairs: Pairs, factors: dict[str, float]) -> float:
    """The share of true errors under their bounds."""
    return float((pairs.true_P <= bounds(pairs, factors)).mean())


def pinball(true_P: np.ndarray, bound_P: np.ndarray, coverage: float = COVERAGE) -> np.ndarray:
    """Quantile loss of a bound: coverage (e - b) above it, (1 - coverage) (b - e) below. Koenker and Bassett, "Regression Quantiles",
    Econometrica 1978. Least, on average, for the true quantile: bounds that are tight where they can be win."""
    over_P = true_P - bound_P
    return np.maximum(coverage * over_P, (coverage - 1) * over_P)


def held_out(pairs: Pairs) -> dict[str, dict[str, float]]:
    """"one factor" and "a factor a kind" -> loss and coverage on characters that their fit did not see.

    The characters are dealt out over at most FOLDS folds in order of their names. Raises: ValueError for fewer than two characters.
    """
    figures = sorted(set(pairs.figure_P))
    if len(figures) < 2:
        raise ValueError("calibration needs two characters or more")
    place_P = np.array([{figure: i for i, figure in enumerate(figures)}[figure] for figure in pairs.figure_P])
    out = {}
    for name, fit in (("one factor", lambda p: {"all": quantile_factor(p)}), ("a factor a kind", by_kind)):
        bound_P = np.empty(len(pairs.true_P))
        for fold in range(min(FOLDS, len(figures))):
            out_P = place_P % min(FOLDS, len(figures)) == fold
            bound_P[out_P] = bounds(pairs.among(out_P), fit(pairs.among(~out_P)))
        out[name] = {"loss": float(pinball(pairs.true_P, bound_P).mean()), "coverage": float((pairs.true_P <= bound_P).mean())}
    return out


def fit_calibration(pairs: Pairs, checkpoint: str | None = None, about: dict | None = None) -> Calibration:
    """One factor, or one for each kind where that lowers the loss on held-out characters by 2 % at least."""
    tried = held_out(pairs)
    split = tried["a factor a kind"]["loss"] <= WORTH * tried["one factor"]["loss"]
    factors = by_kind(pairs) if split else {"all": quantile_factor(pairs)}
    # rounded upwards: the joint at the quantile stays under its bound
    return Calibration({kind: math.ceil(k * 1e4) / 1e4 for kind, k in factors.items()}, checkpoint,
                       (about or {}) | {"characters": len(set(pairs.figure_P)), "joints": len(pairs.true_P),
                                        "single_factor": round(quantile_factor(pairs), 4), "held_out": tried})


def describe(pairs: Pairs, calibration: Calibration, cm_per_unit: float, bins: int = 10) -> dict:
    """Plain data for the table and the plot. Errors in cm.

    bins: in equal numbers by expected error, its and the true error's means. coverage: nominal share q -> shares of true errors under the
    exponential's bound, -ln(1 - q) times what is expected, and under the same in the calibration's measure. figures: of the share of a
    character's joints under the bound, the least and the tenth percentile, as joints of one are wrong together.
    """
    order_P = np.argsort(pairs.expected_P, kind="stable")
    parts = [pairs.among(part) for part in np.array_split(order_P, min(bins, len(order_P)))]
    under_P = pairs.true_P <= bounds(pairs, calibration.factors)
    per_figure = [float(under_P[pairs.figure_P == figure].mean()) for figure in sorted(set(pairs.figure_P))]
    unit = bounds(pairs, calibration.factors) / EXPONENTIAL
    shares = [round(0.05 * step, 2) for step in range(1, 20)] + [0.98]
    return {"joints": len(pairs.true_P), "characters": len(per_figure),
            "expected_cm": float(pairs.expected_P.mean() * cm_per_unit), "true_cm": float(pairs.true_P.mean() * cm_per_unit),
            "bound_cm": float(bounds(pairs, calibration.factors).mean() * cm_per_unit), "under_bound": float(under_P.mean()),
            "under_exponential": coverage_of(pairs, {"all": EXPONENTIAL}),
            "under_by_kind": {kind: float(under_P[pairs.kind_P == k].mean()) for k, kind in enumerate(KINDS) if (pairs.kind_P == k).any()},
            "figures": {"least": min(per_figure), "tenth": float(np.percentile(per_figure, 10))},
            "bins": [{"expected_cm": float(part.expected_P.mean() * cm_per_unit), "true_cm": float(part.true_P.mean() * cm_per_unit),
                      "under_bound": coverage_of(part, calibration.factors)} for part in parts],
            "coverage": [{"nominal": q, "exponential": float((pairs.true_P <= -math.log(1 - q) * pairs.expected_P).mean()),
                          "calibrated": float((pairs.true_P <= -math.log(1 - q) * unit).mean())} for q in shares]}


def reliability_table(described: dict[str, dict]) -> str:
    """Markdown, a row for each set of characters."""
    lines = ["| characters | joints | expected error, cm | true error, cm | 90 % bound, cm | under the bound | under 2.303 times expected "
             "| of a character's joints under the bound: least, tenth percentile |", "|---|---|---|---|---|---|---|---|"]
    lines += [f"| {name}: {d['characters']} | {d['joints']} | {d['expected_cm']:.2f} | {d['true_cm']:.2f} | {d['bound_cm']:.2f} "
              f"| {d['under_bound']:.1%} | {d['under_exponential']:.1%} | {d['figures']['least']:.0%}, {d['figures']['tenth']:.0%} |"
              for name, d in described.items()]
    return "\n".join(lines) + "\n"
