"""The quick odd meshes through the real prediction door: what tests/soak/odd_meshes.py promises, on its small cases."""

import numpy as np
import pytest

from geometry.topology import components
from tests.soak import odd_meshes, odd_shapes
from tests.soak.odd_cases import CASES

QUICK = [case for case in CASES if case.quick]


@pytest.fixture(scope="module")
def door(tmp_path_factory):
    return odd_meshes.Door(tmp_path_factory.mktemp("odd"))


@pytest.mark.parametrize("case", QUICK, ids=lambda case: case.name)
def test_gets_a_rig_or_a_reason(door, case):
    result = odd_meshes.run(door, case)
    assert not result.breaches, odd_meshes.row(result)


def test_a_breach_is_seen():
    """Python's own words, reasons without a file's name, and joints that went elsewhere do not pass unnoticed."""
    case = next(case for case in QUICK if case.name == "in millimetres")
    path = odd_meshes.Path("in millimetres.glb")
    assert len(odd_meshes.refused_breaches(case, path, "IndexError: index 3 is out of bounds")) == 3
    assert odd_meshes.refused_breaches(CASES[1], path, "in millimetres.glb: has no faces; give it some") == []
    plain_J3 = np.random.default_rng(0).normal(size=(52, 3))
    assert odd_meshes.drift_cm(plain_J3, 1000 * plain_J3, case) < 1e-9
    assert odd_meshes.drift_cm(plain_J3, 1000 * plain_J3 + 1000, case) > 100


def test_the_table_goes_between_its_markers(tmp_path, monkeypatch):
    page = tmp_path / "trust.md"
    page.write_text(f"before\n{odd_meshes.BEGIN}\nold\n{odd_meshes.END}\nafter\n")
    monkeypatch.setattr(odd_meshes, "PAGE", page)
    results = [odd_meshes.Result("a cube", 8, "refused", reason="a cube.glb: too few | places; add some", seconds=0.1, peak_mib=300),
               odd_meshes.Result("a person", 4000, "rig", "pass", drift=0.5, seconds=2, peak_mib=400)]
    odd_meshes.write_doc(results)
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("after\n") and "old" not in text
    assert "| a cube | 8 | refused | - |  | 0.1 | 300 | too few \\| places; add some |" in text
    assert f"2 of {len(CASES)} cases: 1 rigged (1 pass, 0 warn, 0 fail), 1 refused with a reason, 0 breaches" in text


def test_shapes_are_what_they_are_called():
    person = odd_shapes.person()
    pieces = odd_shapes.islands(500)
    assert components(pieces.faces_F3, len(pieces.vertices_V3)).max() + 1 >= 500
    assert len(odd_shapes.refined(5000).vertices_V3) == 5000
    assert len(odd_shapes.without("head").faces_F3) < len(person.faces_F3)
    assert odd_shapes.cloud(7).vertices_V3.shape == (7, 3)
    np.testing.assert_array_equal(odd_shapes.cloud(7).vertices_V3, odd_shapes.cloud(7).vertices_V3)
