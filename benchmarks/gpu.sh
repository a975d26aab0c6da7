#!/usr/bin/env bash
# Everything that wants an NVIDIA GPU: the tests on the device, and the kernels and the train step against PyTorch there.
#   bash benchmarks/gpu.sh [FOLDER]        results go to FOLDER (default: benchmarks/results/<date>-gpu)
#
# UNTESTED: no GPU was available when this was written. On the machine it was written on, the headers of benchmarks/cuda_home.py were
# compiled with CUDA 13.0 and the rest of this script ran up to the search for a GPU; nothing has run on a device.
#
# It needs: a driver; a CUDA toolkit with cuBLAS and cuRAND (nvcc on PATH, or nvcc_path=/path/to/nvcc); a PyTorch that sees the GPU in
# .venv-peers. Where the toolkit lacks the libraries, CUDA_WHEELS=/path/to/site-packages names NVIDIA's wheels (PyTorch brings some).
# CUDA 13 is made fit for Jittor by benchmarks/cuda_home.py. GPUs newer than Hopper are unknown to Jittor 1.3.11.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

NVCC="${nvcc_path:-$(command -v nvcc || true)}"
export nvcc_path=""            # the set-up is made for the CPU: a CUDA build must not take its place
[ -x .venv-peers/bin/python ] || bash benchmarks/setup_peers.sh
source launch/setup.sh
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
    "$PYTHON" -m benchmarks.cuda_home "$home" --nvcc "$NVCC" "${wheels[@]}" || fail "The toolkit is not complete; see CUDA_WHEELS at the top of $0"
    export nvcc_path="$home/bin/nvcc" cc_path="$home/bin/g++"
fi
say "Building Jittor with CUDA $version (minutes, once)"
"$PYTHON" -c 'import sys; from launch.runtime import start_jittor; sys.exit(not start_jittor().flags.use_cuda)' ||
    fail "Jittor does not use the GPU; its message is above."
.venv-peers/bin/python -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' ||
    fail "The PyTorch in .venv-peers sees no GPU; install a CUDA build of the version in benchmarks/requirements-peers.txt there."

folder="${1:-benchmarks/results/$(date +%F)-gpu}"
mkdir -p "$folder"
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv | tee "$folder/gpu.txt"
failed=()
try() { say "$*"; "$@" || failed+=("$*"); }
try "$PYTHON" -m pytest -m gpu
try "$PYTHON" -m pytest tests/ops tests/models tests/PCT
try "$PYTHON" -m benchmarks.bench_kernels --device cuda --json "$folder/bench_kernels.json"
try "$PYTHON" -m benchmarks.bench_step --device cuda --json "$folder/bench_step.json"
try "$PYTHON" -m benchmarks.bench_step --device cuda --compile --json "$folder/bench_step_compile.json"
for command in "${failed[@]}"; do say "FAILED: $command"; done
say "Results: $folder"
[ ${#failed[@]} = 0 ]
