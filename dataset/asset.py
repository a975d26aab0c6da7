"""A character as read from a file: geometry and, where known, its rig. Every reader returns one, every writer takes one.

Letters: V vertices, F faces, J joints (22 or 52 in the contest's order, any tree elsewhere). Frames: docs/conventions.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from dataset.format import FINGER_TO_HAND, skeleton
from geometry.kinematics import forward_kinematics, homogeneous
from geometry.similarity import Y_UP_TO_Z_UP, Similarity
from geometry.skinning import linear_blend_skinning, skin_normals, skin_transforms

_SKIN_SUM_TOLERANCE = 1e-3      # float16 and hand-written files; what is further off was never normalised
_LONGEST = 2000                 # characters of an error's text
_ORIGIN_TOLERANCE = 1e-3        # of the skeleton's size, between a joint and the origin of its rest frame


class AssetError(ValueError):
    """An asset that cannot be used. The text names its source, what is wrong, and the fix, in one printable line.

    File names and what a file says come from strangers: line ends, escape sequences and half characters leave as \\n, \\x1b,
    \\udc80, and what is longer than a screen is cut in its middle.
    """

    def __init__(self, text: str):
        super().__init__(one_line(text))


def one_line(text: str) -> str:
    """The text as one printable line of at most a screen, for messages and logs."""
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST // 2]} ... {text[-_LONGEST // 2:]}"
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


@dataclass(frozen=True, eq=False)
class Asset:
    """One character in its own frame (units of the file).

    source: file name (or generator and seed) for messages. faces None or empty: a point cloud. up: "z" (contest) or "y" (glTF).
    backwards: the figure looks the other way than its frame's custom (VRM 0.x: along -Z), so it is turned half round on its way
    into the network's frame.
    joint_valid_J: False marks a joint whose place follows another convention or is unknown: never supervise it. None = all good.
    skin_valid: False keeps the weights for posing but not for supervision.
    matrix_local_J44 None means identity rotations at the joints.
    """
    cls: str
    id: str
    source: str
    vertices_V3: np.ndarray
    normals_V3: np.ndarray | None = None
    faces_F3: np.ndarray | None = None
    joints_J3: np.ndarray | None = None
    skin_VJ: np.ndarray | None = None
    parents: tuple[int | None, ...] | None = None
    names: tuple[str, ...] | None = None
    matrix_local_J44: np.ndarray | None = None
    up: str = "z"
    joint_valid_J: np.ndarray | None = None
    skin_valid: bool = True
    backwards: bool = False

    @property
    def joint_count(self) -> int:
        """J, or 0 without joints."""
        return 0 if self.joints_J3 is None else len(self.joints_J3)

    @property
    def has_faces(self) -> bool:
        return self.faces_F3 is not None and len(self.faces_F3) > 0

    @property
    def posable(self) -> bool:
        """Whether there are weights to pose it by."""
        return self.skin_VJ is not None

    def local_J44(self) -> np.ndarray:
        """Rest frames (J, 4, 4) float64; identity rotations at the joints when the file has none.

        Raises: AssetError without joints.
        """
        self._need("joints_J3")
        if self.matrix_local_J44 is not None:
            return np.asarray(self.matrix_local_J44, np.float64)
        return homogeneous(np.tile(np.eye(3), (self.joint_count, 1, 1)), self.joints_J3)

    def to_frame(self, similarity: Similarity) -> "Asset":
        """Vertices, normals, joints and matrix_local together in another frame. `up` stays: the caller knows what turned."""
        return replace(
            self, vertices_V3=_f32(similarity.apply(self.vertices_V3)),
            normals_V3=None if self.normals_V3 is None else _f32(similarity.apply_vectors(self.normals_V3)),
            joints_J3=None if self.joints_J3 is None else _f32(similarity.apply(self.joints_J3)),
            matrix_local_J44=None if self.joints_J3 is None else similarity.apply_matrix(self.local_J44()))

    def in_network_frame(self) -> "Asset":
        """Z up, facing -Y, left at +X, in the file's own units; undone by `network_rotation(asset).undo`."""
        if self.up == "z" and not self.backwards:
            return self
        return replace(self.to_frame(network_rotation(self)), up="z", backwards=False)

    def posed(self, basis_J44: np.ndarray) -> "Asset":
        """The character under matrix_basis: vertices, normals and joints move, and matrix_local becomes the pose.

        So a posed asset is an asset like any other: its rest is the pose. Raises: AssetError without joints, skin or parents.
        """
        for name in ("joints_J3", "skin_VJ", "parents"):
            self._need(name)
        local_J44 = self.local_J44()
        pose_J44 = forward_kinematics(self.parents, local_J44, basis_J44)
        transforms_J44 = skin_transforms(pose_J44, local_J44)
        return replace(
            self, vertices_V3=_f32(linear_blend_skinning(self.vertices_V3, self.skin_VJ, transforms_J44)),
            normals_V3=None if self.normals_V3 is None else _f32(skin_normals(self.normals_V3, self.skin_VJ, transforms_J44)),
            joints_J3=_f32(pose_J44[:, :3, 3]), matrix_local_J44=pose_J44)

    def with_joints(self, count: int) -> "Asset":
        """The same character with 22 or 52 joints; going to 22 gives each finger's weight to its hand.

        Raises: AssetError when fingers would have to be invented, or the joints are not the contest's.
        """
        if self.joint_count == count:
            return self
        if (self.joint_count, count) != (52, 22):
            raise AssetError(f"{self.source}: has {self.joint_count} joints and cannot be given {count}; only 52 -> 22 is possible, "
                             "so pick a 22-joint checkpoint or configuration for it")
        wanted = skeleton(count)
        return replace(
            self, joints_J3=self.joints_J3[:count], parents=wanted.parents, names=wanted.names,
            skin_VJ=None if self.skin_VJ is None else merge_fingers(self.skin_VJ),
            matrix_local_J44=None if self.matrix_local_J44 is None else self.matrix_local_J44[:count],
            joint_valid_J=None if self.joint_valid_J is None else self.joint_valid_J[:count])

    def _need(self, name: str) -> None:
        if getattr(self, name) is None:
            raise AssetError(f"{self.source}: has no {name}; this step needs a rigged character")


def network_rotation(asset: Asset) -> Similarity:
    """The rotation that `in_network_frame` applies (identity for Z up, facing -Y)."""
    turn_33 = np.eye(3) if asset.up == "z" else Y_UP_TO_Z_UP
    return Similarity(np.diag([-1.0, -1.0, 1.0]) @ turn_33 if asset.backwards else turn_33)


def merge_fingers(skin_VJ: np.ndarray) -> np.ndarray:
    """(V, 52) weights to (V, 22): each finger's weight goes to its hand; row sums stay."""
    out_VJ = skin_VJ[:, :22].copy()
    for hand in set(FINGER_TO_HAND.values()):
        out_VJ[:, hand] += skin_VJ[:, [j for j, h in FINGER_TO_HAND.items() if h == hand]].sum(1)
    return out_VJ


def _f32(array: np.ndarray) -> np.ndarray:
    return np.asarray(array, np.float32)


def check(asset: Asset) -> Asset:
    """The same asset, proven usable, with its types made uniform and its weights' rows normalised exactly.

    Raises: AssetError naming the source, what is wrong and the fix, for: no vertex, NaN or infinity, wrong shapes, faces out of
    range, weights negative or rows not summing to 1 within 1e-3, parents unsorted, cyclic or None below the root, counts that differ,
    rest frames that do not start at their joints.
    """
    fail = _Fail(asset.source)
    count = _check_geometry(asset, fail)
    _check_joints(asset, fail)
    skin_VJ = _check_skin(asset, count, fail)
    if asset.up not in ("y", "z"):
        fail(f"up axis {asset.up!r}", 'use "y" (glTF) or "z" (contest)')
    return replace(
        asset, vertices_V3=_f32(asset.vertices_V3), skin_VJ=skin_VJ,
        normals_V3=None if asset.normals_V3 is None else _f32(asset.normals_V3),
        faces_F3=None if asset.faces_F3 is None else np.asarray(asset.faces_F3, np.int64),
        joints_J3=None if asset.joints_J3 is None else _f32(asset.joints_J3),
        parents=None if asset.parents is None else tuple(asset.parents),
        names=None if asset.names is None else tuple(asset.names),
        joint_valid_J=None if asset.joint_valid_J is None else np.asarray(asset.joint_valid_J, bool))


class _Fail:
    def __init__(self, source: str):
        self.source = source

    def __call__(self, what: str, fix: str) -> None:
        raise AssetError(f"{self.source}: {what}; {fix}")

    def shape(self, name: str, array: np.ndarray, wanted: tuple[int, ...]) -> None:
        if np.shape(array) != wanted:
            self(f"{name} has shape {np.shape(array)}, not {wanted}", "write the file again with arrays that belong together")

    def finite(self, name: str, array: np.ndarray) -> None:
        good = np.isfinite(array)
        if not good.all():
            row = int(np.argwhere(~good)[0][0])
            self(f"{name} has NaN or infinity, first in row {row}", "repair or remove that row in the tool that wrote the file")


def _check_geometry(asset: Asset, fail: _Fail) -> int:
    vertices_V3 = np.asarray(asset.vertices_V3)
    if vertices_V3.ndim != 2 or vertices_V3.shape[1] != 3 or len(vertices_V3) == 0:
        fail(f"vertices have shape {vertices_V3.shape}", "a character needs vertices (V, 3) with V >= 1")
    fail.finite("vertices", vertices_V3)
    if asset.normals_V3 is not None:
        fail.shape("normals", asset.normals_V3, vertices_V3.shape)
        fail.finite("normals", asset.normals_V3)
    if asset.faces_F3 is not None:
        faces_F3 = np.asarray(asset.faces_F3)
        if faces_F3.ndim != 2 or faces_F3.shape[1] != 3 or faces_F3.dtype.kind not in "iu":
            fail(f"faces have shape {faces_F3.shape} and type {faces_F3.dtype}", "triangulate: faces must be integers (F, 3)")
        if len(faces_F3) and (faces_F3.min() < 0 or faces_F3.max() >= len(vertices_V3)):
            fail(f"faces point at vertices {faces_F3.min()}..{faces_F3.max()} of {len(vertices_V3)}",
                 "indices are 0-based and must be below the vertex count")
    return len(vertices_V3)


def _check_joints(asset: Asset, fail: _Fail) -> None:
    if asset.joints_J3 is None:
        for name in ("matrix_local_J44", "joint_valid_J"):
            if getattr(asset, name) is not None:
                fail(f"{name} without joints", "give joints (J, 3) too")
        return
    joints_J3 = np.asarray(asset.joints_J3)
    count = len(joints_J3)
    if count == 0:
        fail("joints are an empty array", "leave joints out (None) when they are unknown")
    fail.shape("joints", joints_J3, (count, 3))
    fail.finite("joints", joints_J3)
    if asset.matrix_local_J44 is not None:
        fail.shape("matrix_local", asset.matrix_local_J44, (count, 4, 4))
        fail.finite("matrix_local", asset.matrix_local_J44)
        if (np.abs(np.linalg.det(np.asarray(asset.matrix_local_J44, np.float64))) < 1e-12).any():
            fail("matrix_local has a singular frame", "every rest frame needs three independent axes")
        apart_J = np.abs(np.asarray(asset.matrix_local_J44)[:, :3, 3] - joints_J3).max(1)
        if apart_J.max() > _ORIGIN_TOLERANCE * max(np.ptp(joints_J3, axis=0).max(), np.abs(joints_J3).max()):
            fail(f"matrix_local of joint {apart_J.argmax()} does not start at the joint ({apart_J.max():.3g} apart)",
                 "its translation column must be the joint's position, in the same frame and units")
    if asset.joint_valid_J is not None:
        fail.shape("joint_valid", asset.joint_valid_J, (count,))
    if asset.names is not None and len(asset.names) != count:
        fail(f"{len(asset.names)} names for {count} joints", "give one name per joint")
    if asset.parents is not None:
        _check_tree(asset.parents, count, fail)


def _check_tree(parents: Sequence[int | None], count: int, fail: _Fail) -> None:
    if len(parents) != count:
        fail(f"{len(parents)} parents for {count} joints", "give one parent per joint")
    for j, p in enumerate(parents):
        if j == 0:
            if p is not None:
                fail(f"joint 0 has parent {p}", "the first joint must be the root, with parent None")
        elif p is None:
            fail(f"joint {j} has no parent", "only joint 0 may be a root: join the trees")
        elif not (isinstance(p, (int, np.integer)) and 0 <= p < j):
            fail(f"joint {j} has parent {p}", "sort the joints so that each parent comes before its children (no cycles)")


def _check_skin(asset: Asset, vertex_count: int, fail: _Fail) -> np.ndarray | None:
    if asset.skin_VJ is None:
        return None
    skin_VJ = np.asarray(asset.skin_VJ)
    width = asset.joint_count or (skin_VJ.shape[1] if skin_VJ.ndim == 2 else 0)
    fail.shape("skin", skin_VJ, (vertex_count, width))
    fail.finite("skin", skin_VJ)
    if skin_VJ.size and skin_VJ.min() < 0:
        fail(f"skin has negative weights, least {skin_VJ.min():.3g}", "clip them to 0 and normalise each row")
    sum_V = skin_VJ.sum(1, dtype=np.float64)
    off_V = np.abs(sum_V - 1)
    if not (off_V <= _SKIN_SUM_TOLERANCE).all():
        worst = int(off_V.argmax())
        fail(f"skin weights of vertex {worst} sum to {sum_V[worst]:.4g}", "normalise each row to sum 1")
    return _f32(skin_VJ / sum_V[:, None])
