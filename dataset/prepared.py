"""Characters prepared once: flat binary arrays that every worker maps into memory instead of reading .npz files per draw.

A folder holds one .bin per array (all assets end to end) and index.json with shapes, offsets and a BLAKE2b hash of every file, checked
on load. All assets are in the network's frame (Z up). Skin is sparse: of the TOP largest weights of a vertex those that are not zero,
renormalised. What drawing and posing would else compute for every sample lies there too: running sums of the faces' areas, and the
blocks of dataset/body.py. Letters: A assets, V vertices, F faces, E entries of the sparse skin, J joints.
"""

import fcntl
import glob
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dataset.asset import Asset, AssetError, check
from dataset.body import BLOCK, Blocks, Body, SparseSkin
from dataset.disk import sync, sync_folder, writing
from dataset.format import skeleton
from dataset.sampler import Surface
from geometry.normals import vertex_normals

VERSION = 2
TOP = 8
NORMAL_UNIT = 1 / 32767     # normals are kept as integers of 16 bit: finer than float16 and many times faster to unfold
# array -> (type on disk, trailing shape); joints and rest frames are padded to 52 rows, skin_start counts from the asset's first entry
_ARRAYS = {"vertices": ("<f4", (3,)), "normals": ("<i2", (3,)), "skin_start": ("<i4", ()), "skin_count": ("|u1", ()),
           "skin_joint": ("|u1", ()), "skin_weight": ("<f4", ()),
           "faces": ("<i4", (3,)), "area_total": ("<f8", ()), "hand": ("<i4", ()), "hand_total": ("<f8", ()),
           "block": ("<i4", (BLOCK,)), "block_first": ("<i4", ()),
           "pair_joint": ("|u1", ()), "pair_centre": ("<f4", (3,)), "pair_half": ("<f4", (3,)),
           "joints": ("<f4", (52, 3)), "local": ("<f8", (52, 4, 4)), "valid": ("|b1", (52,))}


@dataclass(frozen=True)
class Entry:
    """One asset's place in the arrays: [first row, rows] of its vertices (normals, skin_start and skin_count), skin entries, faces,
    area_total, hand (and hand_total), blocks (and block_first) and pairs."""
    cls: str
    id: str
    source: str
    vertices: int
    vertex_rows: tuple[int, int]
    entry_rows: tuple[int, int]
    face_rows: tuple[int, int]
    area_rows: tuple[int, int]
    hand_rows: tuple[int, int]
    block_rows: tuple[int, int]
    pair_rows: tuple[int, int]
    joints: int
    has_normals: bool
    has_skin: bool
    skin_valid: bool


class _Writer:
    """Appends to the .bin files and hashes what it writes. Equal face lists (one topology, many bodies) are stored once."""

    def __init__(self, folder: Path):
        self.files = {name: open(folder / f"{name}.bin", "wb") for name in _ARRAYS}
        self.hashes = {name: hashlib.blake2b(digest_size=16) for name in _ARRAYS}
        self.rows = dict.fromkeys(_ARRAYS, 0)
        self.known_faces: dict[bytes, tuple[int, int]] = {}

    def append(self, name: str, array: np.ndarray) -> tuple[int, int]:
        """Returns the first row's number, and how many rows."""
        kind, tail = _ARRAYS[name]
        data = np.ascontiguousarray(array, kind)
        if data.shape[1:] != tail:
            raise ValueError(f"{name}: rows of shape {data.shape[1:]}, not {tail}")
        first = self.rows[name]
        self.rows[name] += len(data)
        self.files[name].write(data.tobytes())
        self.hashes[name].update(data.tobytes())
        return first, len(data)

    def append_faces(self, faces_F3: np.ndarray) -> tuple[int, int]:
        key = hashlib.blake2b(np.ascontiguousarray(faces_F3, "<i4").tobytes(), digest_size=16).digest()
        if key not in self.known_faces:
            self.known_faces[key] = self.append("faces", faces_F3)
        return self.known_faces[key]

    def close(self) -> dict[str, dict]:
        for file in self.files.values():
            file.close()
        return {name: {"rows": self.rows[name], "hash": self.hashes[name].hexdigest()} for name in _ARRAYS}


def top_weights(skin_VJ: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The TOP largest weights of each row, largest first: joint_V8 uint8, weight_V8 float32 with rows that sum to 1."""
    joint_V8 = np.argsort(-skin_VJ, axis=1, kind="stable")[:, :TOP]
    weight_V8 = np.take_along_axis(skin_VJ, joint_V8, 1)
    return joint_V8.astype(np.uint8), (weight_V8 / weight_V8.sum(1, keepdims=True)).astype(np.float32)


def top_skin(skin_VJ: np.ndarray) -> SparseSkin:
    """The rows of top_weights without their zeros."""
    joint_V8, weight_V8 = top_weights(skin_VJ)
    used_V8 = weight_V8 > 0
    count_V = used_V8.sum(1)
    return SparseSkin(np.cumsum(count_V) - count_V, count_V, joint_V8[used_V8], weight_V8[used_V8], skin_VJ.shape[1])


class Packed(NamedTuple):
    """An asset as the arrays hold it: what its Entry says beside places, and array -> rows. Made anywhere, written by one process."""
    about: dict
    rows: dict[str, np.ndarray]


def pack(asset: Asset) -> Packed:
    """All that costs time of preparing one asset. Raises: AssetError like `prepare`."""
    asset = check(asset).in_network_frame()
    if asset.joint_count not in (22, 52):
        raise AssetError(f"{asset.source}: has {asset.joint_count} joints; training needs the contest's 22 or 52")
    count, faces_F3, normals_V3 = asset.joint_count, np.zeros((0, 3)) if asset.faces_F3 is None else asset.faces_F3, asset.normals_V3
    if normals_V3 is None and asset.has_faces:
        normals_V3 = vertex_normals(asset.vertices_V3, faces_F3)
    total, pad = len(asset.vertices_V3), 52 - count
    skin = SparseSkin.rigid(total, count) if asset.skin_VJ is None else top_skin(asset.skin_VJ)
    valid_J = np.ones(count, bool) if asset.joint_valid_J is None else asset.joint_valid_J
    rows = {"vertices": asset.vertices_V3, "faces": faces_F3,
            "normals": np.zeros((total, 3)) if normals_V3 is None else np.rint(np.clip(normals_V3, -1, 1) / NORMAL_UNIT),
            "skin_start": skin.start_V, "skin_count": skin.count_V, "skin_joint": skin.joint_E, "skin_weight": skin.weight_E,
            "joints": np.pad(asset.joints_J3, ((0, pad), (0, 0)))[None],
            "local": np.pad(asset.local_J44(), ((0, pad), (0, 0), (0, 0)))[None],
            "valid": np.pad(valid_J, (0, pad))[None], **_tables(asset, skin)}
    about = {"cls": asset.cls, "id": asset.id, "source": asset.source, "vertices": total, "joints": count,
             "has_normals": normals_V3 is not None, "has_skin": asset.skin_VJ is not None, "skin_valid": asset.skin_valid}
    return Packed(about, {name: np.ascontiguousarray(values, _ARRAYS[name][0]) for name, values in rows.items()})


def _tables(asset: Asset, skin: SparseSkin) -> dict[str, np.ndarray]:
    """What dataset/sampler.py and dataset/body.py would else compute of every asset."""
    surface, blocks = Surface.of(asset), Blocks.of(asset.vertices_V3, skin)
    if surface is None:
        surface = Surface(np.zeros(0), np.zeros(0, np.int64), np.zeros(0))
    return {"area_total": surface.total_F, "hand": surface.hand_H, "hand_total": surface.hand_total_H,
            "block": blocks.vertex_KB, "block_first": blocks.first_K,
            "pair_joint": blocks.joint_P, "pair_centre": blocks.centre_P3, "pair_half": blocks.half_P3}


def _write_packed(writer: _Writer, packed: Packed) -> Entry:
    place = {name: writer.append_faces(rows) if name == "faces" else writer.append(name, rows) for name, rows in packed.rows.items()}
    return Entry(**packed.about, vertex_rows=place["vertices"], entry_rows=place["skin_joint"], face_rows=place["faces"],
                 area_rows=place["area_total"], hand_rows=place["hand"], block_rows=place["block"], pair_rows=place["pair_joint"])


def prepare(assets: Iterable[Asset | Packed], folder: str | Path, key: str = "") -> "PreparedAssets":
    """Write the assets under folder, once: when it already holds what `key` describes, it is loaded and `assets` is not touched.

    key: where the assets come from (files and their sizes, generator and seeds); a folder with another key is written anew.
    The folder appears whole or not at all. Normals that a mesh lacks are computed.
    Raises: AssetError for an asset that check() refuses or that has no contest skeleton, when there is no asset, and when the
    folder holds anything else; WriteError.
    """
    folder = Path(folder)
    if _holds(folder, key):
        with _locked(folder.parent, wait=True):
            _sweep(folder)
        return load_prepared(folder)
    if folder.exists() and any(folder.iterdir()) and not (folder / "vertices.bin").exists():
        raise AssetError(f"{folder}: holds other things than prepared assets, and they would be lost; choose another folder")
    with writing(folder), _own_part(folder) as part:
        _write(assets, part, key)
        sync_folder(part)
        try:
            _move_in(part, folder, key)
        except OSError:
            if not _holds(folder, key):     # else another process was faster, with the same content
                raise
        sync(folder.parent)
    return load_prepared(folder, verify=False)


@contextmanager
def _own_part(folder: Path) -> Iterator[Path]:
    """A folder beside this one to fill, of this process alone: the ranks of one training may prepare side by side. Gone at the end.

    It is locked as long as its process lives, on whatever machine; one that is there and not locked was left by a killed run, and goes.
    """
    part = folder.with_name(f"{folder.name}.{secrets.token_hex(4)}.part")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _locked(folder.parent, wait=True):    # so that nobody sweeps between the making and the lock
        _sweep(folder)
        part.mkdir()
        handle = os.open(part, os.O_RDONLY)
        _lock(handle)
    try:
        yield part
    finally:
        shutil.rmtree(part, ignore_errors=True)
        os.close(handle)


def _sweep(folder: Path) -> None:
    """Remove what killed runs left beside the folder; its parent is locked."""
    for stale in folder.parent.glob(f"{glob.escape(folder.name)}.*.part"):
        with suppress(FileNotFoundError), _locked(stale) as left:   # its owner may remove it at this moment
            if left:
                shutil.rmtree(stale, ignore_errors=True)


@contextmanager
def _locked(folder: Path, wait: bool = False) -> Iterator[bool]:
    """Hold a folder's lock inside. False: another process has it, or the disk knows no locks (some network disks)."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        yield _lock(handle, wait)
    finally:
        os.close(handle)


def _lock(handle: int, wait: bool = False) -> bool:
    """Until the handle is closed, or its process ends."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return False
    return True


def _move_in(part: Path, folder: Path, key: str) -> None:
    """part becomes folder, unless another process has put the same there. What stood there is moved aside first: removed file by
    file, a kill would leave a folder that is half there.
    """
    if _holds(folder, key):
        return
    old = part.with_suffix(".old.part")
    if folder.exists():
        folder.rename(old)
    part.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def _holds(folder: Path, key: str) -> bool:
    try:
        index = json.loads((folder / "index.json").read_text())
    except (OSError, ValueError):
        return False
    return index.get("version") == VERSION and index.get("key") == key


def _write(assets: Iterable[Asset | Packed], part: Path, key: str) -> None:
    writer = _Writer(part)
    try:
        entries = [_write_packed(writer, asset if isinstance(asset, Packed) else pack(asset)) for asset in assets]
    finally:
        arrays = writer.close()
    if not entries:
        raise AssetError(f"{part.parent}: there are no assets to prepare; check the list of files")
    index = {"version": VERSION, "key": key, "arrays": arrays, "assets": [vars(entry) for entry in entries]}
    (part / "index.json").write_text(json.dumps(index))


def load_prepared(folder: str | Path, verify: bool = True) -> "PreparedAssets":
    """Open a prepared folder. verify: compare every file with its hash (about a second per gigabyte).

    Raises: AssetError when the folder is not one, was written by another version, or a file differs from its hash.
    """
    folder = Path(folder)
    try:
        index = json.loads((folder / "index.json").read_text())
    except (OSError, ValueError) as error:
        raise AssetError(f"{folder}: no readable index.json ({error}); prepare the assets again") from None
    if index.get("version") != VERSION:
        raise AssetError(f"{folder}: prepared by version {index.get('version')}, this is {VERSION}; delete it and prepare again")
    for name, (kind, tail) in _ARRAYS.items():
        path, wanted = folder / f"{name}.bin", index["arrays"][name]
        size = wanted["rows"] * np.dtype(kind).itemsize * int(np.prod(tail))
        if not path.exists() or path.stat().st_size != size:
            raise AssetError(f"{path}: missing or not {size} bytes long; delete the folder and prepare again")
        if verify and _file_hash(path) != wanted["hash"]:
            raise AssetError(f"{path}: content differs from its hash; delete the folder and prepare again")
    return PreparedAssets(folder, index)


def _file_hash(path: Path) -> str:
    digest = hashlib.blake2b(digest_size=16)
    with open(path, "rb") as file:
        while block := file.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()


class PreparedAssets:
    """A sequence of Assets on memory-mapped arrays; `body(i)` is what training draws from. Pickles as its folder."""

    def __init__(self, folder: Path, index: dict):
        self.folder = folder
        self.entries = [Entry(**entry) for entry in index["assets"]]
        self._map = {name: _mapped(folder / f"{name}.bin", kind, (index["arrays"][name]["rows"], *tail))
                     for name, (kind, tail) in _ARRAYS.items()}
        self._bodies: dict[int, Body] = {}

    def __reduce__(self):
        return load_prepared, (self.folder, False)

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, i: int) -> Asset:
        e, body, bones = self.entries[i], self.body(i), skeleton(self.entries[i].joints)
        normals_V3 = None if body.normals_V3 is None else np.float32(body.normals_V3 * NORMAL_UNIT)
        skin_VJ = body.skin.dense() if e.has_skin else None
        return Asset(e.cls, e.id, e.source, body.vertices_V3, normals_V3, body.faces_F3, body.joints_J3, skin_VJ, bones.parents,
                     bones.names, body.matrix_local_J44, "z", body.joint_valid_J, e.skin_valid)

    def _rows(self, name: str, rows: tuple[int, int]) -> np.ndarray:
        return self._map[name][rows[0]:rows[0] + rows[1]]

    def body(self, i: int) -> Body:
        """Views of the arrays, no copies; kept, as making them costs more than some of what they are used for."""
        if i not in self._bodies:
            e = self.entries[i]
            skin = SparseSkin(self._rows("skin_start", e.vertex_rows), self._rows("skin_count", e.vertex_rows),
                              self._rows("skin_joint", e.entry_rows), self._rows("skin_weight", e.entry_rows), e.joints)
            surface = Surface(self._rows("area_total", e.area_rows), self._rows("hand", e.hand_rows), self._rows("hand_total", e.hand_rows))
            blocks = Blocks(self._rows("block", e.block_rows), self._rows("block_first", e.block_rows),
                            self._rows("pair_joint", e.pair_rows), self._rows("pair_centre", e.pair_rows),
                            self._rows("pair_half", e.pair_rows))
            self._bodies[i] = Body(
                e.source, self._rows("vertices", e.vertex_rows), self._rows("normals", e.vertex_rows) if e.has_normals else None,
                self._rows("faces", e.face_rows) if e.face_rows[1] else None, self._map["joints"][i, :e.joints],
                skeleton(e.joints).parents, self._map["local"][i, :e.joints], self._map["valid"][i, :e.joints],
                e.skin_valid, e.has_skin, skin, surface if e.area_rows[1] else None, blocks, NORMAL_UNIT)
        return self._bodies[i]


def _mapped(path: Path, kind: str, shape: tuple[int, ...]) -> np.ndarray:
    if 0 in shape:      # an empty file cannot be mapped
        return np.zeros(shape, kind)
    return np.memmap(path, kind, "r", shape=shape).view(np.ndarray)
