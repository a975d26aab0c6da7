"""The container of a glTF 2.0 file: JSON, buffers and accessors, with every size checked before memory is taken.

Spec: Khronos "glTF 2.0" (GLB container section 4, accessors 3.6), KHR_mesh_quantization (integer attributes as positions).
Reads only the file itself, data URIs and buffers that lie in the file's own folder. Nothing is fetched, nothing is run.
Bytes are handed on as views of what was read, never as copies: a thousand buffer views over one buffer take no more than the buffer.
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
from dataset.sources.draco import Decoded, decode_all
from dataset.sources.limits import MAX_FILE, read_file
from dataset.sources.meshopt import decode_view

COMPONENTS = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
SHAPES = {"SCALAR": (), "VEC2": (2,), "VEC3": (3,), "VEC4": (4,), "MAT4": (4, 4)}
MAX_ELEMENTS = 40_000_000  # of one accessor
MAX_ZEROS = 1_000_000      # elements that a (sparse) accessor claims without a byte behind them
MAX_VALUES = 5_000_000     # of the JSON: numbers, lists and objects take a hundred times their text
MAX_UNPACKED = 1 << 30     # bytes of all compressed views together
LARGEST = 1 << 53          # what JSON can say exactly
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
        text, self.binary = self._split(memoryview(read_file(self.path)))
        self.document = self._parse(text)
        with self.guard():
            self._check_version_and_extensions()
        self._buffers: dict[int, memoryview] = {}
        self._files: dict[Path, memoryview] = {}
        self._views: dict[int, tuple[memoryview, int]] = {}
        self._unpacked: dict[tuple, memoryview] = {}
        self._draco: dict[int, Decoded] = {}

    def fail(self, what: str) -> AssetError:
        return AssetError(f"{self.name}: {what}")

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Whatever a malformed document makes Python raise inside leaves as an AssetError of this file."""
        try:
            with np.errstate(all="ignore"):  # numbers beyond float64 become infinity or NaN, which the finished asset may not have
                yield
        except AssetError:
            raise
        except MemoryError as error:
            raise self.fail("needs more memory than there is: simplify it first") from error
        except (KeyError, TypeError, IndexError, AttributeError, ValueError, ArithmeticError, RecursionError) as error:
            raise self.fail(f"broken glTF structure ({type(error).__name__}: {error})") from error

    def _split(self, data: memoryview) -> tuple[memoryview, memoryview | None]:
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

    def _parse(self, view: memoryview) -> dict:
        text = bytes(view)
        if sum(map(text.count, (b",", b"[", b"{"))) > MAX_VALUES:
            raise self.fail(f"its JSON holds more than {MAX_VALUES} values: simplify it first")
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
        if not isinstance(entries, list):
            raise self.fail(f"{kind} must be a list")
        if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < len(entries):
            raise self.fail(f"{kind}[{index!r}] does not exist: there are {len(entries)}")
        if not isinstance(entries[index], dict):
            raise self.fail(f"{kind}[{index}] must be an object")
        return entries[index]

    def size(self, entry: dict, key: str, default: int | None = None) -> int:
        """A byte count or offset: a whole number >= 0."""
        value = entry.get(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= LARGEST:
            raise self.fail(f"{key} is {value!r}, must be a whole number >= 0")
        return value

    def buffer(self, index: int) -> memoryview:
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

    def _data_uri(self, uri: str) -> memoryview:
        head, _, body = uri.partition(",")
        if not head.endswith(";base64"):
            raise self.fail(f"data URI {head[:40]!r} is not base64")
        try:
            return memoryview(base64.b64decode(body, validate=True))
        except (binascii.Error, ValueError) as error:  # ValueError: letters that are not ASCII
            raise self.fail(f"broken base64 in a data URI ({error})") from None

    def neighbour(self, uri: str, what: str = "buffer") -> memoryview:
        """The bytes of a file in this file's own folder (or below), read once whatever names it has.

        Links and '..' must not lead out of the folder, and hidden files are nobody's buffers.
        """
        target = self.beside(uri, what)
        if target not in self._files:
            if not target.is_file():
                raise self.fail(f"{what} {uri[:80]!r} is missing: keep it beside the .gltf")
            held = sum(map(len, self._files.values()))
            self._files[target] = memoryview(read_file(target, MAX_FILE - held, f"{self.name}: {what} {uri[:80]!r}"))
        return self._files[target]

    def beside(self, uri: str, what: str = "buffer") -> Path:
        """Where a URI leads, with links followed: a path inside this file's own folder, whether or not a file is there."""
        if "://" in uri or uri.startswith(("//", "file:")):
            raise self.fail(f"{what} {uri[:80]!r} lies elsewhere: nothing is fetched; save it beside the file")
        try:
            folder = self.path.resolve().parent
            target = (folder / unquote(uri)).resolve()
            inside = target.is_relative_to(folder) and target.stat() is not None
        except FileNotFoundError:
            inside = target.is_relative_to(folder)
        except (OSError, RuntimeError, ValueError) as error:  # too long, no permission; links in a ring; a zero byte
            raise self.fail(f"{what} {uri[:80]!r} cannot be read ({getattr(error, 'strerror', None) or error})") from None
        if not inside:
            raise self.fail(f"{what} {uri[:80]!r} points outside the file's folder: refused")
        if any(part.startswith(".") for part in target.relative_to(folder).parts):
            raise self.fail(f"{what} {uri[:80]!r} is a hidden file: refused")
        return target

    def view(self, index: int) -> tuple[memoryview, int]:
        """Bytes and stride (0: tightly packed) of bufferView `index`, decompressed where EXT_meshopt_compression says so."""
        if index not in self._views:
            entry = self.entry("bufferViews", index)
            packed = entry.get("extensions", {}).get("EXT_meshopt_compression")
            self._views[index] = (self._slice(entry, index), self.size(entry, "byteStride", 0)) if packed is None \
                else self._unpack(packed, index)
        return self._views[index]

    def _slice(self, entry: dict, index: int) -> memoryview:
        buffer = self.buffer(entry.get("buffer"))
        start, length = self.size(entry, "byteOffset", 0), self.size(entry, "byteLength")
        if start + length > len(buffer):
            raise self.fail(f"bufferView {index} ends at byte {start + length} of a buffer of {len(buffer)}")
        return buffer[start:start + length]

    def _unpack(self, packed: dict, index: int) -> tuple[memoryview, int]:
        count, stride = self.size(packed, "count"), self.size(packed, "byteStride")
        if count > MAX_ELEMENTS or not 1 <= stride <= 256:
            raise self.fail(f"bufferView {index}: {count} elements of {stride} bytes are refused")
        data, mode, kind = self._slice(packed, index), packed.get("mode"), packed.get("filter", "NONE")
        key = (packed["buffer"], packed.get("byteOffset", 0), len(data), count, stride, mode, kind)
        if key not in self._unpacked:
            self._check_unpacked(key, index)
            try:
                self._unpacked[key] = memoryview(decode_view(data, count, stride, mode, kind))
            except ValueError as error:
                raise self.fail(f"bufferView {index}: broken meshopt data ({error})") from None
        return self._unpacked[key], stride

    def _check_unpacked(self, key: tuple, index: int) -> None:
        """Before a compressed view is unpacked: all of them fit into memory, and none repeats the bytes of others."""
        keys = [*self._unpacked, key]
        if sum(k[3] * k[4] for k in keys) > MAX_UNPACKED:
            raise self.fail(f"bufferView {index}: compressed views of more than {MAX_UNPACKED >> 20} MiB: simplify it first")
        if sum(k[2] for k in keys) > sum(map(len, self._buffers.values())):
            raise self.fail(f"bufferView {index}: its compressed views overlap: export it again")

    def draco(self, *views: int) -> Decoded:
        """What the Draco data of the first of these bufferViews decodes to. All of them are decoded at once, which saves time."""
        fresh = [view for view in dict.fromkeys(views) if view not in self._draco]
        if fresh:
            data = [self.view(view)[0] for view in fresh]
            if sum(map(len, data)) > sum(map(len, self._buffers.values())) + sum(map(len, self._unpacked.values())):
                raise self.fail("its draco data overlaps: export it again")
            try:
                self._draco |= zip(fresh, decode_all(data))
            except ValueError as error:
                raise self.fail(f"broken draco data ({error})") from None
        return self._draco[views[0]]

    def accessor(self, index: int, most: int | None = None) -> np.ndarray:
        """Values of accessor `index`: (count, *shape), float32 when normalised, else of the file's own type; MAT4 as rows.

        most: only so many of its first elements are wanted.
        """
        entry = self.entry("accessors", index)
        kind, shape, count = COMPONENTS.get(entry.get("componentType")), SHAPES.get(entry.get("type")), self.size(entry, "count")
        if kind is None or shape is None:
            raise self.fail(f"accessor {index}: {entry.get('type')!r} of component {entry.get('componentType')!r} is not read here")
        if count > MAX_ELEMENTS:
            raise self.fail(f"accessor {index} claims {count} elements, more than the {MAX_ELEMENTS} allowed")
        wanted = count if most is None else min(count, most)
        if "bufferView" in entry:
            values = self._strided(entry["bufferView"], self.size(entry, "byteOffset", 0), count, np.dtype(kind), shape, index, wanted)
        elif wanted > MAX_ZEROS:
            raise self.fail(f"accessor {index} claims {wanted} elements and has no bytes for them")
        else:
            values = np.zeros((wanted, *shape), kind)
        if "sparse" in entry:
            values = self._sparse(values, entry["sparse"], index, count)
        if values.ndim == 3:
            values = values.transpose(0, 2, 1)  # the file is column by column
        return normalise(values) if entry.get("normalized") else values

    def _strided(self, view: int, offset: int, count: int, dtype: np.dtype, shape: tuple, index: int, wanted: int) -> np.ndarray:
        data, stride = self.view(view)
        size = dtype.itemsize * int(np.prod(shape, dtype=int))
        stride = stride or size
        if stride < size:
            raise self.fail(f"accessor {index}: stride {stride} is smaller than an element of {size} bytes")
        if count and offset + stride * (count - 1) + size > len(data):
            raise self.fail(f"accessor {index} needs {offset + stride * (count - 1) + size} bytes of a view of {len(data)}")
        inner = tuple(dtype.itemsize * int(np.prod(shape[k + 1:], dtype=int)) for k in range(len(shape)))
        return np.ndarray((wanted, *shape), dtype, data, offset, (stride, *inner)).copy() if wanted else np.zeros((0, *shape), dtype)

    def _sparse(self, values: np.ndarray, sparse: dict, index: int, length: int) -> np.ndarray:
        """values with those of a sparse part in their places. length: elements of the accessor, of which values are the first."""
        count, where, what = self.size(sparse, "count"), sparse["indices"], sparse["values"]
        kind = COMPONENTS.get(where.get("componentType"), "<f4")
        if count > length or kind[1] != "u":
            raise self.fail(f"accessor {index}: broken sparse part ({count} of {length} elements)")
        rows = self._strided(where.get("bufferView"), self.size(where, "byteOffset", 0), count, np.dtype(kind), (), index, count)
        if count and int(rows.max()) >= length:
            raise self.fail(f"accessor {index}: sparse index {int(rows.max())} of {length} elements")
        new = self._strided(what.get("bufferView"), self.size(what, "byteOffset", 0), count, values.dtype, values.shape[1:], index, count)
        kept = rows < len(values)
        values[rows[kept]] = new[kept]
        return values


def normalise(values: np.ndarray) -> np.ndarray:
    """Integers that stand for [0, 1] or [-1, 1]: f = c / max, and -1 at the lowest signed value (glTF 3.6.2.2)."""
    if values.dtype.kind == "f":
        return values
    return np.maximum(values / np.float64(np.iinfo(values.dtype).max), -1.0).astype(np.float32)
