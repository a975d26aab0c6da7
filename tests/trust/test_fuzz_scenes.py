"""The quick part of fuzzing scenes and meshes: a few inputs of each reader. What the long run found: test_found.py.

The slow part: python -m tests.soak.fuzz --tables tests.soak.fuzz_scenes
"""

import random

import pytest

from dataset.sources.files import load_asset
from tests.soak.fuzz_inputs import hostile
from tests.soak.fuzz_scenes import READERS, glb_seeds, mutate_glb, unpack
from tests.trust.verdicts import verdict

# a process for each; a forked one may die by a signal, for which Jittor, loaded here, would end us
SLOW = {"glb draco started": 2, "glb draco": 0, "draco data": 0}


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_seeds_are_read_and_changed_files_read_or_refused(reader, tmp_path):
    seeds, path = reader.seeds(), tmp_path / reader.file_name
    for data in seeds[:len(seeds) if SLOW.get(reader.name, 40) else 0]:
        path.write_bytes(data)
        reader.read(path)
    for index in range(SLOW.get(reader.name, 40)):
        path.write_bytes(hostile(reader, seeds, 7, index))
        assert verdict(reader, path) is None, index


def test_changes_reach_behind_the_container(tmp_path):
    """A changed GLB has right lengths; one in three at least is a figure all the same or is refused for what its scene says."""
    rng, deep = random.Random(0), 0
    for _ in range(120):
        (tmp_path / "a.glb").write_bytes(mutate_glb(rng.choice(glb_seeds()[:2]), rng))
        unpack((tmp_path / "a.glb").read_bytes())
        try:
            load_asset(tmp_path / "a.glb")
            deep += 1
        except ValueError as error:
            assert "cut short" not in str(error) and "JSON cannot be read" not in str(error)
    assert deep > 12
