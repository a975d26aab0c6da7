"""Pictures and example files of generated humans: a contact sheet, and the inputs that the prediction door tries when given none.

Letters: V vertices, F faces, J joints. No display, no GPU.
"""

import colorsys
from pathlib import Path

import numpy as np
import trimesh
from PIL import Image, ImageDraw

from dataset.asset import Asset
from dataset.sources.humans import HumanStyle, generate
from geometry.kinematics import homogeneous, rotvec_to_matrix
from geometry.raster import rasterize
from geometry.sampling import sample_surface
from geometry.shading import seen_from_behind, shade

CELL = (190, 220)               # width and height of one figure on the sheet, pixels
TURN = np.radians(30)           # figures are seen from this far to their left


def draw_sheet(path: str | Path, assets: list[Asset], columns: int = 10, weights: bool = False) -> None:
    """Write a PNG with one cell per Y-up asset: shaded, skeleton on top; weights=True colours vertices by their joints."""
    rows = -(-len(assets) // columns)
    sheet = Image.new("RGB", (CELL[0] * min(columns, len(assets)), CELL[1] * rows), "white")
    for i, asset in enumerate(assets):
        sheet.paste(_figure(asset, weights), (i % columns * CELL[0], i // columns * CELL[1]))
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, format="PNG")


def _figure(asset: Asset, weights: bool) -> Image.Image:
    """One cell, drawn at twice the size and shrunk."""
    width, height = 2 * CELL[0], 2 * CELL[1]
    turn_33 = np.array([[np.cos(TURN), 0, -np.sin(TURN)], [0, 1, 0], [np.sin(TURN), 0, np.cos(TURN)]])
    seen_V3, bones_J3 = asset.vertices_V3 @ turn_33.T, asset.joints_J3 @ turn_33.T
    low_3, high_3 = seen_V3.min(0), seen_V3.max(0)
    scale = min((width - 20) / (high_3[0] - low_3[0]), (height - 50) / (high_3[1] - low_3[1]))
    place = lambda x_P3: ((x_P3 - (low_3 + high_3) / 2) * scale) * [1, -1, -1] + [width / 2, height / 2 + 12, 0]  # noqa: E731
    fragments = rasterize(place(seen_V3), asset.faces_F3, height, width)
    picture_HW3 = np.full((height, width, 3), 255.0)
    covered = fragments.covered_HW
    normals_V3 = asset.normals_V3 @ turn_33.T
    colour_VC = _joint_colours(asset) if weights else np.full((len(seen_V3), 3), 0.87)
    normals_P3, colour_P3 = (fragments.interpolate(x, asset.faces_F3)[covered] for x in (normals_V3, colour_VC))
    behind_P = seen_from_behind(normals_V3[asset.faces_F3[fragments.face_HW[covered]]])
    picture_HW3[covered] = 255 * shade(normals_P3, colour_P3, np.ones(len(normals_P3)), behind_P)
    image = Image.fromarray(np.rint(picture_HW3).astype(np.uint8))
    pen, dots_J3 = ImageDraw.Draw(image), place(bones_J3)
    for j, parent in enumerate(asset.parents):
        if parent is not None and j < 22:
            pen.line([tuple(dots_J3[j, :2]), tuple(dots_J3[parent, :2])], fill=(20, 90, 220), width=2)
    pen.text((6, 4), f"{asset.id}  {len(seen_V3)} v", fill=(40, 45, 56), font_size=20)
    return image.resize(CELL, Image.Resampling.LANCZOS)


def _joint_colours(asset: Asset) -> np.ndarray:
    """Far apart hues for neighbouring joints, mixed by weight: (V, 3) in 0..1."""
    hue_J = (np.arange(asset.joint_count) * 0.381966) % 1
    return asset.skin_VJ @ np.array([colorsys.hsv_to_rgb(h, 0.55, 1.0) for h in hue_J])


def write_examples(folder: str | Path) -> list[Path]:
    """Four inputs without a rig, the same bytes each time; returns their paths.

    A clothed T pose (GLB), a posed A pose (OBJ), a turned and posed point cloud (PLY), a cartoon figure with a big head (GLB).
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    cartoon = HumanStyle(cartoon=1.0, figures=("chibi",))
    cloud = _posed(generate(9, HumanStyle(cartoon=0.0)), rng, 20)
    face_P, bary_P3 = sample_surface(cloud.vertices_V3, cloud.faces_F3, 8000, rng)
    points_P3 = np.einsum("pk,pkd->pd", bary_P3, cloud.vertices_V3[cloud.faces_F3[face_P]])
    shapes = {
        "example_01.glb": _mesh(generate(24, HumanStyle(cartoon=0.0, natural_pose=0.0))),
        "example_02.obj": _mesh(_posed(generate(26), rng, 25)),
        "example_03.ply": trimesh.PointCloud(points_P3 @ rotvec_to_matrix(np.array([0.4, 2.0, 0.3])).T),
        "example_04.glb": _mesh(generate(4, cartoon)),
    }
    for name, shape in shapes.items():
        shape.export(folder / name)
    return [folder / name for name in shapes]


def _mesh(asset: Asset) -> trimesh.Trimesh:
    return trimesh.Trimesh(asset.vertices_V3, asset.faces_F3, vertex_normals=asset.normals_V3, process=False)


def _posed(asset: Asset, rng: np.random.Generator, degrees: float) -> Asset:
    """Every joint but the root turned by up to so many degrees about each axis, fingers a third of that."""
    limit_J = np.radians(degrees) * np.where(np.arange(asset.joint_count) < 22, 1.0, 0.33)
    limit_J[0] = 0
    vector_J3 = rng.uniform(-1, 1, (asset.joint_count, 3)) * limit_J[:, None]
    return asset.posed(homogeneous(rotvec_to_matrix(vector_J3), np.zeros_like(vector_J3)))
