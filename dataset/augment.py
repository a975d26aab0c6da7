"""What happens to a character between disk and network, as frozen transforms with randomness handed in. Never in place.

Two kinds. On a Draw (a character with a pending pose): RestPose, RandomPose, MocapPose, BoneStretch, Tilt, Rotate, Mirror; nothing of the
mesh moves until `Draw.realise` (exact, whole mesh) or dataset/pipeline.py (fast, sampled points). On a Sample (drawn points):
Clutter, PointDensity, Jitter, NormalDropout. Letters: V vertices, N points, J joints.
"""

from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from dataset.asset import Asset
from dataset.body import Body
from dataset.format import FULL_NAMES, skeleton
from dataset.poses import Bank, PoseBank, TrackBank, procedural_bank
from dataset.sampler import Sample
from dataset.stretch import Proportions, stretch_transforms
from geometry.kinematics import forward_kinematics, homogeneous, rotation_uniform, rotvec_to_matrix
from geometry.normals import normalize
from geometry.similarity import Similarity
from geometry.skinning import linear_blend_skinning, skin_normals

__all__ = ["Draw", "RestPose", "RandomPose", "MocapPose", "BoneStretch", "Tilt", "Rotate", "Mirror", "Clutter", "PointDensity", "Jitter",
           "NormalDropout", "Mix", "PRETRAIN", "FINETUNE", "PoseBank", "TrackBank", "procedural_bank", "JOINT_LIMITS"]

# factors on RandomPose's range, by body part. Knees, elbows and wrists turn as far as the baseline's 30 degrees a component; a trunk of
# three joints adds up, so each turns less; shoulders and hips are balls and turn further; clavicles, toes and fingers hardly.
JOINT_LIMITS = {"hips": 1.0, "spine": 0.6, "chest": 0.6, "upper_chest": 0.6, "neck": 0.8, "head": 0.8,
                "shoulder": 0.4, "upper_arm": 1.5, "lower_arm": 1.0, "hand": 0.8,
                "upper_leg": 1.3, "lower_leg": 1.0, "foot": 0.7, "toe_base": 0.4, "finger": 0.3}


def _limit(name: str) -> float:
    if "_hand_" in name:
        return JOINT_LIMITS["finger"]
    return JOINT_LIMITS[name[2:] if name[:2] in ("l_", "r_") else name]


_LIMIT_J1 = np.array([[_limit(name)] for name in FULL_NAMES])
UPRIGHT = 35.0      # degrees: a figure turned further is for the prediction to turn back before it is rigged
_CLUTTER_JOINTS = tuple(FULL_NAMES.index(name) for name in ("head", "upper_chest", "chest", "hips", "l_hand", "r_hand"))


@dataclass(frozen=True, eq=False)
class Draw:
    """A rigged character in the network's frame and what has been decided for it: proportions, then pose, turn, mirror.

    asset: an Asset, or the Body of one, which can be posed but not realised. stretch_J34: affine maps of the rest pose.
    basis_J44: the pose, in the rest frames. turn_33: the whole cloud. Each None: nothing.
    """
    asset: Asset | Body
    basis_J44: np.ndarray | None = None
    stretch_J34: np.ndarray | None = None
    turn_33: np.ndarray | None = None
    mirrored: bool = False

    @property
    def upright(self) -> bool:
        """Whether the whole cloud still stands about as its author drew it, within UPRIGHT degrees."""
        if self.turn_33 is None:
            return True
        return bool((np.trace(self.turn_33) - 1) / 2 >= np.cos(np.radians(UPRIGHT)))

    def rest_J44(self) -> np.ndarray:
        """Rest frames after the stretch: joints moved, bone axes kept."""
        local_J44 = self.asset.local_J44()
        if self.stretch_J34 is not None:
            local_J44 = local_J44.copy()
            local_J44[:, :3, 3] = self._stretched(local_J44[:, :3, 3])
        return local_J44

    def _stretched(self, joints_J3: np.ndarray) -> np.ndarray:
        return (self.stretch_J34[:, :, :3] @ joints_J3[:, :, None])[..., 0] + self.stretch_J34[:, :, 3]

    def move(self) -> tuple[np.ndarray, np.ndarray]:
        """(transforms_J44, pose_J44) float64: the map of each joint's vertices from the file's rest, and its final frame.

        Stretch, pose and turn in one; the mirror comes after, on what these give.
        """
        local_J44 = self.rest_J44()
        kept = self.stretch_J34 is None and isinstance(self.asset, Body)
        inverse_J44, pose_J44 = self.asset.inverse_J44 if kept else np.linalg.inv(local_J44), local_J44
        if self.basis_J44 is not None:
            pose_J44 = forward_kinematics(self.asset.parents, local_J44, self.basis_J44, inverse_J44)
        if self.turn_33 is not None:
            pose_J44 = homogeneous(self.turn_33) @ pose_J44
        transforms_J44 = pose_J44 @ inverse_J44
        if self.stretch_J34 is not None:
            transforms_J44 = transforms_J44 @ homogeneous(self.stretch_J34[:, :, :3], self.stretch_J34[:, :, 3])
        return transforms_J44, pose_J44

    def realise(self) -> Asset:
        """The whole character as it now stands, in float64 arithmetic: vertices, normals, joints and matrix_local moved together."""
        transforms_J44, pose_J44 = self.move()
        asset, skin_VJ = self.asset, self.asset.skin_VJ
        if skin_VJ is None:
            if self.basis_J44 is not None or self.stretch_J34 is not None:
                raise ValueError(f"{asset.source}: has no skin weights and cannot be posed or stretched")
            moved = asset if self.turn_33 is None else asset.to_frame(Similarity(self.turn_33))
        else:
            normals_V3 = None if asset.normals_V3 is None else np.float32(skin_normals(asset.normals_V3, skin_VJ, transforms_J44))
            moved = replace(asset, normals_V3=normals_V3, joints_J3=np.float32(pose_J44[:, :3, 3]), matrix_local_J44=pose_J44,
                            vertices_V3=np.float32(linear_blend_skinning(asset.vertices_V3, skin_VJ, transforms_J44)))
        return mirror(moved) if self.mirrored else moved


def mirror(asset: Asset) -> Asset:
    """The asset's mirror image at x = 0 (network frame): left and right joints swap, faces wind the other way.

    Rest frames are reflected on both sides (M B M), so that they stay proper rotations.
    """
    flip_3 = np.array([-1.0, 1.0, 1.0])
    order = list(skeleton(asset.joint_count).mirror) if asset.joint_count else []
    flip_44 = np.diag([-1.0, 1.0, 1.0, 1.0])

    def swapped(array, columns=False):
        return None if array is None else array[:, order] if columns else array[order]
    return replace(
        asset, vertices_V3=np.float32(asset.vertices_V3 * flip_3),
        normals_V3=None if asset.normals_V3 is None else np.float32(asset.normals_V3 * flip_3),
        faces_F3=None if asset.faces_F3 is None else asset.faces_F3[:, ::-1],
        joints_J3=None if asset.joints_J3 is None else np.float32(asset.joints_J3[order] * flip_3),
        skin_VJ=swapped(asset.skin_VJ, columns=True), joint_valid_J=swapped(asset.joint_valid_J),
        matrix_local_J44=None if asset.matrix_local_J44 is None else flip_44 @ asset.matrix_local_J44[order] @ flip_44)


@dataclass(frozen=True)
class RestPose:
    """The pose of the file."""

    def __call__(self, draw: Draw, rng: np.random.Generator) -> Draw:
        return replace(draw, basis_J44=None)


@dataclass(frozen=True)
class RandomPose:
    """Each component of each joint's rotation vector uniform in +-degrees, times JOINT_LIMITS of the body part."""
    degrees: float = 30.0

    def __call__(self, draw: Draw, rng: np.random.Generator) -> Draw:
        reach_J1 = np.radians(self.degrees) * _LIMIT_J1[:draw.asset.joint_count]
        return replace(draw, basis_J44=homogeneous(rotvec_to_matrix(rng.uniform(-1, 1, (len(reach_J1), 3)) * reach_J1)))


@dataclass(frozen=True, eq=False)
class MocapPose:
    """A random frame of a bank (by rule when None), and fingers bent at random: +-finger_degrees a component, on top."""
    bank: Bank | None = None
    finger_degrees: float = 9.0

    def __call__(self, draw: Draw, rng: np.random.Generator) -> Draw:
        bank, local_J44 = procedural_bank() if self.bank is None else self.bank, draw.rest_J44()
        kept_J33 = draw.asset.alignment_J33 if draw.stretch_J34 is None and isinstance(draw.asset, Body) else None
        basis_J44 = bank.basis(int(rng.integers(len(bank))), draw.asset.parents, local_J44[:, :3, 3], local_J44, kept_J33)
        fingers = rng.uniform(-1, 1, (30, 3)) * np.radians(self.finger_degrees)
        if draw.asset.joint_count == 52:
            basis_J44[22:] = basis_J44[22:] @ homogeneous(rotvec_to_matrix(fingers))
        return replace(draw, basis_J44=basis_J44)


@dataclass(frozen=True)
class BoneStretch:
    """With probability p, other proportions (dataset/stretch.py)."""
    p: float = 0.5
    proportions: Proportions = field(default_factory=Proportions)

    def __call__(self, draw: Draw, rng: np.random.Generator) -> Draw:
        if rng.random() >= self.p:
            return draw
        return replace(draw, stretch_J34=stretch_transforms(draw.asset.joints_J3, *self.proportions.draw(rng)))


@dataclass(frozen=True)
class Tilt:
    """With probability p the whole cloud turns a little: about the vertical up to +-yaw, then over a random side up to lean degrees.

    Together they stay within UPRIGHT.
    """
    p: float = 0.5
    yaw: float = 30.0
    lean: float = 15.0

    def __call__(self, draw: Draw, rng: np.random.Generator) -> Draw:
        if rng.random() >= self.p:
            return draw
        yaw, side, lean = np.radians(self.yaw) * rng.uniform(-1, 1), rng.uniform(-np.pi, np.pi), np.radians(self.lean) * rng.random()
        over_33 = rotvec_to_matrix([lean * np.cos(side), lean * np.sin(side), 0.0])
        return replace(draw, turn_33=over_33 @ rotvec_to_matrix([0.0, 0.0, yaw]))


@dataclass(frozen=True)
class Rotate:
    """With probability p the whole cloud turns: uniform over all orientations ("so3") or about the vertical ("yaw")."""
    p: float = 0.2
    kind: str = "so3"

    def __post_init__(self):
        if self.kind not in ("so3", "yaw"):
            raise ValueError(f'Rotate: kind {self.kind!r}; use "so3" or "yaw"')

    def __call__(self, draw: Draw, rng: np.random.Generator) -> Draw:
        if rng.random() >= self.p:
            return draw
        if self.kind == "so3":
            return replace(draw, turn_33=rotation_uniform(rng))
        return replace(draw, turn_33=rotvec_to_matrix([0.0, 0.0, rng.uniform(-np.pi, np.pi)]))


@dataclass(frozen=True)
class Mirror:
    """With probability p the mirror image: left becomes right."""
    p: float = 0.5

    def __call__(self, draw: Draw, rng: np.random.Generator) -> Draw:
        return replace(draw, mirrored=True) if rng.random() < self.p else draw


@dataclass(frozen=True)
class Clutter:
    """With probability p, one to three ellipsoid shells (hats, bags, things held) ride rigidly on head, trunk or hands.

    Works on a sample in the rest pose. Shells replace random points, at most `share` of all; radii are radius_low..radius_high of the
    character's largest side. Their rows have corner -1 and all weight on their joint.
    """
    p: float = 0.1
    share: float = 0.08
    radius_low: float = 0.02
    radius_high: float = 0.1

    def __call__(self, sample: Sample, joints_J3: np.ndarray, rng: np.random.Generator) -> Sample:
        if sample.skin_NJ is None or rng.random() >= self.p:
            return sample
        shells = self.shells(sample.points_N3, joints_J3, rng)
        points_N3, skin_NJ = sample.points_N3.copy(), sample.skin_NJ.copy()
        normals_N3, corner_N3 = None if sample.normals_N3 is None else sample.normals_N3.copy(), sample.corner_N3.copy()
        points_N3[shells.rows_S], corner_N3[shells.rows_S] = shells.points_S3, -1
        skin_NJ[shells.rows_S], skin_NJ[shells.rows_S, shells.joint_S] = 0.0, 1.0
        if normals_N3 is not None:
            normals_N3[shells.rows_S] = shells.normals_S3
        return Sample(points_N3, normals_N3, skin_NJ, corner_N3, sample.bary_N3)

    def shells(self, points_N3: np.ndarray, joints_J3: np.ndarray, rng: np.random.Generator) -> "Shells":
        """What to put in the place of which of these points in the rest pose."""
        rows = rng.permutation(len(points_N3))[:rng.integers(1, max(2, int(len(points_N3) * self.share) + 1))]
        size = float(np.ptp(points_N3, axis=0).max())
        parts = []
        for part in np.array_split(rows, rng.integers(1, 4)):
            joint = int(rng.choice(_CLUTTER_JOINTS))
            radius_3 = size * rng.uniform(self.radius_low, self.radius_high, 3)
            turn_33 = rotation_uniform(rng)
            centre_3 = joints_J3[joint] + normalize(rng.normal(size=3)) * radius_3.max() * rng.uniform(0.5, 1.5)
            sphere_K3 = normalize(rng.normal(size=(len(part), 3)))
            parts.append(Shells(part, np.full(len(part), joint), centre_3 + (sphere_K3 * radius_3) @ turn_33.T,
                                normalize(sphere_K3 / radius_3) @ turn_33.T))
        return Shells(*(np.concatenate(values) for values in zip(*parts)))


class Shells(NamedTuple):
    """Points of clutter: the rows of the sample that they take, their joints, and where they lie in the rest pose."""
    rows_S: np.ndarray
    joint_S: np.ndarray
    points_S3: np.ndarray
    normals_S3: np.ndarray

    def among(self, kept_N: np.ndarray) -> "Shells":
        """What is left of them when a sample keeps these rows, in this order."""
        place = np.full(max(kept_N.max(), self.rows_S.max()) + 1, -1)
        place[self.rows_S] = np.arange(len(self.rows_S))
        left_N = place[kept_N]
        rows_S = np.flatnonzero(left_N >= 0)
        return Shells(rows_S, *(values[left_N[rows_S]] for values in self[1:]))


@dataclass(frozen=True)
class PointDensity:
    """With probability p, thinner on one side: of twice the points, those kept favour a random direction by up to e^strength."""
    p: float = 0.2
    strength: float = 2.0

    def keep(self, points_M3: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
        """`count` of M indices without replacement, weights e^(strength x.d), x.d scaled to -1..1 (Gumbel's top-k draws them)."""
        along_M = points_M3 @ normalize(rng.normal(size=3))
        middle, half = (along_M.max() + along_M.min()) / 2, max(np.ptp(along_M) / 2, 1e-12)
        key_M = self.strength * rng.random() * (along_M - middle) / half + rng.gumbel(size=len(along_M))
        return rng.permutation(np.argpartition(-key_M, count - 1)[:count])


@dataclass(frozen=True)
class Jitter:
    """With probability p, Gaussian noise on each point; sigma in units of the [-1, 1] box, uniform up to this."""
    p: float = 0.3
    sigma: float = 0.005

    def __call__(self, points_N3: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if rng.random() >= self.p:
            return points_N3
        return points_N3 + rng.uniform(0, self.sigma) * rng.standard_normal(points_N3.shape)


@dataclass(frozen=True)
class NormalDropout:
    """With probability p a sample loses its normals, so that the network learns to do without."""
    p: float = 0.3

    def __call__(self, rng: np.random.Generator) -> bool:
        return bool(rng.random() < self.p)


@dataclass(frozen=True, eq=False)
class Mix:
    """How often each pose is drawn, and with what else. rest + random + mocap = 1.

    Raises: ValueError for shares that are negative or do not sum to 1.
    """
    rest: float
    random: float
    mocap: float
    rotate: Rotate = field(default_factory=lambda: Rotate(p=0.0))
    tilt: Tilt = field(default_factory=lambda: Tilt(p=0.0))
    mirror: Mirror = field(default_factory=Mirror)
    stretch: BoneStretch = field(default_factory=BoneStretch)
    random_pose: RandomPose = field(default_factory=RandomPose)
    mocap_pose: MocapPose = field(default_factory=MocapPose)
    clutter: Clutter = field(default_factory=Clutter)
    density: PointDensity = field(default_factory=PointDensity)
    jitter: Jitter = field(default_factory=Jitter)
    normal_dropout: NormalDropout = field(default_factory=NormalDropout)

    def __post_init__(self):
        shares = (self.rest, self.random, self.mocap)
        if min(shares) < 0 or abs(sum(shares) - 1) > 1e-9:
            raise ValueError(f"Mix: rest, random and mocap must be >= 0 and sum to 1, got {shares}")

    def pose_kind(self, rng: np.random.Generator) -> str:
        """"rest", "random" or "mocap", by their shares."""
        u = rng.random()
        return "rest" if u < self.rest else "random" if u < self.rest + self.random else "mocap"

    def __call__(self, asset: Asset | Body, rng: np.random.Generator) -> Draw:
        """All decisions for one draw. A character without weights stays at rest: it can only turn and be mirrored."""
        kind, draw = self.pose_kind(rng), Draw(asset)
        if asset.posable:
            draw = self.stretch(draw, rng)
            draw = {"rest": RestPose(), "random": self.random_pose, "mocap": self.mocap_pose}[kind](draw, rng)
        return self.mirror(self.rotate(self.tilt(draw, rng), rng), rng)


PRETRAIN = Mix(rest=0.5, random=0.5, mocap=0.0)
FINETUNE = Mix(rest=0.15, random=0.35, mocap=0.5, rotate=Rotate(p=0.2), tilt=Tilt())
