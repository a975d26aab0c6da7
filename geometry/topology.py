"""What of a triangle mesh does not depend on where its vertices are, and the welding that decides which vertices are one.

Letters: V vertices, U distinct positions, F faces, E edges, C connected components.
"""

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components


def welded(vertices_V3: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct positions and where each vertex went: vertices_V3 == points_U3[place_V].

    Files split a vertex where normals or texture coordinates jump; over the welded points a surface is whole again. Positions are
    one when they are equal as numbers (-0 is 0); there is no tolerance, so nothing that was apart is joined.
    Returns: points_U3 float64, sorted by x, then y, then z; place_V int64.
    Raises: ValueError when a position is not 3-wide or not finite.
    """
    vertices_V3 = np.asarray(vertices_V3, np.float64)
    if vertices_V3.ndim != 2 or vertices_V3.shape[1] != 3:
        raise ValueError(f"welded needs vertices (V, 3), got {vertices_V3.shape}")
    if not np.isfinite(vertices_V3).all():
        raise ValueError("welded needs finite positions; some are NaN or infinite")
    order_V = np.lexsort(vertices_V3.T[::-1])   # three sorts of numbers: several times faster than np.unique of rows
    sorted_V3 = vertices_V3[order_V]
    new_V = np.ones(len(vertices_V3), bool)
    new_V[1:] = (sorted_V3[1:] != sorted_V3[:-1]).any(1)
    place_V = np.empty(len(vertices_V3), np.int64)
    place_V[order_V] = np.cumsum(new_V) - 1
    return sorted_V3[new_V], place_V


def checked_faces(faces_F3: np.ndarray | None, count: int) -> np.ndarray:
    """(F, 3) int64; none where None is given. Raises: ValueError when a face is not 3-wide or names a vertex outside 0..count - 1."""
    faces_F3 = np.zeros((0, 3), np.int64) if faces_F3 is None else np.asarray(faces_F3, np.int64)
    if faces_F3.size == 0:
        return faces_F3.reshape(0, 3)
    if faces_F3.ndim != 2 or faces_F3.shape[1] != 3:
        raise ValueError(f"faces must be triangles (F, 3), got {faces_F3.shape}")
    if faces_F3.min() < 0 or faces_F3.max() >= count:
        raise ValueError(f"a face names a vertex outside 0..{count - 1}: {faces_F3.min()}..{faces_F3.max()}")
    return faces_F3


def seen_vertices(faces_F3: np.ndarray | None, count: int) -> np.ndarray:
    """(count,) bool: the vertices that a face names; all of them where there is no face."""
    if faces_F3 is None or not len(faces_F3):
        return np.ones(count, bool)
    seen_V = np.zeros(count, bool)
    seen_V[faces_F3] = True
    return seen_V


def proper_faces(faces_F3: np.ndarray) -> np.ndarray:
    """The faces with three different corners, each set of corners once (the first in the file), int64."""
    faces_F3 = np.asarray(faces_F3, np.int64).reshape(-1, 3)
    a, b, c = faces_F3.T
    faces_F3 = faces_F3[(a != b) & (b != c) & (c != a)]
    _, first = np.unique(np.sort(faces_F3, axis=1), axis=0, return_index=True)
    return faces_F3[np.sort(first)]


def edges(faces_F3: np.ndarray) -> np.ndarray:
    """Every edge of the faces once, (E, 2) int64, the smaller index first, sorted. A corner that repeats makes no edge."""
    faces_F3 = np.asarray(faces_F3, np.int64).reshape(-1, 3)
    pair_E2 = np.sort(np.concatenate([faces_F3[:, [0, 1]], faces_F3[:, [1, 2]], faces_F3[:, [2, 0]]]), axis=1)
    pair_E2 = pair_E2[pair_E2[:, 0] != pair_E2[:, 1]]
    pair_E2 = pair_E2[np.lexsort(pair_E2.T[::-1])]
    new_E = np.ones(len(pair_E2), bool)
    new_E[1:] = (pair_E2[1:] != pair_E2[:-1]).any(1)
    return pair_E2[new_E]


def components(faces_F3: np.ndarray, count: int) -> np.ndarray:
    """Which connected piece each of ``count`` vertices belongs to, (count,) int64.

    Pieces are numbered by their smallest vertex; a vertex without a face is a piece of its own.
    Raises: ValueError when a face names a vertex outside 0..count - 1.
    """
    return pieces(edges(checked_faces(faces_F3, count)), count)


def pieces(pair_E2: np.ndarray, count: int) -> np.ndarray:
    """As components, from edges."""
    graph = coo_matrix((np.ones(len(pair_E2), np.int8), (pair_E2[:, 0], pair_E2[:, 1])), shape=(count, count))
    _, label_V = connected_components(graph, directed=False)
    _, first_C, label_V = np.unique(label_V, return_index=True, return_inverse=True)
    rank_C = np.empty(len(first_C), np.int64)
    rank_C[np.argsort(first_C)] = np.arange(len(first_C))
    return rank_C[label_V.reshape(-1)]
