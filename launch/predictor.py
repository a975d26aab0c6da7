"""From an asset to its rig, in the asset's own frame.

    predictor = Predictor("output/TransRefiner-finetune")
    rig = predictor.predict(load_asset("hero.glb"))     # rig.joints_J3, rig.skin_VJ: the file's frame and vertex order

The way in: the asset's frame -> network frame (Z up) -> unit box -> points -> network. The way home: the same similarity undone.
The points are drawn with a generator seeded by the asset's content, so neither the order of files nor their names change a rig.
Letters: N points, V vertices, U distinct vertex positions, J joints, R looks (resamplings).
"""

import hashlib
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import jittor as jt
import numpy as np

from dataset.asset import Asset, AssetError, check, merge_fingers, network_rotation
from dataset.format import skeleton
from dataset.sampler import Sampler
from geometry.normals import vertex_normals
from geometry.similarity import Similarity, fit_box
from launch.build import build_model
from launch.checkpoint import check_keys, load_model
from launch.runtime import compile_note

DEFAULT_POINTS = 1024     # N where the checkpoint's config does not say
SPREAD_OF_DOUBT = 0.02    # box units (about 1.7 cm on a person of 170 cm): a joint that moves so much between looks has confidence 1/e


class RigResult(NamedTuple):
    """A rig in the user's frame and vertex order, and the same in the unit box of the contest's layout.

    joints_J3, box_joints_J3, box_vertices_V3, skin_VJ: float32. skin_VJ: >= 0, rows sum to 1 within 1e-6.
    confidence_J: in (0, 1], exp(-spread / SPREAD_OF_DOUBT) with spread the mean distance between a joint's looks and their mean;
    None when the predictor looks once. to_box: user's frame -> box.
    """
    joints_J3: np.ndarray
    parents: tuple[int | None, ...]
    names: tuple[str, ...]
    skin_VJ: np.ndarray
    confidence_J: np.ndarray | None
    box_joints_J3: np.ndarray
    box_vertices_V3: np.ndarray
    to_box: Similarity


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
        self.has_looked = False
        self.points = config.get("data", {}).get("points", DEFAULT_POINTS)
        known = self.model.cfg.joint_count
        self.joint_count = known if options.joints is None else options.joints
        if self.joint_count not in (known, min(known, 22)):
            raise ValueError(f"{checkpoint_folder} knows {known} joints and cannot predict {self.joint_count}; "
                             f"ask for {' or '.join(map(str, sorted({22, known})))}, or use another checkpoint")

    def predict(self, asset: Asset) -> RigResult:
        """A rig that the asset already has is not looked at.

        Raises: AssetError for an asset that cannot be used, naming its source.
        """
        asset = check(geometry_only(asset))
        to_box = box_similarity(asset)
        boxed = with_normals(asset.to_frame(to_box))
        rng = np.random.default_rng([self.options.seed, content_number(asset)])
        queries = Queries.of(boxed)
        if self.options.find_hands and boxed.has_faces:
            _, skin_UJ = self._look(boxed, queries, rng)
            boxed = replace(boxed, skin_VJ=unit_rows(skin_UJ)[queries.place_V])  # the sampler reads from it which faces are hands
        joints_RJ3, sum_UJ = [], 0.0
        for _ in range(self.options.looks):
            joints_J3, skin_UJ = self._look(boxed, queries, rng)
            joints_RJ3.append(joints_J3)
            sum_UJ = sum_UJ + skin_UJ
        joints_RJ3, skin_VJ = np.stack(joints_RJ3), unit_rows(sum_UJ)[queries.place_V]
        if self.joint_count < self.model.cfg.joint_count:
            joints_RJ3, skin_VJ = joints_RJ3[:, :self.joint_count], merge_fingers(skin_VJ)
        box_joints_J3 = joints_RJ3.mean(0)
        bones = skeleton(self.joint_count)
        rig = RigResult(np.float32(to_box.undo(box_joints_J3)), bones.parents, bones.names, np.float32(unit_rows(skin_VJ)),
                        confidence(joints_RJ3), np.float32(box_joints_J3), boxed.vertices_V3, to_box)
        return check_rig(rig, asset.source)

    def predict_batch(self, assets: list[Asset]) -> list[RigResult]:
        """One rig per asset, each the same to the last bit as `predict` gives alone.

        That is why each asset is a batch of its own: a matrix product sums in another order when its row count changes, so a
        shared batch would let neighbours move the last bits. Most of the time goes into the weights of all vertices anyway.
        """
        return [self.predict(asset) for asset in assets]

    def _look(self, boxed: Asset, queries: "Queries", rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """One sample of points -> joints (J, 3) and weights (U, J), float64, in the box. The first may compile kernels for minutes."""
        note, self.has_looked = nullcontext() if self.has_looked else compile_note("the network"), True
        sample = Sampler(self.points)(boxed, rng)
        normals = None if sample.normals_N3 is None else jt.array(np.float32(sample.normals_N3)[None])
        parts = []
        with note, jt.no_grad():
            encoding = self.model.encode(jt.array(np.float32(sample.points_N3)[None]), normals)
            for start in range(0, len(queries.points_U3), self.options.query_chunk):
                chunk = slice(start, start + self.options.query_chunk)
                query, query_normals = jt.array(queries.points_U3[None, chunk]), jt.array(queries.normals_U3[None, chunk])
                parts.append(self.model.decode_skin(encoding, query, query_normals).numpy()[0])
        return np.float64(encoding.joints_BJ3.numpy()[0]), np.concatenate(parts).astype(np.float64)


def fill(model, params: dict[str, np.ndarray], source: str) -> None:
    """Give a network the arrays of a checkpoint, all of them and nothing else. Raises: ValueError listing what does not fit."""
    named = dict(model.named_parameters())
    check_keys({name: tuple(var.shape) for name, var in named.items()}, params, source)
    for name, var in named.items():
        var.assign(jt.array(params[name]))


class Queries(NamedTuple):
    """Where weights are asked: each distinct vertex position once, so that vertices sharing one (seams) share their weights.

    points_U3, normals_U3: float32 in the box; normals are the mean over the position's vertices, zero where unknown.
    place_V: the row of each vertex.
    """
    points_U3: np.ndarray
    normals_U3: np.ndarray
    place_V: np.ndarray

    @staticmethod
    def of(boxed: Asset) -> "Queries":
        points_U3, place_V = np.unique(boxed.vertices_V3, axis=0, return_inverse=True)
        place_V = place_V.reshape(-1)
        normals_V3 = np.zeros_like(boxed.vertices_V3) if boxed.normals_V3 is None else boxed.normals_V3
        sum_U3 = np.stack([np.bincount(place_V, normals_V3[:, axis], len(points_U3)) for axis in range(3)], axis=1)
        length_U1 = np.linalg.norm(sum_U3, axis=1, keepdims=True)
        normals_U3 = np.where(length_U1 > 1e-6, sum_U3 / np.maximum(length_U1, 1e-6), 0)
        return Queries(points_U3, np.float32(normals_U3), place_V)


def geometry_only(asset: Asset) -> Asset:
    """The asset without its rig."""
    return replace(asset, joints_J3=None, skin_VJ=None, parents=None, names=None, matrix_local_J44=None, joint_valid_J=None)


def with_normals(asset: Asset) -> Asset:
    """The asset with vertex normals from its faces where it has faces but no normals."""
    if asset.normals_V3 is not None or not asset.has_faces:
        return asset
    return replace(asset, normals_V3=np.float32(vertex_normals(asset.vertices_V3, asset.faces_F3)))


def box_similarity(asset: Asset) -> Similarity:
    """The asset's frame -> network frame -> unit box.

    Raises: AssetError when all vertices are in one place.
    """
    turn = network_rotation(asset)
    try:
        return turn.then(fit_box(turn.apply(asset.vertices_V3)))
    except ValueError as error:
        raise AssetError(f"{asset.source}: {error}; a character needs vertices that are apart") from error


def content_number(asset: Asset) -> int:
    """A number of the geometry alone: 8 bytes of the SHA-256 of its vertices and faces."""
    digest = hashlib.sha256(np.ascontiguousarray(asset.vertices_V3, "<f4").tobytes())
    if asset.faces_F3 is not None:
        digest.update(np.ascontiguousarray(asset.faces_F3, "<i8").tobytes())
    return int.from_bytes(digest.digest()[:8], "little")


def unit_rows(skin_VJ: np.ndarray) -> np.ndarray:
    """Rows scaled to sum 1, in float64."""
    skin_VJ = np.asarray(skin_VJ, np.float64)
    return skin_VJ / skin_VJ.sum(1, keepdims=True)


def confidence(joints_RJ3: np.ndarray) -> np.ndarray | None:
    """exp(-spread / SPREAD_OF_DOUBT) per joint, float32; None for a single look."""
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
