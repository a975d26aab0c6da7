"""What fuzzing found stays mended: each file of hostile/ is read, or refused in one line that names it."""

from pathlib import Path

import pytest

from tests.soak import fuzz_scenes, fuzz_tables
from tests.trust.verdicts import verdict

FOUND = sorted(path for path in (Path(__file__).parent / "hostile").rglob("*__*"))
READERS = {reader.name: reader for reader in (*fuzz_tables.READERS, *fuzz_scenes.READERS)}


@pytest.mark.parametrize("kept", FOUND, ids=lambda path: path.name)
def test_what_was_found_stays_mended(kept, tmp_path):
    reader = READERS[kept.name.partition("__")[0].replace("-", " ")]
    path = tmp_path / reader.file_name
    path.write_bytes(kept.read_bytes())
    assert verdict(reader, path) is None
