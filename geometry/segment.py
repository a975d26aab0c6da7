"""Reductions over segments: rows that name the same number belong together, in any order. Jittor twin: ops/segment.py.

Letters: N rows, C channels, S segments. segment_N[n] = s: row n is one of segment s. All answers are float64.
An empty segment has sum 0, mean 0 and maximum 0: what a vertex without neighbours hears is nothing.
"""

import numpy as np


def segment_sum(x_NC: np.ndarray, segment_N: np.ndarray, count: int) -> np.ndarray:
    """out[s] = sum of the rows of segment s, (S, C). Raises: ValueError for other shapes, or a segment outside 0..count - 1."""
    x_NC, segment_N = _checked(x_NC, segment_N, count)
    out_SC = np.empty((count, x_NC.shape[1]))
    for channel in range(x_NC.shape[1]):     # in the order of the rows; many times faster than np.add.at, and no copy of all rows
        out_SC[:, channel] = np.bincount(segment_N, x_NC[:, channel], count)
    return out_SC


def segment_mean(x_NC: np.ndarray, segment_N: np.ndarray, count: int) -> np.ndarray:
    """out[s] = the mean of the rows of segment s, (S, C). Raises: as segment_sum."""
    mean_SC = segment_sum(x_NC, segment_N, count)
    mean_SC /= np.maximum(np.bincount(segment_N, minlength=count), 1)[:, None]
    return mean_SC


def segment_max(x_NC: np.ndarray, segment_N: np.ndarray, count: int) -> np.ndarray:
    """out[s, c] = the greatest x[n, c] of segment s, (S, C). Raises: as segment_sum."""
    x_NC, segment_N = _checked(x_NC, segment_N, count)
    out_SC = np.zeros((count, x_NC.shape[1]))
    order_N = segment_N.argsort(kind="stable")
    begin_S = np.flatnonzero(np.diff(segment_N[order_N], prepend=-1))   # where a segment begins in that order; the empty ones do not
    if len(begin_S):
        out_SC[segment_N[order_N[begin_S]]] = np.maximum.reduceat(x_NC[order_N], begin_S)
    return out_SC


def segment_softmax(x_NC: np.ndarray, segment_N: np.ndarray, count: int) -> np.ndarray:
    """out[n, c] = exp(x[n, c]) / sum of exp(x[m, c]) over the rows m of n's segment, (N, C). Raises: as segment_sum."""
    raised_NC = np.exp(x_NC - segment_max(x_NC, segment_N, count)[segment_N])
    return raised_NC / segment_sum(raised_NC, segment_N, count)[segment_N]


def _checked(x_NC: np.ndarray, segment_N: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    x_NC, segment_N = np.asarray(x_NC), np.asarray(segment_N)
    if x_NC.ndim != 2 or segment_N.shape != x_NC.shape[:1] or segment_N.dtype.kind not in "iu":
        raise ValueError(f"x must be (N, C) and segment (N,) of integers; got {x_NC.shape} and {segment_N.shape} of {segment_N.dtype}")
    if len(segment_N) and not 0 <= segment_N.min() <= segment_N.max() < count:
        raise ValueError(f"segments span {segment_N.min()} to {segment_N.max()} but there are {count}")
    return x_NC, segment_N
