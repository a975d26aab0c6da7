"""How good are the rigs? Every metric of models/metrics.py over many characters, grouped, beside the mean skeleton.

A *system* is anything that answers an asset with (box_joints_J3, skin_VJ or None): a checkpoint (FromPredictor), a folder of
predictions (FromFolder), or the mean skeleton (MeanSkeleton). Each asset is seen in *variants*: rest (as its file has it), posed (one
random pose) and rotated (one uniform rotation), all drawn from the asset's content and the seed, so that systems meet the same.
A 52-joint asset is scored with 52 joints (board B) and, fingers merged, with 22 (board A).
Letters: J joints, V vertices, T frames.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from dataset.asset import Asset, AssetError, check, merge_fingers
from dataset.format import skeleton
from dataset.poses import PoseBank
from geometry.kinematics import rotation_uniform
from geometry.similarity import Similarity
from launch.batch_predict import reason_of, safe_name
from launch.predictor import Predictor, box_similarity, content_number
from models import metrics

BoxRig = tuple[np.ndarray, np.ndarray | None]
System = Callable[[Asset], BoxRig]
VARIANTS = ("rest", "posed", "rotated")
# what a group of scores is averaged over, and its unit
METRICS = {"j2j": "box edges", "ordered": "box", "cm": "cm at 170", "swap": "share", "skin_l1": "kind B", "skin_l1_summed": "kind A",
           "vertex": "box", "vertex_norm": "box^2"}
MATCH = 1e-3  # box units: transformed_vertices must be a similarity of the asset's vertices up to this


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
    errors_J: per joint, box units, NaN where ignored."""
    system: str
    cls: str
    id: str
    variant: str
    joints: int
    values: dict[str, float]
    errors_J: np.ndarray


@dataclass(frozen=True)
class Results:
    """scores, and (input, reason) of what could not be scored."""
    scores: list[Score] = field(default_factory=list)
    failures: list[tuple[str, str]] = field(default_factory=list)


class FromPredictor:
    """A checkpoint."""

    def __init__(self, predictor: Predictor):
        self.predictor = predictor

    def __call__(self, asset: Asset) -> BoxRig:
        rig = self.predictor.predict(asset)
        return rig.box_joints_J3, rig.skin_VJ


class FromFolder:
    """predict_joint/<run>: any similarity common to joints and transformed_vertices is undone.

    Raises (when called): AssetError for a prediction that is absent or belongs to other vertices.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        if not folder.is_dir():
            raise ValueError(f"{folder}: no such folder of predictions")

    def __call__(self, asset: Asset) -> BoxRig:
        folder = self.folder / safe_name(asset.cls or "other") / safe_name(str(asset.id))
        try:
            joints_J3, skin_VJ, vertices_V3 = (np.load(folder / f"{name}.npy", allow_pickle=False)
                                               for name in ("predict_skeleton", "predict_skin", "transformed_vertices"))
        except (OSError, ValueError) as error:
            raise AssetError(f"{asset.source}: no usable prediction in {folder} ({error})") from error
        box_V3 = box_similarity(asset).apply(asset.vertices_V3)
        if vertices_V3.shape != box_V3.shape or len(skin_VJ) != len(box_V3):
            raise AssetError(f"{asset.source}: {folder} holds {len(vertices_V3)} vertices and {len(skin_VJ)} rows of weights, "
                             f"the asset has {len(box_V3)} vertices")
        to_box = align(vertices_V3, box_V3)
        off = np.abs(to_box.apply(vertices_V3) - box_V3).max()
        if off > MATCH:
            raise AssetError(f"{asset.source}: {folder}/transformed_vertices.npy is no similarity of the asset's vertices "
                             f"(off by {off:.2g} of the box); it was predicted from another file or pose")
        return to_box.apply(joints_J3), skin_VJ


class MeanSkeleton:
    """The same joints for everybody, no weights: the floor that a network must clear."""

    def __init__(self, joints_by_count: dict[int, np.ndarray]):
        self.joints_by_count = joints_by_count

    def __call__(self, asset: Asset) -> BoxRig:
        fitting = [count for count in self.joints_by_count if count <= asset.joint_count]
        if not fitting:
            raise AssetError(f"{asset.source}: has {asset.joint_count} joints, the mean skeleton knows {sorted(self.joints_by_count)}")
        return self.joints_by_count[max(fitting)], None

    @staticmethod
    def of(assets: Iterable[Asset]) -> "MeanSkeleton":
        """The mean over assets at rest in their boxes; 52-joint ones count for 22 too. Raises: ValueError without any joints."""
        boxed: dict[int, list[np.ndarray]] = {}
        for asset in assets:
            if asset.joint_count in (22, 52):
                joints_J3 = box_similarity(asset).apply(asset.joints_J3)
                for count in {22, asset.joint_count}:
                    boxed.setdefault(count, []).append(joints_J3[:count])
        if not boxed:
            raise ValueError("no asset with 22 or 52 joints to average")
        return MeanSkeleton({count: metrics.mean_skeleton(np.stack(joints)) for count, joints in boxed.items()})

    @staticmethod
    def read(path: Path) -> "MeanSkeleton":
        """{"22": [[x, y, z], ...], "52": [...]} in box units. Raises: ValueError naming the file."""
        try:
            data = {int(count): np.asarray(joints, np.float64) for count, joints in json.loads(path.read_text("utf-8")).items()}
            if not data or any(joints.shape != (count, 3) for count, joints in data.items()):
                raise ValueError("each count needs that many [x, y, z]")
        except (ValueError, TypeError, AttributeError) as error:
            raise ValueError(f'{path} is no mean skeleton ({{"22": [[x, y, z], ...]}}): {error}') from error
        return MeanSkeleton(data)

    def write(self, path: Path) -> None:
        data = {str(count): np.round(joints, 6).tolist() for count, joints in sorted(self.joints_by_count.items())}
        path.write_text(json.dumps(data) + "\n", encoding="utf-8")


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
                    results.scores.extend(score(name, asset, seen, variant, system(seen), options))
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
    most = min(seen.joint_count, len(rig[0]))
    counts = [count for count in (52, 22) if count <= most and options.joints in (None, count)]
    if not counts:
        raise AssetError(f"{seen.source}: truth has {seen.joint_count} joints and the rig {len(rig[0])}; "
                         f"nothing to compare at {options.joints}")
    to_box = box_similarity(seen)
    height = to_box.scale * float(np.ptp(rest.in_network_frame().vertices_V3[:, 2]))
    boxed = seen.to_frame(to_box)
    out = []
    for count in counts:
        true, known_J = boxed.with_joints(count), known_joints(boxed, count, options.ignore)
        values, errors_J = compare(at_count(rig, count), true, known_J, height, options)
        out.append(Score(system, class_of(seen), str(seen.id), variant, count, values, errors_J))
    return out


def class_of(asset: Asset) -> str:
    """The file's class; where that is "other", what its name begins with: m2m for m2m_female.npz."""
    prefix, underscore, _ = asset.source.partition("_")
    return prefix if asset.cls == "other" and underscore else str(asset.cls)


def at_count(rig: BoxRig, count: int) -> BoxRig:
    joints_J3, skin_VJ = rig
    return joints_J3[:count], skin_VJ if skin_VJ is None or skin_VJ.shape[1] == count else merge_fingers(skin_VJ)


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
    from their true places. Weights' metrics are NaN where either side has no weights to compare."""
    joints_J3, skin_VJ = np.asarray(rig[0], np.float64), rig[1]
    errors_J = np.where(known_J, metrics.joint_errors(joints_J3, true.joints_J3), np.nan)
    mended_J3 = np.where(known_J[:, None], joints_J3, true.joints_J3)
    ordered = float(np.nanmean(errors_J))
    values = {"j2j": metrics.j2j(joints_J3[known_J], true.joints_J3[known_J]), "ordered": ordered,
              "cm": metrics.to_centimetres(ordered, height), "swap": metrics.swap_rate(mended_J3, true.joints_J3)}
    if skin_VJ is None or true.skin_VJ is None or not true.skin_valid:
        return values | dict.fromkeys(("skin_l1", "skin_l1_summed", "vertex", "vertex_norm"), float("nan")), errors_J
    unrotated = replace(true, matrix_local_J44=None)
    frames = pose_frames(true, unrotated.local_J44(), options.frames, np.random.default_rng([options.seed, 170]), options.bank)
    given = true.vertices_V3, (mended_J3, skin_VJ), (true.joints_J3, true.skin_VJ), frames
    values |= {"skin_l1": metrics.skin_l1(skin_VJ, true.skin_VJ), "skin_l1_summed": metrics.skin_l1_summed(skin_VJ, true.skin_VJ),
               "vertex": metrics.vertex_loss(*given), "vertex_norm": metrics.vertex_normalisation_loss(*given)}
    return values, errors_J


def align(source_P3: np.ndarray, target_P3: np.ndarray) -> Similarity:
    """The least-squares similarity source -> target of matched points. Umeyama, "Least-squares estimation of transformation
    parameters between two point patterns", PAMI 1991."""
    source_P3, target_P3 = np.asarray(source_P3, np.float64), np.asarray(target_P3, np.float64)
    from_3, to_3 = source_P3.mean(0), target_P3.mean(0)
    source_P3, target_P3 = source_P3 - from_3, target_P3 - to_3
    left_33, strength_3, right_33 = np.linalg.svd(target_P3.T @ source_P3)
    sign_3 = np.array([1, 1, np.sign(np.linalg.det(left_33 @ right_33))])
    spread = (source_P3 ** 2).sum()
    if not spread > 0:
        raise AssetError("transformed_vertices.npy has all its vertices in one place")
    rotation_33 = (left_33 * sign_3) @ right_33
    scale = float((strength_3 * sign_3).sum() / spread)
    if not scale > 0:
        raise AssetError("transformed_vertices.npy has nothing in common with the asset's vertices")
    return Similarity(rotation_33, scale, from_3 - rotation_33.T @ to_3 / scale)


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


def joint_means(scores: list[Score]) -> np.ndarray:
    """(J,) mean error of each joint over scores of one joint count; NaN where every asset ignored it."""
    errors_SJ = np.stack([s.errors_J for s in scores])
    seen_J = np.isfinite(errors_SJ).sum(0)
    return np.where(seen_J > 0, np.nansum(errors_SJ, 0) / np.maximum(seen_J, 1), np.nan)


def as_table(rows: list[dict]) -> str:
    """Aligned text; "-" where a figure cannot be told."""
    heads = ["system", "joints", "class", "variant", "count", *METRICS, "board"]
    digits = {"cm": 2, "swap": 3, "board": 2, "vertex_norm": 6}
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
