"""A figure that came as arrays: its GLB by hand, read back by us and by trimesh, and nothing written when something is wrong."""

import json
import struct

import numpy as np
import pytest
import trimesh

from dataset.sources.gltf import load_gltf
from geometry.kinematics import rotation_uniform
from rigging.rig import CharacterRig
from rigging.scene_binding import weld
from rigging.scene_fresh import fresh_scene, write_glb
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
    assert [node["name"] for node in nodes] == ["figure", "Armature", *NAMES] and document["scenes"] == [{"nodes": [0, 1]}]
    assert [node["translation"] for node in nodes[2:]] == [[0, 0, 0], [0, 1, 0], [0, 1, .5]]
    assert [node.get("children") for node in nodes] == [None, [2], [3], [4], None]
    assert document["skins"][0]["joints"] == [2, 3, 4]
    inverse = arrays[document["skins"][0]["inverseBindMatrices"]]
    assert inverse[2].tolist() == [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, -2, -.5, 1]


def test_a_mesh_without_a_material_is_not_metal(tmp_path):
    document, _ = parts(glb(tmp_path / "m.glb"))
    material = document["materials"][document["meshes"][0]["primitives"][0]["material"]]
    assert material["pbrMetallicRoughness"]["metallicFactor"] == 0


def test_z_up_is_turned_to_y_up(tmp_path):
    document, arrays = parts(glb(tmp_path / "z.glb", up="z", normals_V3=np.array([[0, 0, 1.], [0, 1, 0], [1, 0, 0]])))
    assert arrays[0].tolist() == [[0, 0, 0], [1, 0, 0], [0, 2, -1]]
    assert arrays[1].tolist() == [[0, 1, 0], [0, 0, -1], [1, 0, 0]]
    assert document["nodes"][4]["translation"] == [0, .5, -1]
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
    np.testing.assert_allclose(got.skin_VJ, weld(man.skin_VJ, man.vertices_V3), atol=1.2e-7)  # its boxes touch at corners


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


def test_same_input_same_bytes(tmp_path):
    assert glb(tmp_path / "a.glb").read_bytes() == glb(tmp_path / "b.glb").read_bytes()


@pytest.mark.parametrize("changes, message", [
    (dict(skin_VJ=SKIN_VJ * 1.00001), "misses the sum 1 by 1e-05"), (dict(faces_F3=np.array([[0, 1, 3]])), "faces name vertices 0 to 3 of 3"), (dict(parents=(None, 2, 1)), "joint 1 has parent 2"),
    (dict(parents=(None, None, 1)), "joint 1 has parent None"), (dict(parents=(0, 0, 1)), "joint 0 has parent 0"), (dict(names=("a",)), "1 names"),
    (dict(up="x"), "up must be y or z"), (dict(max_influences=9), "influences must be 1 to 8"), (dict(max_influences=0), "influences must")])
def test_glb_refuses_and_leaves_nothing(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        glb(tmp_path / "sub" / "m.glb", **changes)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("up", ["y", "z"])
def test_rest_frames_are_the_joints_own(tmp_path, up):
    """Read back, each joint stands in the frame that was given, turned with the figure."""
    man, rng = capsule_man(22, up=up, splits=0), np.random.default_rng(0)
    frames_J33 = np.stack([rotation_uniform(rng) for _ in man.names])
    rig = CharacterRig(man.joints_J3, man.parents, man.names, man.skin_VJ, np.eye(3), frames_J33)
    fresh_scene(man.vertices_V3, man.faces_F3, None, rig, up).file.write(tmp_path / "f.glb")
    turn_33 = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]]) if up == "z" else np.eye(3)
    got = load_gltf(tmp_path / "f.glb")
    np.testing.assert_allclose(got.matrix_local_J44[:, :3, :3], turn_33 @ frames_J33, atol=1e-6)
    np.testing.assert_allclose(got.joints_J3, man.joints_J3 @ turn_33.T, atol=1e-6)
    with pytest.raises(ValueError, match="rest frame of joint 3 is no rotation"):
        frames_J33[3] *= -1
        fresh_scene(man.vertices_V3, man.faces_F3, None, rig, up)
