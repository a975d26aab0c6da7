"""Assets: what moves together, what the checks catch, and how each complaint reads."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from figures import capsule_man, figure_joints  # noqa: E402

from dataset.asset import Asset, AssetError, check, merge_fingers, network_rotation  # noqa: E402
from dataset.format import FINGER_TO_HAND, skeleton  # noqa: E402
from geometry.kinematics import forward_kinematics, homogeneous, rotation_uniform, rotvec_to_matrix  # noqa: E402
from geometry.normals import vertex_normals  # noqa: E402
from geometry.similarity import Similarity  # noqa: E402

MAN = capsule_man(52)


def changed(name, value):
    return replace(MAN, **{name: value})


def edited(name, where, value):
    array = np.array(getattr(MAN, name))
    array[where] = value
    return changed(name, array)


PARENTS = list(skeleton(52).parents)
BROKEN = [
    (changed("vertices_V3", np.zeros((0, 3))), "V >= 1"),
    (changed("vertices_V3", np.zeros((4, 2))), "V >= 1"),
    (edited("vertices_V3", (7, 1), np.nan), "vertices has NaN or infinity, first in row 7|vertices have NaN"),
    (edited("vertices_V3", (7, 1), np.inf), "first in row 7"),
    (edited("normals_V3", 3, np.nan), "normals has NaN"),
    (changed("normals_V3", MAN.normals_V3[:-1]), "normals has shape"),
    (edited("faces_F3", 0, len(MAN.vertices_V3)), "0-based"),
    (edited("faces_F3", 0, -1), "faces point at vertices -1"),
    (changed("faces_F3", MAN.faces_F3[:, :2]), "triangulate"),
    (changed("faces_F3", MAN.faces_F3.astype(float)), "triangulate"),
    (edited("joints_J3", 5, np.inf), "joints has NaN or infinity, first in row 5"),
    (changed("joints_J3", np.zeros((0, 3))), "empty array"),
    (changed("joints_J3", MAN.joints_J3[:51]), "51"),
    (edited("skin_VJ", (4, 0), np.nan), "skin has NaN"),
    (edited("skin_VJ", (4, 0), -0.1), "negative weights"),
    (edited("skin_VJ", 4, 0.0), "vertex 4 sum to 0"),
    (edited("skin_VJ", 4, 1.0), "vertex 4 sum to 52"),
    (changed("skin_VJ", MAN.skin_VJ[:, :22]), r"skin has shape \(1352, 22\), not \(1352, 52\)"),
    (changed("parents", tuple(PARENTS[:51])), "51 parents for 52 joints"),
    (changed("parents", (0, *PARENTS[1:])), "joint 0 has parent 0"),
    (changed("parents", (*PARENTS[:4], None, *PARENTS[5:])), "joint 4 has no parent"),
    (changed("parents", (*PARENTS[:4], 5, 4, *PARENTS[6:])), "joint 4 has parent 5.*no cycles"),
    (changed("parents", (*PARENTS[:4], -1, *PARENTS[5:])), "joint 4 has parent -1"),
    (changed("parents", (*PARENTS[:4], 2.0, *PARENTS[5:])), "joint 4 has parent 2.0"),
    (changed("names", ("hips",)), "1 names for 52 joints"),
    (changed("matrix_local_J44", np.eye(4)), "matrix_local has shape"),
    (changed("matrix_local_J44", np.full((52, 4, 4), np.nan)), "matrix_local has NaN"),
    (changed("matrix_local_J44", np.zeros((52, 4, 4))), "singular"),
    (edited("matrix_local_J44", (9, 0, 3), 0.6), "matrix_local of joint 9 does not start at the joint"),
    (changed("joint_valid_J", np.ones(3, bool)), "joint_valid has shape"),
    (replace(MAN, joints_J3=None, skin_VJ=None, parents=None, names=None), "matrix_local_J44 without joints"),
    (changed("up", "x"), "up axis 'x'"),
]


@pytest.mark.parametrize("asset, message", BROKEN, ids=[f"{k}-{m[:20]}" for k, (_, m) in enumerate(BROKEN)])
def test_check_names_the_file_the_fault_and_the_fix(asset, message):
    with pytest.raises(AssetError, match=message) as caught:
        check(asset)
    assert str(caught.value).startswith("capsule_man(52): ") and "; " in str(caught.value)


def test_check_makes_types_uniform_and_rows_exact():
    rough = replace(MAN, vertices_V3=MAN.vertices_V3.astype(float), skin_VJ=MAN.skin_VJ * 1.0009, parents=PARENTS,
                    faces_F3=MAN.faces_F3.astype(np.int32))
    good = check(rough)
    assert good.vertices_V3.dtype == good.skin_VJ.dtype == np.float32 and good.faces_F3.dtype == np.int64
    assert isinstance(good.parents, tuple)
    np.testing.assert_allclose(good.skin_VJ.sum(1, dtype=float), 1, atol=2e-7)
    with pytest.raises(AssetError, match="sum to 1.00"):
        check(replace(MAN, skin_VJ=MAN.skin_VJ * 1.0011))


def test_least_assets():
    cloud = check(Asset("other", "1", "one.ply", np.zeros((1, 3))))
    assert cloud.joint_count == 0 and not cloud.has_faces
    assert not check(replace(cloud, faces_F3=np.zeros((0, 3), int))).has_faces
    with pytest.raises(AssetError, match="one.ply: has no joints_J3"):
        cloud.posed(np.eye(4)[None])
    with pytest.raises(AssetError, match="has 0 joints and cannot be given 22"):
        cloud.with_joints(22)


def test_local_frames_default_to_the_joints():
    bare = replace(MAN, matrix_local_J44=None)
    np.testing.assert_allclose(bare.local_J44(), MAN.local_J44(), atol=1e-7)


def random_basis(rng, size=0.4):
    return homogeneous(rotvec_to_matrix(rng.normal(0, size, (52, 3))))


def bone_axes(asset, rng):
    """The same asset with bone frames of its own, as the contest's files have."""
    frames = homogeneous(np.stack([rotation_uniform(rng) for _ in range(asset.joint_count)]), asset.joints_J3)
    return replace(asset, matrix_local_J44=frames)


def test_pose_moves_everything_together():
    rng = np.random.default_rng(0)
    man, basis = bone_axes(MAN, rng), random_basis(rng)
    posed = man.posed(basis)
    pose = forward_kinematics(man.parents, man.matrix_local_J44, basis)
    np.testing.assert_allclose(posed.matrix_local_J44, pose, atol=1e-12)
    np.testing.assert_allclose(posed.joints_J3, pose[:, :3, 3], atol=1e-6)
    # bones keep their length, and a vertex that one joint rules keeps its place in that joint's frame
    for j, p in enumerate(man.parents[1:], 1):
        assert np.isclose(np.linalg.norm(posed.joints_J3[j] - posed.joints_J3[p]), np.linalg.norm(man.joints_J3[j] - man.joints_J3[p]), atol=1e-5)
    ruled = np.argwhere(man.skin_VJ == 1)
    assert len(ruled) > 100
    for v, j in ruled[::7]:
        before, after = (np.linalg.inv(a.matrix_local_J44[j]) @ [*a.vertices_V3[v], 1] for a in (man, posed))
        np.testing.assert_allclose(before, after, atol=1e-5)


def test_posed_normals_are_those_of_the_posed_mesh():
    # rigid parts exactly; within blends the recomputed normal also feels the weights' gradient
    rng = np.random.default_rng(1)
    posed = MAN.posed(random_basis(rng, 0.3))
    recomputed = vertex_normals(posed.vertices_V3, posed.faces_F3)
    agree = (posed.normals_V3 * recomputed).sum(1)
    rigid = (MAN.skin_VJ[MAN.faces_F3].min(1).max(1) == 1)      # all corners on one joint
    only_rigid = np.ones(len(agree), bool)
    only_rigid[MAN.faces_F3[~rigid]] = False
    assert only_rigid.sum() > 50 and agree[only_rigid].min() > 1 - 1e-5
    assert np.median(agree) > 0.999 and np.percentile(agree, 2) > 0.9


def test_posing_twice_is_posing_from_the_pose():
    # a posed asset is an asset like any other: under the identity it stays, and turning its root turns all of it
    rng = np.random.default_rng(2)
    posed = bone_axes(MAN, rng).posed(random_basis(rng))
    still = posed.posed(np.tile(np.eye(4), (52, 1, 1)))
    np.testing.assert_allclose(still.vertices_V3, posed.vertices_V3, atol=1e-6)
    turn, basis = rotvec_to_matrix([0, 0, 1.0]), np.tile(np.eye(4), (52, 1, 1))
    bone = posed.matrix_local_J44[0, :3, :3]
    basis[0, :3, :3] = bone.T @ turn @ bone
    turned = posed.posed(basis)
    hips = posed.joints_J3[0]
    np.testing.assert_allclose(turned.vertices_V3, (posed.vertices_V3 - hips) @ turn.T + hips, atol=1e-5)


def test_another_frame_and_pose_commute():
    # matrix_local follows a similarity: posing in either frame gives the same character
    rng = np.random.default_rng(3)
    man, basis = bone_axes(MAN, rng), random_basis(rng)
    move = Similarity(rotation_uniform(rng), 2.5, rng.normal(size=3))
    one, two = man.posed(basis).to_frame(move), man.to_frame(move).posed(basis)
    np.testing.assert_allclose(one.vertices_V3, two.vertices_V3, atol=1e-5)
    np.testing.assert_allclose(one.normals_V3, two.normals_V3, atol=1e-5)
    np.testing.assert_allclose(one.joints_J3, two.joints_J3, atol=1e-5)
    np.testing.assert_allclose(one.matrix_local_J44, two.matrix_local_J44, atol=1e-6)


def test_network_frame():
    tall = capsule_man(22, up="y")
    assert tall.vertices_V3[:, 1].max() > 1.6 and tall.joints_J3[17, 2] > 0.1      # Y up, toes towards +Z
    stood = tall.in_network_frame()
    assert stood.up == "z" and stood.vertices_V3[:, 2].max() > 1.6 and stood.joints_J3[17, 1] < -0.1
    np.testing.assert_allclose(stood.joints_J3, figure_joints(22), atol=1e-6)
    np.testing.assert_allclose(network_rotation(tall).undo(stood.vertices_V3), tall.vertices_V3, atol=1e-6)
    assert stood.in_network_frame() is stood


def test_52_to_22():
    small = MAN.with_joints(22)
    assert small.joint_count == 22 and small.names == skeleton(22).names and small.matrix_local_J44.shape == (22, 4, 4)
    check(small)
    np.testing.assert_allclose(small.skin_VJ[:, 9], MAN.skin_VJ[:, [9, *range(22, 37)]].sum(1), atol=1e-6)
    np.testing.assert_allclose(small.skin_VJ[:, 13], MAN.skin_VJ[:, [13, *range(37, 52)]].sum(1), atol=1e-6)
    assert small.with_joints(22) is small
    with pytest.raises(AssetError, match="22 joints and cannot be given 52"):
        small.with_joints(52)


def test_merge_fingers_by_hand():
    for finger, hand in FINGER_TO_HAND.items():
        row = np.zeros((1, 52))
        row[0, finger], row[0, 5] = 0.75, 0.25
        merged = merge_fingers(row)
        assert merged[0, hand] == 0.75 and merged[0, 5] == 0.25 and merged.sum() == 1 and row[0, finger] == 0.75


@pytest.mark.parametrize("joints", [22, 52])
def test_the_figure_itself(joints):
    man = capsule_man(joints)
    assert all((a == b).all() for a, b in zip(check(man).skin_VJ, man.skin_VJ))
    # faces look outwards, box by box, and left mirrors right
    for box in np.array_split(man.faces_F3, joints):
        corner = man.vertices_V3[box] - man.vertices_V3[np.unique(box)].mean(0)
        assert np.einsum("fi,fi->f", corner[:, 0], np.cross(corner[:, 1], corner[:, 2])).min() > 0
    order = list(skeleton(joints).mirror)
    np.testing.assert_allclose(man.joints_J3[order] * [-1, 1, 1], man.joints_J3, atol=1e-7)
    mirrored = {tuple(v) for v in (man.vertices_V3 * np.float32([-1, 1, 1]) + 0.0).round(5).tolist()}
    assert mirrored == {tuple(v) for v in (man.vertices_V3 + 0.0).round(5).tolist()}


def test_a_backwards_figure_is_turned_on_its_way_into_the_network_frame():
    """A VRM 0.x figure looks along -Z with its left at -X; in the network's frame it stands like any other."""
    forward = capsule_man(22, up="y")
    half_turn = Similarity(np.diag([-1.0, 1.0, -1.0]))
    backward = replace(forward.to_frame(half_turn), backwards=True)
    there, here = backward.in_network_frame(), forward.in_network_frame()
    assert (there.up, there.backwards) == ("z", False)
    np.testing.assert_allclose(there.vertices_V3, here.vertices_V3, atol=1e-6)
    np.testing.assert_allclose(there.joints_J3, here.joints_J3, atol=1e-6)
    np.testing.assert_allclose(network_rotation(backward).undo(there.joints_J3), backward.joints_J3, atol=1e-6)


def test_an_error_is_one_printable_line():
    assert str(AssetError("a\nb\x1b[2J\udc80é 英.glb: bad\u202e")) == r"a\nb\x1b[2J\udc80é 英.glb: bad\u202e"
    long = str(AssetError("a.glb: " + "x" * 10 ** 6 + " export it again"))
    assert long.startswith("a.glb: ") and long.endswith("export it again") and len(long) < 2100
