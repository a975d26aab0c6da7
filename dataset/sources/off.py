"""OFF, as text: vertices and faces of any number of corners; colours and normals are passed over.

Format: Geomview's Object File Format (Rossignac and others, 1986; princeton.edu's "OFF" of shape collections).
"""

import re

import numpy as np

from dataset.sources.limits import MAX_CORNERS, MAX_VERTICES
from dataset.sources.polygons import fans, numbers, whole


def read_off(data: bytes) -> tuple[np.ndarray, np.ndarray | None]:
    """-> vertices (V, 3) float64, faces (F, 3) int64 or None.

    Raises: ValueError for what is no OFF text in three dimensions, is cut short, or claims more than it holds.
    """
    begin = re.match(rb"\s*(?:#[^\n]*\n\s*)*(?:ST)?C?N?OFF(?=[\s\d])", data)
    if not begin or data[begin.end():].lstrip()[:6] == b"BINARY":
        raise ValueError("it does not begin with OFF, COFF or NOFF")
    lines = [line for line in (line.partition(b"#")[0].strip() for line in data[begin.end():].splitlines()) if line]
    counts = lines[0].split() if lines else ()
    if not 2 <= len(counts) <= 3 or not all(count.isdigit() and len(count) < 16 for count in counts):
        raise ValueError("it does not say how many vertices and faces it has")
    count, face_count = int(counts[0]), int(counts[1])
    if count > MAX_VERTICES or face_count > MAX_CORNERS // 3:
        raise ValueError(f"it claims {count} vertices and {face_count} faces: simplify it first")
    if len(lines) < 1 + count + face_count:
        raise ValueError(f"cut short: it says {count} vertices and {face_count} faces, and {len(lines) - 1} lines follow")
    vertices_V3 = _even(lines[1:1 + count])
    if vertices_V3 is None or vertices_V3.shape[1] < 3:
        raise ValueError("its vertices are not three numbers each")
    return vertices_V3[:, :3], _faces(lines[1 + count:1 + count + face_count])


def _even(lines: list[bytes]) -> np.ndarray | None:
    """(lines, numbers of each) float64; None where a line has another number of them than the first, or words."""
    width = len(lines[0].split()) if lines else 3
    values = numbers(b"\n".join(lines))
    return values.reshape(-1, width) if len(values) == len(lines) * width else None


def _faces(lines: list[bytes]) -> np.ndarray | None:
    """(F, 3) int64 of lines "count corner corner corner ..."; None without lines."""
    if not lines:
        return None
    rows = [numbers(line) for line in lines]
    length_R = whole(np.array([row[0] if len(row) else -1 for row in rows]), "counts of corners")
    size_R = np.array([len(row) for row in rows])
    if (length_R < 0).any() or (length_R >= size_R).any():
        raise ValueError("a face has fewer corners than it says")
    flat = np.concatenate(rows)
    return fans(np.cumsum(size_R) - size_R + 1, length_R, 1, lambda place: whole(flat[place], "corners of faces"))
