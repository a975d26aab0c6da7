"""One door for all formats, and folders turned into lists of files."""

import os
from dataclasses import replace

import numpy as np
import pytest

from dataset.asset import AssetError
from rigging.scene_fresh import write_glb
from dataset.sources.files import SUFFIXES, expand_inputs, load_asset
from dataset.sources.npz import write_npz
from tests.dataset.figures import capsule_man


@pytest.fixture
def man():
    return capsule_man(22, up="y", splits=0)


def test_the_same_figure_through_each_format(tmp_path, man):
    write_npz(tmp_path / "m.npz", man)
    write_glb(tmp_path / "m.glb", man.vertices_V3, man.faces_F3, man.normals_V3, man.joints_J3, man.parents, man.names, man.skin_VJ)
    (tmp_path / "m.vrm").write_bytes((tmp_path / "m.glb").read_bytes())
    lines = [f"v {x} {y} {z}" for x, y, z in man.vertices_V3.tolist()] + [f"f {a} {b} {c}" for a, b, c in (man.faces_F3 + 1).tolist()]
    (tmp_path / "M.OBJ").write_text("\n".join(lines))
    np.save(tmp_path / "m.npy", man.vertices_V3)
    for name in ("m.npz", "m.glb", "m.vrm", "M.OBJ", "m.npy"):
        got = load_asset(tmp_path / name)
        np.testing.assert_array_equal(got.vertices_V3, man.vertices_V3)
        assert got.up == "y" and got.source == name
        assert load_asset(tmp_path / name, up="z").up == "z"
        assert got.joint_count == (22 if name in ("m.npz", "m.glb", "m.vrm") else 0)


def test_contest_files_without_a_skeleton_are_z_up(tmp_path, man):
    write_npz(tmp_path / "t.npz", replace(man, joints_J3=None, skin_VJ=None, matrix_local_J44=None, parents=None, names=None))
    assert load_asset(tmp_path / "t.npz").up == "z"


@pytest.mark.parametrize("name, message", [("a.fbx", "a.fbx: .fbx is not read; FBX is a closed format: export it as .glb"),
                                           ("a.txt", r"a.txt: .txt is not read. Supported: .npz .glb"), ("a", "without suffix"),
                                           ("a.bvh", "motion, not a character")])
def test_refuses_unknown_suffixes_with_the_list_of_known_ones(tmp_path, name, message):
    (tmp_path / name).write_text("x")
    with pytest.raises(AssetError, match=message):
        load_asset(tmp_path / name)
    with pytest.raises(AssetError, match=" ".join(SUFFIXES).replace(".", r"\.")):
        load_asset(tmp_path / name)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_missing_file_of_any_kind_is_named(tmp_path, suffix):
    with pytest.raises(AssetError, match=f"gone{suffix}: "):
        load_asset(tmp_path / f"gone{suffix}")


def test_up_must_be_an_axis(tmp_path):
    with pytest.raises(AssetError, match="up must be y or z, not 'x'"):
        load_asset(tmp_path / "m.npy", up="x")


def test_folders_are_searched_and_sorted(tmp_path):
    for name in ("b.glb", "a.NPZ", "deep/er/c.obj", "notes.txt", ".hidden.glb", ".git/d.glb", "outside.fbx"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).touch()
    (tmp_path / "secret.glb").touch()
    os.symlink(tmp_path / "secret.glb", tmp_path / "in" / "link.glb")
    os.symlink(tmp_path, tmp_path / "in" / "loop")
    inside = [tmp_path / "in" / name for name in ("a.NPZ", "b.glb", "deep/er/c.obj")]
    assert expand_inputs([tmp_path / "in"]) == inside
    assert expand_inputs([tmp_path / "in"], also=(".fbx",)) == inside + [tmp_path / "in" / "outside.fbx"]
    named = tmp_path / "in" / "outside.fbx"  # named outright: kept, so that its reader can say what is wrong
    assert expand_inputs([str(tmp_path / "in" / "b.glb"), tmp_path / "in", named]) == inside + [named]


def test_refuses_what_is_not_there(tmp_path):
    with pytest.raises(AssetError, match="gone: no such file or folder"):
        expand_inputs([tmp_path / "gone"])
    with pytest.raises(AssetError, match="holds no file that is read here"):
        expand_inputs([tmp_path])
    (tmp_path / "a.FBX").touch()
    with pytest.raises(AssetError, match="that is read here; .fbx: FBX is a closed format: export it as .glb"):
        expand_inputs([tmp_path])


def test_real_characters(shared_data):
    for path in expand_inputs([shared_data / "characters", shared_data / "dev"]):
        assert load_asset(path).up == "y"
    with pytest.raises(AssetError, match="FBX is a closed format"):
        load_asset(shared_data / "characters" / "rb_Female_Adult_01.fbx")
