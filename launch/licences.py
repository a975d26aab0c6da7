"""Make docs/licences.md: every package that an installation may hold, its licence, and the data. python -m launch.licences

Versions and licences (SPDX expressions) come from the requirements files, those of the npm packages from their lock. What an installed
package says of its own licence is held against the list: a contradiction ends the command with code 1 and nothing is written.
"""

import importlib.metadata
import json
import re
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "licences.md"
LINE = re.compile(r"(\S+)==(\S+) +# (.*?) +\| (.*)")
# a word in what a package says of its licence -> words of which its SPDX expression must hold one
WORDS = {"mit license": ("MIT",), "apache": ("Apache-2.0",), "bsd": ("BSD-",), "mozilla": ("MPL-2.0",), "mpl-2": ("MPL-2.0",),
         "gnu general": ("GPL-",), "python software": ("PSF-2.0", "LicenseRef-Matplotlib"), "openmpi": ("Open-MPI",)}
LISTS = (("Installed by the set-up", "Python packages that `launch/setup.sh` installs.",
          ("requirements.txt", "requirements-build.txt", "requirements-data.txt")),
         ("oneDNN as wheels", "Only where the system has no oneDNN 2 and cannot install it.", ("requirements-onednn.txt",)),
         ("FBX", "Only where somebody installs them: `launch/locks/requirements-fbx.lock`.", ("requirements-fbx.txt",)),
         ("Peers of the benchmarks", "Only where somebody runs `benchmarks/setup_peers.sh`; versions are pinned,\nhashes are not, since each "
          "kind of machine has its own build of PyTorch.", ("benchmarks/requirements-peers.txt",)))
SYSTEM = (("Python 3.11 or 3.12, its headers", "PSF-2.0"), ("g++, libgomp (they compile and run Jittor's kernels)",
          "GPL-3.0-or-later WITH GCC-exception-3.1"), ("oneDNN 2 (libdnnl-dev)", "Apache-2.0"))
HEAD = """# Licences

Made by `python -m launch.licences` from the requirements files, `tests/rigging/package-lock.json` and `LICENSES/NOTICE`; do not edit.
Licences are SPDX expressions. Nothing of these packages is stored in this repository; a package's wheel brings its licence's text, and the
texts of libraries that it contains (NumPy's and SciPy's wheels hold OpenBLAS and GCC's run-time library), in its `.dist-info` folder.
"""


class Package(NamedTuple):
    """licence: an SPDX expression. use: what it is here for."""
    name: str
    version: str
    licence: str
    use: str


def listed(path: Path) -> list[Package]:
    """The packages of a requirements file. Raises: ValueError for a line that is no comment and not as LINE says."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip() and not line.startswith("#")]
    found = [LINE.fullmatch(line) for line in lines]
    if not all(found):
        raise ValueError(f"{path.name}: {lines[found.index(None)]!r} must be: package==version # licence | what it is here for")
    return [Package(*match.groups()) for match in found]


def npm_packages(lock: Path) -> list[Package]:
    """Those of an npm lock file, with the licences that it holds."""
    entries = json.loads(lock.read_text(encoding="utf-8"))["packages"]
    return [Package(path.removeprefix("node_modules/"), entry["version"], entry["license"], "tests")
            for path, entry in entries.items() if path]


def declared(name: str) -> str | None:
    """What an installed package says of its licence, in its own words; None where it is not installed or says nothing."""
    try:
        about = importlib.metadata.metadata(name)
    except importlib.metadata.PackageNotFoundError:
        return None
    classes = [line.rpartition("::")[2].strip() for line in about.get_all("Classifier") or [] if line.startswith("License")]
    return about.get("License-Expression") or "; ".join(classes) or (about.get("License") or "").partition("\n")[0] or None


def contradiction(package: Package, says: str) -> str | None:
    """The sentence, where a package says of itself what the list does not."""
    wanted = [words for word, words in WORDS.items() if word in says.lower()]
    if package.licence == says or wanted and all(any(word in package.licence for word in words) for words in wanted):
        return None
    if not wanted and says.replace(" License", "") in package.licence:    # a short one, such as "MIT"
        return None
    return f"{package.name}: the list says {package.licence!r}, the package {says!r}"


def contradictions() -> list[str]:
    packages = [package for _, _, files in LISTS for name in files for package in listed(ROOT / name)]
    here = [(package, declared(package.name)) for package in packages]
    return [wrong for package, says in here if says and (wrong := contradiction(package, says))]


def table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [heads, ("---",) * len(heads), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |\n" for line in lines)


def page() -> str:
    """The whole of docs/licences.md; the same files, the same text, on every machine."""
    parts = [HEAD]
    for title, words, files in LISTS:
        packages = [package for name in files for package in listed(ROOT / name)]
        rows = [(*package, "PyPI, as source" if package.name == "jittor" else "PyPI") for package in packages]
        parts.append(f"## {title}\n\n{words}\n\n" + table(("package", "version", "licence", "what for", "from"), rows))
    rows = [(p.name, p.version, p.licence, "npm") for p in npm_packages(ROOT / "tests" / "rigging" / "package-lock.json")]
    parts.append("## JavaScript, for tests\n\nOnly where somebody runs `npm ci` in `tests/rigging`. The viewer's page is this project's "
                 "own and needs none of it.\n\n" + table(("package", "version", "licence", "from"), rows))
    parts.append("## From the system\n\n" + table(("what", "licence"), list(SYSTEM)))
    notice = (ROOT / "LICENSES" / "NOTICE").read_text(encoding="utf-8")
    parts.append(f"## Data\n\nThe released checkpoint and the bundled examples are made by this project. What they were made from, as in\n"
                 f"[LICENSES/NOTICE](../LICENSES/NOTICE):\n\n```\n{notice.strip()}\n```\n")
    return "\n".join(parts)


def main() -> int:
    wrong = contradictions()
    if wrong:
        print("\n".join(["launch.licences: mend the requirements files:", *wrong]), file=sys.stderr)
        return 1
    PAGE.write_text(page(), encoding="utf-8")
    print(f"written: {PAGE.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
