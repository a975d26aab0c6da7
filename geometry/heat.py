"""Distances over a surface, across its triangles: one factorisation, then any number of sources.

Crane, Weischedel and Wardetzky, "Geodesics in Heat", ACM Transactions on Graphics 2013, algorithm 1, with natural (Neumann) boundaries.
Ours: heat flows on the intrinsic Delaunay triangulation, where it stays positive: on characters' own slivers it turns negative and sends
distances astray. Its time is each piece's own. Faces without area are not there, and what no source can reach is infinite, where the plain
method gives finite numbers.
Edges alone (geometry/geodesic.py) are quicker for few sources and several per cent too long.
Letters: U points (distinct positions), F faces, W points that a face names.
"""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csc_matrix, diags
from scipy.sparse.linalg import SuperLU, splu

from geometry.laplacian import FLAT, cotangent_laplacian, laplacian
from geometry.normals import face_normals, normalize
from geometry.sampling import triangle_areas
from geometry.topology import checked_faces, components, edges, proper_faces

_SYMMETRIC = {"permc_spec": "MMD_AT_PLUS_A", "diag_pivot_thresh": 0.0, "options": {"SymmetricMode": True}}


@dataclass(frozen=True, eq=False)
class HeatMethod:
    """faces_F3: of the W used points. across_F33: unit normal x the side opposite each corner, 2 area times the gradient of its hat function.

    heat, poisson: factors of M + t L (Delaunay), and of L (plain) without the first point of each piece, where the potential is held at 0.
    """
    count: int
    used_W: np.ndarray
    label_W: np.ndarray
    faces_F3: np.ndarray
    across_F33: np.ndarray
    free_W: np.ndarray
    heat: SuperLU | None
    poisson: SuperLU | None

    @staticmethod
    def of(points_U3: np.ndarray, faces_F3: np.ndarray, time: float = 1.0) -> "HeatMethod":
        """time: of heat flow, in squares of the piece's mean edge; longer is smoother and less exact. Weld first: pieces do not mix.

        Raises: ValueError for positions that are not finite, faces that name no point, or a time that is not positive.
        """
        if not time > 0:
            raise ValueError(f"heat must flow for some time, not {time}")
        count, faces_F3 = len(points_U3), _with_area(points_U3, checked_faces(faces_F3, len(points_U3)))
        used_W, label_U = np.unique(faces_F3), components(faces_F3, count)
        points_W3, faces_F3 = np.float64(points_U3)[used_W], np.searchsorted(used_W, faces_F3)
        label_W, side_F33 = label_U[used_W], points_W3[faces_F3[:, [2, 0, 1]]] - points_W3[faces_F3[:, [1, 2, 0]]]
        across_F33 = np.cross(face_normals(points_W3, faces_F3)[:, None], side_F33)
        free_W = np.ones(len(used_W), bool)
        free_W[np.unique(label_W, return_index=True)[1]] = False
        if not len(used_W):
            return HeatMethod(count, used_W, label_W, faces_F3, across_F33, free_W, None, None)
        spread, mass_W = laplacian(points_W3, faces_F3)
        flow_W = time * _mean_edges(points_W3, edges(faces_F3), label_W)[label_W] ** 2
        plain = cotangent_laplacian(points_W3, faces_F3).stiffness[free_W][:, free_W]
        return HeatMethod(count, used_W, label_W, faces_F3, across_F33, free_W,
                          splu(csc_matrix(diags(mass_W) + diags(flow_W) @ spread), **_SYMMETRIC), splu(csc_matrix(plain), **_SYMMETRIC))

    def distances(self, sources: np.ndarray) -> np.ndarray:
        """From the nearest of the sources, (U,) float64: 0 at them, +inf on pieces without one and at points without a face.

        Raises: ValueError without a source.
        """
        if not len(sources):
            raise ValueError("distances needs at least one source")
        distance_U = np.full(self.count, np.inf)
        distance_U[sources] = 0
        start_W = np.isin(self.used_W, sources)
        if not start_W.any():
            return distance_U
        warm_W = self.heat.solve(start_W.astype(float))
        flow_F3 = -normalize((warm_W[self.faces_F3][:, :, None] * self.across_F33).sum(1))
        rise_W = np.bincount(self.faces_F3.ravel(), 0.5 * (self.across_F33 * flow_F3[:, None]).sum(2).ravel(), len(self.used_W))
        height_W = np.zeros(len(self.used_W))
        height_W[self.free_W] = self.poisson.solve(rise_W[self.free_W])
        reached_W = np.isin(self.label_W, self.label_W[start_W])
        sum_C, size_C = (np.bincount(self.label_W[start_W], x, self.label_W.max() + 1) for x in (height_W[start_W], None))
        height_W -= (sum_C / np.maximum(size_C, 1))[self.label_W]      # at the sources 0 in the mean
        distance_U[self.used_W[reached_W]] = np.maximum(height_W[reached_W], 0)
        distance_U[sources] = 0
        return distance_U


def _with_area(points_U3: np.ndarray, faces_F3: np.ndarray) -> np.ndarray:
    """The proper faces that are not flat: a point of flat ones alone would hang on nothing."""
    if not np.isfinite(points_U3).all():
        raise ValueError("heat needs finite positions to flow over; some are NaN or infinite")
    faces_F3 = proper_faces(faces_F3)
    corner_F33 = np.float64(points_U3)[faces_F3]
    longest_F = ((corner_F33 - corner_F33[:, [1, 2, 0]]) ** 2).sum(2).max(1, initial=0.0)
    return faces_F3[triangle_areas(points_U3, faces_F3) > FLAT * longest_F]


def _mean_edges(points_W3: np.ndarray, pair_E2: np.ndarray, label_W: np.ndarray) -> np.ndarray:
    """(C,) of each piece; 0 for a number that no piece has."""
    length_E = np.linalg.norm(points_W3[pair_E2[:, 0]] - points_W3[pair_E2[:, 1]], axis=1)
    sum_C, count_C = (np.bincount(label_W[pair_E2[:, 0]], x, label_W.max() + 1) for x in (length_E, None))
    return sum_C / np.maximum(count_C, 1)
