"""The whole way from pictures to a pose: a generated human in a pose that no bank holds, and what is refused."""

import numpy as np
import pytest

from dataset.poses import procedural_bank
from dataset.sources.garments import Piece, coarsen
from dataset.sources.humans import generate
from geometry.camera import around, look_at
from geometry.kinematics import rotvec_to_matrix
from launch import pose_search
from launch.pose_figure import Figure, Pose, Target, silhouette_iou, silhouette_of
from launch.pose_fit import FindOptions, find_pose
from launch.pose_pull import PullOptions
from launch.silhouette_fit import FitOptions
from tests.launch.test_pose_search import man_and_figure, targets_of

QUICK = FindOptions(starts=1, headings=(0.0,), pull=PullOptions(steps=8, points=400, pixels=300), again=8,
                    finish=FitOptions(steps=10, lr=.01, sigma=(1e-4, 1e-5)))
LUNGE = {"spine": (20, 0, 10), "l_upper_arm": (0, 60, -40), "l_lower_arm": (0, 0, -70), "r_upper_arm": (0, -20, 60), "r_lower_arm": (0, 40, 50),
         "l_upper_leg": (-70, 0, 0), "l_lower_leg": (60, 0, 0), "r_upper_leg": (25, -10, 0), "head": (0, 0, 30)}     # degrees


def human(seed: int) -> tuple[Figure, np.ndarray]:
    """A generated human, thinned to some hundred vertices, and the turns of a lunge with raised arms."""
    man = generate(seed).in_network_frame().with_joints(22)
    thin = coarsen(Piece(np.float64(man.vertices_V3), man.faces_F3, man.skin_VJ), .06)
    turned = np.zeros((22, 3))
    for name, degrees in LUNGE.items():
        turned[man.names.index(name)] = np.radians(degrees)
    return Figure(thin.vertices_V3, thin.faces_F3, np.float64(man.joints_J3), man.parents, thin.skin_VJ), rotvec_to_matrix(turned)


def test_a_human_in_an_unseen_pose_from_four_silhouettes_halves_its_error(monkeypatch):
    monkeypatch.setattr(pose_search, "MOST_DRAWN", 300)
    figure, turns = human(2)
    assert len(figure.faces_F3) < 3000
    wanted = figure.joints(figure.transforms(turns, np.zeros(3)))
    targets = targets_of(figure, turns, np.zeros(3), around(figure.vertices_V3, 8, elevation=10, margin=1.2)[:4], rows=96)
    found = find_pose(figure, targets, procedural_bank(), QUICK)
    before, after = (np.linalg.norm(joints - wanted, axis=1).mean() for joints in (figure.joints_J3, figure.joints(figure.transforms(*found.pose))))
    assert before > .08 * figure.size and after < before / 2
    assert found.iou_N.min() > .75 and found.iou_N.mean() > found.rest_iou_N.mean() + .2


def test_silhouettes_and_their_overlap_by_hand():
    square = np.float64([[-.5, 0, -.5], [.5, 0, -.5], [.5, 0, .5], [-.5, 0, .5]])
    figure = Figure(square, np.array([[0, 1, 2], [0, 2, 3]]), np.zeros((1, 3)), (None,), np.ones((4, 1)))
    camera = look_at((0, -5, 0), (0, 0, 0), field_of_view=None)
    drawn = silhouette_of(square, figure.faces_F3, camera, 8, 8)
    assert drawn[2:6, 2:6].all() and drawn.sum() == 16
    half = Pose(figure.rest.turn_J33, np.array([.5, 0, 0]))     # two of the four columns still meet
    assert silhouette_iou(figure, half, [Target(camera, drawn.astype(float))]).tolist() == [8 / 24]
    for eye in (0, 5):      # in the square's own plane, where x / z is no number, and behind it
        assert not silhouette_of(square, figure.faces_F3, look_at((0, eye, 0), (0, eye + 1, 0)), 8, 8).any()


@pytest.mark.parametrize("targets, options, complaint", [
    (lambda figure: [], QUICK, "at least one"),
    (lambda figure: [Target(look_at((0, -5, 1), (0, 0, 1)), np.zeros((4, 4)))], QUICK, "silhouette 0 shows nothing"),
    (lambda figure: targets_of(figure, figure.rest.turn_J33, np.zeros(3), rows=16), FindOptions(pull=PullOptions(loose=True)), "parallel")])
def test_refusals(targets, options, complaint):
    _, figure = man_and_figure()
    with pytest.raises(ValueError, match=complaint):
        find_pose(figure, targets(figure), procedural_bank(), options)
