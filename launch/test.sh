#!/usr/bin/env bash
# The whole test suite, on two cores: bash launch/test.sh [pytest's arguments]. On one, as a debugger wants it: -n 0
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

exec "$PYTHON" -m pytest -n 2 --dist loadfile "$@"
