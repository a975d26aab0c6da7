"""New weights for the skeleton that a file already has: our joints are found among the user's by name, and nothing else of it changes.

Names: dataset/sources/bone_names.py, the VRM humanoid first. Letters: V vertices, J joints of ours, T the user's joints that take weights.
"""

import numpy as np

from dataset.exporter import strongest_weights
from dataset.format import FULL_NAMES
from dataset.sources.bone_names import match_bones
from dataset.sources.gltf import named_bones
from dataset.sources.gltf_container import Container
from dataset.sources.gltf_scene import Scene, most_agreed
from rigging.gltf_file import GltfFile
from rigging.rig import CharacterRig
from rigging.scene_binding import Block, RiggedScene, add_skin, attach, check_arguments, own_meshes, weld

LIMBS = ("l_upper_arm", "r_upper_arm", "l_upper_leg", "r_upper_leg")  # a skeleton without them is no figure's, or named by chance


def bind_to_own_joints(file: GltfFile, scene: Scene, rig: CharacterRig, blocks: list[Block], vertices_V3: np.ndarray,
                       influences: int) -> RiggedScene:
    """The rig's weights on the user's joints; nodes, hierarchy, inverse bind matrices and animations stay.

    A joint of ours without counterpart gives its weight to its nearest ancestor that has one. A skin that lacks a joint now needed
    is entered again with it at its end. Raises: ValueError for a broken rig, AssetError where the bones cannot be named.
    """
    check_arguments(rig, vertices_V3, influences)
    target_J = own_joints(file.container, scene, rig)
    targets = list(dict.fromkeys(target_J))
    column_J = [targets.index(node) for node in target_J]
    welded_VJ = weld(rig.skin_VJ, vertices_V3)
    skin_VT = np.zeros((len(welded_VJ), len(targets)), np.float32)
    for j, column in enumerate(column_J):
        skin_VT[:, column] += welded_VJ[:, j]
    joint_VK, weight_VK = strongest_weights(skin_VT, influences)
    old_skin = {block.node: file.document["nodes"][block.node].get("skin") for block in blocks}
    needed: dict[int, set[int]] = {}
    for block in blocks:
        needed.setdefault(block.node, set()).update(np.unique(joint_VK[block.rows][weight_VK[block.rows] > 0]).tolist())
    skins = _Skins(file, scene, targets)
    for block, was in zip(own_meshes(file, blocks), blocks):
        skin, joints = skins.serving(old_skin[was.node], block.matrix_44, [targets[t] for t in sorted(needed[was.node])])
        file.document["nodes"][block.node]["skin"] = skin
        slot_T = np.array([joints.index(node) if node in joints else 0 for node in targets])
        attach(file, block, slot_T[joint_VK[block.rows]], weight_VK[block.rows], len(joints))
    unused = tuple(str(file.document["nodes"][node].get("name", f"node {node}")) for node in scene.all_joints() if node not in targets)
    return RiggedScene(file, tuple(target_J), None, unused)


def own_joints(container: Container, scene: Scene, rig: CharacterRig) -> list[int]:
    """For each joint of the rig the user's node of that name, or its nearest ancestor's; above the topmost, that one.

    Raises: AssetError unless arms and legs can be named.
    """
    bones = named_bones(container, scene)
    if not set(LIMBS) <= set(bones):
        raise container.fail("its bones have no names that are known here, so new weights cannot be put on them: replace the rig")
    contest = contest_names(rig)
    own: list[int | None] = []
    for j, parent in enumerate(rig.parents):
        own.append(bones.get(contest.get(j), None if parent is None else own[parent]))
    if not set(LIMBS) <= set(contest.values()):
        raise ValueError("the rig's joints have no names that are known here: give them the contest's")
    first = next(node for node in own if node is not None)
    return [first if node is None else node for node in own]


def contest_names(rig: CharacterRig) -> dict[int, str]:
    """Joint of the rig -> its name in the contest, whatever dialect the rig speaks; joints of no such name are left out."""
    return {j: name for name, j in match_bones(rig.names).items()} | {j: n for j, n in enumerate(rig.names) if n in FULL_NAMES}


class _Skins:
    """The skins that rigged nodes end up with, each entered once."""

    def __init__(self, file: GltfFile, scene: Scene, targets: list[int]):
        self.file, self.scene, self.targets = file, scene, targets
        self.made: dict[tuple, int] = {}

    def serving(self, old: int | None, matrix_44: np.ndarray, needed: list[int]) -> tuple[int, list[int]]:
        """-> a skin under which a mesh rests at matrix_44, and its joints, all of `needed` among them: the old one if it will do."""
        if old is not None and np.array_equal(self.scene.skin_matrix(old), matrix_44):
            joints = self.scene.skin_joints(old).tolist()
            missing = [node for node in needed if node not in joints]
            if not missing:
                return old, joints
            inverse_J44 = self._inverse(old)
            # where the user's joints, at the one bind pose of the whole figure, put this mesh: a skin of few joints in a file saved
            # in another pose reads as resting in that pose
            bound_44 = most_agreed(np.stack([self.scene.rest(node) for node in joints]) @ inverse_J44)
            joints, inverse_J44 = joints + missing, np.concatenate([inverse_J44, self._bind(missing, bound_44)])
            key = (old, *missing)
        else:
            joints, inverse_J44, key = self.targets, self._bind(self.targets, matrix_44), (None, matrix_44.tobytes())
        if key not in self.made:
            self.made[key] = add_skin(self.file, joints, inverse_J44, None)
        return self.made[key], joints

    def _bind(self, nodes: list[int], matrix_44: np.ndarray) -> np.ndarray:
        return np.linalg.inv(np.stack([self.scene.rest(node) for node in nodes])) @ matrix_44

    def _inverse(self, skin: int) -> np.ndarray:
        """The file's own inverse bind matrices, to the bit."""
        entry = self.file.container.entry("skins", skin)
        if "inverseBindMatrices" not in entry:
            return np.tile(np.eye(4), (len(entry["joints"]), 1, 1))
        return self.file.container.accessor(entry["inverseBindMatrices"])[:len(entry["joints"])].astype(np.float64)
