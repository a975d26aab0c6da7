"""How a predicted rig bends the surface: edge, Laplacian and normal losses of pieces of meshes, re-posed.

Letters: B figures, K vertices of each one's patch (dataset/patch.py), T its faces, E edges.
"""

import jittor as jt
import numpy as np
from scipy.sparse import csr_matrix, diags

from geometry.curvature import rim_vertices
from geometry.laplacian import uniform_laplacian
from geometry.mesh_batch import MeshBatch as Layout
from geometry.mesh_losses import hinges
from geometry.topology import proper_faces
from ops.mesh_batch import MeshBatch
from ops.mesh_losses import edge_loss, laplacian_loss, normal_loss


def surface_losses(turned_BK3: jt.Var, place_BK3: np.ndarray, faces_BT3: np.ndarray, known_B: np.ndarray) -> dict[str, jt.Var]:
    """edge, laplacian and normal, each the mean over the figures of known_B (bool); 0 where there is none.

    edge: mean of (length - length at place_BK3)^2. laplacian: mean over the patch of the distance to the middle of the neighbours, which
    counts as 0 on its rim. normal: normal consistency. turned_BK3: the patch as the rig has moved it; faces_BT3: ints, -1: no face.
    """
    figures = len(place_BK3)
    faces = [proper_faces(faces_T3[faces_T3[:, 0] >= 0]) if known else None for faces_T3, known in zip(faces_BT3, known_B)]
    rest = Layout.of(place_BK3, faces)
    turned, way_E3 = MeshBatch(rest, turned_BK3.reshape(-1, 3)), np.diff(rest.vertices_V3[rest.edges_E2], axis=1)[:, 0]
    parts = {"edge": edge_loss(turned, np.linalg.norm(way_E3, axis=1)),
             "laplacian": laplacian_loss(turned, _inner_rows(rest)),
             "normal": normal_loss(turned, hinges(rest.faces_F3))}
    scale = figures / max(int(known_B.sum()), 1)
    return {name: part * scale for name, part in parts.items()}


def _inner_rows(meshes: Layout) -> csr_matrix:
    """The uniform Laplacian without the rows of vertices on the rim, whose neighbours are not all there."""
    count = len(meshes.vertices_V3)
    inner_V = np.ones(count)
    inner_V[rim_vertices(meshes.faces_F3)] = 0
    rows = csr_matrix(diags(inner_V) @ uniform_laplacian(meshes.edges_E2, count))
    rows.eliminate_zeros()
    return rows
