"""Odd glTF scenes, a random rig for any of them, and two judges: what must not have changed, and glTF's own skinning formula."""

import base64
import json
from copy import deepcopy

import DracoPy
import numpy as np

from dataset.asset import Asset
from dataset.exporter import strongest_weights
from dataset.format import skeleton
from dataset.sources.draco import decode_draco
from dataset.sources.gltf import _attributes, read_parts
from dataset.sources.gltf_container import Container
from dataset.sources.gltf_scene import Scene, local_matrix
from geometry.kinematics import forward_kinematics, homogeneous, rotation_uniform, rotvec_to_matrix
from geometry.similarity import Y_UP_TO_Z_UP
from geometry.skinning import linear_blend_skinning, skin_transforms
from rigging.rig import CharacterRig
from rigging.scene_binding import weld
from tests.dataset.sources.gltf_scenes import TRIANGLE_V3, build, rigged, save
from tests.dataset.sources.test_meshopt import INDICES, packed_document
from tests.rigging.untouched import assert_untouched, find  # noqa: F401 (scenes.assert_untouched)

SQUARE_V3 = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, .5], [.5, .5, 2], [1, 0, 0]], "f4")  # the last stands on the second
PIXEL = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")


def random_rig(asset: Asset, seed: int = 0, joints: int = 22) -> CharacterRig:
    """Joints anywhere in the asset's box, any rest frames, peaked weights: nothing that a formula could get right by luck."""
    rng, bones = np.random.default_rng(seed), skeleton(joints)
    low_3, size_3 = asset.vertices_V3.min(0), np.ptp(asset.vertices_V3, 0)
    raw_VJ = rng.random((len(asset.vertices_V3), joints)) ** 12 + 1e-6
    frames_J33 = np.stack([rotation_uniform(rng) for _ in range(joints)])
    return CharacterRig(low_3 + size_3 * rng.random((joints, 3)), bones.parents, bones.names,
                        (raw_VJ / raw_VJ.sum(1, keepdims=True)).astype(np.float32), Y_UP_TO_Z_UP, frames_J33)


def kept_weights(rig: CharacterRig, vertices_V3: np.ndarray, influences: int) -> np.ndarray:
    """(V, J) as they must stand in the file: welded, the strongest few, renormalised."""
    joint_VK, weight_VK = strongest_weights(weld(rig.skin_VJ, vertices_V3), influences)
    kept_VJ = np.zeros(rig.skin_VJ.shape)
    np.add.at(kept_VJ, (np.arange(len(kept_VJ))[:, None], joint_VK), weight_VK)
    return kept_VJ


def random_pose(count: int, seed: int = 1) -> np.ndarray:
    """(J, 3, 3): a turn of each joint in its own rest frame."""
    return np.stack([rotvec_to_matrix(turn_3) for turn_3 in np.random.default_rng(seed).normal(0, .6, (count, 3))])


def skinned_by_us(rig: CharacterRig, vertices_V3: np.ndarray, basis_J33: np.ndarray, influences: int) -> np.ndarray:
    """Posed vertices by geometry/, from the rest vertices that our reader gives."""
    local_J44 = homogeneous(rig.frames(), rig.joints_J3)
    pose_J44 = forward_kinematics(rig.parents, local_J44, homogeneous(basis_J33, np.zeros((len(basis_J33), 3))))
    return linear_blend_skinning(vertices_V3, kept_weights(rig, vertices_V3, influences), skin_transforms(pose_J44, local_J44))


def skinned_by_gltf(path, original, turned: dict[int, np.ndarray]) -> np.ndarray:
    """Posed vertices by glTF 3.7.3 alone, sum_k w_k G_k B_k v, in the order in which our reader reads the original.

    turned: node -> rotation appended to its own transform. Bare meshes would fail: everything must be skinned.
    """
    container, before = Container(path), Container(original)
    nodes, world = container.document["nodes"], {}
    above = {child: k for k, node in enumerate(nodes) for child in node.get("children", [])}

    def place(k: int) -> np.ndarray:
        if k not in world:
            local_44 = local_matrix(container, nodes[k], k) @ homogeneous(turned.get(k, np.eye(3)), np.zeros(3))
            world[k] = place(above[k]) @ local_44 if k in above else local_44
        return world[k]

    out = []
    for part in read_parts(before, Scene(before)):
        source = before.document["meshes"][before.document["nodes"][part.node]["mesh"]]["primitives"][part.primitives[0]]
        node, primitive = find(container, part.node, source)
        values, _ = _attributes(container, primitive)
        skin = container.document["skins"][node["skin"]]
        moved_J44 = np.stack([place(k) for k in skin["joints"]]) @ container.accessor(skin["inverseBindMatrices"])[:len(skin["joints"])]
        sets = sorted(key[7:] for key in values if key.startswith("JOINTS_"))
        slot_VK = np.concatenate([values["JOINTS_" + k] for k in sets], 1)
        weight_VK = np.concatenate([values["WEIGHTS_" + k] for k in sets], 1).astype(np.float64)
        blend_V44 = (weight_VK[..., None, None] * moved_J44[slot_VK]).sum(1)
        local_V4 = np.c_[values["POSITION"], np.ones(len(slot_VK))]
        out.append((blend_V44 @ local_V4[..., None])[:, :3, 0])
    return np.concatenate(out)


# ------------------------------------------------------------------------------------------------ odd scenes

def instanced(folder):
    """One mesh under a turned, a squeezed and a mirrored node, and under one that no scene shows."""
    document, binary = build({"p": SQUARE_V3, "i": np.array([0, 1, 2, 2, 1, 3, 5, 3, 4], "u2")}, meshes=[
        {"name": "leg", "primitives": [{"attributes": {"POSITION": 0}, "indices": 1, "extras": {"a": 1}}], "extras": [1, 2]}], nodes=[
        {"name": "all", "children": [1, 2, 3], "translation": [0, 3, 0], "scale": [2, 2, 2]},
        {"name": "hips", "mesh": 0, "rotation": [0, .6, 0, .8], "translation": [4, 0, 0]},
        {"name": "b", "mesh": 0, "scale": [.01, 3, 1], "extras": "kept"}, {"mesh": 0, "matrix": [-1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 5, 6, 7, 1]},
        {"name": "unseen", "mesh": 0}])
    document["accessors"][0] |= {"min": [0, 0, 0], "max": [1, 1, 2]}
    return save(folder / "instanced.glb", document, binary)


def quantised(folder):
    """KHR_mesh_quantization: normalised shorts, eight bytes apart, scaled up by the node."""
    packed = np.zeros((6, 4), "<i2")
    packed[:, :3] = np.round(SQUARE_V3 / 2 * 32767)
    document, binary = build({"p": packed, "i": np.array([0, 1, 2, 2, 1, 3, 5, 3, 4], "u2")}, nodes=[{"mesh": 0, "scale": [2, 2, 2], "translation": [1, 2, 3]}],
                             meshes=[{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1}]}],
                             extensionsUsed=["KHR_mesh_quantization"], extensionsRequired=["KHR_mesh_quantization"])
    document["accessors"][0] |= {"componentType": 5122, "type": "VEC3", "normalized": True,
                                 "min": packed[:, :3].min(0).tolist(), "max": packed[:, :3].max(0).tolist()}
    document["bufferViews"][0] |= {"byteStride": 8, "target": 34962}
    return save(folder / "quantised.glb", document, binary)


def morphed(folder):
    """Morph targets over sparse positions; their weights are animated, and so is a node."""
    document, binary = build({"p": SQUARE_V3, "where": np.array([2], "u2"), "what": np.array([[0, 1, 3]], "f4"), "t": SQUARE_V3 / 4,
                              "time": np.array([0, 1], "f4"), "w": np.array([0, 1], "f4"), "move": np.array([[0, 0, 0], [1, 0, 0]], "f4"),
                              "i": np.array([0, 1, 2, 2, 1, 3, 5, 3, 4], "u2")},
                             nodes=[{"mesh": 0, "weights": [.25], "translation": [0, 1, 0]}], animations=[{"name": "smile", "samplers": [
                                 {"input": 4, "output": 5}, {"input": 4, "output": 6}], "channels": [
                                 {"sampler": 0, "target": {"node": 0, "path": "weights"}}, {"sampler": 1, "target": {"node": 0, "path": "translation"}}]}],
                             meshes=[{"primitives": [{"attributes": {"POSITION": 0}, "indices": 7, "targets": [{"POSITION": 3}]}], "weights": [0],
                                      "extras": {"targetNames": ["smile"]}}])
    document["accessors"][0] |= {"sparse": {"count": 1, "indices": {"bufferView": 1, "componentType": 5123}, "values": {"bufferView": 2}},
                                 "min": [0, 0, 0], "max": [1, 1, 3]}
    document["accessors"][3] |= {"min": [0, 0, 0], "max": [.25, .25, .5]}
    document["accessors"][4] |= {"min": [0], "max": [1]}
    del document["accessors"][1:3]  # only the sparse part reads these views
    for primitive in document["meshes"][0]["primitives"]:
        primitive |= {"targets": [{"POSITION": 1}], "indices": 5}
    document["animations"][0]["samplers"] = [{"input": 2, "output": 3}, {"input": 2, "output": 4}]
    return save(folder / "morphed.glb", document, binary)


def draco(folder):
    """A grid that its coder orders anew."""
    x, y = np.meshgrid(np.arange(7), np.arange(5))
    points_V3 = np.c_[x.ravel(), y.ravel(), (x * y).ravel() / 9].astype("f4")
    corner = np.array([y * 7 + x for y in range(4) for x in range(6)])[:, None]
    faces_F3 = np.concatenate([corner + [0, 1, 7], corner + [7, 1, 8]]).astype("u4")
    blob = DracoPy.encode(points_V3, faces_F3, quantization_bits=14)
    values, faces = decode_draco(blob)
    packed = {"bufferView": 1, "attributes": {"POSITION": next(iter(values))}}
    document, binary = build({"p": points_V3, "d": np.frombuffer(blob, np.uint8), "i": faces_F3.ravel()}, meshes=[{"primitives": [
        {"attributes": {"POSITION": 0}, "indices": 1, "extensions": {"KHR_draco_mesh_compression": packed}}]}],
        extensionsUsed=["KHR_draco_mesh_compression"], extensionsRequired=["KHR_draco_mesh_compression"])
    document["accessors"] = [{"componentType": 5126, "count": 35, "type": "VEC3", "min": [0, 0, 0], "max": points_V3.max(0).tolist()},
                             {"componentType": 5125, "count": faces_F3.size, "type": "SCALAR"}]
    document["nodes"][0] |= {"scale": [.1, .2, .3]}
    return save(folder / "draco.glb", document, binary)


def meshopt(folder):
    document, binary = packed_document(INDICES, 27, "INDICES")
    document |= {"extensionsUsed": ["EXT_meshopt_compression"], "extensionsRequired": ["EXT_meshopt_compression"]}
    document["buffers"].append({"byteLength": 108, "extensions": {"EXT_meshopt_compression": {"fallback": True}}})
    document["bufferViews"][1]["buffer"] = 1
    document["nodes"][0] |= {"rotation": [.5, .5, .5, .5]}
    points_V3 = np.random.default_rng(0).normal(size=(502, 3)).astype("f4")
    document["accessors"][0] |= {"min": points_V3.min(0).tolist(), "max": points_V3.max(0).tolist()}
    return save(folder / "meshopt.glb", document, binary)


def posed_rig(folder):
    """A skinned figure saved in another pose than its bind pose, animated; a lamp hangs on a joint, and a bare box on another."""
    names = ["hips", "spine", "l_upper_arm", "r_upper_arm", "l_upper_leg", "r_upper_leg"]
    document, binary = rigged(names, extra=[{"name": "lamp", "extras": 7}, {"name": "hat", "mesh": 1, "translation": [0, .1, 0]}])
    document["nodes"][3] |= {"children": [8, 9], "rotation": [0, 0, .6, .8]}
    document["nodes"][1] |= {"translation": [9, 9, 9]}  # glTF ignores it: the mesh is skinned
    times = np.array([0, 1], "f4")
    document["meshes"].append({"primitives": [{"attributes": {"POSITION": 0}}]})
    document["accessors"].append({"bufferView": len(document["bufferViews"]), "componentType": 5126, "count": 2, "type": "SCALAR", "min": [0], "max": [1]})
    document["accessors"].append({"bufferView": len(document["bufferViews"]) + 1, "componentType": 5126, "count": 2, "type": "VEC3"})
    for data in (times.tobytes(), np.zeros((2, 3), "f4").tobytes()):
        document["bufferViews"].append({"buffer": 0, "byteOffset": len(binary), "byteLength": len(data)})
        binary += data
    document["buffers"][0]["byteLength"] = len(binary)
    channel = {"sampler": 0, "target": {"node": 3, "path": "translation"}}
    samplers = [{"input": 4, "output": 5}]
    document["animations"] = [{"samplers": samplers, "channels": [channel, {"sampler": 0, "target": {"node": 0, "path": "translation"}}]},
                              {"name": "only joints", "samplers": samplers, "channels": [channel]}]
    document["accessors"][0] |= {"min": TRIANGLE_V3.min(0).tolist(), "max": TRIANGLE_V3.max(0).tolist()}
    return save(folder / "posed_rig.glb", document, binary)


def mixed(folder):
    """Under one skinned node a skinned primitive, one without joints, lines and points; two meshes over one accessor."""
    document, binary = rigged(["hips", "spine", "neck", "head"], extra=[{"mesh": 1, "rotation": [0, 0, 1, 0]}])
    document["nodes"][0]["children"].append(6)
    document["nodes"][1]["scale"] = [3, 3, 3]
    bare_ = {"attributes": {"POSITION": 0}, "extras": "bare"}
    document["meshes"][0]["primitives"] += [bare_, bare_ | {"mode": 1}, bare_ | {"mode": 0}, bare_ | {"extras": "second"}]
    document["meshes"].append({"primitives": [bare_ | {"mode": 5}, bare_ | {"mode": 3}]})
    document["scenes"].append({"name": "other", "nodes": [0]})
    document["accessors"][0] |= {"min": TRIANGLE_V3.min(0).tolist(), "max": TRIANGLE_V3.max(0).tolist()}
    return save(folder / "mixed.glb", document, binary)


def scattered(folder):
    """A .gltf with a buffer beside it, one in a data URI, a picture beside it and one in a data URI."""
    (folder / "sub").mkdir(exist_ok=True)
    (folder / "sub" / "some mesh.bin").write_bytes(SQUARE_V3.tobytes() + SQUARE_V3[:, :2].tobytes() + b"x")
    (folder / "skin.png").write_bytes(PIXEL)
    indices, uri = np.array([0, 1, 2, 2, 1, 3, 5, 3, 4], "u2").tobytes(), base64.b64encode(PIXEL).decode()
    document = {
        "asset": {"version": "2.0", "copyright": "the user"}, "scene": 0, "scenes": [{"nodes": [0]}], "nodes": [{"mesh": 0, "name": "Armature"}],
        "buffers": [{"uri": "sub/some%20mesh.bin", "byteLength": 121, "name": "mesh"},
                    {"uri": "data:application/octet-stream;base64," + base64.b64encode(indices).decode(), "byteLength": 18}],
        "bufferViews": [{"buffer": 0, "byteLength": 72, "name": "places"}, {"buffer": 1, "byteLength": 18},
                        {"buffer": 0, "byteOffset": 72, "byteLength": 48}],
        "accessors": [{"bufferView": 0, "componentType": 5126, "count": 6, "type": "VEC3", "min": [0, 0, 0], "max": [1, 1, 2]},
                      {"bufferView": 1, "componentType": 5123, "count": 9, "type": "SCALAR"},
                      {"bufferView": 2, "componentType": 5126, "count": 6, "type": "VEC2"}],
        "images": [{"uri": "skin.png", "name": "skin"}, {"uri": "data:image/png;base64," + uri}], "textures": [{"source": 0}, {"source": 1}],
        "materials": [{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}, "emissiveTexture": {"index": 1}, "extras": {"é": "ü"}}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0, "TEXCOORD_0": 2}, "indices": 1, "material": 0}]}]}
    (folder / "scattered.gltf").write_text(json.dumps(document))
    return folder / "scattered.gltf"


ODD = (instanced, quantised, morphed, draco, meshopt, posed_rig, mixed, scattered)


# ------------------------------------------------------------------------------------------------ spoiled scenes

ODDITIES = (None, -1, 0, 1, 2, 7, 10 ** 9, 2 ** 70, 1.5, "x", "", [], {}, [0], [None], True, {"node": 0}, float("nan"), -5)


def spoil(document: dict, rng: np.random.Generator) -> dict:
    """A copy in which one to three values, wherever they lie, are gone or something else."""
    document = deepcopy(document)
    for _ in range(rng.integers(1, 4)):
        places = list(_places(document))
        holder, key = places[rng.integers(len(places))]
        if rng.random() < .25:
            del holder[key]
        else:
            holder[key] = deepcopy(ODDITIES[rng.integers(len(ODDITIES))])
    return document


def _places(value):
    for key, inner in list(value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()):
        yield value, key
        yield from _places(inner)
