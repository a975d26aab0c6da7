"""Run a CUDA text without a GPU: its threads one after the other on the CPU, each up to the next __syncthreads().

It shows that a text computes the right numbers and does not depend on the order of its threads; not that it is fast, nor that a device takes
it (nvcc -arch only says that it compiles). As Jittor does, the leading functions of the source stand outside, the rest is the caller.
"""

import ctypes
import hashlib
import re
import subprocess
from pathlib import Path

import numpy as np

MACHINE = """
#include <cmath>
#include <cstdlib>
#include <functional>
#include <map>
#include <string>
#include <ucontext.h>
#include <vector>
#define __global__
#define __device__
#define __host__
#define __shared__ static
struct dim3 { unsigned x, y; dim3(long x = 1, long y = 1) : x((unsigned)x), y((unsigned)y) {} };
static dim3 threadIdx, blockIdx, blockDim, gridDim;
static bool backwards;
static ucontext_t caller;
static std::vector<ucontext_t> thread_at;
static std::vector<char> ended, stacks;
static std::function<void()> body;
static unsigned running;
static void __syncthreads() { swapcontext(&thread_at[running], &caller); }
static void one_thread() { body(); ended[running] = 1; swapcontext(&thread_at[running], &caller); }
static unsigned long long atomicMin(unsigned long long* at, unsigned long long value) {
    const unsigned long long before = *at;
    if (value < before) *at = value;
    return before;
}
static void run_block() {
    const unsigned count = blockDim.x, size = 1 << 16;
    thread_at.resize(count); ended.assign(count, 0); stacks.resize((size_t)count * size);
    for (unsigned t = 0; t < count; t++) {
        getcontext(&thread_at[t]);
        thread_at[t].uc_stack.ss_sp = stacks.data() + (size_t)t * size;
        thread_at[t].uc_stack.ss_size = size;
        thread_at[t].uc_link = &caller;
        makecontext(&thread_at[t], one_thread, 0);
    }
    for (unsigned left = count; left;) {
        const unsigned before = left;
        for (unsigned k = 0; k < count; k++) {
            running = threadIdx.x = backwards ? count - 1 - k : k;
            if (ended[running]) continue;
            swapcontext(&caller, &thread_at[running]);
            left -= ended[running];
        }
        if (left != before && left) abort();    // some threads wait for others that have ended
    }
}
static void launch(dim3 grid, dim3 block, std::function<void()> kernel) {
    gridDim = grid; blockDim = block; body = kernel;
    for (unsigned k = 0; k < grid.x * grid.y; k++) {
        const unsigned b = backwards ? grid.x * grid.y - 1 - k : k;
        blockIdx.x = b % grid.x; blockIdx.y = b / grid.x;
        run_block();
    }
}
"""
TYPES = {"float32": "float", "float64": "double", "int32": "int", "uint8": "unsigned char"}


def split(source: str) -> tuple[str, str]:
    """The leading functions, which begin with an underscore, and the rest."""
    at = 0
    while (found := re.match(r"\s*_", source[at:])) is not None:
        depth, at = 0, at + found.end() - 1
        while True:
            depth += {"{": 1, "}": -1}.get(source[at], 0)
            at += 1
            if source[at - 1] == "}" and depth == 0:
                break
    return source[:at], source[at:]


def program(header: str, source: str, arrays: list[np.ndarray], inputs: int) -> str:
    """C++ whose run(pointers, sizes, names, values, count, backwards) does what Jittor's operation would do on CUDA."""
    names = [f"in{k}" if k < inputs else f"out{k - inputs}" for k in range(len(arrays))]
    kinds = [TYPES[str(x.dtype)] for x in arrays]
    shapes = [[f"{name}_shape{d}" for d in range(x.ndim)] for name, x in zip(names, arrays)]
    given = ", ".join(f"{kind}* {name}_p" + "".join(f", int {s}" for s in shape) for kind, name, shape in zip(kinds, names, shapes)) + ", int __tmp"
    passed = ", ".join(", ".join([f"{name}_p", *shape]) for name, shape in zip(names, shapes)) + ", 0"
    outside, inside = split(source)
    inside = re.sub(r"(\w+(?:<\w+>)?)<<<(.*), ([^,]+?)>>>\((.*?)\);", r"launch(\2, \3, [&] { \1(\4); });", inside)
    both = [text.replace("@ARGS_DEF", given).replace("@ARGS", passed).replace("@PRECALC", "") for text in (outside, inside)]
    own = "\n".join(f"typedef {kind} {name}_type; {kind}* {name}_p = ({kind}*)pointers[{k}];" + "".join(f" const int {s} = *sizes++;" for s in shape)
                    for k, (kind, name, shape) in enumerate(zip(kinds, names, shapes)))
    return (MACHINE + header + both[0]
            + '\nextern "C" void run(void** pointers, int* sizes, const char** names, double* values, int count, bool turned) {\n'
            "std::map<std::string, double> data; for (int k = 0; k < count; k++) data[names[k]] = values[k]; backwards = turned;\n"
            + own + both[1] + "\n}\n")


def run_cuda(folder: Path, header: str, source: str, inputs: list[np.ndarray], outputs: list[np.ndarray], data: dict[str, float],
             backwards: bool = False) -> list[np.ndarray]:
    """Fills the outputs and returns them. backwards: the last thread of each block goes first, the last block too."""
    arrays = [*map(np.ascontiguousarray, inputs), *outputs]
    text = program(header, source, arrays, len(inputs))
    library = folder / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.so"
    if not library.exists():
        (folder / "text.cc").write_text(text)
        built = subprocess.run(["g++", "-std=c++17", "-O0", "-w", "-shared", "-fPIC", "-o", library, folder / "text.cc"],
                               capture_output=True, text=True)
        assert built.returncode == 0, built.stderr
    pointers = (ctypes.c_void_p * len(arrays))(*(x.ctypes.data for x in arrays))
    names = (ctypes.c_char_p * max(len(data), 1))(*(name.encode() for name in data))
    values = (ctypes.c_double * max(len(data), 1))(*data.values())
    sizes = (ctypes.c_int * 64)(*(size for x in arrays for size in x.shape))
    ctypes.CDLL(str(library)).run(pointers, sizes, names, values, len(data), ctypes.c_bool(backwards))
    return outputs
