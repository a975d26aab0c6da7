"""The plumbing of the cost curves: meshes of just the wanted size, the slope by hand, and one tiny run of everything."""

import json
import subprocess
import sys

import numpy as np
import pytest

from benchmarks.bench_scale import ROOT, draw, keys, refine, short, split, write_figure
from dataset.sources.files import load_asset
from geometry.sampling import triangle_areas
from tests.dataset.figures import capsule_man

SQUARE_V3 = np.array([[0, 0, 0], [2, 0, 0], [2, 2, 0], [0, 2, 0]], float)
FACES_F3 = np.array([[0, 1, 2], [0, 2, 3]])


def row(size: int, read: float, rig: float, process: float, peak: float) -> dict:
    return {"curve": "vertices", "size": size, "read_s": read, "rig_s": rig, "process_s": process, "peak_gb": peak}


def test_split_by_hand():
    vertices_V3, faces_F3 = split(SQUARE_V3, FACES_F3)
    assert sorted(vertices_V3[4:].tolist()) == [[0, 1, 0], [1, 0, 0], [1, 1, 0], [1, 2, 0], [2, 1, 0]]  # five edges, the diagonal once
    assert len(faces_F3) == 8 and triangle_areas(vertices_V3, faces_F3).tolist() == [.5] * 8


@pytest.mark.parametrize("count", [4, 5, 8, 9, 10, 200, 1234])
def test_refine_has_just_so_many_vertices_and_the_same_surface(count):
    vertices_V3, faces_F3 = refine(SQUARE_V3, FACES_F3, count)
    assert len(vertices_V3) == count == len(np.unique(vertices_V3, axis=0)) and set(faces_F3.ravel()) == set(range(count))
    assert triangle_areas(vertices_V3, faces_F3).sum() == pytest.approx(4)


def test_figure_is_read_back(tmp_path):
    man = capsule_man(22, splits=0)
    write_figure(tmp_path / "m.glb", 500, man)
    asset = load_asset(tmp_path / "m.glb")
    assert len(asset.vertices_V3) == 500 and asset.up == "y" and asset.has_faces and asset.joints_J3 is None
    assert np.ptp(asset.vertices_V3, axis=0).argmax() == np.ptp(man.vertices_V3[:, [0, 2, 1]], axis=0).argmax()


def test_keys_by_hand():
    rows = [row(10, 9, 9, 9, 9), row(100, 1, 2, 5, .5), row(1000, 20, 20, 40, 2.5), {"curve": "batch", "size": 1}]
    assert keys(rows) == {"vertices_1m_gb": 2.5, "vertices_1m_s": 40, "vertex_slope": pytest.approx(1)}  # 2 s, then 20 s


def test_short():
    assert [short(size) for size in (16, 1024, 16384, 100_000, 1_000_000)] == ["16", "1k", "16k", "100k", "1M"]


def test_draw(tmp_path):
    draw([row(10, .1, .2, 2, .4), row(100, 1, 2, 5, .5)], tmp_path / "sub" / "curves.png")
    assert (tmp_path / "sub" / "curves.png").read_bytes()[:4] == b"\x89PNG"


def test_a_tiny_run_of_everything(tmp_path):
    done = subprocess.run([sys.executable, "-m", "benchmarks.bench_scale", "--quick", "--json", str(tmp_path / "r.json")], cwd=ROOT,
                          capture_output=True, text=True, timeout=580)
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads((tmp_path / "r.json").read_text())
    assert {"vertices_1m_gb", "vertices_1m_s", "vertex_slope", "about", "rows"} == set(result)
    assert [(r["curve"], r["size"]) for r in result["rows"]] == [("points", 64), ("vertices", 300), ("vertices", 600), ("joints", 128),
                                                                 ("batch", 2)]
    assert all(0.05 < r["peak_gb"] < 3 for r in result["rows"])
