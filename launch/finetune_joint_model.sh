#!/usr/bin/env bash
# Stage 2 of training: half mocap poses, 35% random, 15% rest, whole figures turned with p = 0.2.
#     bash launch/finetune_joint_model.sh [--option value...]              options: train_joint_model.py --help
#     mpirun -np N bash launch/finetune_joint_model.sh [...]   N processes; which mpirun: launch/runtime.py
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

exec "$PYTHON" train_joint_model.py --stage finetune "$@"
