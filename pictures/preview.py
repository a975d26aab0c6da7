"""A rigged figure from four sides on one sheet, and turning: lit, with its skeleton through it and its weights as colours.

No display, no GPU; the same input gives the same bytes. Letters: V vertices, P points of the surface, J joints, N views.
"""

import colorsys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from geometry.similarity import Y_UP_TO_Z_UP, Similarity
from pictures.paper import Frame, camera_round, darkened, extent, layer, shadow, through
from pictures.skeleton import solids_of
from pictures.sky import sky_of
from pictures.surface import surface_of

VIEWS = (("front", 0.0), ("three-quarter", 40.0), ("left", 90.0), ("back", 180.0))    # name, degrees from the front to the figure's left
HEIGHT, MAX_WIDTH = 640, 1800       # of the sheet, pixels; its figures fill the height unless they are too wide
MARGIN, FOOT = 26, 34               # round each figure, and more below it
MIN_PANEL = 150
CLAY = np.array([222, 224, 229]) / 255
TOP, BOTTOM, PLAIN = (250, 251, 253), (216, 222, 231), (238, 241, 245)
INK, FAINT = (40, 45, 56), (112, 120, 134)
FRAMES, SIDE, PAUSE = 24, 320, 90    # of a turn: pictures, pixels, milliseconds
PALETTE = 255                       # colours of a turn


class Figure:
    """What all views of one figure share: its surface with colours, light and skeleton, Z up, facing -Y."""

    def __init__(self, vertices_V3: np.ndarray, faces_F3: np.ndarray | None, joints_J3: np.ndarray, parents: Sequence[int | None], up: str,
                 skin_VJ: np.ndarray | None = None):
        """skin_VJ: colour each vertex by its joints, mixed by weight; clay without.

        Raises: ValueError for an unknown up axis, no vertex, or coordinates that are not finite.
        """
        if up not in ("y", "z"):
            raise ValueError(f"up must be y or z, not {up!r}")
        if not np.isfinite(joints_J3).all():
            raise ValueError("a picture needs all coordinates of joints finite")
        upright = Similarity(Y_UP_TO_Z_UP).apply if up == "y" else np.asarray
        self.surface = surface_of(upright(np.asarray(vertices_V3, np.float64)), faces_F3)
        self.joints_J3 = upright(np.asarray(joints_J3, np.float64))
        self.sky = sky_of(self.surface)
        size = float(np.ptp(self.surface.points_P3, axis=0).max())
        self.solids = solids_of(self.joints_J3, parents, size or 1.0)
        colours_V3 = np.tile(CLAY, (len(vertices_V3), 1)) if skin_VJ is None else weight_colours(skin_VJ)
        self.colours_P3 = colours_V3[self.surface.vertex_P]
        self.all_P3 = np.concatenate([self.surface.points_P3, self.joints_J3])

    def draw(self, frame: Frame, paper: Image.Image) -> Image.Image:
        """RGB: the figure in front of the paper, which has the frame's size."""
        picture = darkened(paper, shadow(frame, self.sky)).convert("RGBA")
        surface, solids = self.surface, self.solids
        picture.alpha_composite(layer(frame, surface.points_P3, surface.faces_F3, surface.normals_P3, self.colours_P3, self.sky.sky_P))
        return through(picture, layer(frame, solids.points_P3, solids.faces_F3, solids.normals_P3, solids.colours_P3,
                                      np.ones(len(solids.points_P3))))


def draw_preview(path: str | Path, vertices_V3: np.ndarray, faces_F3: np.ndarray | None, joints_J3: np.ndarray,
                 parents: Sequence[int | None], up: str, title: str | None = None, skin_VJ: np.ndarray | None = None) -> None:
    """Write a PNG: the views of VIEWS side by side at one scale.

    Squares are drawn for points where there are no faces. The front is the side that a contest figure (Z up, facing -Y) or a glTF figure
    (Y up, facing +Z) shows. Raises: as Figure.
    """
    figure = Figure(vertices_V3, faces_F3, joints_J3, parents, up, skin_VJ)
    frames = _side_by_side(figure.all_P3)
    sheet = Image.new("RGB", (sum(frame.width for frame in frames), frames[0].height))
    left = 0
    for frame, (name, _) in zip(frames, VIEWS):
        sheet.paste(figure.draw(frame, _gradient(frame.width, frame.height)), (left, 0))
        _write(sheet, (left + frame.width / 2, frame.height - 14), name, 13, FAINT, "mm")
        left += frame.width
    _write(sheet, (16, 12), title or "", 15, INK, "la")
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, format="PNG")


def _side_by_side(points_P3: np.ndarray) -> list[Frame]:
    """One scale for all views; each as wide as it needs, all as high as the highest."""
    cameras = [camera_round(points_P3, degrees) for _, degrees in VIEWS]
    low_N2, high_N2 = (np.array(side) for side in zip(*(extent(camera, points_P3) for camera in cameras)))
    wide_N, tall = (high_N2 - low_N2)[:, 0], max(float((high_N2 - low_N2)[:, 1].max()), 1e-12)
    scale = min((HEIGHT - 2 * MARGIN - FOOT) / tall, (MAX_WIDTH - 2 * MARGIN * len(VIEWS)) / max(float(wide_N.sum()), 1e-12))
    height = max(round(tall * scale) + 2 * MARGIN + FOOT, 2 * MIN_PANEL)
    widths = [max(MIN_PANEL, round(float(wide) * scale) + 2 * MARGIN) for wide in wide_N]
    middle_N2 = (low_N2 + high_N2) / 2 - (0, FOOT / 2 / scale)
    return [Frame(camera, middle_2, scale, width, height) for camera, middle_2, width in zip(cameras, middle_N2, widths)]


def draw_turntable(path: str | Path, vertices_V3: np.ndarray, faces_F3: np.ndarray | None, joints_J3: np.ndarray,
                   parents: Sequence[int | None], up: str, skin_VJ: np.ndarray | None = None) -> None:
    """Write a GIF: FRAMES pictures of SIDE x SIDE pixels, once round from the front. Raises: as Figure."""
    figure = Figure(vertices_V3, faces_F3, joints_J3, parents, up, skin_VJ)
    cameras = [camera_round(figure.all_P3, 360 / FRAMES * k) for k in range(FRAMES)]
    low_N2, high_N2 = (np.array(side) for side in zip(*(extent(camera, figure.all_P3) for camera in cameras)))
    low_2, high_2 = low_N2.min(0), high_N2.max(0)
    scale = (SIDE - 2 * MARGIN) / max(float((high_2 - low_2).max()), 1e-12)
    paper = Image.new("RGB", (SIDE, SIDE), PLAIN)
    pictures = [figure.draw(Frame(camera, np.array([0, (low_2 + high_2)[1] / 2]), scale, SIDE, SIDE), paper) for camera in cameras]
    palette = _beside(pictures[::FRAMES // 6]).quantize(PALETTE, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    flat = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    flat[0].save(path, format="GIF", save_all=True, append_images=flat[1:], duration=PAUSE, loop=0, optimize=False)


def _beside(pictures: list[Image.Image]) -> Image.Image:
    row = Image.new("RGB", (SIDE * len(pictures), SIDE))
    for k, picture in enumerate(pictures):
        row.paste(picture, (k * SIDE, 0))
    return row


def _gradient(width: int, height: int) -> Image.Image:
    paper_H3 = np.rint(np.linspace(TOP, BOTTOM, height)).astype(np.uint8)
    return Image.fromarray(np.broadcast_to(paper_H3[:, None], (height, width, 3)).copy())


def weight_colours(skin_VJ: np.ndarray) -> np.ndarray:
    """(V, 3): the joints' colours mixed by weight; neighbouring joints lie a golden angle apart on the colour wheel."""
    palette_J3 = np.array([colorsys.hsv_to_rgb(j * 0.61803398875 % 1, 0.42, 0.95) for j in range(skin_VJ.shape[1])])
    return np.asarray(skin_VJ, np.float64) @ palette_J3


def _write(picture: Image.Image, at: tuple[float, float], text: str, size: int, colour: tuple, anchor: str) -> None:
    ImageDraw.Draw(picture).text(at, text, fill=colour, font=ImageFont.load_default(size), anchor=anchor)
