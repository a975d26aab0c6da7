# Sourced, after setup.sh, by the scripts that take files first and options after: moves the files from the arguments to the array
# `files`, named as they are seen from the repository's root, and leaves the options.
files=()
while [ $# -gt 0 ] && [[ "$1" != --* ]]; do
    [ "${1:0:1}" = / ] && files+=("$1") || files+=("$(realpath -m --relative-to="$ROOT" "$STARTED_IN/$1")")
    shift
done
