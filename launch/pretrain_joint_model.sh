#!/usr/bin/env bash
# Stage 1 of training: half of the samples in random poses.
#     bash launch/pretrain_joint_model.sh [--option value...]              options: train_joint_model.py --help
#     mpirun -np N bash launch/pretrain_joint_model.sh [...]   N processes; which mpirun: launch/runtime.py
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

exec "$PYTHON" train_joint_model.py --stage pretrain "$@"
