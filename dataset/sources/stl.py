"""STL, binary and as text: triangles by their corners, three vertices each.

Format: 3D Systems (1989). A binary file says how many triangles follow; a text file that was cut lacks its "endsolid".
"""

import re

import numpy as np

from dataset.sources.limits import MAX_CORNERS
from dataset.sources.polygons import numbers

TRIANGLE = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
HEAD = 84  # bytes: a comment of 80, and the number of triangles
_CORNER = re.compile(rb"^[ \t]*vertex[ \t]+([^\r\n]*)", re.MULTILINE | re.IGNORECASE)


def read_stl(data: bytes) -> np.ndarray:
    """-> vertices (3 F, 3) float64, three for each triangle in their order.

    Raises: ValueError for what is neither kind of STL, or cut short.
    """
    count = int.from_bytes(data[80:HEAD], "little")
    if len(data) >= HEAD and len(data) == HEAD + count * TRIANGLE.itemsize:
        _check(3 * count)
        return np.frombuffer(data, TRIANGLE, count, HEAD)["corners"].reshape(-1, 3).astype(np.float64)
    if not data.lstrip()[:5].lower() == b"solid":
        raise ValueError(f"no STL, or cut short: {len(data)} bytes where a binary file of {count} triangles has {HEAD + 50 * count}")
    corners = _CORNER.findall(data)
    _check(len(corners))
    values = numbers(b" ".join(corners))
    if not re.search(rb"endsolid", data[-1000:], re.IGNORECASE) or len(corners) % 3 or len(values) != 3 * len(corners):
        raise ValueError("cut short, or with a vertex line that is not three numbers")
    return values.reshape(-1, 3)


def _check(corners: int) -> None:
    if corners > MAX_CORNERS:
        raise ValueError(f"more than {MAX_CORNERS // 3} triangles: simplify it first")
