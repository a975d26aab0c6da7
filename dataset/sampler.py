"""Points drawn from a character: what the network sees.

Letters: V vertices, F faces, J joints, N drawn points. Corner indices point at vertices; barycentric rows sum to 1.
Source: the contest's baseline takes half its points from the mesh vertices and the rest from the surface.
Ours: the surface is weighted by area (the baseline squares it and so starves fingers and faces), a share goes to the hands, and
the points come in random order, so that any prefix is a fair sample too.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from dataset.asset import Asset
from dataset.format import FULL_NAMES
from geometry.normals import normalize
from geometry.sampling import draw_barycentric, draw_steps, rising, triangle_areas

_HAND_JOINTS = np.array([j for j, name in enumerate(FULL_NAMES) if "hand" in name])


@dataclass(frozen=True, eq=False)
class Sample:
    """points_N3; normals_N3 of unit length and skin_NJ where the asset knows them; float64 from a Sampler.

    Point n lies at sum_k bary_N3[n, k] * vertices[corner_N3[n, k]]; a mesh vertex has itself three times as corners.
    """
    points_N3: np.ndarray
    normals_N3: np.ndarray | None
    skin_NJ: np.ndarray | None
    corner_N3: np.ndarray
    bary_N3: np.ndarray


@dataclass(frozen=True, eq=False)
class Surface:
    """What drawing by area needs to know of a mesh, computed once per asset: running sums, so that a draw looks at few of them.

    total_F: areas of the faces up to each (squared units, float64); degenerate faces add nothing. hand_H: the faces whose weight lies
    mostly on hands and fingers (none without skin), and hand_total_H the running sums over these.
    """
    total_F: np.ndarray
    hand_H: np.ndarray
    hand_total_H: np.ndarray

    @staticmethod
    def of(asset: Asset) -> "Surface | None":
        """None for a point cloud, and for faces without any area."""
        if not asset.has_faces:
            return None
        area_F = triangle_areas(asset.vertices_V3, asset.faces_F3)
        return Surface.by_area(area_F, np.flatnonzero(hand_faces(asset))) if area_F.sum() > 0 else None

    @staticmethod
    def by_area(area_F: np.ndarray, hand_H: np.ndarray) -> "Surface":
        return Surface(np.cumsum(area_F, dtype=np.float64), hand_H, np.cumsum(area_F[hand_H], dtype=np.float64))

    @property
    def has_hands(self) -> bool:
        return len(self.hand_H) > 0 and bool(self.hand_total_H[-1] > 0)


def hand_faces(asset: Asset) -> np.ndarray:
    """(F,) bool: more than half of the mean weight of the corners is on hand or finger joints. All False without skin."""
    if asset.skin_VJ is None or asset.skin_VJ.shape[1] not in (22, 52):
        return np.zeros(len(asset.faces_F3), bool)
    hand_V = asset.skin_VJ[:, _HAND_JOINTS[_HAND_JOINTS < asset.skin_VJ.shape[1]]].sum(1)
    return hand_V[asset.faces_F3].mean(1) > 0.5


class Spots(NamedTuple):
    """A sample's places as posing wants them: A mesh vertices, then P places on faces, both in the order in which they lie in memory.

    vertex_A int64; corner_P3 integers and bary_P3; order_N int64: point n of the sample is spot order_N[n] of these A + P.
    """
    vertex_A: np.ndarray
    corner_P3: np.ndarray
    bary_P3: np.ndarray
    order_N: np.ndarray

    def places(self) -> tuple[np.ndarray, np.ndarray]:
        """(corner_N3 int64, bary_N3) in the sample's order."""
        lone = len(self.vertex_A)
        corner_S3 = np.empty((lone + len(self.corner_P3), 3), np.int64)
        bary_S3 = np.zeros(corner_S3.shape, self.bary_P3.dtype)
        corner_S3[:lone], corner_S3[lone:] = self.vertex_A[:, None], self.corner_P3
        bary_S3[:lone, 0], bary_S3[lone:] = 1, self.bary_P3
        return corner_S3.take(self.order_N, axis=0), bary_S3.take(self.order_N, axis=0)

    def among(self, kept_K: np.ndarray) -> "Spots":
        """Those of a sample that keeps these points, in this order."""
        spot_K, lone = self.order_N[kept_K], len(self.vertex_A)
        sorted_K = np.sort(spot_K)
        left_A, left_P = np.split(sorted_K, [np.searchsorted(sorted_K, lone)])
        left_P = left_P - lone
        return Spots(self.vertex_A[left_A], self.corner_P3[left_P], self.bary_P3[left_P], np.searchsorted(sorted_K, spot_K))


@dataclass(frozen=True)
class Sampler:
    """asset, rng -> Sample of `count` points.

    vertex_share: of the points, drawn from the mesh vertices without replacement. hand_share: of the points, drawn on the faces of
    the hands where the skin tells them. The rest is uniform by area. A point cloud gives its points, repeated only when it has
    fewer than `count`.
    Raises: ValueError for shares outside [0, 1] or together above 1, or count < 1.
    """
    count: int
    vertex_share: float = 0.25
    hand_share: float = 0.15

    def __post_init__(self):
        if self.count < 1 or min(self.vertex_share, self.hand_share) < 0 or self.vertex_share + self.hand_share > 1:
            raise ValueError(f"{self}: needs count >= 1 and shares >= 0 that sum to at most 1")

    def __call__(self, asset: Asset, rng: np.random.Generator) -> Sample:
        corner_N3, bary_N3 = self.places(len(asset.vertices_V3), asset.faces_F3, Surface.of(asset), rng)
        points_N3 = blend(asset.vertices_V3, corner_N3, bary_N3)
        normals_N3 = None if asset.normals_V3 is None else normalize(blend(asset.normals_V3, corner_N3, bary_N3))
        skin_NJ = None if asset.skin_VJ is None else blend(asset.skin_VJ, corner_N3, bary_N3)
        return Sample(points_N3, normals_N3, skin_NJ, corner_N3, bary_N3)

    def places(self, vertex_count: int, faces_F3: np.ndarray | None, surface: Surface | None,
               rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Where to sample: corner_N3 int64 and bary_N3 float64. They fit every pose of the mesh."""
        return self.spots(vertex_count, faces_F3, surface, rng).places()

    def spots(self, vertex_count: int, faces_F3: np.ndarray | None, surface: Surface | None, rng: np.random.Generator) -> Spots:
        """As `places`, for a caller that reads much of the mesh there."""
        if surface is None:
            return Spots(_vertices(vertex_count, self.count, rng), np.empty((0, 3), np.int64), np.empty((0, 3)), np.arange(self.count))
        on_vertices = min(round(self.count * self.vertex_share), vertex_count)
        on_hands = round(self.count * self.hand_share) if surface.has_hands else 0
        face_P = np.concatenate([_draw(surface.total_F, self.count - on_vertices - on_hands, rng),
                                 surface.hand_H[_draw(surface.hand_total_H, on_hands, rng)]])
        vertex_A, bary_P3 = _vertices(vertex_count, on_vertices, rng), draw_barycentric(len(face_P), rng)
        order_N = rng.permutation(self.count)
        first_A, first_P = rising(vertex_A), rising(face_P)
        spot_N = np.empty(self.count, np.int64)
        spot_N[first_A], spot_N[first_P + on_vertices] = np.arange(on_vertices), np.arange(on_vertices, self.count)
        corner_P3 = faces_F3.take(face_P.take(first_P), axis=0)
        return Spots(vertex_A.take(first_A), corner_P3, bary_P3.take(first_P, axis=0), spot_N.take(order_N))


def blend(values_VC: np.ndarray, corner_N3: np.ndarray, bary_N3: np.ndarray) -> np.ndarray:
    """sum_k bary[n, k] values[corner[n, k]], (N, C), in the wider of the two types."""
    out_NC = values_VC.take(corner_N3[:, 0], axis=0) * bary_N3[:, :1]
    for k in (1, 2):
        out_NC += values_VC.take(corner_N3[:, k], axis=0) * bary_N3[:, k:k + 1]
    return out_NC


def _draw(total_F: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    return draw_steps(total_F, count, rng) if count else np.empty(0, np.int64)


def _vertices(vertex_count: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Without replacement as far as they last, then each again, as evenly as the numbers allow."""
    rounds, rest = divmod(count, vertex_count)
    drawn = rng.choice(vertex_count, rest, replace=False)
    return rng.permutation(np.concatenate([np.tile(np.arange(vertex_count), rounds), drawn])) if rounds else drawn
