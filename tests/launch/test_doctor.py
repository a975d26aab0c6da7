"""The doctor finds each illness: every check on a sound place and on one where the thing is broken, and one real run of all."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from launch import doctor, doctor_checks
from launch.checkpoint import save_model
from launch.doctor import FAIL, OK, WARN, Finding, Place, discreet, examine
from launch.runtime import find_onednn

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture()
def place(tmp_path, monkeypatch) -> Place:
    """A small repository that is set up, with a checkpoint."""
    for name in ("cc_path", "nvcc_path"):   # Jittor, which runs here, has set them
        monkeypatch.delenv(name, raising=False)
    root = tmp_path / "repo"
    (root / ".venv" / "bin").mkdir(parents=True)
    (root / ".venv" / "setup-stamp").touch()
    for name in ("requirements.txt", "requirements-data.txt"):
        shutil.copy(ROOT / name, root)
    save_model(root / "output" / "net", {"a": np.ones(1000, np.float32)}, {"model": "transrefiner"})
    return Place(root, root / ".venv", tmp_path / "cache" / "jittor", root / "output" / "net", os.environ["PATH"])


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path.parent


def test_python(place, monkeypatch):
    assert doctor_checks.python(place).level == OK
    for version in ((3, 10, 9), (3, 13, 0)):
        monkeypatch.setattr(sys, "version_info", version)
        found = doctor_checks.python(place)
        monkeypatch.undo()
        assert found.level == FAIL and "setup.sh" in found.remedy


def test_environment(place, tmp_path):
    assert doctor_checks.environment(place).level == OK
    strange = doctor_checks.environment(place._replace(prefix=tmp_path))      # another Python than .venv's had to be taken
    assert strange.level == FAIL and strange.remedy.startswith("rm -rf .venv")
    (place.root / ".venv" / "setup-stamp").unlink()
    assert "did not come to its end" in doctor_checks.environment(place).said
    shutil.rmtree(place.root / ".venv")
    gone = doctor_checks.environment(place)
    assert gone.level == FAIL and "nothing is installed" in gone.said and gone.remedy == "bash launch/setup.sh"
    (tmp_path / "conda" / "conda-meta").mkdir(parents=True)
    assert doctor_checks.environment(place._replace(prefix=tmp_path / "conda")) == Finding(OK, "an active conda environment")


def test_packages(place):
    assert doctor_checks.packages(place).level == OK
    listing = place.root / "requirements.txt"
    listing.write_text(listing.read_text().replace("numpy==1.26.4", "numpy==1.0.0") + "no-such-package==2.0  # MIT | none\n")
    found, count = doctor_checks.packages(place), sum(not line.startswith("#") for line in listing.read_text().splitlines())
    assert found.level == FAIL and f"2 of {count} differ" in found.said and "numpy 1.26.4, not 1.0.0" in found.said
    assert "no-such-package missing" in found.said and found.remedy == "rm -f .venv/setup-stamp && bash launch/setup.sh"
    shutil.copy(ROOT / "requirements.txt", place.root)
    (place.root / "requirements-data.txt").write_text("no-such-data==1\n")
    assert doctor_checks.packages(place).level == WARN


def test_compiler(place, tmp_path):
    assert doctor_checks.compiler(place).level == OK
    gone = doctor_checks.compiler(place._replace(path=str(tmp_path / "empty")))
    assert gone.level == FAIL and "sudo apt-get install g++ libgomp1" in gone.remedy
    broken = program(tmp_path / "a" / "g++", "#!/bin/sh\necho 'cannot find -lgomp' >&2\nexit 1\n")
    assert "does not compile an OpenMP program: cannot find -lgomp" in doctor_checks.compiler(place._replace(path=str(broken))).said
    other = program(tmp_path / "b" / "g++",
                    "#!/bin/sh\nprintf '#!/bin/sh\\necho libgomp.so.1 is missing >&2\\nexit 127\\n' > a\nchmod +x a\n")
    assert "does not run: libgomp.so.1 is missing" in doctor_checks.compiler(place._replace(path=str(other))).said


def test_onednn(place, monkeypatch):
    monkeypatch.setattr(doctor_checks, "find_onednn", lambda roots: find_onednn(roots[:1]))   # not what this machine has in /usr
    assert doctor_checks.onednn(place).level == WARN and "libdnnl-dev" in doctor_checks.onednn(place).remedy
    program(place.prefix / "lib" / "libdnnl.so", "")
    program(place.prefix / "include" / "dnnl_version.h", "#define DNNL_VERSION_MAJOR 2\n")
    assert doctor_checks.onednn(place).level == OK


def test_resources(place, monkeypatch):
    assert doctor_checks.resources(place).level in (OK, WARN) and "of disk free" in doctor_checks.resources(place).said
    for limit, level in (("DISK_WARN", WARN), ("MEMORY_WARN", WARN), ("DISK_FAIL", FAIL), ("MEMORY_FAIL", FAIL)):
        monkeypatch.setattr(doctor_checks, limit, 1e9)
        assert doctor_checks.resources(place).level == level


def test_writing(place):
    assert doctor_checks.writable(place).level == OK
    (place.root / "predict_joint").write_text("a file where the folder should be")
    found = doctor_checks.writable(place)
    assert found.level == FAIL and "predict_joint" in found.said and "--output" in found.remedy
    (place.root / "predict_joint").unlink()
    place.cache.parent.mkdir(parents=True)
    place.cache.write_text("")
    assert str(place.cache) in doctor_checks.writable(place).said


def test_checkpoint(place):
    assert doctor_checks.checkpoint(place) == Finding(OK, "net: transrefiner, 0.00 million parameters")
    weights = place.checkpoint / "model.safetensors"
    for words in (["init", "-q"], ["add", "output"]):
        subprocess.run(["git", *words], cwd=place.root, check=True)
    assert doctor_checks.checkpoint(place).said.endswith("as released")
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + b"\x00")     # one flipped byte reads well, and is another network
    other = doctor_checks.checkpoint(place)
    assert other.level == WARN and other.remedy.startswith("unless you trained it yourself: git checkout -- output/net")
    weights.write_bytes(whole[:-8])
    assert doctor_checks.checkpoint(place).level == FAIL
    save_model(place.checkpoint, {"a": np.array([1, np.nan], np.float32)}, {})
    assert "no number, a first" in doctor_checks.checkpoint(place).said
    weights.unlink()
    gone = doctor_checks.checkpoint(place)
    assert gone.level == FAIL and "no model.safetensors" in gone.said and "git checkout" in gone.remedy


@pytest.mark.parametrize("code, said", [("raise RuntimeError('no core')", "no core"), ("import os; os._exit(9)", "it ended with 9")])
def test_jittor_that_does_not_start(place, code, said):
    program(place.root / "launch" / "runtime.py", code)
    found = doctor_checks.jittor(place)
    assert found.level == FAIL and said in found.said and "setup.sh" in found.remedy


def test_gpu(place, monkeypatch, tmp_path):
    monkeypatch.setattr(doctor_checks, "has_gpu", lambda: False)
    assert doctor_checks.gpu(place).level == OK and "none is needed" in doctor_checks.gpu(place).said
    monkeypatch.setattr(doctor_checks, "has_gpu", lambda: True)
    if not Path("/usr/local/cuda/bin/nvcc").exists():
        assert doctor_checks.gpu(place._replace(path=str(tmp_path))).level == WARN
    assert doctor_checks.gpu(place._replace(path=str(program(tmp_path / "nvcc", "#!/bin/sh\n")))).level == OK


def test_mpi(place, tmp_path):
    assert doctor_checks.mpi(place._replace(path=str(tmp_path / "empty"))).level == WARN
    for text, level in (("#!/bin/sh\necho HYDRA\n", WARN), ("#!/bin/sh\nexit 1\n", WARN), ("#!/bin/sh\necho 'mpirun (Open MPI) 4'\n", OK)):
        program(place.prefix / "bin" / "mpirun", text)
        assert doctor_checks.mpi(place).level == level


def test_extras_are_nothing_to_mend(place, monkeypatch):
    monkeypatch.delenv("TRANSREFINER_BLENDER", raising=False)
    found = doctor_checks.extras(place)
    assert found.level == OK and "npm ci" in found.said
    monkeypatch.setenv("TRANSREFINER_BLENDER", "/somewhere/python")
    assert "FBX: yes" in doctor_checks.extras(place).said and "somewhere" not in doctor_checks.extras(place).said


WRONG = """
import json, pathlib, sys
import numpy as np
folder = pathlib.Path(sys.argv[sys.argv.index("--output") + 1]) / "run" / "other" / "doctor"
folder.mkdir(parents=True)
(folder / "rigged.glb").touch()
np.save(folder / "predict_skin.npy", np.ones((3, 1)))
(folder / "report.json").write_text(json.dumps({"joints": [{"name": "hips", "position": [9, 9, 9]}]}))
"""


@pytest.mark.parametrize("code, said", [(WRONG, "the checkpoint does not do its work"),
                                        ("print('doctor.obj   FAILED: no disk'); raise SystemExit(2)", "ended with 2: no disk"),
                                        ("raise SystemExit('no Jittor')", "ended with 1: no Jittor"),
                                        ("", "the predict door ended with 0")])
def test_a_prediction_that_goes_wrong(place, code, said):
    program(place.root / "predict_joint_model.py", code)
    found = doctor_checks.prediction(place)
    assert found.level == FAIL and said in found.said


def test_what_breaks_is_a_finding_and_the_rest_is_checked(place):
    def ill(place):
        raise KeyError("x")

    def bare(place):
        raise ModuleNotFoundError("No module named 'numpy'")
    lines = []
    sound = {"a": lambda place: Finding(OK, "fine"), "b": lambda place: Finding(WARN, "hm", "do this")}
    assert examine(place, sound, lines.append) == 0
    assert lines == ["ok    a            fine", "warn  b            hm", f"{'':<18} -> do this", "\n1 ok, 1 to know, 0 to mend"]
    assert examine(place, {"i": ill, "n": bare, **sound}, lines.append) == 1
    assert "the check itself failed: KeyError: 'x'" in lines[4] and "not checked: No module named 'numpy'" in lines[6]


def test_paths_are_discreet(place):
    text = discreet(f"{place.root}/output\n {Path.home()}/x {'y' * 999}", place)
    assert text.startswith("./output ~/x y") and len(text) == doctor.LONGEST


def start(root: Path, path: str, **env: str) -> subprocess.CompletedProcess:
    return subprocess.run([shutil.which("bash"), str(root / "launch" / "doctor.sh")], env={"PATH": path, **env}, capture_output=True,
                          text=True, timeout=300)


def test_no_python_at_all(place, tmp_path):
    program(place.root / "launch" / "doctor.sh", (ROOT / "launch" / "doctor.sh").read_text())
    program(place.root / ".venv" / "bin" / "python", "#!/nowhere/python\n")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "dirname").symlink_to(shutil.which("dirname"))
    done = start(place.root, str(tmp_path / "bin"))
    assert done.returncode == 1 and done.stdout.startswith("FAIL  Python ") and "bash launch/setup.sh" in done.stdout


def test_a_broken_venv_is_told_by_another_python(place, tmp_path):
    """Every check ends in a line although nothing is installed here and no file of ours but the doctor's is whole."""
    for name in ("doctor.sh", "doctor.py", "doctor_checks.py", "ending.py", "runtime.py"):
        program(place.root / "launch" / name, (ROOT / "launch" / name).read_text())
    program(place.root / ".venv" / "bin" / "python", "#!/nowhere/python\n")
    bare = program(tmp_path / "bin" / "python3.11", f"#!/bin/sh\nexec {os.path.realpath(sys.executable)} \"$@\"\n")   # .venv's base
    done = start(place.root, f"{bare}:{os.environ['PATH']}", HOME=str(tmp_path / "home"))
    lines = [line for line in done.stdout.splitlines() if line[:4].strip() in (OK, WARN, FAIL)]
    assert done.returncode == 1 and len(lines) == len(doctor_checks.CHECKS) and not done.stderr
    assert "FAIL  environment  .venv is there, but its Python does not start" in done.stdout and "rm -rf .venv" in done.stdout
    assert "the check itself failed" not in done.stdout and str(place.root) not in done.stdout


def test_this_installation():
    done = start(ROOT, os.environ["PATH"], HOME=os.environ.get("HOME", "/"), SECRET_TOKEN="do-not-tell")
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and "0 to mend" in lines[-1], done.stdout + done.stderr
    assert any(line.startswith("ok    prediction") for line in lines) and any(line.startswith("ok    Jittor") for line in lines)
    assert "do-not-tell" not in done.stdout and str(ROOT) not in done.stdout and str(Path.home()) + "/" not in done.stdout
