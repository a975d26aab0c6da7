"""Decoder of EXT_meshopt_compression: what packed glTF files (gltfpack) hold in place of plain vertices and indices.

Spec: Khronos glTF extension EXT_meshopt_compression, appendix A (bitstreams: attributes v0, triangles v0/v1, indices v1) and B (filters).
Ours: bytes are unpacked with NumPy, a byte column at a time; indices in plain Python, a few microseconds a triangle.
The quaternion filter serves animations only and is refused.
"""

import numpy as np

GROUP = 16        # bytes that share one bit width
BLOCK_BYTES = 8192
TAIL_BYTES = 32
AUX_BYTES = 16
MOST_PER_BYTE = 4 * GROUP  # a header byte speaks for four groups, which may all be without bits


def decode_view(data: bytes, count: int, stride: int, mode: str, filter_name: str = "NONE") -> bytes:
    """Unpack one compressed bufferView into count * stride plain bytes.

    Raises: ValueError when the data is cut short, its header is foreign, or mode or filter are unknown.
    """
    try:
        if mode == "ATTRIBUTES":
            plain = _attributes(data, count, stride)
            return FILTERS[filter_name](plain).tobytes()
        dtype = {2: "<u2", 4: "<u4"}[stride]
        decode = {"TRIANGLES": _triangles, "INDICES": _sequence}[mode]
        return (np.array(decode(data, count), dtype=np.int64) & 0xFFFFFFFF).astype(dtype).tobytes()
    except KeyError as error:
        raise ValueError(f"mode {mode}, filter {filter_name}, stride {stride}: {error} is not read here") from None
    except IndexError:
        raise ValueError("the data ends too early") from None


def _attributes(data: bytes, count: int, stride: int) -> np.ndarray:
    """(count, stride) uint8. Each byte column is delta coded down the vertices, in blocks, zigzag, with 0, 2, 4 or 8 bits."""
    if data[:1] != b"\xa0" or stride % 4:
        raise ValueError("not a version 0 attribute stream")
    packed = np.frombuffer(data, np.uint8)
    last = packed[len(packed) - stride:]
    if len(last) < stride or len(packed) < 1 + max(stride, TAIL_BYTES):
        raise IndexError
    if count * stride > MOST_PER_BYTE * len(packed):
        raise ValueError(f"{len(packed)} bytes cannot hold {count} elements of {stride}")
    out, at = np.empty((count, stride), np.uint8), 1
    block = min(BLOCK_BYTES // stride // GROUP * GROUP, 256)
    for start in range(0, count, block):
        size = min(block, count - start)
        for column in range(stride):
            deltas, at = _column(packed, at, -(-size // GROUP))
            signed = (deltas >> 1) ^ (0 - (deltas & 1))
            out[start:start + size, column] = last[column] + np.cumsum(signed[:size], dtype=np.uint8)
        last = out[start + size - 1]
    return out


def _column(packed: np.ndarray, at: int, groups: int) -> tuple[np.ndarray, int]:
    """One byte column of `groups` groups of 16 values from position `at` -> (values uint8, next position)."""
    header = packed[at:at + -(-groups // 4)]
    at += len(header)
    values = np.zeros((groups, GROUP), np.uint8)
    for g in range(groups):
        bits = (0, 2, 4, 8)[int(header[g // 4]) >> (g % 4 * 2) & 3]
        if bits == 0:
            continue
        body = packed[at:at + 2 * bits]
        if len(body) < 2 * bits:
            raise IndexError
        at += 2 * bits
        if bits == 8:
            values[g] = body
            continue
        shifts = np.arange(8 - bits, -1, -bits, dtype=np.uint8)
        values[g] = (body[:, None] >> shifts & (2 ** bits - 1)).ravel()
        escaped = np.flatnonzero(values[g] == 2 ** bits - 1)  # the full value follows the group
        if at + len(escaped) > len(packed):
            raise IndexError
        values[g, escaped] = packed[at:at + len(escaped)]
        at += len(escaped)
    return values.ravel(), at


class _Reader:
    """Variable-length integers, 7 bits a byte, low bits first."""

    def __init__(self, data: bytes, at: int, end: int):
        self.data, self.at, self.end = data, at, end

    def byte(self) -> int:
        if self.at >= self.end:
            raise IndexError
        self.at += 1
        return self.data[self.at - 1]

    def number(self) -> int:
        value = 0
        for shift in range(0, 35, 7):
            byte = self.byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
        raise ValueError("a number runs over five bytes")

    def step(self) -> int:
        return unzigzag(self.number())


def unzigzag(value: int) -> int:
    return value >> 1 ^ -(value & 1)


def _sequence(data: bytes, count: int) -> list[int]:
    """Indices as differences to one of two running values."""
    if data[:1] != b"\xd1" or len(data) < 5:
        raise ValueError("not a version 1 index stream")
    reader, last, out = _Reader(data, 1, len(data) - 4), [0, 0], []
    for _ in range(count):
        value = reader.number()
        which = value & 1
        last[which] += unzigzag(value >> 1)
        out.append(last[which])
    return out


class _Triangles:
    """State of the triangle decoder: the last 16 edges and vertices, the next new vertex and the last free index."""

    def __init__(self, data: bytes, count: int):
        if data[:1] not in (b"\xe0", b"\xe1") or count % 3 or len(data) < 1 + count // 3 + AUX_BYTES:
            raise ValueError("not a triangle stream of version 0 or 1")
        self.near_codes = 13 if data[0] == 0xE1 else 15  # version 1 spends two codes on last index -1 and +1
        self.codes, self.table = data[1:1 + count // 3], data[-AUX_BYTES:]
        self.reader = _Reader(data, 1 + count // 3, len(data) - AUX_BYTES)
        self.edges, self.vertices = [(0, 0)] * 16, [0] * 16  # newest last
        self.next = self.last = 0

    def new_vertex(self) -> int:
        self.next += 1
        return self.next - 1

    def free_index(self) -> int:
        self.last += self.reader.step()
        return self.last

    def remember(self, a: int, b: int, c: int, shared_edge: bool, fresh: tuple[int, ...]) -> None:
        self.edges += [(c, b), (a, c)] if shared_edge else [(b, a), (c, b), (a, c)]
        self.vertices += fresh
        del self.edges[:-16], self.vertices[:-16]

    def on_edge(self, code: int) -> tuple[int, int, int]:
        a, b = self.edges[-1 - (code >> 4)]
        near = code & 15
        if near == 0:
            c = self.new_vertex()
        elif near < self.near_codes:
            c = self.vertices[-1 - near]
        elif near == 15:
            c = self.free_index()
        else:
            c = self.last = self.last + (-1 if near == 13 else 1)
        self.remember(a, b, c, True, (c,) if near == 0 or near >= self.near_codes else ())
        return a, b, c

    def alone(self, code: int) -> tuple[int, int, int]:
        """A triangle that shares no edge: each corner new, recent (1-14 back) or spelt out (15)."""
        aux = self.table[code & 15] if code < 0xFE else self.reader.byte()
        kinds = (15 if code == 0xFF else 0, aux >> 4, aux & 15)
        if code >= 0xFE and aux == 0:
            self.next = 0
        recent = self.vertices[:]
        corners = [self.new_vertex() if kind == 0 else recent[-kind] for kind in kinds]
        if code >= 0xFE:
            corners = [self.free_index() if kind == 15 else corner for kind, corner in zip(kinds, corners)]
        spelt = (0, 15) if code >= 0xFE else (0,)
        self.remember(*corners, False, tuple(c for k, c in zip(kinds, corners) if k in spelt))
        return tuple(corners)


def _triangles(data: bytes, count: int) -> list[int]:
    state, out = _Triangles(data, count), []
    for code in state.codes:
        out += state.on_edge(code) if code < 0xF0 else state.alone(code)
    return out


def _octahedral(plain: np.ndarray) -> np.ndarray:
    """Unit vectors from the octahedron's plane: int8 (stride 4) or int16 (stride 8) x, y, one -> x, y, z of full length."""
    raw = plain.view({4: "<i1", 8: "<i2"}[plain.shape[1]])
    x, y, one = (raw[:, k].astype(np.float32) for k in range(3))
    z = one - np.abs(x) - np.abs(y)
    fold = np.minimum(z, 0)
    x, y = x + np.where(x >= 0, fold, -fold), y + np.where(y >= 0, fold, -fold)
    xyz = np.stack([x, y, z], 1)
    length = np.linalg.norm(xyz, axis=1, keepdims=True)
    out = raw.copy()
    out[:, :3] = np.rint(xyz / np.maximum(length, 1e-12) * np.iinfo(raw.dtype).max)
    return out


def _exponential(plain: np.ndarray) -> np.ndarray:
    """float32 = mantissa (24 bits) * 2^exponent (8 bits), both signed."""
    raw = plain.view("<i4")
    return np.ldexp((raw << 8 >> 8).astype(np.float32), raw >> 24)


FILTERS = {"NONE": lambda plain: plain, "OCTAHEDRAL": _octahedral, "EXPONENTIAL": _exponential}
