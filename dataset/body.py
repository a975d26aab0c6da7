"""A character laid out for posing a few of its points, fast: sparse skin, and blocks that tell where the bounding box can be.

Letters: V vertices, F faces, J joints, E entries of the sparse skin, M chosen vertices, K blocks, P (block, joint) pairs, N points.
Transforms are (J, 12) float32: the upper three rows of each joint's 4x4, from the rest position of a vertex to its posed one.
"""

from copy import copy
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.sparse import csr_matrix

from dataset.asset import Asset
from dataset.sampler import Surface

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

    def rows(self, vertex_M: np.ndarray, wanted_M: np.ndarray | None = None) -> "SparseRows":
        """The weights of some vertices, empty where not wanted."""
        # take() is several times faster than [] on rows of a matrix, and a little on vectors
        start_M, count_M = self.start_V.take(vertex_M), self.count_V.take(vertex_M).astype(np.int32)
        if wanted_M is not None:
            count_M *= wanted_M
        bound_M1 = np.zeros(len(count_M) + 1, np.int32)
        count_M.cumsum(out=bound_M1[1:])
        entry_E = (start_M - bound_M1[:-1]).repeat(count_M)
        entry_E += np.arange(len(entry_E), dtype=entry_E.dtype)
        return SparseRows(bound_M1, count_M, self.joint_E.take(entry_E).astype(np.int32),
                          self.weight_E.take(entry_E), self.joints)

    def dense(self) -> np.ndarray:
        """(V, J) float32."""
        return self.rows(np.arange(len(self.start_V))).dense()


@dataclass(frozen=True, eq=False)
class SparseRows:
    """Weights of M chosen vertices: row m holds entries bound_M1[m] to bound_M1[m + 1]."""
    bound_M1: np.ndarray
    count_M: np.ndarray
    joint_E: np.ndarray
    weight_E: np.ndarray
    joints: int

    def blend(self, transforms_J12: np.ndarray) -> np.ndarray:
        """(12, M) float32: each vertex's blended transform, component by component."""
        return np.ascontiguousarray((self._matrix(self.weight_E, self.joint_E, self.bound_M1) @ transforms_J12).T)

    def dense(self) -> np.ndarray:
        """(M, J) float32."""
        return self._matrix(self.weight_E, self.joint_E, self.bound_M1).toarray()

    def corners_joined(self, bary_N3: np.ndarray, joint_J: np.ndarray | None, out_NJ: np.ndarray | None = None) -> np.ndarray:
        """(N, J) float32 weights of points whose three corners are rows 3n to 3n + 2; joint j's go to column joint_J[j].

        out_NJ: where to write them, C-contiguous float32; a new array when not given.
        """
        weight_E = self.weight_E * bary_N3.ravel().repeat(self.count_M)
        joint_E = self.joint_E if joint_J is None else joint_J.take(self.joint_E)
        # entries of one joint in several corners are listed twice; toarray adds them up
        return self._matrix(weight_E, joint_E, np.ascontiguousarray(self.bound_M1[::3])).toarray(out=out_NJ)

    def _matrix(self, weight_E: np.ndarray, joint_E: np.ndarray, bound_R1: np.ndarray) -> csr_matrix:
        # a copy that is filled skips the constructor's checks, which cost as much as the product
        matrix = copy(_empty(len(bound_R1) - 1, self.joints))
        matrix.data, matrix.indices, matrix.indptr = weight_E, joint_E, bound_R1
        return matrix


@lru_cache(maxsize=256)
def _empty(rows: int, columns: int) -> csr_matrix:
    return csr_matrix((rows, columns), dtype=np.float32)


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
        row_E = np.repeat(np.arange(vertex_KB.size), rows.count_M)
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
        t_43P = np.ascontiguousarray(transforms_J12.take(self.joint_P, axis=0).T).reshape(3, 4, -1).swapaxes(0, 1)
        (x, y, z), (u, v, w) = self.centre_P3.T, self.half_P3.T
        centre_3P = t_43P[0] * x + t_43P[1] * y + t_43P[2] * z + t_43P[3]
        size_43P = np.abs(t_43P)
        half_3P = size_43P[0] * u + size_43P[1] * v + size_43P[2] * w
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

    def posed(self, vertex_M: np.ndarray, rows: SparseRows, transforms_J12: np.ndarray) -> np.ndarray:
        """(3, M) float32: those vertices, moved; rows are their weights."""
        m = rows.blend(transforms_J12)
        x, y, z = np.ascontiguousarray(self.vertices_V3.take(vertex_M, axis=0).T)
        out_3M = np.empty((3, len(vertex_M)), np.float32)
        for axis in range(3):
            np.multiply(m[4 * axis], x, out=out_3M[axis])
            out_3M[axis] += np.multiply(m[4 * axis + 1], y, out=m[4 * axis + 1])
            out_3M[axis] += np.multiply(m[4 * axis + 2], z, out=m[4 * axis + 2])
            out_3M[axis] += m[4 * axis + 3]
        return out_3M

    def normals(self, corner_N3: np.ndarray, bary_N3: np.ndarray) -> np.ndarray:
        """(3, N) float32: the blends of three corners' normals each, at rest; not of unit length."""
        corner_NK = self.normals_V3.take(corner_N3.ravel(), axis=0).reshape(-1, 9)
        n = np.ascontiguousarray(corner_NK.T).astype(np.float32)
        share_3N = np.ascontiguousarray(bary_N3.T) * np.float32(self.normal_unit)
        return np.stack([n[k] * share_3N[0] + n[k + 3] * share_3N[1] + n[k + 6] * share_3N[2] for k in range(3)])

    def widened(self, transforms_J12: np.ndarray, low_3: np.ndarray, high_3: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The box of all posed vertices and of (low_3, high_3), which should hold some of them already."""
        vertex_M = self.blocks.outside(transforms_J12, low_3, high_3)
        if len(vertex_M) == 0:
            return low_3, high_3
        posed_3M = self.posed(vertex_M, self.skin.rows(vertex_M), transforms_J12)
        return np.minimum(low_3, posed_3M.min(1)), np.maximum(high_3, posed_3M.max(1))
