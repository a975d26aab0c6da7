"""Several meshes as one: packed arrays to compute on, and the way to the padded form and back. Jittor twin: ops/mesh_batch.py.

Packed is the form of everything that is local: the vertices of all meshes in one array, faces that count in it, and for each row the
mesh that it belongs to. Padded is for what compares all vertices of one mesh with each other (dense attention).
Letters: B meshes, V vertices of all, F faces of all, E edges of all, M most vertices of one mesh, C channels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from geometry.normals import face_normals, vertex_normals
from geometry.sampling import triangle_areas
from geometry.topology import checked_faces, edges


@dataclass(frozen=True, eq=False)
class MeshBatch:
    """vertices_V3 float64, the meshes one after the other. faces_F3 int64, rows of vertices_V3. vertex_counts_B and face_counts_B, int64:
    how many of each are each mesh's. Make it by ``MeshBatch.of``, which checks what it is given.

    A mesh may have vertices that no face names, no faces, or nothing at all; a batch may be empty.
    """
    vertices_V3: np.ndarray
    faces_F3: np.ndarray
    vertex_counts_B: np.ndarray
    face_counts_B: np.ndarray

    @staticmethod
    def of(vertices: Sequence[np.ndarray], faces: Sequence[np.ndarray | None]) -> "MeshBatch":
        """vertices: (V_b, 3) of each mesh, any unit. faces: (F_b, 3) of each, counting in its own vertices; None where it has none.

        Raises: ValueError naming the mesh for lists of different lengths, other shapes, or a face that names no vertex of its mesh.
        """
        if len(vertices) != len(faces):
            raise ValueError(f"a batch needs as many lists of faces as of vertices; got {len(faces)} and {len(vertices)}")
        packed_V3, packed_F3, first = [np.zeros((0, 3))], [np.zeros((0, 3), np.int64)], 0
        for mesh, (vertices_V3, faces_F3) in enumerate(zip(vertices, faces)):
            vertices_V3 = np.asarray(vertices_V3, np.float64)
            if vertices_V3.ndim != 2 or vertices_V3.shape[1] != 3:
                raise ValueError(f"mesh {mesh}: vertices must be (V, 3), got {vertices_V3.shape}")
            try:
                packed_F3.append(checked_faces(faces_F3, len(vertices_V3)) + first)
            except ValueError as error:
                raise ValueError(f"mesh {mesh}: {error}") from error
            packed_V3.append(vertices_V3)
            first += len(vertices_V3)
        counts = [np.array([len(part) for part in parts[1:]], np.int64) for parts in (packed_V3, packed_F3)]
        return MeshBatch(np.concatenate(packed_V3), np.concatenate(packed_F3), *counts)

    def __len__(self) -> int:
        return len(self.vertex_counts_B)

    def __getitem__(self, mesh: int) -> tuple[np.ndarray, np.ndarray]:
        """(vertices, faces) of one mesh as they were given. Raises: IndexError for another number than 0..B - 1."""
        if not 0 <= mesh < len(self):
            raise IndexError(f"mesh {mesh} of a batch of {len(self)}")
        first, start = self.first_vertex_B[mesh], self.first_face_B[mesh]
        vertices_V3 = self.vertices_V3[first:first + self.vertex_counts_B[mesh]]
        return vertices_V3, self.faces_F3[start:start + self.face_counts_B[mesh]] - first

    @cached_property
    def first_vertex_B(self) -> np.ndarray:
        """Row of each mesh's first vertex, int64; of a mesh without vertices, where it would be."""
        return np.cumsum(self.vertex_counts_B) - self.vertex_counts_B

    @cached_property
    def first_face_B(self) -> np.ndarray:
        return np.cumsum(self.face_counts_B) - self.face_counts_B

    @cached_property
    def vert2mesh_V(self) -> np.ndarray:
        """The mesh of each vertex, int64, never falling."""
        return np.repeat(np.arange(len(self)), self.vertex_counts_B)

    @cached_property
    def face2mesh_F(self) -> np.ndarray:
        return np.repeat(np.arange(len(self)), self.face_counts_B)

    @cached_property
    def edges_E2(self) -> np.ndarray:
        """Every edge of the faces once, int64, the smaller vertex first, sorted: so the edges of a mesh lie together. A corner that repeats
        makes no edge."""
        return edges(self.faces_F3)

    @cached_property
    def edge2mesh_E(self) -> np.ndarray:
        return self.vert2mesh_V[self.edges_E2[:, 0]]

    @cached_property
    def face2edge_F3(self) -> np.ndarray:
        """face2edge[f, k] = e: edge e lies opposite to corner k of face f. int64; -1 where its two ends are one vertex."""
        count = len(self.vertices_V3)
        ends_F32 = np.sort(self.faces_F3[:, [[1, 2], [2, 0], [0, 1]]], axis=2)
        # both in the order of edges_E2, as one number each: found by halving
        known_E, asked_F3 = (ends[..., 0] * count + ends[..., 1] for ends in (self.edges_E2, ends_F32))
        return np.where(ends_F32[..., 0] == ends_F32[..., 1], -1, np.searchsorted(known_E, asked_F3))

    @cached_property
    def face_normals_F3(self) -> np.ndarray:
        """As geometry.normals.face_normals: unit length, zero for a triangle without area."""
        return face_normals(self.vertices_V3, self.faces_F3)

    @cached_property
    def vertex_normals_V3(self) -> np.ndarray:
        """As geometry.normals.vertex_normals: weighted by area, zero for a vertex without a face of positive area."""
        return vertex_normals(self.vertices_V3, self.faces_F3)

    @cached_property
    def face_areas_F(self) -> np.ndarray:
        """Squared units of the vertices."""
        return triangle_areas(self.vertices_V3, self.faces_F3)

    @cached_property
    def mask_BM(self) -> np.ndarray:
        """bool: which places of the padded form hold a vertex."""
        return np.arange(self.vertex_counts_B.max(initial=0)) < self.vertex_counts_B[:, None]

    def padded(self, x_VC: np.ndarray, fill: float = 0.0) -> np.ndarray:
        """(V, ...) -> (B, M, ...): padded[b, m] belongs to vertex m of mesh b; `fill` where mask_BM is False. Raises: ValueError."""
        x_VC = np.asarray(x_VC)
        if x_VC.ndim == 0 or len(x_VC) != len(self.vertices_V3):
            raise ValueError(f"a row for each of {len(self.vertices_V3)} vertices is needed; got {x_VC.shape}")
        padded_BMC = np.full((*self.mask_BM.shape, *x_VC.shape[1:]), fill, x_VC.dtype)
        padded_BMC[self.mask_BM] = x_VC
        return padded_BMC

    def packed(self, x_BMC: np.ndarray) -> np.ndarray:
        """(B, M, ...) -> (V, ...), the way back: packed(padded(x)) is x, bit for bit. Raises: ValueError for another shape."""
        x_BMC = np.asarray(x_BMC)
        if x_BMC.shape[:2] != self.mask_BM.shape:
            raise ValueError(f"the padded form of this batch begins with {self.mask_BM.shape}; got {x_BMC.shape}")
        return x_BMC[self.mask_BM]
