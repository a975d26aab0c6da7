"""What a read is judged by: the fuzzer's verdict without a process of its own, and bounds of time and memory."""

import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from dataset.asset import AssetError
from tests.soak.fuzz_child import fault_of
from tests.soak.fuzz_inputs import Reader

T = TypeVar("T")


def verdict(reader: Reader, path: Path) -> str | None:
    """What the fuzzer would say of one read; None for a good one."""
    try:
        reader.read(path)
    except BaseException as error:
        return fault_of(error, reader)
    return None


def modest(work: Callable[[], T], mib: int = 64) -> T:
    """Does the work within 5 s of processor time, then once more within `mib` MiB: memory that is watched takes time of its own."""
    began = time.process_time()
    answer = work()
    assert time.process_time() - began < 5
    tracemalloc.start()
    try:
        work()
        assert tracemalloc.get_traced_memory()[1] < mib << 20
    finally:
        tracemalloc.stop()
    return answer


def refusal(read: Callable[[Path], object], path: Path, message: str, mib: int = 64) -> str:
    """The text of the AssetError that a modest read of the file ends in."""
    def work() -> str:
        with pytest.raises(AssetError, match=message) as caught:
            read(path)
        return str(caught.value)
    return modest(work, mib)
