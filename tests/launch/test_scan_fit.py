"""The last step onto a scan: nearer than a pull comes, never further, the same bits again; the gap by hand."""

import numpy as np
import pytest

from geometry.kinematics import rotvec_to_matrix
from geometry.sampling import sample_surface
from launch import pose_fit
from launch.pose_figure import Figure, Pose, skinned
from launch.scan_fit import ScanOptions, fit_scan, surface_gap
from tests.launch.test_pose_search import man_and_figure

TURNED = Pose(rotvec_to_matrix(np.random.default_rng(3).normal(0, .15, (22, 3))), np.array([.02, -.01, .03]))


def scan_of(figure: Figure, pose: Pose, count: int = 8000) -> np.ndarray:
    posed = skinned(np.float64(figure.vertices_V3), figure.skin_VJ, figure.transforms(*pose))
    face, bary = sample_surface(posed, figure.faces_F3, count, np.random.default_rng(5))
    return np.einsum("kc,kcx->kx", bary, posed[figure.faces_F3[face]])


def off(figure: Figure, pose: Pose) -> float:
    here, there = (figure.joints(figure.transforms(*one)) for one in (pose, TURNED))
    return float(np.linalg.norm(here - there, axis=1).mean())


def test_it_goes_where_the_scan_stands_and_the_same_way_again():
    _, figure = man_and_figure()
    scan, start = scan_of(figure, TURNED), figure.rest
    found, again = (fit_scan(figure, scan, start, ScanOptions(steps=60, lr=.02, points=1000)) for _ in range(2))
    assert off(figure, found) < .15 * off(figure, start) and off(figure, start) > .1
    assert (found.turn_J33 == again.turn_J33).all() and (found.offset_3 == again.offset_3).all()
    assert surface_gap(figure, scan, found) < .2 * surface_gap(figure, scan, start)


def test_the_gap_by_hand():
    """Two parallel squares: every point of one lies .25 above the other, and between points a little more."""
    square, faces = np.float64([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]]), np.array([[0, 1, 2], [0, 2, 3]])
    figure = Figure(square, faces, np.zeros((1, 3)), (None,), np.ones((4, 1)))
    gap = surface_gap(figure, scan_of(figure, figure.rest) + (0, 0, .25), figure.rest)
    assert .25 <= gap < .2505
    lifted = Pose(figure.rest.turn_J33, np.array([0, 0, .25]))
    assert surface_gap(figure, scan_of(figure, figure.rest) + (0, 0, .25), lifted) < .02


@pytest.mark.parametrize("lift, taken", [(.5, 0), (0, 1)], ids=["worse", "better"])
def test_a_finish_that_goes_astray_is_not_taken(monkeypatch, lift, taken):
    _, figure = man_and_figure()
    scan, begun = scan_of(figure, TURNED), Pose(TURNED.turn_J33, TURNED.offset_3 + (0, 0, .02))
    finished = Pose(TURNED.turn_J33, TURNED.offset_3 + (0, 0, lift))
    monkeypatch.setattr(pose_fit, "fit_scan", lambda *_: finished)
    pose, gap = pose_fit._on_scan(figure, scan, [begun], ScanOptions())
    assert pose is (begun, finished)[taken] and gap == surface_gap(figure, scan, pose)
    assert pose_fit._on_scan(figure, scan, [begun], None)[0] is begun


def test_starts_are_finished_until_one_lies_on_the_scan(monkeypatch):
    _, figure = man_and_figure()
    scan, (far, near, other) = scan_of(figure, TURNED), (Pose(TURNED.turn_J33, TURNED.offset_3 + (0, 0, z)) for z in (.3, .02, .01))
    asked = []
    monkeypatch.setattr(pose_fit, "fit_scan", lambda figure, scan, start, options: asked.append(start) or (TURNED if start is near else start))
    assert pose_fit._on_scan(figure, scan, [far, near, other], ScanOptions())[0] is TURNED
    assert len(asked) == 2 and asked[0] is far and asked[1] is near
