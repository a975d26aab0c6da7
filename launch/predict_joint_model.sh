#!/usr/bin/env bash
# Rig files: bash launch/predict_joint_model.sh [FILE_OR_FOLDER...] [--option value...]
#
# Files first, then options, which go to predict_joint_model.py as they are (--help lists them). Results lie in predict_joint/<run>/.
# Under mpirun each rank takes its share, and the same command again does what is missing: docs/scale.md.
# Without files: the bundled examples, made on first use. With --input or --data_list among the options: those.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
source launch/files.sh

if [ ${#files[@]} = 0 ] && [[ " $* " != *" --input"* && " $* " != *" --data_list"* && " $* " != *" --help "* ]]; then
    source launch/examples.sh
    files=("$EXAMPLES")
fi
if [ ${#files[@]} -gt 0 ]; then set -- --input "${files[@]}" "$@"; fi
exec "$PYTHON" predict_joint_model.py "$@"
