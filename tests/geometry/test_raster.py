"""The z-buffer against pixels counted by hand, a plain per-pixel twin, and the laws of covering."""

import numpy as np
import pytest
from scipy.spatial import Delaunay

from geometry import raster
from geometry.raster import rasterize

SQUARE_V3 = np.array([[0, 0, 1], [4, 0, 1], [4, 4, 1], [0, 4, 1]], dtype=float)
SQUARE_F3 = np.array([[0, 1, 2], [0, 2, 3]])


def twin(points_V3, faces_F3, height, width):
    """One pixel and one face at a time, half-plane by half-plane."""
    face_HW, depth_HW = np.full((height, width), -1), np.full((height, width), np.inf)
    for f, face in enumerate(faces_F3):
        a, b, c = points_V3[face]
        matrix = np.array([[a[0], b[0], c[0]], [a[1], b[1], c[1]], [1, 1, 1]])
        if abs(np.linalg.det(matrix)) < 1e-12:
            continue
        for y in range(height):
            for x in range(width):
                weights = np.linalg.solve(matrix, [x + .5, y + .5, 1])
                depth = weights @ [a[2], b[2], c[2]]
                if (weights >= 0).all() and depth < depth_HW[y, x]:
                    face_HW[y, x], depth_HW[y, x] = f, depth
    return face_HW, depth_HW


def test_by_hand():
    # centres (x + .5, y + .5) with x + y + 1 <= 3: rows of 3, 2 and 1 pixels, the last of each on the edge, which counts
    got = rasterize(np.array([[0, 0, 5.], [3, 0, 5], [0, 3, 5]]), np.array([[0, 1, 2]]), 3, 4)
    assert got.face_HW.tolist() == [[0, 0, 0, -1], [0, 0, -1, -1], [0, -1, -1, -1]]
    np.testing.assert_allclose(got.bary_HW3[0, 0], [2 / 3, 1 / 6, 1 / 6], atol=1e-12)
    assert got.depth_HW[0, 0] == pytest.approx(5) and got.depth_HW[2, 3] == np.inf


def test_the_nearer_face_shows_whatever_the_order():
    far = SQUARE_V3 + [0, 0, 3]
    points = np.concatenate([far, SQUARE_V3])
    for faces, near in ((np.concatenate([SQUARE_F3, SQUARE_F3 + 4]), {2, 3}), (np.concatenate([SQUARE_F3 + 4, SQUARE_F3]), {0, 1})):
        assert set(np.unique(rasterize(points, faces, 4, 4).face_HW)) == near


def test_a_tie_goes_to_the_smaller_face():
    assert (rasterize(SQUARE_V3, np.array([[0, 1, 2], [0, 1, 2]]), 4, 4).face_HW != 1).all()


def test_agrees_with_twin():
    rng = np.random.default_rng(0)
    points = rng.uniform(-4, 20, size=(30, 3))
    faces = rng.integers(0, 30, size=(25, 3))
    want_face, want_depth = twin(points, faces, 14, 17)
    got = rasterize(points, faces, 14, 17)
    assert (got.face_HW == want_face).all()
    np.testing.assert_allclose(got.depth_HW, want_depth, rtol=1e-9)


def test_perspective_by_hand():
    # half-way on the picture between z = 1 and z = 3: 1 / z = 2 / 3, so z = 1.5, a quarter of the way in space
    got = rasterize(np.array([[0, -9, 1.], [0, 10, 1], [1, .5, 3]]), np.array([[0, 1, 2]]), 1, 1, perspective=True)
    assert got.depth_HW.item() == pytest.approx(1.5)
    np.testing.assert_allclose(got.bary_HW3[0, 0], [.375, .375, .25], atol=1e-12)


def test_depth_decides_on_both_sides_of_zero_and_nothing_behind_the_eye_is_seen():
    points = np.concatenate([SQUARE_V3 - [0, 0, 3], SQUARE_V3])       # z = -2 and 1
    faces = np.concatenate([SQUARE_F3 + 4, SQUARE_F3])
    assert set(np.unique(rasterize(points, faces, 4, 4).face_HW)) == {2, 3}
    assert set(np.unique(rasterize(points, faces, 4, 4, perspective=True).face_HW)) == {0, 1}


def test_chunks_change_nothing(monkeypatch):
    rng = np.random.default_rng(1)
    points, faces = rng.uniform(0, 30, size=(60, 3)), rng.integers(0, 60, size=(80, 3))
    want = rasterize(points, faces, 30, 30)
    monkeypatch.setattr(raster, "CHUNK", 50)
    got = rasterize(points, faces, 30, 30)
    assert (got.face_HW == want.face_HW).all() and (got.bary_HW3 == want.bary_HW3).all()


def test_a_triangulated_square_has_no_gap():
    rng = np.random.default_rng(2)
    inner = rng.uniform(0, 20, size=(40, 2))
    flat = np.concatenate([[[0, 0], [20, 0], [0, 20], [20, 20]], inner])
    got = rasterize(np.c_[flat, np.zeros(len(flat))], Delaunay(flat).simplices, 20, 20)
    assert got.covered_HW.all()
    # positions interpolated at a pixel are its centre
    np.testing.assert_allclose(got.interpolate(flat, Delaunay(flat).simplices)[3, 7], [7.5, 3.5], atol=1e-9)


def test_both_windings_and_parts_outside():
    assert (rasterize(SQUARE_V3 * 10 - [20, 20, 0], SQUARE_F3[:, ::-1], 5, 6).face_HW >= 0).all()


def test_degenerate_faces_show_nothing():
    points = np.array([[1, 1, 0.], [3, 3, 0], [2, 2, 0]])
    for faces in (np.array([[0, 1, 2]]), np.array([[0, 0, 1]]), np.zeros((0, 3), int)):
        assert not rasterize(points, faces, 4, 4).covered_HW.any()
    assert not rasterize(np.zeros((0, 3)), np.zeros((0, 3), int), 2, 2).covered_HW.any()


@pytest.mark.parametrize("points, faces, size, message", [
    (np.array([[0, 0, np.nan]]), np.zeros((0, 3), int), 4, "point 0 is not finite"),
    (SQUARE_V3, np.array([[0, 1, 4]]), 4, "vertices 0 to 4 of 4"),
    (SQUARE_V3, np.array([[0, 1, -1]]), 4, "vertices -1"),
    (SQUARE_V3, SQUARE_F3, 0, "0 x 0 pixels")])
def test_refuses(points, faces, size, message):
    with pytest.raises(ValueError, match=message):
        rasterize(points, faces, size, size)
