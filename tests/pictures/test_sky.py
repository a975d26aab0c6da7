"""How much of the sky is seen, on shapes whose answer is known."""

import numpy as np

from pictures.skeleton import ball
from pictures.sky import CELLS, directions, sky_of
from pictures.surface import Surface


def sphere(radius=1.0):
    points_P3, faces_F3 = ball()
    return Surface(radius * points_P3, points_P3, faces_F3, np.arange(len(points_P3)))


def both(a: Surface, b: Surface) -> Surface:
    return Surface(np.concatenate([a.points_P3, b.points_P3]), np.concatenate([a.normals_P3, b.normals_P3]),
                   np.concatenate([a.faces_F3, b.faces_F3 + len(a.points_P3)]), np.arange(len(a.points_P3) + len(b.points_P3)))


def test_directions_are_even_and_views():
    turn_D33 = directions(96)
    np.testing.assert_allclose(turn_D33 @ turn_D33.transpose(0, 2, 1), np.tile(np.eye(3), (96, 1, 1)), atol=1e-12)
    np.testing.assert_allclose(turn_D33[:, 2].mean(0), 0, atol=.01)
    np.testing.assert_allclose((turn_D33[:, 2, :, None] * turn_D33[:, 2, None]).mean(0), np.eye(3) / 3, atol=.01)


def test_a_ball_sees_all_of_the_sky_and_an_inner_one_none():
    one = sky_of(sphere(), shelter=1)
    assert one.sky_P.min() > .9
    inner = sky_of(both(sphere(.5), sphere()), shelter=1).sky_P[:384]
    assert inner.max() < .05
    np.testing.assert_allclose(sky_of(both(sphere(.5), sphere()), shelter=.5).sky_P[:384], .5 + inner / 2)


def test_faces_turned_inwards_see_the_same():
    turned = sphere()._replace(normals_P3=-sphere().normals_P3)
    np.testing.assert_allclose(sky_of(turned, shelter=1).sky_P, sky_of(sphere(), shelter=1).sky_P, atol=1e-12)


def test_the_ground_is_dark_under_the_figure_and_light_far_off():
    sky = sky_of(sphere())
    middle = sky.ground_MM[CELLS // 2 - 1:CELLS // 2 + 1, CELLS // 2 - 1:CELLS // 2 + 1]
    assert middle.max() < .3 < .85 < sky.ground_MM[0].min() and sky.ground_MM.max() <= 1
    np.testing.assert_allclose(sky.ground_MM, sky.ground_MM[::-1], atol=.06)       # a ball's shadow is even
    assert sky.corner_3[2] == -1 and abs(sky.corner_3[0] + sky.side / 2) < 1e-12


def test_a_dense_mesh_is_shaded_by_a_thinned_one(monkeypatch):
    want = sky_of(both(sphere(.5), sphere())).sky_P
    monkeypatch.setattr("pictures.sky.MOST_FACES", 100)
    np.testing.assert_allclose(sky_of(both(sphere(.5), sphere())).sky_P, want, atol=.1)


def test_a_point_alone_sees_everything():
    flat = Surface(np.zeros((4, 3)), np.tile([0, 0, 1.], (4, 1)), np.array([[0, 1, 2], [0, 2, 3]]), np.zeros(4, int))
    sky = sky_of(flat)
    assert np.isfinite(sky.sky_P).all() and np.isfinite(sky.ground_MM).all()
