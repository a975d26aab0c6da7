"""What start_jittor finds on pretended machines, what it says when something lacks, and two ranks that really add up."""

import os
import shutil
import ssl
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from launch import runtime
from launch.runtime import (SetupError, compile_note, find_launcher, find_onednn, jittor_home, link_onednn, prepare_environment,
                            start_jittor)

ROOT = Path(__file__).resolve().parents[2]
READ_BY_JITTOR = ("log_silent", "gdb_path", "conv_opt", "FIX_TORCH_ERROR", "use_mpi", "nvcc_path", "use_cutt", "use_cutlass", "use_nccl",
                  "use_mkl", "cc_path", "python_config_path", "mpicc_path", "OPAL_PREFIX", "JITTOR_HOME", "OMPI_COMM_WORLD_SIZE",
                  "OMPI_COMM_WORLD_RANK")


@pytest.fixture
def bare(monkeypatch, tmp_path):
    """No variable set, no GPU, an empty home with its own empty Jittor cache; everything comes back afterwards."""
    for name in READ_BY_JITTOR:
        monkeypatch.setenv(name, "")  # remembered even when absent, so that what the code sets is undone
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(runtime, "has_gpu", lambda: False)
    return monkeypatch


def onednn(root: Path, major: int, sub: str = "lib") -> Path:
    (root / sub).mkdir(parents=True)
    (root / sub / "libdnnl.so").write_bytes(b"")
    (root / "include" / "oneapi" / "dnnl").mkdir(parents=True)
    (root / "include" / "dnnl.h").write_text("")
    (root / "include" / "oneapi" / "dnnl" / "dnnl_version.h").write_text(f"#define DNNL_VERSION_MAJOR {major}\n#define X 1\n")
    return root


def test_without_gpu_and_mpi(bare):
    bare.setattr(runtime, "link_onednn", lambda: True)
    prepare_environment()
    assert {n: os.environ.get(n) for n in ("nvcc_path", "gdb_path", "use_mpi", "use_nccl", "use_mkl", "mpicc_path", "FIX_TORCH_ERROR")} == {
        "nvcc_path": "", "gdb_path": "", "use_mpi": "0", "use_nccl": "0", "use_mkl": None, "mpicc_path": None, "FIX_TORCH_ERROR": "0"}
    assert "JITTOR_HOME" not in os.environ


def test_what_the_user_set_stays(bare):
    bare.setattr(runtime, "link_onednn", lambda: True)
    bare.setenv("log_silent", "0")
    bare.setenv("use_mpi", "0")
    bare.setenv("OMPI_COMM_WORLD_SIZE", "2")
    prepare_environment()
    assert os.environ["log_silent"] == "0" and os.environ["use_mpi"] == "0" and "mpicc_path" not in os.environ


def test_a_missing_compiler_names_the_command(bare):
    bare.setenv("cc_path", "no-such-compiler")
    with pytest.raises(SetupError, match=r"no C\+\+ compiler .*sudo apt-get install g\+\+"):
        prepare_environment()


def test_missing_headers_name_the_package(bare):
    bare.setattr(runtime.sysconfig, "get_path", lambda name: "/nowhere")
    with pytest.raises(SetupError, match=r"no headers .Python.h.*apt-get install python3\.\d+-dev"):
        prepare_environment()


def test_missing_onednn_is_said_once_and_switched_off(bare, capsys):
    bare.setattr(runtime, "find_onednn", lambda: None)
    prepare_environment()
    assert os.environ["use_mkl"] == "0" and "apt-get install libdnnl-dev" in capsys.readouterr().err
    prepare_environment()
    assert capsys.readouterr().err == ""


def test_a_gpu_without_nvcc_runs_on_the_cpu_and_says_so(bare, capsys):
    bare.setattr(runtime, "has_gpu", lambda: True)
    bare.setattr(runtime, "link_onednn", lambda: True)
    bare.setattr(runtime.shutil, "which", lambda name: "/usr/bin/g++" if name == "g++" else None)
    if not os.path.exists("/usr/local/cuda/bin/nvcc"):
        prepare_environment()
        assert os.environ["nvcc_path"] == "" and "no nvcc" in capsys.readouterr().err
    bare.delenv("nvcc_path", raising=False)
    bare.setattr(runtime.shutil, "which", lambda name: f"/usr/bin/{name}")
    prepare_environment()
    assert "nvcc_path" not in os.environ and os.environ["use_nccl"] == "0" and os.environ["conv_opt"] == "1"
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("gpu, built, uses", [(True, 1, True), (True, 0, False), (False, 1, False)])
def test_on_a_gpu_a_transpose_stays_there(bare, gpu, built, uses):
    fake = SimpleNamespace(flags=SimpleNamespace(use_cuda=0), has_cuda=built, origin_transpose="with cuTT", fuse_transpose="fused")
    bare.setattr(runtime, "has_gpu", lambda: gpu)
    bare.setitem(sys.modules, "jittor", fake)
    assert runtime.start_jittor() is fake and fake.flags.use_cuda == uses
    assert fake.origin_transpose == ("fused" if uses else "with cuTT")


def test_jittor_not_installed_names_the_way(bare):
    bare.setitem(sys.modules, "jittor", None)  # import then raises ModuleNotFoundError
    with pytest.raises(SetupError, match="script in launch/, or: python -m pip install -r requirements.txt"):
        runtime.start_jittor()


@pytest.mark.parametrize("major, found", [(1, False), (2, True), (3, False)])
def test_only_onednn_2_fits(tmp_path, major, found):
    root = onednn(tmp_path / "usr", major, f"lib/{runtime.platform.machine()}-linux-gnu")
    assert (find_onednn((str(tmp_path / "none"), str(root))) is not None) == found


def test_the_environments_own_onednn_comes_first_and_halves_do_not_count(tmp_path):
    first, second = onednn(tmp_path / "env", 2), onednn(tmp_path / "usr", 2)
    roots = (str(first), str(second))
    assert find_onednn(roots) == (first / "lib" / "libdnnl.so", first / "include")
    (first / "lib" / "libdnnl.so").unlink()  # headers alone
    assert find_onednn(roots) == (second / "lib" / "libdnnl.so", second / "include")
    shutil.rmtree(second / "include")  # a library alone
    assert find_onednn(roots) is None


def test_onednn_is_linked_where_jittor_looks(bare, tmp_path):
    folder = tmp_path / "home" / ".cache" / "jittor" / "mkl" / runtime.MKL_FOLDER.get(runtime.platform.machine(), "")
    bare.setattr(runtime, "find_onednn", lambda: None)
    assert not link_onednn() and not folder.exists()
    for root in (onednn(tmp_path / "old", 2), onednn(tmp_path / "new", 2)):
        bare.setattr(runtime, "find_onednn", lambda: (root / "lib" / "libdnnl.so", root / "include"))
        assert link_onednn() and link_onednn()
        assert {p.name for p in (folder / "lib").iterdir()} == {"libdnnl.so", "libmkldnn.so"} and (folder / "examples").is_dir()
        assert (folder / "lib" / "libmkldnn.so").resolve() == (root / "lib" / "libdnnl.so").resolve()
        assert (folder / "include" / "oneapi" / "dnnl" / "dnnl_version.h").exists() and (folder / "include" / "dnnl.h").exists()
        shutil.rmtree(root)  # uninstalled: the links dangle, and the next round must mend them
    bare.setattr(runtime, "find_onednn", lambda: None)
    assert not link_onednn()


def test_jittor_home_follows_jittors_own_rule(bare, tmp_path):
    home = tmp_path / "home"
    assert jittor_home() == home
    (home / ".cache" / "jittor").mkdir(parents=True)
    config = home / ".cache" / "jittor" / "config.json"
    config.write_text('{"JITTOR_HOME": "/remembered"}')
    assert jittor_home() == Path("/remembered")
    config.write_text("{")
    assert jittor_home() == home
    bare.setenv("JITTOR_HOME", "/chosen")
    assert jittor_home() == Path("/chosen")


def processes(proc: Path, *chain: tuple[int, str]) -> Path:
    """A /proc in which each (pid, program) has the next as its parent."""
    for (pid, program), (parent, _) in zip(chain, [*chain[1:], (1, "")]):
        (proc / str(pid)).mkdir(parents=True)
        (proc / str(pid) / "exe").symlink_to(program)
        (proc / str(pid) / "stat").write_text(f"{pid} (a ) b) S {parent} 1 1")
    return proc


def test_the_launcher_is_found_above_the_shell(bare, tmp_path):
    bare.setattr(runtime.os, "getppid", lambda: 50)
    found = find_launcher(processes(tmp_path / "a", (50, "/bin/bash"), (40, "/opt/ompi/bin/orterun"), (30, "/bin/bash")))
    assert found == Path("/opt/ompi/bin/orterun")
    assert find_launcher(processes(tmp_path / "b", (50, "/bin/bash"), (40, "/usr/bin/sshd"))) is None
    assert find_launcher(tmp_path / "no proc") is None


def test_mpicc_of_the_launcher_before_the_wheels(bare, tmp_path):
    launcher, wheel = tmp_path / "system" / "bin" / "orterun", tmp_path / "venv" / "bin"
    launcher.parent.mkdir(parents=True)
    wheel.mkdir(parents=True)
    bare.setattr(runtime, "find_launcher", lambda: launcher)
    bare.setattr(runtime.sys, "prefix", str(wheel.parent))
    bare.setattr(runtime, "link_onednn", lambda: True)
    bare.setenv("OMPI_COMM_WORLD_SIZE", "2")
    bare.setattr(runtime.shutil, "which", lambda name: "/usr/bin/g++" if name == "g++" else None)
    with pytest.raises(SetupError, match="no mpicc is there .*venv/bin/mpirun .*libopenmpi-dev"):
        prepare_environment()
    (wheel / "mpicc").touch()
    prepare_environment()
    assert os.environ["mpicc_path"] == str(wheel / "mpicc") and os.environ["OPAL_PREFIX"] == str(wheel.parent)
    (launcher.parent / "mpicc").touch()
    bare.delenv("mpicc_path")
    bare.delenv("OPAL_PREFIX")
    prepare_environment()
    assert os.environ["mpicc_path"] == str(launcher.parent / "mpicc") and "OPAL_PREFIX" not in os.environ


def test_compile_note_speaks_only_while_kernels_are_compiled(bare, capsys, tmp_path):
    bare.setitem(sys.modules, "jittor", SimpleNamespace(flags=SimpleNamespace(cache_path=str(tmp_path))))

    def said(compile_one: bool, after: float) -> str:
        with compile_note("a network", after):
            if compile_one:
                (tmp_path / "jit").mkdir(exist_ok=True)
                (tmp_path / "jit" / f"kernel{time.time_ns()}.so").touch()
            time.sleep(0.2)
        return capsys.readouterr().err

    assert said(False, after=0.01) == "" and said(True, after=30) == ""  # slow but warm; compiled in no time
    for first_kernel_ever in (True, False):
        if first_kernel_ever:
            shutil.rmtree(tmp_path / "jit")
        err = said(True, after=0.01)
        assert err.startswith("Jittor compiles the kernels of a network at their first use") and err.count("\n") == 1
    bare.setenv("OMPI_COMM_WORLD_RANK", "1")
    assert said(True, after=0.01) == ""


# a Jittor whose first `exits` imports end the process as the real one does after it rebuilt its core: code 0, not a word
FAKE_JITTOR = """
import sys
from pathlib import Path
from types import SimpleNamespace
tries = Path(__file__).with_name("tries")
tries.write_text(tries.read_text() + "x")
if len(tries.read_text()) <= {exits}:
    sys.exit(0)
flags, has_cuda = SimpleNamespace(use_cuda=0), 0
"""
PROGRAM = """
import os, sys
from launch.runtime import RESTARTED, start_jittor
print("begun", flush=True)
start_jittor()
print("done", sys.argv[1:], RESTARTED in os.environ)
"""


def start_with_fake_jittor(folder: Path, exits: int, way: str, rank: int | None = None) -> tuple[subprocess.CompletedProcess, int]:
    """The program as a file, by -c or from standard input, and how often it imported the fake."""
    (folder / "jittor").mkdir()
    (folder / "jittor" / "__init__.py").write_text(FAKE_JITTOR.format(exits=exits))
    (folder / "jittor" / "tries").write_text("")
    (folder / "program.py").write_text(PROGRAM)
    words = {"file": [str(folder / "program.py")], "-c": ["-c", PROGRAM], "stdin": ["-"]}[way]
    env = {k: v for k, v in os.environ.items() if not k.startswith("OMPI_") and k not in READ_BY_JITTOR}
    env |= {"HOME": str(folder), "PYTHONPATH": f"{folder}:{ROOT}", "use_mpi": "0"}
    if rank is not None:
        env |= {"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": str(rank)}
    done = subprocess.run([sys.executable, *words, "a b", "--c"], cwd=folder, env=env, input=PROGRAM, capture_output=True, text=True,
                          timeout=300)
    return done, len((folder / "jittor" / "tries").read_text())


@pytest.mark.parametrize("way, rank", [("file", None), ("-c", None), ("file", 0), ("file", 1)])
def test_a_program_that_jittor_ended_starts_again_with_its_words(tmp_path, way, rank):
    done, tries = start_with_fake_jittor(tmp_path, 1, way, rank)
    assert (done.returncode, tries) == (0, 2), done.stderr
    assert done.stdout.splitlines() == ["begun", "begun", "done ['a b', '--c'] False"]
    assert done.stderr.count("rebuilt its core; starting the program again") == (0 if rank == 1 else 1)


@pytest.mark.parametrize("exits, way, imported", [(9, "file", 2), (1, "stdin", 1)])
def test_it_starts_again_once_and_only_where_it_can(tmp_path, exits, way, imported):
    done, tries = start_with_fake_jittor(tmp_path, exits, way)
    assert done.returncode == 1 and tries == imported and "done" not in done.stdout
    assert "SetupError: Jittor rebuilt its core and asks to be started again: run the same command once more" in done.stderr


def test_two_ranks_add_up_and_stay_alike(tmp_path):
    mpirun = Path(sys.prefix) / "bin" / "mpirun"
    if not mpirun.exists() and (mpirun := shutil.which("mpirun")) is None:
        pytest.skip("no mpirun")
    env = {k: v for k, v in os.environ.items() if not k.startswith(("OMPI_", "PMIX_", "use_mpi", "mpicc_path", "OPAL_"))}
    env |= {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    script = Path(__file__).with_name("mpi_ranks.py")
    done = subprocess.run([mpirun, "-np", "2", "--oversubscribe", "--bind-to", "none", sys.executable, script], cwd=ROOT, env=env,
                          capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    for rank in (0, 1):
        assert f"rank {rank} of 2: sum 3.0, apart 0.0e+00" in done.stdout


def test_certificates_are_still_checked_when_jittor_has_started():
    start_jittor()
    assert ssl._create_default_https_context().verify_mode == ssl.CERT_REQUIRED
