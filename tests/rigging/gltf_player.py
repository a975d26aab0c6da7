"""glTF's semantics read from the specification a second time, from the bytes of a GLB: node tree, animation samplers, skins.

Slow and plain on purpose: it shares no code with the writer. Spec: Khronos "glTF 2.0" 3.5.3, 3.7.3, 3.11.
"""

import json
import struct

import numpy as np

_DTYPE = {5121: "u1", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_WIDE = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}


class Player:
    def __init__(self, glb: bytes):
        length = struct.unpack_from("<I", glb, 12)[0]
        self.document = json.loads(glb[20:20 + length])
        self.binary = glb[20 + length + 8:]

    def array(self, index: int) -> np.ndarray:
        entry = self.document["accessors"][index]
        view = self.document["bufferViews"][entry["bufferView"]]
        kind, wide = np.dtype(_DTYPE[entry["componentType"]]), _WIDE[entry["type"]]
        start, stride = view.get("byteOffset", 0) + entry.get("byteOffset", 0), view.get("byteStride", kind.itemsize * wide)
        rows = [np.frombuffer(self.binary, kind, wide, start + k * stride) for k in range(entry["count"])]
        return np.stack(rows).squeeze(1) if wide == 1 else np.stack(rows)

    def worlds(self, animation: int | None = None, time: float = 0.0) -> dict[int, np.ndarray]:
        """Node -> world matrix at a time of an animation, or at rest."""
        nodes = [dict(node) for node in self.document["nodes"]]
        for channel in () if animation is None else self.document["animations"][animation]["channels"]:
            sampler = self.document["animations"][animation]["samplers"][channel["sampler"]]
            assert sampler.get("interpolation", "LINEAR") == "LINEAR" and "matrix" not in nodes[channel["target"]["node"]]
            nodes[channel["target"]["node"]][channel["target"]["path"]] = self._sample(sampler, time, channel["target"]["path"])
        out, stack = {}, [(node, np.eye(4)) for node in self.document["scenes"][self.document.get("scene", 0)]["nodes"]]
        while stack:
            number, above_44 = stack.pop()
            assert number not in out
            out[number] = above_44 @ local(nodes[number])
            stack += [(child, out[number]) for child in nodes[number].get("children", [])]
        return out

    def _sample(self, sampler: dict, time: float, path: str) -> np.ndarray:
        times, values = self.array(sampler["input"]), self.array(sampler["output"]).astype(np.float64)
        k = int(np.clip(np.searchsorted(times, time, side="right") - 1, 0, len(times) - 1))
        if k == len(times) - 1 or time <= times[0]:
            return values[k]
        part = (time - times[k]) / (times[k + 1] - times[k])
        a, b = values[k], values[k + 1]
        if path != "rotation":
            return a + part * (b - a)
        dot = a @ b
        b, dot = (b, dot) if dot >= 0 else (-b, -dot)
        angle = np.arccos(min(dot, 1.0))
        mixed = a + part * (b - a) if angle < 1e-6 else (np.sin((1 - part) * angle) * a + np.sin(part * angle) * b) / np.sin(angle)
        return mixed / np.linalg.norm(mixed)

    def vertices(self, node: int, worlds: dict[int, np.ndarray]) -> np.ndarray:
        """The first primitive of a skinned node, vertex by vertex as 3.7.3 says."""
        entry = self.document["nodes"][node]
        attributes = self.document["meshes"][entry["mesh"]]["primitives"][0]["attributes"]
        skin = self.document["skins"][entry["skin"]]
        bind = [matrix.reshape(4, 4).T.astype(np.float64) for matrix in self.array(skin["inverseBindMatrices"])]
        matrices = np.stack([worlds[joint] @ inverse for joint, inverse in zip(skin["joints"], bind)])
        place_V3 = self.array(attributes["POSITION"]).astype(np.float64)
        place = np.c_[place_V3, np.ones(len(place_V3))]
        out, k = np.zeros((len(place), 4)), 0
        while f"JOINTS_{k}" in attributes:
            joints, weights = self.array(attributes[f"JOINTS_{k}"]), self.array(attributes[f"WEIGHTS_{k}"]).astype(np.float64)
            for slot in range(4):
                out += weights[:, slot, None] * np.einsum("vij,vj->vi", matrices[joints[:, slot]], place)
            k += 1
        return out[:, :3]


def local(node: dict) -> np.ndarray:
    if "matrix" in node:
        return np.array(node["matrix"], float).reshape(4, 4).T
    x, y, z, w = np.array(node.get("rotation", (0, 0, 0, 1)), float)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    out = np.eye(4)
    out[:3, :3] = (np.eye(3) + 2 * w * cross + 2 * cross @ cross) * np.array(node.get("scale", (1, 1, 1)), float)
    out[:3, 3] = node.get("translation", (0, 0, 0))
    return out
