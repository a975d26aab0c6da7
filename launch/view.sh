#!/usr/bin/env bash
# See rigs in the browser: bash launch/view.sh [RIG.glb or folder of predict_joint/ ...] [--option value...]
#
# Files first, then options, which go to view_rig.py as they are (--help lists them): --animate walk.bvh, --port 9000.
# Without files: an empty page to drop meshes on. Ctrl-C ends.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
source launch/files.sh

if [ ${#files[@]} -gt 0 ]; then set -- --input "${files[@]}" "$@"; fi
exec "$PYTHON" view_rig.py "$@"
