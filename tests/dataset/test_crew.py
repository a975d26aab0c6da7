"""Work by other processes: the same results in the same order, whoever does it and however few or many there are."""

from itertools import count, islice

import pytest

from dataset.asset import AssetError
from dataset.crew import Crew


@pytest.mark.parametrize("requests", [0, 1, 4, 5, 11])
@pytest.mark.parametrize("workers", [0, 2])
def test_results_come_in_the_order_of_the_requests(workers, requests):
    with Crew(divmod, workers) as crew:
        assert list(crew.answers((n, 3) for n in range(requests))) == [divmod(n, 3) for n in range(requests)]


def test_requests_without_end_are_asked_two_ahead_of_each_worker():
    asked = []
    with Crew(abs, 2) as crew:
        got = list(islice(crew.answers((asked.append(-n) or -n,) for n in count()), 3))
    assert got == [0, 1, 2] and len(asked) == 7      # two for each of two workers, and one more for each result taken


def test_workers_end_with_the_crew_also_when_it_is_left_early():
    with Crew(divmod, 2) as crew:
        next(crew.answers((n, 3) for n in range(10)))
        processes = [worker.process for worker in crew.workers]
    assert all(process.returncode == 0 for process in processes)


def test_what_a_task_raises_is_heard():
    with Crew(divmod, 1) as crew, pytest.raises(RuntimeError, match="worker failed(.|\n)*ZeroDivisionError"):
        list(crew.answers([(1, 0)]))
    with Crew(divmod, 0) as crew, pytest.raises(ZeroDivisionError):
        list(crew.answers([(1, 0)]))
    with Crew(refuse, 1) as crew, pytest.raises(AssetError, match="b.npz: no"):
        list(crew.answers([("b.npz",)]))


def refuse(name: str):
    raise AssetError(f"{name}: no")
