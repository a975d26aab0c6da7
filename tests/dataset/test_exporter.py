"""What is written is what was given: bytes read back, contracts held, and nothing left behind when something is wrong."""

import json
import os
import struct

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings, strategies

from dataset.exporter import replace_folder, strongest_weights, write_contest, write_glb
from dataset.sources.gltf import load_gltf
from tests.dataset.figures import capsule_man

JOINTS_J3 = np.array([[0, 0, 0], [0, 1, 0], [0, 2, .5]], np.float32)
PARENTS, NAMES = (None, 0, 1), ("a", "b", "c")
VERTICES_V3 = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 2]], np.float32)
FACES_F3 = np.array([[0, 1, 2]])
SKIN_VJ = np.array([[1, 0, 0], [.25, .75, 0], [.2, .3, .5]], np.float32)


def glb(path, **changes):
    given_ = dict(vertices_V3=VERTICES_V3, faces_F3=FACES_F3, normals_V3=None, joints_J3=JOINTS_J3, parents=PARENTS, names=NAMES, skin_VJ=SKIN_VJ)
    write_glb(path, **given_ | changes)
    return path


def parts(path) -> tuple[dict, list[np.ndarray]]:
    """The document and the array of each accessor, read with struct and NumPy alone."""
    data = path.read_bytes()
    magic, version, length, size, kind = struct.unpack_from("<4sIII4s", data)
    assert (magic, version, length, kind) == (b"glTF", 2, len(data), b"JSON") and length % 4 == 0
    document = json.loads(data[20:20 + size])
    binary = data[28 + size:]
    arrays = []
    for accessor in document["accessors"]:
        view = document["bufferViews"][accessor["bufferView"]]
        dtype = {5126: "<f4", 5121: "u1", 5123: "<u2", 5125: "<u4"}[accessor["componentType"]]
        width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}[accessor["type"]]
        arrays.append(np.frombuffer(binary, dtype, accessor["count"] * width, view["byteOffset"]).reshape(-1, width))
    return document, arrays


def test_by_hand(tmp_path):
    document, arrays = parts(glb(tmp_path / "m.glb", normals_V3=np.array([[0, 0, 2], [0, 0, 0], [3, 0, 4]])))
    primitive = document["meshes"][0]["primitives"][0]
    values = {name: arrays[index] for name, index in primitive["attributes"].items()}
    assert primitive["mode"] == 4 and arrays[primitive["indices"]].ravel().tolist() == [0, 1, 2]
    assert values["POSITION"].tolist() == VERTICES_V3.tolist()
    np.testing.assert_allclose(values["NORMAL"], [[0, 0, 1], [0, 1, 0], [.6, 0, .8]])
    assert values["JOINTS_0"].tolist() == [[0, 0, 0, 0], [1, 0, 0, 0], [2, 1, 0, 0]]  # unused slots name joint 0
    np.testing.assert_allclose(values["WEIGHTS_0"], [[1, 0, 0, 0], [.75, .25, 0, 0], [.5, .3, .2, 0]])
    position = document["accessors"][primitive["attributes"]["POSITION"]]
    assert (position["min"], position["max"]) == ([0, 0, 0], [1, 1, 2])
    nodes = document["nodes"]
    assert [node["name"] for node in nodes[1:]] == list(NAMES)
    assert [node["translation"] for node in nodes[1:]] == [[0, 0, 0], [0, 1, 0], [0, 1, .5]]
    assert [node.get("children") for node in nodes[1:]] == [[2], [3], None]
    inverse = arrays[document["skins"][0]["inverseBindMatrices"]]
    assert inverse[2].tolist() == [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, -2, -.5, 1]


def test_z_up_is_turned_to_y_up(tmp_path):
    document, arrays = parts(glb(tmp_path / "z.glb", up="z", normals_V3=np.array([[0, 0, 1.], [0, 1, 0], [1, 0, 0]])))
    assert arrays[0].tolist() == [[0, 0, 0], [1, 0, 0], [0, 2, -1]]
    assert arrays[1].tolist() == [[0, 1, 0], [0, 0, -1], [1, 0, 0]]
    assert document["nodes"][3]["translation"] == [0, .5, -1]
    assert not np.signbit(arrays[0][arrays[0] == 0]).any()


@pytest.mark.parametrize("count", [22, 52])
@pytest.mark.parametrize("up", ["y", "z"])
def test_our_own_reader_gets_back_the_rig(tmp_path, count, up):
    man = capsule_man(count, up=up, splits=0)
    write_glb(tmp_path / "m.glb", man.vertices_V3, man.faces_F3, man.normals_V3, man.joints_J3, man.parents, man.names, man.skin_VJ, up)
    got = load_gltf(tmp_path / "m.glb")
    turn = (lambda x: np.stack([x[:, 0], x[:, 2], -x[:, 1]], 1)) if up == "z" else (lambda x: x)
    assert (got.names, got.parents) == (man.names, man.parents)
    np.testing.assert_array_equal(got.joints_J3, turn(man.joints_J3))
    np.testing.assert_array_equal(got.vertices_V3, turn(man.vertices_V3))
    np.testing.assert_array_equal(got.faces_F3, man.faces_F3)
    np.testing.assert_allclose(got.normals_V3, turn(man.normals_V3), atol=1e-6)
    np.testing.assert_allclose(got.skin_VJ, man.skin_VJ, atol=1.2e-7)


def test_trimesh_reads_it(tmp_path):
    mesh = trimesh.load(glb(tmp_path / "m.glb"), process=False).to_geometry()
    np.testing.assert_allclose(mesh.vertices, VERTICES_V3)
    assert mesh.faces.tolist() == FACES_F3.tolist()


def test_point_clouds(tmp_path):
    for faces in (None, np.zeros((0, 3), int)):
        document, _ = parts(glb(tmp_path / "p.glb", faces_F3=faces))
        assert document["meshes"][0]["primitives"][0]["mode"] == 0 and "indices" not in document["meshes"][0]["primitives"][0]
    assert load_gltf(tmp_path / "p.glb").faces_F3 is None


@pytest.mark.parametrize("influences, sets, want", [(1, 1, [1, 0, 0]), (2, 1, [.625, .375, 0]), (8, 2, [.5, .3, .2])])
def test_influences(tmp_path, influences, sets, want):
    document, arrays = parts(glb(tmp_path / "i.glb", max_influences=influences))
    attributes = document["meshes"][0]["primitives"][0]["attributes"]
    assert sum(key.startswith("JOINTS_") for key in attributes) == sets
    np.testing.assert_allclose(arrays[attributes["WEIGHTS_0"]][2, :3], want, rtol=1e-6)


@settings(max_examples=60, deadline=None)
@given(seed=strategies.integers(0, 2 ** 32 - 1), joints=strategies.integers(1, 60), kept=strategies.integers(1, 8),
       power=strategies.sampled_from([0, 1, 20, 400]))
def test_any_row_keeps_the_contract(seed, joints, kept, power):
    """Even rows, peaked rows, rows whose small weights vanish in float32."""
    raw = np.random.default_rng(seed).random((20, joints))
    raw = (raw / raw.max(1, keepdims=True)) ** power
    skin = raw / raw.sum(1, keepdims=True)
    joint_VK, weight_VK = strongest_weights(skin, kept)
    assert weight_VK.dtype == np.float32 and weight_VK.shape == joint_VK.shape == (20, kept)
    assert (weight_VK >= 0).all() and np.abs(weight_VK.sum(1, dtype=np.float64) - 1).max() < 1e-6
    assert (np.diff(weight_VK, axis=1) <= 0).all() and (joint_VK[weight_VK == 0] == 0).all()
    np.testing.assert_array_equal(weight_VK[:, 0] > 0, True)
    np.testing.assert_array_equal(joint_VK[:, 0], skin.argmax(1))  # ties: the smaller joint


def test_rows_of_few_weights_keep_their_bits():
    skin = np.zeros((1000, 30), np.float32)
    raw = np.random.default_rng(0).random((1000, 4)).astype(np.float32)
    skin[:, 3:7] = raw / raw.sum(1, keepdims=True)
    joint_VK, weight_VK = strongest_weights(skin, 4)
    np.testing.assert_array_equal(np.take_along_axis(skin, joint_VK, 1), weight_VK)


def test_same_input_same_bytes(tmp_path):
    assert glb(tmp_path / "a.glb").read_bytes() == glb(tmp_path / "b.glb").read_bytes()


BROKEN = [
    (dict(skin_VJ=SKIN_VJ * np.nan), "skin holds NaN or infinity, first in row 0"), (dict(skin_VJ=SKIN_VJ * 1.00001), "misses the sum 1 by 1e-05"),
    (dict(skin_VJ=SKIN_VJ + np.array([[0, 0, 0], [-.5, .25, .25], [0, 0, 0]], np.float32)), "skin of vertex 1 is negative"),
    (dict(skin_VJ=SKIN_VJ[:2]), r"skin is \(2, 3\), must be \(3, 3\)"), (dict(joints_J3=JOINTS_J3 + np.inf), "joints holds NaN"),
    (dict(vertices_V3=VERTICES_V3 + np.array([[0], [0], [np.nan]])), "vertices holds NaN or infinity, first in row 2"),
    (dict(vertices_V3=VERTICES_V3[:0], skin_VJ=SKIN_VJ[:0]), "J, V >= 1"), (dict(joints_J3=JOINTS_J3[:, :2]), "must be")]


@pytest.mark.parametrize("changes, message", BROKEN + [
    (dict(faces_F3=np.array([[0, 1, 3]])), "faces name vertices 0 to 3 of 3"), (dict(parents=(None, 2, 1)), "joint 1 has parent 2"),
    (dict(parents=(None, None, 1)), "joint 1 has parent None"), (dict(parents=(0, 0, 1)), "joint 0 has parent 0"), (dict(names=("a",)), "1 names"),
    (dict(up="x"), "up must be y or z"), (dict(max_influences=9), "max_influences 1 to 8"), (dict(max_influences=0), "max_influences")])
def test_glb_refuses_and_leaves_nothing(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        glb(tmp_path / "sub" / "m.glb", **changes)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("changes, message", BROKEN)
def test_contest_refuses_and_leaves_nothing(tmp_path, changes, message):
    given_ = dict(joints_J3=JOINTS_J3, skin_VJ=SKIN_VJ, vertices_V3=VERTICES_V3) | changes
    with pytest.raises(ValueError, match=message):
        write_contest(tmp_path / "sub" / "1", **given_)
    assert list(tmp_path.iterdir()) == []


def test_contest_layout(tmp_path):
    folder = tmp_path / "run" / "vroid" / "7"
    for scale in (1, 2):  # the second run replaces the first
        write_contest(folder, JOINTS_J3 * scale, SKIN_VJ.astype(np.float64), VERTICES_V3)
        (folder / "stale.txt").touch()
    write_contest(folder, JOINTS_J3 * 3, SKIN_VJ, VERTICES_V3)
    assert sorted(os.listdir(folder)) == ["predict_skeleton.npy", "predict_skin.npy", "transformed_vertices.npy"]
    assert os.listdir(folder.parent) == ["7"]
    for name, want in (("predict_skeleton", JOINTS_J3 * 3), ("predict_skin", SKIN_VJ), ("transformed_vertices", VERTICES_V3)):
        got = np.load(folder / f"{name}.npy")
        assert got.dtype == np.float32
        np.testing.assert_array_equal(got, want)


def test_a_crash_while_writing_leaves_the_old_folder(tmp_path, monkeypatch):
    folder = tmp_path / "1"
    write_contest(folder, JOINTS_J3, SKIN_VJ, VERTICES_V3)
    calls = []

    def save(path, array):
        calls.append(path)
        if len(calls) == 2:
            raise OSError("disk full")
        np.lib.format.write_array(open(path, "wb"), array)
    monkeypatch.setattr(np, "save", save)
    with pytest.raises(OSError, match="disk full"):
        write_contest(folder, JOINTS_J3 * 2, SKIN_VJ, VERTICES_V3)
    assert os.listdir(tmp_path) == ["1"]
    np.testing.assert_array_equal(np.load(folder / "predict_skeleton.npy"), JOINTS_J3)


def test_a_folder_is_replaced_or_keeps(tmp_path):
    folder = tmp_path / "cls" / "id"
    (tmp_path / "cls" / ".id.1.new").mkdir(parents=True)  # a killed run's
    replace_folder(folder, lambda new: (new / "a").write_text("1"))
    assert [p.name for p in folder.parent.iterdir()] == ["id"]
    replace_folder(folder, lambda new: (new / "b").write_text("2"))
    assert [p.name for p in folder.iterdir()] == ["b"]

    def fail(new):
        (new / "c").write_text("3")
        raise ValueError("half way")
    with pytest.raises(ValueError, match="half way"):
        replace_folder(folder, fail)
    assert [p.name for p in folder.iterdir()] == ["b"] and [p.name for p in folder.parent.iterdir()] == ["id"]


def test_a_crash_between_the_renames_leaves_the_old_folder(tmp_path, monkeypatch):
    folder, rename = tmp_path / "1", os.replace
    write_contest(folder, JOINTS_J3, SKIN_VJ, VERTICES_V3)

    def fail_on_the_new(source, target):
        if str(source).endswith(".new"):
            raise OSError("disk full")
        rename(source, target)
    monkeypatch.setattr(os, "replace", fail_on_the_new)
    with pytest.raises(OSError, match="disk full"):
        write_contest(folder, JOINTS_J3 * 2, SKIN_VJ, VERTICES_V3)
    assert os.listdir(tmp_path) == ["1"]
    np.testing.assert_array_equal(np.load(folder / "predict_skeleton.npy"), JOINTS_J3)


def test_a_crash_while_writing_leaves_the_old_file(tmp_path, monkeypatch):
    before = glb(tmp_path / "m.glb").read_bytes()
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        glb(tmp_path / "m.glb", joints_J3=JOINTS_J3 * 2)
    assert os.listdir(tmp_path) == ["m.glb"] and (tmp_path / "m.glb").read_bytes() == before
