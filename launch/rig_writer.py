"""A process of its own that writes rigs while the network works on the next one.

A thread would not do: Jittor keeps Python's lock while it computes (measured: a thread woke 40 times a second instead of 1000), and most of
an asset's time outside the network is Python and NumPy drawing the preview. Jobs go down a pipe as pickles from our own process;
when that ends, however it ends, the pipe closes and so does this one.
"""

import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

from dataset.asset import Asset
from launch.rig_folder import Making, RigResult, write_rig

ROOT = Path(__file__).resolve().parent.parent


class RigWriter:
    """Writes one rig at a time: `start` hands it over, `finish` waits for it. One rig at most is in the writer's hands."""

    def __init__(self):
        self.process = subprocess.Popen([sys.executable, "-m", "launch.rig_writer"], cwd=ROOT, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"})

    def start(self, folder: Path, asset: Asset, rig: RigResult, making: Making) -> None:
        """Raises: OSError when the writer has died."""
        pickle.dump((folder.absolute(), asset, rig, making), self.process.stdin, 5)
        self.process.stdin.flush()

    def finish(self) -> dict:
        """The report of the rig that was started. Raises: whatever writing it raised; OSError when the writer has died."""
        try:
            answer = pickle.load(self.process.stdout)
        except (EOFError, pickle.UnpicklingError):
            raise OSError("the process that writes the results has ended; is the memory full?") from None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout):
            try:
                pipe.close()
            except OSError:  # what was left to flush has no reader any more
                pass
        self.process.wait()


def serve() -> None:
    """Write what comes in until there is no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the one that reads files decides what is done
    answers, sys.stdout = os.fdopen(os.dup(1), "wb"), sys.stderr
    os.dup2(2, 1)
    while True:
        try:
            job = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            answer = write_rig(*job)
        except Exception as error:  # the other process names the input that it belongs to
            answer = error
        try:
            data = pickle.dumps(answer)
            pickle.loads(data)
        except Exception:  # an exception with a constructor of its own may not survive
            data = pickle.dumps(OSError(f"{type(answer).__name__}: {answer}"))
        answers.write(data)
        answers.flush()


if __name__ == "__main__":
    serve()
