#!/usr/bin/env bash
# Sourced by every script in launch/. Goes to the repository's root, sets up what is missing, and leaves the interpreter in PYTHON.
# The second start only compares a stamp. To set up and do nothing else: bash launch/setup.sh
#
# Order: an active conda environment that has jittor; else .venv, made with Python 3.11 or 3.12 and the pins of requirements.txt.
# Each file that pip brings must have a hash that launch/locks/ names. pip's own configuration (index, proxy, certificates) is taken as
# it is. TRANSREFINER_PYTHON names an interpreter to make .venv with.
set -euo pipefail

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
STARTED_IN="$PWD"
cd "$ROOT"

say() { printf '[setup] %s\n' "$*" >&2; }
fail() { printf '[setup] %s\n' "$@" >&2; exit 1; }

# What a finished set-up was made from.
wanted_stamp() { cat launch/locks/requirements{,-build,-data,-onednn}.lock launch/setup.sh | sha256sum | cut -d' ' -f1; }

is_ready() {
    [ -x .venv/bin/python ] && [ -f .venv/setup-stamp ] && [ "$(cat .venv/setup-stamp)" = "$(wanted_stamp)" ]
}

conda_has_jittor() {
    [ -n "${CONDA_PREFIX:-}" ] && [ -x "$CONDA_PREFIX/bin/python" ] &&
        "$CONDA_PREFIX/bin/python" -c 'import importlib.util as u, sys; sys.exit(u.find_spec("jittor") is None)'
}

# Prints the path of the interpreter that .venv is to be made with, or nothing.
find_python() {
    local name path
    for name in ${TRANSREFINER_PYTHON:-python3.11 python3.12 python3 python}; do
        path="$(command -v "$name")" || continue
        # the real file: a version manager's shim may name another version in another folder
        "$path" -c 'import ensurepip, sys, venv
if (3, 11) <= sys.version_info[:2] <= (3, 12): print(sys.executable)' 2>/dev/null | grep . && return
    done
    return 0
}

has_python_headers() { "$1" -c 'import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))'; }

# Debian and Ubuntu packages, where they may be installed; elsewhere the command to type.
install_system_packages() {
    local as_root=()
    if [ "$(id -u)" != 0 ]; then as_root=(sudo -n); fi
    if command -v apt-get >/dev/null && { [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; }; then
        say "Installing system packages: $*"
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null 2>&1 ||
            { "${as_root[@]}" apt-get update -qq >&2 &&
              "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null; } ||
            say "They could not be installed; going on without."
    else
        say "System packages are missing. On Debian or Ubuntu: sudo apt-get install $*"
    fi
}

# $1: an interpreter, then pip's words. Installs what launch/locks/ names, and nothing else.
install_locked() { PIP_USER=0 "$1" -m pip install -q --disable-pip-version-check --require-hashes "${@:2}"; }

# Jittor alone comes as source: it is built with the setuptools of the lock, and not with the newest that pip would fetch for it.
install_packages() {
    install_locked "$1" --only-binary :all: -r launch/locks/requirements-build.lock
    install_locked "$1" --only-binary :all: --no-binary jittor --no-build-isolation -r launch/locks/requirements.lock
    install_data "$1"
}

install_data() { install_locked "$1" --only-binary :all: --no-deps -r launch/locks/requirements-data.lock; }

has_onednn() { "$1" -c 'import sys; from launch.runtime import find_onednn; sys.exit(find_onednn() is None)'; }

# The compiler and the matrix library that Jittor builds its kernels with. $1: the interpreter of .venv
set_up_system() {
    local missing=()
    command -v "${cc_path:-g++}" >/dev/null || missing+=(g++ libgomp1)
    has_python_headers "$1" || missing+=("python$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-dev")
    has_onednn "$1" || missing+=(libdnnl-dev)
    [ ${#missing[@]} = 0 ] || install_system_packages "${missing[@]}"
    command -v "${cc_path:-g++}" >/dev/null ||
        fail "No C++ compiler (g++), and Jittor compiles its kernels: sudo apt-get install g++ libgomp1" "Then start this script again."
    has_python_headers "$1" ||
        fail "This Python has no headers (Python.h), which Jittor compiles with. Install its -dev package and start this script again."
    # not allowed, or a distribution with oneDNN 3, which Jittor does not build with: the same library as wheels, for x86_64
    if ! has_onednn "$1" && [ "$(uname -m)" = x86_64 ]; then
        say "Installing oneDNN 2.6 (matrix products) into the environment"
        install_locked "$1" --only-binary :all: --no-deps -r launch/locks/requirements-onednn.lock ||
            say "It could not be installed: matrix products will be several times slower."
    fi
}

make_venv() {
    local base
    base="$(find_python)"
    [ -n "$base" ] || fail "Python 3.11 or 3.12 with venv is needed, and none of python3.11, python3.12, python3 is that." \
        "On Debian 12 or Ubuntu 24.04: sudo apt-get install python3 python3-venv python3-dev" \
        "Anywhere, with conda:         conda env create -f environment.yml && conda activate transrefiner" \
        "Or name one yourself:         TRANSREFINER_PYTHON=/path/to/python3.11 bash $0"
    say "Making .venv with $("$base" --version)"
    "$base" -m venv --clear .venv
}

# Jittor's own compile, here and not in the ranks of an MPI run, where it would be built by one while others wait in silence.
compile_jittor() {
    env -u OMPI_COMM_WORLD_SIZE -u OMPI_COMM_WORLD_RANK "$1" -c 'from launch.runtime import start_jittor; start_jittor(); print("started")' |
        grep -qx started || fail "Jittor does not start; its message is above."
}

# The released network's kernels, so that the first file is rigged at once. Without them it is rigged all the same, after a wait.
compile_kernels() {
    say "Compiling the network's kernels, once (a minute or two on two cores)"
    env -u OMPI_COMM_WORLD_SIZE -u OMPI_COMM_WORLD_RANK "$1" -m launch.compile_kernels ||
        say "They will be compiled at their first use instead."
}

set_up_venv() {
    local began=$SECONDS
    .venv/bin/python -m pip --version >/dev/null 2>&1 || make_venv
    say "Installing the pinned packages of requirements.txt into .venv (a minute or two)"
    install_packages .venv/bin/python
    set_up_system .venv/bin/python
    compile_jittor .venv/bin/python
    compile_kernels .venv/bin/python
    wanted_stamp > .venv/setup-stamp
    say "Ready after $((SECONDS - began)) s. The next start is instant."
}

set_up() {
    if conda_has_jittor; then
        PYTHON="$CONDA_PREFIX/bin/python"
        if ! "$PYTHON" -c 'import importlib.util as u, sys; sys.exit(u.find_spec("anny") is None)'; then
            set_up_system "$PYTHON"
            install_data "$PYTHON"
            compile_jittor "$PYTHON"
            compile_kernels "$PYTHON"
        fi
        return
    fi
    PYTHON="$ROOT/.venv/bin/python"
    is_ready && return
    # two scripts at once, or the ranks of mpirun: one sets up, the others wait here and find it done
    exec 9< launch/setup.sh
    flock -n 9 || { say "Another start is setting up; waiting for it"; flock 9; }
    is_ready || set_up_venv 9<&-
    exec 9<&-
}

# Under mpirun each rank takes its part of the machine's cores. Open MPI ties a rank of a small run to ONE core, which would leave
# the others idle, so that is undone, unless OMP_NUM_THREADS says that somebody has thought about it.
share_cores() {
    if [ -n "${OMPI_COMM_WORLD_LOCAL_SIZE:-}" ] && [ -z "${OMP_NUM_THREADS:-}" ]; then
        taskset -p -c "0-$(($(nproc --all) - 1))" $$ >/dev/null 2>&1 || true
        local threads=$(($(nproc) / OMPI_COMM_WORLD_LOCAL_SIZE))
        export OMP_NUM_THREADS=$((threads > 0 ? threads : 1))
    fi
}

# Open MPI refuses root unless told twice; this is for programs that start mpirun themselves (the tests).
if [ "$(id -u)" = 0 ]; then export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1; fi
set_up
share_cores
export PYTHONUNBUFFERED=1 PYTHONNOUSERSITE=1
