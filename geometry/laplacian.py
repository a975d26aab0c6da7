"""The cotangent Laplacian of a triangle mesh, on its intrinsic Delaunay triangulation.

Sharp and Crane, "A Laplacian for Nonmanifold Triangle Meshes", SGP 2020, through their library robust_laplacian (MIT).
On that triangulation the off-diagonal entries are never positive, which is why implicit smoothing with it keeps weights positive;
with the plain cotangents of a bad mesh it does not.
Letters: V vertices, F faces, D columns of data.
"""

from typing import NamedTuple

import numpy as np
import robust_laplacian
from scipy.sparse import csc_matrix, csr_matrix, diags
from scipy.sparse.linalg import splu

from geometry.topology import proper_faces

MOLLIFY = 1e-5  # of the mean edge: added to all lengths until no triangle is flat


class Laplacian(NamedTuple):
    """stiffness: csr (V, V), symmetric, POSITIVE semidefinite: (L x)_i = sum_j w_ij (x_i - x_j), w_ij = (cot a + cot b) / 2 >= 0;
    igl.cotmatrix is its negative. x^T L x is the Dirichlet energy. mass_V: a third of the area of each vertex's triangles.

    A vertex without a face has mass 0 and an empty row.
    """
    stiffness: csr_matrix
    mass_V: np.ndarray


def laplacian(vertices_V3: np.ndarray, faces_F3: np.ndarray) -> Laplacian:
    """Faces with a repeated corner and second copies of a face are left out. Raises: ValueError for positions that are not finite."""
    vertices_V3, faces_F3 = np.asarray(vertices_V3, np.float64), proper_faces(faces_F3)
    if not np.isfinite(vertices_V3).all():
        raise ValueError("laplacian needs finite positions; some are NaN or infinite")
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
