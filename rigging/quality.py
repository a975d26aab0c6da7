"""Is this rig good? Measurements of a rig at rest and through a range of motion, each held against one table of limits.

    quality = assess(vertices_V3, faces_F3, rig)        # quality.verdict, quality.checks, quality.poses, quality.as_dict()
No truth is asked: what a rig should be is known from rigs that people made (docs/quality.md says what each limit was chosen by).
Letters: V vertices, U distinct positions, J joints. A verdict is "pass", "warn" or "fail"; the figure's is its worst check's.
"""

from dataclasses import asdict, dataclass

import numpy as np

from rigging import quality_joints, quality_mesh, quality_motion, quality_weights
from rigging.bleed import bleed
from rigging.quality_figure import CM, Figure, contest_rig
from rigging.quality_limits import LIMITS
from rigging.quality_motion import Motion
from rigging.rig import CharacterRig

VERDICTS = ("pass", "warn", "fail")
MOST_NAMED = 6          # joints or poses that a sentence lists
MOST_BLED = 100_000     # points beyond which bleed is not measured: it takes longer than all else together


@dataclass(frozen=True)
class Check:
    """One measurement. where: the joints or poses that are beyond the limit for a warning, the worst first (contest's names)."""
    key: str
    title: str
    value: float
    unit: str
    warn: float
    fail: float
    verdict: str
    sentence: str
    where: tuple[str, ...] = ()


@dataclass(frozen=True)
class Quality:
    """checks: in the order of the table. poses: each pose's measures. skipped: what was not measured, and why, in sentences."""
    checks: tuple[Check, ...]
    poses: tuple[Motion, ...]
    skipped: tuple[str, ...]

    @property
    def verdict(self) -> str:
        return VERDICTS[max((VERDICTS.index(check.verdict) for check in self.checks), default=0)]

    def of(self, verdict: str) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if check.verdict == verdict)

    def as_dict(self) -> dict:
        """For report.json: four decimals (tiny limits as they are); a number that is not finite, which JSON does not have, as None."""
        checks = [{name: _plain(x) for name, x in asdict(check).items()} for check in self.checks]
        poses = [{name: _plain(x) for name, x in pose._asdict().items()} for pose in self.poses]
        return {"verdict": self.verdict, "checks": checks, "poses": poses, "skipped": list(self.skipped)}


def _plain(x: object) -> object:
    if isinstance(x, float):
        return (x if abs(x) < 1e-3 else round(x, 4)) if np.isfinite(x) else None
    return list(x) if isinstance(x, tuple) else x


def assess(vertices_V3: np.ndarray, faces_F3: np.ndarray | None, rig: CharacterRig,
           expected_error_cm_J: np.ndarray | None = None) -> Quality:
    """Measure a rig. vertices_V3 (V, 3), faces_F3 (F, 3) or None (a cloud) in the rig's frame; the rig may have the names of any dialect.

    expected_error_cm_J: what the network expects each joint to be off by, cm of a person of 170 cm, if it says.
    Weights may break every rule: that is what is measured. The same input gives the same bits.
    Raises: ValueError as Figure.of; and for expected errors that do not fit the joints.
    """
    return examine(Figure.of(vertices_V3, faces_F3, rig), rig, expected_error_cm_J)


def examine(figure: Figure, rig: CharacterRig, expected_error_cm_J: np.ndarray | None = None) -> Quality:
    """assess, for who has made the figure of this rig already."""
    found, skipped = {**_contract(rig.skin_VJ), **_skeleton(figure), "coarse": (quality_mesh.coarse(figure), {})}, []
    if not figure.has_surface:
        skipped.append("There are no faces: nothing that needs a surface was measured.")
    else:
        found |= _outside(figure) | {"figures": (float(quality_mesh.figures(figure)), {})}
    poses: tuple[Motion, ...] = ()
    if not np.isfinite(figure.skin_UJ).all():
        skipped.append("Some weights are not numbers: nothing that needs weights was measured.")
    elif figure.has_surface:
        poses = quality_motion.measure(figure)
        found |= _weights(figure, contest_rig(rig).skin_VJ) | _motion(poses)
        if len(figure.surface.points_U3) > MOST_BLED:
            skipped.append(f"More than {MOST_BLED:,} points: bleed was not measured.")
        else:
            found["bleed"] = float(bleed(figure.surface, np.maximum(figure.skin_UJ, 0), figure.bones.parents).sum()), {}
    if expected_error_cm_J is not None:
        found["expected_error"] = _expected(expected_error_cm_J, rig)
    return Quality(tuple(_judged(key, *found[key]) for key in LIMITS if key in found), poses, tuple(skipped))


# ----------------------------------------------------------------------------------------------- measures: value, and whose it is
Found = tuple[float, dict[str, float]]


def _contract(skin_VJ: np.ndarray) -> dict[str, Found]:
    skin_VJ = np.asarray(skin_VJ, np.float64)
    finite_V = np.isfinite(skin_VJ).all(1)
    sum_V = skin_VJ[finite_V].sum(1)
    empty_V = sum_V <= 1e-6
    off_V = np.abs(sum_V - 1)[~empty_V]
    return {"not_finite": (float((~finite_V).sum()), {}),
            "negative": (float(max(0.0, -skin_VJ[finite_V].min(initial=0.0))), {}),
            "row_sums": (float(off_V.max(initial=0.0)), {}),
            "unweighted": (float(empty_V.sum()), {})}


def _skeleton(figure: Figure) -> dict[str, Found]:
    length_J = quality_joints.bone_lengths(figure) / CM
    short = {name: float(x) for name, x in zip(figure.bones.names, length_J) if np.isfinite(x)}
    found = {"short_bone": (min(short.values()), short)}
    for key, values_J in (("asymmetry", _body(quality_joints.asymmetry(figure))),
                          ("lopsided", quality_joints.lopsided(figure)), ("kinks", quality_joints.kinks(figure)),
                          ("crossed", quality_joints.crossed(figure)),
                          ("backward", quality_joints.backward(figure)), ("upside_down", quality_joints.upside_down(figure)),
                          ("knees_behind", quality_joints.knees_behind(figure))):
        found[key] = _worst(figure, values_J)
    return found


def _outside(figure: Figure) -> dict[str, Found]:
    out_J = quality_joints.outside(figure) / CM
    far = {name: float(x) for name, x in zip(figure.bones.names, _body(out_J)) if x > quality_joints.OUTSIDE}
    return {"outside": _worst(figure, out_J), "outside_count": (float(len(far)), far)}


def _weights(figure: Figure, skin_VJ: np.ndarray) -> dict[str, Found]:
    off_J = quality_weights.off_border(figure)
    idle = [name for name, unused in zip(figure.bones.names[:quality_weights.BODY], quality_weights.unused(figure)) if unused]
    dead = quality_weights.idle_limbs(figure)
    return {"torn": (quality_weights.torn(figure, skin_VJ), {}),
            "unused": (float(len(idle)), dict.fromkeys(idle, np.inf)),
            "idle_limbs": (float(len(dead)), dict.fromkeys(dead, np.inf)),
            "astray": _worst(figure, quality_weights.astray(figure)),
            "wrong_side": _worst(figure, _body(quality_weights.wrong_side(figure))),
            "off_border": _worst(figure, off_J),
            "misfit": _median(off_J),
            "speckled": (quality_weights.speckled(figure), {})}


def _motion(poses: tuple[Motion, ...]) -> dict[str, Found]:
    def worst(of) -> Found:
        each = {pose.name: of(pose) for pose in poses}
        return max(each.values()), each
    return {"stretched": worst(lambda pose: pose.stretched), "squeezed": worst(lambda pose: pose.squeezed),
            "spiked": worst(lambda pose: pose.spiked), "volume": worst(lambda pose: abs(pose.volume))}


def _expected(error_cm_J: np.ndarray, rig: CharacterRig) -> Found:
    error_cm_J = np.asarray(error_cm_J, np.float64)
    if error_cm_J.shape != (rig.joint_count,) or not np.isfinite(error_cm_J).all():
        raise ValueError(f"expected errors must be one finite number a joint, got {error_cm_J.shape} for {rig.joint_count} joints")
    return float(error_cm_J.mean()), dict(zip(rig.names, error_cm_J.tolist()))


def _body(values_J: np.ndarray) -> np.ndarray:
    """Without fingers, which are too short and too near each other for some measures."""
    return np.where(np.arange(len(values_J)) < quality_weights.BODY, values_J, np.nan)


def _worst(figure: Figure, values_J: np.ndarray) -> Found:
    each = {name: float(x) for name, x in zip(figure.bones.names, values_J) if not np.isnan(x)}
    return max(each.values(), default=0.0), each


def _median(values_J: np.ndarray) -> Found:
    known = values_J[~np.isnan(values_J)]
    return (float(np.median(known)) if len(known) else np.inf), {}


# ----------------------------------------------------------------------------------------------- judgement


def _judged(key: str, value: float, each: dict[str, float]) -> Check:
    limit = LIMITS[key]
    verdict = "fail" if limit.beyond(value, limit.fail) else "warn" if limit.beyond(value, limit.warn) else "pass"
    guilty = sorted((name for name, x in each.items() if limit.beyond(x, limit.warn)), key=lambda name: (-abs(each[name]), name))
    guilty = guilty[::-1] if limit.least else guilty
    return Check(key, limit.title, float(value), limit.unit, limit.warn, limit.fail, verdict,
                 limit.sentence(verdict, value, _listed(guilty)), tuple(guilty))


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more
