"""The soft rasteriser's kernels against their plain twin, their gradients against central differences in float64, and their laws."""

import jittor as jt
import numpy as np
import pytest

from geometry import soft_raster as plain
from geometry.soft_raster import Softness
from ops.raster import rasterize
from ops.soft_raster import soft_render, soft_silhouette

HEIGHT, WIDTH = 24, 37    # neither divides into tiles
WHOLE = Softness(sigma=1e-2, gamma=0.05, near=1, far=5, cut=0)
CUT = Softness(sigma=1e-3, gamma=0.02, near=1, far=5, cut=1e-4)


def var(x, kind="float64"):
    return jt.array(np.asarray(x, kind), dtype=kind)


def scene(batch=2, faces=6, channels=3):
    rng = np.random.default_rng(0)
    corners = np.concatenate([rng.uniform(-1.2, 1.2, (batch, faces, 3, 2)), rng.uniform(1.5, 4, (batch, faces, 3, 1))], -1)
    return corners, rng.uniform(size=(batch, faces, 3, channels)), rng.uniform(size=channels)


@pytest.mark.parametrize("kind, close", [("float64", 1e-13), ("float32", 4e-6)])
@pytest.mark.parametrize("soft", [WHOLE, CUT])
def test_agrees_with_the_plain_twin(soft, kind, close):
    corners, values, background = scene()
    cover = soft_silhouette(var(corners, kind), HEIGHT, WIDTH, soft).numpy()
    np.testing.assert_allclose(cover, [plain.soft_silhouette(faces, HEIGHT, WIDTH, soft) for faces in corners], atol=close)
    for perspective in (True, False):
        picture = soft_render(var(corners, kind), var(values, kind), var(background, kind), HEIGHT, WIDTH, soft, perspective).numpy()
        want = [plain.soft_render(faces, each, background, HEIGHT, WIDTH, soft, perspective) for faces, each in zip(corners, values)]
        np.testing.assert_allclose(picture, want, atol=close)


def slopes(run, arrays, step, picks=30):
    """Of run (a sum) by central differences at some places of each array, beside the gradients there."""
    given = [var(x) for x in arrays]
    grads = [g.numpy() for g in jt.grad(run(*given), given)]
    rng, pairs = np.random.default_rng(1), []
    for which, x in enumerate(arrays):
        for at in rng.integers(0, x.size, picks):
            sides = []
            for sign in (step, -step):
                moved = x.copy()
                moved.ravel()[at] += sign
                sides.append(run(*(var(moved if k == which else y) for k, y in enumerate(arrays))).numpy().item())
            pairs.append(((sides[0] - sides[1]) / (2 * step), grads[which].ravel()[at]))
    return np.array(pairs).T


def test_gradient_of_the_silhouette():
    corners, weight = scene()[0], var(np.random.default_rng(2).normal(size=(2, HEIGHT, WIDTH)))
    measured, given = slopes(lambda c: (soft_silhouette(c, HEIGHT, WIDTH, WHOLE) * weight).sum(), [corners], 1e-6)
    assert abs(given).max() > 1
    np.testing.assert_allclose(given, measured, atol=1e-8 * abs(given).max())


@pytest.mark.parametrize("perspective", [True, False])
def test_gradient_of_the_picture(perspective):
    corners, values, background = scene()
    weight = var(np.random.default_rng(2).normal(size=(2, HEIGHT, WIDTH, 3)))
    measured, given = slopes(lambda c, v: (soft_render(c, v, var(background), HEIGHT, WIDTH, WHOLE, perspective) * weight).sum(),
                             [corners, values], 1e-6)
    assert abs(given).max() > 10
    np.testing.assert_allclose(given, measured, atol=1e-7 * abs(given).max())


def test_the_same_bits_with_any_number_of_threads(with_threads):
    corners, values, background = (x.astype("float32") for x in scene(3, 40))

    def run():
        c, v = jt.array(corners), jt.array(values)
        cover, picture = soft_silhouette(c, 60, 50, CUT), soft_render(c, v, jt.array(background), 60, 50, CUT)
        return [x.numpy() for x in (cover, picture, *jt.grad(cover.sqr().sum() + picture.sqr().sum(), [c, v]))]
    for one, two in zip(with_threads(1, run), with_threads(2, run)):
        assert (one == two).all() and np.isfinite(one).all() and one.any()


def test_batch_mates_change_nothing():
    corners, values, background = scene(3)
    together = soft_render(var(corners), var(values), var(background), HEIGHT, WIDTH, CUT).numpy()
    for k in range(3):
        alone = soft_render(var(corners[k:k + 1]), var(values[k:k + 1]), var(background), HEIGHT, WIDTH, CUT).numpy()
        assert (alone[0] == together[k]).all()


@pytest.mark.parametrize("perspective", [True, False])
def test_without_softness_it_is_the_z_buffer(perspective):
    size, sharp = 128, Softness(sigma=1e-9, gamma=1e-5, near=1, far=5)
    corners, values, background = (x.astype("float32") for x in scene(1, 9))
    pixels = np.float32(corners.reshape(1, -1, 3) * (size / 2, -size / 2, 1) + (size / 2, size / 2, 0))
    faces = np.arange(27, dtype="int32").reshape(9, 3)
    face, bary, _ = (x.numpy()[0] for x in rasterize(jt.array(pixels), jt.array(faces), size, size, perspective))
    cover = soft_silhouette(jt.array(corners), size, size, sharp).numpy()[0]
    assert .3 < (face >= 0).mean() < .99 and ((cover > .5) == (face >= 0)).all()
    picture = soft_render(jt.array(corners), jt.array(values), jt.array(background), size, size, sharp, perspective).numpy()[0]
    inside = (cover > .999) & (face >= 0)
    want = np.einsum("pk,pkc->pc", bary[inside], values[0][face[inside]])
    apart = abs(picture[inside] - want).max(-1)
    assert inside.sum() > 3000 and (apart > 1e-3).mean() < .01       # where two faces are equally near both show


def test_what_is_not_drawn_has_no_gradient():
    corners, values, background = scene(1, 4)
    corners[0, 0, :, 2] = 7                                        # beyond far
    corners[0, 1, 2, :2] = corners[0, 1, :2, :2].mean(0)           # on a line
    corners[0, 2, :, :2] += 50                                     # off the picture
    c, v = var(corners), var(values)
    picture = soft_render(c, v, var(background), HEIGHT, WIDTH, CUT)
    dc, dv = (g.numpy() for g in jt.grad(picture.sqr().sum(), [c, v]))
    assert not dc[0, :3].any() and not dv[0, :3].any() and dc[0, 3].any() and dv[0, 3].any()


def test_far_away_coordinates_are_clipped_and_not_wrapped():
    corners = np.float64([[[[-1e30, -1e30, 2], [1e30, -1e30, 2], [0, 1e30, 2]]]])
    np.testing.assert_allclose(soft_silhouette(var(corners), 8, 8, CUT).numpy(), 1, atol=1e-12)


@pytest.mark.parametrize("change, complaint", [
    ({"corners": np.zeros((2, 6, 3))}, "corners must have shape"), ({"corners": np.zeros((2, 0, 3, 3))}, "no faces"),
    ({"values": np.zeros((2, 5, 3, 3))}, "values must have shape"),
    ({"values": np.zeros((2, 6, 3, 17)), "background": np.zeros(17)}, "17 channels"),
    ({"background": np.zeros(4)}, "background must have shape"), ({"height": 0}, "0 x 37 pixels"), ({"soft": CUT._replace(sigma=0)}, "sigma"),
    ({"soft": CUT._replace(near=-1)}, "near must be positive"), ({"soft": CUT._replace(cut=.5)}, "cut")])
def test_refusals(change, complaint):
    corners, values, background = scene()
    given = {"corners": corners, "values": values, "background": background, "height": HEIGHT, "soft": CUT} | change
    with pytest.raises(ValueError, match=complaint):
        soft_render(var(given["corners"]), var(given["values"]), var(given["background"]), given["height"], WIDTH, given["soft"])


def test_mixed_dtypes_are_refused():
    corners, values, background = scene()
    with pytest.raises(ValueError, match="values must be float32"):
        soft_render(var(corners, "float32"), var(values), var(background, "float32"), HEIGHT, WIDTH, CUT)
