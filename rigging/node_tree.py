"""The node tree of a glTF in memory, where it stands now: parents, world matrices, and what of them is rotation.

Spec: Khronos "glTF 2.0" 3.5.3 (transforms) and 3.11 (a node that is animated has no matrix).
"""

from collections.abc import Container as Holder

import numpy as np

from dataset.asset import AssetError
from dataset.sources.gltf_scene import local_matrix
from geometry.kinematics import matrix_to_quaternion
from rigging.gltf_file import GltfFile

_UNIFORM = 1e-4  # of the scale


class NodeTree:
    """parent: node -> the node above it or None. Matrices are read once: make a new tree after nodes moved.

    Raises: AssetError for a cycle, a node with two parents, or a transform that is not finite.
    """

    def __init__(self, file: GltfFile):
        self.file, self.parent, self._world = file, {}, {None: np.eye(4)}
        self.nodes = file.document.get("nodes", [])
        with file.guard():
            self._walk()

    def _walk(self) -> None:
        below = {child for node in self.nodes for child in node.get("children", [])}
        stack = [(number, None) for number in range(len(self.nodes)) if number not in below]
        while stack:
            number, parent = stack.pop()
            if type(number) is not int or not 0 <= number < len(self.nodes):
                raise self.fail(f"the children of node {parent} are no nodes: there are {len(self.nodes)}")
            if number in self.parent:
                raise self.fail(f"node {number} is reached twice: the node tree has a node with two parents")
            self.parent[number] = parent
            self._world[number] = self._world[parent] @ self.local(number)
            stack += [(child, number) for child in self.nodes[number].get("children", [])]
        if len(self.parent) < len(self.nodes):
            raise self.fail("the node tree has a cycle: export the file again")

    def fail(self, what: str) -> AssetError:
        """As GltfFile.fail."""
        return self.file.fail(what)

    def local(self, node: int) -> np.ndarray:
        """(4, 4) from the node's own axes to its parent's."""
        return local_matrix(self, self.nodes[node], node)

    def world(self, node: int | None) -> np.ndarray:
        """(4, 4) from the node's own axes to the scene's; the identity for None."""
        return self._world[node]

    def frame(self, node: int | None) -> np.ndarray:
        """(3, 3) the axes of the node in the scene without their scale: orthonormal, mirrored where the scale is.

        Raises: AssetError where the scale is not uniform, so that what stands under it would shear when it turns.
        """
        linear_33 = self.world(node)[:3, :3]
        scale = abs(np.linalg.det(linear_33)) ** (1 / 3)
        axes_33 = linear_33 / scale if scale > 0 else linear_33
        if not np.abs(axes_33.T @ axes_33 - np.eye(3)).max() <= _UNIFORM:
            raise self.fail(f"node {node} is scaled unevenly, so joints under it cannot be posed: apply the scale and export again")
        return axes_33

    def rotation(self, node: int) -> np.ndarray:
        """(3, 3) the rotation of the node's own transform."""
        linear_33 = self.local(node)[:3, :3]
        sizes_3 = np.linalg.norm(linear_33, axis=0)
        if np.linalg.det(linear_33) < 0:  # glTF's T R S with an odd number of negative scales: which ones, the entry says
            signs_3 = np.sign(self.nodes[node].get("scale", (-1, -1, -1)))
            sizes_3 = sizes_3 * signs_3
        axes_33 = linear_33 / sizes_3 if sizes_3.all() else np.zeros((3, 3))
        if not np.abs(axes_33.T @ axes_33 - np.eye(3)).max() <= _UNIFORM:
            raise self.fail(f"node {node} has a matrix that is no rotation and scale: apply it and export again")
        return axes_33

    def split(self, node: int) -> None:
        """Give the node translation, rotation and scale in place of a matrix, so that it may be animated."""
        entry = self.nodes[node]
        if "matrix" not in entry:
            return
        local_44, axes_33 = self.local(node), self.rotation(node)
        del entry["matrix"]
        entry["translation"], entry["rotation"] = local_44[:3, 3].tolist(), matrix_to_quaternion(axes_33).tolist()
        entry["scale"] = np.diag(axes_33.T @ local_44[:3, :3]).tolist()

    def nearest(self, node: int | None, among: Holder) -> int | None:
        """The node itself or its nearest ancestor that is `among`; None where there is none."""
        while node is not None and node not in among:
            node = self.parent[node]
        return node
