"""From an asset to its rig, in the asset's own frame.

    predictor = Predictor("output/TransRefiner-finetune")
    rig = predictor.predict(load_asset("hero.glb"))     # rig.joints_J3, rig.skin_VJ: the file's frame and vertex order

The way in: the asset's frame -> network frame (Z up) -> unit box -> (upright, where it is not: launch/orientation.py) -> points ->
network. The way home: the same similarities undone.
The points are drawn with a generator seeded by the asset's content, so neither the order of files nor their names change a rig.
Letters: N points, V vertices, U distinct vertex positions, J joints, R looks (resamplings).
"""

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import jittor as jt
import numpy as np

from dataset.asset import Asset, check, merge_fingers
from dataset.format import BODY_NAMES, skeleton
from dataset.sampler import Sample, Sampler, Surface, blend
from geometry.normals import normalize
from geometry.segment import segment_sum
from geometry.similarity import Similarity, fit_box
from geometry.topology import welded
from launch.build import build_model, fill, fingerprint
from launch.checkpoint import load_model
from launch.orientation import find_upright
from launch.reliability import bound_90, read_calibration
from launch.rig_result import CM_PER_BOX, RigResult
from launch.runtime import compile_note
from launch.seen import (box_similarity, content_number, faces_inwards, geometry_only, refuse_what_is_lost_in_its_box,
                         refuse_what_is_no_figure, turned_outwards, visible, with_normals)
from launch.skin_refiner import load_refiner, refine

DEFAULT_POINTS = 1024     # N where the checkpoint's config does not say
TURNS_AT_ONCE = 8
MIRROR = Similarity(np.diag([-1.0, 1.0, 1.0]))  # left and right change places
RIGHT_WITHIN = 5 / CM_PER_BOX   # box units: a joint's confidence is the chance that it is right within 5 cm
SPREAD_OF_DOUBT = 0.02    # box units (about 1.7 cm on a person of 170 cm): a joint that moves so much between looks has confidence 1/e


@dataclass(frozen=True)
class PredictorOptions:
    """joints: 22, 52 or None for the network's own. seed: of the point sampling. looks: R, how many samples of points are averaged.
    find_hands: look once before, to learn where a mesh's hands are, and then draw as many points there as in training, where the
    sampler knows the hands from the true weights. query_chunk: vertices decoded at once; bounds memory, nothing else that matters."""
    joints: int | None = None
    seed: int = 0
    looks: int = 1
    find_hands: bool = True
    query_chunk: int = 8192


class Predictor:
    """A checkpoint in memory, ready to rig.

    Raises: FileNotFoundError without a checkpoint there; ValueError for one whose keys or shapes do not fit its config, and when
    more joints are asked than it knows.
    """

    def __init__(self, checkpoint_folder: str | Path, options: PredictorOptions = PredictorOptions()):
        params, config = load_model(checkpoint_folder)
        self.model = build_model(config)
        fill(self.model, params, str(checkpoint_folder))
        self.model.eval()
        self.options = options
        self.fingerprint = fingerprint(params, config)
        self.calibration = read_calibration(checkpoint_folder, self.fingerprint)
        self.refiner = load_refiner(checkpoint_folder, self.fingerprint)
        self.has_looked = False
        self.points = config.get("data", {}).get("points", DEFAULT_POINTS)
        self.expects_errors = getattr(self.model.cfg, "confidence", False)  # the PCT baseline does not know the word
        known = self.model.cfg.joint_count
        self.joint_count = known if options.joints is None else options.joints
        if self.joint_count not in (known, min(known, 22)):
            raise ValueError(f"{checkpoint_folder} knows {known} joints and cannot predict {self.joint_count}; "
                             f"ask for {' or '.join(map(str, sorted({22, known})))}, or use another checkpoint")

    def predict(self, asset: Asset) -> RigResult:
        """A rig that the asset already has is not looked at.

        Raises: AssetError for an asset that cannot be used or cannot be a figure, naming its source.
        """
        asset = check(geometry_only(asset))
        refuse_what_is_no_figure(asset)
        to_box = box_similarity(asset)
        boxed = with_normals(asset.to_frame(to_box))
        rng = np.random.default_rng([self.options.seed, content_number(asset)])
        note, self.has_looked = nullcontext() if self.has_looked else compile_note("the network"), True
        with note, jt.no_grad():  # the first network call may compile kernels for minutes
            shown = visible(boxed)
            first = draw(Sampler(self.points), shown, Surface.of(shown), rng)
            refuse_what_is_lost_in_its_box(first.points_N3, asset.source)
            if faces_inwards(first.points_N3, first.normals_N3):
                boxed, first = turned_outwards(boxed), replace(first, normals_N3=-first.normals_N3)
            to_stand = self._to_stand(shown, first)
            seen, first = (boxed, first) if to_stand is None else (boxed.to_frame(to_stand), moved(first, to_stand))
            queries = Queries.of(seen)
            looks = [Look.at(self.model, sample, mirrored=bool(r % 2))
                     for r, sample in enumerate(self._samples(seen, first, queries, rng))]
            rig = self._result(looks, self._skin(looks, queries), boxed, to_box, to_stand or Similarity.identity())
            if self.refiner is not None:
                rig = refine(self.refiner.net, rig, boxed.faces_F3)
        return check_rig(rig, asset.source)

    def _result(self, looks: list["Look"], skin_VJ: np.ndarray, boxed: Asset, to_box: Similarity, to_stand: Similarity) -> RigResult:
        """What the looks say together, carried back from the figure that stands to the user's frame."""
        bones = skeleton(self.joint_count)
        joints_RJ3, initial_RJ3 = (np.stack([look.joints_J3(name) for look in looks])[:, :self.joint_count]
                                   for name in ("joints_BJ3", "initial_BJ3"))
        expected_RJ = self._expected_errors(looks)
        weight_RJ = weights_of(expected_RJ, joints_RJ3.shape[:2])
        box_joints_J3 = to_stand.undo(together(joints_RJ3, weight_RJ))
        expected_J = None if expected_RJ is None else (weight_RJ * expected_RJ).sum(0) / to_stand.scale
        bound_J = None if expected_J is None else bound_90(expected_J, self.calibration)
        return RigResult(np.float32(to_box.undo(box_joints_J3)), bones.parents, bones.names, skin_VJ, confidence(joints_RJ3, expected_J),
                         np.float32(box_joints_J3), boxed.vertices_V3, to_box, expected_J, bound_J,
                         np.float32(to_stand.undo(together(initial_RJ3, weight_RJ))), to_stand.rotation_33)

    def _to_stand(self, shown: Asset, first: Sample) -> Similarity | None:
        """Box -> the box of the same figure standing upright; None where it does, or where the network has no opinion."""
        if not self.expects_errors:
            return None
        turn_33 = find_upright(lambda turns_K33: look_at_turns(self.model, first, turns_K33))
        if (turn_33 == np.eye(3)).all():
            return None
        turn = Similarity(turn_33)
        return turn.then(fit_box(turn.apply(shown.vertices_V3)))

    def _expected_errors(self, looks: list["Look"]) -> np.ndarray | None:
        """(R, J) float64, units of the box that the looks saw."""
        return np.stack([look.expected_error_J() for look in looks])[:, :self.joint_count] if self.expects_errors else None

    def predict_batch(self, assets: list[Asset]) -> list[RigResult]:
        """One rig per asset, each the same to the last bit as `predict` gives alone.

        That is why each cloud is a batch of its own, the looks of one asset too: a matrix product sums in another order when its
        row count changes. Measured (preset small, one core): four clouds encoded together take .79 of the time of four alone, and
        the joints move by 2e-7; encoding is about a fifth of an asset of 20,000 vertices, so a twentieth is all there is to win.
        """
        return [self.predict(asset) for asset in assets]

    def _samples(self, boxed: Asset, first: Sample, queries: "Queries", rng: np.random.Generator) -> list[Sample]:
        """The points of each look. Where a mesh's hands are looked for, the first sample serves that instead."""
        samples = [first]
        if self.options.find_hands and boxed.has_faces:
            skin_VJ = self._first_skin(Look.at(self.model, first), queries)
            boxed, samples = replace(boxed, skin_VJ=skin_VJ), []  # which faces are hands is read from it
        shown = visible(boxed)
        surface = Surface.of(shown) if len(samples) < self.options.looks else None
        return samples + [draw(Sampler(self.points), shown, surface, rng) for _ in range(self.options.looks - len(samples))]

    def _first_skin(self, look: "Look", queries: "Queries") -> np.ndarray:
        """(V, J) float64, rows sum to 1."""
        skin_VJ = np.empty((len(queries.place_V), self.model.cfg.joint_count))
        for chunk, vertex_P, row_P in queries.pieces(self.options.query_chunk):
            skin_VJ[vertex_P] = unit_rows(look.skin_QJ(queries, chunk))[row_P]
        return skin_VJ

    def _skin(self, looks: list["Look"], queries: "Queries") -> np.ndarray:
        """(V, J) float32: the looks' mean, rows scaled to sum 1. Chunk by chunk, so that only the answer grows with V."""
        skin_VJ = np.empty((len(queries.place_V), self.joint_count), np.float32)
        for chunk, vertex_P, row_P in queries.pieces(self.options.query_chunk):
            mean_QJ = unit_rows(sum(look.skin_QJ(queries, chunk) for look in looks))
            rows_QJ = unit_rows(merge_fingers(mean_QJ) if self.joint_count < mean_QJ.shape[1] else mean_QJ)
            skin_VJ[vertex_P] = rows_QJ[row_P]
        return skin_VJ


class Look(NamedTuple):
    """One sample of points as the network sees it, or sees it in a mirror: what it says of the mirror image is turned back.

    A network that has learned both hands alike still errs to one side of a given cloud; the mean of a look and a mirrored one does not.
    """
    model: object
    encoding: object
    mirrored: bool

    @staticmethod
    def at(model, sample: Sample, mirrored: bool = False) -> "Look":
        return Look(model, model.encode(*to_network(moved(sample, MIRROR) if mirrored else sample)), mirrored)

    def joints_J3(self, name: str = "joints_BJ3") -> np.ndarray:
        """(J, 3) float64, box units: the encoding's joints of that name."""
        joints_J3 = self._sides_back(np.float64(getattr(self.encoding, name).numpy()[0]), axis=0)
        return MIRROR.apply(joints_J3) if self.mirrored else joints_J3

    def expected_error_J(self) -> np.ndarray:
        return self._sides_back(np.float64(self.encoding.expected_error_BJ.numpy()[0]), axis=0)

    def skin_QJ(self, queries: "Queries", chunk: slice) -> np.ndarray:
        """Weights (Q, J) float64 of some of the queries."""
        flip_3 = np.float32([-1, 1, 1]) if self.mirrored else np.float32(1)
        query, normals = jt.array(queries.points_U3[None, chunk] * flip_3), jt.array(queries.normals_U3[None, chunk] * flip_3)
        return self._sides_back(self.model.decode_skin(self.encoding, query, normals).numpy()[0].astype(np.float64), axis=1)

    def _sides_back(self, of_joints: np.ndarray, axis: int) -> np.ndarray:
        return of_joints.take(skeleton(of_joints.shape[axis]).mirror, axis) if self.mirrored else of_joints


def draw(sampler: Sampler, boxed: Asset, surface: Surface | None, rng: np.random.Generator) -> Sample:
    """What `sampler(boxed, rng)` draws, with the surface given, so that many draws measure its faces once; no skin."""
    corner_N3, bary_N3 = sampler.places(len(boxed.vertices_V3), boxed.faces_F3, surface, rng)
    normals_N3 = None if boxed.normals_V3 is None else normalize(blend(boxed.normals_V3, corner_N3, bary_N3))
    return Sample(blend(boxed.vertices_V3, corner_N3, bary_N3), normals_N3, None, corner_N3, bary_N3)


def moved(sample: Sample, similarity: Similarity) -> Sample:
    """The same places on the surface in another frame."""
    normals_N3 = None if sample.normals_N3 is None else similarity.apply_vectors(sample.normals_N3)
    return replace(sample, points_N3=similarity.apply(sample.points_N3), normals_N3=normals_N3)


def look_at_turns(model, sample: Sample, turns_K33: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What launch.orientation asks: the sample under each turn -> joints (K, J, 3) and mean expected error of the body's joints (K,)."""
    joints, expected = [], []
    for start in range(0, len(turns_K33), TURNS_AT_ONCE):
        turns_B33 = turns_K33[start:start + TURNS_AT_ONCE].transpose(0, 2, 1)
        points_BN3 = sample.points_N3 @ turns_B33
        low_B13, high_B13 = points_BN3.min(1, keepdims=True), points_BN3.max(1, keepdims=True)
        points_BN3 = (points_BN3 - (low_B13 + high_B13) / 2) * (2 / (high_B13 - low_B13).max(2, keepdims=True))
        normals = None if sample.normals_N3 is None else jt.array(np.float32(sample.normals_N3 @ turns_B33))
        found, _ = model.find_joints(jt.array(np.float32(points_BN3)), normals)
        joints.append(found.joints_BJ3.numpy())
        expected.append(found.expected_error_BJ.numpy()[:, :len(BODY_NAMES)].mean(1))
    return np.concatenate(joints), np.concatenate(expected)


def to_network(sample: Sample) -> tuple[jt.Var, jt.Var | None]:
    """Points and normals as a batch of one."""
    normals = None if sample.normals_N3 is None else jt.array(np.float32(sample.normals_N3)[None])
    return jt.array(np.float32(sample.points_N3)[None]), normals


class Queries(NamedTuple):
    """Where weights are asked: each distinct vertex position once, so that vertices sharing one (seams) share their weights.

    points_U3, normals_U3: float32 in the box, sorted by x, then y, then z; normals are the mean over the position's vertices,
    zero where unknown. place_V: the row of each vertex.
    """
    points_U3: np.ndarray
    normals_U3: np.ndarray
    place_V: np.ndarray

    @staticmethod
    def of(boxed: Asset) -> "Queries":
        points_U3, place_V = welded(boxed.vertices_V3)
        normals_V3 = np.zeros_like(boxed.vertices_V3) if boxed.normals_V3 is None else boxed.normals_V3
        sum_U3 = segment_sum(normals_V3, place_V, len(points_U3))
        length_U1 = np.linalg.norm(sum_U3, axis=1, keepdims=True)
        normals_U3 = np.where(length_U1 > 1e-6, sum_U3 / np.maximum(length_U1, 1e-6), 0)
        return Queries(np.float32(points_U3), np.float32(normals_U3), place_V)

    def pieces(self, size: int) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
        """(chunk of U, vertices, their rows in the chunk): every vertex once, `size` queries at a time."""
        order_V = np.argsort(self.place_V, kind="stable")
        place_V = self.place_V[order_V]
        for start in range(0, len(self.points_U3), size):
            first, end = np.searchsorted(place_V, (start, start + size))
            yield slice(start, start + size), order_V[first:end], place_V[first:end] - start


def weights_of(expected_RJ: np.ndarray | None, shape: tuple[int, int]) -> np.ndarray:
    """How much each look counts in each joint, (R, J) float64, columns sum to 1: as 1 / (its expected error)^2, the weights of the best
    mean of independent measurements; alike where nothing is expected."""
    precision_RJ = np.ones(shape) if expected_RJ is None else expected_RJ ** -2.0
    return precision_RJ / precision_RJ.sum(0)


def together(joints_RJ3: np.ndarray, weight_RJ: np.ndarray) -> np.ndarray:
    """(J, 3): the looks' weighted mean."""
    return (weight_RJ[:, :, None] * joints_RJ3).sum(0)


def unit_rows(skin_VJ: np.ndarray) -> np.ndarray:
    """Rows scaled to sum 1, in float64."""
    skin_VJ = np.asarray(skin_VJ, np.float64)
    return skin_VJ / skin_VJ.sum(1, keepdims=True)


def confidence(joints_RJ3: np.ndarray, expected_J: np.ndarray | None) -> np.ndarray | None:
    """(J,) float32 in (0, 1]: the chance that a joint is right within RIGHT_WITHIN, its error being exponential with the expected mean.

    From a network that expects nothing: exp(-spread / SPREAD_OF_DOUBT), with spread the mean distance between a joint's looks and
    their mean; None for a single look.
    """
    if expected_J is not None:
        return np.float32(-np.expm1(-RIGHT_WITHIN / expected_J))
    if len(joints_RJ3) == 1:
        return None
    spread_J = np.linalg.norm(joints_RJ3 - joints_RJ3.mean(0), axis=2).mean(0)
    return np.float32(np.exp(-spread_J / SPREAD_OF_DOUBT))


def check_rig(rig: RigResult, source: str) -> RigResult:
    """The same rig, proven: finite, weights >= 0, rows sum to 1 within 1e-6. Nothing that breaks this is ever handed out.

    Raises: ValueError naming the source.
    """
    if not (np.isfinite(rig.joints_J3).all() and np.isfinite(rig.skin_VJ).all()):
        raise ValueError(f"{source}: the network answered with NaN or infinity; the checkpoint is damaged or was never trained to an end")
    off = np.abs(rig.skin_VJ.sum(1, dtype=np.float64) - 1).max()
    if rig.skin_VJ.min() < 0 or off > 1e-6:
        raise ValueError(f"{source}: weights break their contract (least {rig.skin_VJ.min():.3g}, sums off by {off:.3g})")
    return rig
