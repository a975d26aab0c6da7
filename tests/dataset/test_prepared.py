"""Prepared assets: what comes back is what went in, once, and a damaged folder is noticed."""

import pickle
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from figures import capsule_man  # noqa: E402

from dataset.asset import AssetError, check  # noqa: E402
from dataset.prepared import load_prepared, prepare, top_weights  # noqa: E402
from dataset.sampler import Surface  # noqa: E402

MAN, SMALL = capsule_man(52), capsule_man(22, up="y")
BARE = replace(MAN, skin_VJ=None, normals_V3=None, faces_F3=None, id="bare", matrix_local_J44=None)
MARKED = replace(MAN, joint_valid_J=np.arange(52) != 1, skin_valid=False, normals_V3=None)


@pytest.fixture
def prepared(tmp_path):
    return prepare([MAN, SMALL, BARE, MARKED], tmp_path / "set", key="k")


def test_what_comes_back(prepared):
    assert len(prepared) == 4
    man, small, bare, marked = (check(prepared[i]) for i in range(4))
    np.testing.assert_array_equal(man.vertices_V3, MAN.vertices_V3)
    np.testing.assert_array_equal(man.faces_F3, MAN.faces_F3)
    np.testing.assert_array_equal(man.joints_J3, MAN.joints_J3)
    np.testing.assert_array_equal(man.matrix_local_J44, MAN.matrix_local_J44)
    np.testing.assert_allclose(man.normals_V3, MAN.normals_V3, atol=5e-4)
    np.testing.assert_allclose(man.skin_VJ, MAN.skin_VJ, atol=5e-4)
    np.testing.assert_allclose(prepared[0].skin_VJ.sum(1, dtype=float), 1, atol=2e-7)
    assert (man.names, man.parents, man.source, man.cls, man.id) == (MAN.names, MAN.parents, MAN.source, MAN.cls, MAN.id)
    assert man.joint_valid_J.all() and man.skin_valid
    # Y up went in, the network's frame comes out
    assert small.up == "z" and small.joint_count == 22 and small.vertices_V3[:, 2].max() > 1.6
    assert bare.skin_VJ is None and bare.normals_V3 is None and bare.faces_F3 is None and prepared.body(2).surface is None
    assert marked.joint_valid_J.tolist() == (np.arange(52) != 1).tolist() and not marked.skin_valid
    np.testing.assert_allclose(marked.normals_V3, MAN.normals_V3, atol=5e-4)      # computed for a mesh without


def test_surface_is_that_of_the_asset(prepared):
    for i in (0, 1, 3):
        got, want = prepared.body(i).surface, Surface.of(prepared[i])
        for name in ("total_F", "hand_H", "hand_total_H"):
            np.testing.assert_array_equal(getattr(got, name), getattr(want, name), err_msg=name)
    assert prepared.body(0).surface.has_hands


def test_top_weights_by_hand():
    skin = np.zeros((2, 12), np.float32)
    skin[0, [3, 7]] = .25, .75
    skin[1] = np.arange(12)
    joint, weight = top_weights(skin / skin.sum(1, keepdims=True))
    assert joint[0, :2].tolist() == [7, 3] and weight[0].tolist() == [.75, .25, 0, 0, 0, 0, 0, 0]
    assert joint[1].tolist() == list(range(11, 3, -1))
    np.testing.assert_allclose(weight[1], np.arange(11, 3, -1) / 60, atol=1e-7)


def test_more_influences_than_kept(tmp_path):
    even = replace(MAN, skin_VJ=np.full_like(MAN.skin_VJ, 1 / 52))
    back = prepare([even], tmp_path / "even")[0]
    assert ((back.skin_VJ > 0).sum(1) == 8).all()
    np.testing.assert_allclose(back.skin_VJ.max(1), 1 / 8)


def test_one_topology_is_stored_once(tmp_path):
    one, two = prepare([MAN], tmp_path / "one"), prepare([MAN, replace(MAN, id="2")], tmp_path / "two")
    size = [(p.folder / "faces.bin").stat().st_size for p in (one, two)]
    assert size[0] == size[1] == MAN.faces_F3.size * 4
    np.testing.assert_array_equal(two[1].faces_F3, MAN.faces_F3)


def test_once(tmp_path):
    prepare([MAN], tmp_path / "set", key="a")

    def never():
        raise AssertionError("read again")
        yield
    assert len(prepare(never(), tmp_path / "set", key="a")) == 1
    assert len(prepare([MAN, SMALL], tmp_path / "set", key="b")) == 2     # another key: written anew
    assert [p.name for p in tmp_path.iterdir()] == ["set"]


def test_a_failure_leaves_nothing_behind(tmp_path):
    def breaks():
        yield MAN
        yield replace(MAN, source="broken.npz", skin_VJ=MAN.skin_VJ * 2)
    with pytest.raises(AssetError, match="broken.npz: skin weights"):
        prepare(breaks(), tmp_path / "set")
    assert list(tmp_path.iterdir()) == []


def test_pickle_carries_the_folder_only(prepared):
    data = pickle.dumps(prepared)
    assert len(data) < 1000
    np.testing.assert_array_equal(pickle.loads(data)[1].vertices_V3, prepared[1].vertices_V3)


def test_a_changed_byte_is_noticed(prepared):
    path = prepared.folder / "skin_weight.bin"
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    with pytest.raises(AssetError, match="skin_weight.bin: content differs from its hash; delete"):
        load_prepared(prepared.folder)
    assert len(load_prepared(prepared.folder, verify=False)) == 4


@pytest.mark.parametrize("damage, message", [
    (lambda f: (f / "area_total.bin").unlink(), "area_total.bin: missing"),
    (lambda f: (f / "joints.bin").write_bytes(b"1234"), "joints.bin: missing or not"),
    (lambda f: (f / "index.json").unlink(), "no readable index.json"),
    (lambda f: (f / "index.json").write_text("{"), "no readable index.json"),
    (lambda f: (f / "index.json").write_text('{"version": 0}'), "prepared by version 0")])
def test_a_damaged_folder_is_refused(prepared, damage, message):
    damage(prepared.folder)
    with pytest.raises(AssetError, match=message):
        load_prepared(prepared.folder)


@pytest.mark.parametrize("assets, message", [
    ([], "no assets to prepare"), ([replace(MAN, joints_J3=None, matrix_local_J44=None, skin_VJ=None, parents=None, names=None)], "has 0 joints"),
    ([replace(MAN, joints_J3=MAN.joints_J3 * np.nan)], "joints has NaN")])
def test_refuses(tmp_path, assets, message):
    with pytest.raises(AssetError, match=message):
        prepare(assets, tmp_path / "set")


def test_never_deletes_a_folder_that_is_not_its_own(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(AssetError, match="choose another folder"):
        prepare([MAN], tmp_path)
    assert (tmp_path / "thesis.txt").exists()
