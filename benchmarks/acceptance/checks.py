"""What is asked of each rigged file. Every check reads the file anew and answers with its worst value, or with what is wrong.

Letters: V vertices, J joints, T times, K influences, P vertices of a primitive.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from dataset.asset import merge_fingers
from dataset.exporter import strongest_weights
from dataset.format import BODY_NAMES, DIALECTS
from dataset.sources.files import GLTF, load_asset
from dataset.sources.gltf import read_parts
from dataset.sources.gltf_container import Container
from dataset.sources.gltf_scene import Scene
from geometry.similarity import Y_UP_TO_Z_UP
from geometry.skinning import linear_blend_skinning
from rigging.animation import Clip
from rigging.dialects import in_dialect
from rigging.scene_binding import weld
from tests.rigging.gltf_player import Player, local
from tests.rigging.played import played
from tests.rigging.untouched import assert_untouched

from benchmarks.acceptance.witness import Handed

SUM = 1e-6             # how far a row's sum may be from 1: float32, four numbers
JOINTS = 1e-5          # of the figure's size
WEIGHTS = 1 / 255
VERTICES = 1e-3        # of the figure's size: three.js against our skinning
MOVES = 0.01           # of the figure's size: what a clip must move at least
REQUIRED = ("hips spine head leftUpperLeg leftLowerLeg leftFoot rightUpperLeg rightLowerLeg rightFoot "
            "leftUpperArm leftLowerArm leftHand rightUpperArm rightLowerArm rightHand").split()


@dataclass(frozen=True)
class Pass:
    """One way to hand out rigs: the door's options."""
    dialect: str
    hands: str = "full"
    policy: str = "replace"
    influences: int = 4

    @property
    def name(self) -> str:
        return f"{self.dialect}-{self.hands}-{self.policy}"


@dataclass(frozen=True)
class Output:
    """One file that the door wrote, what it was made from, and what the witness saw."""
    source: Path
    path: Path
    way: Pass
    handed: Handed


class Wrong(Exception):
    """A check that failed, in one sentence."""


def contract(output: Output) -> float:
    """At most k influences, sums of 1, no NaN, joints that exist, and one row for vertices at one position; -> largest |sum - 1|."""
    container = Container(output.path)
    document, worst = container.document, 0.0
    places, rows = [], []
    for part in read_parts(container, Scene(container)):
        node = document["nodes"][part.node]
        if "skin" not in node:
            raise Wrong(f"node {part.node} has a mesh and no skin")
        count = len(document["skins"][node["skin"]]["joints"])
        joint_PK, weight_PK = _influences(container, document["meshes"][node["mesh"]]["primitives"][part.primitives[0]])
        used_PK = weight_PK > 0
        if not np.isfinite(weight_PK).all() or (weight_PK < 0).any():
            raise Wrong(f"node {part.node}: weights that are negative or no numbers")
        if joint_PK.max() >= count or used_PK.sum(1).max() > output.way.influences:
            raise Wrong(f"node {part.node}: joint {joint_PK.max()} of {count}, up to {used_PK.sum(1).max()} influences")
        ordered_PK = np.sort(np.where(used_PK, joint_PK, -1 - np.arange(joint_PK.shape[1])), axis=1)
        if (ordered_PK[:, 1:] == ordered_PK[:, :-1]).any():
            raise Wrong(f"node {part.node}: a vertex names one joint twice")
        worst = max(worst, float(np.abs(weight_PK.sum(1) - 1).max()))
        joints = np.array(document["skins"][node["skin"]]["joints"])
        dense_PN = np.zeros((len(joint_PK), len(document["nodes"])), np.float32)
        np.add.at(dense_PN, (np.arange(len(joint_PK))[:, None], joints[joint_PK]), weight_PK)
        places.append(np.float32(part.vertices_V3))
        rows.append(dense_PN)
    if worst > SUM:
        raise Wrong(f"a row sums to 1 only within {worst:.2g}")
    _one_row_a_place(np.concatenate(places), np.concatenate(rows), output)
    return worst


def _influences(container: Container, primitive: dict) -> tuple[np.ndarray, np.ndarray]:
    """(P, K) joints and float64 weights, as the accessors hold them."""
    sets = sorted(key[7:] for key in primitive["attributes"] if key.startswith("JOINTS_"))
    if not sets:
        raise Wrong("a primitive without joints")
    read = {kind: [container.accessor(primitive["attributes"][f"{kind}_{k}"]) for k in sets] for kind in ("JOINTS", "WEIGHTS")}
    return np.concatenate(read["JOINTS"], 1).astype(np.int64), np.concatenate(read["WEIGHTS"], 1).astype(np.float64)


def _one_row_a_place(place_V3: np.ndarray, row_VN: np.ndarray, output: Output) -> None:
    """Vertices of the source at one position move together. place_V3: of the rigged file; the source's own decide who is one."""
    mine_V3 = output.handed.vertices_V3
    if len(mine_V3) != len(place_V3):
        raise Wrong(f"{len(place_V3)} vertices of {len(mine_V3)}")
    pairs_P2 = cKDTree(mine_V3).query_pairs(0, output_type="ndarray")
    if len(pairs_P2) and not np.array_equal(row_VN[pairs_P2[:, 0]], row_VN[pairs_P2[:, 1]]):
        raise Wrong("vertices at one position have different weights")


def untouched(output: Output, clip: bool) -> float:
    """Everything of the user's file is there to the byte; -> 0."""
    try:
        assert_untouched(output.source, output.path, output.way.policy, clip, output.way.dialect == "vrm")
    except AssertionError as error:
        raise Wrong(f"changed: {str(error).strip().splitlines()[0][:200] if str(error) else 'an entry'}") from None
    return 0.0


def has_contest_joints(output: Output) -> bool:
    """Can the joints be named? Not where the user's own skeleton, which was kept, has other ones."""
    return output.way.policy == "replace" or load_asset(output.source).names is not None


def round_trip(output: Output) -> dict[str, float]:
    """The file read back has the contest's joints and weights of the prediction; -> worst joint (of the size), weight, and joints that
    changed sides (0)."""
    handed, again = output.handed, load_asset(output.path)
    if again.names is None:
        raise Wrong("its bones cannot be named")
    home_44 = np.linalg.inv(stand(Container(output.path).document))  # a VRM stands on the origin
    joints_J3, vertices_V3 = (place @ home_44[:3, :3].T + home_44[:3, 3] for place in (again.joints_J3, again.vertices_V3))
    turn_33 = to_scene(handed, output.source)
    size = float(np.ptp(handed.vertices_V3, 0).max())
    if output.way.hands == "full" and output.way.policy == "replace" and again.joint_count != handed.rig.joint_count:
        raise Wrong(f"{again.joint_count} joints read back of {handed.rig.joint_count}")
    if not np.allclose(vertices_V3, handed.vertices_V3 @ turn_33.T, atol=JOINTS * size):
        raise Wrong("the vertices stand elsewhere")
    if output.way.policy == "keep-skeleton":
        theirs = load_asset(output.source)
        want_J3, want_VJ = np.float64(theirs.joints_J3), _weights_on(handed, theirs.joint_count)
    else:
        column_J = [handed.rig.names.index(name) for name in again.names]
        want_J3, want_VJ = handed.rig.joints_J3[column_J] @ turn_33.T, _weights_on(handed, again.joint_count)
    joint_VK, weight_VK = strongest_weights(weld(want_VJ, handed.vertices_V3), output.way.influences)
    kept_VJ = np.zeros(want_VJ.shape)
    np.add.at(kept_VJ, (np.arange(len(kept_VJ))[:, None], joint_VK), weight_VK)
    off = float(np.linalg.norm(joints_J3 - want_J3, axis=1).max()) / size
    weight = float(np.abs(again.skin_VJ - kept_VJ).max())
    swapped = _changed_sides(dict(zip(again.names, joints_J3)), dict(zip(again.names, want_J3)))
    if off > JOINTS or weight > WEIGHTS or swapped:
        raise Wrong(f"joints {off:.2g} of the size, weights {weight:.2g} away; {swapped} pairs changed sides")
    return {"joints": off, "weights": weight, "sides": float(swapped)}


def _weights_on(handed: Handed, count: int) -> np.ndarray:
    return handed.rig.skin_VJ if count == handed.rig.joint_count else merge_fingers(handed.rig.skin_VJ)


def _changed_sides(got: dict[str, np.ndarray], want: dict[str, np.ndarray]) -> int:
    """Pairs whose way from right to left points elsewhere than it should."""
    pairs = [(name, "r" + name[1:]) for name in want if name.startswith("l_")]
    return sum(float((got[left] - got[right]) @ (want[left] - want[right])) <= 0 for left, right in pairs)


def to_scene(handed: Handed, source: Path) -> np.ndarray:
    """(3, 3) from the frame of the source to that of the rigged file: glTF is Y up, what came Z up was turned."""
    return Y_UP_TO_Z_UP.T if source.suffix.lower() not in GLTF and handed.up == "z" else np.eye(3)


def bones_in_three(output: Output, told: dict) -> float:
    """The world's own bone names where three.js has them at rest: left stays left; -> farthest body joint (of the size), vrm aside."""
    document, rig = Container(output.path).document, output.handed.rig
    names = DIALECTS[output.way.dialect]
    by_name = {_plain(document["nodes"][int(node)].get("name", "")): np.array(place) for node, place in told["joints"].items()}
    lost = [names[name] for name in BODY_NAMES if names[name].split(":")[-1] not in by_name]
    if lost:
        raise Wrong(f"no bone is called {', '.join(lost)}")
    turn_33 = to_scene(output.handed, output.source)
    want = {name: turn_33 @ rig.joints_J3[rig.names.index(name)] for name in BODY_NAMES}
    got = {name: by_name[names[name].split(":")[-1]] for name in BODY_NAMES}
    stood = np.linalg.inv(stand(document))
    got = {name: (stood @ np.r_[place, 1])[:3] for name, place in got.items()}
    swapped = _changed_sides(got, want)
    size = float(np.ptp(output.handed.vertices_V3, 0).max())
    off = 0.0 if output.way.dialect == "vrm" else max(float(np.linalg.norm(got[name] - want[name])) for name in BODY_NAMES) / size
    if swapped or off > VERTICES:
        raise Wrong(f"{swapped} pairs of bones changed sides, a bone stands {off:.2g} of the size away")
    return off


def _plain(name: str) -> str:
    """Without a namespace: ours stands before names that were taken."""
    return name.split(":")[-1]


def stand(document: dict) -> np.ndarray:
    """(4, 4) the node VRM that turns and shifts a figure, or the identity."""
    shown = document["scenes"][document.get("scene", 0)]["nodes"]
    return next((local(document["nodes"][node]) for node in shown if document["nodes"][node].get("name") == "VRM"), np.eye(4))


def follows(output: Output, told: dict, clip: Clip, frames: list[int], every: int) -> dict[str, float]:
    """Vertices in three.js at each time against our skinning: of the file as we read it, and of the rig that was handed out, by the
    clip alone; -> the farthest, of the figure's size."""
    duration = (len(clip) - 1) / clip.fps
    if abs(told["duration"] - duration) > 1e-4:
        raise Wrong(f"the clip lasts {told['duration']:.4f} s, not {duration:.4f}")
    size = float(np.ptp(output.handed.vertices_V3, 0).max())
    got_TV3 = [flat(told, k, every, output.path) for k in range(len(frames))]
    worst = {"file": 0.0} | ({"rig": 0.0} if output.way.policy == "replace" else {})
    from_file, sample_V = _file_skinner(output, every)
    for got_V3, frame in zip(got_TV3, frames):
        want = {"file": from_file(frame / clip.fps)}
        if "rig" in worst:
            want["rig"] = _from_rig(output, clip, frame)[sample_V]
        for key, want_V3 in want.items():
            worst[key] = max(worst[key], float(np.linalg.norm(got_V3 - want_V3, axis=1).max()) / size)
    moved = max(float(np.linalg.norm(got_V3 - got_TV3[0], axis=1).max()) for got_V3 in got_TV3) / size
    if max(worst.values()) > VERTICES or not moved > MOVES:
        raise Wrong(f"vertices are {', '.join(f'{value:.2g} ({key})' for key, value in worst.items())} of the size away; moved {moved:.2g}")
    return worst


def flat(told: dict, frame: int, every: int, path: Path) -> np.ndarray:
    """(V, 3) the told vertices in the order in which our reader has them."""
    container = Container(path)
    by_place = {(mesh["node"], mesh["primitive"]): np.array(place).reshape(-1, 3)
                for mesh, place in zip(told["meshes"], told["frames"][frame], strict=True)}
    out = []
    for part in read_parts(container, Scene(container)):
        if (part.node, part.primitives[0]) not in by_place:
            raise Wrong(f"three.js has no mesh of node {part.node}, primitive {part.primitives[0]}")
        out.append(by_place[part.node, part.primitives[0]])
        if len(out[-1]) != -(-len(part.vertices_V3) // every):
            raise Wrong(f"node {part.node} has {len(part.vertices_V3)} vertices, another number in three.js")
    return np.concatenate(out)


def _file_skinner(output: Output, every: int):
    """-> time -> (V, 3) our skinning of the file as our reader has it, every so many vertices of each part; and their rows."""
    container = Container(output.path)
    scene, player = Scene(container), Player(output.path.read_bytes())
    parts = read_parts(container, scene)
    starts = np.cumsum([0] + [len(part.vertices_V3) for part in parts])
    rows_V = np.concatenate([start + np.arange(0, len(part.vertices_V3), every) for start, part in zip(starts, parts)])
    nodes = sorted({node for part in parts for node in np.unique(part.bones_VK[part.weights_VK > 0]).tolist()})
    place_V3, skins = np.concatenate([part.vertices_V3[::every] for part in parts]), []
    for part in parts:
        bones_VK, weights_VK = part.bones_VK[::every], part.weights_VK[::every]
        used_VK = weights_VK > 0
        skin_VN = np.zeros((len(bones_VK), len(nodes)))
        rows, slots = np.nonzero(used_VK)
        np.add.at(skin_VN, (rows, np.searchsorted(nodes, bones_VK[rows, slots])), weights_VK[rows, slots])
        skins.append(skin_VN)
    skin_VN, inverse = np.concatenate(skins), {node: np.linalg.inv(scene.rest(node)) for node in nodes}

    def at(time: float) -> np.ndarray:
        worlds = player.worlds(len(player.document["animations"]) - 1, time)
        return linear_blend_skinning(place_V3, skin_VN, np.stack([(worlds[node] @ inverse[node])[:3] for node in nodes]))
    return at, rows_V


def _from_rig(output: Output, clip: Clip, frame: int) -> np.ndarray:
    """(V, 3) in the scene of the file: the handed-out rig moved by the clip, by kinematics and skinning alone."""
    handed = output.handed
    rig = in_dialect(handed.rig, output.way.dialect, output.way.hands)
    network_V3, _ = played(rig, handed.vertices_V3, clip, frame, output.way.influences)
    place_V3 = network_V3 @ (to_scene(handed, output.source) @ handed.rig.to_network_33.T).T
    stand_44 = stand(Container(output.path).document)
    return place_V3 @ stand_44[:3, :3].T + stand_44[:3, 3]


def human(output: Output, told: dict) -> float:
    """three-vrm has a VRM 1.0 with every required bone, soles on the ground, arms out; -> how far a bent elbow's hand is off (of 1 m)."""
    vrm = told["vrm"]
    if vrm is None or vrm["version"] != "1":
        raise Wrong("three-vrm sees no VRM 1.0")
    lost = [bone for bone in REQUIRED if bone not in vrm["bones"]]
    if lost:
        raise Wrong(f"required bones are missing: {', '.join(lost)}")
    at = {bone: np.array(place) for bone, place in vrm["bones"].items()}
    if not (at["leftHand"][0] > at["leftUpperArm"][0] > at["rightUpperArm"][0] > at["rightHand"][0] and at["head"][1] > at["hips"][1]
            and at["leftLowerLeg"][0] > at["rightLowerLeg"][0]):
        raise Wrong("the figure does not stand upright with its left at +X")
    forearm = float(np.linalg.norm(at["leftHand"] - at["leftLowerArm"]))
    off = float(np.linalg.norm(np.array(vrm["bent"]) - at["leftLowerArm"] - (0, 0, forearm))) / forearm
    if off > VERTICES:
        raise Wrong(f"an elbow bent to the front leaves the hand {off:.2g} of the forearm away")
    return off
