"""The poses bend by the angles they say, whatever the rest pose; stretch and volume by hand."""

from dataclasses import replace

import numpy as np
import pytest

from dataset.asset import network_rotation
from geometry.kinematics import forward_kinematics, homogeneous, rotvec_to_matrix
from geometry.skinning import linear_blend_skinning
from rigging.bleed import Surface
from rigging.quality_figure import FRONT, Figure
from rigging.quality_motion import Needles, Volume, edge_ratios, measure, pose_names, rotations, transforms
from rigging.rig import CharacterRig
from tests.dataset.figures import capsule_man
from tests.rigging.test_quality_inside import CUBE_F3, CUBE_V3


def rig_of(asset) -> CharacterRig:
    return CharacterRig(np.float64(asset.joints_J3), asset.parents, asset.names, asset.skin_VJ, network_rotation(asset).rotation_33)


def figure_of(asset) -> Figure:
    return Figure.of(asset.vertices_V3, asset.faces_F3, rig_of(asset))


@pytest.fixture(scope="module")
def man() -> Figure:
    return figure_of(capsule_man(52))


def posed_joints(figure: Figure, turn_J3: np.ndarray) -> np.ndarray:
    local_J44 = homogeneous(np.tile(np.eye(3), (len(turn_J3), 1, 1)), figure.joints_J3)
    return forward_kinematics(figure.bones.parents, local_J44, homogeneous(rotvec_to_matrix(turn_J3)))[:, :3, 3]


def angle(figure: Figure, joints_J3: np.ndarray, *names: str) -> float:
    """Degrees between bone 0-1 and bone 1-2."""
    a, b, c = (joints_J3[figure.index[name]] for name in names)
    first, second = (b - a) / np.linalg.norm(b - a), (c - b) / np.linalg.norm(c - b)
    return float(np.degrees(np.arccos(np.clip(first @ second, -1, 1))))


@pytest.mark.parametrize("side", "lr")
def test_hinges_bend_to_their_angle_and_to_the_right_side(man, side):
    turns = rotations(man)
    elbow = posed_joints(man, turns["elbows bent"])
    assert angle(man, elbow, f"{side}_upper_arm", f"{side}_lower_arm", f"{side}_hand") == pytest.approx(120)
    assert (elbow[man.index[f"{side}_hand"]] - man.at(f"{side}_lower_arm")) @ FRONT > 0.1
    knee = posed_joints(man, turns["knees bent"])
    assert angle(man, knee, f"{side}_upper_leg", f"{side}_lower_leg", f"{side}_foot") == pytest.approx(100)
    assert (knee[man.index[f"{side}_foot"]] - man.at(f"{side}_lower_leg")) @ FRONT < -0.1


def test_an_elbow_that_is_bent_at_rest_is_bent_by_the_rest(man):
    joints_J3 = posed_joints(man, rotations(man)["elbows bent"])
    bent = replace(man, joints_J3=joints_J3)
    assert np.abs(rotations(bent)["elbows bent"]).max() < 1e-6


def test_arms_reach_up_forward_and_down_from_any_rest(man):
    hanging = replace(man, joints_J3=posed_joints(man, rotations(man)["arms down"]))
    for figure in (man, hanging):
        for name, way in (("arms up", (0.3, 0, 1)), ("arms forward", (0.1, -1, 0)), ("arms down", (0.3, 0, -1))):
            joints_J3 = posed_joints(figure, rotations(figure)[name])
            arm = joints_J3[figure.index["l_lower_arm"]] - joints_J3[figure.index["l_upper_arm"]]
            np.testing.assert_allclose(arm / np.linalg.norm(arm), way / np.linalg.norm(way), atol=1e-6)


def test_both_sides_move_as_mirror_images(man):
    mirror = list(man.bones.mirror)
    for name, turn_J3 in rotations(man).items():
        if name not in ("spine twisted", "head turned"):
            joints_J3 = posed_joints(man, turn_J3)
            np.testing.assert_allclose(joints_J3[mirror] * (-1, 1, 1), joints_J3, atol=1e-9, err_msg=name)


def test_fingers_curl_towards_the_palm(man):
    """The palm of a T pose looks down."""
    joints_J3 = posed_joints(man, rotations(man)["fingers curled"])
    for side in "lr":
        tip = man.index[f"{side}_hand_index_3"]
        assert joints_J3[tip, 2] < man.joints_J3[tip, 2] - 0.01
    assert "fingers curled" not in pose_names(22)


def test_edge_ratios_by_hand():
    rest, posed = np.array([[0, 0, 0], [1, 0, 0], [1, 0, 0.0]]), np.array([[0, 0, 0], [3, 0, 0], [4, 0, 0.0]])
    np.testing.assert_array_equal(edge_ratios(rest, posed, np.array([[0, 1], [0, 2], [1, 2]])), [3, 4, 1])


def volume_of(vertices_V3, faces_F3) -> float:
    surface = Surface.of(vertices_V3, faces_F3)
    return Volume(Figure(surface, None, None, None, None))(surface.points_U3)


def test_volume_of_cubes():
    """In the box a cube's side is 2. An open one is closed from the middle of its rim; two shells add, whichever way they face."""
    assert volume_of(CUBE_V3, CUBE_F3) == pytest.approx(8)
    assert volume_of(CUBE_V3, CUBE_F3[2:]) == pytest.approx(8)
    two_V3 = np.concatenate([CUBE_V3, CUBE_V3 + (3, 0, 0)])
    assert volume_of(two_V3, np.concatenate([CUBE_F3, CUBE_F3[:, ::-1] + 8])) == pytest.approx(2 * 8 / 4 ** 3)


def test_a_rigid_figure_is_not_strained(man):
    """Every weight on one joint: nothing stretches, nothing loses volume."""
    stiff = replace(man, skin_UJ=np.eye(52)[np.full(len(man.skin_UJ), man.index["hips"])])
    for pose in measure(stiff):
        assert pose.stretched == pose.squeezed == pose.spiked == 0 and pose.volume == pytest.approx(0, abs=1e-9)


def test_a_torn_figure_is(man):
    """Each point follows a joint drawn at random."""
    torn = replace(man, skin_UJ=np.eye(52)[np.random.default_rng(0).integers(0, 52, len(man.skin_UJ))])
    assert max(pose.stretched for pose in measure(torn)) > 0.2


def test_one_vertex_that_follows_another_joint_is_a_needle(man):
    """On the left forearm's middle, weighted to the head: as the arms come forward it stays behind, and nothing else sticks out."""
    middle_3 = (man.at("l_lower_arm") + man.at("l_hand")) / 2
    lone = int(np.linalg.norm(man.surface.points_U3 - middle_3, axis=1).argmin())
    skin_UJ = man.skin_UJ.copy()
    skin_UJ[lone] = np.eye(52)[man.index["head"]]
    before, after = ({pose.name: pose.spiked for pose in measure(figure)} for figure in (man, replace(man, skin_UJ=skin_UJ)))
    assert max(before.values()) == 0
    assert after["arms forward"] == pytest.approx(man.surface.share_U[lone]) and after["knees bent"] == 0


def test_what_is_a_needle_at_rest_is_none_of_the_pose():
    """A flat cone of six sides that the pose pulls up; a steep one that stays as it is; sides by hand."""
    angle_6 = np.arange(6) * np.pi / 3
    ring_63 = np.stack([np.cos(angle_6), np.sin(angle_6), np.zeros(6)], 1)
    faces_F3 = np.array([[k, (k + 1) % 6, 6] for k in range(6)])

    def cone(height: float, at: float) -> np.ndarray:
        return np.concatenate([ring_63, [[0, 0, height]]]) + (at, 0, 0)
    rest_U3, posed_U3 = (np.concatenate([cone(low, 0), cone(5, 3)]) for low in (0.5, 5))
    surface = Surface(rest_U3, np.arange(14), np.concatenate([faces_F3, faces_F3 + 7]))
    needles = Needles(Figure(surface, None, None, None, None))
    assert np.flatnonzero(needles(posed_U3)).tolist() == [6] and not needles(rest_U3).any()


def test_shares_of_strained_edges_are_those_of_a_plain_loop(man):
    """Half of the points follow another joint, so that some edges stretch, some shrink and some do neither."""
    half_U = np.random.default_rng(1).random(len(man.skin_UJ)) < 0.5
    loose = replace(man, skin_UJ=np.where(half_U[:, None], np.eye(52)[man.index["chest"]], man.skin_UJ))
    rest_U3, share_U = loose.surface.points_U3, loose.surface.share_U
    pairs = {tuple(sorted((int(f[k]), int(f[k - 1])))) for f in loose.surface.faces_F3 for k in range(3)}
    degree = {u: sum(u in pair for pair in pairs) for u in range(len(rest_U3))}
    found = {pose.name: pose for pose in measure(loose)}
    for name in ("spine bent", "knees bent"):
        posed_U3 = linear_blend_skinning(rest_U3, loose.skin_UJ, transforms(loose, rotations(loose)[name]))
        long = short = whole = 0.0
        for a, b in pairs:
            area = share_U[a] / degree[a] + share_U[b] / degree[b]
            ratio = np.linalg.norm(posed_U3[a] - posed_U3[b]) / np.linalg.norm(rest_U3[a] - rest_U3[b])
            long, short, whole = long + area * (ratio > 2), short + area * (ratio < 0.4), whole + area
        assert found[name].stretched == pytest.approx(long / whole) and found[name].squeezed == pytest.approx(short / whole)
        assert found[name].stretched > 0.01
