"""The z-buffer's kernel: pixels by hand, its plain twin's faces, weights and depths, and its laws."""

import jittor as jt
import numpy as np
import pytest

from geometry import raster as plain
from ops.raster import rasterize


def drawn_faces(seed, batch, vertices, faces):
    rng = np.random.default_rng(seed)
    points = rng.uniform((-8, -8, 1), (55, 48, 6), (batch, vertices, 3)).astype("float32")
    return points, rng.integers(0, vertices, (faces, 3)).astype("int32")


def run(points, faces, height, width, perspective=False):
    return [x.numpy() for x in rasterize(jt.array(np.asarray(points, "float32")), jt.array(np.asarray(faces, "int32")), height, width, perspective)]


def test_by_hand():
    # as tests/geometry/test_raster.py: centres with x + y + 1 <= 3, the last of each row on the edge, which counts
    face, bary, depth = run([[[0, 0, 5.], [3, 0, 5], [0, 3, 5]]], [[0, 1, 2]], 3, 4)
    assert face[0].tolist() == [[0, 0, 0, -1], [0, 0, -1, -1], [0, -1, -1, -1]]
    np.testing.assert_allclose(bary[0, 0, 0], [2 / 3, 1 / 6, 1 / 6], atol=1e-7)
    assert depth[0, 0, 0] == 5 and np.isinf(depth[0, 2, 3]) and not bary[0, 2, 3].any()


def test_perspective_by_hand():
    # half-way on the picture between z = 1 and z = 3: 1 / z = 2 / 3, so z = 1.5, a quarter of the way in space
    _, bary, depth = run([[[0, -9, 1.], [0, 10, 1], [1, .5, 3]]], [[0, 1, 2]], 1, 1, True)
    assert depth.item() == pytest.approx(1.5, rel=1e-6)
    np.testing.assert_allclose(bary[0, 0, 0], [.375, .375, .25], atol=1e-6)


@pytest.mark.parametrize("perspective", [False, True])
def test_agrees_with_the_plain_twin(perspective):
    points, faces = drawn_faces(0, 2, 40, 60)
    points[0, :9, 2] -= 3.5                                # some behind the eye; in parallel projection that means nothing
    face, bary, depth = run(points, faces, 37, 45, perspective)
    for k in range(2):
        want = plain.rasterize(points[k], faces, 37, 45, perspective)
        assert (face[k] == want.face_HW).all() and want.covered_HW.mean() > .2
        np.testing.assert_allclose(bary[k], want.bary_HW3, atol=1e-6)
        np.testing.assert_allclose(depth[k], want.depth_HW, rtol=1e-6)


def test_a_grid_of_shared_edges_agrees_and_ties_go_to_the_smaller_face():
    # every pixel's centre lies on a diagonal of a square of one pixel: two faces cover it, equally near
    y, x = np.mgrid[0:9, 0:9]
    points, at = np.stack([x, y, np.ones_like(x)], -1).reshape(1, -1, 3), (np.arange(8)[:, None] * 9 + np.arange(8)).ravel()[:, None]
    faces = np.concatenate([at + [0, 1, 10], at + [0, 10, 9]])
    face, _, _ = run(points, faces, 8, 8)
    assert (face[0] == np.arange(64).reshape(8, 8)).all()
    assert (face[0] == plain.rasterize(points[0], faces, 8, 8).face_HW).all()


def test_the_same_bits_with_any_number_of_threads(with_threads):
    points, faces = drawn_faces(2, 3, 80, 200)
    for one, two in zip(with_threads(1, run, points, faces, 70, 90), with_threads(2, run, points, faces, 70, 90)):
        assert (one == two).all() and one.any()


def test_batch_mates_change_nothing():
    points, faces = drawn_faces(3, 3, 40, 50)
    together = run(points, faces, 40, 40)
    for k in range(3):
        assert all((alone[0] == both[k]).all() for alone, both in zip(run(points[k:k + 1], faces, 40, 40), together))


@pytest.mark.parametrize("spoil", [np.nan, np.inf, -np.inf])
def test_faces_that_are_no_faces_are_left_out(spoil):
    points = np.float32([[[0, 0, 1], [9, 0, 1], [0, 9, 1], [spoil, 0, 1]]])
    for bad in ([0, 1, 3], [0, 1, 4], [-1, 1, 2], [0, 0, 1], [0, 1, 1]):
        face, _, depth = run(points, [bad, [0, 1, 2]], 4, 4)
        assert (face == 1).all() and (depth == 1).all()
        assert (run(points, [bad], 4, 4)[0] == -1).all()


def test_far_away_coordinates_are_clipped_and_not_wrapped():
    assert (run([[[-1e30, -1e30, 2], [1e30, -1e30, 2], [0, 1e30, 2]]], [[0, 1, 2]], 8, 8)[0] == 0).all()


@pytest.mark.parametrize("points, faces, size, complaint", [
    (np.zeros((4, 3)), np.zeros((1, 3)), 4, "points must have shape"), (np.zeros((1, 4, 3)), np.zeros((1, 4)), 4, "faces must have shape"),
    (np.zeros((1, 4, 3)), np.zeros((0, 3)), 4, "no faces"), (np.zeros((1, 4, 3)), np.zeros((1, 3)), 0, "0 x 0 pixels")])
def test_refusals(points, faces, size, complaint):
    with pytest.raises(ValueError, match=complaint):
        run(points, faces, size, size)


def test_other_dtypes_are_refused():
    with pytest.raises(ValueError, match="points must be float32"):
        rasterize(jt.zeros((1, 3, 3), "int32"), jt.zeros((1, 3), "int32"), 4, 4)
    with pytest.raises(ValueError, match="faces must be int32"):
        rasterize(jt.zeros((1, 3, 3)), jt.zeros((1, 3)), 4, 4)


@pytest.mark.gpu
@pytest.mark.parametrize("perspective", [False, True])
def test_cuda_agrees_with_the_cpu(on_both, perspective):
    cpu, cuda = on_both(run, *drawn_faces(4, 2, 200, 500), 60, 70, perspective)
    assert (cpu[0] == cuda[0]).all()
    for a, b in zip(cpu[1:], cuda[1:]):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
