"""A rig in the user's own file: what was there is there to the byte, and glTF's skinning formula gives what our own gives."""

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import cKDTree

from dataset.asset import AssetError
from dataset.sources.files import GLTF, load_asset
from dataset.sources.gltf_container import Container
from rigging.scene import add_rig
from tests.rigging import scenes

HERE = Path(__file__).parent
POLICIES = ("replace", "keep-skeleton")
SIZE = 1e-5  # of the figure's size: how far two ways to pose it may differ


@pytest.fixture(params=scenes.ODD, ids=lambda make: make.__name__)
def odd(request, tmp_path) -> Path:
    return request.param(tmp_path)


def characters(shared_data) -> list[Path]:
    return sorted(path for path in (shared_data / "characters").iterdir() if path.suffix in GLTF)


def validate(paths: list[Path]) -> list[dict]:
    """The Khronos validator's reports. Skips where it is not installed."""
    if shutil.which("node") is None or not (HERE / "node_modules" / "gltf-validator").is_dir():
        pytest.skip("NOT VALIDATED: needs node and `npm install --prefix tests/rigging`")
    done = subprocess.run(["node", HERE / "validate.mjs", *paths], capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def check_replaced(source: Path, out: Path, influences: int = 4, joints: int = 22) -> None:
    """All laws of a replaced rig for one file."""
    asset = load_asset(source)
    rig, size = scenes.random_rig(asset, joints=joints), float(np.ptp(asset.vertices_V3, 0).max())
    rigged = add_rig(source, rig, influences)
    rigged.file.write(out)
    scenes.assert_untouched(source, out, "replace")
    again = load_asset(out)
    np.testing.assert_allclose(again.vertices_V3, asset.vertices_V3, atol=SIZE * size)
    np.testing.assert_array_equal(again.faces_F3, asset.faces_F3)
    assert again.names == rig.names and again.parents == rig.parents
    np.testing.assert_allclose(again.joints_J3, rig.joints_J3, atol=SIZE * size)
    np.testing.assert_allclose(again.matrix_local_J44[:, :3, :3], rig.frames_J33, atol=1e-5)
    kept_VJ = scenes.kept_weights(rig, asset.vertices_V3, influences)
    np.testing.assert_allclose(again.skin_VJ, kept_VJ, atol=1e-6)
    pose_J33 = scenes.random_pose(joints)
    want_V3 = scenes.skinned_by_us(rig, asset.vertices_V3, pose_J33, influences)
    got_V3 = scenes.skinned_by_gltf(out, source, dict(zip(rigged.joints, pose_J33)))
    np.testing.assert_allclose(got_V3, want_V3, atol=SIZE * size)


@pytest.mark.parametrize("influences, joints", [(4, 22), (1, 22), (7, 52)])
def test_odd_scenes(odd, tmp_path, influences, joints):
    check_replaced(odd, tmp_path / "out.glb", influences, joints)


def test_real_characters(shared_data, tmp_path):
    for source in characters(shared_data):
        check_replaced(source, tmp_path / f"{source.stem}.glb")


def test_khronos_finds_no_error_in_odd_scenes(tmp_path):
    sources = [make(tmp_path) for make in scenes.ODD]
    outs = [tmp_path / f"{source.stem}_rigged.glb" for source in sources]
    for source, out in zip(sources, outs):
        add_rig(source, scenes.random_rig(load_asset(source))).file.write(out)
    reports = validate([*(source for source in sources if source.suffix == ".glb"), *outs])
    assert [(r["file"], r["messages"]) for r in reports if r["errors"]] == [] and len(reports) == 2 * len(outs) - 1


@pytest.mark.parametrize("policy", POLICIES)
def test_khronos_finds_no_error_in_real_characters(shared_data, tmp_path, policy):
    for source in characters(shared_data):
        add_rig(source, scenes.random_rig(load_asset(source)), policy=policy).file.write(tmp_path / f"{source.stem}.glb")
    reports = validate(sorted(tmp_path.iterdir()))
    assert [(r["file"], r["messages"]) for r in reports if r["errors"]] == [] and len(reports) == 8


def test_instances_get_weights_of_their_own(tmp_path):
    """Three nodes draw one mesh: three meshes over the same positions, and the unseen node's own stays bare."""
    source = scenes.instanced(tmp_path)
    document = add_rig(source, scenes.random_rig(load_asset(source))).file.document
    meshes = [document["nodes"][k]["mesh"] for k in (1, 2, 3)]
    attributes = [document["meshes"][mesh]["primitives"][0]["attributes"] for mesh in meshes]
    assert len(set(meshes)) == 3 and {a["POSITION"] for a in attributes} == {0} and len({a["JOINTS_0"] for a in attributes}) == 3
    unseen = document["nodes"][4]
    assert "skin" not in unseen and "JOINTS_0" not in document["meshes"][unseen["mesh"]]["primitives"][0]["attributes"]
    assert {document["meshes"][mesh]["name"] for mesh in meshes} == {"leg"} and len({document["nodes"][k]["skin"] for k in (1, 2, 3)}) == 3


@pytest.mark.parametrize("make", scenes.ODD, ids=lambda make: make.__name__)
def test_one_place_has_one_row_of_weights(make, tmp_path):
    source = make(tmp_path)
    add_rig(source, scenes.random_rig(load_asset(source))).file.write(tmp_path / "out.glb")
    asset = load_asset(tmp_path / "out.glb")
    for a, b in cKDTree(asset.vertices_V3).query_pairs(0):
        np.testing.assert_array_equal(asset.skin_VJ[a], asset.skin_VJ[b])


def test_lines_and_points_follow_the_nearest_vertex(tmp_path):
    source = scenes.mixed(tmp_path)
    file = add_rig(source, scenes.random_rig(load_asset(source))).file
    file.write(tmp_path / "out.glb")
    out = Container(tmp_path / "out.glb")
    for mesh, (solid, *others) in ((0, (0, 1, 2)), (1, (0, 1))):
        primitives = out.document["meshes"][mesh]["primitives"]
        want = out.accessor(primitives[solid]["attributes"]["WEIGHTS_0"])
        for k in others:
            assert primitives[k]["mode"] in (0, 1, 3)
            np.testing.assert_array_equal(out.accessor(primitives[k]["attributes"]["WEIGHTS_0"]), want)


def test_replaced_joints_stay_as_plain_nodes_and_stand_still(tmp_path):
    source = scenes.posed_rig(tmp_path)
    rigged = add_rig(source, scenes.random_rig(load_asset(source)))
    document = rigged.file.document
    assert all(skin["joints"] == list(rigged.joints) for skin in document["skins"])
    assert document["nodes"][3]["children"] == [8, 9] and document["nodes"][8] == {"name": "lamp", "extras": 7}
    assert [a["channels"] for a in document["animations"]] == [[{"sampler": 0, "target": {"node": 0, "path": "translation"}}]]
    assert rigged.notes == ["2 of 3 animation channels moved the replaced joints and are left out"]


def test_names_that_are_taken_get_a_namespace(tmp_path):
    """All of them, so that one prefix tells the new skeleton from the old; our reader and others look behind the colon."""
    source = scenes.posed_rig(tmp_path)  # has hips, spine, l_upper_arm ...
    rigged = add_rig(source, scenes.random_rig(load_asset(source)))
    names = [rigged.file.document["nodes"][joint]["name"] for joint in rigged.joints]
    assert names[:2] == ["rig:hips", "rig:spine"] and all(name.startswith("rig:") for name in names)
    rigged.file.write(tmp_path / "once.glb")
    twice = add_rig(tmp_path / "once.glb", scenes.random_rig(load_asset(tmp_path / "once.glb")))
    assert twice.file.document["nodes"][twice.joints[0]]["name"] == "rig2:hips"
    twice.file.write(tmp_path / "twice.glb")
    assert load_asset(tmp_path / "twice.glb").joint_count == 22
    source = scenes.scattered(tmp_path)  # only its mesh is called as our group would be
    rigged = add_rig(source, scenes.random_rig(load_asset(source)))
    assert [rigged.file.document["nodes"][k]["name"] for k in (rigged.root, rigged.joints[0])] == ["rig:Armature", "hips"]


def test_every_scene_that_shows_the_figure_shows_its_joints(tmp_path):
    source = scenes.mixed(tmp_path)
    rigged = add_rig(source, scenes.random_rig(load_asset(source)))
    assert [scene["nodes"] for scene in rigged.file.document["scenes"]] == [[0, rigged.root]] * 2


def test_a_vrm_humanoid_names_the_new_joints(shared_data, tmp_path):
    source = shared_data / "characters" / "cool_loops.vrm"  # VRM 0.x with fingers
    rigged = add_rig(source, scenes.random_rig(load_asset(source)))
    bones = {b["bone"]: b["node"] for b in rigged.file.document["extensions"]["VRM"]["humanoid"]["humanBones"] if b["node"] >= 0}
    joint = dict(zip(scenes.skeleton(22).names, rigged.joints))
    assert bones["hips"] == joint["hips"] and bones["leftUpperArm"] == joint["l_upper_arm"] and bones["rightFoot"] == joint["r_foot"]
    assert set(bones.values()) <= set(rigged.joints) and "leftThumbDistal" not in bones and "leftThumbProximal" in rigged.notes[0]
    full = add_rig(source, scenes.random_rig(load_asset(source), joints=52))
    bones = {b["bone"]: b["node"] for b in full.file.document["extensions"]["VRM"]["humanoid"]["humanBones"]}
    assert full.file.document["extensions"]["VRM"]["firstPerson"]["firstPersonBone"] == bones["head"] == full.joints[5]
    assert bones["leftThumbProximal"] == full.joints[scenes.skeleton(52).names.index("l_hand_thumb_1")]


@pytest.mark.parametrize("source", ["m2m_male.glb", "m3_cowdao.vrm", "kenney_male.gltf", "RobotExpressive.glb"])
@pytest.mark.parametrize("joints", [22, 52])
def test_keep_skeleton_on_real_characters(shared_data, tmp_path, source, joints):
    """The user's nodes and matrices stay; the weights of a pose of the user's own joints are ours, moved to their counterparts."""
    source = shared_data / "characters" / source
    asset = load_asset(source)
    rig = scenes.random_rig(asset, joints=joints)
    rigged = add_rig(source, rig, policy="keep-skeleton")
    rigged.file.write(tmp_path / "out.glb")
    scenes.assert_untouched(source, tmp_path / "out.glb", "keep-skeleton")
    old, new = Container(source), Container(tmp_path / "out.glb")
    assert len(new.document["nodes"]) == len(old.document["nodes"]) and rigged.root is None
    assert new.document["skins"][:len(old.document["skins"])] == old.document["skins"]
    names = [new.document["nodes"][joint].get("name") for joint in rigged.joints]
    assert not set(names) & set(rigged.unused)
    again = load_asset(tmp_path / "out.glb")
    np.testing.assert_allclose(again.vertices_V3, asset.vertices_V3, atol=SIZE * np.ptp(asset.vertices_V3, 0).max())
    if asset.joint_count == joints:  # each of ours has a counterpart: what is read back is what was given
        np.testing.assert_array_equal(again.joints_J3, asset.joints_J3)
        np.testing.assert_allclose(again.skin_VJ, scenes.kept_weights(rig, asset.vertices_V3, 4), atol=1e-6)


def test_keep_skeleton_by_hand(tmp_path):
    """Six bones of a file: a finger's and a toe's weight go up to the nearest that is there, the hat's skin is made of them all."""
    source = scenes.posed_rig(tmp_path)
    rig = scenes.random_rig(load_asset(source), joints=52)
    rigged = add_rig(source, rig, policy="keep-skeleton", influences=8)
    file = rigged.file
    joint = dict(zip(rig.names, rigged.joints))
    assert (joint["hips"], joint["spine"], joint["l_hand_thumb_3"], joint["l_upper_arm"]) == (2, 3, 4, 4)
    assert (joint["head"], joint["l_shoulder"], joint["r_toe_base"], rigged.unused) == (3, 3, 7, ())
    file.write(tmp_path / "out.glb")
    out = Container(tmp_path / "out.glb")
    attributes = out.document["meshes"][0]["primitives"][0]["attributes"]
    slot, weight = (np.concatenate([out.accessor(attributes[f"{key}_{k}"]) for k in (0, 1)], 1) for key in ("JOINTS", "WEIGHTS"))
    got = np.zeros((3, 6))
    np.add.at(got, (np.arange(3)[:, None], slot), weight)
    want = np.stack([rig.skin_VJ[:3, np.array(rigged.joints) == node].sum(1) for node in range(2, 8)], 1)
    np.testing.assert_allclose(got, want, atol=1e-6)
    assert out.document["nodes"][1]["skin"] == 0 and out.document["skins"][out.document["nodes"][9]["skin"]]["joints"] == [2, 3, 4, 5, 6, 7]


def test_keep_skeleton_gives_a_skin_the_joints_it_lacks(tmp_path):
    """The hat is skinned to the spine alone; its new skin starts with the user's joint and matrix and goes on with the others'."""
    old = Container(scenes.posed_rig(tmp_path))
    document = old.document
    document["accessors"] += [{"componentType": 5121, "count": 3, "type": "VEC4"}, {"componentType": 5126, "count": 3, "type": "VEC4"},
                              {"bufferView": 3, "byteOffset": 64, "componentType": 5126, "count": 1, "type": "MAT4"}]
    document["meshes"][1]["primitives"][0]["attributes"] |= {"JOINTS_0": 6, "WEIGHTS_0": 7}  # zeros: all on the first joint
    document["skins"].append({"joints": [3], "inverseBindMatrices": 8, "name": "hat's"})
    document["nodes"][9]["skin"] = 1
    source = scenes.save(tmp_path / "hat.glb", document, old.binary)
    rigged = add_rig(source, scenes.random_rig(load_asset(source)), policy="keep-skeleton", influences=8)
    rigged.file.write(tmp_path / "out.glb")
    out = Container(tmp_path / "out.glb")
    body, hat = out.document["skins"][0], out.document["skins"][out.document["nodes"][9]["skin"]]
    assert out.document["skins"][:2] == document["skins"] and hat["joints"][0] == 3 and set(hat["joints"]) == set(body["joints"])
    body_J44, hat_J44 = (out.accessor(skin["inverseBindMatrices"]) for skin in (body, hat))
    np.testing.assert_array_equal(hat_J44[0], body_J44[1])
    np.testing.assert_allclose(hat_J44, body_J44[[body["joints"].index(k) for k in hat["joints"]]], atol=1e-6)


@pytest.mark.parametrize("changes, message", [
    (dict(policy="merge"), "policy must be one of replace, keep-skeleton, not 'merge'"), (dict(influences=0), "influences must be 1 to 8")])
def test_refuses_arguments(tmp_path, changes, message):
    source = scenes.quantised(tmp_path)
    with pytest.raises(ValueError, match=message):
        add_rig(source, scenes.random_rig(load_asset(source)), **changes)


def test_refuses_what_does_not_fit(tmp_path):
    source, other = scenes.quantised(tmp_path), scenes.draco(tmp_path)
    with pytest.raises(ValueError, match=r"skin is \(35, 22\), must be \(6, 22\)"):
        add_rig(source, scenes.random_rig(load_asset(other)))
    with pytest.raises(AssetError, match="quantised.glb: its bones have no names that are known here.*replace the rig"):
        add_rig(source, scenes.random_rig(load_asset(source)), policy="keep-skeleton")
    with pytest.raises(AssetError, match="gone.glb"):
        add_rig(tmp_path / "gone.glb", scenes.random_rig(load_asset(source)))


def test_lines_are_bounded(tmp_path):
    """An accessor may claim forty million zeros without a byte behind it."""
    old = Container(scenes.mixed(tmp_path))
    old.document["accessors"].append({"componentType": 5126, "count": 30_000_000, "type": "VEC3"})
    old.document["meshes"][1]["primitives"].append({"attributes": {"POSITION": 4}, "mode": 1})
    source = scenes.save(tmp_path / "long.glb", old.document, old.binary)
    with pytest.raises(AssetError, match="long.glb: more than 5000000 vertices of lines and points"):
        add_rig(source, scenes.random_rig(load_asset(source)))


@pytest.mark.parametrize("make", [make for make in scenes.ODD if make not in (scenes.draco, scenes.scattered)], ids=lambda make: make.__name__)
def test_spoiled_files_are_rigged_or_refused(make, tmp_path):
    """Never a Python error: an AssetError that names the file, or a ValueError where the rig no longer fits what is left."""
    source = Container(make(tmp_path))
    rig, rng, refused = scenes.random_rig(load_asset(source.path)), np.random.default_rng(0), 0
    for _ in range(60):
        path = scenes.save(tmp_path / "spoiled.glb", scenes.spoil(source.document, rng), source.binary)
        for policy in POLICIES:
            try:
                add_rig(path, rig, policy=policy).file.pack()
            except AssetError as error:
                assert str(error).startswith("spoiled.glb: ")
                refused += 1
            except ValueError as error:
                assert str(error).startswith("skin is ")
    assert refused > 20


def test_same_input_same_bytes(odd):
    rig = scenes.random_rig(load_asset(odd))
    assert add_rig(odd, rig).file.pack() == add_rig(odd, rig).file.pack()


def test_other_formats_become_a_new_file(tmp_path):
    (tmp_path / "t.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 2 0\nv 0 2 1\nf 1 2 3 4\n")
    asset = load_asset(tmp_path / "t.obj")
    rig = scenes.random_rig(asset)
    add_rig(tmp_path / "t.obj", rig).file.write(tmp_path / "t.glb")
    again = load_asset(tmp_path / "t.glb")
    np.testing.assert_array_equal(Container(tmp_path / "t.glb").accessor(0), asset.vertices_V3)
    np.testing.assert_allclose(again.vertices_V3, asset.vertices_V3, atol=1e-6)
    np.testing.assert_array_equal(again.faces_F3, asset.faces_F3)
    np.testing.assert_allclose(again.joints_J3, rig.joints_J3, atol=1e-6)
    np.save(tmp_path / "z.npy", asset.vertices_V3[:, [0, 2, 1]])  # a cloud, Z up
    rig = replace(scenes.random_rig(load_asset(tmp_path / "z.npy")), to_network_33=np.eye(3))
    add_rig(tmp_path / "z.npy", rig).file.write(tmp_path / "z.glb")
    np.testing.assert_array_equal(Container(tmp_path / "z.glb").accessor(0), asset.vertices_V3 * [1, 1, -1])
