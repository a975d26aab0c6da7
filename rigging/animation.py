"""A motion baked into a rigged glTF, whatever the rig's rest pose, bone axes and names.

A clip holds D, each bone's global rotation relative to an ideal T pose. The rig's own rest is carried there by R (rest_alignment), so
joint j turns by G_j = D_j R_j in the world, and its node, which rests at the local rotation L_j under axes W_p, gets
W_p^T G_p^T G_j W_p L_j. Joints that the clip lacks (fingers, Unreal's extra spine) follow their parents.
Letters: T frames, J the contest's 22 joints, N nodes of the file.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dataset.asset import AssetError
from dataset.format import BODY_NAMES, BODY_PARENTS
from dataset.poses import T_AIMS
from dataset.sources.bone_names import match_bones
from dataset.sources.bvh import load_bvh
from dataset.sources.npz import read_npz
from dataset.sources.pose_bank import load_pose_bank
from geometry.kinematics import matrix_to_quaternion, rest_alignment
from geometry.similarity import Y_UP_TO_Z_UP
from rigging.node_tree import NodeTree
from rigging.rig import CharacterRig
from rigging.scene_binding import RiggedScene

MAX_FRAMES, MAX_FPS = 100_000, 1000
BANK_FPS = 10.0  # a bank says no rate; ours holds every twelfth frame of CMU's 120 a second (01_01: 230 of 2751)
LEG_IN_METRES = 0.85  # thigh and shank of a person of 1.73 m (0.491 of the height: Drillis and Contini 1966), for clips in metres
_LEG = ("l_upper_leg", "l_lower_leg", "l_foot"), ("r_upper_leg", "r_lower_leg", "r_foot")
_J = {name: j for j, name in enumerate(BODY_NAMES)}


@dataclass(frozen=True, eq=False)
class Clip:
    """A motion for any figure. rotations_TJ33: D, Y up, the T pose facing +Z. offset_T3: the hips' way since the start in lengths of
    the leg (hip to ankle), None where the clip stays in place and the lower foot is to stay on the ground. fps: 0 < fps <= 1000.

    Raises: ValueError for shapes that do not fit, no frame or numbers that are not finite.
    """
    rotations_TJ33: np.ndarray
    offset_T3: np.ndarray | None
    fps: float
    name: str

    def __post_init__(self):
        count = len(self.rotations_TJ33)
        if np.shape(self.rotations_TJ33) != (count, len(BODY_NAMES), 3, 3) or not 1 <= count <= MAX_FRAMES:
            raise ValueError(f"clip {self.name}: rotations are {np.shape(self.rotations_TJ33)}, must be (1 to {MAX_FRAMES}, 22, 3, 3)")
        if self.offset_T3 is not None and np.shape(self.offset_T3) != (count, 3):
            raise ValueError(f"clip {self.name}: offset is {np.shape(self.offset_T3)}, must be {(count, 3)}")
        parts = [self.rotations_TJ33, self.fps] + ([] if self.offset_T3 is None else [self.offset_T3])
        if not all(np.isfinite(part).all() for part in parts) or not 0 < self.fps <= MAX_FPS:
            raise ValueError(f"clip {self.name}: numbers that are not finite, or a rate that is not within 0 to {MAX_FPS} a second")

    def __len__(self) -> int:
        return len(self.rotations_TJ33)


def load_clip(path: str | Path, part: str | None = None) -> Clip:
    """A motion file: .bvh, a whole clip (.npz with rot, offset in metres and fps), or one clip of a pose bank, named by `part`.

    Raises: AssetError naming the file: unreadable, no human's motion, or no such part.
    """
    path = Path(path)
    name = path.stem if part is None else part
    try:
        if path.suffix.lower() == ".bvh":
            motion = load_bvh(path, "auto")
            return Clip(motion.rotations_TJ33, motion.offset_T3 / motion.leg if motion.leg > 0 else None, motion.fps, name)
        members = read_npz(path)
        if "quat_xyzw" in members:
            return _clip_of_bank(path, members, part)
        if missing := sorted({"rot", "offset", "fps"} - set(members)):
            raise AssetError(f"{path.name}: no motion: it lacks {', '.join(missing)}")
        rotations_TJ33 = np.asarray(members["rot"], np.float64)
        gram = np.swapaxes(rotations_TJ33, -1, -2) @ rotations_TJ33
        if not (np.abs(gram - np.eye(3)) < 1e-2).all() or not (np.linalg.det(rotations_TJ33) > 0).all():
            raise AssetError(f"{path.name}: rot holds matrices that are no rotations")
        return Clip(rotations_TJ33, np.asarray(members["offset"], np.float64) / LEG_IN_METRES, float(members["fps"]), name)
    except AssetError:
        raise
    except (ValueError, TypeError, OverflowError) as error:
        raise AssetError(f"{path.name}: broken motion ({error})") from None


def _clip_of_bank(path: Path, members: dict, part: str | None) -> Clip:
    rotations_TJ33 = load_pose_bank(path).rotations_TJ33
    names = [str(name) for name in np.ravel(members["clip_names"])]
    if part not in names:
        raise AssetError(f"{path.name}: a bank of {len(names)} clips; name one of them: {', '.join(names[:40])}")
    return Clip(rotations_TJ33[np.asarray(members["clip"]) == names.index(part)], None, BANK_FPS, part)


def bake(scene: RiggedScene, rig: CharacterRig, clip: Clip) -> None:
    """Add the clip to the scene's file as an animation: a rotation channel for each body joint, the way of the hips, LINEAR.

    rig: the one that the scene was made with; its names and to_network_33 say which node is which joint and how the figure stands.
    Nodes that turn in it get translation, rotation and scale where they had a matrix.
    Raises: ValueError for a rig without named limbs or that is not the scene's; AssetError where a joint stands under a scale that
    is not uniform.
    """
    tree, nodes = NodeTree(scene.file), body_nodes(scene, rig)
    turn_TJ33 = body_turns(scene, rig, tree, clip.rotations_TJ33)
    way_T3 = _way(clip, _places(nodes, tree), turn_TJ33, scene_to_network(scene, rig, tree))
    time = scene.file.accessor((np.arange(len(clip)) / clip.fps).astype(np.float32), "SCALAR", bounds=True)
    animation = {"name": clip.name, "samplers": [], "channels": []}
    for node, local_T33 in local_rotations(nodes, tree, turn_TJ33).items():
        tree.split(node)
        _channel(scene, animation, time, node, "rotation", continuous(matrix_to_quaternion(local_T33)), "VEC4")
    inverse_44 = np.linalg.inv(tree.world(tree.parent[nodes["hips"]]))
    _channel(scene, animation, time, nodes["hips"], "translation", way_T3 @ inverse_44[:3, :3].T + inverse_44[:3, 3], "VEC3")
    scene.file.append("animations", animation)


def body_turns(scene: RiggedScene, rig: CharacterRig, tree: NodeTree, rotations_TJ33: np.ndarray) -> np.ndarray:
    """G (T, 22, 3, 3): how each body joint turns in the scene from where it stands now. rotations_TJ33: D, Y up. Raises: as bake."""
    turn_33 = scene_to_network(scene, rig, tree)
    to_scene_33 = turn_33.T @ Y_UP_TO_Z_UP
    alignment_J33 = rest_alignment(_places(body_nodes(scene, rig), tree) @ turn_33.T, T_AIMS[22])
    return to_scene_33 @ np.asarray(rotations_TJ33, np.float64) @ to_scene_33.T @ (turn_33.T @ alignment_J33 @ turn_33)


def local_rotations(nodes: dict[str, int], tree: NodeTree, turn_TJ33: np.ndarray) -> dict[int, np.ndarray]:
    """Node -> its own rotation in each frame (T, 3, 3), for `body_nodes` that turn by G. Raises: AssetError as bake."""
    turned: dict[int, np.ndarray] = {}
    for j, name in enumerate(BODY_NAMES):  # where joints share a node, the one nearest to the hips turns it
        turned.setdefault(nodes[name], turn_TJ33[:, j])
    out = {}
    for node, turn_T33 in turned.items():
        above = tree.nearest(tree.parent[node], turned)
        above_T33, axes_33 = np.eye(3) if above is None else turned[above], tree.frame(tree.parent[node])
        out[node] = axes_33.T @ np.swapaxes(above_T33, -1, -2) @ turn_T33 @ axes_33 @ tree.rotation(node)
    return out


def _way(clip: Clip, place_J3: np.ndarray, turn_TJ33: np.ndarray, to_network_33: np.ndarray) -> np.ndarray:
    """(T, 3) where the hips are in the scene; in a clip that stays in place, so high that the lower foot keeps its height at rest."""
    if clip.offset_T3 is not None:
        return place_J3[0] + leg_length(place_J3) * (np.asarray(clip.offset_T3, np.float64) @ Y_UP_TO_Z_UP.T @ to_network_33)
    from_hips_TJ3 = np.zeros((len(clip), len(BODY_NAMES), 3))
    for j, parent in enumerate(BODY_PARENTS):
        if parent is not None:
            from_hips_TJ3[:, j] = from_hips_TJ3[:, parent] + turn_TJ33[:, parent] @ (place_J3[j] - place_J3[parent])
    feet, up_3 = [_J[f"{side}_{part}"] for side in "lr" for part in ("foot", "toe_base")], to_network_33[2]
    sunk_T = (from_hips_TJ3[:, feet] @ up_3).min(1) - ((place_J3[feet] - place_J3[0]) @ up_3).min()
    return place_J3[0] - sunk_T[:, None] * up_3


def _places(nodes: dict[str, int], tree: NodeTree) -> np.ndarray:
    """(22, 3) the body joints' places in the scene."""
    return np.stack([tree.world(nodes[name])[:3, 3] for name in BODY_NAMES])


def _channel(scene: RiggedScene, animation: dict, time: int, node: int, path: str, values: np.ndarray, kind: str) -> None:
    output = scene.file.accessor(np.ascontiguousarray(values, np.float32), kind)
    animation["channels"].append({"sampler": len(animation["samplers"]), "target": {"node": node, "path": path}})
    animation["samplers"].append({"input": time, "interpolation": "LINEAR", "output": output})


def continuous(quat_T4: np.ndarray) -> np.ndarray:
    """The same rotations with signs such that each quaternion lies on the half-sphere of the one before it."""
    flip_T = np.cumprod(np.where((quat_T4[1:] * quat_T4[:-1]).sum(-1) < 0, -1.0, 1.0))
    return quat_T4 * np.concatenate([[1.0], flip_T])[:, None]


def leg_length(place_J3: np.ndarray) -> float:
    """Mean length from hip over knee to ankle of both legs."""
    ways = [np.linalg.norm(place_J3[_J[a]] - place_J3[_J[b]]) for leg in _LEG for a, b in zip(leg, leg[1:])]
    return float(sum(ways)) / 2


def body_nodes(scene: RiggedScene, rig: CharacterRig) -> dict[str, int]:
    """Body joint of the contest -> node of the file; where the skeleton lacks one, its nearest ancestor's.

    Raises: ValueError where the rig's names do not give all 22.
    """
    found = match_bones(rig.names)
    missing = [name for name in BODY_NAMES if name not in found]
    if missing:
        raise ValueError(f"no joint of the rig is called {', '.join(missing)}; joints: {', '.join(rig.names[:40])}")
    return {name: scene.joints[found[name]] for name in BODY_NAMES}


def scene_to_network(scene: RiggedScene, rig: CharacterRig, tree: NodeTree) -> np.ndarray:
    """(3, 3) from the scene's axes to the network's: the rig's own, or turned where a Z-up figure was written Y up.

    Raises: ValueError where the joints stand neither way.
    """
    if scene.root is None:  # the user's own skeleton, in the user's own axes
        return np.asarray(rig.to_network_33, np.float64)
    stood_33, joints_J3 = tree.frame(scene.root), np.asarray(rig.joints_J3, np.float64)
    inverse_44 = np.linalg.inv(tree.world(scene.root))
    place_J3 = np.stack([(inverse_44 @ tree.world(node))[:3, 3] for node in scene.joints])
    for file_33 in (np.eye(3), Y_UP_TO_Z_UP):
        if np.allclose(place_J3 @ file_33.T, joints_J3, atol=1e-5 * np.abs(joints_J3).max()):
            return rig.to_network_33 @ file_33 @ stood_33.T
    raise ValueError("the rig is not the one that the scene was made with, or it was made a VRM before: its joints stand elsewhere")
