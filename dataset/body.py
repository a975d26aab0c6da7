"""A character laid out for posing a few of its points, fast: sparse skin, and blocks that tell where the bounding box can be.

Letters: V vertices, F faces, J joints, E entries of the sparse skin, M chosen vertices, K blocks, P (block, joint) pairs, N points.
Transforms are (J, 12) float32: the upper three rows of each joint's 4x4, from the rest position of a vertex to its posed one.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.sparse._sparsetools import coo_todense, csr_matvecs

from dataset.asset import Asset
from dataset.poses import T_AIMS
from dataset.sampler import Spots, Surface
from geometry.kinematics import rest_alignment

BLOCK = 64      # vertices of a block: fewer give tighter bounds, and more of them to compute


@dataclass(frozen=True, eq=False)
class SparseSkin:
    """Rows of non-zero weights. start_V, count_V: each vertex's first entry and how many; joint_E uint8, weight_E float32."""
    start_V: np.ndarray
    count_V: np.ndarray
    joint_E: np.ndarray
    weight_E: np.ndarray
    joints: int

    @staticmethod
    def of(skin_VJ: np.ndarray) -> "SparseSkin":
        vertex_E, joint_E = np.nonzero(skin_VJ)
        count_V = np.bincount(vertex_E, minlength=len(skin_VJ))
        return SparseSkin(np.cumsum(count_V) - count_V, count_V, joint_E.astype(np.uint8), np.float32(skin_VJ[vertex_E, joint_E]),
                          skin_VJ.shape[1])

    @staticmethod
    def rigid(vertices: int, joints: int) -> "SparseSkin":
        """All of every vertex on joint 0."""
        ones_V = np.ones(vertices, np.int64)
        return SparseSkin(np.arange(vertices), ones_V, np.zeros(vertices, np.uint8), np.ones(vertices, np.float32), joints)

    def rows(self, vertex_M: np.ndarray) -> "SparseRows":
        """The weights of some vertices."""
        # take() is several times faster than [] on rows of a matrix, and a little on vectors
        count_M = self.count_V.take(vertex_M).astype(np.int64)
        bound_M1 = np.zeros(len(count_M) + 1, np.int32)
        count_M.cumsum(out=bound_M1[1:])
        # the only repeat(), whose inner loops of random length cost more than all the take()s
        row_E = np.arange(len(count_M)).repeat(count_M)
        entry_E = (self.start_V.take(vertex_M) - bound_M1[:-1]).take(row_E).astype(np.int64, copy=False)
        entry_E += np.arange(len(entry_E))
        return SparseRows(bound_M1, row_E, self.joint_E.take(entry_E).astype(np.int32), self.weight_E.take(entry_E), self.joints)

    def dense(self) -> np.ndarray:
        """(V, J) float32."""
        return self.rows(np.arange(len(self.start_V))).dense()


@dataclass(frozen=True, eq=False)
class SparseRows:
    """Weights of M chosen vertices: row m holds entries bound_M1[m] to bound_M1[m + 1]; row_E tells each entry's row.

    SciPy's compiled loops are called as they are: its matrix classes check and convert for longer than these take.
    """
    bound_M1: np.ndarray
    row_E: np.ndarray
    joint_E: np.ndarray
    weight_E: np.ndarray
    joints: int

    def blend(self, transforms_J12: np.ndarray) -> np.ndarray:
        """(3, 4, M) float32: each vertex's blended transform, component by component. transforms_J12: C-contiguous float32."""
        out_M12 = np.zeros((len(self.bound_M1) - 1, 12), np.float32)
        csr_matvecs(len(out_M12), self.joints, 12, self.bound_M1, self.joint_E, self.weight_E, transforms_J12.ravel(), out_M12.ravel())
        return np.ascontiguousarray(out_M12.T).reshape(3, 4, -1)

    def dense(self) -> np.ndarray:
        """(M, J) float32."""
        rows = len(self.bound_M1) - 1
        return self.onto(np.zeros((rows, self.joints), np.float32), np.ones(rows, np.float32), np.arange(rows, dtype=np.int32))

    def onto(self, out_NJ: np.ndarray, share_M: np.ndarray, point_M: np.ndarray, joint_J: np.ndarray | None = None) -> np.ndarray:
        """Add share_M[m] of row m to row point_M[m] of out_NJ, joint j's to column joint_J[j]; returns out_NJ.

        out_NJ: C-contiguous float32. share_M float32; point_M and joint_J int32.
        """
        weight_E = self.weight_E * share_M.take(self.row_E)
        joint_E = self.joint_E if joint_J is None else joint_J.take(self.joint_E)
        coo_todense(*out_NJ.shape, len(weight_E), point_M.take(self.row_E), joint_E, weight_E, out_NJ.ravel(), 0)
        return out_NJ


@dataclass(frozen=True, eq=False)
class Blocks:
    """Neighbouring vertices in blocks, to find the box of a posed mesh without posing it all.

    A posed vertex is a mean of T_j v over its joints, so it lies inside what bounds T_j (box of the block's vertices of joint j) over
    the block's joints j. Only a block whose bound leaves the box of what is already posed can widen it.
    vertex_KB: the blocks (the last vertex repeated to fill up). first_K: each block's first pair. Pairs: joint_P, and the box of the
    block's vertices with any weight on that joint as centre_P3 and half_P3.
    """
    vertex_KB: np.ndarray
    first_K: np.ndarray
    joint_P: np.ndarray
    centre_P3: np.ndarray
    half_P3: np.ndarray

    @staticmethod
    def of(vertices_V3: np.ndarray, skin: SparseSkin) -> "Blocks":
        vertex_KB = _blocks(np.asarray(vertices_V3))
        rows = skin.rows(vertex_KB.ravel())
        row_E = rows.row_E
        key_E = row_E // BLOCK * skin.joints + rows.joint_E
        order_E = np.argsort(key_E, kind="stable")
        key_P, first_P = np.unique(key_E[order_E], return_index=True)
        place_E3 = np.asarray(vertices_V3, np.float32)[vertex_KB.ravel()[row_E[order_E]]]
        low_P3, high_P3 = np.minimum.reduceat(place_E3, first_P), np.maximum.reduceat(place_E3, first_P)
        first_K = np.searchsorted(key_P, np.arange(len(vertex_KB)) * skin.joints)
        return Blocks(vertex_KB.astype(np.int32), first_K.astype(np.int32), (key_P % skin.joints).astype(np.uint8),
                      (low_P3 + high_P3) / 2, (high_P3 - low_P3) / 2)

    def outside(self, transforms_J12: np.ndarray, low_3: np.ndarray, high_3: np.ndarray) -> np.ndarray:
        """The vertices (M,) of the blocks that may reach outside the box from low_3 to high_3. What is not finite counts as outside."""
        t_34P = np.ascontiguousarray(transforms_J12.take(self.joint_P, axis=0).T).reshape(3, 4, -1)
        centre_3P = np.einsum("akp,kp->ap", t_34P[:, :3], np.ascontiguousarray(self.centre_P3.T)) + t_34P[:, 3]
        half_3P = np.einsum("akp,kp->ap", np.abs(t_34P[:, :3]), np.ascontiguousarray(self.half_P3.T))
        slack = 1e-5 * float((high_3 - low_3).max())        # of float32's own rounding
        below_3K = np.maximum.reduceat(centre_3P + half_3P, self.first_K, axis=1) <= (high_3 - slack)[:, None]
        above_3K = np.minimum.reduceat(centre_3P - half_3P, self.first_K, axis=1) >= (low_3 + slack)[:, None]
        far_K = ~(below_3K & above_3K).all(0)
        return self.vertex_KB[far_K].ravel()


def _blocks(points_V3: np.ndarray) -> np.ndarray:
    """(K, BLOCK) indices: halved across the longest side until BLOCK are left."""
    pending, blocks = [np.arange(len(points_V3))], []
    while pending:
        index_I = pending.pop()
        if len(index_I) <= BLOCK:
            blocks.append(np.pad(index_I, (0, BLOCK - len(index_I)), mode="edge"))
            continue
        along_I = points_V3[index_I, np.ptp(points_V3[index_I], axis=0).argmax()]
        order_I = index_I[np.argsort(along_I, kind="stable")]
        half = -(-len(index_I) // (2 * BLOCK)) * BLOCK
        pending += [order_I[half:], order_I[:half]]
    return np.stack(blocks)


@dataclass(frozen=True, eq=False)
class Body:
    """What a draw needs of a rigged character in the network's frame; made once per asset.

    normals_V3: float32, or integers in steps of normal_unit. skin: for posing, all on joint 0 where the asset has none (has_skin False).
    """
    source: str
    vertices_V3: np.ndarray
    normals_V3: np.ndarray | None
    faces_F3: np.ndarray | None
    joints_J3: np.ndarray
    parents: tuple[int | None, ...]
    matrix_local_J44: np.ndarray
    joint_valid_J: np.ndarray | None
    skin_valid: bool
    has_skin: bool
    skin: SparseSkin
    surface: Surface | None
    blocks: Blocks
    normal_unit: float = 1.0

    @staticmethod
    def of(asset: Asset) -> "Body":
        """The exact weights of an asset in memory, however many a vertex has."""
        vertices_V3, has_skin = np.asarray(asset.vertices_V3, np.float32), asset.skin_VJ is not None
        skin = SparseSkin.of(asset.skin_VJ) if has_skin else SparseSkin.rigid(len(vertices_V3), asset.joint_count)
        normals_V3 = None if asset.normals_V3 is None else np.asarray(asset.normals_V3, np.float32)
        return Body(asset.source, vertices_V3, normals_V3, asset.faces_F3, asset.joints_J3, asset.parents, asset.local_J44(),
                    asset.joint_valid_J, asset.skin_valid, has_skin, skin, Surface.of(asset), Blocks.of(vertices_V3, skin))

    @property
    def posable(self) -> bool:
        return self.has_skin

    @property
    def joint_count(self) -> int:
        return len(self.joints_J3)

    def local_J44(self) -> np.ndarray:
        return self.matrix_local_J44

    @cached_property
    def inverse_J44(self) -> np.ndarray:
        """inv(local), (J, 4, 4) float64."""
        return np.linalg.inv(self.matrix_local_J44)

    @cached_property
    def alignment_J33(self) -> np.ndarray:
        """(J, 3, 3) float64: from the rest pose to the T pose (geometry.kinematics.rest_alignment)."""
        return rest_alignment(self.matrix_local_J44[:, :3, 3], T_AIMS[self.joint_count])

    def posed(self, vertex_M: np.ndarray, rows: SparseRows, transforms_J12: np.ndarray) -> np.ndarray:
        """(3, M) float32: those vertices, moved; rows are their weights."""
        move_34M = rows.blend(transforms_J12)
        out_3M = np.einsum("akm,km->am", move_34M[:, :3], np.ascontiguousarray(self.vertices_V3.take(vertex_M, axis=0).T))
        out_3M += move_34M[:, 3]
        return out_3M

    def normals(self, spots: Spots) -> np.ndarray:
        """(3, N) float32: at rest, on faces the blends of three corners' normals each and so not of unit length."""
        lone = len(spots.vertex_A)
        out_3S = np.empty((3, lone + len(spots.corner_P3)), np.float32)
        np.multiply(self.normals_V3.take(spots.vertex_A, axis=0).T, np.float32(self.normal_unit), out=out_3S[:, :lone])
        corner_33P = np.ascontiguousarray(self.normals_V3.take(spots.corner_P3.ravel(), axis=0).reshape(-1, 9).T).astype(np.float32)
        share_3P = np.ascontiguousarray(spots.bary_P3.T, np.float32) * np.float32(self.normal_unit)
        np.einsum("kap,kp->ap", corner_33P.reshape(3, 3, -1), share_3P, out=out_3S[:, lone:])
        return out_3S.take(spots.order_N, axis=1)

    def widened(self, transforms_J12: np.ndarray, low_3: np.ndarray, high_3: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The box of all posed vertices and of (low_3, high_3), which should hold some of them already."""
        vertex_M = self.blocks.outside(transforms_J12, low_3, high_3)
        if len(vertex_M) == 0:
            return low_3, high_3
        posed_3M = self.posed(vertex_M, self.skin.rows(vertex_M), transforms_J12)
        return np.minimum(low_3, posed_3M.min(1)), np.maximum(high_3, posed_3M.max(1))
