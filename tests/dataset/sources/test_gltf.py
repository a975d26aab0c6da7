"""glTF scenes built by hand: what their numbers must become; and real characters, against another converter's numbers."""

import time

import numpy as np
import pytest
from scipy.spatial import cKDTree

from dataset.asset import AssetError
from rigging.scene_fresh import write_glb
from dataset.format import DIALECTS, skeleton
from dataset.sources.gltf import load_gltf
from dataset.sources.gltf_container import Container
from dataset.sources.gltf_scene import Scene
from dataset.sources.npz import load_npz
from tests.dataset.figures import capsule_man
from tests.dataset.sources.gltf_scenes import TRIANGLE_V3, build, rigged, save

def load(tmp_path, document, binary):
    return load_gltf(save(tmp_path / "t.glb", document, binary))


def test_by_hand(tmp_path):
    asset = load(tmp_path, *build({"p": TRIANGLE_V3}))
    assert (asset.id, asset.source, asset.up, asset.joints_J3) == ("t", "t.glb", "y", None)
    assert asset.vertices_V3.tolist() == TRIANGLE_V3.tolist() and asset.faces_F3.tolist() == [[0, 1, 2]]
    assert asset.normals_V3.tolist() == [[0, 0, 1]] * 3  # computed: the file has none


def test_nodes_place_meshes_in_the_world(tmp_path):
    # parent moves by (10, 0, 0); the child turns a quarter about z, then doubles: (x, y) -> (10 - 2 y, 2 x)
    document, binary = build({"p": TRIANGLE_V3}, nodes=[
        {"children": [1], "translation": [10, 0, 0]},
        {"mesh": 0, "rotation": [0, 0, .5 ** .5, .5 ** .5], "scale": [2, 2, 2]}])
    np.testing.assert_allclose(load(tmp_path, document, binary).vertices_V3, [[10, 0, 0], [10, 2, 0], [8, 0, 0]], atol=1e-6)
    document["nodes"][1] = {"mesh": 0, "matrix": [0, 2, 0, 0, -2, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 1]}  # column by column
    np.testing.assert_allclose(load(tmp_path, document, binary).vertices_V3, [[10, 0, 0], [10, 2, 0], [8, 0, 0]], atol=1e-6)


def test_a_mirroring_node_keeps_faces_outwards(tmp_path):
    document, binary = build({"p": TRIANGLE_V3}, nodes=[{"mesh": 0, "scale": [-1, 1, 1]}])
    asset = load(tmp_path, document, binary)
    assert asset.faces_F3.tolist() == [[2, 1, 0]] and asset.normals_V3.tolist() == [[0, 0, 1]] * 3


def test_normals_follow_the_inverse_transpose(tmp_path):
    slope = np.array([[.6, .8, 0]] * 3, "f4")
    document, binary = build({"p": TRIANGLE_V3, "n": slope}, nodes=[{"mesh": 0, "scale": [2, 1, 1]}],
                             meshes=[{"primitives": [{"attributes": {"POSITION": 0, "NORMAL": 1}}]}])
    want = np.array([.3, .8, 0]) / np.hypot(.3, .8)
    np.testing.assert_allclose(load(tmp_path, document, binary).normals_V3[0], want, atol=1e-6)


@pytest.mark.parametrize("mode, indices, want", [
    (4, [0, 1, 2, 2, 1, 3], [[0, 1, 2], [2, 1, 3]]),
    (5, [0, 1, 2, 3], [[0, 1, 2], [2, 1, 3]]),
    (5, [0, 1, 2, 2, 3, 3, 0], [[0, 1, 2]]),       # joined strips: empty triangles go
    (6, [0, 1, 2, 3], [[0, 1, 2], [0, 2, 3]]),
    (5, [0, 1], [])])
def test_lists_strips_and_fans(tmp_path, mode, indices, want):
    square = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]], "f4")
    primitive = {"attributes": {"POSITION": 0}, "indices": 1, "mode": mode}
    asset = load(tmp_path, *build({"p": square, "i": np.array(indices, "u1")}, meshes=[{"primitives": [primitive]}]))
    assert asset.faces_F3.tolist() == want


def test_points_and_lines(tmp_path):
    document, binary = build({"p": TRIANGLE_V3}, meshes=[{"primitives": [{"attributes": {"POSITION": 0}, "mode": 0}]}])
    assert load(tmp_path, document, binary).faces_F3 is None
    document["meshes"][0]["primitives"] += [{"attributes": {"POSITION": 0}, "mode": 1}, {"attributes": {"POSITION": 0}}]
    asset = load(tmp_path, document, binary)  # the triangle is what counts
    assert asset.faces_F3.tolist() == [[0, 1, 2]] and len(asset.vertices_V3) == 3


def test_primitives_that_share_vertices_are_one_block(tmp_path):
    shared = [{"attributes": {"POSITION": 0}, "indices": k} for k in (1, 2)]
    document, binary = build({"p": TRIANGLE_V3, "a": np.array([0, 1, 2], "u2"), "b": np.array([2, 1, 0], "u2")},
                             meshes=[{"primitives": shared}], nodes=[{"mesh": 0, "children": [1]}, {"mesh": 0, "translation": [0, 0, 1]}])
    asset = load(tmp_path, document, binary)
    assert len(asset.vertices_V3) == 6 and asset.faces_F3.tolist() == [[0, 1, 2], [2, 1, 0], [3, 4, 5], [5, 4, 3]]


def test_quantised_strided_and_sparse_positions(tmp_path):
    packed = np.zeros((3, 8), "i1")  # x, y, z and five bytes of something else
    packed[:, :3] = [[0, 0, 0], [127, 0, 0], [0, -128, 0]]
    document, binary = build({"p": packed.view("f4").reshape(3, 2), "where": np.array([2], "u2"), "what": np.array([[1, 2, 3]], "i1").repeat(1, 0)})
    document["accessors"][0] = {"bufferView": 0, "componentType": 5120, "count": 3, "type": "VEC3", "normalized": True}
    document["bufferViews"][0]["byteStride"] = 8
    assert load(tmp_path, document, binary).vertices_V3.tolist() == [[0, 0, 0], [1, 0, 0], [0, -1, 0]]
    document["accessors"][0]["normalized"] = False
    document["accessors"][0]["sparse"] = {"count": 1, "indices": {"bufferView": 1, "componentType": 5123}, "values": {"bufferView": 2}}
    assert load(tmp_path, document, binary).vertices_V3.tolist() == [[0, 0, 0], [127, 0, 0], [1, 2, 3]]
    del document["accessors"][0]["bufferView"]  # zeros beneath
    assert load(tmp_path, document, binary).vertices_V3.tolist() == [[0, 0, 0], [0, 0, 0], [1, 2, 3]]


@pytest.mark.parametrize("dialect", ["mixamo", "contest"])
@pytest.mark.parametrize("count", [22, 52])
def test_bones_are_named_whatever_their_order(tmp_path, dialect, count):
    names = list(skeleton(count).names)
    order = np.random.default_rng(0).permutation(count)
    if dialect == "contest":
        dialect_names = [n.replace("toe_base", "ToeBase") for n in names]
    else:
        dialect_names = [DIALECTS[dialect][n] for n in names]
    document, binary = rigged([dialect_names[k] for k in order])
    asset = load(tmp_path, document, binary)
    assert asset.joint_count == count and asset.names == skeleton(count).names
    place = np.arange(3 * count).reshape(count, 3) / 10
    np.testing.assert_allclose(asset.joints_J3[order], place, atol=1e-5)
    row = np.zeros(count)
    row[order[0]], row[order[1]] = .25, .75
    np.testing.assert_allclose(asset.skin_VJ[0], row, atol=1e-6)


def test_weights_of_other_bones_go_to_the_nearest_named_ancestor(tmp_path):
    names = [DIALECTS["mixamo"][n] for n in skeleton(22).names]
    document, binary = rigged(names + ["Sword"])
    hand = 2 + skeleton(22).names.index("r_hand")
    document["nodes"][2]["children"].remove(2 + 22)
    document["nodes"][hand]["children"] = [2 + 22]
    asset = load(tmp_path, document, binary)
    assert asset.skin_VJ[2, 13] == .5 and asset.skin_VJ[2, 2] == .5


def test_a_mesh_hung_on_a_bone_moves_with_it(tmp_path):
    names = [DIALECTS["mixamo"][n] for n in skeleton(22).names]
    document, binary = rigged(names, extra=[{"mesh": 1}])
    document["nodes"][2 + 5]["children"] = [2 + 22]
    document["meshes"].append({"primitives": [{"attributes": {"POSITION": 0}}]})
    asset = load(tmp_path, document, binary)
    np.testing.assert_allclose(asset.vertices_V3[3:], TRIANGLE_V3 + np.array([1.5, 1.6, 1.7]), atol=1e-6)
    assert (asset.skin_VJ[3:, 5] == 1).all()


def test_a_file_saved_in_another_pose_is_read_at_its_bind_pose(tmp_path):
    names = [DIALECTS["mixamo"][n] for n in skeleton(22).names]
    place = np.random.default_rng(0).normal(size=(22, 3))
    document, binary = rigged(names, translations=place)
    want = load(tmp_path, document, binary)
    document["nodes"][2 + 8]["rotation"] = [0, .6, 0, .8]  # a turned forearm must not matter
    document["nodes"][2 + 8]["translation"] = [7, 7, 7]
    got = load(tmp_path, document, binary)
    np.testing.assert_allclose(got.joints_J3, want.joints_J3, atol=1e-6)
    np.testing.assert_allclose(got.vertices_V3, want.vertices_V3, atol=1e-6)


def test_a_moved_control_bone_does_not_move_the_figure(tmp_path):
    """Saved with a control at the top of the tree pulled away: the bind pose is the one on which the other joints agree."""
    names = ["FootCtrl"] + [DIALECTS["mixamo"][n] for n in skeleton(22).names]
    place = np.random.default_rng(0).normal(size=(23, 3))
    document, binary = rigged(names, translations=place)
    nodes = document["nodes"]
    nodes[0]["children"], nodes[3]["children"] = [1, 2, 3], nodes[2].pop("children")[1:]
    for k in range(2, 23):
        nodes[2 + k]["translation"] = (place[k] - place[1]).tolist()
    nodes[3]["translation"] = place[1].tolist()
    nodes[2]["translation"] = [5, 5, 5]
    asset = load(tmp_path, document, binary)
    np.testing.assert_allclose(asset.joints_J3, place[1:], atol=1e-6)
    np.testing.assert_allclose(asset.vertices_V3, TRIANGLE_V3, atol=1e-6)


@pytest.mark.parametrize("legs", [False, True])
def test_a_figure_saved_with_its_arms_moved_stays_upright(tmp_path, legs):
    """52 joints in a real tree: each arm with its fingers has 18 of them, trunk, clavicles and legs 16; where the legs moved too, 8."""
    bones = skeleton(52)
    place = np.random.default_rng(0).normal(size=(52, 3))
    document, binary = rigged([DIALECTS["mixamo"][n] for n in bones.names], translations=place)
    nodes = document["nodes"]
    for j, parent in enumerate(bones.parents):
        nodes[2 + j].pop("children", None)
        nodes[2 + j]["translation"] = (place[j] - (0 if parent is None else place[parent])).tolist()
    for j, parent in enumerate(bones.parents):
        if parent is not None:
            nodes[2 + parent].setdefault("children", []).append(2 + j)
    want = load(tmp_path, document, binary)
    for name in ("upper_arm", "upper_leg")[:1 + legs]:
        nodes[2 + bones.names.index(f"l_{name}")]["rotation"] = [0, .6, 0, .8]
        nodes[2 + bones.names.index(f"r_{name}")]["rotation"] = [0, -.6, 0, .8]
    got = load(tmp_path, document, binary)
    np.testing.assert_allclose(got.joints_J3, want.joints_J3, atol=1e-6)
    np.testing.assert_allclose(got.vertices_V3, want.vertices_V3, atol=1e-6)


def test_an_armature_scaled_in_centimetres(tmp_path):
    """Blender and FBX put 0.01 on the armature node; mesh and bind matrices are in centimetres."""
    names = [DIALECTS["mixamo"][n] for n in skeleton(22).names]
    place = np.random.default_rng(0).normal(size=(22, 3)) * 100
    document, binary = rigged(names, translations=place)
    document["nodes"][0]["scale"] = [.01] * 3
    asset = load(tmp_path, document, binary)
    np.testing.assert_allclose(asset.joints_J3, place / 100, atol=1e-5)
    np.testing.assert_allclose(asset.vertices_V3, TRIANGLE_V3 / 100, atol=1e-7)
    np.testing.assert_allclose(asset.matrix_local_J44[:, :3, :3], np.tile(np.eye(3), (22, 1, 1)), atol=1e-6)  # no scale in frames


def test_toes_that_a_vrm_does_not_name_are_found_beside_its_ankles(tmp_path):
    """SMPL calls the toes left_foot: a foot, were the ankle, which the VRM has named, not known to be one."""
    names = [DIALECTS["smpl"][n] for n in skeleton(22).names]
    document, binary = rigged(names)
    bones = {DIALECTS["vrm"][n]: {"node": 2 + k} for k, n in enumerate(skeleton(22).names) if "toe" not in n}
    document["extensions"] = {"VRMC_vrm": {"humanoid": {"humanBones": bones}}}
    asset = load(tmp_path, document, binary)
    toe = asset.names.index("l_toe_base")
    np.testing.assert_allclose(asset.joints_J3[toe], np.float32([3 * toe, 3 * toe + 1, 3 * toe + 2]) / 10, atol=1e-6)


def vrm(version: int) -> tuple[dict, bytes]:
    names = ["b%d" % k for k in range(52)]
    document, binary = rigged(names)
    bones = {DIALECTS["vrm"][n]: 2 + k for k, n in enumerate(skeleton(52).names)}
    if version == 0:
        for side in ("left", "right"):
            nodes = [bones.pop(f"{side}Thumb{word}") for word in ("Metacarpal", "Proximal", "Distal")]
            bones |= dict(zip((f"{side}Thumb{word}" for word in ("Proximal", "Intermediate", "Distal")), nodes))
        humanoid = {"humanBones": [{"bone": bone, "node": node} for bone, node in bones.items()]}
        return document | {"extensions": {"VRM": {"humanoid": humanoid}}}, binary
    return document | {"extensions": {"VRMC_vrm": {"humanoid": {"humanBones": {b: {"node": n} for b, n in bones.items()}}}}}, binary


@pytest.mark.parametrize("version", [0, 1])
def test_vrm_says_which_bone_is_which(tmp_path, version):
    asset = load(tmp_path, *vrm(version))
    assert asset.joint_count == 52
    np.testing.assert_allclose(asset.joints_J3, np.arange(156).reshape(52, 3) / 10, atol=1e-5)


def test_bones_that_are_not_the_contests_give_no_skeleton(tmp_path):
    names = [DIALECTS["mixamo"][n] for n in skeleton(22).names]
    names[5] = "Dome"
    asset = load(tmp_path, *rigged(names))
    assert asset.joints_J3 is None and asset.skin_VJ is None and len(asset.vertices_V3) == 3


def test_weights_are_normalised_and_an_empty_row_follows_the_first_joint(tmp_path):
    names = [DIALECTS["mixamo"][n] for n in skeleton(22).names]
    document, binary = rigged(names)
    at = document["bufferViews"][2]["byteOffset"]
    weights = np.array([[1, 3, 0, 0], [0, 0, 0, 0], [.5, .5, 0, 0]], "f4")
    asset = load(tmp_path, document, binary[:at] + weights.tobytes() + binary[at + 48:])
    np.testing.assert_allclose(asset.skin_VJ[0, :2], [.25, .75])
    assert asset.skin_VJ[1, 0] == 1  # slot 0 of the empty row names bone 1 of weight 0: joint 0 takes it


def test_any_damage_is_an_asset_error_or_a_sound_asset(tmp_path):
    """Bytes cut off and flipped at random: never another exception, never a hang."""
    man, path = capsule_man(22, up="y"), tmp_path / "man.glb"
    write_glb(path, man.vertices_V3[:60], None, None, man.joints_J3, man.parents, man.names, man.skin_VJ[:60])
    whole, rng, start = path.read_bytes(), np.random.default_rng(0), time.monotonic()
    for _ in range(300):
        data = bytearray(whole[:rng.integers(12, len(whole) + 1)])
        for at in rng.integers(0, len(data), size=rng.integers(0, 6)):
            data[at] = rng.integers(256)
        path.write_bytes(data)
        try:
            load_gltf(path)
        except AssetError as error:
            assert "man.glb" in str(error)
    assert time.monotonic() - start < 20


def test_a_deep_node_chain_is_no_problem(tmp_path):
    nodes = [{"children": [k + 1]} for k in range(5000)] + [{"mesh": 0}]
    assert len(load(tmp_path, *build({"p": TRIANGLE_V3}, nodes=nodes)).vertices_V3) == 3


@pytest.mark.parametrize("name, vertices, faces, joints", [
    ("m2m_male.glb", 7399, 13757, 52), ("m2m_female.glb", 24037, 14244, 52), ("m2m_zombie.glb", 1029, 1604, 22),
    ("kenney_male.gltf", 1029, 1604, 22), ("m3_cowdao.vrm", 7654, 9600, 22), ("m3_compound.vrm", 7304, 9346, 22),
    ("cool_loops.vrm", 1898, 2764, 52), ("RobotExpressive.glb", 7214, 3237, 0)])
def test_real_characters(shared_data, name, vertices, faces, joints):
    asset = load_gltf(shared_data / "characters" / name)
    assert (len(asset.vertices_V3), len(asset.faces_F3), asset.joint_count) == (vertices, faces, joints)
    length = np.linalg.norm(asset.normals_V3, axis=1)
    assert (np.abs(length[length > 0] - 1) < 1e-5).all()


@pytest.mark.parametrize("name, turned", [("m2m_male.glb", False), ("m2m_female.glb", False), ("m3_cowdao.vrm", True), ("m3_compound.vrm", True)])
def test_agrees_with_the_converted_development_set(shared_data, name, turned):
    """Joints and, vertex by nearest vertex, weights, as another converter made them (it turns VRM 0.x to face +Z)."""
    got, want = load_gltf(shared_data / "characters" / name), load_npz(shared_data / "dev" / f"{name.split('.')[0]}.npz")
    turn = np.array([-1, 1, -1]) if turned else 1
    np.testing.assert_allclose(got.joints_J3 * turn, want.joints_J3, atol=1e-4)
    distance, nearest = cKDTree(want.vertices_V3).query(got.vertices_V3 * turn)
    assert distance.max() < 1e-4
    error = np.abs(got.skin_VJ - want.skin_VJ[nearest]).max(1)
    assert np.quantile(error, .99) < 0.02


def test_scene_tells_carriers_and_bind_frames(tmp_path):
    names = [DIALECTS["mixamo"][n] for n in skeleton(22).names]
    document, binary = rigged(names, extra=[{}])
    document["nodes"][2 + 4]["children"] = [2 + 22]
    scene = Scene(Container(save(tmp_path / "s.glb", document, binary)))
    assert scene.carrier(2 + 22) == 2 + 4 and scene.carrier(1) == -1
    assert scene.nearest({2: 7}, default=0).tolist() == [0, 0] + [7] * 23 + [0]
