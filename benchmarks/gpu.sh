#!/usr/bin/env bash
# Everything that wants an NVIDIA GPU: the tests on the device, and the kernels and the train step against PyTorch there.
#   bash benchmarks/gpu.sh [FOLDER]        results go to FOLDER (default: benchmarks/results/<date>-gpu)
#
# UNTESTED: no GPU was available when this was written. What it needs is said in launch/cuda.sh; a PyTorch that sees the GPU in .venv-peers.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

[ -x .venv-peers/bin/python ] || nvcc_path="" bash benchmarks/setup_peers.sh
source launch/cuda.sh
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
