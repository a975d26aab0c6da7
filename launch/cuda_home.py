"""Make a CUDA home with which Jittor 1.3.11 builds on CUDA 13: links to an installed toolkit, two wrappers and four small headers.

    python -m launch.cuda_home FOLDER [--nvcc PATH] [--wheels SITE_PACKAGES ...]

Then start with nvcc_path=FOLDER/bin/nvcc cc_path=FOLDER/bin/g++ (launch/cuda.sh does all of it). Older toolkits need none of this.
--wheels: site-packages whose nvidia/ folders complete the toolkit (cuBLAS and cuRAND as PyTorch brings them).
What CUDA 13 took away and Jittor still uses, given back without editing either: two fields of cudaDeviceProp, npp.h where NPP is not
installed, the names that CUB 3 dropped; and CUB 3 wants C++17 where Jittor asks for C++14.
Jittor takes include/ and lib64/ from beside the real file of nvcc, so nvcc and g++ are scripts here and not links.
Checked by compiling only: no GPU was available when this was written.
"""

import argparse
import shutil
import sys
from pathlib import Path

NVCC = """#!/usr/bin/env bash
exec "{nvcc}" -I"{compat}" "${{@/#-std=c++14/-std=c++17}}"
"""
GXX = """#!/usr/bin/env bash
exec "{gxx}" -I"{compat}" "$@"
"""
# Of the two lost fields Jittor asks: is the device forbidden (mode 2)? and, among several, which is fastest? A flag that is 0 or 1
# and the number of processors answer the same.
HELPER_CUDA = """#pragma once
#include <cuda_runtime.h>
#define computeMode integrated
#define clockRate multiProcessorCount
#include_next <helper_cuda.h>
#undef computeMode
#undef clockRate
"""
NPP = """#pragma once
#include <climits>
#define NPP_MIN_32U 0
#define NPP_MAX_32U UINT_MAX
#define NPP_MIN_32S INT_MIN
#define NPP_MAX_32S INT_MAX
#define NPP_MIN_64U 0
#define NPP_MAX_64U ULLONG_MAX
#define NPP_MIN_64S LLONG_MIN
#define NPP_MAX_64S LLONG_MAX
"""
CUB = """#pragma once
#include_next <cub/cub.cuh>
#if CUB_VERSION >= 300000
#include <cuda/functional>
#include <cuda/std/functional>
#include <thrust/iterator/counting_iterator.h>
#include <thrust/iterator/reverse_iterator.h>
#include <thrust/iterator/transform_iterator.h>
namespace cub {
using Sum = ::cuda::std::plus<>;
using Min = ::cuda::minimum<>;
using Max = ::cuda::maximum<>;
template <class T, class Offset = ptrdiff_t> using CountingInputIterator = ::thrust::counting_iterator<T>;
template <class T, class Op, class It, class Offset = ptrdiff_t> using TransformInputIterator = ::thrust::transform_iterator<Op, It, T>;
}
#endif
"""
NEEDED = ("include/cuda_runtime.h", "include/cub/cub.cuh", "include/nv/target", "include/cublas_v2.h", "include/curand.h",
          "lib64/libcudart.so", "lib64/libcublas.so", "lib64/libcublasLt.so", "lib64/libcurand.so")


def real_nvcc(named: str | None) -> Path:
    """The toolkit's own binary: what `nvcc` on PATH names may be a script. Raises: SystemExit without one."""
    named = named or shutil.which("nvcc")
    for path in filter(None, (named, "/usr/local/cuda/bin/nvcc")):
        real = Path(path).resolve()
        if (real.parent / "nvcc.profile").exists():
            return real
    sys.exit("no CUDA toolkit found: put its nvcc on PATH, or name it with --nvcc /usr/local/cuda/bin/nvcc")


def link_all(source: Path, pattern: str, folder: Path) -> None:
    """A link in folder to each file of source that fits; what is there already stays, so the first source wins."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in sorted(source.glob(pattern)):
        if not (folder / file.name).exists():
            (folder / file.name).symlink_to(file.resolve())


def link_libraries(source: Path, folder: Path) -> None:
    """The shared libraries, and for each libx.so.N the plain name libx.so that a linker asks for (wheels leave it out)."""
    link_all(source, "lib*.so*", folder)
    for file in sorted(source.glob("lib*.so.*")):
        plain = folder / (file.name.split(".so.")[0] + ".so")
        if not plain.exists():
            plain.symlink_to(file.resolve())


def write_script(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def make_home(home: Path, nvcc: Path, gxx: str, sites: list[Path]) -> list[str]:
    """Build the folder afresh. Returns what Jittor will miss in it."""
    shutil.rmtree(home, ignore_errors=True)
    toolkit, compat = nvcc.parent.parent, home / "compat"
    sources = [toolkit, *toolkit.glob("targets/*-linux"), *(folder for site in sites for folder in sorted(site.glob("nvidia/*")))]
    for source in sources:  # headers that fit this nvcc come first
        for headers in (source / "include", source / "include" / "cccl"):  # g++ looks for CUDA's C++ library at the top
            link_all(headers, "[!_]*", home / "include")
        for libraries in ("lib64", "lib"):
            link_libraries(source / libraries, home / "lib64")
    write_script(home / "bin" / "nvcc", NVCC.format(nvcc=nvcc, compat=compat))
    write_script(home / "bin" / "g++", GXX.format(gxx=gxx, compat=compat))
    headers = {"helper_cuda.h": HELPER_CUDA, "cub/cub.cuh": CUB}
    if not (home / "include" / "npp.h").exists():
        headers["npp.h"] = NPP
    for name, text in headers.items():
        (compat / name).parent.mkdir(parents=True, exist_ok=True)
        (compat / name).write_text(text)
    return [name for name in NEEDED if not (home / name).exists()]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--nvcc", help="default: the one on PATH, else /usr/local/cuda")
    parser.add_argument("--wheels", type=Path, nargs="*", default=[], metavar="SITE_PACKAGES")
    args = parser.parse_args(argv)
    gxx = shutil.which("g++") or sys.exit("no g++ found")
    nvcc = real_nvcc(args.nvcc)
    missing = make_home(args.folder.absolute(), nvcc, gxx, args.wheels)
    print(f"{args.folder}: {nvcc}" + (f"; missing: {' '.join(missing)}" if missing else ""))
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
