#!/usr/bin/env bash
# A piece of a training on an NVIDIA GPU, so many minutes long, which the next machine goes on with.
#   bash launch/gpu_training.sh NAME MINUTES CARRIED [option of train_joint_model.py ...]
# CARRIED: a folder; what the last piece left there is taken up, and the run so far is left there in files of at most 15 MB
# (launch/carry_run.py). The options must be the same every time. Without a preset it is small, whose state takes three such files.
#
# UNTESTED on a device: see launch/cuda.sh.
set -euo pipefail
[ $# -ge 3 ] || { echo "usage: bash launch/gpu_training.sh NAME MINUTES CARRIED [option of train_joint_model.py ...]" >&2; exit 2; }
NAME="$1" MINUTES="$2" CARRIED="$(realpath -m "$3")"
shift 3
source "$(dirname "${BASH_SOURCE[0]}")/cuda.sh"

if [ ! -e "output/$NAME" ] && [ -e "$CARRIED/index.json" ]; then "$PYTHON" -m launch.carry_run unpack "$CARRIED" "output/$NAME"; fi
"$PYTHON" train_joint_model.py --name "$NAME" --minutes "$MINUTES" --resume "$@"
"$PYTHON" -m launch.carry_run pack "output/$NAME" "$CARRIED.new"
rm -rf "$CARRIED"
mv "$CARRIED.new" "$CARRIED"
