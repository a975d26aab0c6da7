"""Work that other processes do beside this one, its results in the order of the requests. No Jittor here.

    with Crew(task, workers=4) as crew:
        for result in crew.answers((step, slots) for step in range(100)):       # task(step, slots)
"""

import os
import pickle
import signal
import subprocess
import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import cycle
from pathlib import Path

from dataset.asset import AssetError

_ROOT = Path(__file__).resolve().parent.parent
# A shell stands between: Jittor's SIGCHLD handler ends this process at once when a child of its dies by a signal, as a worker does when
# memory runs out; the shell ends with a number instead, and what happened can be said.
_COMMAND = ("sh", "-c", '"$0" -c "from dataset.crew import serve; serve()"; exit $?', sys.executable)


class Crew:
    """workers processes that know one task, a callable that pickle can name or hold; 0: this process does the work itself."""

    def __init__(self, task: Callable, workers: int):
        self.task = task
        self.workers = [Worker(task) for _ in range(workers)]

    def answers(self, requests: Iterable[tuple]) -> Iterator:
        """task(*request) for each request, in their order; every worker is asked for two ahead. Once per crew.

        Raises: what Worker.answer raises; with no workers, what the task raises.
        """
        if not self.workers:
            yield from (self.task(*request) for request in requests)
            return
        waiting: deque[Worker] = deque()
        for request, worker in zip(requests, cycle(self.workers)):
            full = len(waiting) == 2 * len(self.workers)
            result = waiting.popleft().answer() if full else None
            worker.send(request)     # before the result goes out, so that nobody idles while it is used
            waiting.append(worker)
            if full:
                yield result
        for worker in waiting:
            yield worker.answer()

    def close(self) -> None:
        """End the workers. Safe to call twice."""
        for worker in self.workers:
            worker.close()

    def __enter__(self) -> "Crew":
        return self

    def __exit__(self, *_) -> None:
        self.close()


class Worker:
    """A fresh Python (never a fork: Jittor has threads) that runs `serve` and nothing of this process's main module."""

    def __init__(self, task: Callable):
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1",
                       "PYTHONPATH": os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))}
        self.process = subprocess.Popen(_COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        self.send(task)

    def answer(self):
        """The task's result for the oldest request without one.

        Raises: AssetError for a bad asset, ChildProcessError when the worker ended, RuntimeError with its trace for anything else.
        """
        try:
            kind, content = pickle.load(self.process.stdout)
        except (EOFError, pickle.UnpicklingError):
            raise self._ended() from None
        if kind == "asset":
            raise AssetError(content)
        if kind == "error":
            raise RuntimeError(f"a data worker failed:\n{content}")
        return content

    def send(self, message) -> None:
        """The task, once, then requests. Raises: ChildProcessError when the worker ended."""
        try:
            pickle.dump(message, self.process.stdin, protocol=5)
            self.process.stdin.flush()
        except BrokenPipeError:
            raise self._ended() from None

    def _ended(self) -> ChildProcessError:
        code = self.process.wait()
        cause = f"killed by signal {code - 128}, as the system does when memory runs out" if code > 128 else f"exit code {code}"
        return ChildProcessError(f"a data worker ended early ({cause}; what it said is above). Make room in memory, or lower data.workers "
                                 "(while characters are prepared: OMP_NUM_THREADS)")

    def close(self) -> None:
        """It ends when its stdin does, after the request that it is at. Safe to call twice."""
        for pipe in (self.process.stdin, self.process.stdout):
            try:
                pipe.close()
            except BrokenPipeError:     # what was still to be sent has no reader any more
                pass
        self.process.wait()


def serve() -> None:
    """A worker's life: a task on stdin, then its arguments, a tuple a request; each is answered by (kind, content): ("result", what the task
    returned), ("asset", an AssetError's text) or ("error", a trace).

    Ends when stdin does, so that it never outlives the process that started it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)       # Ctrl-C is for that process, whose end closes stdin
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)       # a stray print must not enter the stream of answers
    task: Callable = pickle.load(requests)
    while True:
        try:
            request = pickle.load(requests)
        except EOFError:
            return
        try:
            answer = ("result", task(*request))
        except AssetError as error:
            answer = ("asset", str(error))
        except Exception:       # whatever it was, it must be heard of with its trace
            answer = ("error", traceback.format_exc())
        try:
            pickle.dump(answer, answers, protocol=5)
            answers.flush()
        except BrokenPipeError:
            return
