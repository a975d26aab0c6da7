"""From a character to one training sample, fast. No Jittor here: worker processes (dataset/crew.py) run it beside the trainer.

Points are drawn on the rest mesh (uniform by rest area); then only the corners of their triangles are posed, in float32, and what the
bounding box needs beyond them (dataset/body.py); skin and normals follow on the points. `Draw.realise` is the exact, slow twin.
Letters: B batch, V vertices, N points, J joints.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np

from dataset.asset import Asset, AssetError, merge_fingers
from dataset.augment import Draw, Mirror, Mix, PointDensity, Rotate, Shells, Tilt
from dataset.body import Body, SparseRows
from dataset.format import skeleton
from dataset.patch import fill_patch
from dataset.prepared import PreparedAssets
from dataset.sampler import Sampler, Spots, blend

Batch = dict[str, np.ndarray | list[str]]
_TRAIN, _ORDER, _VALIDATION = 0, 1, 2      # streams of random numbers that never meet
_COLLAPSED = 1e-12      # length of a turned normal, from a unit one: below, the blend has no inside


def pose_normals(normals_3N: np.ndarray, skin_NJ: np.ndarray, transforms_J12: np.ndarray) -> np.ndarray:
    """(3, N) float32 unit normals under the cofactor of the blended 3x3 part (as geometry.skinning.skin_normals)."""
    matrix_9J = transforms_J12.reshape(-1, 3, 4)[:, :, :3].reshape(-1, 9).T
    row_53N = np.empty((5, 3, len(skin_NJ)), np.float32)       # rows 0, 1, 2, 0, 1 of each point's matrix
    np.matmul(matrix_9J, skin_NJ.T, out=row_53N[:3].reshape(9, -1))
    row_53N[3:] = row_53N[:2]
    a_33N, b_33N, cofactor_33N = row_53N[1:4], row_53N[2:], np.empty_like(row_53N[:3])
    for k in range(3):      # each row of the cofactor is the cross product of the other two
        np.multiply(a_33N[:, k - 2], b_33N[:, k - 1], out=cofactor_33N[:, k])
        cofactor_33N[:, k] -= a_33N[:, k - 1] * b_33N[:, k - 2]
    turned_3N = np.einsum("akn,kn->an", cofactor_33N, normals_3N)
    length_N = np.sqrt(np.einsum("an,an->n", turned_3N, turned_3N))
    collapsed_N = length_N <= _COLLAPSED
    if collapsed_N.any():
        turned_3N[:, collapsed_N], length_N[collapsed_N] = normals_3N[:, collapsed_N], 1
    turned_3N /= length_N
    return turned_3N


@dataclass(frozen=True, eq=False)
class Posed:
    """A sample after the pose: positions in the character's units, skin, the joints and the box of the whole mesh."""
    points_N3: np.ndarray
    normals_N3: np.ndarray | None
    skin_NJ: np.ndarray | None
    joints_J3: np.ndarray
    low_3: np.ndarray
    high_3: np.ndarray


@dataclass(frozen=True, eq=False)
class Choice:
    """What chance decided for a sample before anything moves: a draw, places on the rest mesh (more where it will be thinned), clutter."""
    draw: Draw
    body: Body
    thin: bool
    spots: Spots
    shells: Shells | None


def choose(draw: Draw, body: Body, sampler: Sampler, mix: Mix, rng: np.random.Generator) -> Choice:
    """Draw points on the rest mesh, and add clutter. draw: of this body or of the asset it was made of."""
    thin = rng.random() < mix.density.p
    wide = replace(sampler, count=2 * sampler.count) if thin else sampler
    spots, shells = wide.spots(len(body.vertices_V3), body.faces_F3, body.surface, rng), None
    spots = spots._replace(bary_P3=spots.bary_P3.astype(np.float32))
    if body.has_skin and rng.random() < mix.clutter.p:
        shells = mix.clutter.shells(blend(body.vertices_V3, *spots.places()), body.joints_J3, rng)
    return Choice(draw, body, thin, spots, shells)


def pose_sample(draw: Draw, body: Body, sampler: Sampler, mix: Mix, rng: np.random.Generator) -> Posed:
    """One sample by itself: choose, then move all."""
    return pose(choose(draw, body, sampler, mix, rng), draw.move(), sampler.count, mix, rng)


def pose(choice: Choice, move: tuple[np.ndarray, np.ndarray], count: int, mix: Mix, rng: np.random.Generator,
         skin_NJ: np.ndarray | None = None) -> Posed:
    """Carry out a choice and mirror at the end. move: of its draw. skin_NJ: zeros to write the weights into, new ones when not given."""
    body, spots, shells = choice.body, choice.spots, choice.shells
    transforms_J44, pose_J44 = move
    transforms_J12 = transforms_J44[:, :3].reshape(-1, 12).astype(np.float32)
    corner_M = np.concatenate([spots.vertex_A, spots.corner_P3.ravel()])
    rows = body.skin.rows(corner_M)
    points_3N = _joined(body.posed(corner_M, rows, transforms_J12), spots)
    if shells is not None:
        move_S44 = transforms_J44[shells.joint_S]
        points_3N[:, shells.rows_S] = ((move_S44[:, :3, :3] @ shells.points_S3[:, :, None])[..., 0] + move_S44[:, :3, 3]).T
    low_3, high_3 = body.widened(transforms_J12, points_3N.min(1), points_3N.max(1))
    if choice.thin:
        kept = mix.density.keep(points_3N.T, count, rng)
        points_3N, spots, shells = points_3N[:, kept], spots.among(kept), None if shells is None else shells.among(kept)
        rows = body.skin.rows(np.concatenate([spots.vertex_A, spots.corner_P3.ravel()]))
    skin_NJ, normals_N3 = _carried(replace(choice, spots=spots, shells=shells), rows, transforms_J12, skin_NJ)
    posed = Posed(points_3N.T, normals_N3, skin_NJ, pose_J44[:, :3, 3], low_3, high_3)
    return _mirrored(posed) if choice.draw.mirrored else posed


def _joined(corner_3M: np.ndarray, spots: Spots) -> np.ndarray:
    """(3, N) positions in the sample's order, from those of the lone vertices and the faces' corners."""
    lone = len(spots.vertex_A)
    point_3S = np.empty((3, lone + len(spots.corner_P3)), np.float32)
    point_3S[:, :lone] = corner_3M[:, :lone]
    np.einsum("apk,pk->ap", corner_3M[:, lone:].reshape(3, -1, 3), spots.bary_P3, out=point_3S[:, lone:])
    return point_3S.take(spots.order_N, axis=1)


def _skin_of(spots: Spots, rows: SparseRows, joint_J: np.ndarray | None, skin_NJ: np.ndarray | None) -> np.ndarray:
    """(N, J) float32 weights in the sample's order; rows: of the lone vertices and the faces' corners."""
    lone, count = len(spots.vertex_A), len(spots.order_N)
    point_S = np.empty(count, np.int32)
    point_S[spots.order_N] = np.arange(count, dtype=np.int32)
    point_M = np.concatenate([point_S[:lone], point_S[lone:].repeat(3)])
    share_M = np.concatenate([np.ones(lone, np.float32), spots.bary_P3.ravel()])
    return rows.onto(np.zeros((count, rows.joints), np.float32) if skin_NJ is None else skin_NJ, share_M, point_M, joint_J)


def _carried(choice: Choice, rows: SparseRows, transforms_J12: np.ndarray,
             skin_NJ: np.ndarray | None) -> tuple[np.ndarray | None, np.ndarray | None]:
    """(skin_NJ, normals_N3) float32: weights with left and right joints in each other's columns where mirrored, normals posed."""
    body, shells = choice.body, choice.shells
    order_J = np.array(skeleton(body.joint_count).mirror, np.int32) if choice.draw.mirrored else None
    skin_NJ = _skin_of(choice.spots, rows, order_J, skin_NJ)
    if shells is not None:
        skin_NJ[shells.rows_S] = 0.0
        skin_NJ[shells.rows_S, shells.joint_S if order_J is None else order_J[shells.joint_S]] = 1.0
    if body.normals_V3 is None:
        return skin_NJ if body.has_skin else None, None
    normals_3N = body.normals(choice.spots)
    if shells is not None:
        normals_3N[:, shells.rows_S] = shells.normals_S3.T
    normals_3N = pose_normals(normals_3N, skin_NJ, transforms_J12 if order_J is None else transforms_J12[order_J])
    return skin_NJ if body.has_skin else None, normals_3N.T


def _mirrored(posed: Posed) -> Posed:
    """Positions, normals, joints and box; the skin is so already."""
    flip_3, order = np.array([-1.0, 1.0, 1.0]), list(skeleton(len(posed.joints_J3)).mirror)
    low_3, high_3 = posed.low_3.copy(), posed.high_3.copy()
    low_3[0], high_3[0] = -posed.high_3[0], -posed.low_3[0]
    return Posed(posed.points_N3 * flip_3, None if posed.normals_N3 is None else posed.normals_N3 * flip_3,
                 posed.skin_NJ, posed.joints_J3[order] * flip_3, low_3, high_3)


@lru_cache(maxsize=8)
def _order(seed: int, epoch: int, count: int) -> np.ndarray:
    """In which order an epoch goes through the assets."""
    return np.random.default_rng([seed, _ORDER, epoch]).permutation(count)


@dataclass(frozen=True, eq=False)
class Pipeline:
    """Samples and batches that depend on nothing but (seed, step, slot): a resumed run sees what the unbroken one saw.

    assets: any sequence of rigged Assets (PreparedAssets, or a list). joints: 22 or 52, what the network predicts. batch: samples of
    a step over all ranks. group_weights: (index range start, stop, weight) per group of assets, to fix the groups' shares of the
    draws whatever their sizes; without them every asset comes once per epoch, in an order of its own each time.
    patch: so many vertices of a connected piece of each mesh come along (dataset/patch.py); the rest of a sample is the same without.
    """
    assets: Sequence[Asset]
    mix: Mix
    sampler: Sampler
    joints: int
    batch: int
    seed: int = 0
    group_weights: tuple[tuple[int, int, float], ...] = ()
    patch: int = 0
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

    def body(self, index: int) -> Body:
        """One asset, checked for what training needs, in the network's frame. In-memory assets are made ready once."""
        if isinstance(self.assets, PreparedAssets):
            return self.assets.body(index)
        if index not in self._ready:
            asset = self.assets[index].in_network_frame()
            if asset.joint_count not in (22, 52):
                raise AssetError(f"{asset.source}: has {asset.joint_count} joints; training needs the contest's 22 or 52")
            self._ready[index] = Body.of(replace(asset, parents=skeleton(asset.joint_count).parents))
        return self._ready[index]

    def pick(self, step: int, slot: int, rng: np.random.Generator) -> int:
        """Which asset the slot of this step draws."""
        if self.group_weights:
            weight_G = np.array([w for _, _, w in self.group_weights])
            start, stop, _ = self.group_weights[rng.choice(len(weight_G), p=weight_G / weight_G.sum())]
            return int(rng.integers(start, stop))
        epoch, place = divmod(step * self.batch + slot, len(self.assets))
        return int(_order(self.seed, epoch, len(self.assets))[place])

    def train_sample(self, step: int, slot: int) -> tuple[dict[str, np.ndarray], str]:
        """One training sample as arrays, and its asset's source for messages: the same bits as in any batch."""
        return unstack(self.train_batch(step, [slot]))

    def validation_sample(self, index: int, view: int, kind: str) -> tuple[dict[str, np.ndarray], str]:
        """A fixed sample: pose of the given kind, nothing else changed."""
        plain = replace(self.mix, rest=float(kind == "rest"), random=float(kind == "random"), mocap=float(kind == "mocap"),
                        mirror=Mirror(0.0), rotate=Rotate(0.0), tilt=Tilt(0.0), stretch=replace(self.mix.stretch, p=0.0),
                        clutter=replace(self.mix.clutter, p=0.0),
                        density=PointDensity(0.0), jitter=replace(self.mix.jitter, p=0.0),
                        normal_dropout=replace(self.mix.normal_dropout, p=0.0))
        return unstack(self._batch([index], plain, [np.random.default_rng([self.seed, _VALIDATION, index, view])]))

    def train_batch(self, step: int, slots: Sequence[int]) -> Batch:
        rngs = [np.random.default_rng([self.seed, _TRAIN, step, slot]) for slot in slots]
        return self._batch([self.pick(step, slot, rng) for slot, rng in zip(slots, rngs)], self.mix, rngs)

    def _batch(self, indices: Sequence[int], mix: Mix, rngs: Sequence[np.random.Generator]) -> Batch:
        """Samples of these assets, each from its own rng. Stage by stage: a stage runs several times faster while its code is in cache."""
        bodies = [self.body(index) for index in indices]
        draws = [_naming(body, mix, body, rng) for body, rng in zip(bodies, rngs)]
        choices = [_naming(body, choose, draw, body, self.sampler, mix, rng) for body, draw, rng in zip(bodies, draws, rngs)]
        moves = [_naming(body, draw.move) for body, draw in zip(bodies, draws)]
        batch = _blank(len(bodies), self.sampler.count, self.joints, self.patch)
        batch["asset"] = [body.source for body in bodies]
        for b, (choice, move, rng) in enumerate(zip(choices, moves, rngs)):
            row = {key: values[b, ...] for key, values in batch.items() if key != "asset"}
            direct = row["skin"] if choice.body.joint_count == self.joints and choice.body.has_skin else None
            posed = _naming(choice.body, pose, choice, move, self.sampler.count, mix, rng, direct)
            _fill(row, choice, posed, mix, rng)
            if self.patch:      # last of all: what was drawn before stays as it is without a patch
                fill_patch(row, choice.body, move[0], choice.draw.mirrored, _box(posed), rng)
        return batch


def _naming(body: Body, function: Callable, *args):
    """Call, with the asset's name on what goes wrong."""
    try:
        return function(*args)
    except AssetError:
        raise
    except ValueError as error:
        raise AssetError(f"{body.source}: cannot be posed and sampled ({error}); run dataset.asset.check on it") from error


def _blank(batch: int, points: int, joints: int, patch: int) -> Batch:
    """Arrays of a batch, zeros: float32, and int32 for faces."""
    tails = {"points": (points, 3), "normals": (points, 3), "has_normals": (), "joints": (joints, 3), "joint_mask": (joints,),
             "skin": (points, joints), "skin_mask": (), "upright": ()}
    if patch:
        tails |= {"patch": (patch, 3), "patch_normals": (patch, 3), "patch_faces": (2 * patch, 3)}
    return {key: np.zeros((batch, *tail), np.int32 if key == "patch_faces" else np.float32) for key, tail in tails.items()}


def _fill(row: dict[str, np.ndarray], choice: Choice, posed: Posed, mix: Mix, rng: np.random.Generator) -> None:
    """Write a sample into its row of the batch, in the unit box."""
    centre_3, scale = _naming(choice.body, _box, posed)
    if posed.normals_N3 is not None and not mix.normal_dropout(rng):
        row["normals"][:], row["has_normals"][...] = posed.normals_N3, 1
    joints_J3, mask_J, row["skin_mask"][...] = _targets(choice.body, posed, row["skin"])
    row["points"][:] = mix.jitter((posed.points_N3 - np.float32(centre_3)) * np.float32(scale), rng)
    row["joints"][:], row["joint_mask"][:] = (joints_J3 - centre_3) * scale * mask_J[:, None], mask_J
    row["upright"][...] = choice.draw.upright


def _box(posed: Posed) -> tuple[np.ndarray, float]:
    """(centre_3, scale) float64 into the unit box. Raises: ValueError without an extent, or when something is not finite."""
    low_3, high_3 = posed.low_3.astype(np.float64), posed.high_3.astype(np.float64)
    extent = float((high_3 - low_3).max())
    if not (math.isfinite(extent) and extent > 0):
        raise ValueError(f"points have no extent or are not finite: low {low_3}, high {high_3}")
    return (low_3 + high_3) / 2, 2 / extent


def _targets(body: Body, posed: Posed, skin_NJ: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """(joints_J3, joint_mask_J, skin_mask) with J = what the network predicts; skin_NJ is filled unless it has the weights already.

    A 22-joint character under a 52-joint network: fingers are masked out, and so is its skin, whose hand holds the fingers' weight.
    """
    known, joints = len(posed.joints_J3), skin_NJ.shape[1]
    joints_J3, mask_J = np.zeros((joints, 3)), np.zeros(joints)
    both = min(known, joints)
    joints_J3[:both] = posed.joints_J3[:both]
    mask_J[:both] = 1
    if body.joint_valid_J is not None and not body.joint_valid_J.all():
        # a mirrored draw swaps sides, and validity is a property of the rig's convention, the same on both
        mask_J[:both] = (body.joint_valid_J & body.joint_valid_J[list(skeleton(known).mirror)])[:both]
    if posed.skin_NJ is None:
        return joints_J3, mask_J, 0.0
    if posed.skin_NJ is not skin_NJ:
        skin_NJ[:, :both] = merge_fingers(posed.skin_NJ) if known > joints else posed.skin_NJ
    return joints_J3, mask_J, float(body.skin_valid and known >= joints)


def stack(samples: Sequence[tuple[dict[str, np.ndarray], str]]) -> Batch:
    """Samples to one batch: arrays with B in front, and "asset", the list of sources."""
    batch: Batch = {key: np.stack([arrays[key] for arrays, _ in samples]) for key in samples[0][0]}
    batch["asset"] = [source for _, source in samples]
    return batch


def unstack(batch: Batch) -> tuple[dict[str, np.ndarray], str]:
    """The only sample of a batch: its arrays and its source."""
    return {key: values[0, ...] for key, values in batch.items() if key != "asset"}, batch["asset"][0]
