"""Stretching and posing a rigged body: an arm by hand, the T pose's directions, identity when nothing is asked."""

import numpy as np
import pytest

from dataset.format import FULL_NAMES, FULL_PARENTS
from dataset.sources.proportions import (INDEX, Proportions, RestPose, bone_directions, deform, rest_rotations, rotation_between, stretches,
                                         unit_proportions)


def figure() -> np.ndarray:
    """52 joints of a schematic figure in a relaxed A pose, the right side the mirror image of the left."""
    at = {"hips": (0, 1, 0), "spine": (0, 1.1, 0), "chest": (0, 1.2, 0), "upper_chest": (0, 1.3, 0), "neck": (0, 1.5, 0), "head": (0, 1.6, 0),
          "shoulder": (0.05, 1.45, 0), "upper_arm": (0.2, 1.4, 0), "lower_arm": (0.35, 1.2, 0), "hand": (0.45, 1.05, 0.15),
          "upper_leg": (0.1, 0.95, 0), "lower_leg": (0.12, 0.5, 0.03), "foot": (0.15, 0.1, 0), "toe_base": (0.15, 0.02, 0.13)}
    joints_J3 = np.zeros((52, 3))
    for j, name in enumerate(FULL_NAMES):
        side, part = (name[0], name[2:]) if name[:2] in ("l_", "r_") else ("l", name)
        if part.startswith("hand_"):
            _, finger, segment = part.split("_")
            spread = np.array([0.0, 0.03 * ("pinky", "ring", "middle", "index", "thumb").index(finger) - 0.06, 0.02])
            point = np.array(at["hand"]) + spread + np.array([0.03, -0.04, 0.02]) * (1 + int(segment))
        else:
            point = np.array(at[part], float)
        joints_J3[j] = point * ([1, 1, 1] if side == "l" else [-1, 1, 1])
    return joints_J3


def test_rotation_between():
    quarter = rotation_between(np.array([2.0, 0, 0]), np.array([0, 3.0, 0]))
    np.testing.assert_allclose(quarter, [[0, -1, 0], [1, 0, 0], [0, 0, 1]], atol=1e-12)
    with pytest.raises(ValueError, match="opposite"):
        rotation_between(np.array([1.0, 0, 0]), np.array([-1.0, 0, 0]))


def test_unit_maps_change_nothing():
    joints_J3 = figure()
    skin_VJ = np.random.default_rng(0).dirichlet(np.ones(52), size=9).astype(np.float32)
    points_V3 = np.random.default_rng(1).normal(size=(9, 3))
    moved_V3, moved_J3 = deform(points_V3, skin_VJ, joints_J3, stretches(joints_J3, unit_proportions()))
    np.testing.assert_allclose(moved_V3, points_V3, atol=1e-5)
    np.testing.assert_allclose(moved_J3, joints_J3, atol=1e-12)


def test_twice_as_long_an_arm_by_hand():
    joints_J3, arm = figure(), INDEX["l_upper_arm"]
    length_J, girth_J = np.ones(52), np.ones(52)
    length_J[arm], girth_J[arm] = 2.0, 3.0
    maps_J33 = stretches(joints_J3, Proportions(length_J, girth_J, girth_J))
    skin_VJ = np.zeros((2, 52), np.float32)
    skin_VJ[:, arm] = 1
    along = joints_J3[INDEX["l_lower_arm"]] - joints_J3[arm]
    across = np.array([0.0, 0.0, 0.1])                                       # the bone has no z
    moved_V3, moved_J3 = deform(joints_J3[arm] + np.stack([0.5 * along, across]), skin_VJ, joints_J3, maps_J33)
    np.testing.assert_allclose(moved_V3, joints_J3[arm] + np.stack([along, 3 * across]), atol=1e-6)
    shift = moved_J3 - joints_J3
    for name in ("l_lower_arm", "l_hand", "l_hand_index_3"):                 # everything beyond moves by one old length
        np.testing.assert_allclose(shift[INDEX[name]], along, atol=1e-12)
    np.testing.assert_allclose(shift[INDEX["r_hand"]], 0, atol=1e-12)


def test_head_lift_raises_the_head_alone():
    joints_J3 = figure()
    _, moved_J3 = deform(np.zeros((0, 3)), np.zeros((0, 52), np.float32), joints_J3, np.tile(np.eye(3), (52, 1, 1)), head_lift=0.3)
    shift = moved_J3 - joints_J3
    np.testing.assert_allclose(shift[INDEX["head"]], [0, 0.3, 0], atol=1e-12)
    assert np.abs(np.delete(shift, INDEX["head"], axis=0)).max() < 1e-12


@pytest.mark.parametrize("arms_down", [0.0, 45.0])
def test_arms_point_where_the_pose_says(arms_down):
    joints_J3 = figure()
    pose = RestPose(arms_down=arms_down, shoulder_share=0.0, legs_apart=5.0)
    _, moved_J3 = deform(np.zeros((0, 3)), np.zeros((0, 52), np.float32), joints_J3, rest_rotations(joints_J3, pose))
    direction_J3 = bone_directions(moved_J3)
    down = np.radians(arms_down)
    for side, sign in (("l", 1), ("r", -1)):
        for name in ("upper_arm", "lower_arm", "hand"):
            np.testing.assert_allclose(direction_J3[INDEX[f"{side}_{name}"]], [sign * np.cos(down), -np.sin(down), 0], atol=1e-6)
        leg = direction_J3[INDEX[f"{side}_upper_leg"]]
        assert np.degrees(np.arctan2(sign * leg[0], -leg[1])) == pytest.approx(5.0, abs=1e-6)
    lengths = [np.linalg.norm(x[j] - x[p]) for x in (joints_J3, moved_J3) for j, p in enumerate(FULL_PARENTS) if p is not None]
    np.testing.assert_allclose(lengths[:51], lengths[51:], atol=1e-12)       # rotations keep every bone's length
    if not arms_down:   # palms down: the index finger in front of the little one, at the same height
        index, pinky = moved_J3[INDEX["l_hand_index_1"]], moved_J3[INDEX["l_hand_pinky_1"]]
        assert index[2] > pinky[2] and index[1] == pytest.approx(pinky[1], abs=1e-6)


def test_elbows_bend_forwards():
    joints_J3 = figure()
    _, moved_J3 = deform(np.zeros((0, 3)), np.zeros((0, 52), np.float32), joints_J3, rest_rotations(joints_J3, RestPose(elbow_bend=30.0)))
    for side in "lr":
        fore = bone_directions(moved_J3)[INDEX[f"{side}_lower_arm"]]
        assert fore[2] == pytest.approx(0.5, abs=1e-6)
