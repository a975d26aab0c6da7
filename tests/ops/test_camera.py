"""The camera's projection with gradients, against its plain twin and central differences."""

import jittor as jt
import numpy as np
import pytest

from geometry.camera import look_at
from ops.camera import project


def var(x):
    return jt.array(np.asarray(x, "float64"), dtype="float64")


@pytest.mark.parametrize("field", [35.0, None])
def test_agrees_with_the_plain_twin_and_its_slope(field):
    rng = np.random.default_rng(0)
    camera = look_at((3, -4, 2), (0, 0, .5), field_of_view=field, zoom=.7)
    points, weight = rng.normal(size=(2, 2, 5, 3))
    given = var(points)
    out = project(given, camera)
    np.testing.assert_allclose(out.numpy(), camera.project(points), atol=1e-14)
    slope = jt.grad((out * var(weight)).sum(), given).numpy()
    for at in np.ndindex(points.shape):
        step = np.zeros(points.shape)
        step[at] = 1e-6
        measured = ((camera.project(points + step) - camera.project(points - step)) * weight).sum() / 2e-6
        assert slope[at] == pytest.approx(measured, abs=1e-6)


def test_float32_stays_float32():
    out = project(jt.array(np.ones((1, 2, 3), "float32")), look_at((3, -4, 2), (0, 0, 0)))
    assert str(out.dtype) == "float32" and out.shape == [1, 2, 3]


def test_refusal():
    with pytest.raises(ValueError, match="points must have shape"):
        project(var(np.ones((2, 3))), look_at((3, -4, 2), (0, 0, 0)))
