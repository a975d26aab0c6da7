"""The plumbing of benchmarks/bench_startup.py: the character's size, the clocks, and one run from inside."""

import json

import numpy as np
import pytest

from benchmarks import bench_startup
from benchmarks.bench_startup import Clocks, make_character, parts_run, refine
from dataset.sources.files import load_asset
from geometry.sampling import triangle_areas


def test_a_new_vertex_goes_into_the_middle_of_the_largest_triangle():
    vertices = np.array([[0, 0, 0], [3, 0, 0], [0, 3, 0], [1, -1, 0]], float)
    faces, skin = np.array([[0, 1, 3], [0, 1, 2]]), np.eye(4)
    new_vertices, new_faces, new_skin = refine(vertices, faces, skin, 5)
    assert new_vertices.tolist() == [*vertices.tolist(), [1, 1, 0]]
    assert new_faces.tolist() == [[0, 1, 3], [0, 1, 4], [1, 2, 4], [2, 0, 4]]
    np.testing.assert_allclose(new_skin[4], [1 / 3, 1 / 3, 1 / 3, 0])
    assert triangle_areas(new_vertices, new_faces).sum() == pytest.approx(triangle_areas(vertices, faces).sum())


def test_the_character_has_exactly_the_vertices_asked_for(tmp_path):
    make_character(tmp_path / "c.glb", 6_000)
    asset = load_asset(tmp_path / "c.glb")
    assert asset.vertices_V3.shape == (6_000, 3) and asset.has_faces


def test_clocks_tell_the_first_call_from_the_others(monkeypatch):
    now = iter([0.0, 5.0, 10.0, 11.0, 20.0, 22.0])
    monkeypatch.setattr(bench_startup.time, "perf_counter", lambda: next(now))
    clocks, finished = Clocks(), []
    step = clocks.around("step, {}", lambda x: x + 1, finished.append)
    assert [step(i) for i in range(3)] == [1, 2, 3] == finished
    assert dict(clocks.seconds) == {"step, first": 5.0, "step, further": 3.0}


def test_a_run_from_inside_names_its_parts(tmp_path):
    make_character(tmp_path / "c.glb", 3_000)
    parts = parts_run(tmp_path / "c.glb")
    assert set(parts) >= {"bash and the set-up check", "python starts", "import numpy", "start Jittor", "import our rooms",
                          "- load the checkpoint", "- read the file", "- sample points", "- encode, first", "- encode, further",
                          "- decode, first", "- decode, further", "- draw the preview", "- write arrays", "- polish the weights",
                          "- examine the rig", "- put the rig into the scene", "- draw the report",
                          "- the rest of the door", "the process ends"}
    assert all(seconds >= 0 for seconds in parts.values())


def test_the_result_holds_its_keys(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bench_startup, "make_character", lambda path: path.touch())
    monkeypatch.setattr(bench_startup, "run", lambda command: "0\n")
    monkeypatch.setattr(bench_startup, "machine", dict)
    monkeypatch.setattr(bench_startup, "whole_run", lambda path, seconds=iter([9.0, 3.0, 1.0, 2.0]): next(seconds))
    monkeypatch.setattr(bench_startup, "parts_run", lambda path: {"a part": 0.5})
    bench_startup.main(["--json", str(tmp_path / "r.json"), "--runs", "3"])
    result = json.loads((tmp_path / "r.json").read_text())
    assert result["second_start_s"] == 2.0 and result["new_kernels"] == 0  # the first run, which warms the caches, is left out
    assert [row["part"] for row in result["rows"]] == ["whole run", "a part"] and "a part" in capsys.readouterr().out
