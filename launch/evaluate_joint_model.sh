#!/usr/bin/env bash
# Measure a checkpoint: bash launch/evaluate_joint_model.sh [--option value...]; options: evaluate_joint_model.py --help
# Without options: on the bundled examples, with figures and plots in output/evaluation/.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

if [ $# = 0 ]; then
    source launch/examples.sh
    set -- --input "$EXAMPLES" --json output/evaluation/metrics.json --plots output/evaluation
fi
exec "$PYTHON" evaluate_joint_model.py "$@"
