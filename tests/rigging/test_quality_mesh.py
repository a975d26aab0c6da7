"""What the mesh itself says: its step of float32, how many figures it holds; and joints inside shells whose faces point any way."""

import numpy as np
import pytest

from dataset.asset import network_rotation
from rigging.quality import assess
from rigging.quality_figure import Figure
from rigging.quality_inside import open_sides
from rigging.quality_mesh import coarse, figures
from rigging.rig import CharacterRig
from tests.dataset.figures import capsule_man

MAN = capsule_man(22)
RIG = CharacterRig(np.float64(MAN.joints_J3), MAN.parents, MAN.names, MAN.skin_VJ, network_rotation(MAN).rotation_33)


def figure(vertices_V3, faces_F3) -> Figure:
    skin_VJ = np.tile(MAN.skin_VJ, (len(vertices_V3) // len(MAN.vertices_V3), 1))
    return Figure.of(vertices_V3, faces_F3, CharacterRig(RIG.joints_J3, RIG.parents, RIG.names, skin_VJ, RIG.to_network_33))


def beside(offset_3) -> Figure:
    return figure(np.concatenate([MAN.vertices_V3, MAN.vertices_V3 + np.float32(offset_3)]),
                  np.concatenate([MAN.faces_F3, MAN.faces_F3 + len(MAN.vertices_V3)]))


@pytest.mark.parametrize("offset_3, count", [((0, 0, 0), 1), ((2.5, 0, 0), 2), ((0, 1, 0), 2), ((0, 0, 3), 1), ((0.3, 0, 0), 1)])
def test_figures_side_by_side(offset_3, count):
    """One above the other is a pedestal or a hat, one in the other a coat."""
    assert figures(beside(offset_3)) == count


def test_a_small_thing_beside_is_no_figure():
    ball = MAN.vertices_V3 * np.float32(0.3) + np.float32([2, 0, 0])
    two = figure(np.concatenate([MAN.vertices_V3, ball]), np.concatenate([MAN.faces_F3, MAN.faces_F3 + len(MAN.vertices_V3)]))
    assert figures(two) == 1


@pytest.mark.parametrize("far, verdict", [(0, "pass"), (1e3, "pass"), (5e4, "warn"), (1.5e5, "fail")])
def test_coarse_far_from_the_origin(far, verdict):
    at_3 = np.array([far, 0, 0])
    moved_V3 = np.float32(MAN.vertices_V3 + at_3)
    rig = CharacterRig(RIG.joints_J3 + at_3, RIG.parents, RIG.names, RIG.skin_VJ, RIG.to_network_33)
    check = next(check for check in assess(moved_V3, MAN.faces_F3, rig).checks if check.key == "coarse")
    assert check.verdict == verdict
    assert check.value == pytest.approx(coarse(Figure.of(moved_V3, MAN.faces_F3, rig)))


def test_a_point_without_a_face_sets_no_box():
    stray = figure(MAN.vertices_V3, MAN.faces_F3)
    skin_VJ = np.concatenate([MAN.skin_VJ, MAN.skin_VJ[:1]])
    with_one = Figure.of(np.concatenate([MAN.vertices_V3, [[900, 0, 0]]]), MAN.faces_F3,
                         CharacterRig(RIG.joints_J3, RIG.parents, RIG.names, skin_VJ, RIG.to_network_33))
    np.testing.assert_allclose(with_one.joints_J3, stray.joints_J3)
    np.testing.assert_allclose(with_one.surface.points_U3[:-1], stray.surface.points_U3)


@pytest.mark.parametrize("change", ["half turned", "two walls"])
def test_joints_are_inside_whichever_way_faces_point(change):
    """Their winding numbers cancel; a skeleton that stands beside the figure is outside all the same."""
    if change == "half turned":
        faces_F3 = np.where((np.arange(len(MAN.faces_F3)) % 2 == 0)[:, None], MAN.faces_F3, MAN.faces_F3[:, ::-1])
        turned = figure(MAN.vertices_V3, faces_F3)
    else:
        inner = MAN.vertices_V3 - np.float32(1e-3) * MAN.normals_V3
        turned = figure(np.concatenate([MAN.vertices_V3, inner]),
                        np.concatenate([MAN.faces_F3, MAN.faces_F3[:, ::-1] + len(MAN.vertices_V3)]))
    surface, at_J3 = turned.surface, turned.joints_J3
    inside = [turned.index[name] for name in ("hips", "spine", "chest", "l_lower_leg", "r_lower_leg", "head")]
    assert (open_sides(at_J3[inside], surface.points_U3, surface.faces_F3) == 0).all()
    assert (open_sides(at_J3[inside] + (0, 0.4, 0), surface.points_U3, surface.faces_F3) > 4).all()
    quality = assess(MAN.vertices_V3, faces_F3, RIG) if change == "half turned" else None
    if quality:
        assert next(check for check in quality.checks if check.key == "outside_count").verdict == "pass"
