"""After set-up, no file that a user brings compiles anything."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dataset.asset import check
from launch import compile_kernels
from launch.compile_kernels import compiled_since, figure, loaded_kernels

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("count", [2, 3, 500])
def test_a_figure_is_a_sound_asset(count):
    asset = check(figure(count))
    assert asset.vertices_V3.shape == (count, 3) and len(np.unique(asset.vertices_V3, axis=0)) == count
    assert len(asset.faces_F3) == count - 2 and asset.has_faces == (count > 2)
    np.testing.assert_allclose(np.linalg.norm(asset.normals_V3, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(((asset.vertices_V3 / (0.3, 0.2, 1)) ** 2).sum(1), 1, atol=1e-6)


def test_loaded_kernels_are_files_of_the_cache():
    import jittor as jt
    (jt.array(np.arange(3, dtype="float32")) * 2 + 1).numpy()
    kernels = loaded_kernels()
    assert kernels and all(path.suffix == ".so" and path.parent == Path(jt.flags.cache_path) / "jit" for path in kernels)


def test_only_what_was_written_since_counts_as_compiled(monkeypatch, tmp_path):
    for name, written in (("old.so", 100.0), ("new.so", 300.0)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (written, written))
    monkeypatch.setattr(compile_kernels, "loaded_kernels", lambda: set(tmp_path.iterdir()))
    assert compiled_since(200.0) == {tmp_path / "new.so"}


# a fresh process: what it needs shows in what it loads, whatever earlier runs have left in the cache
SIZES = """
from dataclasses import replace
from launch.runtime import start_jittor
start_jittor()
from launch.compile_kernels import CHECKPOINT, compile_all, figure, loaded_kernels
from launch.predictor import Predictor, PredictorOptions
compile_all(CHECKPOINT)
before = loaded_kernels()
chunk = PredictorOptions().query_chunk
for looks, hands, small, large in ((4, True, 22, chunk + 1), (1, True, 1024, chunk + 2), (4, False, 100, 2 * chunk)):
    options = PredictorOptions(looks=looks, find_hands=hands)
    for count, first in ((small, True), (large, False)):   # each the first file of its network, or all of one
        mesh, predictor = figure(count), Predictor(CHECKPOINT, options)
        for asset in (mesh, replace(mesh, faces_F3=None), replace(mesh, faces_F3=None, normals_V3=None), replace(mesh, normals_V3=None)):
            (Predictor(CHECKPOINT, options) if first else predictor).predict(asset)
import pathlib, tempfile
import numpy as np
from pictures.preview import draw_preview, draw_turntable
from pictures.report import draw
from rigging.quality_figure import Figure
from rigging.rig import CharacterRig
mesh = figure(900)
rig = Predictor(CHECKPOINT, options).predict(mesh)
path = pathlib.Path(tempfile.mkdtemp()) / "picture"
for faces in (mesh.faces_F3, None):
    draw_preview(path, mesh.vertices_V3, faces, rig.joints_J3, rig.parents, "z", skin_VJ=rig.skin_VJ)
    draw(Figure.of(mesh.vertices_V3, faces, CharacterRig(rig.joints_J3, rig.parents, rig.names, rig.skin_VJ, np.eye(3))), ("head",))
draw_turntable(path, mesh.vertices_V3, mesh.faces_F3, rig.joints_J3, rig.parents, "z", skin_VJ=rig.skin_VJ)
print(len(before), sorted(path.name for path in loaded_kernels() - before))
"""


def test_after_set_up_no_size_of_file_needs_another_kernel():
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", SIZES], cwd=ROOT, env=env, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    count, new = done.stdout.split(maxsplit=1)
    assert int(count) > 20 and new.strip() == "[]"


def test_without_the_released_checkpoint_set_up_goes_on(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(compile_kernels, "CHECKPOINT", tmp_path)
    assert compile_kernels.main() == 0 and "first use" in capsys.readouterr().err
    (tmp_path / "model.safetensors").write_bytes(b"no such thing")
    assert compile_kernels.main() == 2 and "compile_kernels: " in capsys.readouterr().err
