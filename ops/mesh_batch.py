"""A batch of meshes whose vertices carry gradients: normals, areas and edges of packed meshes. Plain twin: geometry/mesh_batch.py.

All of it but the padded form also in float64, by which gradients are checked.
Letters: B meshes, V vertices of all, F faces of all, E edges of all, M most vertices of one mesh, C channels, P pairs.
"""

import jittor as jt
import numpy as np
from scipy.sparse import csr_matrix

from ops.kernels import require_real, require_shape
from ops.segment import rows_of, segment_sum
from ops.sparse import differences, sparse_times

SMALLEST = 1e-30    # added to squared lengths: the root's gradient is finite at zero, and a triangle without area gets the normal 0


class MeshBatch:
    """layout: a geometry.mesh_batch.MeshBatch, a constant: which vertex, face and edge belongs to which mesh. vertices_V3: positions of the
    same vertices, packed, with gradients to them; None for the layout's own in float32.

    Raises: ValueError on another shape or dtype.
    """

    def __init__(self, layout, vertices_V3: jt.Var | None = None):
        if vertices_V3 is None:
            vertices_V3 = jt.array(np.float32(layout.vertices_V3)).stop_grad()
        require_shape(vertices_V3, "V3", "vertices", V=len(layout.vertices_V3))
        require_real(vertices_V3, "vertices")
        self.layout, self.vertices_V3 = layout, vertices_V3

    def face_normals(self) -> jt.Var:
        """Unit normal of each face, (F, 3); 0 for a triangle without area."""
        return _unit(self._doubled_F3())

    def face_areas(self) -> jt.Var:
        """Area of each face, (F,), squared units of the vertices. At a triangle without area the gradient is 0."""
        return 0.5 * _length(self._doubled_F3()).squeeze(1)

    def vertex_normals(self) -> jt.Var:
        """The mean of the faces' normals, weighted by area, at unit length, (V, 3); 0 where no face with an area is."""
        faces_F3, count = self.layout.faces_F3, len(self.layout.vertices_V3)
        if not len(faces_F3):
            return jt.zeros_like(self.vertices_V3)
        corner_K = np.repeat(np.arange(len(faces_F3)), 3)
        around = csr_matrix((np.ones(faces_F3.size), (faces_F3.ravel(), corner_K)), (count, len(faces_F3)))
        return _unit(sparse_times(around, self._doubled_F3()))

    def edge_vectors(self) -> jt.Var:
        """From the smaller to the greater vertex of each of the layout's edges, (E, 3)."""
        return self.ways(self.layout.edges_E2)

    def ways(self, pair_P2: np.ndarray) -> jt.Var:
        """From the first to the second vertex of each pair, (P, 3)."""
        if not len(pair_P2):
            return jt.zeros((0, 3), dtype=self.vertices_V3.dtype)
        return sparse_times(differences(pair_P2[:, ::-1], self.vertices_V3.shape[0]), self.vertices_V3)

    def padded(self, x_VC: jt.Var) -> jt.Var:
        """(V, C) -> (B, M, C), 0 where layout.mask_BM is False; gradient to x. Raises: ValueError on another shape or dtype."""
        require_shape(x_VC, "VC", "x", V=self.vertices_V3.shape[0])
        batch, most = self.layout.mask_BM.shape
        return segment_sum(x_VC, self._place_V(), batch * most).reshape((batch, most, x_VC.shape[1]))

    def packed(self, x_BMC: jt.Var) -> jt.Var:
        """(B, M, C) -> (V, C), the way back. Raises: ValueError on another shape or dtype."""
        batch, most = self.layout.mask_BM.shape
        require_shape(x_BMC, "BMC", "x", B=batch, M=most)
        return rows_of(x_BMC.reshape((batch * most, x_BMC.shape[2])), self._place_V())

    def _place_V(self) -> jt.Var:
        """Where each vertex stands in the padded form, counted through."""
        return jt.array(np.int32(np.flatnonzero(self.layout.mask_BM)))

    def _doubled_F3(self) -> jt.Var:
        """Normals as long as twice the area."""
        side_F23 = self.ways(self.layout.faces_F3[:, [0, 1, 0, 2]].reshape(-1, 2)).reshape((-1, 2, 3))
        return jt.cross(side_F23[:, 0], side_F23[:, 1], dim=1)


def _length(x_P3: jt.Var) -> jt.Var:
    return ((x_P3 * x_P3).sum(1, keepdims=True) + SMALLEST).sqrt()


def _unit(x_P3: jt.Var) -> jt.Var:
    return x_P3 / _length(x_P3)
