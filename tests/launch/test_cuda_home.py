"""launch/cuda_home.py on a pretended toolkit: what is linked, which source wins, and what the wrappers hand on."""

import subprocess
from pathlib import Path

import pytest

from launch.cuda_home import NEEDED, main, make_home, real_nvcc


def touch(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def toolkit(tmp_path) -> Path:
    """A CUDA 13 toolkit without cuBLAS, whose nvcc says what it was called with; wheels beside it complete it."""
    root = tmp_path / "cuda-13.0"
    touch(root / "bin" / "nvcc", '#!/usr/bin/env bash\nprintf "%s\\n" "$@"\n').chmod(0o755)
    touch(root / "bin" / "nvcc.profile")
    for name in ("cuda_runtime.h", "cccl/cub/cub.cuh", "cccl/nv/target"):
        touch(root / "include" / name, "toolkit")
    touch(root / "targets" / "x86_64-linux" / "lib" / "libcudart.so.13")
    wheel = tmp_path / "site" / "nvidia" / "cu13"
    for name in ("cublas_v2.h", "curand.h", "cuda_runtime.h"):
        touch(wheel / "include" / name, "wheel")
    for name in ("libcublas.so.13", "libcublasLt.so.13", "libcurand.so.10"):
        touch(wheel / "lib" / name)
    return root


def test_a_toolkit_and_wheels_make_a_whole_home(toolkit, tmp_path):
    home = tmp_path / "home"
    assert make_home(home, toolkit / "bin" / "nvcc", "/usr/bin/g++", [tmp_path / "site"]) == []
    assert all((home / name).exists() for name in NEEDED)
    assert (home / "include" / "cuda_runtime.h").read_text() == "toolkit"  # it fits this nvcc
    assert (home / "lib64" / "libcublas.so").resolve() == tmp_path / "site" / "nvidia" / "cu13" / "lib" / "libcublas.so.13"
    touch(home / "stale")
    make_home(home, toolkit / "bin" / "nvcc", "/usr/bin/g++", [])
    assert not (home / "stale").exists()


def test_what_lacks_is_named(toolkit, tmp_path, capsys):
    assert main([str(tmp_path / "home"), "--nvcc", str(toolkit / "bin" / "nvcc")]) == 1
    assert "missing: include/cublas_v2.h include/curand.h lib64/libcublas.so" in capsys.readouterr().out


def test_the_compiler_is_asked_for_cpp_17_with_the_shadow_headers_first(toolkit, tmp_path):
    home = tmp_path / "a home"
    make_home(home, toolkit / "bin" / "nvcc", "/usr/bin/g++", [])
    words = ["-std=c++14", "-I/x", "a b.cu"]
    heard = subprocess.run([home / "bin" / "nvcc", *words], capture_output=True, text=True, check=True).stdout.splitlines()
    assert heard == [f"-I{home}/compat", "-std=c++17", "-I/x", "a b.cu"]
    assert not (home / "bin" / "g++").is_symlink() and f'-I"{home}/compat"' in (home / "bin" / "g++").read_text()
    assert "#include_next <helper_cuda.h>" in (home / "compat" / "helper_cuda.h").read_text()


def test_an_installed_npp_is_not_shadowed(toolkit, tmp_path):
    for there in (False, True):
        if there:
            touch(toolkit / "include" / "npp.h")
        make_home(tmp_path / "home", toolkit / "bin" / "nvcc", "/usr/bin/g++", [])
        assert (tmp_path / "home" / "compat" / "npp.h").exists() is not there


def test_a_script_named_nvcc_is_not_the_toolkit(toolkit, tmp_path):
    shim = touch(tmp_path / "bin" / "nvcc")
    link = tmp_path / "link"
    link.symlink_to(toolkit / "bin" / "nvcc")
    assert real_nvcc(str(link)) == toolkit / "bin" / "nvcc"
    if not Path("/usr/local/cuda/bin/nvcc").exists():
        with pytest.raises(SystemExit, match="no CUDA toolkit found"):
            real_nvcc(str(shim))
    else:
        assert real_nvcc(str(shim)).parent.joinpath("nvcc.profile").exists()
