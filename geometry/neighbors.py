"""Nearest neighbours with a fixed order among ties.

Letters: Q query positions, M source points, K neighbours.
"""

import numpy as np
from scipy.spatial import cKDTree

_BRUTE_PAIRS = 1 << 16      # below this many query-source pairs a full table is faster than a tree
_BRUTE_CHUNK = 1 << 22      # pairs held at once by the full table
_EXTRA = 8                  # neighbours asked for beyond K, to see whether a tie straddles the K-th place


def kd_tree(points_P3: np.ndarray) -> cKDTree:
    """SciPy's tree over the points, which splits boxes in their middle, as the balanced kind must not be built everywhere.

    A balanced tree that finds no point below its split tries the next number above the least point. Above 0 that is 5e-324, and a
    thread which takes such numbers for zero (one that loaded a library linked with -Ofast, as Jittor's kernels are) then halves the box
    for ever, until the stack is full.
    """
    return cKDTree(points_P3, balanced_tree=False)


def _check(query_Q3: np.ndarray, source_M3: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    query_Q3, source_M3 = np.asarray(query_Q3, np.float64), np.asarray(source_M3, np.float64)
    if query_Q3.ndim != 2 or source_M3.ndim != 2 or query_Q3.shape[1] != 3 or source_M3.shape[1] != 3:
        raise ValueError(f"knn needs query (Q, 3) and source (M, 3), got {query_Q3.shape} and {source_M3.shape}")
    if not 1 <= k <= len(source_M3):
        raise ValueError(f"k must be in 1..M = {len(source_M3)}, got {k}")
    if not (np.isfinite(query_Q3).all() and np.isfinite(source_M3).all()):
        raise ValueError("knn needs finite positions")
    return query_Q3, source_M3


def _brute(query_Q3: np.ndarray, source_M3: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    d2_QK, idx_QK = np.empty((len(query_Q3), k)), np.empty((len(query_Q3), k), np.int64)
    step = max(1, _BRUTE_CHUNK // len(source_M3))
    for start in range(0, len(query_Q3), step):
        rows = slice(start, start + step)
        d2_qM = ((query_Q3[rows, None] - source_M3[None]) ** 2).sum(-1)
        idx_QK[rows] = np.argsort(d2_qM, axis=1, kind="stable")[:, :k]
        d2_QK[rows] = np.take_along_axis(d2_qM, idx_QK[rows], 1)
    return d2_QK, idx_QK


def knn(query_Q3: np.ndarray, source_M3: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k source points nearest to each query.

    Returns: d2_QK squared distances, ascending, float64; idx_QK int64, idx[q, n] = m means source[m] is the n-th nearest of
    query[q]. Ties go to the smaller m. A query that is itself a source finds itself first.
    Raises: ValueError when k is not in 1..M, a position is not 3-wide or not finite.
    """
    query_Q3, source_M3 = _check(query_Q3, source_M3, k)
    if len(query_Q3) * len(source_M3) <= _BRUTE_PAIRS:
        return _brute(query_Q3, source_M3, k)
    wide = min(len(source_M3), k + _EXTRA)
    _, idx_QW = kd_tree(source_M3).query(query_Q3, k=wide)
    idx_QW = np.sort(np.asarray(idx_QW, np.int64).reshape(len(query_Q3), wide), axis=1)
    d2_QW = ((query_Q3[:, None] - source_M3[idx_QW]) ** 2).sum(-1)
    order_QW = np.argsort(d2_QW, axis=1, kind="stable")      # rows are index-sorted, so stable means the smaller index first
    d2_QW, idx_QW = np.take_along_axis(d2_QW, order_QW, 1), np.take_along_axis(idx_QW, order_QW, 1)
    d2_QK, idx_QK = d2_QW[:, :k].copy(), idx_QW[:, :k].copy()
    if wide < len(source_M3):
        # a tie that may reach beyond what the tree returned: only the full table knows the smaller index
        tied = d2_QW[:, -1] <= d2_QK[:, -1] * (1 + 1e-12)
        if tied.any():
            d2_QK[tied], idx_QK[tied] = _brute(query_Q3[tied], source_M3, k)
    return d2_QK, idx_QK


def three_nearest(query_Q3: np.ndarray, source_M3: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The three nearest sources and their interpolation weights w_k ~ 1 / d_k^2, sum 1.

    A query that coincides with a source takes weight 1 there (the smaller index when several coincide).
    Qi et al., "PointNet++", NeurIPS 2017, equation 2 with p = 2, k = 3.
    Returns: idx_Q3 int64, nearest first; weight_Q3 float64.
    Raises: ValueError when M < 3, or as knn.
    """
    if len(source_M3) < 3:
        raise ValueError(f"three_nearest needs M >= 3 source points, got {len(source_M3)}")
    d2_Q3, idx_Q3 = knn(query_Q3, source_M3, 3)
    # relative to the nearest, so that tiny distances neither overflow nor need an epsilon
    weight_Q3 = np.divide(d2_Q3[:, :1], d2_Q3, out=np.zeros_like(d2_Q3), where=d2_Q3 > 0)
    weight_Q3[:, 0] = 1.0
    return idx_Q3, weight_Q3 / weight_Q3.sum(1, keepdims=True)
