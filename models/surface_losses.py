"""How a predicted rig bends the surface: edge, Laplacian and normal losses of pieces of meshes, re-posed.

Letters: B figures, K vertices of each one's patch (dataset/patch.py), T its faces, P = B K packed vertices, E edges.
"""

import jittor as jt
import numpy as np
from scipy.sparse import csr_matrix, diags

from geometry.curvature import rim_vertices
from geometry.laplacian import uniform_laplacian
from geometry.mesh_batch import MeshBatch
from geometry.mesh_losses import hinges
from geometry.topology import proper_faces
from ops.mesh_losses import edge_loss, laplacian_loss, normal_loss


def surface_losses(turned_BK3: jt.Var, place_BK3: np.ndarray, faces_BT3: np.ndarray, known_B: np.ndarray) -> dict[str, jt.Var]:
    """edge, laplacian and normal, each the mean over the figures of known_B (bool); 0 where there is none.

    edge: mean of (length - length at place_BK3)^2. laplacian: mean over the patch of the distance to the middle of the neighbours, which
    counts as 0 on its rim. normal: normal consistency. turned_BK3: the patch as the rig has moved it; faces_BT3: ints, -1: no face.
    """
    figures = len(place_BK3)
    faces = [proper_faces(faces_T3[faces_T3[:, 0] >= 0]) if known else None for faces_T3, known in zip(faces_BT3, known_B)]
    rest = MeshBatch.of(place_BK3, faces)
    turned_P3, pair_E2, of = turned_BK3.reshape(-1, 3), rest.edges_E2, (rest.vert2mesh_V, figures)
    length_E = np.linalg.norm(rest.vertices_V3[pair_E2[:, 0]] - rest.vertices_V3[pair_E2[:, 1]], axis=1)
    parts = {"edge": edge_loss(turned_P3, pair_E2, *of, length_E),
             "laplacian": laplacian_loss(turned_P3, _inner_rows(rest), *of),
             "normal": normal_loss(turned_P3, hinges(rest.faces_F3), *of)}
    scale = figures / max(int(known_B.sum()), 1)
    return {name: part * scale for name, part in parts.items()}


def _inner_rows(meshes: MeshBatch) -> csr_matrix:
    """The uniform Laplacian without the rows of vertices on the rim, whose neighbours are not all there."""
    count = len(meshes.vertices_V3)
    inner_V = np.ones(count)
    inner_V[rim_vertices(meshes.faces_F3)] = 0
    rows = csr_matrix(diags(inner_V) @ uniform_laplacian(meshes.edges_E2, count))
    rows.eliminate_zeros()
    return rows
