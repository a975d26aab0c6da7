"""What is drawn of a mesh or a cloud: a surface with normals, and how much of the sky each of its points sees.

A cloud becomes small squares, each in the plane of its point's neighbours (Hoppe et al., "Surface Reconstruction from Unorganized Points",
SIGGRAPH 1992, section 3.1). Letters: V vertices, P points of the surface, F faces, K neighbours.
"""

from typing import NamedTuple

import numpy as np

from geometry.neighbors import kd_tree
from geometry.normals import vertex_normals
from geometry.topology import checked_faces, welded

MOST_SQUARES = 20_000     # points of a cloud that are drawn, evenly taken
NEIGHBOURS = 10
NEAR, SQUARE = 4, 0.80    # half a side of a square: so many times the distance of its point to the fourth nearest
CREASE = np.cos(np.radians(40))     # where a vertex of several turns more from the others than this, the edge is meant to be sharp


class Surface(NamedTuple):
    """points_P3, normals_P3 float64, outward where faces tell; faces_F3 int64. vertex_P: the vertex that a point takes its values from."""
    points_P3: np.ndarray
    normals_P3: np.ndarray
    faces_F3: np.ndarray
    vertex_P: np.ndarray


def surface_of(vertices_V3: np.ndarray, faces_F3: np.ndarray | None) -> Surface:
    """Of a mesh the vertices that faces name, of a cloud squares. V >= 1.

    Raises: ValueError where there is no vertex, a coordinate is not finite, or a face names no vertex.
    """
    vertices_V3 = np.asarray(vertices_V3, np.float64)
    if not len(vertices_V3) or not np.isfinite(vertices_V3).all():
        raise ValueError("a picture needs vertices, and all coordinates finite")
    faces_F3 = checked_faces(faces_F3, len(vertices_V3))
    if not len(faces_F3):
        return _squares(vertices_V3)
    vertex_P, place = np.unique(faces_F3, return_inverse=True)
    points_P3, faces_F3 = vertices_V3[vertex_P], place.reshape(-1, 3)
    return Surface(points_P3, smooth_normals(points_P3, faces_F3), faces_F3, vertex_P)


def smooth_normals(points_P3: np.ndarray, faces_F3: np.ndarray) -> np.ndarray:
    """(P, 3): across the seams of a texture as if there were none; where points at one place turn apart, a sharp edge."""
    own_P3 = vertex_normals(points_P3, faces_F3)
    distinct_U3, place_P = welded(points_P3)
    shared_P3 = vertex_normals(distinct_U3, place_P[faces_F3])[place_P]
    return np.where(((own_P3 * shared_P3).sum(1) > CREASE)[:, None], shared_P3, own_P3)


def _squares(vertices_V3: np.ndarray) -> Surface:
    vertex_C = np.arange(len(vertices_V3))[::-(-len(vertices_V3) // MOST_SQUARES)]
    points_C3 = vertices_V3[vertex_C]
    size = float(np.ptp(points_C3, axis=0).max()) or 1.0
    distance_CK, idx_CK = kd_tree(points_C3).query(points_C3, k=min(NEIGHBOURS, len(points_C3)))
    around_CK3 = points_C3[idx_CK.reshape(len(points_C3), -1)] - points_C3[:, None]
    around_CK3 = around_CK3 - around_CK3.mean(1, keepdims=True)
    _, axes_C33 = np.linalg.eigh(np.einsum("cka,ckb->cab", around_CK3, around_CK3))    # ascending: the first is across the plane
    half_C = (SQUARE * distance_CK.reshape(len(points_C3), -1)[:, :NEAR + 1][:, -1]).clip(0.002 * size, 0.02 * size)
    corner_4 = half_C[:, None] * (np.array([-1, 1, 1, -1])[:, None, None] * axes_C33[:, :, 1] + np.array([-1, -1, 1, 1])[:, None, None] * axes_C33[:, :, 2])
    points_P3 = (points_C3 + corner_4).transpose(1, 0, 2).reshape(-1, 3)
    first_C = 4 * np.arange(len(points_C3))[:, None]
    faces_F3 = np.concatenate([first_C + [0, 1, 2], first_C + [0, 2, 3]])
    return Surface(points_P3, np.repeat(axes_C33[:, :, 0], 4, axis=0), faces_F3, np.repeat(vertex_C, 4))


def thinned(points_P3: np.ndarray, faces_F3: np.ndarray, cells: int,
            apart_P: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Faces with the points of each cell of a grid merged, the point that each cell keeps, and each point's cell (Rossignac and Borrel,
    "Multi-resolution 3D approximations for rendering complex scenes", 1993).

    cells: along the longest side. apart_P: only points with the same number are merged.
    """
    low_3 = points_P3.min(0)
    step = max(float(np.ptp(points_P3, axis=0).max()) / cells, 1e-300)
    cell_P3 = np.floor((points_P3 - low_3) / step).astype(np.int64).clip(0, cells - 1)
    key_P = (cell_P3[:, 0] * cells + cell_P3[:, 1]) * cells + cell_P3[:, 2] + (0 if apart_P is None else apart_P.astype(np.int64) * cells ** 3)
    _, first_C, cell_P = np.unique(key_P, return_index=True, return_inverse=True)
    cell_P = cell_P.reshape(-1)
    a, b, c = cell_P[faces_F3].T
    return cell_P[faces_F3][(a != b) & (b != c) & (c != a)], first_C, cell_P
