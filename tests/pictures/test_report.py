"""The report's pictures: what they show, of what, and of what not."""

import io

import numpy as np
import pytest
from PIL import Image

from dataset.sources.mascots import generate_mascot
from pictures.report import CLAY, HEAT, PAPER, draw, drawn, heat
from rigging.quality_figure import Figure
from tests.rigging.broken_rigs import Case
from tests.rigging.test_quality_motion import rig_of


def pixels(picture) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(picture.jpeg)).convert("RGB")).astype(int)


@pytest.fixture(scope="module")
def case() -> Case:
    asset = generate_mascot(9002)
    return Case(asset.vertices_V3, asset.faces_F3, rig_of(asset))


@pytest.fixture(scope="module")
def figure(case) -> Figure:
    return Figure.of(case.vertices_V3, case.faces_F3, case.rig)


@pytest.fixture(scope="module")
def pictures(figure):
    return draw(figure, ("head", "l_foot"))


def test_colours_of_weights():
    assert (heat(np.linspace(0, 1, 4)) == HEAT).all() and (heat(np.zeros(2)) == CLAY).all()
    np.testing.assert_allclose(heat(np.array([.5])), [(HEAT[1] + HEAT[2]) / 2])


def test_heat_is_where_the_weight_is(pictures):
    """Red on the head's picture is only where the head is: in the upper half, near the middle; the left foot's right of it, below."""
    head, foot = (pixels(p) for p in pictures.heat)
    red_HW = head[..., 0] - head[..., 2] > 90
    rows, columns = np.nonzero(red_HW)
    assert red_HW.sum() > 50 and rows.max() < 0.7 * len(red_HW) and abs(columns.mean() - 110) < 15
    rows, columns = np.nonzero(foot[..., 0] - foot[..., 2] > 50)
    assert len(rows) > 20 and rows.min() > 110 and columns.mean() > 110
    assert np.abs(head[0, 0] - PAPER).max() <= 3


def test_red_is_where_edges_are_strained(figure, pictures):
    torn = [(pixels(p) @ (1, -.5, -.5) > 90).sum() for p in pictures.poses]
    assert len(torn) == 11 and max(torn) > 20 and min(torn) < max(torn) / 2


def test_a_dense_mesh_is_thinned_and_keeps_its_outline(figure):
    thin, whole = drawn(figure, most=1000), drawn(figure)
    assert len(thin.surface.faces_F3) < len(whole.surface.faces_F3) == len(figure.surface.faces_F3)
    np.testing.assert_allclose(np.ptp(thin.surface.points_P3, axis=0), np.ptp(figure.surface.points_U3, axis=0), atol=2 * 2 / 110)
    for mesh in (thin, whole):
        assert len(mesh.skin_PJ) == len(mesh.sky_P) == len(mesh.surface.points_P3) and 0 <= mesh.sky_P.min() < .7 < mesh.sky_P.max() <= 1


def test_clouds_and_weights_that_are_no_numbers_show_the_skeleton_only(case):
    skin_VJ = case.skin()
    skin_VJ[0, 0] = np.nan
    for faces_F3, rig in ((case.faces_F3, case.weighted(skin_VJ)), (None, case.rig)):
        shown = draw(Figure.of(case.vertices_V3, faces_F3, rig))
        assert (len(shown.skeleton), shown.heat, shown.poses) == (2, (), ())
        assert (np.abs(pixels(shown.skeleton[0]) - PAPER).max(-1) > 20).mean() > 0.05     # something grey is there beside the bones
