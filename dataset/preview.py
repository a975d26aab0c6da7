"""A picture of a rigged figure, front and side: clay with its skeleton through it, or skin weights as colours. No display, no GPU.

The figure is drawn at twice the size and shrunk, which smooths its edges. Bones: left warm, right cool, centre light.
Letters: V vertices, F faces, J joints, H rows, W columns.
"""

import colorsys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from dataset.format import BODY_NAMES, SKELETONS
from geometry.normals import normalize, vertex_normals
from geometry.raster import lambert, rasterize
from geometry.topology import seen_vertices

HEIGHT, MAX_WIDTH = 720, 1400   # of the picture, pixels; a figure fills the height unless it is too wide
MARGIN = 40
MIN_PANEL = 220
SUPERSAMPLE = 2
CLAY = np.array([226, 228, 233]) / 255
TOP, BOTTOM = np.array([240, 243, 247]) / 255, np.array([201, 208, 219]) / 255
LIGHT = (-0.35, 0.55, 0.9)   # right, up, towards the eye
LEFT, RIGHT, CENTRE, INK = (226, 92, 52), (36, 120, 196), (66, 74, 92), (40, 45, 56)
BODY_COUNT = len(BODY_NAMES)  # joints beyond are fingers: smaller dots


def draw_preview(path: str | Path, vertices_V3: np.ndarray, faces_F3: np.ndarray | None, joints_J3: np.ndarray,
                 parents: Sequence[int | None], up: str, title: str | None = None, skin_VJ: np.ndarray | None = None) -> None:
    """Write a PNG: front view and view from the figure's left, side by side, skeleton on top.

    Points are drawn where there are no faces. skin_VJ: colour each vertex by its joints, mixed by weight. The front is the side
    a contest figure (Z up, facing -Y) or a glTF figure (Y up, facing +Z) shows.
    Raises: ValueError for an unknown up axis, no vertex, or coordinates that are not finite.
    """
    vertices_V3, joints_J3 = np.asarray(vertices_V3, np.float64), np.asarray(joints_J3, np.float64)
    if up not in ("y", "z"):
        raise ValueError(f"up must be y or z, not {up!r}")
    if not len(vertices_V3) or not np.isfinite(vertices_V3).all() or not np.isfinite(joints_J3).all():
        raise ValueError("a preview needs vertices, and all coordinates finite")
    colour_V3 = np.tile(CLAY, (len(vertices_V3), 1)) if skin_VJ is None else _skin_colours(skin_VJ)
    figures = [_view(vertices_V3, up, side) for side in (False, True)]
    bones = [_view(joints_J3, up, side) for side in (False, True)]
    colours = _side_colours(len(joints_J3))
    seen_V = seen_vertices(faces_F3, len(vertices_V3))
    scale, centres, widths = _fit([np.concatenate([figure[seen_V], bone]) for figure, bone in zip(figures, bones)])
    picture = Image.new("RGB", (sum(widths), HEIGHT))
    for column, (figure, bone, centre, width) in enumerate(zip(figures, bones, centres, widths)):
        middle_2 = np.array([width, HEIGHT]) * SUPERSAMPLE / 2
        panel = _panel(_place(figure, centre, scale, middle_2), faces_F3, colour_V3, width)
        _draw_bones(panel, _place(bone, centre, scale, middle_2), parents, colours)
        left = sum(widths[:column])
        picture.paste(panel.resize((width, HEIGHT), Image.Resampling.LANCZOS), (left, 0))
        _write(picture, (left + width / 2, HEIGHT - 16), ("front", "side")[column], 13, (110, 118, 132), "mm")
    _write(picture, (16, 12), title or "", 15, INK, "la")
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, format="PNG")


def _view(x_P3: np.ndarray, up: str, side: bool) -> np.ndarray:
    """(P, 3): right, up, towards the eye. Front: the eye before the face; side: the eye at the figure's left."""
    x, y, z = x_P3.T if up == "y" else (x_P3[:, 0], x_P3[:, 2], -x_P3[:, 1])
    return np.stack([-z, y, x], 1) if side else np.stack([x, y, z], 1)


def _fit(views: list[np.ndarray]) -> tuple[float, list[np.ndarray], list[int]]:
    """One scale for all views (enlarged pixels per unit), the middle of each view, and the width of its panel in pixels."""
    low, high = np.array([view.min(0) for view in views]), np.array([view.max(0) for view in views])
    wide, tall = (high - low)[:, 0], (high - low)[:, 1].max()
    scale = min((HEIGHT - 2 * MARGIN) / max(tall, 1e-12), (MAX_WIDTH - 4 * MARGIN) / max(wide.sum(), 1e-12))
    widths = [max(MIN_PANEL, round(float(side * scale)) + 2 * MARGIN) for side in wide]
    return scale * SUPERSAMPLE, list((low + high) / 2), widths


def _place(view_P3: np.ndarray, centre_3: np.ndarray, scale: float, middle_2: np.ndarray) -> np.ndarray:
    """Pixels right and down in the enlarged panel, depth away from the eye."""
    x, y, z = ((view_P3 - centre_3) * scale).T
    return np.stack([middle_2[0] + x, middle_2[1] - y, -z], 1)


def _panel(points_V3: np.ndarray, faces_F3: np.ndarray | None, colour_V3: np.ndarray, panel_width: int) -> Image.Image:
    width, height = panel_width * SUPERSAMPLE, HEIGHT * SUPERSAMPLE
    paper_H3 = TOP + (BOTTOM - TOP) * np.linspace(0, 1, height)[:, None]
    picture_HW3 = np.empty((height, width, 3), np.uint8)
    picture_HW3[:] = _bytes(paper_H3)[:, None]
    if faces_F3 is None or not len(faces_F3):
        _dots(picture_HW3, points_V3, colour_V3)
    else:
        _solid(picture_HW3, paper_H3, points_V3, np.asarray(faces_F3, np.int64), colour_V3)
    return Image.fromarray(picture_HW3)


def _bytes(colour_P3: np.ndarray) -> np.ndarray:
    return np.rint(colour_P3.clip(0, 1) * 255).astype(np.uint8)


def _solid(picture_HW3: np.ndarray, paper_H3: np.ndarray, points_V3: np.ndarray, faces_F3: np.ndarray, colour_V3: np.ndarray) -> None:
    """Shade the nearest surface, darker where it turns away (the rim), with smooth normals; a little of the paper shines through.

    Only pixels that show something are computed: most of a picture is paper.
    """
    height, width, _ = picture_HW3.shape
    seen = rasterize(points_V3, faces_F3, height, width)
    covered = np.nonzero(seen.covered_HW)
    corners_P3, bary_P3 = faces_F3[seen.face_HW[covered]], seen.bary_HW3[covered]
    upright_V3 = points_V3 * (1, -1, -1)  # right, up, towards the eye again
    normals_P3 = normalize(np.einsum("pk,pkc->pc", bary_P3, vertex_normals(upright_V3, faces_F3)[corners_P3]))
    normals_P3 *= np.where(normals_P3[:, 2:] < 0, -1, 1)  # a back side is lit like a front
    light_P = lambert(normals_P3, LIGHT, ambient=0.5)
    rim_P = 0.72 + 0.28 * normals_P3[:, 2] ** 0.6
    colour_P3 = np.einsum("pk,pkc->pc", bary_P3, colour_V3[corners_P3])
    picture_HW3[covered] = _bytes(0.08 * paper_H3[covered[0]] + 0.92 * colour_P3 * (light_P * rim_P)[:, None])


def _dots(picture_HW3: np.ndarray, points_V3: np.ndarray, colour_V3: np.ndarray) -> None:
    """Points as small squares, the nearer the darker, drawn from the back to the front."""
    height, width, _ = picture_HW3.shape
    order = np.argsort(-points_V3[:, 2], kind="stable")
    depth = points_V3[order, 2]
    shade = 0.45 + 0.3 * (depth - depth.min()) / max(np.ptp(depth), 1e-12)
    colour_P3 = _bytes(colour_V3[order] * shade[:, None])
    x, y = np.floor(points_V3[order, :2]).astype(int).T
    for dy in range(-1, 2):
        for dx in range(-1, 2):
            inside = (x + dx >= 0) & (x + dx < width) & (y + dy >= 0) & (y + dy < height)
            picture_HW3[(y + dy)[inside], (x + dx)[inside]] = colour_P3[inside]


def _side_colours(count: int) -> list[tuple[int, int, int]]:
    """A colour per joint by the contest's names; skeletons of another size are drawn in one colour."""
    names = SKELETONS[count].names if count in SKELETONS else [""] * count
    return [{"l_": LEFT, "r_": RIGHT}.get(name[:2], CENTRE) for name in names]


def _draw_bones(panel: Image.Image, joints_J3: np.ndarray, parents: Sequence[int | None], colours: list) -> None:
    """Bones as slim kites from parent to child, the far ones first, then the joints as ringed dots; slightly see-through."""
    overlay = Image.new("RGBA", panel.size)
    draw = ImageDraw.Draw(overlay)
    unit = SUPERSAMPLE
    bones = [(j, p) for j, p in enumerate(parents) if p is not None]
    for j, p in sorted(bones, key=lambda bone: (-joints_J3[list(bone), 2].mean(), bone)):
        kite = _kite(joints_J3[p, :2], joints_J3[j, :2], unit)
        draw.polygon(kite, fill=(*colours[j], 205))
        draw.line([*kite, kite[0]], fill=(255, 255, 255, 150), width=unit, joint="curve")
    for j in sorted(range(len(joints_J3)), key=lambda j: (-joints_J3[j, 2], j)):
        radius = unit * (4.2 if j < BODY_COUNT else 2.2)
        x, y = joints_J3[j, :2]
        draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=(*colours[j], 255), outline=(255, 255, 255, 255),
                     width=max(1, round(unit * (1.2 if j < BODY_COUNT else 0.6))))
    panel.paste(overlay, (0, 0), overlay)


def _kite(start_2: np.ndarray, end_2: np.ndarray, unit: float) -> list[tuple[float, float]]:
    """Corners: thickest a sixth of the way and blunt at the end, as bones are drawn in 3D programs."""
    along_2 = end_2 - start_2
    length = float(np.hypot(*along_2))
    half = min(max(0.09 * length, 1.2 * unit), 6.5 * unit)
    across_2 = np.array([-along_2[1], along_2[0]]) / max(length, 1e-9) * half
    waist_2 = start_2 + along_2 / 6
    return [tuple(corner) for corner in (start_2, waist_2 + across_2, end_2 + across_2 / 4, end_2 - across_2 / 4, waist_2 - across_2)]


def _skin_colours(skin_VJ: np.ndarray) -> np.ndarray:
    """(V, 3): the joints' colours mixed by weight; neighbouring joints lie a golden angle apart on the colour wheel."""
    palette_J3 = np.array([colorsys.hsv_to_rgb(j * 0.61803398875 % 1, 0.52, 0.97) for j in range(skin_VJ.shape[1])])
    return np.asarray(skin_VJ, np.float64) @ palette_J3


def _write(picture: Image.Image, at: tuple[float, float], text: str, size: int, colour: tuple, anchor: str) -> None:
    ImageDraw.Draw(picture).text(at, text, fill=colour, font=ImageFont.load_default(size), anchor=anchor)
