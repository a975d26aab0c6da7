"""Pictures of a rig for its report: mesh and skeleton, what each joint moves, and the poses, small and lit.

Every picture is drawn from a fixed side, on the report's paper. Letters: V or U points, P points of the surface, F faces, J joints.
"""

import io
from typing import NamedTuple

import numpy as np
from PIL import Image

from geometry.skinning import linear_blend_skinning
from pictures.paper import Frame, camera_round, extent, layer, through
from pictures.skeleton import solids_of
from pictures.sky import sky_of
from pictures.surface import Surface, smooth_normals, surface_of, thinned
from rigging.quality_figure import Figure
from rigging.quality_motion import LONG, SHORT, edge_ratios, rotations, transforms
from rigging.report_html import Picture, Pictures

PAPER = (247, 248, 250)
CLAY = np.array([214, 219, 228]) / 255
STRAINED = np.array([214, 48, 49]) / 255    # where edges are stretched or squeezed beyond the limits
HEAT = np.array([[214, 219, 228], [244, 217, 138], [238, 138, 60], [176, 28, 46]]) / 255   # weight 0, 1/3, 2/3, 1
QUALITY = 85                                # of the JPEG
MOST_FACES = 12_000                         # drawn; a denser mesh is thinned
GRID = 110                                  # cells along the longest side of the grid that thins it
TILE, MAIN = 220, 460                       # pixels: height and width of a tile, height of the large picture
FILL = 0.94                                 # of a picture, by its figure
HEAT_JOINTS = ("hips", "spine", "chest", "upper_chest", "neck", "head", "l_shoulder", "l_upper_arm", "l_lower_arm", "l_hand",
               "r_upper_arm", "r_hand", "l_upper_leg", "l_lower_leg", "l_foot", "r_upper_leg", "r_lower_leg", "r_foot")


class Mesh(NamedTuple):
    """surface: what is drawn at rest; skin_PJ: its points' weights; sky_P: how much of the sky they see at rest."""
    surface: Surface
    skin_PJ: np.ndarray
    sky_P: np.ndarray


def draw(figure: Figure, heat_joints: tuple[str, ...] = HEAT_JOINTS) -> Pictures:
    """A cloud is drawn as small squares, without heat and poses; so is nothing of weights that are not numbers."""
    mesh = drawn(figure)
    skeleton = tuple(_with_skeleton(figure, mesh, degrees, name) for degrees, name in ((0, "front"), (90, "from the left")))
    if not figure.has_surface or not np.isfinite(figure.skin_UJ).all():
        return Pictures(skeleton, (), ())
    return Pictures(skeleton, _heat(figure, mesh, heat_joints), _poses(figure, mesh))


def drawn(figure: Figure, most: int = MOST_FACES) -> Mesh:
    """The figure's surface, or where it has more than ``most`` faces a thinned one: at a tile's size the difference is under a pixel."""
    surface = surface_of(figure.surface.points_U3, figure.surface.faces_F3)
    if figure.has_surface and len(surface.faces_F3) > most:
        # weights keep near limbs apart: only points that follow the same joint are merged
        joint_P = figure.skin_UJ[surface.vertex_P].argmax(1)
        faces_F3, first_P, _ = thinned(surface.points_P3, surface.faces_F3, GRID, joint_P)
        surface = _of_points(surface.points_P3[first_P], faces_F3, surface.vertex_P[first_P])
    return Mesh(surface, figure.skin_UJ[surface.vertex_P], sky_of(surface).sky_P)


def _of_points(points_P3: np.ndarray, faces_F3: np.ndarray, vertex_P: np.ndarray) -> Surface:
    """Without the points that no face names: far away, they would make all else small."""
    kept_P, faces = np.unique(faces_F3, return_inverse=True)
    faces_F3 = faces.reshape(-1, 3)
    return Surface(points_P3[kept_P], smooth_normals(points_P3[kept_P], faces_F3), faces_F3, vertex_P[kept_P])


# ----------------------------------------------------------------------------------------------- the three kinds


def _with_skeleton(figure: Figure, mesh: Mesh, degrees: float, caption: str) -> Picture:
    both_P3 = np.concatenate([mesh.surface.points_P3, figure.joints_J3])
    camera = camera_round(both_P3, degrees)
    low_2, high_2 = extent(camera, both_P3)
    wide, tall = np.maximum(high_2 - low_2, 1e-9)
    width = int(np.clip(MAIN * wide / tall * 1.06, MAIN // 2, 1.3 * MAIN))
    frame = Frame(camera, (low_2 + high_2) / 2, FILL * min(width / wide, MAIN / tall), width, MAIN)
    bones = solids_of(figure.joints_J3, figure.bones.parents, float(np.ptp(mesh.surface.points_P3, axis=0).max()) or 1.0)
    over = layer(frame, bones.points_P3, bones.faces_F3, bones.normals_P3, bones.colours_P3, np.ones(len(bones.points_P3)))
    return _picture(caption, through(_painted(frame, mesh, np.tile(CLAY, (len(mesh.sky_P), 1))), over))


def _painted(frame: Frame, mesh: Mesh, colours_P3: np.ndarray) -> Image.Image:
    picture, surface = Image.new("RGBA", (frame.width, frame.height), (*PAPER, 255)), mesh.surface
    picture.alpha_composite(layer(frame, surface.points_P3, surface.faces_F3, surface.normals_P3, colours_P3, mesh.sky_P))
    return picture


def _picture(caption: str, image: Image.Image) -> Picture:
    out = io.BytesIO()
    image.convert("RGB").save(out, format="JPEG", quality=QUALITY, optimize=True)
    return Picture(caption, out.getvalue(), image.width, image.height)


def _heat(figure: Figure, mesh: Mesh, joints: tuple[str, ...]) -> tuple[Picture, ...]:
    camera = camera_round(mesh.surface.points_P3, 0)
    low_2, high_2 = extent(camera, mesh.surface.points_P3)
    frame = Frame(camera, (low_2 + high_2) / 2, FILL * TILE / max(float((high_2 - low_2).max()), 1e-9), TILE, TILE)
    return tuple(_picture(name, _painted(frame, mesh, heat(mesh.skin_PJ[:, figure.index[name]]))) for name in joints)


def heat(weight_P: np.ndarray) -> np.ndarray:
    """(P, 3) colours of weights 0 to 1."""
    return np.stack([np.interp(weight_P, np.linspace(0, 1, len(HEAT)), channel) for channel in HEAT.T], 1)


def _poses(figure: Figure, mesh: Mesh) -> tuple[Picture, ...]:
    """Seen from half left and at one scale; where edges are stretched or squeezed beyond the limits the surface is red."""
    posed = {name: linear_blend_skinning(mesh.surface.points_P3, mesh.skin_PJ, transforms(figure, turn_J3))
             for name, turn_J3 in rotations(figure).items()}
    cameras = {name: camera_round(points_P3, 30) for name, points_P3 in posed.items()}
    extents = {name: extent(cameras[name], points_P3) for name, points_P3 in posed.items()}
    scale = FILL * TILE / max(max(float((high_2 - low_2).max()) for low_2, high_2 in extents.values()), 1e-9)
    pictures = []
    for name, points_P3 in posed.items():
        frame = Frame(cameras[name], sum(extents[name]) / 2, scale, TILE, TILE)
        pictures.append(_picture(name, _painted(frame, *_strained(mesh, points_P3))))
    return tuple(pictures)


def _strained(mesh: Mesh, posed_P3: np.ndarray) -> tuple[Mesh, np.ndarray]:
    """The posed mesh with points of their own for each face, whose colour says whether one of its edges is beyond the limits."""
    faces_F3, bad_F = mesh.surface.faces_F3, np.zeros(len(mesh.surface.faces_F3), bool)
    for k in range(3):
        ratio_F = edge_ratios(mesh.surface.points_P3, posed_P3, faces_F3[:, [k, (k + 1) % 3]])
        bad_F |= (ratio_F > LONG) | (ratio_F < SHORT)
    corner_P = faces_F3.ravel()
    normals_P3 = smooth_normals(posed_P3, faces_F3)[corner_P]
    surface = Surface(posed_P3[corner_P], normals_P3, np.arange(len(corner_P)).reshape(-1, 3), corner_P)
    return Mesh(surface, mesh.skin_PJ, mesh.sky_P[corner_P]), np.where(np.repeat(bad_F, 3)[:, None], STRAINED, CLAY)
