"""glTF 2.0, GLB and VRM: all meshes of the scene as one Asset at its bind pose, with the skeleton where it is the contest's.

Spec: Khronos "glTF 2.0" (skins 3.7.3, primitives 3.7.2), KHR_draco_mesh_compression, VRM 0.x and 1.0 humanoid.
Frame: the file's world, Y up. A VRM 0.x figure looks along -Z there, all others along +Z: its Asset is marked backwards.
Letters: V vertices, F faces, J joints, K influences.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dataset.asset import Asset, check
from dataset.format import skeleton
from dataset.sources.bone_names import match_bones, match_vrm
from dataset.sources.gltf_container import Container
from dataset.sources.gltf_scene import Scene
from dataset.sources.limits import MAX_VERTICES, check_size
from geometry.normals import vertex_normals

MAX_PRIMITIVES = 20_000            # drawn: one for each place that a node gives a mesh
MAX_INFLUENCES = 8 * MAX_VERTICES  # of all vertices together, counted in fours as the file has them
DRACO = "KHR_draco_mesh_compression"
POINTS, TRIANGLES, STRIP, FAN = 0, 4, 5, 6


@dataclass(frozen=True)
class Part:
    """One block of vertices in world space at the bind pose: primitives of a node that share their attributes."""
    node: int
    primitives: tuple[int, ...]     # their places in the node's mesh
    matrix_44: np.ndarray           # float64, from the mesh's own space to the world at the bind pose
    vertices_V3: np.ndarray         # float64
    normals_V3: np.ndarray | None   # float64, unit
    faces_F3: np.ndarray | None     # int64; None for points
    bones_VK: np.ndarray            # node indices; -1: moves with no joint
    weights_VK: np.ndarray          # float64, rows sum to 1


def load_gltf(path: str | Path, up: str = "y") -> Asset:
    """The figure in a .gltf, .glb or .vrm file.

    vertices: primitives in scene order, one after the other; those that share their attributes are stored once.
    Skinned meshes stand at their bind pose (inverse bind matrices), others under their node's transform. Morph targets rest.
    up: "y" by the standard; say "z" for a file that breaks it. Nothing is turned.
    joints, skin: where the bones can be named to the contest's 22 or 52 (52 when every finger is there), else None. Weights
    of other bones go to the nearest named ancestor, to the hips where there is none; a mesh hung on a bone moves with it.

    Raises: AssetError naming the file and the fault: not glTF, cut short, out of bounds, cyclic, or without any vertex.
    """
    container = Container(path)
    with container.guard():
        scene = Scene(container)
        return _assemble(container, scene, read_parts(container, scene), up)


def read_parts(container: Container, scene: Scene) -> list[Part]:
    """Blocks of vertices in scene order; lines are left out, and points too where there are triangles.

    One after the other they are the vertices of `load_gltf`: this is the map between an Asset's rows and a file's primitives.
    Raises: as load_gltf, and what a malformed document makes Python raise (`Container.guard` names it).
    """
    groups = _groups(container, scene)
    packed = [primitives[0]["extensions"][DRACO]["bufferView"] for _, _, primitives in groups
              if DRACO in primitives[0].get("extensions", {})]
    if packed:
        container.draco(*packed)
    parts, total, corners = [], 0, 0
    for node, places, primitives in groups:
        parts.append(_part(container, scene, node, places, primitives))
        total += len(parts[-1].vertices_V3)
        corners += 0 if parts[-1].faces_F3 is None else parts[-1].faces_F3.size
        check_size(container.name, total, corners)  # draco data may hold more than its accessor says
    solid = [part for part in parts if part.faces_F3 is not None]
    return solid or parts


def _groups(container: Container, scene: Scene) -> list[tuple[int, tuple[int, ...], list[dict]]]:
    """(node, places in its mesh, primitives) of each block of vertices to come, after what they claim to hold has been added up.

    A small file can place one mesh a million times, and an accessor may say zeros without a byte.
    """
    groups, shared, drawn, vertices, corners, influences = [], {}, 0, 0, 0, 0
    for node in scene.order:
        if "mesh" not in container.entry("nodes", node):
            continue
        mesh = container.entry("nodes", node)["mesh"]
        primitives = container.entry("meshes", mesh)["primitives"]
        drawn += max(1, len(primitives))
        if drawn > MAX_PRIMITIVES:
            raise container.fail(f"more than {MAX_PRIMITIVES} meshes and parts of meshes: simplify it first")
        if mesh not in shared:
            shared[mesh] = [(places, [primitives[k] for k in places]) for places in _sharing(primitives)]
        for places, group in shared[mesh]:
            claims = _claims(container, group)
            vertices, corners, influences = vertices + claims[0], corners + claims[1], influences + claims[2]
            check_size(container.name, vertices, corners)
            if influences > MAX_INFLUENCES:
                raise container.fail(f"more than {MAX_INFLUENCES} influences of joints on vertices: simplify it first")
            groups.append((node, places, group))
    return groups


def _sharing(primitives: list[dict]) -> list[tuple[int, ...]]:
    """Places of the primitives that draw from the same vertices (VRoid's do), grouped; lines are dropped."""
    groups: dict[tuple, list[int]] = {}
    for place, primitive in enumerate(primitives):
        mode = primitive.get("mode", TRIANGLES)
        if mode not in (POINTS, TRIANGLES, STRIP, FAN):
            continue
        packed = primitive.get("extensions", {}).get(DRACO, {}).get("bufferView")
        key = (packed, mode == POINTS, *sorted((k, v) for k, v in primitive["attributes"].items()))
        groups.setdefault(key, []).append(place)
    return [tuple(places) for places in groups.values()]


def _claims(container: Container, primitives: list[dict]) -> tuple[int, int, int]:
    """How many vertices a group says it has, corners of triangles, and influences of joints, before any is read."""
    if "POSITION" not in primitives[0]["attributes"]:
        raise container.fail("a primitive has no POSITION")
    count = container.size(container.entry("accessors", primitives[0]["attributes"]["POSITION"]), "count")
    corners = sum(container.size(container.entry("accessors", primitive["indices"]), "count") if "indices" in primitive else count
                  for primitive in primitives)
    return count, corners, 4 * count * sum(key.startswith("JOINTS_") for key in primitives[0]["attributes"])


def _part(container: Container, scene: Scene, node: int, places: tuple[int, ...], primitives: list[dict]) -> Part:
    attributes, packed = _attributes(container, primitives[0])
    local_V3 = attributes["POSITION"].astype(np.float64)
    faces = [_triangles(container, primitive, _indices(container, primitive) if packed is None else packed, len(local_V3))
             for primitive in primitives]
    faces_F3 = None if faces[0] is None else np.concatenate(faces)
    bones_VK, weights_VK, matrix_44 = _influences(container, scene, node, attributes)
    vertices_V3 = local_V3 @ matrix_44[:3, :3].T + matrix_44[:3, 3]
    if faces_F3 is not None and np.linalg.det(matrix_44[:3, :3]) < 0:
        faces_F3 = faces_F3[:, ::-1].copy()
    normals_V3 = _normals(attributes.get("NORMAL"), matrix_44, vertices_V3, faces_F3)
    return Part(node, places, matrix_44, vertices_V3, normals_V3, faces_F3, bones_VK, weights_VK)


def _attributes(container: Container, primitive: dict) -> tuple[dict[str, np.ndarray], np.ndarray | None]:
    """Semantic -> values for what we use, and the indices of Draco data or None. Draco data replaces the accessors' own."""
    wanted = {key: index for key, index in primitive["attributes"].items()
              if key in ("POSITION", "NORMAL") or key.startswith(("JOINTS_", "WEIGHTS_"))}
    packed = primitive.get("extensions", {}).get(DRACO)
    values, indices = ({}, None) if packed is None else _draco(container, packed, wanted)
    if "POSITION" not in values:
        values["POSITION"] = container.accessor(wanted["POSITION"])
    count = len(values["POSITION"])
    for key, index in wanted.items():
        if key not in values:
            claimed = container.size(container.entry("accessors", index), "count")
            if claimed != count:
                raise container.fail(f"{key} has {claimed} elements, and POSITION {count}")
            values[key] = container.accessor(index)
    for key, value in values.items():
        width = 3 if key in ("POSITION", "NORMAL") else 4
        if value.shape != (count, width):
            raise container.fail(f"{key} has shape {value.shape}, must be ({count}, {width})")
    return values, indices


def _indices(container: Container, primitive: dict) -> np.ndarray | None:
    if "indices" not in primitive:
        return None
    indices = container.accessor(primitive["indices"])
    if indices.ndim != 1 or indices.dtype.kind != "u":
        raise container.fail("indices must be unsigned whole numbers")
    return indices


def _draco(container: Container, packed: dict, wanted: dict) -> tuple[dict[str, np.ndarray], np.ndarray]:
    by_id, faces_F3 = container.draco(packed["bufferView"])
    values = {}
    for key, unique_id in packed["attributes"].items():
        if key in wanted:
            if unique_id not in by_id:
                raise container.fail(f"draco data lacks attribute {unique_id} ({key})")
            accessor = container.entry("accessors", wanted[key])
            kind = COMPONENT_LIMITS.get(accessor.get("componentType"))
            values[key] = by_id[unique_id] / kind if accessor.get("normalized") and kind else by_id[unique_id]
    return values, faces_F3.astype(np.uint32).ravel()


COMPONENT_LIMITS = {5120: 127, 5121: 255, 5122: 32767, 5123: 65535}


def _triangles(container: Container, primitive: dict, indices: np.ndarray | None, count: int) -> np.ndarray | None:
    """(F, 3) int64 of a list, strip or fan; None for points. Strips' and fans' empty triangles are dropped."""
    mode = primitive.get("mode", TRIANGLES)
    if mode == POINTS:
        return None
    run = np.arange(count) if indices is None else indices.astype(np.int64)
    if len(run) and run.max() >= count:
        raise container.fail(f"a face names vertex {run.max()} of {count}")
    if DRACO in primitive.get("extensions", {}):
        mode = TRIANGLES  # decoded draco faces are always a list
    if mode == TRIANGLES:
        if len(run) % 3:
            raise container.fail(f"{len(run)} indices do not make triangles")
        return run.reshape(-1, 3)
    if len(run) < 3:
        return np.zeros((0, 3), np.int64)
    if mode == STRIP:
        faces_F3 = np.stack([run[:-2], run[1:-1], run[2:]], 1)
        faces_F3[1::2] = faces_F3[1::2, [1, 0, 2]]
    else:
        faces_F3 = np.stack([np.full(len(run) - 2, run[0]), run[1:-1], run[2:]], 1)
    a, b, c = faces_F3.T
    return faces_F3[(a != b) & (b != c) & (c != a)]


def _influences(container: Container, scene: Scene, node: int, attributes: dict) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """-> bones_VK (nodes), weights_VK, and the matrix that brings the mesh to its bind pose in the world."""
    count, skin = len(attributes["POSITION"]), container.entry("nodes", node).get("skin")
    if skin is None or "JOINTS_0" not in attributes:
        return np.full((count, 1), scene.carrier(node)), np.ones((count, 1)), scene.rest(node)
    joints = scene.skin_joints(skin)
    sets = sorted(key[7:] for key in attributes if key.startswith("JOINTS_"))
    slots_VK = np.concatenate([attributes["JOINTS_" + k] for k in sets], 1).astype(np.int64)
    weights_VK = np.concatenate([attributes["WEIGHTS_" + k] for k in sets], 1).astype(np.float64)
    if not np.isfinite(weights_VK).all() or (weights_VK < 0).any():
        raise container.fail(f"mesh of node {node} has negative or non-finite weights")
    slots_VK = np.where(weights_VK > 0, slots_VK, 0)
    if count and slots_VK.max() >= len(joints):
        raise container.fail(f"a vertex follows joint {slots_VK.max()} of {len(joints)}")
    sums_V1 = weights_VK.sum(1, keepdims=True)
    weights_VK[sums_V1[:, 0] == 0, 0] = 1  # no influence at all: viewers hang such a vertex on the first joint
    loose = np.abs(sums_V1 - 1) > 5e-7     # rows that are true already keep their bits
    weights_VK = np.where(loose & (sums_V1 > 0), weights_VK / np.where(sums_V1 > 0, sums_V1, 1), weights_VK)
    return joints[slots_VK], weights_VK, scene.skin_matrix(skin)


def _normals(local: np.ndarray | None, matrix_44: np.ndarray, vertices_V3: np.ndarray, faces: np.ndarray | None):
    """Stored normals in the world (inverse transpose), or area-weighted ones where missing or void; None for bare points."""
    normals = None
    if local is not None and abs(np.linalg.det(matrix_44[:3, :3])) > 1e-30:
        normals = local.astype(np.float64) @ np.linalg.inv(matrix_44[:3, :3])
        length = np.linalg.norm(normals, axis=1, keepdims=True)
        void = ~(length[:, 0] > 0) | ~np.isfinite(length[:, 0])
        if not void.any():
            return normals / length
        normals = np.where(void[:, None], 0, normals / np.where(void[:, None], 1, length))
    if faces is None:
        return None
    computed = vertex_normals(vertices_V3, faces)
    return computed if normals is None else np.where(void[:, None], computed, normals)


def _assemble(container: Container, scene: Scene, parts: list[Part], up: str) -> Asset:
    if not sum(len(part.vertices_V3) for part in parts):
        raise container.fail("no mesh in the scene")
    starts = np.cumsum([0] + [len(part.vertices_V3) for part in parts])
    solid = parts[0].faces_F3 is not None
    with_normals = all(part.normals_V3 is not None for part in parts)
    rig = _contest_rig(container, scene, parts)
    return check(Asset(
        cls="other", id=container.path.stem, source=container.name, up=up, backwards=_is_vrm_0(container),
        vertices_V3=np.concatenate([part.vertices_V3 for part in parts]).astype(np.float32),
        normals_V3=np.concatenate([part.normals_V3 for part in parts]).astype(np.float32) if with_normals else None,
        faces_F3=np.concatenate([part.faces_F3 + start for part, start in zip(parts, starts)]) if solid else None,
        **rig))


def _is_vrm_0(container: Container) -> bool:
    extensions = container.document.get("extensions", {})
    return "VRM" in extensions and "VRMC_vrm" not in extensions


def _contest_rig(container: Container, scene: Scene, parts: list[Part]) -> dict:
    """The Asset's joints, skin, parents, names and matrix_local, all None where the bones are not the contest's."""
    match = named_bones(container, scene)
    count = next((count for count in (52, 22) if set(skeleton(count).names) <= set(match)), None)
    if count is None:
        return dict.fromkeys(("joints_J3", "skin_VJ", "parents", "names", "matrix_local_J44"))
    names, parents, _ = skeleton(count)
    nodes = [match[name] for name in names]
    frames_J44 = np.stack([scene.joint_frame(node) for node in nodes])
    column = scene.nearest({node: j for j, node in enumerate(nodes)}, default=0)
    skins = []
    for part in parts:
        columns_VK = column[part.bones_VK]
        skin_VJ = np.zeros((len(columns_VK), count))
        np.add.at(skin_VJ, (np.arange(len(columns_VK))[:, None], columns_VK), part.weights_VK)
        skins.append(skin_VJ.astype(np.float32))
    return dict(joints_J3=frames_J44[:, :3, 3].astype(np.float32), skin_VJ=np.concatenate(skins), parents=parents,
                names=names, matrix_local_J44=frames_J44.astype(np.float32))


def named_bones(container: Container, scene: Scene) -> dict[str, int]:
    """Contest joint name -> node: the VRM extension's word first, then the names of the skins' joints."""
    extensions = container.document.get("extensions", {})
    if "VRMC_vrm" in extensions:
        bones = extensions["VRMC_vrm"]["humanoid"]["humanBones"]
        match = match_vrm({bone: entry["node"] for bone, entry in bones.items()})
    elif "VRM" in extensions:
        bones = extensions["VRM"]["humanoid"]["humanBones"]
        match = match_vrm({entry["bone"]: entry["node"] for entry in bones if entry.get("node", -1) >= 0})
    else:
        match = {}
    match = {name: node for name, node in match.items() if type(node) is int and node in scene.world}
    joints, said = scene.all_joints(), set(match.values())
    by_name = match_bones([container.entry("nodes", node).get("name") for node in joints])  # of all: a name says less without the others
    return {name: joints[index] for name, index in by_name.items() if joints[index] not in said} | match
