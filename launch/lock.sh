#!/usr/bin/env bash
# For maintainers, after a change of a requirements file: bash launch/lock.sh
#
# Writes launch/locks/: of each requirements*.txt the same packages with the hashes of all their files, and stops where a package that
# one of them needs is not pinned there. launch/setup.sh installs nothing that these do not name. Needs uv (pip install uv) and the index.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fresh="$(mktemp -d)"
trap 'rm -rf "$fresh"' EXIT

# $1: stem of a list, then options of uv. The versions that stand in the lock already do not weigh in: the lists pin all.
lock() {
    uv pip compile --quiet --generate-hashes --no-annotate --no-config --custom-compile-command "bash launch/lock.sh" \
        "${@:2}" "$1.txt" --output-file "$fresh/$1.lock"
    local packages='s/^([A-Za-z0-9_.-]+)==([^ ;\\]+).*/\L\1==\2/p'
    diff <(sed -nE "$packages" "$1.txt" | sort) <(sed -nE "$packages" "$fresh/$1.lock" | grep -vxF "${KNOWN:-}" | sort) ||
        { echo "$1.txt (<) does not pin just what it needs (>)" >&2; exit 1; }
}

# The lists are for Python 3.11 and 3.12 on both kinds of machine; one lock serves them when none needs a package of its own.
for python in 3.12 3.11; do
    for machine in aarch64-unknown-linux-gnu x86_64-unknown-linux-gnu; do
        on=(--python-version "$python" --python-platform "$machine" --only-binary :all: --no-binary jittor)
        lock requirements "${on[@]}"
        lock requirements-build "${on[@]}"
    done
done
lock requirements-data --no-deps "${on[@]}"
lock requirements-onednn --no-deps "${on[@]}"
KNOWN="$(grep -m1 -o '^numpy==[^ ]*' requirements.txt)" lock requirements-fbx --constraint requirements.txt "${on[@]}"
mkdir -p launch/locks
mv "$fresh"/*.lock launch/locks/
