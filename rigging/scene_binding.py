"""Joints, skins and vertex weights added to a glTF in memory. Nothing that is there already changes but what must name the new.

Spec: Khronos "glTF 2.0" 3.7.3 (skins): a skinned vertex goes to sum_k w_k G_k B_k v, and the transform of its own node is ignored.
So where M takes a mesh's own space to the world, and joint k stands at F_k at rest, B_k = inv(F_k) M: one skin for each M.
Letters: V vertices of the figure, P vertices of a block, J joints, K influences.
"""

import json
from copy import deepcopy
from dataclasses import dataclass, field, replace

import numpy as np

from dataset.exporter import check_rig, check_tree, strongest_weights
from geometry.kinematics import homogeneous, matrix_to_quaternion
from rigging.gltf_file import ARRAY_BUFFER, GltfFile
from rigging.rig import CharacterRig

GROUP = "Armature"
_SKIN_KEYS = ("JOINTS_", "WEIGHTS_")
_ORTHONORMAL = 1e-5
MAX_COPIES = 64 << 20  # bytes of JSON that meshes entered again may take


@dataclass(frozen=True, eq=False)
class Block:
    """Vertices that take weights. primitives: places in the node's mesh, all over the same P vertices. matrix_44: M, float64.

    rows: the rig's row of each vertex, a slice or int64 (P,).
    """
    node: int
    primitives: tuple[int, ...]
    matrix_44: np.ndarray
    rows: slice | np.ndarray


@dataclass(frozen=True, eq=False)
class RiggedScene:
    """A glTF with a rig in it. joints: the node of each joint of the rig (keep-skeleton: of the user's joint that has its weights).

    root: the new node above the joints, None where the user's skeleton was kept. unused: names of the user's own joints that no
    weight went to (keep-skeleton). notes: sentences about what changed beyond the rig.
    """
    file: GltfFile
    joints: tuple[int, ...]
    root: int | None = None
    unused: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)


def bind_to_new_joints(file: GltfFile, rig: CharacterRig, blocks: list[Block], vertices_V3: np.ndarray, influences: int) -> RiggedScene:
    """The rig's joints as new nodes, and every block's node skinned to them. vertices_V3: at rest in the world, row by row of the rig.

    Raises: ValueError for a rig that breaks its contract.
    """
    check_arguments(rig, vertices_V3, influences)
    blocks = own_meshes(file, blocks)
    root, joints = _add_joints(file, rig, {block.node for block in blocks})
    inverse_J44 = np.linalg.inv(rest_frames(rig))
    joint_VK, weight_VK = strongest_weights(weld(rig.skin_VJ, vertices_V3), influences)
    skins: dict[bytes, int] = {}
    for block in blocks:
        key = block.matrix_44.tobytes()
        if key not in skins:
            skins[key] = add_skin(file, joints, inverse_J44 @ block.matrix_44, joints[0])
        file.document["nodes"][block.node]["skin"] = skins[key]
        attach(file, block, joint_VK[block.rows], weight_VK[block.rows], len(joints))
    return RiggedScene(file, tuple(joints), root)


def check_arguments(rig: CharacterRig, vertices_V3: np.ndarray, influences: int) -> None:
    """Raises: ValueError for a rig that breaks its contract or does not fit the vertices, and for influences out of 1 to 8."""
    check_rig(rig.joints_J3, rig.skin_VJ, vertices_V3)
    check_tree(rig.parents, rig.names, rig.joint_count)
    if not 1 <= influences <= 8:
        raise ValueError(f"influences must be 1 to 8, not {influences!r}")
    frames_J33 = rig.frames()
    if frames_J33.shape != (rig.joint_count, 3, 3):
        raise ValueError(f"rest frames are {frames_J33.shape}, must be {(rig.joint_count, 3, 3)}")
    off_J = np.abs(frames_J33 @ frames_J33.transpose(0, 2, 1) - np.eye(3)).max((1, 2))
    bad_J = ~(off_J <= _ORTHONORMAL) | (np.linalg.det(frames_J33) < 0)
    if bad_J.any():
        raise ValueError(f"the rest frame of joint {int(bad_J.argmax())} is no rotation")


def rest_frames(rig: CharacterRig) -> np.ndarray:
    """(J, 4, 4) float64: F, from a joint's own axes to the world."""
    return homogeneous(rig.frames(), np.asarray(rig.joints_J3, np.float64))


def weld(skin_VJ: np.ndarray, vertices_V3: np.ndarray) -> np.ndarray:
    """The weights with one row for all vertices at one float32 position: the mean of theirs. The input is not changed.

    A seam of UVs or normals is two vertices in the file; were their weights to differ, the skin would tear there.
    """
    place_V3 = np.ascontiguousarray(vertices_V3, np.float32)
    order_V = np.lexsort(place_V3.T)
    new_V = np.r_[True, (place_V3[order_V[1:]] != place_V3[order_V[:-1]]).any(1)]
    group_V = np.cumsum(new_V) - 1
    size_G = np.bincount(group_V)
    shared_V = size_G[group_V] > 1
    if not shared_V.any():
        return skin_VJ
    rows, first = order_V[shared_V], np.flatnonzero(new_V[shared_V])
    size_G = size_G[size_G > 1]
    welded_VJ = np.array(skin_VJ)
    for j in range(skin_VJ.shape[1]):  # a joint at a time: bounds the memory
        mean_G = np.add.reduceat(skin_VJ[rows, j].astype(np.float64), first) / size_G
        welded_VJ[rows, j] = np.repeat(mean_G, size_G)
    return welded_VJ


def own_meshes(file: GltfFile, blocks: list[Block]) -> list[Block]:
    """The blocks with a mesh for each node alone, and one matrix for each node, where the scene shares or mixes them.

    A mesh that other nodes draw too is entered again for each rigged node (accessors stay shared): its instances stand in
    different places, so their weights differ. A node has one skin: blocks that rest elsewhere than its first (a bare primitive
    under a skinned node) get a node of their own.
    """
    nodes, meshes, users = file.document["nodes"], file.document["meshes"], {}
    for k, node in enumerate(nodes):
        if "mesh" in node:
            users.setdefault(node["mesh"], []).append(k)
    rigged = {block.node for block in blocks}
    again = [number for number in sorted(rigged)
             if len(sharers := users[nodes[number]["mesh"]]) > 1 and not (sharers[0] == number and rigged.issuperset(sharers))]
    size = {number: len(json.dumps(meshes[number])) for number in {nodes[k]["mesh"] for k in again}}
    if sum(size[nodes[number]["mesh"]] for number in again) > MAX_COPIES:
        raise file.fail(f"{len(again)} nodes share meshes that say too much to be entered for each: give them meshes of their own")
    for number in again:
        nodes[number]["mesh"] = file.append("meshes", deepcopy(meshes[nodes[number]["mesh"]]))
    first = {}
    for block in blocks:
        first.setdefault(block.node, block.matrix_44)
    odd = [not np.array_equal(block.matrix_44, first[block.node]) for block in blocks]
    moved = [_move_out(file, block) if away else block for block, away in zip(blocks, odd)]
    gone: dict[int, list[int]] = {}
    for block, away in zip(blocks, odd):
        gone.setdefault(block.node, []).extend(block.primitives if away else ())
    for number, places in gone.items():
        mesh = meshes[nodes[number]["mesh"]]
        mesh["primitives"] = [primitive for k, primitive in enumerate(mesh["primitives"]) if k not in places]
    return [block if away else replace(block, primitives=tuple(k - sum(g < k for g in gone[block.node]) for k in block.primitives))
            for block, away in zip(moved, odd)]


def _move_out(file: GltfFile, block: Block) -> Block:
    """The block under a new child of its node, with a mesh of these primitives alone; the old mesh still has them."""
    nodes = file.document["nodes"]
    mesh = deepcopy(file.document["meshes"][nodes[block.node]["mesh"]])
    mesh["primitives"] = [mesh["primitives"][k] for k in block.primitives]
    child = file.append("nodes", {key: nodes[block.node][key] for key in ("name", "weights") if key in nodes[block.node]}
                        | {"mesh": file.append("meshes", mesh)})
    nodes[block.node].setdefault("children", []).append(child)
    return replace(block, node=child, primitives=tuple(range(len(block.primitives))))


def add_skin(file: GltfFile, joints: list[int], inverse_J44: np.ndarray, root: int | None) -> int:
    """A skin over nodes with these inverse bind matrices (affine, float64); its index."""
    inverse_J44 = inverse_J44 + 0.0  # no negative zeros in the file
    inverse_J44[:, 3] = (0, 0, 0, 1)
    columns_J16 = inverse_J44.transpose(0, 2, 1).reshape(-1, 16).astype(np.float32)
    if not np.isfinite(columns_J16).all():
        raise file.fail("a mesh is too large or too far away for 32 bits once it hangs on joints: apply its transform")
    entry = {"inverseBindMatrices": file.accessor(columns_J16, "MAT4"), "joints": list(joints)}
    return file.append("skins", entry if root is None else {"skeleton": root} | entry)


def attach(file: GltfFile, block: Block, slot_PK: np.ndarray, weight_PK: np.ndarray, joint_count: int) -> None:
    """JOINTS_n and WEIGHTS_n of the block's primitives, in place of any they had. slot: place in the skin's joints, < joint_count.

    Draco data keeps its bytes; its own JOINTS and WEIGHTS are no longer named, and ours lie beside it as plain accessors in the
    order of its decoded vertices (KHR_draco_mesh_compression: attributes it does not list are read from their accessors).
    """
    mesh = file.document["meshes"][file.document["nodes"][block.node]["mesh"]]
    primitives = [mesh["primitives"][k] for k in block.primitives]
    for primitive in primitives:
        packed = primitive.get("extensions", {}).get("KHR_draco_mesh_compression", {"attributes": {}})
        for holder in (primitive, packed):
            holder["attributes"] = {key: value for key, value in holder["attributes"].items() if not key.startswith(_SKIN_KEYS)}
    if not len(slot_PK):
        return
    pad = ((0, 0), (0, -slot_PK.shape[1] % 4))
    slot_PK, weight_PK = np.pad(np.where(weight_PK > 0, slot_PK, 0), pad), np.pad(weight_PK, pad)
    kind = np.uint8 if joint_count <= 256 else np.uint16
    for k in range(slot_PK.shape[1] // 4):
        part = slice(4 * k, 4 * k + 4)
        new = {f"JOINTS_{k}": file.accessor(slot_PK[:, part].astype(kind), "VEC4", ARRAY_BUFFER),
               f"WEIGHTS_{k}": file.accessor(weight_PK[:, part], "VEC4", ARRAY_BUFFER)}
        for primitive in primitives:
            primitive["attributes"] |= new


def _add_joints(file: GltfFile, rig: CharacterRig, rigged: set[int]) -> tuple[int, list[int]]:
    """-> the group's node and the joints'; the group is a root of every scene that shows a rigged node."""
    taken = {node.get("name") for node in file.document["nodes"]}
    (group,), names = _free_names((GROUP,), taken), _free_names(rig.names, taken)
    scenes = [scene for scene in file.document.get("scenes", []) if not rigged.isdisjoint(_shown(file.document, scene))]
    root = file.append("nodes", {"name": group})
    joints = [file.append("nodes", {"name": name}) for name in names]
    frames_J33, joints_J3 = rig.frames(), np.asarray(rig.joints_J3, np.float64)
    for j, parent in enumerate(rig.parents):
        above_33, above_3 = (np.eye(3), np.zeros(3)) if parent is None else (frames_J33[parent], joints_J3[parent])
        node = file.document["nodes"][joints[j]]
        node["translation"] = (above_33.T @ (joints_J3[j] - above_3) + 0.0).tolist()
        turn_33 = above_33.T @ frames_J33[j]
        if not np.array_equal(turn_33, np.eye(3)):
            node["rotation"] = (matrix_to_quaternion(turn_33) + 0.0).tolist()
        file.document["nodes"][root if parent is None else joints[parent]].setdefault("children", []).append(joints[j])
    for scene in scenes:
        scene.setdefault("nodes", []).append(root)
    return root, joints


def _free_names(names: tuple[str, ...], taken: set[str | None]) -> list[str]:
    """The names; where one is taken, all of them in a namespace, which readers of bones look past."""
    space, number = "", 0
    while any(space + name in taken for name in names):
        number += 1
        space = "rig:" if number == 1 else f"rig{number}:"
    return [space + name for name in names]


def _shown(document: dict, scene: dict) -> set[int]:
    """Nodes under a scene; a cycle ends."""
    found, stack = set(), list(scene.get("nodes", []))
    while stack:
        node = stack.pop()
        if node not in found:
            found.add(node)
            stack += document["nodes"][node].get("children", [])
    return found
