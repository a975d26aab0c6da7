"""A camera's projection with gradients. Plain twin: geometry/camera.py. Letters: B batch, V points."""

import jittor as jt
import numpy as np

from ops.kernels import require_shape


def project(points_BV3: jt.Var, camera) -> jt.Var:
    """x and y on the picture and z from the eye, (B, V, 3), in the points' dtype. camera: a geometry.camera.Camera.

    Raises: ValueError for another shape.
    """
    require_shape(points_BV3, "BV3", "points")
    kind = str(points_BV3.dtype)
    turn_33, eye_3 = (jt.array(np.asarray(x, kind), dtype=kind) for x in (camera.rotation_33, camera.eye_3))
    seen_BV3 = ((points_BV3 - eye_3).unsqueeze(2) * turn_33).sum(3)
    flat_3 = jt.array(np.array([1, 1, 0], kind), dtype=kind)    # z stays what it is
    zoomed = camera.zoom / seen_BV3[:, :, 2:] if camera.perspective else camera.zoom
    return seen_BV3 * (zoomed * flat_3 + (1 - flat_3))
