"""FBX among the inputs: converted where Blender is, refused with a sentence where not, and nothing left behind."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dataset.asset import AssetError
from launch.batch_predict import BatchOptions, gather_inputs, predict_files
from launch.fbx_input import FbxInputs, also_in_folders
from launch.predictor import Predictor
from tests.launch.random_checkpoint import save_random

CONVERTER = """#!{python}
# stands for a Python with bpy: what is asked to be read becomes a copy of hero.glb
import json, shutil, sys
request = json.load(sys.stdin)
assert request["job"] == "read"
shutil.copy({glb!r}, request["target"])
"""


@pytest.fixture()
def here(tmp_path, monkeypatch) -> Path:
    """A folder with hero.fbx, a stand-in for Blender, and a temporary folder of its own."""
    from rigging.scene_fresh import write_glb
    from tests.dataset.figures import capsule_man
    man = capsule_man(22, up="y")
    write_glb(tmp_path / "hero.glb", man.vertices_V3, man.faces_F3, man.normals_V3, man.joints_J3, man.parents, man.names, man.skin_VJ, "y")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "hero.fbx").write_bytes(b"Kaydara FBX Binary  \0")
    program = tmp_path / "python-with-bpy"
    program.write_text(CONVERTER.format(python=sys.executable, glb=str(tmp_path / "hero.glb")))
    program.chmod(0o755)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TRANSREFINER_BLENDER", str(program))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    return tmp_path


def test_other_files_are_themselves_and_need_no_folder(here):
    with FbxInputs() as fbx:
        assert fbx.readable(here / "hero.glb", 0) == here / "hero.glb"
        fbx.forget(0)
        assert not list((here / "tmp").iterdir())


def test_a_glb_appears_in_a_private_folder_and_goes(here):
    (here / "in" / "A.FBX").touch()
    with FbxInputs() as fbx:
        first, second = fbx.readable(here / "in" / "hero.fbx", 0), fbx.readable(here / "in" / "A.FBX", 1)
        folder, = (here / "tmp").iterdir()
        assert first.name == "hero.fbx.glb" and second.name == "A.FBX.glb" and folder.stat().st_mode & 0o077 == 0
        assert first.read_bytes() == (here / "hero.glb").read_bytes()
        fbx.forget(0)
        assert not first.exists() and second.exists()
    assert not list((here / "tmp").iterdir())


def test_a_batch_rigs_it_like_the_glb_that_it_becomes(here):
    predictor = Predictor(save_random(here / "checkpoint", joints=22, points=64))
    files, missing = gather_inputs([str(here / "in"), str(here / "hero.glb")], None, None)
    assert [f.name for f in files] == ["hero.fbx", "hero.glb"] and not missing
    (here / "in" / "broken.fbx").mkdir()    # what cannot be converted stops nobody
    outcomes = predict_files(predictor, [*files, here / "in" / "broken.fbx"], BatchOptions(here / "out", "run", show_progress=False))
    assert [o.input for o in outcomes] == ["hero.fbx", "hero.glb", "broken.fbx"]
    assert outcomes[0].reason is None and outcomes[2].reason.startswith("broken.fbx: ")
    folders = [here / "out" / "run" / o.folder for o in outcomes[:2]]
    for name in ("predict_skin.npy", "predict_skeleton.npy", "rigged.glb"):
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes(), name
    assert not list((here / "tmp").iterdir())


def test_where_blender_is_not_a_sentence_says_so(here, monkeypatch, capsys):
    monkeypatch.setenv("TRANSREFINER_BLENDER", "")
    monkeypatch.setattr("rigging.fbx.importlib.util.find_spec", lambda name: None)
    assert also_in_folders() == ()
    files, missing = gather_inputs([str(here / "in")], None, None)
    assert not files and "export it as .glb" in missing[0].reason
    import predict_joint_model as door
    save_random(here / "run", joints=22, points=64)
    assert door.main(["--input", str(here / "hero.glb"), "--checkpoint", str(here / "run"), "--output", str(here / "out"), "--fbx"]) == 2
    said = capsys.readouterr().err
    assert "--fbx: FBX needs Blender's package" in said and len(said.splitlines()) == 1 and not (here / "out").exists()
    done = subprocess.run([sys.executable, "-c", "import bpy"], capture_output=True)
    if done.returncode == 0:
        pytest.skip("bpy is installed here, so it is not missing")
    with FbxInputs() as fbx, pytest.raises(AssetError, match="hero.fbx: FBX needs Blender's package .*requirements-fbx.lock"):
        fbx.readable(here / "in" / "hero.fbx", 0)
    assert not list((here / "tmp").iterdir())


def test_a_real_avatar(shared_data, tmp_path):
    """From FBX to a rigged GLB by the door itself, where Blender is."""
    python = os.environ.get("TRANSREFINER_BLENDER", sys.executable)
    if subprocess.run([python, "-c", "import importlib.util, sys; sys.exit(importlib.util.find_spec('bpy') is None)"]).returncode:
        pytest.skip("FBX NOT TESTED: needs bpy (pip install --require-hashes -r launch/locks/requirements-fbx.lock)")
    import predict_joint_model as door
    save_random(tmp_path / "run", joints=22, points=64)
    assert door.main(["--input", str(shared_data / "characters" / "rb_Female_Adult_01.fbx"), "--checkpoint", str(tmp_path / "run"),
                      "--output", str(tmp_path / "out"), "--fbx"]) == 0
    folder = tmp_path / "out" / "run" / "other" / "rb_Female_Adult_01"
    assert (folder / "rigged.fbx").read_bytes()[:18] == b"Kaydara FBX Binary"
    assert (folder / "rigged.glb").read_bytes()[:4] == b"glTF" and b'"rb_Female_Adult_01.fbx"' in (folder / "report.json").read_bytes()
