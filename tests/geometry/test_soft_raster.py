"""Soft rasterisation by its definition: distances and shares by hand, hard coverage as sigma goes to 0, and its laws."""

import numpy as np
import pytest

from geometry.raster import rasterize
from geometry.soft_raster import Softness, clipped_barycentric, coverage, pixel_centres, signed_distance2, soft_render, soft_silhouette

SQUARE_F33 = np.float64([[[-.5, -.5, 2], [.5, -.5, 2], [.5, .5, 2]], [[-.5, -.5, 2], [.5, .5, 2], [-.5, .5, 2]]])
WHOLE = Softness(sigma=1e-2, gamma=0.05, near=1, far=5, cut=0)


def drawn_faces(seed, count):
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.uniform(-.9, .9, (count, 3, 2)), rng.uniform(1.5, 4, (count, 3, 1))], -1)


def test_pixel_centres_of_a_wide_picture():
    x_W, y_H = pixel_centres(2, 4)
    assert x_W.tolist() == [-1.5, -.5, .5, 1.5] and y_H.tolist() == [.5, -.5]


def test_distances_by_hand():
    # one pixel, at the origin: corners 3, 4 and 5 away make distances to the outline known
    right = np.float64([[[-1, -1, 2], [3, -1, 2], [-1, 3, 2]]])       # x + y <= 2, x, y >= -1: 1 from two sides, sqrt 2 from the third
    assert signed_distance2(right, 1, 1).item() == pytest.approx(1)
    assert signed_distance2(right[:, ::-1], 1, 1).item() == pytest.approx(1)   # whichever way round
    assert signed_distance2(right + [4, 5, 0], 1, 1).item() == pytest.approx(-(3 ** 2 + 4 ** 2))    # nearest: the corner (3, 4)
    assert signed_distance2(right + [0, 3, 0], 1, 1).item() == pytest.approx(-4)                    # nearest: an edge
    assert coverage(right, 1, 1, Softness(sigma=.5, cut=0)).item() == pytest.approx(1 / (1 + np.exp(-2)))


def test_silhouettes_of_two_faces_are_independent_chances():
    faces = drawn_faces(0, 2)
    one, other = (soft_silhouette(faces[k:k + 1], 8, 8, WHOLE) for k in range(2))
    np.testing.assert_allclose(soft_silhouette(faces, 8, 8, WHOLE), 1 - (1 - one) * (1 - other), atol=1e-15)


def test_without_softness_it_is_hard_coverage():
    size, faces = 256, drawn_faces(1, 6)
    pixels = np.stack([(faces[..., 0] + 1) * size / 2, (1 - faces[..., 1]) * size / 2, faces[..., 2]], -1)
    hard = rasterize(pixels.reshape(-1, 3), np.arange(18).reshape(6, 3), size, size).covered_HW
    soft = soft_silhouette(faces, size, size, Softness(sigma=1e-9))
    assert .2 < hard.mean() < .8 and ((soft > .5) == hard).all()


@pytest.mark.parametrize("sigma", [1e-4, 1e-6])
def test_a_square_covers_its_area(sigma):
    assert soft_silhouette(SQUARE_F33, 64, 64, Softness(sigma)).mean() == pytest.approx(.25, abs=4e-3)


def test_shares_of_the_corners_by_hand():
    face = np.float64([[[-1, -1, 2], [3, -1, 2], [-1, 3, 2]]])
    np.testing.assert_allclose(clipped_barycentric(face, 1, 1)[0, 0, 0], [.5, .25, .25])
    np.testing.assert_allclose(clipped_barycentric(face - [3, 0, 0], 1, 1)[0, 0, 0], [0, .8, .2])  # raw: -.25, 1, .25


def test_values_over_z_are_straight_in_space():
    # half-way on the picture between z = 1 and z = 3 lies, in space, a quarter of the way: z = 1.5
    face, values = np.float64([[[-1, 0, 1], [1, -1e-3, 3], [1, 1e-3, 3]]]), np.float64([[[0], [1], [1]]])
    soft = Softness(near=.5, far=10, sigma=1e-12)
    assert soft_render(face, values, np.zeros(1), 1, 1, soft).item() == pytest.approx(.25, abs=1e-3)
    assert soft_render(face, values, np.zeros(1), 1, 1, soft, perspective=False).item() == pytest.approx(.5, abs=1e-3)


def test_the_nearer_face_wins_and_order_does_not_matter():
    near, far = SQUARE_F33 - [0, 0, .5], SQUARE_F33
    red, blue = np.tile([1., 0, 0], (2, 3, 1)), np.tile([0., 0, 1], (2, 3, 1))
    soft = Softness(sigma=1e-5, gamma=1e-4, near=1, far=5)
    picture = soft_render(np.concatenate([far, near]), np.concatenate([blue, red]), np.ones(3), 16, 16, soft)
    np.testing.assert_allclose(picture[8, 8], [1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(picture[0, 0], [1, 1, 1], atol=1e-12)
    turned = soft_render(np.concatenate([near, far]), np.concatenate([red, blue]), np.ones(3), 16, 16, soft)
    np.testing.assert_allclose(turned, picture, atol=1e-12)


def test_pictures_stay_in_the_hull_of_their_colours():
    rng = np.random.default_rng(3)
    picture = soft_render(drawn_faces(2, 9), rng.uniform(.2, .8, (9, 3, 4)), np.full(4, .5), 12, 20, WHOLE)
    assert picture.shape == (12, 20, 4) and picture.min() >= .2 and picture.max() <= .8


def test_what_is_not_drawn():
    outside = SQUARE_F33 + [0, 0, 98.5]
    line = np.float64([[[-1, -1, 2], [0, 0, 2], [1, 1, 2]]])
    for faces in (outside, SQUARE_F33 - [0, 0, 1.5], line, SQUARE_F33[:0]):
        assert not soft_silhouette(faces, 8, 8).any()
        assert (soft_render(faces, np.zeros((*faces.shape[:2], 1)), np.ones(1), 8, 8) == 1).all()


def test_what_is_cut_was_small():
    faces = drawn_faces(4, 5)
    whole, cut = (soft_silhouette(faces, 20, 20, Softness(1e-3, cut=cut)) for cut in (0, 1e-4))
    assert 0 < abs(whole - cut).max() < 5 * 1.01e-4
