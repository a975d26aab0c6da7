#!/usr/bin/env bash
# Does this installation work, and what to do where not? bash launch/doctor.sh
#
# It installs and changes nothing, so it does not begin with setup.sh, and it has something to say where Python or .venv is broken.
# Its output names no user, host or setting: paste it into an issue. Exit code: 0 fine, 1 where a line says FAIL.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
export PYTHONNOUSERSITE=1

starts() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 8))' >/dev/null 2>&1; }

candidates=(.venv/bin/python)
# as setup.sh does: an active conda environment counts where it has Jittor
if [ -n "${CONDA_PREFIX:-}" ] &&
    "$CONDA_PREFIX/bin/python" -c 'import importlib.util as u, sys; sys.exit(u.find_spec("jittor") is None)' 2>/dev/null
then candidates=("$CONDA_PREFIX/bin/python"); fi
for python in "${candidates[@]}" ${TRANSREFINER_PYTHON:-} python3.11 python3.12 python3 python; do
    if starts "$python"; then exec "$python" -m launch.doctor; fi
done
echo "FAIL  Python       none starts here: neither .venv/bin/python nor python3.11, python3.12, python3"
echo "                   -> on Debian 12 or Ubuntu 24.04: sudo apt-get install python3 python3-venv python3-dev; then: bash launch/setup.sh"
exit 1
