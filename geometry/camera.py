"""Where an eye stands and how it sees: points of space to points of the picture that soft_raster.py and others draw.

The picture: x to the right, y up, the origin in its middle, half its height is 1. z: distance from the eye along its axis, as in space.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Camera(NamedTuple):
    """rotation_33: rows are the picture's right, up and the way into it, unit vectors of space. eye_3: where the eye stands.

    zoom: with perspective, picture x = zoom * x / z; without, zoom * x.
    """
    rotation_33: np.ndarray
    eye_3: np.ndarray
    zoom: float
    perspective: bool = True

    def project(self, points_P3: np.ndarray) -> np.ndarray:
        """(..., 3) float64: x and y on the picture, z from the eye. Points at z <= 0 lie behind it, and their x and y mean nothing."""
        seen_P3 = (np.asarray(points_P3, np.float64) - self.eye_3) @ self.rotation_33.T
        with np.errstate(divide="ignore", invalid="ignore"):
            flat_P2 = seen_P3[..., :2] * self.zoom / (seen_P3[..., 2:] if self.perspective else 1)
        return np.concatenate([flat_P2, seen_P3[..., 2:]], -1)


def look_at(eye_3: Sequence[float], target_3: Sequence[float], up_3: Sequence[float] = (0, 0, 1), field_of_view: float | None = 40.0,
            zoom: float = 1.0) -> Camera:
    """field_of_view: degrees over the picture's height; None: parallel projection, in which half the height shows 1 / zoom of space.

    Raises: ValueError where eye and target are one, up runs along the view, or the field is not between 0 and 180 degrees.
    """
    eye_3, target_3, up_3 = (np.asarray(x, np.float64) for x in (eye_3, target_3, up_3))
    into_3, right_3 = target_3 - eye_3, np.cross(target_3 - eye_3, up_3)
    if not np.linalg.norm(right_3) > 1e-9 * np.linalg.norm(into_3) * np.linalg.norm(up_3):
        raise ValueError(f"no view from {eye_3} to {target_3} with {up_3} up")
    if field_of_view is not None:
        if not 0 < field_of_view < 180:
            raise ValueError(f"a field of view of {field_of_view} degrees; give one between 0 and 180")
        zoom = 1 / np.tan(np.radians(field_of_view) / 2)
    into_3, right_3 = into_3 / np.linalg.norm(into_3), right_3 / np.linalg.norm(right_3)
    return Camera(np.stack([right_3, np.cross(right_3, into_3), into_3]), eye_3, float(zoom), field_of_view is not None)


def around(points_P3: np.ndarray, count: int, up_3: Sequence[float] = (0, 0, 1), elevation: float = 0.0, start: float = 0.0,
           front_3: Sequence[float] = (0, -1, 0), field_of_view: float = 30.0, margin: float = 1.1) -> list[Camera]:
    """count cameras on a circle round the points, the first start degrees from the front, counted to the figure's left.

    elevation: degrees above the horizon. All see a sphere round the points' box, margin times its radius.
    """
    points_P3, up_3, front_3 = np.asarray(points_P3, np.float64), np.asarray(up_3, np.float64), np.asarray(front_3, np.float64)
    low_3, high_3 = points_P3.min(0), points_P3.max(0)
    middle_3, radius = (low_3 + high_3) / 2, max(float(np.linalg.norm(points_P3 - (low_3 + high_3) / 2, axis=1).max()), 1e-9)
    distance, left_3, rise = margin * radius / np.sin(np.radians(field_of_view) / 2), np.cross(up_3, front_3), np.radians(elevation)
    cameras = []
    for angle in np.radians(start + 360 / count * np.arange(count)):
        way_3 = np.cos(rise) * (np.cos(angle) * front_3 + np.sin(angle) * left_3) + np.sin(rise) * up_3
        cameras.append(look_at(middle_3 + distance * way_3, middle_3, up_3, field_of_view))
    return cameras
