#!/usr/bin/env bash
# Sourced instead of launch/setup.sh by scripts that want an NVIDIA GPU: a Jittor built with CUDA beside the CPU's, and PYTHON as ever.
# Fails with a sentence where there is no GPU or no toolkit.
#
# UNTESTED on a device: no GPU was available when this was written. On the machine it was written on, the headers of launch/cuda_home.py
# were compiled with CUDA 13.0 and the rest ran up to the search for a GPU.
#
# It needs: a driver; a CUDA toolkit with cuBLAS and cuRAND (nvcc on PATH, or nvcc_path=/path/to/nvcc). Where the toolkit lacks the
# libraries, CUDA_WHEELS=/path/to/site-packages names NVIDIA's wheels (PyTorch brings some). CUDA 13 is made fit for Jittor by
# launch/cuda_home.py. GPUs newer than Hopper are unknown to Jittor 1.3.11.
NVCC="${nvcc_path:-$(command -v nvcc || true)}"
export nvcc_path=""            # the set-up is made for the CPU: a CUDA build must not take its place
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
say() { printf '[gpu] %s\n' "$*" >&2; }
fail() { say "$@"; exit 1; }

"$PYTHON" -c 'import sys; from launch.runtime import has_gpu; sys.exit(not has_gpu())' ||
    fail "No usable NVIDIA GPU here (nvidia-smi -L should list one). This script is untested: no GPU was available when it was written."
[ -x "$NVCC" ] || NVCC=/usr/local/cuda/bin/nvcc
[ -x "$NVCC" ] || fail "No nvcc found; install the CUDA toolkit, or name its compiler: nvcc_path=/path/to/nvcc bash $0"
version="$("$NVCC" --version | grep -o 'release [0-9]*\.[0-9]*' | cut -d' ' -f2)"

# Jittor's cache for this build, apart from the CPU's: the two would rebuild each other's core at every change.
export cache_name="cuda$version" nvcc_path="$NVCC"
if [ "${version%%.*}" -ge 13 ]; then
    home="$PWD/output/cuda-home"
    wheels=()
    if [ -n "${CUDA_WHEELS:-}" ]; then wheels=(--wheels "$CUDA_WHEELS"); fi
    "$PYTHON" -m launch.cuda_home "$home" --nvcc "$NVCC" "${wheels[@]}" || fail "The toolkit is not complete; see CUDA_WHEELS at the top of launch/cuda.sh"
    export nvcc_path="$home/bin/nvcc" cc_path="$home/bin/g++"
fi
say "Building Jittor with CUDA $version (minutes, once)"
"$PYTHON" -c 'import sys; from launch.runtime import start_jittor; sys.exit(not start_jittor().flags.use_cuda)' ||
    fail "Jittor does not use the GPU; its message is above."
