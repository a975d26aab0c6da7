"""Nothing is installed that a lock does not name by its hash, the page of licences is current, and no lock names where to fetch from."""

import json
import re
import subprocess
import sys
import zipfile
from hashlib import sha256
from pathlib import Path

import pytest

from launch import licences
from tests.launch.test_setup import machine  # noqa: F401  a fixture

ROOT = Path(__file__).resolve().parents[2]
STEMS = ("requirements", "requirements-build", "requirements-data", "requirements-onednn", "requirements-fbx")
ENTRY = re.compile(r"([A-Za-z0-9_.-]+)==(\S+)((?: \\\n    --hash=sha256:[0-9a-f]{64})+)\n")
NPM = ROOT / "tests" / "rigging"


def locked(stem: str) -> dict[str, tuple[str, int]]:
    """package -> (version, how many hashes). Nothing else may stand in a lock but comments."""
    text = "".join(line for line in (ROOT / "launch" / "locks" / f"{stem}.lock").read_text().splitlines(True) if not line.startswith("#"))
    assert ENTRY.sub("", text) == "" and "://" not in text, f"{stem}.lock: something is not a package with hashes"
    return {name: (version, hashes.count("sha256")) for name, version, hashes in ENTRY.findall(text)}


@pytest.mark.parametrize("stem", STEMS)
def test_a_lock_holds_what_its_list_pins(stem):
    pins = {package.name.lower(): package.version for package in licences.listed(ROOT / f"{stem}.txt")}
    own = {name: version for name, (version, _) in locked(stem).items() if stem != "requirements-fbx" or name != "numpy"}
    assert own == pins, f"{stem}.lock is older than {stem}.txt: bash launch/lock.sh"


def test_both_processors_and_both_pythons_find_their_wheels():
    """Of a package with compiled parts there are many files; a lock made on one machine for itself would hold one."""
    locks = locked("requirements")
    assert all(locks[name][1] > 30 for name in ("numpy", "scipy", "pillow", "matplotlib", "contourpy", "dracopy"))
    assert locks["jittor"][1] == 1      # the source alone


def test_setup_installs_by_hash_alone():
    scripts = {path.name: path.read_text() for path in (ROOT / "launch").glob("*.sh")}
    installs = [line for name, text in scripts.items() if name != "lock.sh" for line in text.splitlines()
                if re.search(r"pip install|pip download|uv |curl|wget", line) and not line.lstrip().startswith("#")]
    assert len(installs) == 1 and "--require-hashes" in installs[0], installs
    for line in scripts["setup.sh"].splitlines():
        if "install_locked \"$1\"" in line:
            assert "--only-binary :all:" in line and ".lock" in line and ("--no-binary" not in line or "--no-build-isolation" in line), line


def wheel(folder: Path, content: str) -> Path:
    path = folder / "honest-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("honest.py", content)
        archive.writestr("honest-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: honest\nVersion: 1.0\n")
        archive.writestr("honest-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("honest-1.0.dist-info/RECORD", "honest.py,,\n")
    return path


def test_a_file_with_another_hash_stops_the_set_up(machine, tmp_path):  # noqa: F811
    """The real setup.sh and the real pip, which may look in one folder only; then what lies there is exchanged."""
    fake = (machine.bin / "python3.11").read_text()
    only = f"--no-index --find-links {tmp_path} --target {tmp_path}/to"
    real = f'"-m pip install"*) echo "pip" >> "$LOG"; exec {sys.executable} "$@" {only} ;;'
    machine.program("python3.11", re.sub(r'"-m pip install.*', lambda _: real, fake))
    honest = wheel(tmp_path, "kind = True\n").read_bytes()
    for lock in (machine.root / "launch" / "locks").iterdir():
        lock.write_text(f"honest==1.0 --hash=sha256:{sha256(honest).hexdigest()}\n")
    wheel(tmp_path, "kind = False\n")
    code, _, err = machine.run()
    assert code != 0 and "DO NOT MATCH" in err and machine.steps() == ["venv", "pip"] and not (tmp_path / "to").exists()
    (tmp_path / "honest-1.0-py3-none-any.whl").write_bytes(honest)
    code, _, err = machine.run()
    assert code == 0, err
    assert (tmp_path / "to" / "honest.py").read_text() == "kind = True\n"


def test_a_failed_install_tells_no_password(machine):  # noqa: F811
    """pip's own words, from an index and a proxy whose addresses hold one and that nobody answers at."""
    fake, secret = (machine.bin / "python3.11").read_text(), "canary-3b9f07"
    machine.program("python3.11", re.sub(r'"-m pip install.*', lambda _: f'"-m pip install"*) exec {sys.executable} "$@" ;;', fake))
    hidden = {"PIP_INDEX_URL": f"https://{secret}:{secret}@127.0.0.1:9/simple", "https_proxy": f"http://{secret}:{secret}@127.0.0.1:9",
              "PIP_RETRIES": "0", "PIP_TIMEOUT": "2", "PIP_CONFIG_FILE": "/dev/null", "PIP_TARGET": str(machine.root / "to")}
    code, out, err = machine.run(**hidden)
    assert code != 0 and "setuptools" in err and secret not in out + err


def test_the_page_of_licences_is_current():
    assert (ROOT / "docs" / "licences.md").read_text(encoding="utf-8") == licences.page(), "python -m launch.licences"
    assert licences.contradictions() == []


@pytest.mark.parametrize("licence, says, right", [
    ("MIT", "MIT License", True), ("MIT", "MIT", True), ("MIT", "Apache Software License", False), ("BSD-3-Clause", "BSD License", True),
    ("MPL-2.0 AND MIT", "MPL-2.0 AND MIT", True), ("MIT", "GNU General Public License v3", False), ("MIT", "Proprietary", False),
    ("Apache-2.0", "Apache 2.0", True), ("BSD-3-Clause", "MIT License; BSD License", False)])
def test_a_package_that_says_otherwise_is_found(licence, says, right):
    assert (licences.contradiction(licences.Package("p", "1", licence, ""), says) is None) == right


def test_npm_packages_are_locked_by_hash_and_name_no_host():
    lock, wanted = json.loads((NPM / "package-lock.json").read_text()), json.loads((NPM / "package.json").read_text())
    packages = {path: entry for path, entry in lock["packages"].items() if path}
    assert lock["packages"][""]["devDependencies"] == wanted["devDependencies"]
    assert all(entry["integrity"].startswith("sha512-") and "resolved" not in entry for entry in packages.values())
    assert not any(entry.get("hasInstallScript") for entry in packages.values())     # nothing of theirs runs at their installation


def test_git_keeps_the_locks():
    names = [f"launch/locks/{stem}.lock" for stem in STEMS] + ["tests/rigging/package-lock.json"]
    ignored = subprocess.run(["git", "check-ignore", *names], cwd=ROOT, capture_output=True, text=True)
    assert ignored.returncode == 1 and ignored.stdout == ""
