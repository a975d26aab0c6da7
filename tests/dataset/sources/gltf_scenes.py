"""Scenes for the glTF tests: arrays packed into a document, so that each test shows only the part of the format it is about."""

import json
import struct

import numpy as np

from dataset.sources.gltf_container import COMPONENTS

TRIANGLE_V3 = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], "f4")
TYPES = {(): "SCALAR", (2,): "VEC2", (3,): "VEC3", (4,): "VEC4", (16,): "MAT4"}


def build(arrays: dict, **document) -> tuple[dict, bytes]:
    """A document whose accessor k holds the k-th array; `document` adds nodes, meshes and so on."""
    binary, views, accessors = b"", [], []
    kinds = {np.dtype(kind): code for code, kind in COMPONENTS.items()}
    for k, array in enumerate(arrays.values()):
        views.append({"buffer": 0, "byteOffset": len(binary), "byteLength": array.nbytes})
        accessors.append({"bufferView": k, "componentType": kinds[array.dtype], "count": len(array), "type": TYPES[array.shape[1:]]})
        binary += array.tobytes() + b"\0" * (-array.nbytes % 4)
    base = {"asset": {"version": "2.0"}, "scene": 0, "scenes": [{"nodes": [0]}], "accessors": accessors, "bufferViews": views,
            "buffers": [{"byteLength": len(binary)}], "nodes": [{"mesh": 0}],
            "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}]}
    return base | document, binary


def pack(document: dict, binary: bytes) -> bytes:
    """A GLB, even of a document that no writer would let pass (Infinity, say)."""
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    head = struct.pack("<4sII", b"glTF", 2, 28 + len(text) + len(binary))
    return head + struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(binary), b"BIN\0") + binary


def save(path, document: dict, binary: bytes):
    path.write_bytes(pack(document, binary))
    return path


def rigged(names, translations=None, extra=()) -> tuple[dict, bytes]:
    """A skinned triangle; every bone hangs on the first and stands at (.3 k, .3 k + .1, .3 k + .2), or at its translation.

    Node 0 is the root, 1 the mesh, 2 + k bone k; `extra` nodes follow.
    """
    count = len(names)
    place = np.arange(3 * count, dtype="f4").reshape(count, 3) / 10 if translations is None else np.asarray(translations, "f4")
    inverse = np.tile(np.eye(4, dtype="f4"), (count, 1, 1))
    inverse[:, 3, :3] = -place
    joints = np.zeros((3, 4), "u1")
    joints[:, :2] = [[0, 1], [1, 2], [2, count - 1]]
    weights = np.array([[.25, .75, 0, 0], [1, 0, 0, 0], [.5, .5, 0, 0]], "f4")
    nodes = [{"children": [1, 2]}, {"mesh": 0, "skin": 0}]
    for k, name in enumerate(names):
        at = place[k] - (place[0] if k else 0)
        nodes.append({"name": name, "translation": at.tolist()})
    nodes[2]["children"] = list(range(3, 2 + count))
    attributes = {"POSITION": 0, "JOINTS_0": 1, "WEIGHTS_0": 2}
    return build({"p": TRIANGLE_V3, "j": joints, "w": weights, "b": inverse.reshape(-1, 16)}, nodes=nodes + list(extra),
                 meshes=[{"primitives": [{"attributes": attributes}]}],
                 skins=[{"joints": list(range(2, 2 + count)), "inverseBindMatrices": 3}])
