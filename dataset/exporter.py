"""What leaves the house: the contest's three arrays, whole folders and files, and what a rigged glTF is packed from.

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

from dataset.disk import replace_file, sync, sync_folder, writing

SUM_TOLERANCE = 1e-6 + 1.2e-7  # the contract, and what float32 storage of the row may add
ROWS = 1 << 16      # vertices whose weights are sorted out at a time: bounds the memory
_UNFINISHED = re.compile(r"\.(.+)\.\d+\.(new|old)")


def write_contest(folder: str | Path, joints_J3: np.ndarray, skin_VJ: np.ndarray, vertices_V3: np.ndarray) -> None:
    """predict_skeleton.npy (J, 3), predict_skin.npy (V, J), transformed_vertices.npy (V, 3), float32, in `folder`.

    All three in one frame. A folder of that name is replaced as a whole; its parents are made.
    Raises: ValueError, before anything is written, for a rig that breaks the contract.
    """
    check_rig(joints_J3, skin_VJ, vertices_V3)
    replace_folder(Path(folder), lambda fresh: save_contest(fresh, joints_J3, skin_VJ, vertices_V3))


def save_contest(folder: Path, joints_J3: np.ndarray, skin_VJ: np.ndarray, vertices_V3: np.ndarray) -> None:
    """The same three files into a folder that exists and is whole only when its maker says so. Raises: as write_contest."""
    check_rig(joints_J3, skin_VJ, vertices_V3)
    for name, array in (("predict_skeleton", joints_J3), ("predict_skin", skin_VJ), ("transformed_vertices", vertices_V3)):
        np.save(folder / f"{name}.npy", np.ascontiguousarray(array, dtype=np.float32))


def replace_folder(folder: Path, fill: Callable[[Path], object], sweep: bool = True) -> None:
    """Make folder complete or not at all: fill a hidden one beside it, let it reach the disk, rename. An older one is replaced; parents
    are made.

    sweep: first remove what a killed run left of this folder, which reads the whole parent; False for who writes thousands
    into one parent and has called `sweep_leftovers` before.
    Raises: WriteError; what fill raises that is no error of the disk. Then the older folder stands, and nothing lies beside it.
    """
    fresh, old = (folder.parent / f".{folder.name}.{os.getpid()}.{word}" for word in ("new", "old"))
    with writing(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        if sweep:
            sweep_leftovers(folder.parent, {folder.name})
        try:
            fresh.mkdir()
            fill(fresh)
            sync_folder(fresh)
            if folder.exists():
                os.replace(folder, old)
            os.replace(fresh, folder)
        finally:
            if old.exists() and not folder.exists():
                os.replace(old, folder)
            shutil.rmtree(fresh, ignore_errors=True)
            shutil.rmtree(old, ignore_errors=True)
        sync(folder.parent)


def sweep_leftovers(parent: Path, names: set[str]) -> None:
    """Remove the hidden, unfinished folders that killed runs left in parent for these names, and no others.

    A run that was killed between its two renames has moved the older folder aside: that one is whole, and goes back.
    """
    for entry in list(os.scandir(parent)) if parent.is_dir() else ():
        unfinished = _UNFINISHED.fullmatch(entry.name)
        if not unfinished or unfinished[1] not in names:
            continue
        if unfinished[2] == "old" and not (parent / unfinished[1]).exists():
            os.replace(entry.path, parent / unfinished[1])
        else:
            shutil.rmtree(entry.path, ignore_errors=True)


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
    """The file appears whole or not at all; its folder is made. Raises: WriteError."""
    path = Path(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, lambda part: part.write_bytes(data))


def check_rig(joints_J3, skin_VJ, vertices_V3) -> None:
    """Raises: ValueError for shapes that do not fit, NaN, negative weights, and rows that miss the sum 1."""
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


def check_tree(parents: Sequence[int | None], names: Sequence[str], count: int) -> None:
    """Raises: ValueError unless joint 0 is the only root, parents come before children, and each of `count` joints has a name."""
    if len(parents) != count or len(names) != count:
        raise ValueError(f"{len(parents)} parents and {len(names)} names for {count} joints")
    for j, parent in enumerate(parents):
        if (parent is None) != (j == 0) or (parent is not None and not 0 <= parent < j):
            raise ValueError(f"joint {j} has parent {parent}: the first joint is the root, and a parent comes before its child")

