"""What the network is shown of an asset: its geometry alone, in the unit box; and which assets cannot be a figure.

Vertices that no face of a mesh names are not to be seen: they neither set the box nor are they drawn as points. They do get weights.
Letters: V vertices, N points.
"""

import hashlib
from dataclasses import replace

import numpy as np

from dataset.asset import Asset, AssetError, network_rotation
from dataset.format import BODY_NAMES
from geometry.normals import vertex_normals
from geometry.similarity import Similarity, fit_box
from geometry.topology import seen_vertices, welded

FEWEST = len(BODY_NAMES)    # distinct places: a body of 22 joints cannot be told from fewer
THIN = 1e-3                 # a figure's second extent is more than this part of its first: else it is a line
COARSE = 0.01               # of the longest side: the step of float32 at the figure's place beyond which fingers are gone
SMALLEST, LARGEST = 1e-30, 1e37     # longest sides, file's units: beyond, the rig's own numbers would leave the range of float32
SURELY = 5.0                # standard errors; of 1,024 points on people and mascots that face outwards the least is 5.8 above zero
CELLS = 32                  # a side of the box, to see whether a figure fills it


def geometry_only(asset: Asset) -> Asset:
    """The asset without its rig."""
    return replace(asset, joints_J3=None, skin_VJ=None, parents=None, names=None, matrix_local_J44=None, joint_valid_J=None)


def with_normals(asset: Asset) -> Asset:
    """The asset with vertex normals from its faces where it has faces but no normals."""
    if asset.normals_V3 is not None or not asset.has_faces:
        return asset
    return replace(asset, normals_V3=np.float32(vertex_normals(asset.vertices_V3, asset.faces_F3)))


def visible(asset: Asset) -> Asset:
    """The asset without the vertices that no face names; itself where there are none. Its joints are not looked at."""
    seen_V = seen_vertices(asset.faces_F3, len(asset.vertices_V3))
    if seen_V.all():
        return asset
    faces_F3 = (np.cumsum(seen_V) - 1)[asset.faces_F3]
    of = lambda array: None if array is None else array[seen_V]  # noqa: E731
    return replace(asset, vertices_V3=of(asset.vertices_V3), normals_V3=of(asset.normals_V3), skin_VJ=of(asset.skin_VJ), faces_F3=faces_F3)


def box_similarity(asset: Asset) -> Similarity:
    """The asset's frame -> network frame -> unit box of what is to be seen.

    Raises: AssetError when all that is in one place.
    """
    turn = network_rotation(asset)
    try:
        return turn.then(fit_box(turn.apply(asset.vertices_V3[seen_vertices(asset.faces_F3, len(asset.vertices_V3))])))
    except ValueError as error:
        raise AssetError(f"{asset.source}: {error}; a character needs vertices that are apart") from error


def content_number(asset: Asset) -> int:
    """A number of the mesh's connections and size, not of where it stands or in which units: 8 bytes of a SHA-256.

    So the same figure in metres or inches gets the same points, and the same rig up to rounding.
    """
    digest = hashlib.sha256(str(len(asset.vertices_V3)).encode())
    if asset.faces_F3 is not None:
        digest.update(np.ascontiguousarray(asset.faces_F3, "<i8").tobytes())
    return int.from_bytes(digest.digest()[:8], "little")


def faces_inwards(points_N3: np.ndarray, normals_N3: np.ndarray | None) -> bool:
    """Whether the normals of points drawn on the surface point into the figure, as those of a mesh whose faces are wound the other way.

    The mean of n . (x - centre) is three times the volume over the area, > 0 for a surface that faces outwards. Inwards: below zero by
    more than SURELY standard errors, so that sheets, double walls and faces turned at random stay as they are.
    """
    if normals_N3 is None:
        return False
    height_N = (normals_N3 * (points_N3 - points_N3.mean(0))).sum(1)
    return float(height_N.mean()) < -SURELY * float(height_N.std()) / np.sqrt(len(height_N))


def turned_outwards(asset: Asset) -> Asset:
    """The asset with its normals the other way; its faces stay."""
    return replace(asset, normals_V3=-asset.normals_V3)


def refuse_what_is_no_figure(asset: Asset) -> None:
    """Raises: AssetError for an asset of which no rig can be right: of too few places, on a line, too coarse, too large or too small."""
    points_V3 = np.float64(asset.vertices_V3[seen_vertices(asset.faces_F3, len(asset.vertices_V3))])
    fail = lambda what, fix: AssetError(f"{asset.source}: {what}; {fix}")  # noqa: E731
    if (places := distinct(points_V3)) < FEWEST:
        raise fail(f"its vertices are in {places} place{'s' * (places != 1)}",
                   f"a figure needs {FEWEST} or more, as many as its body has joints")
    side = float(np.ptp(points_V3, axis=0).max())
    if not SMALLEST <= side <= LARGEST:
        raise fail(f"its longest side measures {side:.3g}", f"scale it to between {SMALLEST:g} and {LARGEST:g}, best to metres")
    step = float(np.spacing(np.float32(np.abs(points_V3).max())))
    if step > COARSE * side:
        raise fail(f"it stands so far from the origin that its file's coordinates go in steps of {100 * step / side:.2g} % of its size",
                   "move it to the origin in the tool that wrote the file")
    boxed_V3 = points_V3 / side - points_V3.mean(0) / side
    spread_3 = np.sqrt(np.maximum(np.linalg.eigvalsh(boxed_V3.T @ boxed_V3), 0))
    if spread_3[1] <= THIN * spread_3[2]:
        raise fail("all its vertices lie on a line", "a figure needs width")


def distinct(points_V3: np.ndarray) -> int:
    """How many different positions there are; where an axis shows that there are enough, only how many it shows: no sort of all."""
    shown = max(len(np.unique(x_V)) for x_V in points_V3.T)
    return shown if shown >= FEWEST else len(welded(points_V3)[0])


def refuse_what_is_lost_in_its_box(points_N3: np.ndarray, source: str) -> None:
    """points_N3: what the network sees, in the unit box. Raises: AssetError where that is too little of the box to be a figure."""
    cell_N3 = np.clip((points_N3 + 1) / 2 * CELLS, 0, CELLS - 1).astype(np.int64)
    filled = len(np.unique(cell_N3 @ (CELLS * CELLS, CELLS, 1)))
    if filled < FEWEST:
        raise AssetError(f"{source}: nearly all of it lies in a few spots of its bounding box; a stray vertex or object far from the "
                         "figure makes the box too large: remove it")
