#!/usr/bin/env bash
# Run every benchmark on a quiet machine (about 15 minutes), keep the results under today's date, and renew the README's table.
#   bash benchmarks/run_all.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
[ -x .venv-peers/bin/python ] || bash benchmarks/setup_peers.sh
source launch/setup.sh
folder="benchmarks/results/$(date +%F)"
for name in step kernels data scale startup mpi raster; do
    echo "== bench_$name"
    "$PYTHON" -m "benchmarks.bench_$name" --json "$folder/bench_$name.json"
done
"$PYTHON" -m benchmarks.table --write
