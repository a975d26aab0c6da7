#!/usr/bin/env bash
# Bring a rigged character into the pose that pictures show: bash launch/fit.sh RIGGED.glb front.png left.png ... [--option value...]
#
# Files first, the rigged character before the pictures, then options, which go to fit_rig.py as they are (--help lists them):
# --cameras cameras.json, or instead of pictures --scan posed.ply. Results lie in fitted/<the character's name>/. docs/fit.md
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
source launch/files.sh

if [ ${#files[@]} -gt 0 ]; then set -- --input "${files[@]}" "$@"; fi
exec "$PYTHON" fit_rig.py "$@"
