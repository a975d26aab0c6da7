#!/usr/bin/env bash
# The whole test suite: bash launch/test.sh [pytest's arguments]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

exec "$PYTHON" -m pytest "$@"
