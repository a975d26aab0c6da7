"""What the readers of PLY, STL and OFF share: numbers written as text, and polygons cut into triangles.

Letters: N numbers, R rows (polygons), F triangles.
"""

import warnings
from collections.abc import Callable

import numpy as np

from dataset.sources.limits import MAX_CORNERS


def numbers(text: bytes) -> np.ndarray:
    """(N,) float64, the numbers at the beginning of the text, up to its end or the first word that is none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # NumPy says so where it stops early: callers count what they got
        return np.fromstring(text, dtype=np.float64, sep=" ")


def whole(values: np.ndarray, what: str) -> np.ndarray:
    """The values as int64. Raises: ValueError where one is no whole number, or beyond 32 bits."""
    if values.dtype.kind == "f" and not ((np.abs(values) < 2 ** 32) & (values == np.rint(values))).all():  # NaN fails too
        raise ValueError(f"{what} must be whole numbers")
    return values.astype(np.int64)


def fans(start_R: np.ndarray, length_R: np.ndarray, step: int, pick: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """(F, 3) int64: each polygon as a fan about its first corner, in the order of the rows; rows of one or two corners give none.

    start: where the first corner of a row lies, step: from one to the next; pick: places -> the indices there.
    Raises: ValueError for more triangles than are read.
    """
    count_R = np.maximum(length_R - 2, 0)
    total = int(count_R.sum())
    if total > MAX_CORNERS // 3:
        raise ValueError(f"more than {MAX_CORNERS // 3} triangles: simplify it first")
    first_F = np.repeat(start_R, count_R)
    place_F = np.arange(total) - np.repeat(np.cumsum(count_R) - count_R, count_R)
    return np.stack([pick(first_F), pick(first_F + step * (place_F + 1)), pick(first_F + step * (place_F + 2))], 1)
