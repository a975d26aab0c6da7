"""A glTF 2.0 file in memory, to be added to: what was read stays as it is, what is new comes after it, and it leaves as one GLB.

Spec: Khronos "glTF 2.0" (buffers 3.6.1, images 3.8.3, GLB section 4), EXT_meshopt_compression (fallback buffers without bytes).
"""

import struct
from contextlib import nullcontext
from copy import deepcopy
from pathlib import Path

import numpy as np

from dataset.asset import AssetError
from dataset.exporter import pack_glb, write_atomically
from dataset.sources.gltf_container import COMPONENTS, Container
from dataset.sources.limits import MAX_FILE

ARRAY_BUFFER, INDEX_BUFFER = 34962, 34963
_COMPONENT_OF = {np.dtype(kind): code for code, kind in COMPONENTS.items()}
_MAGIC = ((b"\x89PNG", 0, "image/png"), (b"\xff\xd8\xff", 0, "image/jpeg"), (b"WEBP", 8, "image/webp"), (b"\xabKTX 20", 0, "image/ktx2"),
          (b"ftypavif", 4, "image/avif"), (b"DDS ", 0, "image/vnd-ms.dds"))


class GltfFile:
    """document: the JSON object; binary: the bytes of its first buffer, which is the GLB's binary chunk.

    container: the file as it was read, None for one made here. The indices of its views and accessors hold here too.
    notes: sentences about what could not be taken along (a picture that is missing).
    """

    def __init__(self, document: dict, binary: bytes | bytearray = b"", container: Container | None = None):
        self.document, self.binary, self.container, self.notes = document, bytearray(binary), container, []

    @classmethod
    def empty(cls) -> "GltfFile":
        """A scene without a node."""
        return cls({"asset": {"version": "2.0", "generator": "TransRefiner"}, "scene": 0, "scenes": [{"nodes": []}]})

    @classmethod
    def read(cls, path: str | Path) -> "GltfFile":
        """A .glb, .gltf or .vrm file with everything that lies beside it: buffers and pictures become part of it.

        Buffers are laid one after the other; views keep their bytes and indices. Pictures in data URIs stay where they are.
        Raises: AssetError naming the file: unreadable, cut short, or a buffer that is missing or lies elsewhere.
        """
        container = Container(path)
        with container.guard():
            file = cls(deepcopy(container.document), b"", container)  # the container keeps its own, to be read from
            file._take_buffers()
            file._take_pictures()
        return file

    def append(self, kind: str, entry: dict) -> int:
        """document[kind] grows by entry; its index. kind: "nodes", "meshes", "skins", "materials" ..."""
        entries = self.document.setdefault(kind, [])
        entries.append(entry)
        return len(entries) - 1

    def use_extension(self, name: str) -> None:
        """Say that the file uses an extension (nobody is required to know it)."""
        used = self.document.setdefault("extensionsUsed", [])
        if name not in used:
            used.append(name)

    def view(self, data: bytes, target: int | None = None, stride: int | None = None) -> int:
        """The bytes as a new buffer view, 4-aligned; its index. Raises: AssetError over 4 GiB."""
        if len(self.binary) + len(data) + 4 > MAX_FILE:
            raise self.fail("does not fit into the 4 GiB of a GLB: make its pictures or meshes smaller")
        self.binary += b"\0" * (-len(self.binary) % 4)
        entry = {"buffer": 0, "byteOffset": len(self.binary), "byteLength": len(data)}
        entry |= {key: value for key, value in (("byteStride", stride), ("target", target)) if value is not None}
        self.binary += data
        return self.append("bufferViews", entry)

    def accessor(self, array: np.ndarray, kind: str, target: int | None = None, bounds: bool = False) -> int:
        """The array as a new accessor over a buffer view of its own; its index.

        array (count,) or (count, width): float32 or integers of at most 32 bits as the file shall hold them. kind: "SCALAR" to
        "MAT4" (16 wide, column by column). target: ARRAY_BUFFER for vertices, INDEX_BUFFER for indices, None for the rest.
        bounds: store min and max (positions and the times of an animation must have them).
        Raises: ValueError for a type that glTF does not have, an empty array, or bounds that are not finite.
        """
        component = _COMPONENT_OF.get(array.dtype.newbyteorder("<"))
        if component is None or not array.size:
            raise ValueError(f"a glTF accessor cannot hold {array.dtype} of shape {array.shape}")
        entry = {"bufferView": None, "componentType": component, "count": len(array), "type": kind}
        if bounds:
            low, high = np.atleast_1d(array.min(0)), np.atleast_1d(array.max(0))
            if not (np.isfinite(low).all() and np.isfinite(high).all()):
                raise ValueError("positions or times of a glTF must be finite")
            entry |= {"min": low.tolist(), "max": high.tolist()}
        entry["bufferView"] = self.view(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes(), target)
        return self.append("accessors", entry)

    def pack(self) -> bytes:
        """The GLB. Same content, same bytes. Raises: AssetError over 4 GiB, or for numbers and text that JSON cannot hold."""
        if self.binary:
            self.document["buffers"] = self.document.get("buffers") or [{}]
            self.document["buffers"][0]["byteLength"] = len(self.binary)
        try:
            return pack_glb(self.document, self.binary)
        except struct.error:
            raise self.fail(f"{len(self.binary)} bytes do not fit into a GLB: make its pictures or meshes smaller") from None
        except (ValueError, RecursionError) as error:  # NaN, Infinity, half a UTF-16 pair in a name
            raise self.fail(f"holds what JSON cannot say ({error}): export it again") from None

    def write(self, path: str | Path) -> None:
        """The GLB at path, whole or not at all."""
        write_atomically(path, self.pack())

    def fail(self, what: str) -> AssetError:
        """The error to raise, with the file's name where it has one."""
        return self.container.fail(what) if self.container else AssetError(what)

    def guard(self):
        """As Container.guard: what a malformed document makes Python raise leaves as an AssetError of this file."""
        return self.container.guard() if self.container else nullcontext()

    def _take_buffers(self) -> None:
        """All buffers with bytes become one, the first; meshopt's fallback buffers, which have none, follow it."""
        old = self.document.get("buffers", [])
        if not old:
            return
        void = [k for k in range(len(old)) if self._is_void(k)]
        full = sorted(set(range(len(old))) - set(void))
        if sum(self.container.size(old[k], "byteLength") for k in full) >= 1 << 32:  # one file may be named a thousand times
            raise self.fail("its buffers hold more than 4 GiB, the most that a GLB can")
        place = {k: (1 + n, 0) for n, k in enumerate(void)}
        for k in full:
            self.binary += b"\0" * (-len(self.binary) % 4)
            place[k] = (0, len(self.binary))
            self.binary += self.container.buffer(k)
        merged = {key: value for key, value in old[full[0]].items() if key != "uri"} if full else {}
        self.document["buffers"] = [merged | {"byteLength": len(self.binary)}] + [old[k] for k in void]
        for view in self.document.get("bufferViews", []):
            for part in (view, *(p for p in view.get("extensions", {}).values() if "buffer" in p)):
                index, offset = place[part["buffer"]]
                part["buffer"] = index
                if offset:
                    part["byteOffset"] = part.get("byteOffset", 0) + offset

    def _is_void(self, index: int) -> bool:
        entry = self.container.entry("buffers", index)
        return "uri" not in entry and not (index == 0 and self.container.binary is not None)

    def _take_pictures(self) -> None:
        """Pictures beside the file become views, each once; what cannot be had stays named as it is, and a note says so."""
        taken: dict[object, dict] = {}
        for image in self.document.get("images", []):
            uri = image.get("uri")
            if uri is None or uri.startswith("data:"):
                continue
            place = self._place(uri)
            if place not in taken:
                taken[place] = self._picture(uri)
            if taken[place]:
                del image["uri"]
                image |= taken[place]

    def _place(self, uri: str) -> object:
        """What all names of one picture have in common."""
        try:
            return self.container.beside(uri, "picture")
        except AssetError:
            return uri

    def _picture(self, uri: str) -> dict:
        """What names the embedded picture, or nothing."""
        try:
            data = self.container.neighbour(uri, "picture")
        except AssetError as error:
            self.notes.append(str(error))
            return {}
        kind = next((mime for magic, at, mime in _MAGIC if data[at:at + len(magic)] == magic), None)
        if kind is None:
            self.notes.append(str(self.container.fail(f"picture {uri[:80]!r} is of no known kind: not embedded")))
            return {}
        return {"mimeType": kind, "bufferView": self.view(data)}
