"""What leaves the house: the contest's three arrays, and a rigged glTF that engines and Blender open as it is.

Spec: Khronos "glTF 2.0" (skins 3.7.3: at most 4 influences a set, weights of a vertex sum to 1; unused slots name joint 0).
Nothing is written unless the rig keeps its contract (finite, weights >= 0, rows sum to 1), and a file or folder appears only
when it is whole. Same input, same bytes.
Letters: V vertices, F faces, J joints, K influences.
"""

import json
import os
import re
import shutil
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from geometry.normals import normalize

SUM_TOLERANCE = 1e-6 + 1.2e-7  # the contract, and what float32 storage of the row may add
FLOAT, U8, U16, U32 = 5126, 5121, 5123, 5125
ARRAY_BUFFER, INDEX_BUFFER = 34962, 34963
POINTS, TRIANGLES = 0, 4
ROWS = 1 << 16      # vertices whose weights are sorted out at a time: bounds the memory
_UNFINISHED = re.compile(r"\.(.+)\.\d+\.(?:new|old)")


def write_contest(folder: str | Path, joints_J3: np.ndarray, skin_VJ: np.ndarray, vertices_V3: np.ndarray) -> None:
    """predict_skeleton.npy (J, 3), predict_skin.npy (V, J), transformed_vertices.npy (V, 3), float32, in `folder`.

    All three in one frame. A folder of that name is replaced as a whole; its parents are made.
    Raises: ValueError, before anything is written, for a rig that breaks the contract.
    """
    _check_rig(joints_J3, skin_VJ, vertices_V3)
    replace_folder(Path(folder), lambda fresh: save_contest(fresh, joints_J3, skin_VJ, vertices_V3))


def save_contest(folder: Path, joints_J3: np.ndarray, skin_VJ: np.ndarray, vertices_V3: np.ndarray) -> None:
    """The same three files into a folder that exists and is whole only when its maker says so. Raises: as write_contest."""
    _check_rig(joints_J3, skin_VJ, vertices_V3)
    for name, array in (("predict_skeleton", joints_J3), ("predict_skin", skin_VJ), ("transformed_vertices", vertices_V3)):
        np.save(folder / f"{name}.npy", np.ascontiguousarray(array, dtype=np.float32))


def replace_folder(folder: Path, fill: Callable[[Path], object], sweep: bool = True) -> None:
    """Make folder complete or not at all: fill a hidden one beside it, then rename. An older one is replaced; parents are made.

    sweep: first remove what a killed run left of this folder, which reads the whole parent; False for who writes thousands
    into one parent and has called `sweep_leftovers` before.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh, old = (folder.parent / f".{folder.name}.{os.getpid()}.{word}" for word in ("new", "old"))
    if sweep:
        sweep_leftovers(folder.parent, {folder.name})
    fresh.mkdir()
    try:
        fill(fresh)
        if folder.exists():
            os.replace(folder, old)
        os.replace(fresh, folder)
    finally:
        if old.exists() and not folder.exists():
            os.replace(old, folder)
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def sweep_leftovers(parent: Path, names: set[str]) -> None:
    """Remove the hidden, unfinished folders that killed runs left in parent for these names, and no others."""
    for entry in os.scandir(parent) if parent.is_dir() else ():
        unfinished = _UNFINISHED.fullmatch(entry.name)
        if unfinished and unfinished[1] in names:
            shutil.rmtree(entry.path, ignore_errors=True)


def write_glb(path: str | Path, vertices_V3: np.ndarray, faces_F3: np.ndarray | None, normals_V3: np.ndarray | None,
              joints_J3: np.ndarray, parents: Sequence[int | None], names: Sequence[str], skin_VJ: np.ndarray,
              up: str = "y", max_influences: int = 4) -> None:
    """One skinned mesh (a point cloud without faces) over one joint tree, as GLB, Y up; a Z-up asset is turned.

    Each vertex keeps its `max_influences` (1-8) largest weights, renormalised in float32; beyond four a second set is written.
    Joints have no rotation at rest: node translation = joint - parent, inverse bind matrix = translation by -joint.
    Raises: ValueError, before anything is written, for a rig that breaks the contract, a broken tree or a bad argument.
    """
    _check_rig(joints_J3, skin_VJ, vertices_V3)
    _check_tree(parents, names, len(joints_J3))
    if up not in ("y", "z") or not 1 <= max_influences <= 8:
        raise ValueError(f"up must be y or z and max_influences 1 to 8, not {up!r} and {max_influences!r}")
    if faces_F3 is not None and len(faces_F3) and (np.min(faces_F3) < 0 or np.max(faces_F3) >= len(vertices_V3)):
        raise ValueError(f"faces name vertices {np.min(faces_F3)} to {np.max(faces_F3)} of {len(vertices_V3)}")
    joints_J3, glb = _y_up(joints_J3, up), _Builder()
    mesh = {"primitives": [_primitive(glb, _y_up(vertices_V3, up), faces_F3, _y_up(normals_V3, up), skin_VJ, max_influences)]}
    inverse_J44 = np.tile(np.eye(4, dtype=np.float32), (len(joints_J3), 1, 1))
    inverse_J44[:, 3, :3] = -joints_J3  # column by column in the file: the translation is the last row here
    skin = {"inverseBindMatrices": glb.accessor(inverse_J44.reshape(-1, 16), "MAT4"), "skeleton": 1,
            "joints": [1 + j for j in range(len(joints_J3))]}
    document = {
        "asset": {"version": "2.0", "generator": "TransRefiner"}, "scene": 0, "scenes": [{"nodes": [0, 1]}],
        "nodes": [{"name": "figure", "mesh": 0, "skin": 0}] + _joint_nodes(joints_J3, parents, names),
        "meshes": [mesh], "skins": [skin], "accessors": glb.accessors, "bufferViews": glb.views,
        "buffers": [{"byteLength": len(glb.data)}]}
    write_atomically(path, pack_glb(document, glb.data))


def strongest_weights(skin_VJ: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """-> joint_VK int64, weight_VK float32: the `count` largest weights of each row, largest first, ties to the smaller joint.

    Rows are renormalised and sum to 1 within float32 rounding; an unused slot has weight 0 and joint 0. K = count.
    """
    skin_VJ = np.asarray(skin_VJ)
    joint_VK, weight_VK = np.zeros((len(skin_VJ), count), np.int64), np.zeros((len(skin_VJ), count), np.float32)
    for start in range(0, len(skin_VJ), ROWS):
        rows = slice(start, start + ROWS)
        joint_PK, weight_PK = _strongest(skin_VJ[rows].astype(np.float64), min(count, skin_VJ.shape[1]))
        joint_VK[rows, :joint_PK.shape[1]], weight_VK[rows, :joint_PK.shape[1]] = joint_PK, weight_PK
    return joint_VK, weight_VK


def _strongest(skin_PJ: np.ndarray, kept: int) -> tuple[np.ndarray, np.ndarray]:
    """The same for some rows, K = kept <= J; skin_PJ is used up. Taking the largest K times is cheaper than sorting J."""
    row_P, joint_PK = np.arange(len(skin_PJ)), np.empty((len(skin_PJ), kept), np.int64)
    weight_PK = np.empty((len(skin_PJ), kept))
    for k in range(kept):
        joint_PK[:, k] = skin_PJ.argmax(1)  # the first of equals
        weight_PK[:, k] = skin_PJ[row_P, joint_PK[:, k]]
        skin_PJ[row_P, joint_PK[:, k]] = -1
    sums_P1 = weight_PK.sum(1, keepdims=True)
    # a row that float32 already holds exactly keeps its bits; dividing it again would only stir them
    weight_PK = np.where(np.abs(sums_P1 - 1) <= 2e-7, weight_PK, weight_PK / sums_P1).astype(np.float32)
    return np.where(weight_PK > 0, joint_PK, 0), weight_PK


def pack_glb(document: dict, binary: bytes | bytearray) -> bytes:
    """A GLB of one JSON and one binary chunk, each padded to 4 bytes."""
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    text += b" " * (-len(text) % 4)
    tail = b"\0" * (-len(binary) % 4)
    length = 12 + 8 + len(text) + 8 + len(binary) + len(tail)
    return b"".join((struct.pack("<4sII", b"glTF", 2, length), struct.pack("<I4s", len(text), b"JSON"), text,
                     struct.pack("<I4s", len(binary) + len(tail), b"BIN\0"), binary, tail))


def write_atomically(path: str | Path, data: bytes) -> None:
    """The file appears whole or not at all; its folder is made."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.parent / f".{path.name}.{os.getpid()}.new"
    try:
        fresh.write_bytes(data)
        os.replace(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)


class _Builder:
    """Collects the arrays of a glTF: bytes, views and accessors."""

    def __init__(self):
        self.data, self.views, self.accessors = bytearray(), [], []

    def accessor(self, array: np.ndarray, kind: str, target: int | None = None, bounds: bool = False) -> int:
        component = {"f4": FLOAT, "u1": U8, "u2": U16, "u4": U32}[array.dtype.str[1:]]
        view = {"buffer": 0, "byteOffset": len(self.data), "byteLength": array.nbytes}
        if target is not None:
            view["target"] = target
        self.data += np.ascontiguousarray(array).tobytes()
        self.data += b"\0" * (-len(self.data) % 4)
        entry = {"bufferView": len(self.views), "componentType": component, "count": len(array), "type": kind}
        if bounds:
            entry |= {"min": array.min(0).tolist(), "max": array.max(0).tolist()}
        self.views.append(view)
        self.accessors.append(entry)
        return len(self.accessors) - 1


def _primitive(glb: _Builder, vertices_V3, faces_F3, normals_V3, skin_VJ, max_influences: int) -> dict:
    attributes = {"POSITION": glb.accessor(vertices_V3, "VEC3", ARRAY_BUFFER, bounds=True)}
    if normals_V3 is not None:
        attributes["NORMAL"] = glb.accessor(_unit_normals(normals_V3), "VEC3", ARRAY_BUFFER)
    joint_VK, weight_VK = strongest_weights(skin_VJ, max_influences)
    pad = ((0, 0), (0, -max_influences % 4))
    joint_VK, weight_VK = np.pad(joint_VK, pad), np.pad(weight_VK, pad)
    joint_type = np.uint8 if skin_VJ.shape[1] <= 256 else np.uint16
    for k in range(joint_VK.shape[1] // 4):
        slots = slice(4 * k, 4 * k + 4)
        attributes[f"JOINTS_{k}"] = glb.accessor(joint_VK[:, slots].astype(joint_type), "VEC4", ARRAY_BUFFER)
        attributes[f"WEIGHTS_{k}"] = glb.accessor(weight_VK[:, slots], "VEC4", ARRAY_BUFFER)
    primitive = {"attributes": attributes, "mode": POINTS}
    if faces_F3 is not None and len(faces_F3):
        primitive |= {"mode": TRIANGLES, "indices": glb.accessor(np.asarray(faces_F3).astype("<u4").ravel(), "SCALAR", INDEX_BUFFER)}
    return primitive


def _joint_nodes(joints_J3: np.ndarray, parents: Sequence[int | None], names: Sequence[str]) -> list[dict]:
    nodes = []
    for j, (name, parent) in enumerate(zip(names, parents)):
        origin_3 = 0.0 if parent is None else joints_J3[parent].astype(np.float64)
        node = {"name": name, "translation": (joints_J3[j] - origin_3).tolist()}
        children = [1 + child for child, above in enumerate(parents) if above == j]
        nodes.append(node | ({"children": children} if children else {}))
    return nodes


def _y_up(x_P3: np.ndarray | None, up: str) -> np.ndarray | None:
    """float32; (x, y, z) -> (x, z, -y) from Z up, the inverse of Y_UP_TO_Z_UP, exact because it only swaps and negates."""
    if x_P3 is None:
        return None
    x_P3 = np.asarray(x_P3, dtype=np.float32)
    turned_P3 = np.stack([x_P3[:, 0], x_P3[:, 2], -x_P3[:, 1]], 1) if up == "z" else x_P3
    return np.ascontiguousarray(turned_P3 + np.float32(0))  # + 0: no negative zeros in the file


def _unit_normals(normals_V3: np.ndarray) -> np.ndarray:
    """Unit length, as glTF asks; where there is none, up."""
    unit_V3 = normalize(normals_V3)
    return np.where(unit_V3.any(1, keepdims=True), unit_V3, (0.0, 1.0, 0.0)).astype(np.float32)


def _check_rig(joints_J3, skin_VJ, vertices_V3) -> None:
    joints_J3, skin_VJ, vertices_V3 = (np.asarray(array) for array in (joints_J3, skin_VJ, vertices_V3))
    count = len(joints_J3)
    if joints_J3.shape != (count, 3) or vertices_V3.shape != (len(vertices_V3), 3) or not count or not len(vertices_V3):
        raise ValueError(f"joints {joints_J3.shape} and vertices {vertices_V3.shape} must be (J, 3) and (V, 3) with J, V >= 1")
    if skin_VJ.shape != (len(vertices_V3), count):
        raise ValueError(f"skin is {skin_VJ.shape}, must be {(len(vertices_V3), count)}: a row per vertex, a column per joint")
    for name, array in (("joints", joints_J3), ("vertices", vertices_V3), ("skin", skin_VJ)):
        if not np.isfinite(array).all():
            raise ValueError(f"{name} holds NaN or infinity, first in row {np.flatnonzero(~np.isfinite(array).all(1))[0]}: not written")
    if (skin_VJ < 0).any():
        raise ValueError(f"skin of vertex {np.flatnonzero((skin_VJ < 0).any(1))[0]} is negative: not written")
    off_V = np.abs(skin_VJ.sum(1, dtype=np.float64) - 1)
    if off_V.max() > SUM_TOLERANCE:
        raise ValueError(f"skin of vertex {off_V.argmax()} misses the sum 1 by {off_V.max():.3g}, must be 1 within 1e-6: not written")


def _check_tree(parents: Sequence[int | None], names: Sequence[str], count: int) -> None:
    if len(parents) != count or len(names) != count:
        raise ValueError(f"{len(parents)} parents and {len(names)} names for {count} joints")
    for j, parent in enumerate(parents):
        if (parent is None) != (j == 0) or (parent is not None and not 0 <= parent < j):
            raise ValueError(f"joint {j} has parent {parent}: the first joint is the root, and a parent comes before its child")

