"""Which files become characters, and that nothing outside what was named can be reached."""

import json

import numpy as np
import pytest

from dataset.asset import AssetError
from dataset.exporter import save_contest
from rigging.scene_fresh import write_glb
from tests.dataset.figures import capsule_man
from tests.viewer.test_character import unpacked
from viewer.character import IN_FILE, NETWORK, SMOOTHED
from viewer.library import Library, named_clip, read_report, unit_rows

MAN = capsule_man(22, up="y")


def glb(path, man=MAN):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_glb(path, man.vertices_V3, man.faces_F3, man.normals_V3, man.joints_J3, man.parents, man.names, man.skin_VJ, "y", 4)
    return path


@pytest.fixture
def run(tmp_path):
    """A folder as predict_joint_model.py leaves it: two meshes and a cloud."""
    for name in ("anna", "ben"):
        glb(tmp_path / "run" / "other" / name / "rigged.glb")
        save_contest(tmp_path / "run" / "other" / name, MAN.joints_J3, MAN.skin_VJ, MAN.vertices_V3)
    (cloud := tmp_path / "run" / "other" / "cloud").mkdir()
    save_contest(cloud, MAN.joints_J3, MAN.skin_VJ, MAN.vertices_V3)
    return tmp_path / "run"


def names(library: Library) -> list[str]:
    return [c["name"] for c in library.listing()["characters"]]


def test_a_predicted_folder_gives_its_rigs(run):
    library = Library([run])
    assert names(library) == ["anna", "ben", "cloud"]
    assert {c["group"] for c in library.listing()["characters"]} == {"run"}
    assert library.character(0).kinds == [IN_FILE, NETWORK, SMOOTHED]
    assert not library.character(2).asset.has_faces and library.character(2).asset.joint_count == 22
    np.testing.assert_allclose(library.skin(0, NETWORK), MAN.skin_VJ, atol=1e-6)


@pytest.mark.parametrize("name", ["rigged.glb", "rigged.vrm"])
def test_a_rig_without_the_networks_fingers(run, name):
    """Fingers were predicted and left out of the file: their weights are the hands'."""
    anna = run / "other" / "anna"
    (anna / "rigged.glb").rename(anna / name)
    full_VJ = np.zeros((len(MAN.vertices_V3), 52), np.float32)
    full_VJ[:, 22] = 1      # a left thumb
    np.save(anna / "predict_skin.npy", full_VJ)
    library = Library([run])
    assert names(library) == ["anna", "ben", "cloud"]
    assert (library.skin(0, NETWORK)[:, MAN.names.index("l_hand")] == 1).all()


def test_network_weights_of_another_mesh_are_left_out(run):
    np.save(run / "other" / "anna" / "predict_skin.npy", MAN.skin_VJ[:-1])
    assert Library([run]).character(0).kinds == [IN_FILE, SMOOTHED]


def test_what_the_report_says_is_shown(run):
    report = run / "other" / "anna" / "report.json"
    joints = [{"name": "hips", "expected_error_cm": 2.5}, {"name": "spine", "expected_error_cm": None}]
    report.write_text(json.dumps({"warnings": ["arms <b>crossed</b>"], "joints": joints}))
    about, _ = unpacked(Library([run]).character(0).packed())
    assert about["warnings"] == ["arms <b>crossed</b>"] and about["expectedCm"] == {"hips": 2.5}


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"warnings": 1, "joints": []}', '{"warnings": [], "joints": [1]}', "[" * 100000,
                                  '{"warnings": [], "joints": [{"name": 1, "expected_error_cm": 1e999}]}', " " * (1 << 20) + "{}"])
def test_a_report_that_is_none_says_nothing(tmp_path, text):
    (tmp_path / "report.json").write_text(text)
    assert read_report(tmp_path / "report.json") == ((), {})
    (tmp_path / "link.json").symlink_to(tmp_path / "report.json")
    assert read_report(tmp_path / "link.json") == ((), {})


def test_files_by_themselves(tmp_path):
    library = Library([glb(tmp_path / "hero.glb")])
    assert names(library) == ["hero.glb"] and library.character(0).kinds == [IN_FILE, SMOOTHED]


def test_numbers_that_were_never_given(run):
    library = Library([run])
    for wrong in (-1, 3):
        with pytest.raises(KeyError):
            library.character(wrong)
    with pytest.raises(KeyError):
        library.clip(0)


def test_few_characters_are_kept_in_memory(tmp_path):
    library = Library([glb(tmp_path / f"{k}.glb") for k in range(6)])
    first = library.character(0)
    assert library.character(0) is first
    for k in range(1, 6):
        library.character(k)
    assert len(library._kept) == 4 and library.character(0) is not first


def test_links_that_lead_out_of_the_folder_are_not_followed(run, tmp_path):
    outside = glb(tmp_path / "secret" / "rigged.glb")
    (run / "other" / "evil").mkdir()
    (run / "other" / "evil" / "rigged.glb").symlink_to(outside)
    (run / "door").symlink_to(outside.parent)
    assert names(Library([run])) == ["anna", "ben", "cloud"]


def test_a_linked_array_is_not_read(run, tmp_path):
    for name, number in (("anna", 0), ("cloud", 2)):
        skin = run / "other" / name / "predict_skin.npy"
        skin.replace(tmp_path / f"{name}.npy")
        skin.symlink_to(tmp_path / f"{name}.npy")
    library = Library([run])
    assert library.character(0).kinds == [IN_FILE, SMOOTHED]
    with pytest.raises(AssetError, match="plain files"):
        library.character(2)


@pytest.mark.parametrize("content", [b"", b"not an array", b"\x93NUMPY\x01\x00\x76\x00" + b"{'descr': '<f4', 'fortran_order': False, "
                                     b"'shape': (1000000000000, 22), }".ljust(117) + b"\n"])
def test_a_broken_array_costs_nothing_and_is_named(run, content):
    (run / "other" / "anna" / "predict_skin.npy").write_bytes(content)
    with pytest.raises(AssetError, match="predict_skin.npy"):
        Library([run]).character(0)


def test_a_pickled_array_is_not_run(run):
    np.save(run / "other" / "cloud" / "predict_skeleton.npy", np.array([print], object), allow_pickle=True)
    with pytest.raises(AssetError, match="predict_skeleton.npy"):
        Library([run]).character(2)


@pytest.mark.parametrize("rows", [[[0.5, -0.5]], [[np.nan, 1]], [[0, 0]], [[1.0]], [[1, 0]]])
def test_weights_that_are_none(rows):
    with pytest.raises(AssetError, match="w.npy: weights"):
        unit_rows(np.array(rows), "w.npy", (1, 2))


def test_what_is_not_there(tmp_path):
    with pytest.raises(AssetError, match="no such file"):
        Library([tmp_path / "none.glb"])
    np.save(tmp_path / "predict_skin.npy", MAN.skin_VJ)
    with pytest.raises(AssetError, match="holds no character"):
        Library([tmp_path])


def test_clips_are_named(tmp_path):
    for text, why in (("walk.txt", "motion is read from"), ("none.bvh", "no such file"), ("bank.npz:walk", "no such file")):
        with pytest.raises(AssetError, match=why):
            named_clip(str(tmp_path / text))
    turns, whole = np.tile(np.eye(3), (4, 22, 1, 1)), tmp_path / "whole.npz"
    np.savez(whole, rot=turns, offset=np.zeros((4, 3)), fps=30.0)
    assert len(named_clip(str(whole))) == 4
    bank = tmp_path / "a:b.npz"
    np.savez(bank, rot=turns, offset=np.zeros((4, 3)), fps=30.0)
    assert named_clip(str(bank)).name == "a:b"
