"""What the doors share: whole numbers on the command line, and the way a door starts Jittor and ends."""

import argparse
from collections.abc import Callable

from dataset.disk import explain
from launch.rank_failure import fail, name_rank_in_errors
from launch.runtime import SetupError, start_jittor


def positive(text: str) -> int:
    return _at_least(text, 1)


def natural(text: str) -> int:
    return _at_least(text, 0)


def _at_least(text: str, least: int) -> int:
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if value < least:
        raise argparse.ArgumentTypeError(f"{text!r}: give a whole number of at least {least}")
    return value


def enter(name: str, run: Callable[[argparse.Namespace], int], args: argparse.Namespace) -> int:
    """Start Jittor and run. Returns the exit code: run's own, or 2 after one sentence about what the user can mend."""
    def started(args: argparse.Namespace) -> int:
        start_jittor()
        name_rank_in_errors(name)
        return run(args)
    return answer(name, started, args)


def answer(name: str, run: Callable[[argparse.Namespace], int], args: argparse.Namespace) -> int:
    """The same for what needs no Jittor."""
    try:
        return run(args)
    except OSError as error:
        return fail(name, explain(error))
    except (SetupError, ValueError) as error:
        return fail(name, error)
