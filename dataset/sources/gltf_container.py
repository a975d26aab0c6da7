"""The container of a glTF 2.0 file: JSON, buffers and accessors, with every size checked before memory is taken.

Spec: Khronos "glTF 2.0" (GLB container section 4, accessors 3.6), KHR_mesh_quantization (integer attributes as positions).
Reads only the file itself, data URIs and buffers that lie in the file's own folder. Nothing is fetched, nothing is run.
"""

import base64
import binascii
import json
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

import numpy as np

from dataset.asset import AssetError
from dataset.sources.meshopt import decode_view

COMPONENTS = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
SHAPES = {"SCALAR": (), "VEC2": (2,), "VEC3": (3,), "VEC4": (4,), "MAT4": (4, 4)}
MAX_ELEMENTS = 40_000_000  # of one accessor; a sparse accessor may claim any count without a byte behind it
GEOMETRY_EXTENSIONS = {"KHR_draco_mesh_compression", "KHR_mesh_quantization", "EXT_meshopt_compression"}
# what may be required without touching a vertex: looks, lights, and the humanoid's own descriptions
HARMLESS_PREFIXES = ("KHR_materials_", "EXT_materials_", "KHR_texture_", "EXT_texture_", "KHR_lights_", "EXT_lights_",
                     "KHR_animation_", "KHR_node_visibility", "KHR_xmp", "VRM", "VRMC_", "MSFT_texture_")


class Container:
    """One opened glTF file: `document` (the JSON object) and bounds-checked access to what its accessors hold.

    Raises (constructor and every method): AssetError naming the file and what is wrong with it.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.name = self.path.name
        try:
            data = self.path.read_bytes()
        except OSError as error:
            raise AssetError(f"{self.name}: cannot be read ({error.strerror or error})") from None
        text, self.binary = self._split(data)
        self.document = self._parse(text)
        with self.guard():
            self._check_version_and_extensions()
        self._buffers: dict[int, bytes] = {}
        self._views: dict[int, tuple[bytes, int]] = {}

    def fail(self, what: str) -> AssetError:
        return AssetError(f"{self.name}: {what}")

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Whatever a malformed document makes Python raise inside leaves as an AssetError of this file."""
        try:
            yield
        except AssetError:
            raise
        except (KeyError, TypeError, IndexError, AttributeError, ValueError, OverflowError, RecursionError) as error:
            raise self.fail(f"broken glTF structure ({type(error).__name__}: {error})") from error

    def _split(self, data: bytes) -> tuple[bytes, bytes | None]:
        """GLB -> (JSON chunk, binary chunk or None); a .gltf is its own JSON."""
        if data[:4] != b"glTF":
            return data, None
        if len(data) < 20:
            raise self.fail("cut short: a GLB header alone has 20 bytes")
        version, length = struct.unpack_from("<II", data, 4)
        if version != 2:
            raise self.fail(f"GLB version {version}; only glTF 2.0 is read: export it again as glTF 2.0")
        if length > len(data):
            raise self.fail(f"cut short: header says {length} bytes, the file has {len(data)}")
        chunks, at = [], 12
        while at + 8 <= length:
            size, kind = struct.unpack_from("<I4s", data, at)
            if at + 8 + size > length:
                raise self.fail(f"cut short: a chunk of {size} bytes runs past the end")
            chunks.append((kind, data[at + 8:at + 8 + size]))
            at += 8 + size + (-size % 4)
        if not chunks or chunks[0][0] != b"JSON":
            raise self.fail("the first chunk of this GLB is not JSON")
        return chunks[0][1], next((body for kind, body in chunks[1:] if kind == b"BIN\0"), None)

    def _parse(self, text: bytes) -> dict:
        try:
            document = json.loads(text.decode("utf-8-sig"))
        except (ValueError, RecursionError) as error:
            raise self.fail(f"not a glTF file: its JSON cannot be read ({error})") from None
        if not isinstance(document, dict):
            raise self.fail("not a glTF file: its JSON is not an object")
        return document

    def _check_version_and_extensions(self) -> None:
        asset = self.document.get("asset")
        version = str(asset.get("version")) if isinstance(asset, dict) else "missing"
        if not version.startswith("2"):
            raise self.fail(f"glTF version {version}; only 2.x is read: export it again as glTF 2.0")
        for extension in self.document.get("extensionsRequired", []):
            if extension not in GEOMETRY_EXTENSIONS and not str(extension).startswith(HARMLESS_PREFIXES):
                raise self.fail(f"needs the extension {extension}, which is not supported: export without it")

    def entry(self, kind: str, index) -> dict:
        """document[kind][index], e.g. entry("nodes", 3); the index must be one."""
        entries = self.document.get(kind, [])
        if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < len(entries):
            raise self.fail(f"{kind}[{index}] does not exist: there are {len(entries)}")
        return entries[index]

    def size(self, entry: dict, key: str, default: int | None = None) -> int:
        """A byte count or offset: a whole number >= 0."""
        value = entry.get(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise self.fail(f"{key} is {value!r}, must be a whole number >= 0")
        return value

    def buffer(self, index: int) -> bytes:
        if index in self._buffers:
            return self._buffers[index]
        entry = self.entry("buffers", index)
        length, uri = self.size(entry, "byteLength"), entry.get("uri")
        if uri is None and index == 0 and self.binary is not None:
            data = self.binary
        elif uri is None:
            raise self.fail(f"buffer {index} has neither a uri nor a binary chunk")
        elif uri.startswith("data:"):
            data = self._data_uri(uri)
        else:
            data = self.neighbour(uri)
        if len(data) < length:
            raise self.fail(f"buffer {index} says {length} bytes but has {len(data)}")
        self._buffers[index] = data[:length]
        return self._buffers[index]

    def _data_uri(self, uri: str) -> bytes:
        head, _, body = uri.partition(",")
        if not head.endswith(";base64"):
            raise self.fail(f"data URI {head[:40]!r} is not base64")
        try:
            return base64.b64decode(body, validate=True)
        except binascii.Error as error:
            raise self.fail(f"broken base64 in a data URI ({error})") from None

    def neighbour(self, uri: str, what: str = "buffer") -> bytes:
        """The bytes of a file in this file's own folder (or below); links and '..' must not lead out of it."""
        if "://" in uri or uri.startswith(("//", "file:")):
            raise self.fail(f"{what} {uri[:80]!r} lies elsewhere: nothing is fetched; save it beside the file")
        folder = self.path.resolve().parent
        target = (folder / unquote(uri)).resolve()
        if not target.is_relative_to(folder):
            raise self.fail(f"{what} {uri[:80]!r} points outside the file's folder: refused")
        if not target.is_file():
            raise self.fail(f"{what} {uri[:80]!r} is missing: keep it beside the .gltf")
        return target.read_bytes()

    def view(self, index: int) -> tuple[bytes, int]:
        """Bytes and stride (0: tightly packed) of bufferView `index`, decompressed where EXT_meshopt_compression says so."""
        if index in self._views:
            return self._views[index]
        entry = self.entry("bufferViews", index)
        packed = entry.get("extensions", {}).get("EXT_meshopt_compression")
        self._views[index] = (self._slice(entry, index), self.size(entry, "byteStride", 0)) if packed is None \
            else self._unpack(packed, index)
        return self._views[index]

    def _slice(self, entry: dict, index: int) -> bytes:
        buffer = self.buffer(entry.get("buffer"))
        start, length = self.size(entry, "byteOffset", 0), self.size(entry, "byteLength")
        if start + length > len(buffer):
            raise self.fail(f"bufferView {index} ends at byte {start + length} of a buffer of {len(buffer)}")
        return buffer[start:start + length]

    def _unpack(self, packed: dict, index: int) -> tuple[bytes, int]:
        count, stride = self.size(packed, "count"), self.size(packed, "byteStride")
        if count > MAX_ELEMENTS or not 1 <= stride <= 256:
            raise self.fail(f"bufferView {index}: {count} elements of {stride} bytes are refused")
        try:
            data = decode_view(self._slice(packed, index), count, stride, packed.get("mode"), packed.get("filter", "NONE"))
        except ValueError as error:
            raise self.fail(f"bufferView {index}: broken meshopt data ({error})") from None
        return data, stride

    def accessor(self, index: int) -> np.ndarray:
        """Values of accessor `index`: (count, *shape), float32 when normalised, else of the file's own type; MAT4 as rows."""
        entry = self.entry("accessors", index)
        kind, shape, count = COMPONENTS.get(entry.get("componentType")), SHAPES.get(entry.get("type")), self.size(entry, "count")
        if kind is None or shape is None:
            raise self.fail(f"accessor {index}: {entry.get('type')} of component {entry.get('componentType')} is not read here")
        if count > MAX_ELEMENTS:
            raise self.fail(f"accessor {index} claims {count} elements, more than the {MAX_ELEMENTS} allowed")
        if "bufferView" in entry:
            values = self._strided(entry["bufferView"], self.size(entry, "byteOffset", 0), count, np.dtype(kind), shape, index)
        else:
            values = np.zeros((count, *shape), kind)
        if "sparse" in entry:
            values = self._sparse(values, entry["sparse"], index)
        if values.ndim == 3:
            values = values.transpose(0, 2, 1)  # the file is column by column
        return normalise(values) if entry.get("normalized") else values

    def _strided(self, view: int, offset: int, count: int, dtype: np.dtype, shape: tuple, index: int) -> np.ndarray:
        data, stride = self.view(view)
        size = dtype.itemsize * int(np.prod(shape, dtype=int))
        stride = stride or size
        if stride < size:
            raise self.fail(f"accessor {index}: stride {stride} is smaller than an element of {size} bytes")
        if count and offset + stride * (count - 1) + size > len(data):
            raise self.fail(f"accessor {index} needs {offset + stride * (count - 1) + size} bytes of a view of {len(data)}")
        inner = tuple(dtype.itemsize * int(np.prod(shape[k + 1:], dtype=int)) for k in range(len(shape)))
        return np.ndarray((count, *shape), dtype, data, offset, (stride, *inner)).copy() if count else np.zeros((0, *shape), dtype)

    def _sparse(self, values: np.ndarray, sparse: dict, index: int) -> np.ndarray:
        count, where, what = self.size(sparse, "count"), sparse["indices"], sparse["values"]
        kind = COMPONENTS.get(where.get("componentType"), "<f4")
        if count > len(values) or kind[1] != "u":
            raise self.fail(f"accessor {index}: broken sparse part ({count} of {len(values)} elements)")
        rows = self._strided(where.get("bufferView"), self.size(where, "byteOffset", 0), count, np.dtype(kind), (), index)
        if count and int(rows.max()) >= len(values):
            raise self.fail(f"accessor {index}: sparse index {int(rows.max())} of {len(values)} elements")
        values[rows] = self._strided(what.get("bufferView"), self.size(what, "byteOffset", 0), count, values.dtype,
                                     values.shape[1:], index)
        return values


def normalise(values: np.ndarray) -> np.ndarray:
    """Integers that stand for [0, 1] or [-1, 1]: f = c / max, and -1 at the lowest signed value (glTF 3.6.2.2)."""
    if values.dtype.kind == "f":
        return values
    return np.maximum(values / np.float64(np.iinfo(values.dtype).max), -1.0).astype(np.float32)
