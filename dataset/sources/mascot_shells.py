"""Closed surfaces for procedural mascots: lofts (trunks, heads, robes), sweeps (limbs, tails, horns), bulges, and what hides what.

A shell is a row of rings with a pole at either end, so it is closed and its rows carry a place along it, which weights are made from.
Letters: V vertices, F faces, J joints (52), K rows, S segments around, P points. Units: those of the input. Faces look outwards.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from dataset.format import SKELETONS
from dataset.sources.shapes import grid_faces

FLIP = np.array([-1.0, 1.0, 1.0])
_MIRROR = list(SKELETONS[52].mirror)


@dataclass(frozen=True, eq=False)
class Shell:
    """One island. along_V: place of each vertex's row (lofts: height; sweeps: arc length from the path's first point).

    inside: which of (P, 3) points the shell surely hides, before later bulges; None hides nothing. skin_VJ: weights once bound.
    """
    vertices_V3: np.ndarray
    faces_F3: np.ndarray
    along_V: np.ndarray
    inside: Callable[[np.ndarray], np.ndarray] | None = None
    skin_VJ: np.ndarray | None = None

    def mirrored(self) -> "Shell":
        """The shell of the other side: x changes sign, left and right weights swap."""
        seen = self.inside
        return replace(self, vertices_V3=self.vertices_V3 * FLIP, faces_F3=self.faces_F3[:, ::-1],
                       inside=None if seen is None else lambda points_P3: seen(points_P3 * FLIP),
                       skin_VJ=None if self.skin_VJ is None else self.skin_VJ[:, _MIRROR])


@functools.lru_cache(maxsize=256)
def _faces(rows: int, segments: int) -> np.ndarray:
    """Faces of rings in row order, then the first and the last pole."""
    ring = np.arange(segments)
    beside, last = np.roll(ring, -1), (rows - 1) * segments
    low, high = rows * segments, rows * segments + 1
    fans = [np.stack([beside, ring, np.full(segments, low)], 1), np.stack([last + ring, last + beside, np.full(segments, high)], 1)]
    return np.concatenate([grid_faces(rows, segments, closed=True), *fans])


def rings(rings_KS3: np.ndarray, along_K: np.ndarray, inside=None) -> Shell:
    """Close rings (counter-clockwise seen from the last one's side) with a pole in the middle of the first and the last."""
    rows, segments, _ = rings_KS3.shape
    poles_23 = rings_KS3[[0, -1]].mean(1)
    return Shell(np.concatenate([rings_KS3.reshape(-1, 3), poles_23]), _faces(rows, segments),
                 np.concatenate([np.repeat(along_K, segments), along_K[[0, -1]]]), inside)


def _superellipse(segments: int, power: float) -> tuple[np.ndarray, np.ndarray]:
    """(sine-like, cosine-like) of |s|^p + |c|^p = 1; power 2 is a circle, 5 nearly a box."""
    angle_S = np.linspace(0, 2 * np.pi, segments, endpoint=False)
    sine_S, cosine_S = np.sin(angle_S), np.cos(angle_S)
    size_S = (np.abs(sine_S) ** power + np.abs(cosine_S) ** power) ** (-1 / power)
    return sine_S * size_S, cosine_S * size_S


def loft(height_K: np.ndarray, width_K: np.ndarray, depth_K: np.ndarray, segments: int, power: float = 2.0,
         middle_K: np.ndarray | float = 0.0) -> Shell:
    """Rings about the y axis from the bottom up: half widths (x), half depths (z), z of the middles."""
    sine_S, cosine_S = _superellipse(segments, power)
    middle_K = np.broadcast_to(middle_K, height_K.shape)
    rings_KS3 = np.stack([width_K[:, None] * sine_S, np.broadcast_to(height_K[:, None], (len(height_K), segments)),
                          middle_K[:, None] + depth_K[:, None] * cosine_S], axis=-1)

    def inside(points_P3: np.ndarray) -> np.ndarray:
        x, y, z = points_P3.T
        width, depth, middle = (np.interp(y, height_K, a) for a in (width_K, depth_K, middle_K))
        wide, deep = np.abs(x) / (width + 1e-9), np.abs(z - middle) / (depth + 1e-9)
        return (y > height_K[0]) & (y < height_K[-1]) & (wide ** power + deep ** power < 0.94)

    return rings(rings_KS3, height_K, inside)


def sweep(path_K3: np.ndarray, radius_K: np.ndarray, segments: int, up_3: Sequence[float] = (0.0, 0.0, 1.0),
          flat: float | np.ndarray = 1.0, power: float = 2.0) -> Shell:
    """Rings across a path; flat (one for all or one per row) scales them along `up`, which must not be parallel to the path."""
    tangent_K3 = np.gradient(path_K3, axis=0)
    tangent_K3 /= np.linalg.norm(tangent_K3, axis=1, keepdims=True) + 1e-12
    first_K3 = np.asarray(up_3) - (tangent_K3 @ np.asarray(up_3))[:, None] * tangent_K3
    first_K3 /= np.linalg.norm(first_K3, axis=1, keepdims=True) + 1e-12
    second_K3 = np.cross(tangent_K3, first_K3)
    sine_S, cosine_S = _superellipse(segments, power)
    flat_K = np.broadcast_to(flat, radius_K.shape)
    rings_KS3 = path_K3[:, None] + radius_K[:, None, None] * (
        flat_K[:, None, None] * cosine_S[:, None] * first_K3[:, None] + sine_S[:, None] * second_K3[:, None])
    along_K = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(path_K3, axis=0), axis=1))])
    hidden_K = (0.92 * np.minimum(flat_K, 1.0) * radius_K) ** 2

    def inside(points_P3: np.ndarray) -> np.ndarray:
        away_PK = ((points_P3[:, None] - path_K3[None]) ** 2).sum(2)
        return (away_PK < hidden_K).any(1)

    return rings(rings_KS3, along_K, inside)


def rounded(along_K: np.ndarray, radius_K: np.ndarray, start: float = 1.0, end: float = 1.0) -> np.ndarray:
    """Radii that close like hemispheres (share 1) or like buttons (0.2) at the two ends of a path; 0 leaves an end flat."""
    result_K = np.array(radius_K, float)
    for share, distance_K, radius in ((start, along_K - along_K[0], radius_K[0]), (end, along_K[-1] - along_K, radius_K[-1])):
        if share > 0:
            t_K = np.clip(distance_K / (share * radius + 1e-12), 0, 1)
            result_K *= np.maximum(np.sqrt(1 - (1 - t_K) ** 2), 0.04)
    return result_K


def spaced(count: int, crowd: float = 0.6) -> np.ndarray:
    """count places from 0 to 1, closer together at both ends (crowd 0: even) where rounded ends need rows."""
    t_K = np.linspace(0, 1, count)
    return (1 - crowd) * t_K + crowd * 0.5 * (1 - np.cos(np.pi * t_K))


def ball(centre_3: np.ndarray, radii_3: np.ndarray, detail: float = 1.0, power: float = 2.0) -> Shell:
    """A superellipsoid, upright."""
    radii_3 = np.broadcast_to(np.asarray(radii_3, float), (3,))
    polar_K = np.linspace(0.12, np.pi - 0.12, count(9, detail))
    shape = loft(-np.cos(polar_K) * radii_3[1], *(r * np.sin(polar_K) ** (2 / power) for r in radii_3[[0, 2]]), count(14, detail), power)
    seen = shape.inside
    return replace(shape, vertices_V3=shape.vertices_V3 + centre_3, inside=lambda points_P3: seen(points_P3 - centre_3))


def count(number: int, detail: float, least: int = 4) -> int:
    """Rows or segments at a level of detail (1 = ordinary)."""
    return max(least, int(round(number * detail)))


def curve(root_3: np.ndarray, steps_K3: np.ndarray) -> np.ndarray:
    """A path from the root by steps."""
    return root_3 + np.concatenate([np.zeros((1, 3)), np.cumsum(steps_K3, axis=0)])


def arc(root_3: np.ndarray, direction_3: np.ndarray, towards_3: np.ndarray, length: float, rows: int) -> np.ndarray:
    """A path of that length which leaves along direction and turns evenly until it runs along towards: (rows, 3)."""
    t_K = np.linspace(0, 1, rows - 1)[:, None]
    way_K3 = (1 - t_K) * np.asarray(direction_3, float) + t_K * np.asarray(towards_3, float)
    return curve(np.asarray(root_3, float), way_K3 / (np.linalg.norm(way_K3, axis=1, keepdims=True) + 1e-9) * length / (rows - 1))


def bulge(shell: Shell, at_3: np.ndarray, push_3: np.ndarray, spread: float | np.ndarray, flat: float = 2.0) -> Shell:
    """Push the part of the surface near at_3 by push_3; spread: how far that reaches (per axis); flat > 2: a blunter push."""
    away_V = np.linalg.norm((shell.vertices_V3 - at_3) / spread, axis=1)
    return replace(shell, vertices_V3=shell.vertices_V3 + np.exp(-away_V ** flat)[:, None] * np.asarray(push_3))


def turned(shell: Shell, centre_3: np.ndarray, rotation_33: np.ndarray) -> Shell:
    """The shell rotated about a point; it hides nothing any more."""
    return replace(shell, vertices_V3=(shell.vertices_V3 - centre_3) @ rotation_33.T + centre_3, inside=None)


def without_hidden(shells: list[Shell]) -> list[Shell]:
    """The same shells without the faces whose three corners lie inside another shell; a shell that is hidden whole goes."""
    boxes = [(s.vertices_V3.min(0), s.vertices_V3.max(0)) for s in shells]
    result = []
    for i, shell in enumerate(shells):
        hidden_V = np.zeros(len(shell.vertices_V3), bool)
        for j, other in enumerate(shells):
            if i == j or other.inside is None or (boxes[i][0] > boxes[j][1]).any() or (boxes[i][1] < boxes[j][0]).any():
                continue
            open_V = ~hidden_V & (shell.vertices_V3 > boxes[j][0]).all(1) & (shell.vertices_V3 < boxes[j][1]).all(1)
            hidden_V[open_V] = other.inside(shell.vertices_V3[open_V])
        faces_F3 = shell.faces_F3[~hidden_V[shell.faces_F3].all(1)]
        if len(faces_F3):
            result.append(used_only(shell, faces_F3))
    return result


def used_only(shell: Shell, faces_F3: np.ndarray) -> Shell:
    """The shell with these faces and the vertices that they use."""
    used_V = np.zeros(len(shell.vertices_V3), bool)
    used_V[faces_F3] = True
    skin_VJ = None if shell.skin_VJ is None else shell.skin_VJ[used_V]
    return replace(shell, vertices_V3=shell.vertices_V3[used_V], faces_F3=(np.cumsum(used_V) - 1)[faces_F3],
                   along_V=shell.along_V[used_V], skin_VJ=skin_VJ)
