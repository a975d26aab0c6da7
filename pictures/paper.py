"""Surfaces through a camera on paper: where points come to lie, lit layers, the shadow on the ground, one over the other.

Frame: Z up, the figure faces -Y. Letters: P points, F faces, H rows, W columns.
"""

from typing import NamedTuple

import jittor as jt
import numpy as np
from PIL import Image, ImageChops, ImageFilter

from geometry.camera import Camera, look_at
from geometry.shading import Studio
from ops.raster import rasterize
from ops.shading import shade
from pictures.sky import Sky

SAMPLES = 2              # along each side of a pixel
FIELD = 20.0             # degrees over a figure's height: a long lens
ELEVATION = 7.0          # degrees above the horizon
SHADOW = 0.62            # how dark the ground is where it sees no sky
EDGE = 36                # pixels over which shadows fade at the sides, where another picture begins
HALO = 0.85              # of the white line round bones


class Frame(NamedTuple):
    """scale: pixels to a unit of the camera's picture; its point centre_2 lies in the middle of the paper."""
    camera: Camera
    centre_2: np.ndarray
    scale: float
    width: int
    height: int

    def place(self, points_P3: np.ndarray) -> np.ndarray:
        """(P, 3): pixels right and down, distance from the eye."""
        x, y, z = self.camera.project(points_P3).T
        return np.stack([self.width / 2 + (x - self.centre_2[0]) * self.scale, self.height / 2 - (y - self.centre_2[1]) * self.scale, z], 1)

    def matrix(self) -> np.ndarray:
        """(3, 4): homogeneous points of space -> pixels times distance, and the distance. Of a camera with perspective."""
        turn_33, zoom = self.camera.rotation_33, self.camera.zoom
        lens_33 = np.array([[zoom * self.scale, 0, self.width / 2 - self.centre_2[0] * self.scale],
                            [0, -zoom * self.scale, self.height / 2 + self.centre_2[1] * self.scale], [0, 0, 1]])
        return lens_33 @ np.concatenate([turn_33, -(turn_33 @ self.camera.eye_3)[:, None]], 1)


def camera_round(points_P3: np.ndarray, degrees: float) -> Camera:
    """Looks at the middle of the points' box, from so far to the figure's left of its front, from a distance at which their sphere fits."""
    low_3, high_3 = points_P3.min(0), points_P3.max(0)
    middle_3, radius = (low_3 + high_3) / 2, max(float(np.linalg.norm(high_3 - low_3)) / 2, 1e-30)
    turn, rise = np.radians(degrees), np.radians(ELEVATION)
    way_3 = np.array([np.sin(turn) * np.cos(rise), -np.cos(turn) * np.cos(rise), np.sin(rise)])
    return look_at(middle_3 + 1.05 * radius / np.sin(np.radians(FIELD) / 2) * way_3, middle_3, (0, 0, 1), FIELD)


def extent(camera: Camera, points_P3: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Low and high corner (2,) of the points on the camera's picture."""
    flat_P2 = camera.project(points_P3)[:, :2]
    return flat_P2.min(0), flat_P2.max(0)


def layer(frame: Frame, points_P3: np.ndarray, faces_F3: np.ndarray, normals_P3: np.ndarray, colours_P3: np.ndarray, sky_P: np.ndarray,
          studio: Studio = Studio()) -> Image.Image:
    """RGBA of the paper's size: the surface, lit, with smooth edges; nothing where it is not."""
    placed_P3 = frame.place(points_P3) * (SAMPLES, SAMPLES, 1)
    view_P3 = normals_P3 @ (frame.camera.rotation_33.T * (1, 1, -1))
    values_P7 = np.concatenate([view_P3, colours_P3, sky_P[:, None]], 1)
    faces = jt.array(np.asarray(faces_F3, np.int32))
    face, bary, _ = rasterize(jt.array(np.float32(placed_P3)[None]), faces, frame.height * SAMPLES, frame.width * SAMPLES, frame.camera.perspective)
    return Image.fromarray(shade(face, bary, faces, jt.array(np.float32(values_P7)[None]), studio, SAMPLES).numpy()[0])


def shadow(frame: Frame, sky: Sky) -> Image.Image:
    """L of the paper's size: how dark the ground is, 0 to 255, fading out towards the end of its map."""
    cells = len(sky.ground_MM)
    out_M = (2 * (np.arange(cells) + 0.5) / cells - 1) ** 2
    dark_MM = (1 - sky.ground_MM) * (1 - np.minimum(1, out_M + out_M[:, None])) ** 3
    ground = Image.fromarray(np.rint(255 * SHADOW * dark_MM).astype(np.uint8))
    cell = sky.side / cells
    on_ground_43 = np.array([[cell, 0, sky.corner_3[0]], [0, cell, sky.corner_3[1]], [0, 0, sky.corner_3[2]], [0, 0, 1]])
    back_33 = np.linalg.inv(frame.matrix() @ on_ground_43)     # pixels -> cells, over the distance
    flat = ground.transform((frame.width, frame.height), Image.Transform.PERSPECTIVE, tuple((back_33 / back_33[2, 2]).ravel()[:8]),
                            Image.Resampling.BICUBIC)
    dark_HW = np.array(flat)
    below_H = back_33[2, 0] * frame.width / 2 + back_33[2, 1] * (np.arange(frame.height) + 0.5) + back_33[2, 2] > 0    # the horizon
    dark_HW[~below_H] = 0
    side_W = np.minimum(np.arange(frame.width), np.arange(frame.width)[::-1])
    return Image.fromarray(np.rint(dark_HW * np.minimum(1, side_W / EDGE)).astype(np.uint8))


def darkened(paper: Image.Image, dark: Image.Image) -> Image.Image:
    """RGB: paper times 1 - dark."""
    return ImageChops.multiply(paper, ImageChops.invert(dark).convert("RGB"))


def through(picture: Image.Image, bones: Image.Image, shown: float = 0.94) -> Image.Image:
    """The picture with a layer of bones over it, a white line round them, so that they stand out from any colour."""
    share = bones.getchannel("A")
    line = Image.new("RGBA", bones.size, (255, 255, 255, 0))
    line.putalpha(share.filter(ImageFilter.MaxFilter(3)).point(lambda a: round(a * HALO)))
    bones = bones.copy()
    bones.putalpha(share.point(lambda a: round(a * shown)))
    return Image.alpha_composite(Image.alpha_composite(picture.convert("RGBA"), line), bones).convert("RGB")
