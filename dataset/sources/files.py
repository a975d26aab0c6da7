"""From what a user names to assets: one reader per suffix, and folders expanded to the files in them."""

import os
from collections.abc import Iterable
from pathlib import Path

from dataset.asset import Asset, AssetError
from dataset.sources.gltf import load_gltf
from dataset.sources.limits import read_file
from dataset.sources.mesh import MESHES, POINTS, load_mesh
from dataset.sources.npz import load_npz

GLTF = (".glb", ".gltf", ".vrm")
SUFFIXES = (".npz", *GLTF, *MESHES, *POINTS)
MAX_LIST = 64 << 20     # bytes of a list of files
ADVICE = {".fbx": "FBX is a closed format: export it as .glb (Blender: File > Export > glTF 2.0), or let predict_joint_model.py convert it",
          ".blend": "export it from Blender as .glb (File > Export > glTF 2.0)",
          ".dae": "open it in Blender and export it as .glb", ".usd": "convert it to .glb", ".usdz": "convert it to .glb",
          ".bvh": "it holds motion, not a character: name a mesh"}


def load_asset(path: str | Path, up: str | None = None) -> Asset:
    """The character in any file we read, by suffix.

    up: "y", "z" or None for the format's own: glTF and VRM y, npz by its skeleton (z without one), OBJ y, and for PLY, STL, OFF,
    XYZ and NPY the longer of the box's y and z sides. Given "y" or "z", the file's axes are taken so; nothing is turned.
    Raises: AssetError naming the file: unknown suffix (with the list of known ones), missing, or unusable.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if up not in (None, "y", "z"):
        raise AssetError(f"{path.name}: up must be y or z, not {up!r}")
    if suffix not in SUFFIXES:
        advice = f"; {ADVICE[suffix]}" if suffix in ADVICE else ""
        raise AssetError(f"{path.name}: {suffix or 'a file without suffix'} is not read{advice}. Supported: {' '.join(SUFFIXES)}")
    if suffix == ".npz":
        return load_npz(path, up)
    if suffix in GLTF:
        return load_gltf(path, up or "y")
    return load_mesh(path, up or "auto")


def expand_inputs(paths: Iterable[str | Path], also: tuple[str, ...] = ()) -> list[Path]:
    """Files named, and files of known suffix in the folders named (to any depth), sorted, each once.

    also: further suffixes, in small letters, that the caller makes readable.

    A file named outright is kept whatever its suffix, so that its reader can say what is wrong. Inside a folder, links that
    lead out of it are not followed, nor are hidden files read.
    Raises: AssetError for a path that does not exist and for a folder without any file we read.
    """
    found: dict[Path, None] = {}
    for path in map(Path, paths):
        if os.path.isdir(path):
            inside = _in_folder(path, (*SUFFIXES, *also))
            if not inside:
                raise AssetError(f"{path}: holds no file that is read here{_advice_for(path)}. Supported: {' '.join(SUFFIXES)}")
            found |= dict.fromkeys(inside)
        elif is_there(path):
            found[path] = None
        else:
            raise AssetError(f"{path}: no such file or folder")
    return sorted(found)


def listed_files(path: str | Path, root: str | Path) -> list[Path]:
    """The files that a list names, one a line, relative to root; empty lines are skipped. Whether they are there is not asked.

    Raises: AssetError for a list that cannot be read, is no text, or names a file outside root: such a list was not made for this folder.
    """
    path, root = Path(path), Path(root)
    try:
        lines = [line.strip() for line in read_file(path, MAX_LIST, str(path)).decode().split("\n")]
    except UnicodeDecodeError:
        raise AssetError(f"{path}: is no UTF-8 text; it needs one path a line, relative to {root}") from None
    for number, line in enumerate(lines, 1):
        if "\0" in line or os.path.isabs(line) or os.path.normpath(line).split(os.sep)[0] == os.pardir:
            raise AssetError(f"{path}: line {number} ({line[:200]!r}) leads out of {root}; paths in a list are relative to that folder")
    return [root / line for line in lines if line]


def is_there(path: Path) -> bool:
    """Whether it is a file; False for names that no file can have."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _advice_for(folder: Path) -> str:
    """What to do with the files that a folder without readable ones holds, where we know."""
    there = sorted({path.suffix.lower() for path in folder.rglob("*") if path.suffix.lower() in ADVICE})
    return "".join(f"; {suffix}: {ADVICE[suffix]}" for suffix in there)


def _in_folder(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    root = folder.resolve()
    return [path for path in folder.rglob("*")
            if path.suffix.lower() in suffixes and not any(part.startswith(".") for part in path.relative_to(folder).parts)
            and path.is_file() and path.resolve().is_relative_to(root)]
