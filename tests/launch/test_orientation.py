"""Standing a figure upright, with a look that knows the answer: what the search does with honest and with useless expectations."""

import numpy as np
import pytest

from dataset.format import BODY_NAMES
from geometry.kinematics import rotation_uniform, rotvec_to_matrix
from launch.orientation import BETTER, STRAIGHT, TRUSTED, TURNS, angle_of, body_frame, cube_rotations, find_upright

REST_J3 = np.zeros((22, 3))
PLACES = {"hips": (0, 0, 0), "l_upper_leg": (.1, 0, -.1), "r_upper_leg": (-.1, 0, -.1), "neck": (0, 0, .5), "head": (0, 0, .6)}
for name, place in PLACES.items():
    REST_J3[BODY_NAMES.index(name)] = place


def looker(given_33):
    """A figure that was turned by given_33, and a network that expects more error the further a turn leaves it from upright."""
    def look(turns_K33):
        calls.append(len(turns_K33))
        standing_K33 = turns_K33 @ given_33
        expected = np.array([0.01 + 0.2 * angle_of(m) for m in standing_K33])
        return REST_J3 @ standing_K33.transpose(0, 2, 1), expected
    calls = []
    return look, calls


def test_the_cube_has_24_rotations():
    cube_K33 = cube_rotations()
    assert len({m.tobytes() for m in cube_K33}) == 24 and (cube_K33[0] == np.eye(3)).all()
    np.testing.assert_allclose(np.linalg.det(cube_K33), 1)
    np.testing.assert_allclose(TURNS @ TURNS.transpose(0, 2, 1), np.broadcast_to(np.eye(3), TURNS.shape), atol=1e-12)
    turns = [rotation_uniform(np.random.default_rng(seed)) for seed in range(300)]
    assert max(min(angle_of(turn @ r) for turn in TURNS) for r in turns) < np.radians(63)


def test_body_frame_by_hand():
    np.testing.assert_allclose(body_frame(REST_J3), np.eye(3), atol=1e-12)
    turn_33 = rotvec_to_matrix([0.3, -1.0, 2.0])
    np.testing.assert_allclose(body_frame(REST_J3 @ turn_33.T), turn_33, atol=1e-12)
    assert body_frame(np.zeros((22, 3))) is None
    flat_J3 = REST_J3.copy()
    flat_J3[BODY_NAMES.index("neck")] = (0.7, 0, -0.1)  # in one line with the thighs
    assert body_frame(flat_J3) is None


def test_a_figure_that_stands_is_left_alone_after_one_look():
    look, calls = looker(rotvec_to_matrix([0, 0, 0.1]))
    assert (find_upright(look) == np.eye(3)).all() and calls == [1]


@pytest.mark.parametrize("seed", range(20))
def test_any_turn_is_taken_back(seed):
    given_33 = rotation_uniform(np.random.default_rng(seed))
    look, _ = looker(given_33)
    assert angle_of(find_upright(look) @ given_33) < STRAIGHT


@pytest.mark.parametrize("yaw", [45, 90, 135, 180, 250, 300])
def test_a_yaw_of_eighths_needs_no_refinement(yaw):
    given_33 = rotvec_to_matrix(np.radians([0.0, 0.0, yaw]))
    look, calls = looker(given_33)
    assert angle_of(find_upright(look) @ given_33) < np.radians(23)
    assert calls[:2] == [1, 48]


def test_without_a_clearly_better_turn_nothing_moves():
    assert BETTER < 1

    def undecided(turns_K33):
        return np.broadcast_to(REST_J3, (len(turns_K33), 22, 3)), np.full(len(turns_K33), 3 * TRUSTED)
    assert (find_upright(undecided) == np.eye(3)).all()


def test_a_refinement_that_expects_more_error_is_dropped():
    def look(turns_K33):  # the frame read from the joints is wrong: following it makes things worse
        wrong_J3 = REST_J3 @ rotvec_to_matrix([1.0, 0.0, 0.0]).T
        expected = np.array([0.02 if any((t == m).all() for m in TURNS[5:6]) else 0.5 for t in turns_K33])
        return np.broadcast_to(wrong_J3, (len(turns_K33), 22, 3)), expected
    assert (find_upright(look) == TURNS[5]).all()
