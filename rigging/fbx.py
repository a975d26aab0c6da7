"""FBX in and out, through Blender as a Python package (bpy, optional, for Python 3.11; INSTALL says how).

The format is closed and has no specification; Blender's importer and exporter are the open ones that are kept. bpy is GPL-3.0, takes a
gigabyte and writes to the terminal, so this file is also a small program of its own: a request in JSON on stdin, a file as its answer.
TRANSREFINER_BLENDER may name the Python that has bpy, where it is not this one. The same input gives the same bytes, both ways.
"""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

SECONDS = 600
MEMORY = 16 << 30    # bytes of data that Blender may hold
SUFFIX = ".fbx"
PICTURE_FOLDERS = ("texture", "textures", "image", "images", "map", "maps", "material", "materials")   # beside the file's own folder
INSTALL = ("FBX needs Blender's package (optional, a gigabyte, Python 3.11): "
           ".venv/bin/python -m pip install --require-hashes -r launch/locks/requirements-fbx.lock; "
           "or name a Python that has it in TRANSREFINER_BLENDER; or let Blender itself convert it from or to .glb")


def has_blender() -> bool:
    """Is bpy beside this Python, or another Python named? Whether it works shows in its use."""
    return bool(os.environ.get("TRANSREFINER_BLENDER")) or importlib.util.find_spec("bpy") is not None


def read_fbx(source: str | Path, target: str | Path) -> Path:
    """The scene of an FBX file as a GLB at target: meshes, materials, skeletons, animations, and the pictures that lie in the file,
    beside it, below, or in ../textures (or such). Others on the disk that it names are left out. -> target.

    It is what `rigging.scene.add_rig` and `load_asset` take. Blender welds nothing and turns the axes to glTF's (Y up, metres).
    Raises: AssetError naming the file where bpy is missing, or cannot read it.
    """
    return _convert("read", Path(source), Path(target))


def write_fbx(source: str | Path, target: str | Path) -> Path:
    """A GLB as FBX at target, for what takes nothing else: Y up, -Z forward, pictures inside, no leaf bones, at most 4 influences
    where the GLB has so many. -> target. Raises: as read_fbx.
    """
    return _convert("write", Path(source), Path(target))


def _convert(job: str, source: Path, target: Path) -> Path:
    from dataset.asset import AssetError  # here: the program below runs where the project cannot be imported
    from dataset.exporter import write_atomically
    from dataset.sources.draco import GUARD, TIMED_OUT
    if not source.is_file():
        raise AssetError(f"{source.name}: no such file")
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(f".{target.stem}.{os.getpid()}.new{target.suffix}")
    request = json.dumps({"job": job, "source": str(source.resolve()), "target": str(fresh.resolve())}).encode()
    python = os.environ.get("TRANSREFINER_BLENDER") or sys.executable
    try:
        done = subprocess.run([python, "-I", "-c", GUARD, __file__, str(SECONDS)], input=request, capture_output=True)
        said = done.stderr.decode(errors="replace").strip().splitlines()
        if done.returncode == TIMED_OUT:
            raise AssetError(f"{source.name}: Blender was not done within {SECONDS} s")
        if any("No module named 'bpy'" in line for line in said):
            raise AssetError(f"{source.name}: {INSTALL}")
        if done.returncode or not fresh.is_file():
            raise AssetError(f"{source.name}: Blender cannot convert it ({said[-1] if said else 'it crashed'})")
        write_atomically(target, fresh.read_bytes())
    except OSError as error:
        raise AssetError(f"{source.name}: {python} cannot be run ({error.strerror}): "
                         "name a Python with bpy in TRANSREFINER_BLENDER") from None
    finally:
        fresh.unlink(missing_ok=True)
    return target


def main() -> None:
    """stdin: {"job": "read" or "write", "source": path, "target": path}."""
    if sys.flags.hash_randomization:  # the exporter numbers its objects by Python's hash of their names
        clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        os.execve(sys.executable, [sys.executable, "-s", "-P", __file__], clean | {"PYTHONHASHSEED": "0"})
    _limit_memory()
    import bpy
    request = json.load(sys.stdin)
    bpy.ops.wm.read_factory_settings(use_empty=True)
    source, target = request["source"], request["target"]
    if request["job"] == "read":
        bpy.ops.wm.fbx_import(filepath=source)
        _forget_pictures_elsewhere(bpy.data.images, Path(source).parent)
        bpy.ops.export_scene.gltf(filepath=target, export_format="GLB", export_all_influences=True)
        return
    bpy.ops.import_scene.gltf(filepath=source, merge_vertices=False, disable_bone_shape=True)
    _stop_the_clock()
    bpy.ops.export_scene.fbx(filepath=target, add_leaf_bones=False, path_mode="COPY", embed_textures=True,
                             object_types={"ARMATURE", "MESH", "EMPTY", "CAMERA", "LIGHT"})


def _limit_memory() -> None:
    try:
        import resource
        _, most = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY if most == resource.RLIM_INFINITY else min(MEMORY, most), most))
    except ImportError:  # not on Windows
        pass


def _forget_pictures_elsewhere(images, folder: Path) -> None:
    """A file from a stranger could name any picture on this disk, and it would be handed on inside the GLB."""
    import bpy
    for image in list(images):
        path = Path(bpy.path.abspath(image.filepath)).resolve()
        beside = path.is_relative_to(folder.parent) and path.relative_to(folder.parent).parts[:-1]
        known = path.is_relative_to(folder) or beside and beside[0].lower() in PICTURE_FOLDERS
        if image.packed_file is None and not known:
            images.remove(image)


def _stop_the_clock() -> None:
    """The exporter writes the time into its header."""
    import datetime
    import types
    from io_scene_fbx import export_fbx_bin

    class Noon(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2000, 1, 1, 12, tzinfo=tz)
    export_fbx_bin.datetime = types.SimpleNamespace(datetime=Noon)


if __name__ == "__main__":
    main()
