"""FBX through Blender, where it is installed: a real avatar comes in, a rigged figure goes out and comes back."""

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from scipy.spatial import cKDTree

from dataset.asset import AssetError
from dataset.sources.files import load_asset
from dataset.sources.gltf_container import Container
from rigging.fbx import read_fbx, write_fbx
from rigging.scene_fresh import fresh_scene
from tests.dataset.figures import capsule_man
from tests.rigging import scenes


@pytest.fixture(scope="module")
def blender():
    python = os.environ.get("TRANSREFINER_BLENDER", sys.executable)
    found = "import importlib.util, sys; sys.exit(importlib.util.find_spec('bpy') is None)"
    if subprocess.run([python, "-c", found]).returncode:
        pytest.skip("FBX NOT TESTED: needs bpy (pip install --require-hashes -r launch/locks/requirements-fbx.lock)")


def test_says_what_is_missing(tmp_path, monkeypatch):
    (tmp_path / "a.fbx").write_bytes(b"Kaydara FBX Binary  \0")
    bare = tmp_path / "python"  # a Python that has no bpy, whatever this one has
    bare.write_text("#!/bin/sh\necho \"ModuleNotFoundError: No module named 'bpy'\" >&2\nexit 1\n")
    bare.chmod(0o755)
    monkeypatch.setenv("TRANSREFINER_BLENDER", str(bare))
    with pytest.raises(AssetError, match="a.fbx: FBX needs Blender's package .*pip install .*requirements-fbx.lock"):
        read_fbx(tmp_path / "a.fbx", tmp_path / "a.glb")
    monkeypatch.setenv("TRANSREFINER_BLENDER", str(tmp_path / "nowhere"))
    with pytest.raises(AssetError, match="nowhere cannot be run"):
        read_fbx(tmp_path / "a.fbx", tmp_path / "a.glb")
    with pytest.raises(AssetError, match="b.fbx: no such file"):
        read_fbx(tmp_path / "b.fbx", tmp_path / "b.glb")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.fbx", "python"]


def test_a_broken_file_is_refused(blender, tmp_path):
    (tmp_path / "a.fbx").write_bytes(b"Kaydara FBX Binary  \0")
    with pytest.raises(AssetError, match="a.fbx: Blender cannot convert it"):
        read_fbx(tmp_path / "a.fbx", tmp_path / "a.glb")
    assert [path.name for path in tmp_path.iterdir()] == ["a.fbx"]


def test_a_real_avatar(blender, shared_data, tmp_path):
    asset = load_asset(read_fbx(shared_data / "characters" / "rb_Female_Adult_01.fbx", tmp_path / "in.glb"))
    assert asset.joint_count == 52 and 1.5 < np.ptp(asset.vertices_V3[:, 1]) < 2
    assert asset.joints_J3[asset.names.index("l_hand"), 0] > .2  # left is at +X, facing +Z


def test_the_same_bytes_both_ways(blender, shared_data, tmp_path):
    """Blender's exporter writes the time, and numbers its objects by a hash that Python changes from start to start."""
    for k in "ab":
        read_fbx(shared_data / "characters" / "rb_Female_Adult_01.fbx", tmp_path / f"{k}.glb")
        write_fbx(tmp_path / "a.glb", tmp_path / f"{k}.fbx")
    assert (tmp_path / "a.glb").read_bytes() == (tmp_path / "b.glb").read_bytes()
    assert (tmp_path / "a.fbx").read_bytes() == (tmp_path / "b.fbx").read_bytes()


PICTURED = """
import sys, bpy
bpy.ops.wm.read_factory_settings(use_empty=True)
bpy.ops.mesh.primitive_cube_add()
material = bpy.data.materials.new("m")
material.use_nodes = True
picture = material.node_tree.nodes.new("ShaderNodeTexImage")
picture.image = bpy.data.images.load(sys.argv[1])
material.node_tree.links.new(picture.outputs["Color"], material.node_tree.nodes["Principled BSDF"].inputs["Base Color"])
bpy.context.object.data.materials.append(material)
bpy.ops.export_scene.fbx(filepath=sys.argv[2], path_mode="ABSOLUTE")
"""


@pytest.mark.parametrize("place, taken", [("in/skin.png", True), ("in/deep/skin.png", True), ("Textures/skin.png", True),
                                          ("private/skin.png", False), ("skin.png", False)])
def test_only_pictures_that_belong_to_the_file_come_along(blender, tmp_path, place, taken):
    for folder in ("in/deep", "Textures", "private"):
        (tmp_path / folder).mkdir(parents=True)
    Image.new("RGB", (4, 4), (200, 30, 30)).save(tmp_path / place)
    python = os.environ.get("TRANSREFINER_BLENDER", sys.executable)
    subprocess.run([python, "-c", PICTURED, str(tmp_path / place), str(tmp_path / "in" / "a.fbx")], check=True, capture_output=True)
    document = Container(read_fbx(tmp_path / "in" / "a.fbx", tmp_path / "a.glb")).document
    assert len(document.get("images", [])) == taken and len(document["materials"]) == 1


def test_a_rig_goes_out_and_comes_back(blender, tmp_path):
    """Metres, Y up, names, joints, rest frames up to Blender's own, and weights."""
    man = capsule_man(22, up="y", splits=0)
    rig = replace(scenes.random_rig(man), joints_J3=man.joints_J3)
    fresh_scene(man.vertices_V3, man.faces_F3, None, rig).file.write(tmp_path / "rigged.glb")
    again = load_asset(read_fbx(write_fbx(tmp_path / "rigged.glb", tmp_path / "out.fbx"), tmp_path / "back.glb"))
    assert again.names == rig.names and again.parents == rig.parents
    np.testing.assert_allclose(again.joints_J3, man.joints_J3, atol=1e-4)
    distance, row = cKDTree(man.vertices_V3).query(again.vertices_V3)
    assert distance.max() < 1e-4
    np.testing.assert_allclose(again.skin_VJ, scenes.kept_weights(rig, man.vertices_V3, 4)[row], atol=1 / 255)
