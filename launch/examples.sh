#!/usr/bin/env bash
# Sourced after setup.sh by scripts that were given no files: makes the bundled examples on first use and leaves their folder in EXAMPLES.
EXAMPLES=data/examples
if [ ! -d "$EXAMPLES" ]; then
    say "Making the bundled examples in $EXAMPLES"
    rm -rf "$EXAMPLES.part"
    "$PYTHON" -m dataset.sources.humans --examples "$EXAMPLES.part" >/dev/null
    mv "$EXAMPLES.part" "$EXAMPLES"  # whole or not at all
fi
