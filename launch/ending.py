"""Ctrl-C and SIGTERM as exceptions, so that a program unwinds and its temporary files go: Jittor's handler ends it on the spot."""

import os
import signal
from collections.abc import Callable

NUMBERS = (signal.SIGINT, signal.SIGTERM)


def on_end(error: Callable[[int], BaseException]) -> dict:
    """From now on both signals raise error(number) in the main thread, which must be the caller. Call it after Jittor's start, which
    takes the signals for itself. Returns the handlers that there were. A worker that is forked later dies of them as any process
    does: Jittor compiles with a pool of such, which ends its workers by SIGTERM and waits for them.
    """
    def end(number: int, _) -> None:
        raise error(number)

    def forget() -> None:
        for number in NUMBERS:
            signal.signal(number, signal.SIG_DFL)

    os.register_at_fork(after_in_child=forget)
    return {number: signal.signal(number, end) for number in NUMBERS}
