#!/usr/bin/env bash
# Teach a checkpoint to correct its weights over the surface: bash launch/teach_refiner.sh --checkpoint FOLDER --data_root DIR
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

exec "$PYTHON" -m launch.teach_refiner "$@"
