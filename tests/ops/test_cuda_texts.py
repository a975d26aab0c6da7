"""The rasterisers' CUDA texts, run thread by thread on the CPU (cuda_on_cpu.py): the CPU kernels' numbers, in whatever order threads come."""

import jittor as jt
import numpy as np
import pytest

from geometry.shading import Studio
from ops import raster, shading, soft_raster, soft_raster_cuda
from tests.ops.cuda_on_cpu import run_cuda
from tests.ops.test_raster import drawn_faces
from tests.ops.test_soft_raster import CUT, HEIGHT, WIDTH, scene, var


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("cuda")


def in_any_order(folder, header, source, inputs, shapes, data):
    """What a text gives; the same bits with its threads the other way round."""
    one, other = (run_cuda(folder, header, source, inputs, [np.zeros(shape, kind) for shape, kind in shapes], data, turned)
                  for turned in (False, True))
    assert all((a.view(np.uint8) == b.view(np.uint8)).all() for a, b in zip(one, other))
    return one


@pytest.mark.parametrize("perspective", [False, True])
def test_the_z_buffer(folder, perspective):
    points, faces = drawn_faces(0, 2, 40, 60)
    faces[7], points[1, 3] = -1, np.nan
    points[..., 2] -= 0 if perspective else 3.5    # depths on both sides of 0
    want = [x.numpy() for x in raster.rasterize(jt.array(points), jt.array(faces), 37, 45, perspective)]
    shape = (2, 37, 45)
    got = in_any_order(folder, raster._CUDA_HEADER, raster._CUDA, [points, faces],
                       [(shape, "int32"), ((*shape, 3), "float32"), (shape, "float32"), ((*shape, 2), "int32")], {"perspective": float(perspective)})
    assert (got[0] == want[0]).all() and 0.2 < (want[0] >= 0).mean() < 1
    for a, b in zip(got[1:3], want[1:]):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_the_light(folder):
    points, faces = drawn_faces(1, 2, 40, 60)
    values = np.random.default_rng(0).uniform(-1, 1, (2, 40, 7)).astype("float32") * ([1] * 3 + [0] * 4) + np.float32([0] * 3 + [.8, .5, .3, .6])
    values = values.astype("float32")
    face, bary, _ = (x.numpy() for x in raster.rasterize(jt.array(points), jt.array(faces), 36, 44))
    want = shading.shade(jt.array(face), jt.array(bary), jt.array(faces), jt.array(values), Studio(), 2).numpy()
    got, = in_any_order(folder, shading._LIGHT, shading._CUDA, [face, bary, faces, values], [((2, 18, 22, 4), "uint8")],
                        {"samples": 2.0, **shading._lights(Studio())})
    assert want[..., :3].max() > 100 and abs(got.astype(int) - want).max() <= 1


def test_soft_silhouettes(folder):
    numbers = soft_raster._numbers(var(scene()[0]), HEIGHT, WIDTH, CUT, False)
    for faces in (300, 6):    # more than a block looks through at once; few, so that forward and backward take a second
        corners = 0.3 * scene(2, faces)[0] + [0, 0, 2]
        c = var(corners)
        cover = soft_raster.soft_silhouette(c, HEIGHT, WIDTH, CUT)
        clear, = in_any_order(folder, soft_raster_cuda.CUDA_HEADER, soft_raster_cuda.CLEAR, [corners], [((2, HEIGHT, WIDTH), "float64")], numbers)
        np.testing.assert_allclose(1 - clear, cover.numpy(), atol=1e-12)
    weight = np.random.default_rng(2).normal(size=(2, HEIGHT, WIDTH))
    slope = jt.grad((cover * var(weight)).sum(), c).numpy()
    got, = in_any_order(folder, soft_raster_cuda.CUDA_HEADER, soft_raster_cuda.CLEAR_BACK, [corners, clear, -weight],
                        [(corners.shape, "float64")], numbers)
    np.testing.assert_allclose(got, slope, atol=1e-10 * abs(slope).max())


@pytest.mark.parametrize("perspective", [False, True])
def test_soft_pictures(folder, perspective):
    corners, values, background = scene(2, 12)
    weight = np.random.default_rng(2).normal(size=(2, HEIGHT, WIDTH, 3))
    c, v = var(corners), var(values)
    picture = soft_raster.soft_render(c, v, var(background), HEIGHT, WIDTH, CUT, perspective)
    slopes = [x.numpy() for x in jt.grad((picture * var(weight)).sum(), [c, v])]
    numbers, pixels = soft_raster._numbers(c, HEIGHT, WIDTH, CUT, perspective), (2, HEIGHT, WIDTH)
    drawn = in_any_order(folder, soft_raster_cuda.CUDA_HEADER, soft_raster_cuda.MIX, [corners, values, background],
                         [((*pixels, 3), "float64"), (pixels, "float64"), (pixels, "float64")], numbers)
    np.testing.assert_allclose(drawn[0], picture.numpy(), atol=1e-12)
    back = in_any_order(folder, soft_raster_cuda.CUDA_HEADER, soft_raster_cuda.MIX_BACK, [corners, values, *drawn, weight],
                        [(corners.shape, "float64"), (values.shape, "float64")], numbers)
    for a, b in zip(back, slopes):
        np.testing.assert_allclose(a, b, atol=1e-9 * abs(b).max())
