"""Curvature of a triangle mesh at its vertices.

Meyer, Desbrun, Schroeder and Barr, "Discrete Differential-Geometry Operators for Triangulated 2-Manifolds", 2003, sections 3.5 and 4.1;
ours: barycentric areas instead of mixed ones.
Letters: V vertices, F faces.
"""

import numpy as np

from geometry.laplacian import Laplacian
from geometry.topology import edges, proper_faces


def angle_defects(vertices_V3: np.ndarray, faces_F3: np.ndarray) -> np.ndarray:
    """The Gaussian curvature that each vertex holds, radians, (V,) float64: 2 pi - the sum of its faces' angles, on a rim pi - that sum.

    Divided by the vertex's area it is the curvature there. Over a whole manifold they sum to 2 pi chi, chi = vertices - edges + faces
    (Gauss and Bonnet). A vertex without a face, and an angle of a side without length, is 0.
    """
    faces_F3 = proper_faces(faces_F3)
    return flat_angles(faces_F3, len(vertices_V3)) - angle_sums(vertices_V3, faces_F3)


def angle_sums(vertices_V3: np.ndarray, faces_F3: np.ndarray) -> np.ndarray:
    """The angles that the faces have at each vertex, together, radians, (V,) float64; of a side without length: 0."""
    corner_F33 = np.float64(vertices_V3)[faces_F3]
    one_F33, two_F33 = (corner_F33[:, turn] - corner_F33 for turn in ([1, 2, 0], [2, 0, 1]))
    angle_F3 = np.arctan2(np.linalg.norm(np.cross(one_F33, two_F33), axis=2), (one_F33 * two_F33).sum(2))
    return np.bincount(np.ravel(faces_F3), angle_F3.ravel(), len(vertices_V3))


def flat_angles(faces_F3: np.ndarray, count: int) -> np.ndarray:
    """What angle_sums would be in a plane, (count,) float64: 2 pi, on a rim pi, without a face 0. It needs no positions."""
    whole_V = np.zeros(count)
    whole_V[faces_F3] = 2 * np.pi
    whole_V[rim_vertices(faces_F3)] = np.pi
    return whole_V


def rim_vertices(faces_F3: np.ndarray) -> np.ndarray:
    """Vertices of edges that have one face only, rising, int64."""
    faces_F3 = proper_faces(faces_F3)
    pair_E2, count = edges(faces_F3), int(faces_F3.max(initial=0)) + 1
    side_P2 = np.sort(faces_F3[:, [[1, 2], [2, 0], [0, 1]]].reshape(-1, 2), axis=1)
    _, faces_E = np.unique(side_P2 @ (count, 1), return_counts=True)     # in the order of the edges, which are sorted alike
    return np.unique(pair_E2[faces_E == 1])


def mean_curvature_normals(operator: Laplacian, vertices_V3: np.ndarray) -> np.ndarray:
    """H n, (V, 3) float64, one over the vertices' unit: n outwards where the surface bulges, H the mean of the principal curvatures.

    L x = 2 H n m, with stiffness L and mass m of the operator (cotangent_laplacian, or laplacian). 0 where there is no mass; on a rim
    it is mostly the pull of the rim.
    """
    mass_V1 = operator.mass_V[:, None]
    pull_V3 = operator.stiffness @ np.float64(vertices_V3)
    return np.divide(pull_V3, 2 * mass_V1, out=np.zeros_like(pull_V3), where=mass_V1 > 0)
