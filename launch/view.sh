#!/usr/bin/env bash
# See rigs in the browser: bash launch/view.sh [RIG.glb or folder of predict_joint/ ...] [--option value...]
#
# Files first, then options, which go to view_rig.py as they are (--help lists them): --animate walk.bvh, --port 9000.
# Without files: an empty page to drop meshes on. Ctrl-C ends.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

files=()
while [ $# -gt 0 ] && [[ "$1" != --* ]]; do
    [ "${1:0:1}" = / ] && files+=("$1") || files+=("$(realpath -m --relative-to="$ROOT" "$STARTED_IN/$1")")
    shift
done
if [ ${#files[@]} -gt 0 ]; then set -- --input "${files[@]}" "$@"; fi
exec "$PYTHON" view_rig.py "$@"
