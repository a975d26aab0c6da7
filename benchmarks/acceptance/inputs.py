"""Fifty characters by seed as users' files: humans and mascots without a rig, in the shapes that files come in.

Letters: V vertices, F faces.
"""

import struct
import zlib
from pathlib import Path

import DracoPy
import numpy as np

from dataset.sources.draco import decode_draco
from dataset.sources.humans import generate
from dataset.sources.mascots import generate_mascot
from geometry.kinematics import rotvec_to_matrix
from geometry.similarity import Y_UP_TO_Z_UP
from rigging.animation import Clip
from rigging.bvh_export import write_bvh
from rigging.gltf_file import ARRAY_BUFFER, INDEX_BUFFER, GltfFile
from rigging.rig import CharacterRig

FIRST_SEED = 40_000    # far from the seeds that training and validation draw
SQUARE = 8             # pixels of the texture


def write_characters(folder: Path, count: int) -> list[Path]:
    """count files, humans and mascots in turn; each way of writing gets its share of both. The same count gives the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for k in range(count):
        human, number = k % 2 == 0, k // 2
        asset = (generate if human else generate_mascot)(FIRST_SEED + number)
        write, suffix = WAYS[number % len(WAYS)]
        paths.append(folder / f"{'human' if human else 'mascot'}_{number:02d}_{write.__name__}{suffix}")
        write(paths[-1], np.float32(asset.vertices_V3), np.asarray(asset.faces_F3), np.float32(asset.normals_V3))
    return paths


def textured(path: Path, vertices_V3: np.ndarray, faces_F3: np.ndarray, normals_V3: np.ndarray) -> None:
    """UVs, a picture, two materials: the upper half of the faces is a primitive of its own over the same vertices."""
    file = _with_mesh(vertices_V3, normals_V3)
    low_3, size_3 = vertices_V3.min(0), np.ptp(vertices_V3, 0)
    attributes = file.document["meshes"][0]["primitives"][0]["attributes"]
    attributes["TEXCOORD_0"] = file.accessor((vertices_V3 - low_3)[:, :2] / size_3[:2], "VEC2", ARRAY_BUFFER)
    file.append("images", {"mimeType": "image/png", "bufferView": file.view(checked_png()), "name": "squares"})
    file.append("textures", {"source": 0})
    for name, colour in (("trousers", [.6, .7, 1, 1]), ("shirt", [1, .9, .7, 1])):
        file.append("materials", {"name": name, "extras": {"from": "a test"}, "pbrMetallicRoughness": {
            "baseColorTexture": {"index": 0}, "baseColorFactor": colour, "metallicFactor": 0}})
    upper_F = vertices_V3[faces_F3].mean(1)[:, 1] > low_3[1] + size_3[1] / 2
    file.document["meshes"][0]["primitives"] = [
        {"attributes": dict(attributes), "indices": _indices(file, faces_F3[part_F]), "material": k}
        for k, part_F in enumerate((~upper_F, upper_F)) if part_F.any()]
    file.write(path)


def nested(path: Path, vertices_V3: np.ndarray, faces_F3: np.ndarray, normals_V3: np.ndarray) -> None:
    """Centimetres under a node that scales to metres and turns back what the node above it turned."""
    file = _with_mesh(vertices_V3 * 100, normals_V3)
    file.document["meshes"][0]["primitives"][0]["indices"] = _indices(file, faces_F3)
    file.document["nodes"] = [{"name": "scene", "rotation": [0, 0.6, 0, 0.8], "children": [1], "extras": {"kept": True}},
                              {"name": "body", "mesh": 0, "rotation": [0, -0.6, 0, 0.8], "scale": [0.01, 0.01, 0.01]}]
    file.write(path)


def draco(path: Path, vertices_V3: np.ndarray, faces_F3: np.ndarray, normals_V3: np.ndarray) -> None:
    """KHR_draco_mesh_compression, positions of 14 bits."""
    blob = DracoPy.encode(vertices_V3, faces_F3.astype(np.uint32), quantization_bits=14)
    values, faces = decode_draco(blob)
    (place, points_V3), = values.items()
    file = GltfFile.empty()
    file.document["accessors"] = [
        {"componentType": 5126, "count": len(points_V3), "type": "VEC3", "min": points_V3.min(0).tolist(),
         "max": points_V3.max(0).tolist()},
        {"componentType": 5125, "count": int(np.size(faces)), "type": "SCALAR"}]
    packed = {"bufferView": file.view(blob), "attributes": {"POSITION": place}}
    file.append("meshes", {"name": "figure", "primitives": [{"attributes": {"POSITION": 0}, "indices": 1, "extensions": {
        "KHR_draco_mesh_compression": packed}}]})
    file.document |= {"extensionsUsed": ["KHR_draco_mesh_compression"], "extensionsRequired": ["KHR_draco_mesh_compression"]}
    _show(file)
    file.write(path)


def wavefront(path: Path, vertices_V3: np.ndarray, faces_F3: np.ndarray, normals_V3: np.ndarray) -> None:
    """OBJ, Y up."""
    lines = [f"v {x:.7g} {y:.7g} {z:.7g}" for x, y, z in vertices_V3.tolist()]
    path.write_text("\n".join(lines + [f"f {a} {b} {c}" for a, b, c in (faces_F3 + 1).tolist()]) + "\n")


def polygon(path: Path, vertices_V3: np.ndarray, faces_F3: np.ndarray, normals_V3: np.ndarray) -> None:
    """Binary PLY, Z up."""
    head = (f"ply\nformat binary_little_endian 1.0\nelement vertex {len(vertices_V3)}\n"
            "property float x\nproperty float y\nproperty float z\n"
            f"element face {len(faces_F3)}\nproperty list uchar int vertex_indices\nend_header\n")
    rows = np.zeros(len(faces_F3), [("count", "u1"), ("corners", "<i4", 3)])
    rows["count"], rows["corners"] = 3, faces_F3
    path.write_bytes(head.encode() + (vertices_V3 @ Y_UP_TO_Z_UP.T).astype("<f4").tobytes() + rows.tobytes())


WAYS = ((textured, ".glb"), (nested, ".glb"), (wavefront, ".obj"), (draco, ".glb"), (polygon, ".ply"))


def write_dance(path: Path) -> None:
    """A BVH of half a second: arms, legs and spine swing while the figure walks on and turns."""
    human, time_T = generate(FIRST_SEED).with_joints(22), np.arange(16) / 30
    rng, turn_TJ33 = np.random.default_rng(0), np.empty((16, 22, 3, 3))
    for j, parent in enumerate(human.parents):
        swing_T3 = np.sin(time_T[:, None] * rng.uniform(2, 6, 3) + rng.uniform(0, 6, 3)) * (1.0 if "arm" in human.names[j] else 0.4)
        own_T33 = rotvec_to_matrix(swing_T3)
        turn_TJ33[:, j] = own_T33 if parent is None else turn_TJ33[:, parent] @ own_T33
    rig = CharacterRig(np.float64(human.joints_J3), human.parents, human.names, human.skin_VJ, Y_UP_TO_Z_UP)
    write_bvh(path, rig, Clip(turn_TJ33, np.stack([0.2 * time_T, 0.1 * np.sin(9 * time_T), time_T], 1), 30.0, "dance"))


def _with_mesh(vertices_V3: np.ndarray, normals_V3: np.ndarray) -> GltfFile:
    """One primitive without indices."""
    file = GltfFile.empty()
    file.append("meshes", {"name": "figure", "primitives": [{"attributes": {
        "POSITION": file.accessor(np.float32(vertices_V3), "VEC3", ARRAY_BUFFER, bounds=True),
        "NORMAL": file.accessor(_unit(normals_V3), "VEC3", ARRAY_BUFFER)}}]})
    _show(file)
    return file


def _show(file: GltfFile) -> None:
    file.append("nodes", {"name": "figure", "mesh": 0})
    file.document["scenes"][0]["nodes"] = [0]


def _indices(file: GltfFile, faces_F3: np.ndarray) -> int:
    kind = "<u2" if faces_F3.max() < 65535 else "<u4"
    return file.accessor(faces_F3.astype(kind).ravel(), "SCALAR", INDEX_BUFFER)


def _unit(normals_V3: np.ndarray) -> np.ndarray:
    length_V1 = np.linalg.norm(normals_V3, axis=1, keepdims=True)
    return np.where(length_V1 > 0.5, normals_V3 / np.maximum(length_V1, 0.5), np.float32([0, 1, 0])).astype(np.float32)


def checked_png() -> bytes:
    """A small picture of squares."""
    shade = (np.indices((SQUARE, SQUARE)).sum(0) % 2 * 120 + 120).astype(np.uint8)
    rows = np.c_[np.zeros(SQUARE, np.uint8), np.repeat(shade, 3, 1)]  # each row: no filter, then its pixels

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", SQUARE, SQUARE, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(rows.tobytes())) + chunk(b"IEND", b""))
