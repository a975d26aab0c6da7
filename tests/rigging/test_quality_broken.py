"""Every breakage of broken_rigs.py is flagged, turn by turn on humans and mascots with 22 and 52 joints; the good rigs do not fail.

benchmarks/quality.py tries each on each of eight characters, and every ground-truth rig (docs/quality.md).
"""

import importlib.util
from functools import cache

import pytest

from dataset.sources.mascots import generate_mascot
from rigging.quality import assess
from tests.rigging.broken_rigs import BROKEN, Case
from tests.rigging.test_quality_motion import rig_of

CHARACTERS = [("mascot", 9005, 22), ("mascot", 9002, 52), *([("human", 9004, 22)] if importlib.util.find_spec("anny") else [])]
EXPECTED = {  # the check that must be among those that fail, where one is to be expected on any character
    "left and right swapped": "crossed", "front and back mirrored": "backward", "joint far off": "asymmetry",
    "two joints at one place": "short_bone", "all weights on the root": "idle_limbs", "weights shuffled": "speckled",
    "one leg moves with the other": "wrong_side", "not a number": "not_finite", "rows sum to nine tenths": "row_sums",
    "unweighted island": "unweighted", "negative weights": "negative", "noisy weights": "stretched",
    "spine behind the body": "outside_count", "head moves with the hand": "idle_limbs", "knee at the ankle": "lopsided",
    "arm in reverse order": "asymmetry", "turned by 90 degrees": "crossed"}


@cache
def case_of(kind: str, seed: int, joints: int) -> Case:
    if kind == "mascot":
        asset = generate_mascot(seed)
    else:
        from dataset.sources.humans import generate
        asset = generate(seed)
    asset = asset.with_joints(joints)
    return Case(asset.vertices_V3, asset.faces_F3, rig_of(asset))


def test_the_list_is_long_enough():
    assert len(BROKEN) >= 20 and set(EXPECTED) <= set(BROKEN)


@pytest.mark.parametrize("character", CHARACTERS, ids=str)
def test_a_good_rig_does_not_fail(character):
    case = case_of(*character)
    quality = assess(case.vertices_V3, case.faces_F3, case.rig)
    assert quality.verdict != "fail", [check.sentence for check in quality.of("fail")]


@pytest.mark.parametrize("number, name", enumerate(BROKEN), ids=BROKEN)
def test_a_broken_rig_is_flagged(number, name):
    character = CHARACTERS[number % len(CHARACTERS)]
    case = case_of(*character)
    failed = {check.key: check for check in assess(case.vertices_V3, case.faces_F3, BROKEN[name](case)).of("fail")}
    assert failed, (name, character)
    assert name not in EXPECTED or EXPECTED[name] in failed, (name, character, sorted(failed))
    assert all(check.sentence and "{" not in check.sentence for check in failed.values())
