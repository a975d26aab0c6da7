"""PLY, as text or binary of either byte order: vertices, their normals, and faces of any number of corners.

Format: Greg Turk, "The PLY Polygon File Format" (1994). What the header claims is compared with the bytes that follow before memory is
taken. Other elements and properties are passed over; tristrips are not read. Letters: N numbers, R rows of an element, V vertices, F faces.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from dataset.sources.limits import MAX_CORNERS, MAX_VERTICES
from dataset.sources.polygons import fans, numbers, whole

TYPES = {"char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2", "ushort": "u2", "uint16": "u2",
         "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4", "int64": "i8", "uint64": "u8", "float16": "f2", "float": "f4",
         "float32": "f4", "double": "f8", "float64": "f8"}
ORDERS = {"binary_little_endian": "<", "binary_big_endian": ">"}
MAX_HEADER = 1 << 16  # bytes
INDICES = ("vertex_indices", "vertex_index")
WANTED = {"x", "y", "z", "nx", "ny", "nz", *INDICES}


@dataclass
class _Element:
    """properties: (name, type of the values, type of a list's length or None)."""
    name: str
    count: int
    properties: list[tuple[str, np.dtype, np.dtype | None]] = field(default_factory=list)


def read_ply(data: bytes) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """-> vertices (V, 3), normals (V, 3) as they stand there or None, faces (F, 3) or None. float64, int64.

    Raises: ValueError for what is no PLY, is cut short, or claims more than it holds.
    """
    elements, order, at = _header(data)
    body = _Bytes(data) if order else _Words(numbers(data[at:]))
    at = at if order else 0
    vertices_V3 = normals_V3 = faces_F3 = None
    for element in elements:
        columns, at = _columns(element, body, at)
        if element.name == "vertex":
            vertices_V3, normals_V3 = _vectors(element, body, columns, "xyz"), _vectors(element, body, columns, ("nx", "ny", "nz"))
        elif element.name == "face":
            faces_F3 = _faces(element, body, columns)
    if vertices_V3 is None:
        raise ValueError("it has no vertices with x, y and z")
    return vertices_V3, normals_V3, faces_F3


def _header(data: bytes) -> tuple[list[_Element], str, int]:
    """-> elements, byte order ("" for text), and where what they hold begins."""
    end = data.find(b"end_header", 0, MAX_HEADER)
    if data[:3] != b"ply" or end < 0:
        raise ValueError("it has no PLY header")
    elements, order = [], None
    for line in data[:end].decode("ascii", "replace").splitlines()[1:]:
        word, *words = line.split() or [""]
        if word == "format" and words:
            order = "" if words[0] == "ascii" else ORDERS.get(words[0])
        elif word == "element" and len(words) == 2 and words[1].isdecimal() and len(words[1]) < 16:
            elements.append(_Element(words[0], int(words[1])))
        elif word == "property" and elements and len(words) in (2, 4):
            known = words[1:3] if words[0] == "list" else words[:1]
            if not set(known) <= set(TYPES) or (len(words) == 4) != (words[0] == "list"):
                raise ValueError(f"its header says {line[:60]!r}")
            *length, kind = (np.dtype((order or "<") + TYPES[word]) for word in known)
            elements[-1].properties.append((words[-1], kind, length[0] if length else None))
        elif word not in ("", "comment", "obj_info"):
            raise ValueError(f"its header says {line[:60]!r}")
    if order is None:
        raise ValueError("its header names no format that is known")
    for element in elements:
        if element.count > (MAX_VERTICES if element.name == "vertex" else MAX_CORNERS):
            raise ValueError(f"it claims {element.count} of {element.name!r}: simplify it first")
    newline = data.find(b"\n", end)
    return elements, order, len(data) if newline < 0 else newline + 1


class _Words:
    """The body of a text file: a place is a number's."""

    def __init__(self, values_N: np.ndarray):
        self.values_N, self.length = values_N, len(values_N)

    def size(self, kind: np.dtype) -> int:
        return 1

    def pick(self, place_R: np.ndarray, kind: np.dtype) -> np.ndarray:
        return self.values_N[place_R]


class _Bytes:
    """The body of a binary file (with its header): a place is a byte's."""

    def __init__(self, data: bytes):
        self.values_N, self.length = np.frombuffer(data, np.uint8), len(data)

    def size(self, kind: np.dtype) -> int:
        return kind.itemsize

    def pick(self, place_R: np.ndarray, kind: np.dtype) -> np.ndarray:
        out_RB = np.empty((len(place_R), kind.itemsize), np.uint8)
        for k in range(kind.itemsize):
            out_RB[:, k] = self.values_N[place_R + k]
        return out_RB.view(kind)[:, 0]


def _columns(element: _Element, body: _Words | _Bytes, at: int) -> tuple[dict[str, tuple[np.ndarray, np.ndarray]], int]:
    """Where the values of each property begin (R,) and how many a row has (R,), by name; and where the next element begins."""
    least = sum(body.size(length or kind) for _, kind, length in element.properties)
    if at + least * element.count > body.length:
        raise ValueError(f"cut short, or with a word that is no number: its header says {element.count} of {element.name!r}")
    if not element.count or not element.properties:
        return {}, at
    row, one = [], np.array([at])  # of the first row: place, length
    for _, kind, length in element.properties:
        count = 1 if length is None else _lengths(body, one, length)[0]
        row.append((int(one[0]) - at + (0 if length is None else body.size(length)), int(count)))
        one = one + row[-1][0] + at - one + count * body.size(kind)
        if one[0] > body.length:
            raise ValueError(f"cut short: a list of {count} runs past its end")
    width = int(one[0]) - at
    if at + width * element.count <= body.length:
        start_R = at + width * np.arange(element.count)
        if all(length is None or (_lengths(body, start_R + place - body.size(length), length) == count).all()
               for (_, _, length), (place, count) in zip(element.properties, row)):
            return {name: (start_R + place, np.full(element.count, count))
                    for (name, _, _), (place, count) in zip(element.properties, row) if name in WANTED}, at + width * element.count
    return _uneven(element, body, at)


def _lengths(body: _Words | _Bytes, place_R: np.ndarray, kind: np.dtype) -> np.ndarray:
    count_R = whole(body.pick(place_R, kind), "lengths of lists")
    if (count_R < 0).any():
        raise ValueError("a list has a length below 0")
    return count_R


def _uneven(element: _Element, body: _Words | _Bytes, at: int) -> tuple[dict[str, tuple[np.ndarray, np.ndarray]], int]:
    """As _columns, for rows of different lengths: one after the other."""
    places = [array("q") for _ in element.properties]
    counts = [array("q") for _ in element.properties]
    steps = [(body.size(kind), None if length is None else body.size(length), length) for _, kind, length in element.properties]
    values, text = body.values_N, isinstance(body, _Words)
    for _ in range(element.count):
        for k, (size, head, kind) in enumerate(steps):
            count = 1
            if head is not None and at + head <= body.length:
                count = float(values[at]) if text else int(values[at]) if kind.kind == "u" and head == 1 else \
                    int(body.pick(np.array([at]), kind)[0])
                if not 0 <= count == int(count):
                    raise ValueError("lengths of lists must be whole numbers")
            at += head or 0
            places[k].append(at)
            counts[k].append(int(count))
            at += size * int(count)
        if at > body.length:
            raise ValueError(f"cut short: its header says {element.count} of {element.name!r}")
    return {name: (np.array(place), np.array(count)) for (name, _, _), place, count in zip(element.properties, places, counts)}, at


def _vectors(element: _Element, body: _Words | _Bytes, columns: dict, names: Sequence[str]) -> np.ndarray | None:
    """(R, 3) float64 of three scalar properties; None where one is not there."""
    kinds = {name: kind for name, kind, length in element.properties if length is None}
    if not set(names) <= set(kinds):
        return None
    if not element.count:
        return np.zeros((0, 3))
    return np.stack([body.pick(columns[name][0], kinds[name]).astype(np.float64) for name in names], 1)


def _faces(element: _Element, body: _Words | _Bytes, columns: dict) -> np.ndarray | None:
    """(F, 3) int64 of the lists of corners; None without."""
    kinds = {name: kind for name, kind, length in element.properties if length is not None}
    name = next((name for name in INDICES if name in kinds), None)
    if name is None or not element.count:
        return None
    place_R, count_R = columns[name]
    return fans(place_R, count_R, body.size(kinds[name]), lambda place: whole(body.pick(place, kinds[name]), "corners of faces"))
