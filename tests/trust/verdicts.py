"""What the fuzzer says of one read, without a process of its own."""

from pathlib import Path

from tests.soak.fuzz_child import fault_of
from tests.soak.fuzz_inputs import Reader


def verdict(reader: Reader, path: Path) -> str | None:
    """What the fuzzer would say of one read; None for a good one."""
    try:
        reader.read(path)
    except BaseException as error:
        return fault_of(error, reader)
    return None
