"""The light by hand: one lamp at a time, and the laws of shade, backs and outlines."""

import numpy as np
import pytest

from geometry.shading import Studio, directions, seen_from_behind, shade

DARK = Studio(key_3=(0, 0, 2), key_rgb=(0, 0, 0), sky_rgb=(0, 0, 0), ground_rgb=(0, 0, 0), shade=0, rim=0, gloss=0)
ONE = np.float64([[.5, .5, .5]])


def light(normal, studio, colour=ONE, sky=1.0, behind=False):
    return shade(np.float64([normal]), colour, np.float64([sky]), np.array([behind]), studio)[0] ** 2


def test_the_key_light_follows_lamberts_law():
    studio = DARK._replace(key_rgb=(.8, .4, .2))
    np.testing.assert_allclose(light((0, 0, 3), studio), .25 * np.float64([.8, .4, .2]))
    np.testing.assert_allclose(light((.6, 0, .8), studio), .25 * .8 * np.float64([.8, .4, .2]))
    np.testing.assert_allclose(light((0, 0, 0), studio), 0)


def test_light_from_above_and_below():
    studio = DARK._replace(sky_rgb=(.8,) * 3, ground_rgb=(.2,) * 3)
    for normal, want in (((0, 1, 0), .8), ((0, -1, 0), .2), ((0, 0, 1), .5)):
        np.testing.assert_allclose(light(normal, studio), .25 * want)
    np.testing.assert_allclose(light((0, 1, 0), studio, sky=.25), .25 * .2)      # what sees a quarter of the sky


def test_a_fold_takes_its_share_of_the_key_light():
    studio = DARK._replace(key_rgb=(1,) * 3, shade=.6)
    np.testing.assert_allclose(light((0, 0, 1), studio, sky=.5), .25 * (1 - .6 + .3))


def test_rim_and_gloss_do_not_ask_for_the_colour():
    rim = light((1, 0, 0), DARK._replace(rim=.4), colour=0 * ONE)
    np.testing.assert_allclose(rim, .2)                                           # (1 - 0)^3 (1 + 0) / 2
    gloss = DARK._replace(gloss=.3)
    np.testing.assert_allclose(light((0, 0, 1), gloss, colour=0 * ONE), .3)       # the key light is behind the eye: n = h
    assert light((0, .6, .8), gloss, colour=0 * ONE).max() < .3 * .8 ** 30


def test_backs_are_turned_and_outlines_are_not():
    studio = DARK._replace(key_3=(1, 0, 1), key_rgb=(1,) * 3)
    np.testing.assert_allclose(light((-.6, 0, -.8), studio, behind=True), light((.6, 0, .8), studio))
    np.testing.assert_allclose(light((1, 0, -.1), studio), .25 * np.hypot(1, .1) ** -1 * 2 ** -.5)   # z counts as 0
    corners = np.float64([[[0, 0, -.5], [0, 0, .2], [0, 0, .1]], [[0, 0, -.9], [0, 0, -.2], [0, 0, .1]]])
    assert seen_from_behind(corners).tolist() == [False, True]


def test_too_much_light_is_white():
    assert (shade(np.float64([[0, 0, 1]]), 2 * ONE, np.ones(1), np.zeros(1, bool), Studio(key_rgb=(9,) * 3)) == 1).all()


def test_directions_by_hand():
    key, half = directions(Studio(key_3=(0, 2, 0)))
    assert key.tolist() == [0, 1, 0] and half.tolist() == pytest.approx([0, .5 ** .5, .5 ** .5])
