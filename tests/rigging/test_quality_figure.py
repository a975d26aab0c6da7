"""The light copy that stands in for a mesh of very many vertices when it is examined."""

from dataclasses import replace

import numpy as np

from dataset.asset import network_rotation
from rigging.quality import assess
from rigging.quality_figure import GRID, light_copy
from rigging.rig import CharacterRig
from tests.dataset.figures import capsule_man

MAN = capsule_man(22)
RIG = CharacterRig(np.float64(MAN.joints_J3), MAN.parents, MAN.names, MAN.skin_VJ, network_rotation(MAN).rotation_33)


def dense(times: int) -> tuple[np.ndarray, np.ndarray, CharacterRig]:
    """Each triangle in four, `times` over; weights are means."""
    vertices_V3, faces_F3, skin_VJ = np.float64(MAN.vertices_V3), MAN.faces_F3, np.float64(MAN.skin_VJ)
    for _ in range(times):
        pair_E2, place = np.unique(np.sort(faces_F3[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1), axis=0, return_inverse=True)
        ab, bc, ca = (len(vertices_V3) + place.reshape(-1, 3)).T
        a, b, c = faces_F3.T
        faces_F3 = np.concatenate([np.stack(corner, 1) for corner in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))])
        vertices_V3, skin_VJ = (np.concatenate([x, x[pair_E2].mean(1)]) for x in (vertices_V3, skin_VJ))
    return vertices_V3, faces_F3, replace(RIG, skin_VJ=np.float32(skin_VJ / skin_VJ.sum(1, keepdims=True)))


def test_a_small_mesh_is_examined_as_it_is():
    copy = light_copy(MAN.vertices_V3, MAN.faces_F3, RIG)
    assert copy[0] is MAN.vertices_V3 and copy[1] is MAN.faces_F3 and copy[2] is RIG


def test_a_light_copy_is_the_same_figure():
    vertices_V3, faces_F3, rig = dense(4)
    copy_V3, copy_F3, copy = light_copy(vertices_V3, faces_F3, rig, most=10_000)
    assert len(vertices_V3) > 2 * len(copy_V3) and copy_F3.max() < len(copy_V3)
    cell = np.ptp(vertices_V3, axis=0).max() / GRID
    np.testing.assert_allclose(np.ptp(copy_V3, axis=0), np.ptp(vertices_V3, axis=0), atol=2 * cell)
    assert {tuple(row) for row in copy_V3} <= {tuple(row) for row in vertices_V3}      # vertices of the mesh, with their own weights
    seen, whole = ({check.key: check.verdict for check in assess(*mesh).checks} for mesh in ((copy_V3, copy_F3, copy), dense(2)))
    assert {key for key in whole if seen[key] != whole[key]} <= {"squeezed", "stretched", "speckled", "torn"}  # edges and seams differ


def test_a_cloud_has_a_light_copy_too():
    vertices_V3, _, rig = dense(3)
    copy_V3, copy_F3, copy = light_copy(vertices_V3, None, rig, most=5_000)
    assert copy_F3 is None and len(copy_V3) == len(copy.skin_VJ) < len(vertices_V3)
