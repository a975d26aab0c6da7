"""Check the installation and say what to do, one line a check: bash launch/doctor.sh calls this.

Needs nothing but Python 3.8 until a check asks for more; a check that breaks is itself a finding. No line names a user, a host or an
environment variable's value. Checks: launch/doctor_checks.py.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Callable, NamedTuple

OK, WARN, FAIL = "ok", "warn", "FAIL"
ROOT = Path(__file__).resolve().parent.parent
LONGEST = 300     # letters of a line: what another program says may be long


class Finding(NamedTuple):
    """level: OK, WARN or FAIL. said: what was found. remedy: what to type or to do, empty where nothing is wrong."""
    level: str
    said: str
    remedy: str = ""


class Place(NamedTuple):
    """What is examined. root: the repository. prefix: of the Python that runs (sys.prefix). cache: Jittor's folder. A program's
    name is looked for in path, as the shell does."""
    root: Path
    prefix: Path
    cache: Path
    checkpoint: Path
    path: str

    @staticmethod
    def here() -> "Place":
        from launch.runtime import jittor_home
        return Place(ROOT, Path(sys.prefix), jittor_home() / ".cache" / "jittor", ROOT / "output" / "TransRefiner-finetune",
                     os.environ.get("PATH", ""))


Check = Callable[[Place], Finding]


def examine(place: Place, checks: "dict[str, Check]", say: Callable[[str], None] = print) -> int:
    """Say each finding as soon as it is known. Returns the exit code: 1 when one is FAIL."""
    levels = []
    for name, check in checks.items():
        try:
            finding = check(place)
        except ModuleNotFoundError as error:
            finding = Finding(FAIL, f"not checked: {error}", "mend the lines above first")
        except Exception as error:  # a doctor that falls ill is a finding too
            finding = Finding(FAIL, f"the check itself failed: {type(error).__name__}: {error}", "please report this as an issue")
        levels.append(finding.level)
        say(f"{finding.level:<4}  {name:<12} {discreet(finding.said, place)}")
        if finding.remedy:
            say(f"{'':<18} -> {discreet(finding.remedy, place)}")
    say(f"\n{levels.count(OK)} ok, {levels.count(WARN)} to know, {levels.count(FAIL)} to mend")
    return int(FAIL in levels)


def discreet(text: str, place: Place) -> str:
    """One line of bounded length, with the repository as "." and the home folder as "~"."""
    line = " ".join(text.split()).replace(str(place.root), ".")
    home = str(Path.home())
    return (line.replace(home, "~") if len(home) > 1 else line)[:LONGEST]


def main() -> int:
    if sys.version_info < (3, 10):  # our own files, which the checks use, do not even load there
        print("FAIL  Python       %d.%d is too old" % sys.version_info[:2])
        print("%18s -> install Python 3.11 or 3.12, then: bash launch/setup.sh" % "")
        return 1
    from launch.doctor_checks import CHECKS
    from launch.ending import on_end
    on_end(lambda number: SystemExit(128 + number))     # what a check has put into the temporary folder goes
    return examine(Place.here(), CHECKS, lambda text: print(text, flush=True))


if __name__ == "__main__":
    sys.exit(main())
