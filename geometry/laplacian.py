"""Laplacians of a triangle mesh: cotangents on its intrinsic Delaunay triangulation or on the mesh as it is, and uniform ones.

``laplacian``: Sharp and Crane, "A Laplacian for Nonmanifold Triangle Meshes", SGP 2020, through their library robust_laplacian (MIT).
On that triangulation the off-diagonal entries are never positive, which is why implicit smoothing with it keeps weights positive;
with the plain cotangents of a bad mesh it does not. Whoever needs gradients and divergences on the mesh's own triangles, or the linear
function's exact energy, takes ``cotangent_laplacian``: Pinkall and Polthier, "Computing Discrete Minimal Surfaces and Their Conjugates", 1993.
Letters: V vertices, F faces, E edges, D columns of data.
"""

from typing import NamedTuple

import numpy as np
import robust_laplacian
from scipy.sparse import coo_matrix, csc_matrix, csr_matrix, diags
from scipy.sparse.linalg import splu

from geometry.sampling import triangle_areas
from geometry.topology import proper_faces

MOLLIFY = 1e-5  # of the mean edge: added to all lengths until no triangle is flat
FLAT = 1e-12    # of its longest edge's square: a triangle with a smaller area is taken to have this one


class Laplacian(NamedTuple):
    """stiffness: csr (V, V), symmetric, POSITIVE semidefinite: (L x)_i = sum_j w_ij (x_i - x_j), w_ij = (cot a + cot b) / 2 >= 0;
    igl.cotmatrix is its negative. x^T L x is the Dirichlet energy. mass_V: a third of the area of each vertex's triangles.

    A vertex without a face has mass 0 and an empty row.
    """
    stiffness: csr_matrix
    mass_V: np.ndarray


def laplacian(vertices_V3: np.ndarray, faces_F3: np.ndarray) -> Laplacian:
    """Faces with a repeated corner and second copies of a face are left out. Raises: ValueError for positions that are not finite."""
    vertices_V3, faces_F3 = _finite(vertices_V3), proper_faces(faces_F3)
    count = len(vertices_V3)
    used_P = np.unique(faces_F3)
    if not len(used_P):
        return Laplacian(csr_matrix((count, count)), np.zeros(count))
    local_F3 = np.searchsorted(used_P, faces_F3)    # the library refuses vertices without a face
    stiffness, mass = robust_laplacian.mesh_laplacian(vertices_V3[used_P], local_F3, mollify_factor=MOLLIFY)
    stiffness = stiffness.tocoo()
    widened = csr_matrix((stiffness.data, (used_P[stiffness.row], used_P[stiffness.col])), shape=(count, count))
    mass_V = np.zeros(count)
    mass_V[used_P] = mass.diagonal()
    return Laplacian(widened, mass_V)


def _finite(vertices_V3: np.ndarray) -> np.ndarray:
    vertices_V3 = np.asarray(vertices_V3, np.float64)
    if not np.isfinite(vertices_V3).all():
        raise ValueError("laplacian needs finite positions; some are NaN or infinite")
    return vertices_V3


def cotangent_laplacian(vertices_V3: np.ndarray, faces_F3: np.ndarray) -> Laplacian:
    """Of the triangles as they are: w_ij = (cot a + cot b) / 2, a and b opposite the edge; negative where a + b > 180 degrees.

    Symmetric to the last bit and positive semidefinite on any mesh; x^T L x of the positions is twice the area. Degenerate faces count
    as triangles of a tiny area (FLAT), those without any extent and repeated faces do not count. Mass: barycentric_mass.
    Raises: ValueError for positions that are not finite.
    """
    vertices_V3, faces_F3 = _finite(vertices_V3), proper_faces(faces_F3)
    count = len(vertices_V3)
    corner_F33 = vertices_V3[faces_F3]
    side_F33 = corner_F33[:, [2, 0, 1]] - corner_F33[:, [1, 2, 0]]      # opposite each corner, all the way round
    dot_F3 = -(side_F33[:, [1, 2, 0]] * side_F33[:, [2, 0, 1]]).sum(2)
    double_area_F = np.linalg.norm(np.cross(side_F33[:, 1], side_F33[:, 2]), axis=1)
    double_area_F = np.maximum(double_area_F, 2 * FLAT * (side_F33 * side_F33).sum(2).max(1, initial=0.0))
    half_cot_F3 = np.divide(0.5 * dot_F3, double_area_F[:, None], out=np.zeros_like(dot_F3), where=double_area_F[:, None] > 0)
    pair_P2 = np.sort(faces_F3[:, [[1, 2], [2, 0], [0, 1]]].reshape(-1, 2), axis=1)
    once = coo_matrix((half_cot_F3.ravel(), (pair_P2[:, 0], pair_P2[:, 1])), shape=(count, count)).tocsr()     # adds up the sides of an edge
    links = once + once.T
    stiffness = csr_matrix(diags(np.asarray(links.sum(1)).ravel()) - links)
    return Laplacian(stiffness, barycentric_mass(vertices_V3, faces_F3))


def barycentric_mass(vertices_V3: np.ndarray, faces_F3: np.ndarray) -> np.ndarray:
    """(V,) float64: a third of the area of each vertex's faces. They sum to the area."""
    return np.bincount(np.asarray(faces_F3).ravel(), np.repeat(triangle_areas(vertices_V3, faces_F3) / 3, 3), len(vertices_V3))


def uniform_laplacian(pair_E2: np.ndarray, count: int) -> csr_matrix:
    """csr (V, V): (L x)_i = mean of x over i's neighbours - x_i. L_ij = 1 / degree of i, L_ii = -1; NEGATIVE, and not symmetric.

    pair_E2: each edge once (geometry.topology.edges). A vertex without an edge has an empty row.
    """
    row_P, col_P = np.concatenate([pair_E2, pair_E2[:, ::-1]]).T
    degree_V = np.bincount(row_P, minlength=count)
    links = coo_matrix((1.0 / degree_V[row_P], (row_P, col_P)), shape=(count, count))
    return csr_matrix(links - diags((degree_V > 0).astype(float)))


def smoothed(operator: Laplacian, values_VD: np.ndarray, amount: float) -> np.ndarray:
    """X of (M + amount L) X = M values: one implicit step of heat flow, (V, D) float64.

    Column sums weighted by mass stay, a constant stays, no value leaves the range of its connected piece, and pieces do not mix.
    amount: squared units of the vertices; features smaller than sqrt(amount) fade. A vertex without mass keeps its value.
    """
    values_VD = np.asarray(values_VD, np.float64)
    free_V = operator.mass_V > 0
    mass_P = operator.mass_V[free_V]
    if not len(mass_P):
        return values_VD.copy()
    system = diags(mass_P) + amount * operator.stiffness[free_V][:, free_V]
    result = values_VD.copy()
    result[free_V] = splu(csc_matrix(system), permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True}).solve(
        mass_P[:, None] * values_VD[free_V])
    return result


def dirichlet(operator: Laplacian, values_VD: np.ndarray) -> np.ndarray:
    """Each vertex's share of the Dirichlet energy of all columns, (V,) float64, >= 0: half of sum_j w_ij |x_i - x_j|^2.

    They sum to trace(X^T L X).
    """
    values_VD = np.asarray(values_VD, np.float64)
    square_V = (values_VD * values_VD).sum(1)
    link = operator.stiffness - diags(operator.stiffness.diagonal())
    energy_V = (values_VD * (link @ values_VD)).sum(1) - 0.5 * (np.asarray(link.sum(1)).ravel() * square_V + link @ square_V)
    return np.maximum(energy_V, 0.0)    # the difference of equal numbers may end below zero by a rounding
