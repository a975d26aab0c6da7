"""Pictures of a rig for its report: mesh and skeleton, what each joint moves, and the poses, small and shaded.

Every picture is drawn in parallel projection from a fixed side, on the report's paper. Letters: V or U points, F faces, J joints,
H rows, W columns, P pixels. Views: right, up, towards the eye.
"""

import io
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from geometry.kinematics import rotvec_to_matrix
from geometry.normals import face_normals
from geometry.raster import Fragments, lambert, rasterize
from geometry.skinning import linear_blend_skinning
from rigging.quality_figure import Figure
from rigging.quality_motion import LONG, SHORT, edge_ratios, rotations, transforms
from rigging.quality_weights import BODY

PAPER = np.array([247, 248, 250])
CLAY = np.array([216, 221, 230])
STRAINED = np.array([214, 48, 49])      # where edges are stretched or squeezed beyond the limits
HEAT = np.array([CLAY, [244, 217, 138], [238, 138, 60], [176, 28, 46]], np.float64)     # weight 0, 1/3, 2/3, 1
LEFT_BONE, RIGHT_BONE, MIDDLE_BONE = (214, 84, 44), (28, 108, 184), (70, 78, 96)
LIGHT = (-0.4, 0.5, 0.8)                # right, up, towards the eye
QUALITY = 85                            # of the JPEG
MOST_FACES = 12_000                     # drawn; a denser mesh is thinned by merging points of a grid
GRID = 110                              # cells along the longest side of that grid
DOT = 0.008                             # size of a cloud's points, box units
TILE, MAIN = 220, 460                   # pixels: height and width of a tile, height of the large picture
HEAT_JOINTS = ("hips", "spine", "chest", "upper_chest", "neck", "head", "l_shoulder", "l_upper_arm", "l_lower_arm", "l_hand",
               "r_upper_arm", "r_hand", "l_upper_leg", "l_lower_leg", "l_foot", "r_upper_leg", "r_lower_leg", "r_foot")


class Picture(NamedTuple):
    """jpeg: the file's bytes. caption: text, not markup."""
    caption: str
    jpeg: bytes
    width: int
    height: int


class Pictures(NamedTuple):
    """skeleton: front and side; heat: one a joint; poses: one a pose. All drawn from the same thinned mesh."""
    skeleton: tuple[Picture, ...]
    heat: tuple[Picture, ...]
    poses: tuple[Picture, ...]


def draw(figure: Figure, heat_joints: tuple[str, ...] = HEAT_JOINTS) -> Pictures:
    """A cloud is drawn as small squares, without heat and poses; so is nothing of weights that are not numbers."""
    mesh = thinned(figure) if figure.has_surface else _dotted(figure)
    skeleton = tuple(_with_skeleton(figure, mesh, degrees, name) for degrees, name in ((0, "front"), (-90, "from the left")))
    if not figure.has_surface or not np.isfinite(figure.skin_UJ).all():
        return Pictures(skeleton, (), ())
    return Pictures(skeleton, _heat(figure, mesh, heat_joints), _poses(figure, mesh))


class Mesh(NamedTuple):
    points_U3: np.ndarray
    faces_F3: np.ndarray
    skin_UJ: np.ndarray


def thinned(figure: Figure, most: int = MOST_FACES) -> Mesh:
    """The mesh, or where it has more than ``most`` faces one with the points of each cell of a grid merged (Rossignac and Borrel,
    "Multi-resolution 3D approximations for rendering complex scenes", 1993): at a tile's size the difference is under a pixel."""
    surface = figure.surface
    if len(surface.faces_F3) <= most:
        return _drawn(surface.points_U3, surface.faces_F3, figure.skin_UJ)
    cell_U3 = np.floor((surface.points_U3 + 1) / 2 * GRID).astype(np.int64).clip(0, GRID - 1)
    # weights keep near limbs apart: only points that follow the same joint are merged
    key_U = ((figure.skin_UJ.argmax(1) * GRID + cell_U3[:, 0]) * GRID + cell_U3[:, 1]) * GRID + cell_U3[:, 2]
    _, first_C, cell_U = np.unique(key_U, return_index=True, return_inverse=True)
    faces_F3 = cell_U.reshape(-1)[surface.faces_F3]
    a, b, c = faces_F3.T
    return _drawn(surface.points_U3[first_C], faces_F3[(a != b) & (b != c) & (c != a)], figure.skin_UJ[first_C])


def _drawn(points_U3: np.ndarray, faces_F3: np.ndarray, skin_UJ: np.ndarray) -> Mesh:
    """Without the points that no face names: far away, they would make all else small."""
    seen_P, faces = np.unique(faces_F3, return_inverse=True)
    if len(seen_P) == len(points_U3):
        return Mesh(points_U3, faces_F3, skin_UJ)
    return Mesh(points_U3[seen_P], faces.reshape(-1, 3), skin_UJ[seen_P])


def _dotted(figure: Figure) -> Mesh:
    """Each point of a cloud as three small triangles at right angles to each other, of which any view sees one; at most MOST_FACES."""
    points_U3 = figure.surface.points_U3[::-(-3 * len(figure.surface.points_U3) // MOST_FACES)]
    corner_T33 = DOT * np.stack([np.roll([[-0.87, -0.5, 0], [0.87, -0.5, 0], [0, 1, 0]], k, axis=1) for k in range(3)])
    corners_P3 = (points_U3[:, None, None] + corner_T33).reshape(-1, 3)
    return Mesh(corners_P3, np.arange(len(corners_P3)).reshape(-1, 3), np.zeros((len(corners_P3), 0)))


# ----------------------------------------------------------------------------------------------- views and shading


def _view(points_P3: np.ndarray, degrees: float) -> np.ndarray:
    """Right, up, towards the eye, seen from the front with the figure turned about its upright axis."""
    x, y, z = (np.asarray(points_P3) @ rotvec_to_matrix(np.array([0, 0, np.radians(degrees)])).T).T
    return np.stack([x, z, -y], 1)


def _placed(view_P3: np.ndarray, middle_3: np.ndarray, scale: float, width: int, height: int) -> np.ndarray:
    """Pixels right and down, depth away from the eye."""
    x, y, z = ((view_P3 - middle_3) * scale).T
    return np.stack([width / 2 + x, height / 2 - y, -z], 1)


def _shade(seen: Fragments, placed_U3: np.ndarray, faces_F3: np.ndarray) -> np.ndarray:
    """(P,) brightness of the covered pixels; both sides of a face are lit as the side that shows."""
    normals_F3 = face_normals(placed_U3 * (1, -1, -1), faces_F3)
    normals_F3 *= np.where(normals_F3[:, 2:] < 0, -1, 1)
    return (lambert(normals_F3, np.array(LIGHT), 0.55) * (0.75 + 0.25 * normals_F3[:, 2]))[seen.face_HW[seen.covered_HW]]


def _painted(seen: Fragments, shade_P: np.ndarray, colour_P3: np.ndarray) -> Image.Image:
    """Drawn at twice the size and halved, which smooths the edges."""
    picture_HW3 = np.empty((*seen.face_HW.shape, 3), np.uint8)
    picture_HW3[:] = PAPER
    picture_HW3[seen.covered_HW] = np.rint(shade_P[:, None] * colour_P3).clip(0, 255)
    return Image.fromarray(picture_HW3).reduce(2)


def _picture(caption: str, image: Image.Image) -> Picture:
    out = io.BytesIO()
    image.save(out, format="JPEG", quality=QUALITY, optimize=True)
    return Picture(caption, out.getvalue(), image.width, image.height)


def _frame(view_P3: np.ndarray, wide: int, high: int, margin: float) -> tuple[np.ndarray, float]:
    """Middle, and pixels per unit so that all fits."""
    low_3, high_3 = view_P3.min(0), view_P3.max(0)
    extent_3 = np.maximum(high_3 - low_3, 1e-9)
    return (low_3 + high_3) / 2, float(min(wide / extent_3[0], high / extent_3[1]) * margin)


# ----------------------------------------------------------------------------------------------- the three kinds


def _with_skeleton(figure: Figure, mesh: Mesh, degrees: float, caption: str) -> Picture:
    view_U3, bone_J3 = _view(mesh.points_U3, degrees), _view(figure.joints_J3, degrees)
    both_P3 = np.concatenate([view_U3, bone_J3])
    extent_3 = np.maximum(np.ptp(both_P3, axis=0), 1e-9)
    height = 2 * MAIN
    width = 2 * int(np.clip(MAIN * extent_3[0] / extent_3[1] * 1.06, MAIN // 2, 1.3 * MAIN))
    middle_3, scale = _frame(both_P3, width, height, 0.94)
    placed_U3 = _placed(view_U3, middle_3, scale, width, height)
    seen = rasterize(placed_U3, mesh.faces_F3, height, width)
    image = _painted(seen, _shade(seen, placed_U3, mesh.faces_F3), CLAY)
    _bones(image, _placed(bone_J3, middle_3, scale, width, height) / 2, figure)
    return _picture(caption, image)


def _bones(image: Image.Image, at_J3: np.ndarray, figure: Figure) -> None:
    """The far bones first, then the joints likewise. at_J3: pixels right and down, depth."""
    colours = [{"l_": LEFT_BONE, "r_": RIGHT_BONE}.get(name[:2], MIDDLE_BONE) for name in figure.bones.names]
    pen = ImageDraw.Draw(image)
    parents = figure.bones.parents
    for j in sorted(range(1, len(parents)), key=lambda j: (-at_J3[j, 2] - at_J3[parents[j], 2], j)):
        pen.line([tuple(at_J3[parents[j], :2]), tuple(at_J3[j, :2])], fill=colours[j], width=3 if j < BODY else 2)
    for j in sorted(range(len(parents)), key=lambda j: (-at_J3[j, 2], j)):
        (x, y), radius = at_J3[j, :2].tolist(), 4 if j < BODY else 2
        pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=colours[j], outline=(255, 255, 255))


def _heat(figure: Figure, mesh: Mesh, joints: tuple[str, ...]) -> tuple[Picture, ...]:
    """The mesh is drawn once; only its colours change."""
    size = 2 * TILE
    view_U3 = _view(mesh.points_U3, 0)
    placed_U3 = _placed(view_U3, *_frame(view_U3, size, size, 0.94), size, size)
    seen = rasterize(placed_U3, mesh.faces_F3, size, size)
    shade_P = _shade(seen, placed_U3, mesh.faces_F3)
    corners_P3, bary_P3 = mesh.faces_F3[seen.face_HW[seen.covered_HW]], seen.bary_HW3[seen.covered_HW]
    pictures = []
    for name in joints:
        weight_P = (bary_P3 * mesh.skin_UJ[corners_P3, figure.index[name]]).sum(1)
        colour_P3 = np.stack([np.interp(weight_P, np.linspace(0, 1, len(HEAT)), channel) for channel in HEAT.T], 1)
        pictures.append(_picture(name, _painted(seen, shade_P, colour_P3)))
    return tuple(pictures)


def _poses(figure: Figure, mesh: Mesh) -> tuple[Picture, ...]:
    """Seen from half left and at one scale; where edges are stretched or squeezed beyond the limits the surface is red."""
    posed = {name: linear_blend_skinning(mesh.points_U3, mesh.skin_UJ, transforms(figure, turn_J3))
             for name, turn_J3 in rotations(figure).items()}
    views = {name: _view(points_U3, -30) for name, points_U3 in posed.items()}
    size = 2 * TILE
    scale = min(_frame(view_U3, size, size, 0.94)[1] for view_U3 in views.values())
    pictures = []
    for name, view_U3 in views.items():
        placed_U3 = _placed(view_U3, _frame(view_U3, size, size, 1.0)[0], scale, size, size)
        seen = rasterize(placed_U3, mesh.faces_F3, size, size)
        strain_F = _strained(mesh, posed[name])[seen.face_HW[seen.covered_HW]]
        colour_P3 = np.where(strain_F[:, None], STRAINED, CLAY)
        pictures.append(_picture(name, _painted(seen, _shade(seen, placed_U3, mesh.faces_F3), colour_P3)))
    return tuple(pictures)


def _strained(mesh: Mesh, posed_U3: np.ndarray) -> np.ndarray:
    """(F,) bool: an edge of the face is longer or shorter than the limits."""
    bad_F = np.zeros(len(mesh.faces_F3), bool)
    for k in range(3):
        ratio_F = edge_ratios(mesh.points_U3, posed_U3, mesh.faces_F3[:, [k, (k + 1) % 3]])
        bad_F |= (ratio_F > LONG) | (ratio_F < SHORT)
    return bad_F
