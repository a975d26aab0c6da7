"""How much of the sky a point sees past a figure: soft shade in its folds, and its shadow on the ground. Baked once for all views.

Ambient occlusion by depth maps: parallel light from many directions round the figure, each with a z-buffer of its own; a point sees the sky in
a direction where it lies no deeper than what the z-buffer shows (Williams, "Casting curved shadows on curved surfaces", SIGGRAPH 1978), and
directions count by the cosine to its normal. Letters: P points, F faces, D directions, N of a batch of maps, M cells of the ground.
"""

from typing import NamedTuple

import jittor as jt
import numpy as np

from ops.raster import rasterize
from pictures.surface import Surface, thinned

DIRECTIONS, TOGETHER = 96, 16   # light directions, and how many maps are drawn at a time
MAP = 128                       # pixels along each side of a map
SLACK = 1.6                     # pixels that a point may lie deeper than its map: it would shade itself
MOST_FACES = 16_000             # of what casts shade; a denser mesh is thinned
CELLS = 96                      # of the grid that thins it, and of the ground's map along a side
BLURS = 8                       # of the ground's map


class Sky(NamedTuple):
    """sky_P: 0 to 1 for each point. ground_MM: 0 to 1 on a square of the ground, rows towards +y, columns towards +x; corner_3 its low
    corner, side its length."""
    sky_P: np.ndarray
    ground_MM: np.ndarray
    corner_3: np.ndarray
    side: float


def sky_of(surface: Surface, shelter: float = 0.75) -> Sky:
    """In a frame with Z up, the ground under the lowest point. shelter: how much of the sky's loss is shown, 0 to 1."""
    low_3, high_3 = surface.points_P3.min(0), surface.points_P3.max(0)
    middle_3, radius = (low_3 + high_3) / 2, max(float(np.linalg.norm(high_3 - low_3)) / 2, 1e-30)
    side = 2.6 * radius
    corner_3 = np.array([middle_3[0] - side / 2, middle_3[1] - side / 2, low_3[2]])
    place_M = (np.arange(CELLS) + 0.5) / CELLS * side
    ground_M3 = np.stack([*np.meshgrid(corner_3[0] + place_M, corner_3[1] + place_M), np.full((CELLS, CELLS), low_3[2])], -1).reshape(-1, 3)
    faces_F3 = surface.faces_F3
    points_C3, cell_P = surface.points_P3, None
    if len(faces_F3) > MOST_FACES:
        faces_F3, first_C, cell_P = thinned(surface.points_P3, faces_F3, CELLS)
        points_C3 = surface.points_P3[first_C]
    normals_C3 = surface.normals_P3 if cell_P is None else surface.normals_P3[first_C]
    seen_C, seen_M = _seen(points_C3, normals_C3, ground_M3, faces_F3, middle_3, radius)
    sky_P = seen_C if cell_P is None else seen_C[cell_P]
    return Sky(1 - shelter * (1 - sky_P), _blurred(seen_M.reshape(CELLS, CELLS)), corner_3, side)


def _blurred(map_MM: np.ndarray) -> np.ndarray:
    """Each cell mixed with its neighbours 1 : 2 : 1 both ways, BLURS times: single shadows become one soft one."""
    for _ in range(BLURS):
        for _ in range(2):
            wide_MM = np.pad(map_MM, ((1, 1), (0, 0)), mode="edge")
            map_MM = ((wide_MM[:-2] + 2 * map_MM + wide_MM[2:]) / 4).T
    return map_MM


def _seen(points_P3: np.ndarray, normals_P3: np.ndarray, ground_M3: np.ndarray, faces_F3: np.ndarray, middle_3: np.ndarray, radius: float):
    """Shares of the sky (P,) and (M,). The larger of both sides of a surface: inside a closed one it is dark, whichever way faces turn."""
    turn_D33 = directions(DIRECTIONS)
    faces = jt.array(np.asarray(faces_F3, np.int32)) if len(faces_F3) else None
    front_P, back_P, all_P, below_P, seen_M, all_M = (np.zeros(n) for n in [len(points_P3)] * 4 + [len(ground_M3)] * 2)
    scale = MAP / 2 / (1.02 * radius)
    for start in range(0, DIRECTIONS, TOGETHER):
        turn_N33 = turn_D33[start:start + TOGETHER]
        placed_NP3 = _placed(points_P3, turn_N33, middle_3, scale)
        depth_NHW = np.full((len(turn_N33), MAP, MAP), np.inf, np.float32)
        if faces is not None:
            depth_NHW = rasterize(jt.array(np.float32(placed_NP3)), faces, MAP, MAP)[2].numpy()
        for turn_33, placed_P3, placed_M3, depth_HW in zip(turn_N33, placed_NP3, _placed(ground_M3, turn_N33, middle_3, scale), depth_NHW):
            cosine_P, seen_P = normals_P3 @ -turn_33[2], _lit(placed_P3, depth_HW)
            front_P += seen_P * np.maximum(cosine_P, 0)
            back_P += seen_P * np.maximum(-cosine_P, 0)
            all_P += np.maximum(cosine_P, 0)
            below_P += np.maximum(-cosine_P, 0)
            rise = max(-turn_33[2, 2], 0.0)
            seen_M += rise * _lit(placed_M3, depth_HW)
            all_M += rise
    share = lambda part, whole: np.divide(part, whole, out=np.ones_like(part), where=whole > 0)  # noqa: E731
    return np.maximum(share(front_P, all_P), share(back_P, below_P)), share(seen_M, all_M)


def directions(count: int) -> np.ndarray:
    """(D, 3, 3): rows right, down and into each picture, spread evenly over the sphere on a Fibonacci spiral."""
    height_D = 1 - (2 * np.arange(count) + 1) / count
    angle_D = np.arange(count) * np.pi * (3 - 5 ** 0.5)
    ring_D = np.sqrt(1 - height_D ** 2)
    into_D3 = np.stack([ring_D * np.cos(angle_D), ring_D * np.sin(angle_D), height_D], 1)
    right_D3 = np.stack([-np.sin(angle_D), np.cos(angle_D), np.zeros(count)], 1)
    return np.stack([right_D3, np.cross(into_D3, right_D3), into_D3], 1)


def _placed(points_P3: np.ndarray, turn_N33: np.ndarray, middle_3: np.ndarray, scale: float) -> np.ndarray:
    """(N, P, 3): pixels right and down of each map, depth in pixels too."""
    return (points_P3 - middle_3) @ turn_N33.transpose(0, 2, 1) * scale + (MAP / 2, MAP / 2, 0)


def _lit(placed_P3: np.ndarray, depth_HW: np.ndarray) -> np.ndarray:
    """(P,) bool. What lies outside the map lies in the light."""
    column_P, row_P = np.floor(placed_P3[:, :2]).astype(np.int64).T
    within_P = (column_P >= 0) & (column_P < MAP) & (row_P >= 0) & (row_P < MAP)
    shown_P = depth_HW[row_P.clip(0, MAP - 1), column_P.clip(0, MAP - 1)]
    return ~within_P | (placed_P3[:, 2] <= shown_P + SLACK)
