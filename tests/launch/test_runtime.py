"""What start_jittor finds on pretended machines, what it says when something lacks, and two ranks that really add up."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from launch import runtime
from launch.runtime import SetupError, compile_note, find_launcher, find_onednn, jittor_home, link_onednn, prepare_environment

ROOT = Path(__file__).resolve().parents[2]
READ_BY_JITTOR = ("log_silent", "FIX_TORCH_ERROR", "use_mpi", "nvcc_path", "use_cutt", "use_cutlass", "use_nccl", "use_mkl", "cc_path",
                  "python_config_path", "mpicc_path", "OPAL_PREFIX", "JITTOR_HOME", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK")


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
    assert {n: os.environ.get(n) for n in ("nvcc_path", "use_mpi", "use_nccl", "use_mkl", "mpicc_path", "FIX_TORCH_ERROR")} == {
        "nvcc_path": "", "use_mpi": "0", "use_nccl": "0", "use_mkl": None, "mpicc_path": None, "FIX_TORCH_ERROR": "0"}
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
    assert "nvcc_path" not in os.environ and os.environ["use_nccl"] == "0" and capsys.readouterr().err == ""


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


def test_compile_note_speaks_only_when_it_takes_long(bare, capsys):
    with compile_note("a network", after=30):
        pass
    assert capsys.readouterr().err == ""
    with compile_note("a network", after=0.01):
        time.sleep(0.2)
    assert capsys.readouterr().err.startswith("Jittor compiles the kernels of a network at their first use")
    bare.setenv("OMPI_COMM_WORLD_RANK", "1")
    with compile_note("a network", after=0.01):
        time.sleep(0.1)
    assert capsys.readouterr().err == ""


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
