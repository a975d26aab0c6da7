"""Animations that a glTF file brings along, as a matrix per joint and frame.

Spec: Khronos "glTF 2.0" 3.11 (animations). A joint that stands at F at the bind pose and at W(t) in a frame moves its vertices by
W(t) inv(F). Of a cubic spline only its keys are used, joined by straight lines. Letters: T frames, K keys, J joints.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dataset.asset import Asset, network_rotation
from dataset.sources.files import GLTF
from dataset.sources.gltf import named_bones
from dataset.sources.gltf_container import Container
from dataset.sources.gltf_scene import Scene, local_matrix
from geometry.kinematics import homogeneous, quaternion_to_matrix

FPS = 30.0
MOST_FRAMES = 3000
FRAMES_IN_ALL = 10_000    # of a file's animations together; later ones are left out
MOST_MATRICES = 2_000_000 # frames times joints and what is above them
WIDTH = {"translation": 3, "rotation": 4, "scale": 3}


@dataclass(frozen=True, eq=False)
class FileMotion:
    """transforms_TJ34 float32: from rest, in the network's frame."""
    name: str
    fps: float
    transforms_TJ34: np.ndarray


def read_motions(path: Path, asset: Asset) -> list[FileMotion]:
    """The animations of the file that the asset was read from; none for other formats, or without joints.

    Raises: AssetError naming the file, for animations that break the format.
    """
    if path.suffix.lower() not in GLTF or asset.names is None:
        return []
    container = Container(path)
    if not container.document.get("animations"):
        return []
    turn_44 = homogeneous(network_rotation(asset).rotation_33)
    with container.guard():
        scene = Scene(container)
        bones = named_bones(container, scene)
        nodes = [bones[name] for name in asset.names]
        found = []
        for entry in container.document["animations"]:
            tracks, fps, count = _tracks(container, entry)
            if not tracks:
                continue
            if sum(len(motion.transforms_TJ34) for motion in found) + count > FRAMES_IN_ALL:
                break
            world = _worlds(container, scene, tracks, set(nodes), count)
            moved_TJ44 = np.stack([world[node] @ np.linalg.inv(scene.rest(node)) for node in nodes], axis=1)
            transforms_TJ34 = np.float32((turn_44 @ moved_TJ44 @ turn_44.T)[..., :3, :])
            if not np.isfinite(transforms_TJ34).all():
                raise container.fail("an animation holds numbers that are not finite")
            found.append(FileMotion(str(entry.get("name", f"animation {len(found)}")), fps, transforms_TJ34))
        return found


def _tracks(container: Container, animation: dict) -> tuple[dict[tuple[int, str], np.ndarray], float, int]:
    """(node, path) -> values (T, 3 or 4), the rate, and T. Weights of morph targets are left out."""
    keys = {}
    for channel in animation["channels"]:
        node, path = channel["target"].get("node"), channel["target"]["path"]
        if node is None or path not in WIDTH:
            continue
        sampler = animation["samplers"][channel["sampler"]]
        time_K = container.accessor(sampler["input"]).astype(np.float64)
        value_KC = container.accessor(sampler["output"]).astype(np.float64)
        if sampler.get("interpolation") == "CUBICSPLINE":
            value_KC = value_KC[1::3]     # tangent, value, tangent
        rises = time_K.ndim == 1 and len(time_K) > 0 and (np.diff(time_K) > 0).all() and np.isfinite(time_K).all()
        if not rises or value_KC.shape != (len(time_K), WIDTH[path]):
            raise container.fail("an animation's keys and values do not fit, or its times do not rise")
        keys[node, path] = time_K, value_KC, sampler.get("interpolation") == "STEP"
    if not keys:
        return {}, FPS, 0
    first, last = min(time_K[0] for time_K, *_ in keys.values()), max(time_K[-1] for time_K, *_ in keys.values())
    count = int(min((last - first) * FPS, MOST_FRAMES - 1) + 1e-6) + 1
    fps = FPS if (last - first) * FPS < MOST_FRAMES else (count - 1) / (last - first)
    time_T = first + np.arange(count) / fps
    return {target: sampled(*track, time_T) for target, track in keys.items()}, fps, count


def sampled(time_K: np.ndarray, value_KC: np.ndarray, step: bool, time_T: np.ndarray) -> np.ndarray:
    """Values at other times: the last key's for a step, else between keys; quaternions (C = 4) along the shorter arc."""
    before_T = np.clip(np.searchsorted(time_K, time_T + 1e-9, side="right") - 1, 0, len(time_K) - 1)
    after_T = np.minimum(before_T + 1, len(time_K) - 1)
    gap_T = time_K[after_T] - time_K[before_T]
    share_T1 = np.clip((time_T - time_K[before_T]) / np.where(gap_T > 0, gap_T, 1), 0, 1)[:, None] * (not step)
    old_TC, new_TC = value_KC[before_T], value_KC[after_T]
    if value_KC.shape[1] != 4:
        return old_TC + share_T1 * (new_TC - old_TC)
    old_TC, new_TC = (q_TC / np.maximum(np.linalg.norm(q_TC, axis=1, keepdims=True), 1e-12) for q_TC in (old_TC, new_TC))
    cosine_T1 = (old_TC * new_TC).sum(1, keepdims=True)
    new_TC, angle_T1 = np.where(cosine_T1 < 0, -new_TC, new_TC), np.arccos(np.clip(np.abs(cosine_T1), 0, 1))
    sine_T1 = np.sin(angle_T1)
    bent = sine_T1 > 1e-6     # else the two are one rotation, and a straight line is as good
    a_T1 = np.where(bent, np.sin((1 - share_T1) * angle_T1) / np.where(bent, sine_T1, 1), 1 - share_T1)
    b_T1 = np.where(bent, np.sin(share_T1 * angle_T1) / np.where(bent, sine_T1, 1), share_T1)
    return a_T1 * old_TC + b_T1 * new_TC


def _worlds(container: Container, scene: Scene, tracks: dict, wanted: set[int], count: int) -> dict[int, np.ndarray]:
    """Wanted node -> its world matrix in each frame (T, 4, 4)."""
    needed = set()
    for node in wanted:
        while node is not None and node not in needed:
            needed.add(node)
            node = scene.parent[node]
    if len(needed) * count > MOST_MATRICES:
        raise container.fail(f"an animation of {count} frames and {len(needed)} nodes is too large to show")
    world = {}
    for node in scene.order:
        if node in needed:
            entry, above = container.entry("nodes", node), scene.parent[node]
            local_44 = _local(container, entry, node, {path: tracks[node, path] for path in WIDTH if (node, path) in tracks}, count)
            world[node] = local_44 if above is None else world[above] @ local_44
    return world


def _local(container: Container, entry: dict, node: int, moved: dict[str, np.ndarray], count: int) -> np.ndarray:
    """(T, 4, 4), or (4, 4) of a node that keeps still: what an animation does not name stays as the file has it."""
    if not moved:
        return local_matrix(container, entry, node)
    rotation_T33 = (quaternion_to_matrix(moved["rotation"]) if "rotation" in moved
                    else local_matrix(container, {"rotation": entry.get("rotation", (0, 0, 0, 1))}, node)[:3, :3])
    scale = moved["scale"][:, None, :] if "scale" in moved else np.array(entry.get("scale", (1, 1, 1)), np.float64)
    way = moved.get("translation", np.array(entry.get("translation", (0, 0, 0)), np.float64))
    local_T44 = np.zeros((count, 4, 4))
    local_T44[:, :3, :3], local_T44[:, :3, 3], local_T44[:, 3, 3] = rotation_T33 * scale, way, 1
    return local_T44
