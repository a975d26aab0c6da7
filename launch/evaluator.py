"""How good are the rigs? Every metric of models/metrics.py over many characters, grouped, beside the mean skeleton.

A *system* is anything that answers an asset with a rig (launch/systems.py). Each asset is seen in *variants*: rest (as its file has
it), posed (one random pose) and rotated (one uniform rotation), all drawn from the asset's content and the seed, so that systems meet
the same.
A 52-joint asset is scored with 52 joints (board B) and, fingers merged, with 22 (board A).
Letters: J joints, V vertices, T frames.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from dataset.asset import Asset, AssetError, check, merge_fingers
from dataset.format import skeleton
from dataset.poses import PoseBank
from geometry.kinematics import rotation_uniform
from geometry.similarity import Similarity
from launch.batch_predict import reason_of
from launch.predictor import box_similarity, content_number
from launch.rig_result import CM_PER_BOX
from launch.systems import BoxRig, System
from models import metrics

VARIANTS = ("rest", "posed", "rotated")
# what a group of scores is averaged over, and its unit
METRICS = {"j2j": "box edges", "initial": "box edges, j2j before refinement", "ordered": "box", "cm": "cm at 170 tall",
           "finger_cm": "cm at 170 longest side", "swap": "share", "skin_l1": "kind B", "skin_l1_summed": "kind A", "vertex": "box",
           "vertex_norm": "box^2"}


@dataclass(frozen=True)
class EvalOptions:
    """variants: of VARIANTS. joints: 22 compares everything at 22 only; None at each asset's own count and at 22. frames: T, poses of
    the vertex metrics. ignore: (prefix of the file's name, the id or "<cls>_<id>", joint names) pairs: joints of another convention.
    bank: where poses come from; None: each component of each joint's rotation within +-30 degrees."""
    variants: tuple[str, ...] = ("rest",)
    joints: int | None = None
    frames: int = 8
    seed: int = 0
    ignore: tuple[tuple[str, tuple[str, ...]], ...] = ()
    bank: PoseBank | None = None


@dataclass(frozen=True)
class Score:
    """One system on one variant of one asset at one joint count. values: METRICS -> number, NaN where it cannot be told.
    errors_J: per joint, box units, NaN where ignored; expected_error_J: what the system expected of them, None where it does not say."""
    system: str
    cls: str
    id: str
    variant: str
    joints: int
    values: dict[str, float]
    errors_J: np.ndarray
    expected_error_J: np.ndarray | None = None


@dataclass(frozen=True)
class Results:
    """scores, and (input, reason) of what could not be scored."""
    scores: list[Score] = field(default_factory=list)
    failures: list[tuple[str, str]] = field(default_factory=list)


def evaluate(assets: Iterable[Asset | tuple[str, str]], systems: dict[str, System], options: EvalOptions) -> Results:
    """assets: with joints (and weights, for the weights' metrics); a pair (input, reason) stands for one that could not be read."""
    results = Results()
    for asset in assets:
        if isinstance(asset, tuple):
            results.failures.append(asset)
            continue
        for variant in options.variants:
            try:
                seen = as_variant(truth(asset), variant, options.seed, options.bank)
                for name, system in systems.items():
                    results.scores.extend(score(name, asset, seen, variant, BoxRig(*system(seen)), options))
            except ValueError as error:
                results.failures.append((f"{asset.source} ({variant})", reason_of(error)))
    return results


def truth(asset: Asset) -> Asset:
    """The asset, proven to have something to compare with. Raises: AssetError without 22 or 52 joints."""
    asset = check(asset)
    if asset.joint_count not in (22, 52):
        raise AssetError(f"{asset.source}: has {asset.joint_count or 'no'} joints; evaluation needs the contest's 22 or 52")
    return asset if asset.parents is not None else replace(asset, parents=skeleton(asset.joint_count).parents)


def as_variant(asset: Asset, variant: str, seed: int, bank: PoseBank | None = None) -> Asset:
    """The same character at rest, in one pose (of the bank, in the network's frame then, or random), or turned as a whole."""
    if variant not in VARIANTS:
        raise ValueError(f"variant {variant!r} is none of {', '.join(VARIANTS)}")
    rng = np.random.default_rng([seed, content_number(asset), VARIANTS.index(variant)])
    if variant == "rotated":
        return asset.to_frame(Similarity(rotation_uniform(rng)))
    if variant == "posed":
        asset = asset.in_network_frame()
        return asset.posed(pose_frames(asset, asset.local_J44(), 1, rng, bank)[0])
    return asset


def pose_frames(asset: Asset, local_J44: np.ndarray, count: int, rng: np.random.Generator, bank: PoseBank | None) -> np.ndarray:
    """matrix_basis (count, J, 4, 4) for rest frames local_J44. asset is in the network's frame."""
    if bank is None:
        return metrics.probe_frames(asset.joint_count, count, rng)
    return np.stack([bank.basis(int(frame), asset.parents, asset.joints_J3, local_J44) for frame in rng.integers(len(bank), size=count)])


def score(system: str, rest: Asset, seen: Asset, variant: str, rig: BoxRig, options: EvalOptions) -> list[Score]:
    """The scores of one answer, one per joint count that truth and answer share."""
    most = min(seen.joint_count, len(rig.joints_J3))
    counts = [count for count in (52, 22) if count <= most and options.joints in (None, count)]
    if not counts:
        raise AssetError(f"{seen.source}: truth has {seen.joint_count} joints and the rig {len(rig.joints_J3)}; "
                         f"nothing to compare at {options.joints}")
    to_box = box_similarity(seen)
    height = to_box.scale * float(np.ptp(rest.in_network_frame().vertices_V3[:, 2]))
    boxed = seen.to_frame(to_box)
    out = []
    for count in counts:
        true, known_J = boxed.with_joints(count), known_joints(boxed, count, options.ignore)
        answer = at_count(rig, count)
        values, errors_J = compare(answer, true, known_J, height, options)
        out.append(Score(system, class_of(seen), str(seen.id), variant, count, values, errors_J, answer.expected_error_J))
    return out


def class_of(asset: Asset) -> str:
    """The file's class; where that is "other", what its name begins with: m2m for m2m_female.npz."""
    prefix, underscore, _ = asset.source.partition("_")
    return prefix if asset.cls == "other" and underscore else str(asset.cls)


def at_count(rig: BoxRig, count: int) -> BoxRig:
    joints_J3, initial_J3, expected_J = (None if x is None else x[:count] for x in (rig.joints_J3, rig.initial_J3, rig.expected_error_J))
    skin_VJ = rig.skin_VJ if rig.skin_VJ is None or rig.skin_VJ.shape[1] == count else merge_fingers(rig.skin_VJ)
    return BoxRig(joints_J3, skin_VJ, initial_J3, expected_J)


def known_joints(asset: Asset, count: int, ignore: tuple[tuple[str, tuple[str, ...]], ...]) -> np.ndarray:
    """(count,) bool: False for joints that the asset marks as doubtful and those that `ignore` names for it."""
    known_J = np.ones(count, bool) if asset.joint_valid_J is None else asset.joint_valid_J[:count].copy()
    names = skeleton(count).names
    for prefix, ignored in ignore:
        if any(text.startswith(prefix) for text in (asset.source, str(asset.id), f"{asset.cls}_{asset.id}")):
            known_J[[names.index(name) for name in ignored if name in names]] = False
    if not known_J.any():
        raise AssetError(f"{asset.source}: every joint is ignored")
    return known_J


def compare(rig: BoxRig, true: Asset, known_J: np.ndarray, height: float, options: EvalOptions) -> tuple[dict[str, float], np.ndarray]:
    """METRICS -> value, and each joint's error. Ignored joints count neither as joints nor as swapped, and drive the vertex metrics
    from their true places. NaN: weights' metrics where either side has no weights to compare, the fingers' at 22 joints."""
    joints_J3, skin_VJ = np.asarray(rig.joints_J3, np.float64), rig.skin_VJ
    errors_J = np.where(known_J, metrics.joint_errors(joints_J3, true.joints_J3), np.nan)
    true_K3, ordered = true.joints_J3[known_J], float(np.nanmean(errors_J))
    values = dict.fromkeys(METRICS, float("nan")) | {
        "j2j": metrics.j2j(joints_J3[known_J], true_K3), "ordered": ordered, "cm": metrics.to_centimetres(ordered, height),
        "finger_cm": metrics.finger_error(joints_J3, true.joints_J3, known_J) * CM_PER_BOX,
        "swap": metrics.swap_rate(joints_J3, true.joints_J3, known_J)}
    if rig.initial_J3 is not None:
        values["initial"] = metrics.j2j(rig.initial_J3[known_J], true_K3)
    if skin_VJ is None or true.skin_VJ is None or not true.skin_valid:
        return values, errors_J
    unrotated = replace(true, matrix_local_J44=None)
    frames = pose_frames(true, unrotated.local_J44(), options.frames, np.random.default_rng([options.seed, 170]), options.bank)
    mended_J3 = np.where(known_J[:, None], joints_J3, true.joints_J3)
    given = true.vertices_V3, (mended_J3, skin_VJ), (true.joints_J3, true.skin_VJ), frames
    values |= {"skin_l1": metrics.skin_l1(skin_VJ, true.skin_VJ), "skin_l1_summed": metrics.skin_l1_summed(skin_VJ, true.skin_VJ),
               "vertex": metrics.vertex_loss(*given), "vertex_norm": metrics.vertex_normalisation_loss(*given)}
    return values, errors_J


def summarise(scores: list[Score]) -> list[dict]:
    """Rows of means: per system and joint count over everything, per class, per variant, and per class and variant. Groups
    that only repeat another (the one class, the one variant) are left out.

    board: the contest's points of the row's means (A at 22 joints, B at 52), None without weights.
    """
    rows = []
    for system in dict.fromkeys(s.system for s in scores):
        for joints in (52, 22):
            mine = [s for s in scores if (s.system, s.joints) == (system, joints)]
            classes, variants = sorted({s.cls for s in mine}), [v for v in VARIANTS if v in {s.variant for s in mine}]
            for cls in ["all", *classes] if len(classes) > 1 else ["all"]:
                for variant in ["all", *variants] if len(variants) > 1 else ["all"]:
                    group = [s for s in mine if cls in ("all", s.cls) and variant in ("all", s.variant)]
                    if group:
                        rows.append({"system": system, "joints": joints, "class": cls, "variant": variant, "count": len(group)}
                                    | means(group))
    return rows


def means(group: list[Score]) -> dict[str, float | None]:
    out: dict[str, float | None] = {}
    for name in METRICS:
        values = np.array([s.values[name] for s in group])
        values = values[np.isfinite(values)]
        out[name] = float(values.mean()) if len(values) else None
    whole = all(out[name] is not None for name in ("skin_l1", "vertex", "j2j"))
    board = metrics.board_score(out["skin_l1"], out["vertex"], out["j2j"], group[0].joints) if whole else None
    return out | {"board": board if board is not None and np.isfinite(board) else None}


def expectations(scores: list[Score]) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """What launch.reliability.gather takes: (character, expected, true errors) of each rig, at the most joints that it was scored at."""
    fullest: dict[tuple, Score] = {}
    for s in scores:
        key = s.system, s.cls, s.id, s.variant
        if s.expected_error_J is not None and (key not in fullest or s.joints > fullest[key].joints):
            fullest[key] = s
    return [(f"{s.cls}_{s.id}", s.expected_error_J, s.errors_J) for s in fullest.values()]


def joint_means(scores: list[Score]) -> np.ndarray:
    """(J,) mean error of each joint over scores of one joint count; NaN where every asset ignored it."""
    errors_SJ = np.stack([s.errors_J for s in scores])
    seen_J = np.isfinite(errors_SJ).sum(0)
    return np.where(seen_J > 0, np.nansum(errors_SJ, 0) / np.maximum(seen_J, 1), np.nan)


def as_table(rows: list[dict]) -> str:
    """Aligned text; "-" where a figure cannot be told."""
    heads = ["system", "joints", "class", "variant", "count", *METRICS, "board"]
    digits = {"cm": 2, "finger_cm": 2, "swap": 3, "board": 2, "vertex_norm": 6}
    lines = [heads] + [[_cell(row[head], digits.get(head, 4)) for head in heads] for row in rows]
    widths = [max(len(line[k]) for line in lines) for k in range(len(heads))]
    return "\n".join("  ".join(cell.ljust(w) if k in (0, 2, 3) else cell.rjust(w) for k, (cell, w) in enumerate(zip(line, widths))).rstrip()
                     for line in lines)


def as_json(results: Results, rows: list[dict], settings: dict) -> dict:
    """Everything, as plain data: settings, rows, per-joint means, each score, failures. NaN becomes null."""
    per_joint = {}
    for system, joints in dict.fromkeys((s.system, s.joints) for s in results.scores):
        mine = [s for s in results.scores if (s.system, s.joints) == (system, joints)]
        per_joint[f"{system} {joints}"] = dict(zip(skeleton(joints).names, map(_plain, joint_means(mine))))
    scores = [{"system": s.system, "class": s.cls, "id": s.id, "variant": s.variant, "joints": s.joints}
              | {name: _plain(value) for name, value in s.values.items()} for s in results.scores]
    return {"settings": settings, "units": METRICS, "rows": rows, "per_joint": per_joint, "scores": scores,
            "failures": [{"input": name, "reason": reason} for name, reason in results.failures]}


def _plain(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _cell(value: object, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}" if isinstance(value, float) else str(value)
