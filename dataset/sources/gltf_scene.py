"""The node tree of a glTF file: world matrices, skins, and where each joint stands at the bind pose.

Spec: Khronos "glTF 2.0" 3.5 (scenes, nodes) and 3.7.3 (skins): a skinned vertex goes to sum_k w_k G_k B_k v, with G_k the world
matrix of joint k and B_k its inverse bind matrix. At the bind pose all G_k B_k are one matrix M, and joint k stands at M inv(B_k).
Ours: where a file was saved in another pose, M is the one that most joints share or hang below, the topmost joint's on a tie. To
count those below matters: two hands have more joints than a trunk, and where the arms were moved, their joints agree as well. A
smaller skin over joints that a larger one has placed rests where these stand, so the whole figure is read in one pose.
"""

import numpy as np

from dataset.sources.gltf_container import Container

MAX_CANDIDATES = 300
FLAT = 1e-7    # of the longest axis: a matrix that cannot be undone
AFFINE = 1e-4  # how far from 0, 0, 0, 1 the last row of a matrix may be: what float32 and its products leave
MAX_NODES, MAX_JOINTS = 250_000, 100_000  # of the scene, and of all its skins; a figure has hundreds


class Scene:
    """Nodes of the default scene in depth-first order. world: node -> 4x4 float64, as the file was saved.

    Raises: AssetError for cycles, nodes with two parents, joints outside the scene and matrices that cannot be undone.
    """

    def __init__(self, container: Container):
        self.container = container
        self.order: list[int] = []
        self.parent: dict[int, int | None] = {}
        self.world: dict[int, np.ndarray] = {}
        self._depth: dict[int | None, int] = {None: -1}
        self._walk()
        self._skins: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        used = {container.entry("nodes", node).get("skin") for node in self.order} - {None}
        self._frames: dict[int, np.ndarray] = {}
        if sum(len(container.entry("skins", skin)["joints"]) for skin in used) > MAX_JOINTS:
            raise container.fail(f"its skins have more than {MAX_JOINTS} joints: simplify it first")
        for skin in sorted(used, key=lambda skin: (-len(container.entry("skins", skin)["joints"]), skin)):  # the whole figure's first
            self._read_skin(skin)
        self._carriers = self.nearest({node: node for node in self._frames}, -1)

    def _walk(self) -> None:
        stack = [(node, None) for node in reversed(self._roots())]
        while stack:
            node, parent = stack.pop()
            entry = self.container.entry("nodes", node)
            if node in self.world:
                raise self.container.fail(f"node {node} is reached twice: the node tree has a cycle or a node with two parents")
            local_44 = local_matrix(self.container, entry, node)
            self.world[node] = local_44 if parent is None else self.world[parent] @ local_44
            if not np.isfinite(self.world[node]).all():
                raise self.container.fail(f"node {node} has a place that is not finite")
            if len(self.world) > MAX_NODES:
                raise self.container.fail(f"more than {MAX_NODES} nodes: simplify it first")
            self.parent[node], self._depth[node] = parent, self._depth[parent] + 1
            self.order.append(node)
            stack += [(child, node) for child in reversed(entry.get("children", []))]
        self._place, self._size = {node: k for k, node in enumerate(self.order)}, dict.fromkeys(self.order, 1)
        for node in reversed(self.order):
            if self.parent[node] is not None:
                self._size[self.parent[node]] += self._size[node]

    def _roots(self) -> list[int]:
        document = self.container.document
        if document.get("scenes"):
            return self.container.entry("scenes", document.get("scene", 0)).get("nodes", [])
        nodes = document.get("nodes", [])
        children = {child for node in nodes for child in node.get("children", [])}
        return [node for node in range(len(nodes)) if node not in children]

    def _read_skin(self, index: int) -> None:
        entry = self.container.entry("skins", index)
        joints = entry["joints"]
        if not joints or any(type(joint) is not int or joint not in self.world for joint in joints):
            raise self.container.fail(f"skin {index} has no joints or joints outside the scene")
        inverse_J44 = np.tile(np.eye(4), (len(joints), 1, 1))
        if "inverseBindMatrices" in entry:
            inverse_J44 = self.container.accessor(entry["inverseBindMatrices"], len(joints)).astype(np.float64)
            if inverse_J44.shape[1:] != (4, 4) or len(inverse_J44) < len(joints):
                raise self.container.fail(f"skin {index} has {len(inverse_J44)} bind matrices for {len(joints)} joints")
            if not np.abs(inverse_J44[:, 3] - (0, 0, 0, 1)).max() <= AFFINE:
                raise self.container.fail(f"skin {index} has a bind matrix whose last row is not 0, 0, 0, 1")
            inverse_J44[:, 3] = (0, 0, 0, 1)    # a hair beside it would grow with the coordinates
        by_depth = sorted(range(len(joints)), key=lambda k: self._depth[joints[k]])
        by_depth = [k for k in by_depth if joints[k] in self._frames] or by_depth
        matrix_44 = most_agreed(np.stack([self._frames.get(joints[k], self.world[joints[k]]) @ inverse_J44[k] for k in by_depth]),
                                self._spans([joints[k] for k in by_depth]))
        frames_J44 = np.stack([self._frames.get(joint, self.world[joint]) for joint in joints])
        size_J3 = np.linalg.svd(np.where(np.isfinite(inverse_J44), inverse_J44, 0)[:, :3, :3], compute_uv=False)
        told_J = ~(size_J3[:, 2] <= FLAT * size_J3[:, 0])  # a mesh scaled flat says nothing of where the joints stand that carry it
        frames_J44[told_J] = matrix_44 @ np.linalg.inv(inverse_J44[told_J])
        if not np.isfinite(frames_J44).all():
            raise self.container.fail(f"skin {index} has a bind matrix that is not finite")
        self._skins[index] = (np.array(joints), matrix_44)
        for joint, frame_44 in zip(joints, frames_J44):
            self._frames.setdefault(joint, frame_44)

    def _spans(self, joints: list[int]) -> tuple[np.ndarray, np.ndarray]:
        """Where each joint and what hangs below it begins and ends among these joints, laid out depth first."""
        place_J = np.array([self._place[joint] for joint in joints])
        end_J = place_J + [self._size[joint] for joint in joints]
        laid_J = np.sort(place_J)
        return np.searchsorted(laid_J, place_J), np.searchsorted(laid_J, end_J)

    def skin_joints(self, skin: int) -> np.ndarray:
        """(J,) int64, the node of each joint."""
        return self._skins[skin][0]

    def skin_matrix(self, skin: int) -> np.ndarray:
        """M: from the skinned mesh's own space to the world at the bind pose."""
        return self._skins[skin][1]

    def all_joints(self) -> list[int]:
        """Joints of all skins, each once, in scene order."""
        return [node for node in self.order if node in self._frames]

    def carrier(self, node: int) -> int:
        """The joint a plain mesh node hangs on (itself or its nearest ancestor); -1 where there is none."""
        return int(self._carriers[node])

    def rest(self, node: int) -> np.ndarray:
        """World matrix of a node with the joint that carries it brought back to its bind pose."""
        joint = self.carrier(node)
        if joint < 0:
            return self.world[node]
        if abs(np.linalg.det(self.world[joint])) < 1e-30:
            raise self.container.fail(f"joint {joint} is scaled to nothing")
        return self._frames[joint] @ np.linalg.inv(self.world[joint]) @ self.world[node]

    def joint_frame(self, node: int) -> np.ndarray:
        """Rest frame of a bone in the world: rotation without scale, position. A mirrored or flat frame keeps world axes."""
        frame_44 = self.rest(node).copy()
        left, size, right = np.linalg.svd(frame_44[:3, :3])
        frame_44[:3, :3] = left @ right if size[2] > 1e-6 * size[0] and np.linalg.det(left @ right) > 0 else np.eye(3)
        frame_44[3] = (0, 0, 0, 1)
        return frame_44

    def nearest(self, value_of: dict[int, int], default: int) -> np.ndarray:
        """For each node of the file: the value of itself or its nearest ancestor in `value_of`; the last entry (index -1)
        and nodes without such an ancestor get `default`."""
        values = np.full(len(self.container.document.get("nodes", [])) + 1, default)
        for node in self.order:
            parent = self.parent[node]
            values[node] = value_of.get(node, default if parent is None else values[parent])
        return values


def most_agreed(matrix_J44: np.ndarray, spans: tuple[np.ndarray, np.ndarray] | None = None) -> np.ndarray:
    """The matrix that most of the others equal within a thousandth of its size; the first on a tie. A few hundred are asked.

    spans, of `Scene._spans`: joints below one that agrees count too, and one that does so itself counts twice.
    """
    best, votes = matrix_J44[0], 0
    for matrix_44 in matrix_J44[:MAX_CANDIDATES]:
        agree_J = np.abs(matrix_J44 - matrix_44).max((1, 2)) <= 1e-3 * np.abs(matrix_44).max()
        agree = int(agree_J.sum()) + (0 if spans is None else _covered(agree_J, *spans))
        if agree > votes:
            best, votes = matrix_44, agree
    return best


def _covered(agree_J: np.ndarray, begin_J: np.ndarray, end_J: np.ndarray) -> int:
    """How many joints lie in the spans of those that agree."""
    opened = np.zeros(len(agree_J) + 1, np.int64)
    np.add.at(opened, begin_J[agree_J], 1)
    np.add.at(opened, end_J[agree_J], -1)
    return int((np.cumsum(opened)[:-1] > 0).sum())


def local_matrix(container: Container, entry: dict, node: int) -> np.ndarray:
    """4x4 of a node: its matrix (column by column in the file), or translation * rotation * scale (quaternion xyzw)."""
    if "matrix" in entry:
        matrix_44 = np.array(entry["matrix"], dtype=np.float64).reshape(4, 4).T
        if not np.abs(matrix_44[3] - (0, 0, 0, 1)).max() <= AFFINE and np.isfinite(matrix_44).all():
            raise container.fail(f"node {node} has a matrix whose last row is not 0, 0, 0, 1")
    else:
        x, y, z, w = (float(value) for value in entry.get("rotation", (0, 0, 0, 1)))
        length = x * x + y * y + z * z + w * w
        s = 2 / length if length > 0 else 0.0
        rotation_33 = np.array([[1 - s * (y * y + z * z), s * (x * y - z * w), s * (x * z + y * w)],
                                [s * (x * y + z * w), 1 - s * (x * x + z * z), s * (y * z - x * w)],
                                [s * (x * z - y * w), s * (y * z + x * w), 1 - s * (x * x + y * y)]])
        matrix_44 = np.eye(4)
        matrix_44[:3, :3] = rotation_33 * np.array(entry.get("scale", (1, 1, 1)), dtype=np.float64).reshape(3)
        matrix_44[:3, 3] = np.array(entry.get("translation", (0, 0, 0)), dtype=np.float64).reshape(3)
    if not np.isfinite(matrix_44).all():
        raise container.fail(f"node {node} has a transform that is not finite")
    matrix_44[3] = (0, 0, 0, 1)
    return matrix_44
