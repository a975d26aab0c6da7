"""A batch of meshes whose vertices carry gradients: normals, areas and edges of packed meshes. Plain twin: geometry/mesh_batch.py.

Letters: B meshes, V vertices of all, F faces of all, E edges of all, M most vertices of one mesh, C channels.
"""

import jittor as jt
import numpy as np

from ops.gather import gather
from ops.kernels import require, require_float, require_shape
from ops.segment import rows_of, segment_sum

SMALLEST = 1e-30    # added to squared lengths: the root's gradient is finite at zero, and a triangle without area gets the normal 0


class MeshBatch:
    """vertices_V3 float32, faces_F3 int32, edges_E2 int32 and face2edge_F3 int32 as in the layout; none of them is a parameter.

    layout: a geometry.mesh_batch.MeshBatch: which vertex, face and edge belongs to which mesh. vertices_V3: other positions of the same
    vertices, packed, with gradients to them; None for the layout's own.
    Raises: ValueError on another shape or dtype.
    """

    def __init__(self, layout, vertices_V3: jt.Var | None = None):
        if vertices_V3 is None:
            vertices_V3 = jt.array(np.float32(layout.vertices_V3)).stop_grad()
        require_shape(vertices_V3, "V3", "vertices", V=len(layout.vertices_V3))
        require_float(vertices_V3, "vertices")
        self.layout, self.vertices_V3 = layout, vertices_V3
        self.faces_F3, self.edges_E2, self.face2edge_F3, self._place_V = (
            jt.array(np.int32(x)).stop_grad() for x in (layout.faces_F3, layout.edges_E2, layout.face2edge_F3,
                                                        np.flatnonzero(layout.mask_BM)))

    def face_normals(self) -> jt.Var:
        """Unit normal of each face, (F, 3) float32; 0 for a triangle without area."""
        return _unit(self._doubled_F3())

    def face_areas(self) -> jt.Var:
        """Area of each face, (F,) float32, squared units of the vertices. At a triangle without area the gradient is 0."""
        return 0.5 * _length(self._doubled_F3()).squeeze(1)

    def vertex_normals(self) -> jt.Var:
        """The mean of the faces' normals, weighted by area, at unit length, (V, 3); 0 where no face with an area is."""
        doubled_F3 = self._doubled_F3()
        corners_K3 = doubled_F3.unsqueeze(1).expand((doubled_F3.shape[0], 3, 3)).reshape((-1, 3))
        return _unit(segment_sum(corners_K3, self.faces_F3.reshape((-1,)), self.vertices_V3.shape[0]))

    def edge_vectors(self) -> jt.Var:
        """From the smaller to the greater vertex of each edge, (E, 3)."""
        ends_E23 = self._at(self.edges_E2)
        return ends_E23[:, 1] - ends_E23[:, 0]

    def padded(self, x_VC: jt.Var) -> jt.Var:
        """(V, C) -> (B, M, C), 0 where layout.mask_BM is False; gradient to x. Raises: ValueError on another shape or dtype."""
        require_shape(x_VC, "VC", "x", V=self.vertices_V3.shape[0])
        batch, most = self.layout.mask_BM.shape
        return segment_sum(x_VC, self._place_V, batch * most).reshape((batch, most, x_VC.shape[1]))

    def packed(self, x_BMC: jt.Var) -> jt.Var:
        """(B, M, C) -> (V, C), the way back. Raises: ValueError on another shape or dtype."""
        batch, most = self.layout.mask_BM.shape
        require_shape(x_BMC, "BMC", "x", B=batch, M=most)
        return rows_of(x_BMC.reshape((batch * most, x_BMC.shape[2])), self._place_V)

    def _at(self, idx_PK: jt.Var) -> jt.Var:
        return gather(self.vertices_V3.unsqueeze(0), idx_PK.unsqueeze(0)).squeeze(0)

    def _doubled_F3(self) -> jt.Var:
        """Normals as long as twice the area."""
        corner_F33 = self._at(self.faces_F3)
        return jt.cross(corner_F33[:, 1] - corner_F33[:, 0], corner_F33[:, 2] - corner_F33[:, 0], dim=1)


def _length(x_P3: jt.Var) -> jt.Var:
    return ((x_P3 * x_P3).sum(1, keepdims=True) + SMALLEST).sqrt()


def _unit(x_P3: jt.Var) -> jt.Var:
    return x_P3 / _length(x_P3)
