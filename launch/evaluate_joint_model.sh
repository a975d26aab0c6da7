#!/usr/bin/env bash
# Measure a checkpoint, or a folder of predictions: bash launch/evaluate_joint_model.sh --input FILES... [--option value...]
# Options and examples: evaluate_joint_model.py --help. For figures and plots beside the table: --json m.json --plots plots/
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

exec "$PYTHON" evaluate_joint_model.py "$@"
