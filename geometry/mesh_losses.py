"""Losses of meshes and point sets, and the connectivity that they and their Jittor twins (ops/mesh_losses.py) work on.

The definitions are those of Ravi et al., "Accelerating 3D Deep Learning with PyTorch3D", 2020, section on losses; Laplacians after Nealen et
al., "Laplacian Mesh Optimization", 2006, and Desbrun et al., "Implicit Fairing of Irregular Meshes using Diffusion and Curvature Flow", 1999.
Meshes come as a batch (geometry/mesh_batch.py), rows and hinges counting through all vertices. Each mesh's terms are weighted by 1 / their own
number, the result is the mean over the meshes; without a mesh it is 0, and a mesh without terms adds 0.
Letters: V vertices, F faces, E edges, H pairs of faces, A and B points of two sets, X any of them.
"""

import numpy as np
from scipy.sparse import csr_matrix, diags

from geometry.laplacian import cotangent_laplacian, uniform_laplacian
from geometry.mesh_batch import MeshBatch
from geometry.neighbors import kd_tree
from geometry.normals import normalize
from geometry.topology import edges, proper_faces

KINDS = ("uniform", "cot", "cotcurv")


def shares(mesh_X: np.ndarray, count: int) -> np.ndarray:
    """(X,) float64: what each term of its mesh counts, 1 / (the mesh's own number of terms * count).

    Raises: ValueError for a mesh outside 0..count - 1.
    """
    mesh_X = np.asarray(mesh_X, np.int64)
    if len(mesh_X) and not (0 <= mesh_X.min() and mesh_X.max() < count):
        raise ValueError(f"meshes are numbered 0..{count - 1}; got {mesh_X.min()}..{mesh_X.max()}")
    own_X = np.bincount(mesh_X, minlength=count)[mesh_X]
    return 1.0 / (own_X * max(count, 1))


def edge_loss(meshes: MeshBatch, length: np.ndarray | float = 0.0) -> float:
    """Mean of (|e| - length)^2. length: of all edges, or (E,) of each; squared units of the vertices."""
    size_E = np.linalg.norm(np.diff(meshes.vertices_V3[meshes.edges_E2], axis=1)[:, 0], axis=1)
    return float((shares(meshes.edge2mesh_E, len(meshes)) * (size_E - length) ** 2).sum())


def laplacian_rows(vertices_V3: np.ndarray, faces_F3: np.ndarray, kind: str) -> csr_matrix:
    """csr (V, V), the S of laplacian_loss; a constant: no gradient goes through the positions that it is made of.

    uniform: (S x)_i = mean of the neighbours' x - x_i. cot: sum_j w_ij x_j / sum_j w_ij - x_i with cotangent weights.
    cotcurv: sum_j w_ij (x_j - x_i) / (6 m_i), m the barycentric mass: of the positions minus a third of the mean curvature normal.
    A row whose weights do not sum to more than 0, or without mass, is empty.
    Raises: ValueError for another kind, and positions that are not finite where they count.
    """
    if kind not in KINDS:
        raise ValueError(f"a Laplacian of kind {kind!r}; there are {', '.join(KINDS)}")
    if kind == "uniform":
        return uniform_laplacian(edges(faces_F3), len(vertices_V3))
    stiffness, mass_V = cotangent_laplacian(vertices_V3, faces_F3)
    size_V = stiffness.diagonal() if kind == "cot" else 6 * mass_V
    return csr_matrix(diags(-np.divide(1.0, size_V, out=np.zeros(len(size_V)), where=size_V > 0)) @ stiffness)


def laplacian_loss(meshes: MeshBatch, rows: csr_matrix) -> float:
    """Mean over the vertices of |(S x)_v|, S = laplacian_rows. Units of the vertices; cotcurv: one over them."""
    return float((shares(meshes.vert2mesh_V, len(meshes)) * np.linalg.norm(rows @ meshes.vertices_V3, axis=1)).sum())


def hinges(faces_F3: np.ndarray) -> np.ndarray:
    """(H, 4) int64: an edge's two ends and the corners that two of its faces have beyond it, for every pair of faces on every edge.

    An edge of n faces gives n (n - 1) / 2 pairs. Faces with a repeated corner and second copies are left out.
    """
    faces_F3 = proper_faces(faces_F3)
    pair_P2 = np.sort(faces_F3[:, [[1, 2], [2, 0], [0, 1]]].reshape(-1, 2), axis=1)
    apex_P, order_P = faces_F3.ravel(), np.lexsort((faces_F3.ravel(), pair_P2[:, 1], pair_P2[:, 0]))
    pair_P2, apex_P = pair_P2[order_P], apex_P[order_P]
    found, step = [np.zeros((0, 4), np.int64)], 1
    while (same_P := (pair_P2[step:] == pair_P2[:-step]).all(1)).any():     # sorted: faces of one edge stand together
        first_H = np.flatnonzero(same_P)
        found.append(np.column_stack([pair_P2[first_H], apex_P[first_H], apex_P[first_H + step]]))
        step += 1
    return np.concatenate(found)


def normal_loss(meshes: MeshBatch, hinge_H4: np.ndarray) -> float:
    """Normal consistency: mean of 1 - cos(n, n') over the pairs of hinges. 0 on a plane, 1 at a right angle, 2 folded back.

    n = e x (a - x), n' = (b - x) x e on an edge e from x to its other end: whichever way the faces are wound. A face without area
    has no normal; its cosines are 0.
    """
    x_H3, y_H3, a_H3, b_H3 = (meshes.vertices_V3[hinge_H4[:, k]] for k in range(4))
    one_H3, two_H3 = normalize(np.cross(y_H3 - x_H3, a_H3 - x_H3)), normalize(np.cross(b_H3 - x_H3, y_H3 - x_H3))
    return float((shares(meshes.vert2mesh_V[hinge_H4[:, 0]], len(meshes)) * (1 - (one_H3 * two_H3).sum(1))).sum())


def chamfer_squared(a_A3: np.ndarray, b_B3: np.ndarray, set_A: np.ndarray, set_B: np.ndarray, count: int) -> float:
    """mean_a min_b |a - b|^2 + mean_b min_a |a - b|^2 of each pair of sets: PyTorch3D's definition. set_A, set_B: the sets' numbers.

    Raises: ValueError where only one of two sets has points.
    """
    return _chamfer(a_A3, b_B3, set_A, set_B, count, 1.0, 2)


def chamfer_half(a_A3: np.ndarray, b_B3: np.ndarray, set_A: np.ndarray, set_B: np.ndarray, count: int) -> float:
    """(mean_a min_b |a - b| + mean_b min_a |a - b|) / 2: RigNet's definition (Xu et al. 2020). The rest as chamfer_squared."""
    return _chamfer(a_A3, b_B3, set_A, set_B, count, 0.5, 1)


def _chamfer(a_A3, b_B3, set_A, set_B, count, factor, power) -> float:
    total = 0.0
    share_A, share_B = shares(set_A, count), shares(set_B, count)
    for k in range(count):
        mine_A, mine_B = set_A == k, set_B == k
        if mine_A.any() != mine_B.any():
            raise ValueError(f"set {k} has points on one side only; chamfer compares two sets of points")
        if mine_A.any():
            there_A, _ = kd_tree(b_B3[mine_B]).query(a_A3[mine_A])
            back_B, _ = kd_tree(a_A3[mine_A]).query(b_B3[mine_B])
            total += share_A[mine_A] @ there_A ** power + share_B[mine_B] @ back_B ** power
    return float(factor * total)
