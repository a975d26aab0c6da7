"""What the page may show: the files that were named, what lies in the folders that were named, and what was dropped on the page.

A character is asked for by its number, never by a path, so nothing outside these can be reached.
"""

import json
import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dataset.asset import Asset, AssetError, check, merge_fingers
from dataset.format import FULL_NAMES, skeleton
from dataset.sources.files import expand_inputs, load_asset
from rigging.animation import Clip, load_clip
from viewer.character import NETWORK, Character, thinned
from viewer.file_motion import read_motions

KEPT = 4                  # characters held in memory, the last looked at
# of a folder that predict_joint_model.py made
RIGS, CLOUD = ("rigged.glb", "rigged.vrm"), "predict_skeleton.npy"
SKIN, VERTICES, REPORT = "predict_skin.npy", "transformed_vertices.npy", "report.json"
MOST_REPORT_BYTES = 1 << 20
MOTION = (".bvh", ".npz")


@dataclass(frozen=True)
class Entry:
    """path: None for what was dropped on the page, and then asset holds it. folder: the one that was named, which path lies in."""
    name: str
    group: str
    path: Path | None
    asset: Asset | None = None
    folder: Path | None = None


class Library:
    """Characters and clips by number. Safe to use from several threads; a number, once given, stays.

    Raises: AssetError for a path that does not exist or a folder without any character.
    """

    def __init__(self, paths: Iterable[str | Path], clips: Iterable[Clip] = ()):
        self._entries = [entry for path in paths for entry in entries_of(Path(path))]
        self._clips = [thinned(clip) for clip in clips]
        self._kept: OrderedDict[int, Character] = OrderedDict()
        self._lock, self._smoothing = threading.RLock(), threading.Lock()

    def listing(self) -> dict:
        """For the page: names alone."""
        with self._lock:
            return {"characters": [{"name": e.name, "group": e.group} for e in self._entries],
                    "clips": [{"name": c.name, "frames": len(c), "fps": c.fps} for c in self._clips]}

    def character(self, number: int) -> Character:
        """Raises: KeyError for a number that was never given; AssetError for a file that cannot be read."""
        with self._lock:
            entry = _at(self._entries, number)
            if number not in self._kept:
                self._kept[number] = load_entry(entry)
            self._kept.move_to_end(number)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
            return self._kept[number]

    def clip(self, number: int) -> Clip:
        """Raises: KeyError for a number that was never given."""
        with self._lock:
            return _at(self._clips, number)

    def skin(self, number: int, kind: str) -> np.ndarray:
        """Weights (V, J) of a kind (Character.kinds), one computation at a time. Raises: KeyError as above or for another kind."""
        character = self.character(number)
        with self._smoothing:   # takes seconds, in which others may still pose
            return character.skin(kind)

    def add_character(self, name: str, asset: Asset) -> int:
        with self._lock:
            self._entries.append(Entry(name, "dropped here", None, asset))
            return len(self._entries) - 1

    def add_clip(self, clip: Clip) -> int:
        with self._lock:
            self._clips.append(thinned(clip))
            return len(self._clips) - 1


def _at(items: list, number: int):
    if not 0 <= number < len(items):
        raise KeyError(f"number {number}, of {len(items)}")
    return items[number]


def entries_of(path: Path) -> list[Entry]:
    """One for a file; for a folder, one for every rig that predict_joint_model.py left in it and for every other character.

    Raises: AssetError for what does not exist or holds nothing.
    """
    if not path.is_dir():
        expand_inputs([path])   # says what is wrong with it
        return [Entry(_name(path), "", path)]
    files = expand_inputs([path])
    rigs = {file.parent for file in files if file.name in RIGS}
    chosen = [file for file in files if not (file.suffix == ".npy" and (file.name != CLOUD or file.parent in rigs))]
    if not chosen:
        raise AssetError(f"{path}: holds no character; name a .glb file or a folder of predict_joint/")
    return [Entry(_name(file), path.name or str(path), file, folder=path) for file in chosen]


def _name(file: Path) -> str:
    return file.parent.name if file.name in (*RIGS, CLOUD) and file.parent.name else file.name


def load_entry(entry: Entry) -> Character:
    """Raises: AssetError naming the file."""
    if entry.path is None:
        return Character.of(entry.asset, kind=NETWORK)
    if entry.folder is not None and not entry.path.resolve().is_relative_to(entry.folder.resolve()):   # since it was listed
        raise AssetError(f"{entry.name}: has become a link that leads out of {entry.folder.name}")
    if entry.path.name not in (*RIGS, CLOUD):
        asset = load_asset(entry.path)
        return with_motions(Character.of(asset), entry.path, asset)
    character = Character.of(_predicted_cloud(entry.path.parent)) if entry.path.name == CLOUD else _predicted_mesh(entry.path)
    warnings, character.expected_cm = read_report(entry.path.parent / REPORT)
    character.warnings = (*warnings, *character.warnings)
    return character


def with_motions(character: Character, path: Path, asset: Asset) -> Character:
    """The character with the animations of its file; broken ones are a warning, and the character is seen all the same."""
    try:
        character.motions = tuple(read_motions(path, asset))
    except AssetError as error:
        character.warnings = (*character.warnings, str(error))
    return character


def read_report(file: Path) -> tuple[tuple[str, ...], dict[str, float]]:
    """Its warnings, and joint -> expected error in cm. Nothing where there is no report, or one that is not as we write it."""
    try:
        if not _inside(file) or file.stat().st_size > MOST_REPORT_BYTES:
            return (), {}
        report = json.loads(file.read_text(encoding="utf-8"))
        errors = {str(j["name"]): j["expected_error_cm"] for j in report["joints"] if isinstance(j["expected_error_cm"], (int, float))}
        return tuple(str(warning) for warning in report["warnings"]), {name: float(cm) for name, cm in errors.items() if np.isfinite(cm)}
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return (), {}


def _predicted_mesh(path: Path) -> Character:
    asset, said = load_asset(path), path.parent / SKIN
    if asset.skin_VJ is None or not _inside(said):
        return with_motions(Character.of(asset), path, asset)
    network_VJ, rows = _array(said), len(asset.vertices_V3)
    if network_VJ.shape not in ((rows, asset.joint_count), (rows, len(FULL_NAMES))):
        return with_motions(Character.of(asset), path, asset)      # the file has fewer joints or other vertices than the network was shown
    network_VJ = unit_rows(network_VJ, said.name, network_VJ.shape)
    network_VJ = merge_fingers(network_VJ) if network_VJ.shape[1] > asset.joint_count else network_VJ
    return with_motions(Character.of(asset, network_VJ), path, asset)


def _inside(file: Path) -> bool:
    """A plain file beside its neighbours, not a link that leads elsewhere."""
    return file.is_file() and not file.is_symlink()


def _predicted_cloud(folder: Path) -> Asset:
    """A point cloud that was rigged: the contest's three arrays, in the unit box."""
    files = [folder / name for name in (CLOUD, SKIN, VERTICES)]
    if not all(map(_inside, files)):
        raise AssetError(f"{folder.name}: needs {CLOUD}, {SKIN} and {VERTICES}, plain files all")
    joints_J3, skin_VJ, vertices_V3 = map(_array, files)
    try:
        bones = skeleton(len(joints_J3))
    except (ValueError, TypeError) as error:
        raise AssetError(f"{folder.name}/{CLOUD}: {error}") from None
    skin_VJ = unit_rows(skin_VJ, f"{folder.name}/{SKIN}", (*vertices_V3.shape[:1], len(bones.names)))
    return check(Asset("other", folder.name, folder.name, vertices_V3, joints_J3=joints_J3, skin_VJ=skin_VJ,
                       parents=bones.parents, names=bones.names, up="z"))


def _array(file: Path) -> np.ndarray:
    """Mapped, not read: a file that promises more than it holds costs no memory. Raises: AssetError."""
    try:
        return np.load(file, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise AssetError(f"{file.parent.name}/{file.name}: not an array ({error})") from None


def unit_rows(skin_VJ: np.ndarray, name: str, shape: tuple[int, int]) -> np.ndarray:
    """float32 with rows that sum to 1. Raises: AssetError for another shape, numbers < 0 or not finite, and rows that sum to 0."""
    if skin_VJ.shape != shape or skin_VJ.dtype.kind != "f":
        raise AssetError(f"{name}: weights are {skin_VJ.dtype} {skin_VJ.shape}, must be floats {shape}")
    skin_VJ = np.asarray(skin_VJ, np.float64)
    sums_V = skin_VJ.sum(1, keepdims=True)
    if not np.isfinite(skin_VJ).all() or (skin_VJ < 0).any() or not (sums_V > 0).all():
        raise AssetError(f"{name}: weights must be finite, not negative, and not all zero in a row")
    return np.float32(skin_VJ / sums_V)


def named_clip(text: str) -> Clip:
    """FILE, or FILE:CLIP for one clip of a pose bank. Raises: AssetError naming the file, and a bank's clips where none was named."""
    path, _, part = (text, "", "") if Path(text).exists() else text.rpartition(":")
    path = Path(path or text)
    if path.suffix.lower() not in MOTION:
        raise AssetError(f"{path.name}: motion is read from {' and '.join(MOTION)} files")
    if not path.is_file():
        raise AssetError(f"{path}: no such file")
    return load_clip(path, part or None)
