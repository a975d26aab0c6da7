"""Distances over a surface, along its edges, and the bridges that join its separate shells.

Along edges a way is longer than over the triangles (about 9 % on even meshes; geometry/heat.py crosses them), which is near enough to
tell a limb's far side from its neighbour. Characters are made of many shells (clothes, hair, fingers, buttons); bridges say how they hang together.
Letters: U points (distinct positions), F faces, E edges, B bridges, R representatives.
"""

import numpy as np
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import dijkstra, minimum_spanning_tree

from geometry.neighbors import kd_tree
from geometry.topology import pieces

_NEAR = 12          # nearest representatives looked at
_FACING = 0.7       # cosine between normals of shells that lie on each other; hand and thigh face each other: -1
_MOST_APART = 256   # groups still apart after the nearest are joined; beyond it they stay apart


def graph(points_U3: np.ndarray, pair_E2: np.ndarray) -> csr_matrix:
    """(U, U) csr of edge lengths, both ways. pair_E2: each edge once."""
    points_U3 = np.asarray(points_U3, np.float64)
    length_E = np.linalg.norm(points_U3[pair_E2[:, 0]] - points_U3[pair_E2[:, 1]], axis=1)
    row, col = np.concatenate([pair_E2, pair_E2[:, ::-1]]).T
    return coo_matrix((np.tile(length_E, 2), (row, col)), shape=(len(points_U3),) * 2).tocsr()


def distances(lengths: csr_matrix, sources: np.ndarray, limit: float = np.inf) -> np.ndarray:
    """Length of the shortest way along edges from the nearest source, (U,) float64; +inf where there is none within ``limit``.

    Dijkstra, "A note on two problems in connexion with graphs", 1959. Raises: ValueError without a source.
    """
    if not len(sources):
        raise ValueError("distances needs at least one source")
    return dijkstra(lengths, indices=sources, min_only=True, limit=limit)


def nearest_source(lengths: csr_matrix, sources: np.ndarray) -> np.ndarray:
    """The source from which each point is reached first, (U,) int64; -1 where none reaches. Raises: ValueError without a source."""
    if not len(sources):
        raise ValueError("nearest_source needs at least one source")
    _, _, source_U = dijkstra(lengths, indices=sources, min_only=True, return_predecessors=True)
    return np.where(source_U < 0, -1, source_U).astype(np.int64)


def continued(lengths: csr_matrix, known_U: np.ndarray) -> np.ndarray:
    """Distances that stop at the end of a shell, carried on along edges and bridges: (U,) float64.

    known_U: +inf where nothing is known (geometry.heat gives such); finite ones stay as they are. lengths: with the bridges in it.
    The others: the least, over what is known, of its distance and the way from there; +inf where no way leads.
    """
    known_U = np.asarray(known_U, np.float64)
    start, count = np.flatnonzero(np.isfinite(known_U)), len(known_U)
    if not 0 < len(start) < count:
        return known_U.copy()
    way = lengths.tocoo()
    row, col = np.append(way.row, np.full(len(start), count)), np.append(way.col, start)    # from one more point to all that is known
    extended = csr_matrix((np.append(way.data, known_U[start]), (row, col)), shape=(count + 1, count + 1))
    return np.where(np.isfinite(known_U), known_U, dijkstra(extended, indices=count)[:count])


def bridges(points_U3: np.ndarray, label_U: np.ndarray, normals_U3: np.ndarray, reach: float) -> np.ndarray:
    """Pairs of points, (B, 2) int64, that join separate pieces into one.

    Two kinds. Every piece is tied to the rest by the shortest links there are (a minimum spanning tree of the pieces). And a shell
    that lies on another, nearer than ``reach`` and facing the same way, is tied to it all over, as a coat is to the body: one link
    would make the far end of the coat seem a long way from what it covers. Surfaces that face each other (hand and thigh) are not.
    Nearest means: among one point per piece and cell of half the reach, so lengths may be over by about a cell.
    More than 256 groups that no near link joins stay apart.
    """
    points_U3, label_U = np.asarray(points_U3, np.float64), np.asarray(label_U)
    if not len(label_U) or label_U.max() == 0:
        return np.zeros((0, 2), np.int64)
    point_R = _representatives(points_U3, label_U, reach / 2)
    pair_B2, length_B = _near_pairs(points_U3, label_U, point_R)
    facing_B = (normals_U3[pair_B2[:, 0]] * normals_U3[pair_B2[:, 1]]).sum(1) > _FACING
    shell_B2 = pair_B2[facing_B & (length_B < reach)]
    tree_B2 = _spanning(pair_B2, length_B, label_U)
    far_B2 = _join_rest(points_U3, label_U, point_R, tree_B2)
    pair_B2 = np.sort(np.concatenate([shell_B2, tree_B2, far_B2]), axis=1)
    return np.unique(pair_B2, axis=0)


def _representatives(points_U3: np.ndarray, label_U: np.ndarray, cell: float) -> np.ndarray:
    """One point per piece and cubic cell, so that dense meshes do not hide their neighbours from each other. Indices, sorted."""
    cell_U3 = np.floor((points_U3 - points_U3.min(0)) / cell)
    key_U4 = np.column_stack([label_U, cell_U3])
    order_U = np.lexsort(key_U4.T[::-1])    # stable: the first point of a cell stands for it
    new_U = np.ones(len(order_U), bool)
    new_U[1:] = (key_U4[order_U][1:] != key_U4[order_U][:-1]).any(1)
    return np.sort(order_U[new_U])


def _near_pairs(points_U3: np.ndarray, label_U: np.ndarray, point_R: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each representative the nearest of another piece, where one is among its nearest: pairs (B, 2) and lengths (B,)."""
    near = min(_NEAR, len(point_R))
    length_RK, near_RK = kd_tree(points_U3[point_R]).query(points_U3[point_R], k=near)
    length_RK, near_RK = length_RK.reshape(-1, near), near_RK.reshape(-1, near)
    other_RK = label_U[point_R][near_RK] != label_U[point_R][:, None]
    found_B = np.flatnonzero(other_RK.any(1))
    first_B = other_RK[found_B].argmax(1)
    return np.column_stack([point_R[found_B], point_R[near_RK[found_B, first_B]]]), length_RK[found_B, first_B]


def _spanning(pair_B2: np.ndarray, length_B: np.ndarray, label_U: np.ndarray) -> np.ndarray:
    """Those of the pairs that make a minimum spanning forest of the pieces."""
    between_B2 = np.sort(label_U[pair_B2], axis=1)
    order_B = np.lexsort((length_B, between_B2[:, 1], between_B2[:, 0]))
    sorted_B2 = between_B2[order_B]
    new_B = np.ones(len(order_B), bool)
    new_B[1:] = (sorted_B2[1:] != sorted_B2[:-1]).any(1)
    best_P = order_B[new_B]     # the shortest pair of each two pieces
    count = int(label_U.max()) + 1
    rank_P = np.empty(len(best_P))
    rank_P[np.argsort(length_B[best_P], kind="stable")] = np.arange(1, len(best_P) + 1)  # distinct, never zero: no ties in the tree
    tree = minimum_spanning_tree(coo_matrix((rank_P, tuple(between_B2[best_P].T)), shape=(count, count)).tocsr())
    return pair_B2[best_P[np.isin(rank_P, tree.data)]]


def _join_rest(points_U3: np.ndarray, label_U: np.ndarray, point_R: np.ndarray, tree_B2: np.ndarray) -> np.ndarray:
    """Links between the groups that the tree leaves apart: the smallest group to its nearest other, until one is left."""
    link_B2 = []
    group_R = pieces(label_U[tree_B2], int(label_U.max()) + 1)[label_U[point_R]]
    if group_R.max() >= _MOST_APART:
        return np.zeros((0, 2), np.int64)
    while group_R.max() > 0:
        small = np.bincount(group_R).argmin()
        own_P, other_P = np.flatnonzero(group_R == small), np.flatnonzero(group_R != small)
        length_P, near_P = kd_tree(points_U3[point_R[other_P]]).query(points_U3[point_R[own_P]])
        best = length_P.argmin()
        met = other_P[near_P[best]]
        link_B2.append((point_R[own_P[best]], point_R[met]))
        group_R[own_P] = group_R[met]
        group_R = np.unique(group_R, return_inverse=True)[1].reshape(-1)
    return np.array(link_B2, np.int64).reshape(-1, 2)
