"""What the fit's benchmark makes of its pairs, by hand; its pairs are seen by the figure that stands in them."""

import numpy as np
import pytest

from benchmarks.bench_fit import CM, Pair, error_cm, pair, summary
from launch.pose_figure import Figure, Pose, silhouette_iou


def test_shares_and_medians_by_hand():
    rows = [{"ratio": ratio, "rest_cm": 10., "fit_cm": 10 * ratio, "iou": .9, "wall_s": 2., "cpu_s": 1.} for ratio in (.1, .2, .5, .9)]
    said = summary(rows)
    assert said["median_ratio"] == pytest.approx(.35) and said["halved"] == .5 and said["median_fit_cm"] == pytest.approx(3.5)
    assert "alone_halved" not in said
    said = summary([{**row, "alone_ratio": .4} for row in rows])
    assert said["alone_halved"] == 1 and said["alone_median_ratio"] == pytest.approx(.4)


def test_an_error_in_cm():
    figure = Figure(np.float64([[0, 0, 0], [0, 0, 2]]), None, np.zeros((1, 3)), (None,), None)
    one = Pair(figure, [], None, None, np.zeros((1, 3)), "rule")
    assert error_cm(one, Pose(np.eye(3)[None], np.array([.2, 0, 0]))) == pytest.approx(CM / 10)


@pytest.mark.parametrize("views, apart", [("between", 45), ("around", 90)])
def test_a_pair_is_the_posed_human_from_four_sides(views, apart):
    one = pair(0, None, views)
    assert one.source == "rule" and len(one.targets) == 4
    ways = [target.camera.rotation_33[2] for target in one.targets]
    elevation = np.radians(10)
    assert ways[0] @ ways[1] == pytest.approx(np.cos(elevation) ** 2 * np.cos(np.radians(apart)) + np.sin(elevation) ** 2)
    assert 5 < error_cm(one, one.figure.rest) < 60 and silhouette_iou(one.figure, one.figure.rest, one.targets).mean() < .85
    assert all(500 < target.mask_HW.sum() < 9000 for target in one.targets)
