#!/usr/bin/env bash
# Make .venv-peers, the environment of the libraries that the benchmarks compare with. The product never needs it.
#   bash benchmarks/setup_peers.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source launch/setup.sh
"$PYTHON" -m venv --clear .venv-peers
PIP_USER=0 .venv-peers/bin/python -m pip install -q --disable-pip-version-check -r benchmarks/requirements-peers.txt
echo "Ready: .venv-peers ($(.venv-peers/bin/python -c 'import torch; print("torch", torch.__version__)'))"
