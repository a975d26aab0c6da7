"""Who may import whom. The table is the house: a new room goes in with its row, and a room's row says what it must not know."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = {  # room -> what of ours it may import, besides itself
    "geometry": (),
    "dataset": ("geometry",),
    "ops": (),
    "pictures": ("geometry", "dataset", "ops", "rigging"),
    "PCT": ("ops",),
    "models": ("ops", "PCT", "geometry", "dataset.format"),
    "rigging": ("geometry", "dataset"),
    "viewer": ("geometry", "dataset", "rigging"),
    "launch": ("geometry", "dataset", "rigging", "ops", "pictures", "PCT", "models"),
}
DOORS = ("train_joint_model.py", "predict_joint_model.py", "evaluate_joint_model.py", "view_rig.py", "fit_rig.py")
YARDS = ("tests", "benchmarks")  # may import anything; nobody imports them
NO_CODE = ("data", "output", "docs", "predict_joint")
WITH_JITTOR = ("ops", "pictures", "PCT", "models", "launch", "dataset/dataset.py")
WITHOUT_JITTOR = ("models/metrics.py", "launch/config.py", "launch/checkpoint.py")  # inside rooms that have it
FILE_MODULES = {"os", "io", "pathlib", "glob", "shutil", "tempfile", "pickle", "json", "zipfile", "safetensors"}
FILE_CALLS = {"open", "np.load", "np.save", "np.savez", "np.loadtxt", "np.savetxt", "np.fromfile", "np.memmap",
              "jt.load", "jt.save", "self.load", "self.save"}


def imports(source: str, package: str = "") -> set[str]:
    """Dotted names of everything that source imports, at any depth; `from a import b` gives a.b. Relative ones count from package."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[:len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            found |= {f"{base}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("__import__", "importlib.import_module", "import_module"):
            first = node.args[0] if node.args else None
            found.add(first.value if isinstance(first, ast.Constant) else "a module chosen at run time")
    return found


def forbidden(names: set[str], room: str | None) -> list[str]:
    """Which of the names a file of this room (None: a door) must not import."""
    allowed = (*ROOMS, *(Path(d).stem for d in DOORS)) if room is None else (room, *ROOMS[room])
    ours = (*ROOMS, *YARDS, *(Path(d).stem for d in DOORS))
    return sorted(n for n in names if n == "a module chosen at run time"
                  or n.split(".")[0] in ours and not any(n == a or n.startswith(a + ".") for a in allowed))


def file_uses(source: str) -> list[str]:
    """Ways in which source reaches for files."""
    calls = {ast.unparse(n.func) for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Call)}
    return sorted({n for n in imports(source) if n.split(".")[0] in FILE_MODULES} | calls & FILE_CALLS)


def code_files() -> dict[Path, str | None]:
    """Path relative to the root -> its room, None for what lies at the root."""
    folders = [p for p in ROOT.iterdir() if p.is_dir() and not p.name.startswith((".", "__")) and p.name not in NO_CODE]
    inside = {path.relative_to(ROOT): folder.name for folder in folders for path in sorted(folder.rglob("*.py"))}
    return {**inside, **{path.relative_to(ROOT): None for path in ROOT.glob("*.py")}}


FILES = code_files()
ROOM_FILES = {path: room for path, room in FILES.items() if room not in YARDS}
by_path = pytest.mark.parametrize("path", ROOM_FILES, ids=str)


def read(path: Path) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def test_every_file_lies_in_a_room_that_the_table_knows():
    unknown = [str(p) for p, room in FILES.items() if room not in (*ROOMS, *YARDS, None) or room is None and p.name not in DOORS]
    assert not unknown, f"{unknown}: no room of the table; give a new room its row, a new door its name"


@by_path
def test_imports_only_what_its_room_may(path):
    wrong = forbidden(imports(read(path), ".".join(path.parent.parts)), ROOM_FILES[path])
    assert not wrong, f"{path} imports {wrong}; its room may import {ROOMS.get(ROOM_FILES[path], 'all rooms')}"


@by_path
def test_jittor_only_where_arrays_are_trained(path):
    allowed = (ROOM_FILES[path] is None or any(path.is_relative_to(p) for p in WITH_JITTOR)) and str(path) not in WITHOUT_JITTOR
    found = [n for n in imports(read(path)) if n.split(".")[0] == "jittor"]
    assert allowed or not found, f"{path} imports {found}; Jittor lives in {WITH_JITTOR} and the doors"


@by_path
def test_nobody_needs_torch(path):
    assert not [n for n in imports(read(path)) if n.split(".")[0] == "torch"]


@pytest.mark.parametrize("path", [p for p, room in FILES.items() if room == "models"], ids=str)
def test_models_see_no_files(path):
    assert not file_uses(read(path)), f"{path}: arrays in, arrays out; files belong to dataset and launch"


def test_the_parser_sees_every_kind_of_import():
    source = """
import os.path as p, dataset.format
from models import losses
from . import files
from ..asset import Asset
def later():
    from tests.dataset.figures import man
    __import__("launch.config"); importlib.import_module(name)
"""
    assert imports(source, "dataset.sources") == {
        "os.path", "dataset.format", "models.losses", "dataset.sources.files", "dataset.asset.Asset", "tests.dataset.figures.man",
        "launch.config", "a module chosen at run time"}


@pytest.mark.parametrize("room, name, refused", [
    ("geometry", "dataset.format", True), ("geometry", "geometry.knn", False), ("geometry", "numpy", False),
    ("dataset", "geometry.knn", False), ("dataset", "models.metrics", True), ("dataset", "ops.norm", True),
    ("ops", "geometry.knn", True), ("PCT", "ops.norm", False), ("PCT", "models.losses", True),
    ("models", "dataset.format.skeleton", False), ("models", "dataset.format", False), ("models", "dataset.asset", True),
    ("models", "dataset.formatting", True), ("models", "launch.config", True), ("launch", "models.losses", False),
    ("launch", "predict_joint_model", True), ("launch", "tests.conftest", True), (None, "launch.config", False),
    (None, "predict_joint_model", False), (None, "benchmarks.bench_ops", True), ("launch", "a module chosen at run time", True)])
def test_the_table_refuses(room, name, refused):
    assert bool(forbidden({name}, room)) == refused


def test_file_uses_are_found():
    assert file_uses("from pathlib import Path\nimport numpy as np\nnp.load(x)\nopen(y)\nnp.dot(a, b)") == [
        "np.load", "open", "pathlib.Path"]
