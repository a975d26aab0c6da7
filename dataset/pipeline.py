"""From a character to one training sample, fast, and the worker process that does it beside the trainer. No Jittor here.

The mesh is posed by one float32 product, skin_VJ @ transforms_J12, which gives the bounding box and the sampled points; normals
follow on the sampled points only. `Draw.realise` is the exact, slow twin. Letters: B batch, V vertices, N points, J joints.
"""

import os
import pickle
import signal
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from dataset.asset import Asset, AssetError, merge_fingers
from dataset.augment import Draw, Mix, Mirror, PointDensity
from dataset.format import skeleton
from dataset.sampler import Sample, Sampler, Surface, blend
from geometry.normals import normalize
from geometry.similarity import fit_box
from geometry.skinning import cofactor

Batch = dict[str, np.ndarray | list[str]]
_TRAIN, _ORDER, _VALIDATION = 0, 1, 2      # streams of random numbers that never meet


def pose_vertices(asset: Asset, transforms_J44: np.ndarray) -> np.ndarray:
    """(3, V) float32: the vertices under blended transforms; for a character without weights, under the first joint's."""
    x, y, z = np.asarray(asset.vertices_V3, np.float32).T
    flat_12J = transforms_J44[:, :3, :].reshape(-1, 12).T.astype(np.float32)
    # rows of 12 x V, so that the sums below run over contiguous memory
    blend_12V = flat_12J @ asset.skin_VJ.T if asset.skin_VJ is not None else flat_12J[:, :1]
    row = blend_12V.reshape(3, 4, -1)
    return row[:, 0] * x + row[:, 1] * y + row[:, 2] * z + row[:, 3]


def pose_normals(normals_N3: np.ndarray, skin_NJ: np.ndarray | None, transforms_J44: np.ndarray) -> np.ndarray:
    """(N, 3) unit normals under the cofactor of the blended 3x3 part (as geometry.skinning.skin_normals)."""
    matrix_J9 = transforms_J44[:, :3, :3].reshape(-1, 9)
    matrix_N33 = (matrix_J9[:1] if skin_NJ is None else skin_NJ @ matrix_J9).reshape(-1, 3, 3)
    turned_N3 = normalize((cofactor(matrix_N33) * normals_N3[:, None, :]).sum(-1))
    return np.where((turned_N3 == 0).all(-1, keepdims=True), normals_N3, turned_N3)


@dataclass(frozen=True, eq=False)
class Posed:
    """A sample after the pose: positions in the character's units, rest skin, the joints and the box of the whole mesh."""
    points_N3: np.ndarray
    normals_N3: np.ndarray | None
    skin_NJ: np.ndarray | None
    joints_J3: np.ndarray
    low_3: np.ndarray
    high_3: np.ndarray


def pose_sample(draw: Draw, surface: Surface | None, sampler: Sampler, mix: Mix, rng: np.random.Generator) -> Posed:
    """Draw points on the rest mesh, add clutter, move all, and mirror at the end."""
    asset = draw.asset
    thin = rng.random() < mix.density.p
    wide = replace(sampler, count=2 * sampler.count) if thin else sampler
    corner_N3, bary_N3 = wide.places(len(asset.vertices_V3), asset.faces_F3, surface, rng)
    bary_N3 = bary_N3.astype(np.float32)
    sample = Sample(blend(asset.vertices_V3, corner_N3, bary_N3),
                    None if asset.normals_V3 is None else blend(asset.normals_V3, corner_N3, bary_N3),
                    None if asset.skin_VJ is None else blend(asset.skin_VJ, corner_N3, bary_N3), corner_N3, bary_N3)
    sample = mix.clutter(sample, asset.joints_J3, rng)
    transforms_J44, pose_J44 = draw.move()
    posed_3V = pose_vertices(asset, transforms_J44)
    points_N3 = blend(posed_3V.T, sample.corner_N3, bary_N3)
    rigid = sample.corner_N3[:, 0] < 0
    if rigid.any():
        move_K44 = transforms_J44[sample.skin_NJ[rigid].argmax(1)]
        points_N3[rigid] = (move_K44[:, :3, :3] @ sample.points_N3[rigid][:, :, None])[..., 0] + move_K44[:, :3, 3]
    low_3, high_3 = np.minimum(posed_3V.min(1), points_N3.min(0)), np.maximum(posed_3V.max(1), points_N3.max(0))
    normals_N3 = None if sample.normals_N3 is None else pose_normals(sample.normals_N3, sample.skin_NJ, transforms_J44)
    posed = Posed(points_N3, normals_N3, sample.skin_NJ, pose_J44[:, :3, 3], low_3, high_3)
    if thin:
        kept = mix.density.keep(points_N3, sampler.count, rng)
        posed = replace(posed, points_N3=points_N3[kept], normals_N3=None if normals_N3 is None else normals_N3[kept],
                        skin_NJ=None if posed.skin_NJ is None else posed.skin_NJ[kept])
    return _mirrored(posed) if draw.mirrored else posed


def _mirrored(posed: Posed) -> Posed:
    flip_3, order = np.array([-1.0, 1.0, 1.0]), list(skeleton(len(posed.joints_J3)).mirror)
    low_3, high_3 = posed.low_3.copy(), posed.high_3.copy()
    low_3[0], high_3[0] = -posed.high_3[0], -posed.low_3[0]
    return Posed(posed.points_N3 * flip_3, None if posed.normals_N3 is None else posed.normals_N3 * flip_3,
                 None if posed.skin_NJ is None else posed.skin_NJ[:, order], posed.joints_J3[order] * flip_3, low_3, high_3)


@dataclass(frozen=True, eq=False)
class Pipeline:
    """Samples and batches that depend on nothing but (seed, step, slot): a resumed run sees what the unbroken one saw.

    assets: any sequence of rigged Assets (PreparedAssets, or a list). joints: 22 or 52, what the network predicts. batch: samples of
    a step over all ranks. group_weights: (index range start, stop, weight) per group of assets, to fix the groups' shares of the
    draws whatever their sizes; without them every asset comes once per epoch, in an order of its own each time.
    """
    assets: Sequence[Asset]
    mix: Mix
    sampler: Sampler
    joints: int
    batch: int
    seed: int = 0
    group_weights: tuple[tuple[int, int, float], ...] = ()
    _ready: dict = field(default_factory=dict, repr=False)

    def __post_init__(self):
        skeleton(self.joints)
        if len(self.assets) == 0 or self.batch < 1:
            raise ValueError(f"a pipeline needs assets ({len(self.assets)}) and a batch of at least 1 ({self.batch})")
        for start, stop, weight in self.group_weights:
            if not (0 <= start < stop <= len(self.assets) and weight > 0):
                raise ValueError(f"group ({start}, {stop}, {weight}): needs 0 <= start < stop <= {len(self.assets)} and weight > 0")

    def __getstate__(self):
        return {**self.__dict__, "_ready": {}}

    def rig_and_surface(self, index: int) -> tuple[Asset, Surface | None]:
        """One asset, checked for what training needs, in the network's frame. In-memory assets are made ready once."""
        if hasattr(self.assets, "surface"):
            return self.assets[index], self.assets.surface(index)
        if index not in self._ready:
            asset = self.assets[index].in_network_frame()
            if asset.joint_count not in (22, 52):
                raise AssetError(f"{asset.source}: has {asset.joint_count} joints; training needs the contest's 22 or 52")
            asset = replace(asset, parents=skeleton(asset.joint_count).parents)
            self._ready[index] = asset, Surface.of(asset)
        return self._ready[index]

    def pick(self, step: int, slot: int, rng: np.random.Generator) -> int:
        """Which asset the slot of this step draws."""
        if self.group_weights:
            weight_G = np.array([w for _, _, w in self.group_weights])
            start, stop, _ = self.group_weights[rng.choice(len(weight_G), p=weight_G / weight_G.sum())]
            return int(rng.integers(start, stop))
        epoch, place = divmod(step * self.batch + slot, len(self.assets))
        return int(np.random.default_rng([self.seed, _ORDER, epoch]).permutation(len(self.assets))[place])

    def train_sample(self, step: int, slot: int) -> tuple[dict[str, np.ndarray], str]:
        """One training sample as arrays, and its asset's source for messages."""
        rng = np.random.default_rng([self.seed, _TRAIN, step, slot])
        return self._sample(self.pick(step, slot, rng), self.mix, rng)

    def validation_sample(self, index: int, view: int, kind: str) -> tuple[dict[str, np.ndarray], str]:
        """A fixed sample: pose of the given kind, no augmentation but the mix's whole-cloud turn."""
        plain = replace(self.mix, rest=float(kind == "rest"), random=float(kind == "random"), mocap=float(kind == "mocap"),
                        mirror=Mirror(0.0), stretch=replace(self.mix.stretch, p=0.0), clutter=replace(self.mix.clutter, p=0.0),
                        density=PointDensity(0.0), jitter=replace(self.mix.jitter, p=0.0),
                        normal_dropout=replace(self.mix.normal_dropout, p=0.0))
        return self._sample(index, plain, np.random.default_rng([self.seed, _VALIDATION, index, view]))

    def _sample(self, index: int, mix: Mix, rng: np.random.Generator) -> tuple[dict[str, np.ndarray], str]:
        asset, surface = self.rig_and_surface(index)
        try:
            posed = pose_sample(mix(asset, rng), surface, self.sampler, mix, rng)
            to_box = fit_box(np.stack([posed.low_3, posed.high_3]))
        except AssetError:
            raise
        except ValueError as error:
            raise AssetError(f"{asset.source}: cannot be posed and sampled ({error}); run dataset.asset.check on it") from error
        seen = posed.normals_N3 is not None and not mix.normal_dropout(rng)
        joints_J3, mask_J, skin_NJ, skin_mask = _targets(asset, posed, self.joints)
        sample = {"points": mix.jitter(to_box.apply(posed.points_N3), rng),
                  "normals": posed.normals_N3 if seen else np.zeros_like(posed.points_N3), "has_normals": float(seen),
                  "joints": to_box.apply(joints_J3) * mask_J[:, None], "joint_mask": mask_J, "skin": skin_NJ, "skin_mask": skin_mask}
        return {key: np.asarray(value, np.float32) for key, value in sample.items()}, asset.source

    def train_batch(self, step: int, slots: Sequence[int]) -> Batch:
        return stack([self.train_sample(step, slot) for slot in slots])


def _targets(asset: Asset, posed: Posed, joints: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """(joints_J3, joint_mask_J, skin_NJ, skin_mask) with J = what the network predicts.

    A 22-joint character under a 52-joint network: fingers are masked out, and so is its skin, whose hand holds the fingers' weight.
    """
    known, count = len(posed.joints_J3), len(posed.points_N3)
    joints_J3, mask_J = np.zeros((joints, 3)), np.zeros(joints)
    both = min(known, joints)
    joints_J3[:both] = posed.joints_J3[:both]
    valid_J = np.ones(known) if asset.joint_valid_J is None else asset.joint_valid_J
    # a mirrored draw swaps sides, and validity is a property of the rig's convention, the same on both
    mask_J[:both] = np.minimum(valid_J, valid_J[list(skeleton(known).mirror)])[:both]
    if posed.skin_NJ is None:
        return joints_J3, mask_J, np.zeros((count, joints)), 0.0
    skin_NJ = posed.skin_NJ
    if known > joints:
        skin_NJ = merge_fingers(skin_NJ)
    elif known < joints:
        skin_NJ = np.pad(skin_NJ, ((0, 0), (0, joints - known)))
    return joints_J3, mask_J, skin_NJ, float(asset.skin_valid and known >= joints)


def stack(samples: Sequence[tuple[dict[str, np.ndarray], str]]) -> Batch:
    """Samples to one batch: arrays with B in front, and "asset", the list of sources."""
    batch: Batch = {key: np.stack([arrays[key] for arrays, _ in samples]) for key in samples[0][0]}
    batch["asset"] = [source for _, source in samples]
    return batch


def serve() -> None:
    """A worker's life: a Pipeline on stdin, then (step, slots) requests; each is answered by ("batch", ...) or ("error", kind, text).

    Ends when stdin does, so that it never outlives its trainer.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)       # Ctrl-C is for the trainer, whose end closes stdin
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)       # a stray print must not enter the stream of answers
    pipeline: Pipeline = pickle.load(requests)
    while True:
        try:
            step, slots = pickle.load(requests)
        except EOFError:
            return
        try:
            answer = ("batch", pipeline.train_batch(step, slots))
        except AssetError as error:
            answer = ("asset", str(error))
        except Exception:       # whatever it was, the trainer must hear of it with its trace
            answer = ("error", traceback.format_exc())
        try:
            pickle.dump(answer, answers, protocol=5)
            answers.flush()
        except BrokenPipeError:
            return


if __name__ == "__main__":
    serve()
