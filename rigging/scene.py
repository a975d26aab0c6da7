"""The user's own file with a rig added: what a prediction becomes for who brought a GLB, glTF, VRM, or any other mesh.

Every buffer view's bytes, accessor, material, picture, extra, extension and node name of a glTF stays. New: joint nodes under a root
of their own, skins, and JOINTS/WEIGHTS of the primitives. Scale and axes are the user's. Letters: V vertices, J joints.
"""

import re
from pathlib import Path

import numpy as np

from dataset.sources.bone_names import match_vrm
from dataset.sources.files import GLTF, load_asset
from dataset.sources.gltf import Part, read_parts
from dataset.sources.gltf_container import Container
from dataset.sources.gltf_scene import Scene
from dataset.sources.limits import MAX_VERTICES
from geometry.neighbors import knn
from rigging.gltf_file import GltfFile
from rigging.rig import CharacterRig
from rigging.scene_binding import Block, RiggedScene, bind_to_new_joints, check_arguments
from rigging.scene_fresh import fresh_scene
from rigging.scene_own_skeleton import bind_to_own_joints, contest_names

POLICIES = ("replace", "keep-skeleton")
_POSED = ("translation", "rotation", "scale")
_POINTER = re.compile(r"/nodes/(\d+)/(translation|rotation|scale|matrix)")


def add_rig(source: str | Path, rig: CharacterRig, influences: int = 4, policy: str = "replace") -> RiggedScene:
    """The file with the rig in it; each vertex follows its `influences` (1-8) strongest joints, renormalised.

    rig: in the frame and vertex order in which `load_asset` reads the file. Vertices at one position get one row of weights.
    policy, for a file that has a rig: "replace" takes the old skin off the meshes, whose rest is the bind pose; its joints stay as
    plain nodes for what hangs on them. "keep-skeleton" puts the new weights on the user's own joints. Lines and points beside
    triangles follow the nearest vertex; meshes that the reader leaves out are not touched.
    Any format but glTF becomes a new GLB (Y up, as glTF asks).
    Raises: AssetError naming the file; ValueError for a rig that does not fit it or breaks its contract, and a bad argument.
    """
    source = Path(source)
    if policy not in POLICIES:
        raise ValueError(f"policy must be one of {', '.join(POLICIES)}, not {policy!r}")
    if source.suffix.lower() not in GLTF:
        asset = load_asset(source)
        up = "z" if np.abs(rig.to_network_33[2]).argmax() == 2 else "y"  # the axis that the network's Z is in the file
        return fresh_scene(asset.vertices_V3, asset.faces_F3, asset.normals_V3, rig, up, influences)
    file = GltfFile.read(source)
    with file.container.guard():
        scene = Scene(file.container)
        parts = read_parts(file.container, scene)
        vertices_V3 = np.concatenate([np.zeros((0, 3))] + [part.vertices_V3 for part in parts])
    if not len(vertices_V3):
        raise file.container.fail("no mesh in the scene")
    check_arguments(rig, vertices_V3, influences)
    with file.container.guard():
        blocks = _blocks(file.container, parts, vertices_V3)
        if policy == "keep-skeleton":
            rigged = bind_to_own_joints(file, scene, rig, blocks, vertices_V3, influences)
        else:
            old = _take_off_the_old_rig(file.document, {block.node for block in blocks})
            rigged = bind_to_new_joints(file, rig, blocks, vertices_V3, influences)
            node_of = {name: rigged.joints[j] for j, name in contest_names(rig).items()}
            rigged.notes.extend(_still_the_joints(file.document, old) + _rename_the_humanoid(file.document, node_of, old))
    rigged.notes.extend(file.notes)
    return rigged


def _blocks(container: Container, parts: list[Part], vertices_V3: np.ndarray) -> list[Block]:
    """The reader's parts, which are the rig's rows in order, and what else the same meshes draw: lines, and points beside triangles."""
    blocks, start = [], 0
    for part in parts:
        blocks.append(Block(part.node, part.primitives, part.matrix_44, slice(start, start + len(part.vertices_V3))))
        start += len(part.vertices_V3)
    read = {(block.node, k) for block in blocks for k in block.primitives}
    beside = [(node, matrix_44, k, primitive["attributes"]["POSITION"])
              for node, matrix_44 in {block.node: block.matrix_44 for block in reversed(blocks)}.items()
              for k, primitive in enumerate(container.entry("meshes", container.entry("nodes", node)["mesh"])["primitives"])
              if (node, k) not in read and "POSITION" in primitive["attributes"]]
    if sum(container.size(container.entry("accessors", place), "count") for _, _, _, place in beside) > MAX_VERTICES:
        raise container.fail(f"more than {MAX_VERTICES} vertices of lines and points: simplify it first")
    for node, matrix_44, k, place in beside:
        place_P3 = container.accessor(place).astype(np.float64)
        nearest_P1 = knn(place_P3 @ matrix_44[:3, :3].T + matrix_44[:3, 3], vertices_V3, 1)[1]
        blocks.append(Block(node, (k,), matrix_44, nearest_P1[:, 0]))
    return blocks


def _take_off_the_old_rig(document: dict, rigged: set[int]) -> set[int]:
    """Rigged nodes lose their skins, and a skin nobody wears any more goes; -> nodes that were joints of those alone."""
    nodes, skins = document["nodes"], document.get("skins", [])
    worn = {nodes[node].pop("skin") for node in sorted(rigged) if "skin" in nodes[node]}
    still = {node["skin"] for node in nodes if "skin" in node}
    if not worn:
        return set()
    old = {joint for skin in worn for joint in skins[skin]["joints"]} - {joint for skin in still for joint in skins[skin]["joints"]}
    kept = [k for k in range(len(skins)) if k not in worn or k in still]
    for node in nodes:
        if "skin" in node:
            node["skin"] = kept.index(node["skin"])
    _keep_filled(document, "skins", [skins[k] for k in kept])
    return old


def _still_the_joints(document: dict, joints: set[int]) -> list[str]:
    """Remove the channels that pose these nodes, and animations that did nothing else."""
    animations = document.get("animations", [])
    before = sum(len(animation["channels"]) for animation in animations)
    for animation in animations:
        animation["channels"] = [channel for channel in animation["channels"] if not _poses(channel["target"], joints)]
    lost = before - sum(len(animation["channels"]) for animation in animations)
    if not lost:
        return []
    _keep_filled(document, "animations", [animation for animation in animations if animation["channels"]])
    return [f"{lost} of {before} animation channels moved the replaced joints and are left out"]


def _poses(target: dict, joints: set[int]) -> bool:
    pointer = _POINTER.match(str(target.get("extensions", {}).get("KHR_animation_pointer", {}).get("pointer")))
    return int(pointer[1]) in joints if pointer else target.get("node") in joints and target.get("path") in _POSED


def _rename_the_humanoid(document: dict, node_of: dict[str, int], old: set[int]) -> list[str]:
    """A VRM humanoid that names replaced joints names the new ones in their stead (node_of: contest name -> node).

    Bones that the new rig does not have (eyes, jaw) leave it: their old nodes no longer hang on the figure.
    """
    lost, extensions = [], document.get("extensions", {})
    for extension in ("VRM", "VRMC_vrm"):
        human = extensions.get(extension, {}).get("humanoid", {})
        bones = human.get("humanBones", {})
        listed = isinstance(bones, list)  # 0.x lists its bones, 1.0 names them
        entries = {entry["bone"]: entry for entry in bones} if listed else dict(bones)
        contest = {word: name for name, word in match_vrm({word: word for word in entries}).items()}
        new = {word: node_of.get(contest.get(word)) for word, entry in entries.items() if entry.get("node") in old}
        lost += [word for word, node in new.items() if node is None]
        first_person = extensions[extension].get("firstPerson", {}) if entries else {}
        if "head" in new and first_person.get("firstPersonBone") == entries["head"]["node"]:
            first_person["firstPersonBone"] = new["head"]
        for word, node in new.items():
            entries[word]["node"] = node
        if new:
            entries = {word: entry for word, entry in entries.items() if word not in lost}
            human["humanBones"] = list(entries.values()) if listed else entries
    notes = [f"the VRM humanoid lost the bones that the new rig does not have: {_few(lost)}"] if lost else []
    old_springs = extensions.get("VRM", {}).get("secondaryAnimation", {}).get("boneGroups")
    springs = old_springs or extensions.get("VRMC_springBone", {}).get("springs")
    return notes + (["its spring bones hang on the replaced joints and no longer move the mesh"] if old and springs else [])


def _few(words: list[str]) -> str:
    return ", ".join(words[:4]) + (f" and {len(words) - 4} more" if len(words) > 4 else "")


def _keep_filled(document: dict, kind: str, entries: list[dict]) -> None:
    """document[kind] = entries; glTF has no empty lists."""
    if entries:
        document[kind] = entries
    else:
        del document[kind]
