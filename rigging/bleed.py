"""Bleed: weight on a limb that the joint does not belong to, measured with and without the truth.

Without the truth, a joint's weight has JUMPED where
  - the joint's core is near through space and far over the surface (hand on the thigh, leg on the other leg, finger on the next), or
  - an island of the joint's region, cut off from the core by other joints' regions, lies on a limb of a joint that is no relation.
Related: parent and child, grandparent and grandchild; siblings and everything further apart are not. The core: the heaviest connected
part of where the joint has half of its greatest weight. Ours; geodesic tests of this kind: Dionne and de Lasa, "Geodesic Voxel Binding
for Production Character Meshes", SCA 2013.
Letters: V vertices, U distinct positions, J joints. Lengths are in the unit box (longest side of the mesh = 2).
"""

from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from geometry.geodesic import bridges, distances, graph, nearest_source
from geometry.laplacian import Laplacian, laplacian
from geometry.neighbors import kd_tree
from geometry.normals import vertex_normals
from geometry.segment import segment_mean
from geometry.similarity import fit_box
from geometry.topology import checked_faces, components, edges, proper_faces, seen_vertices, welded

REACH = 0.03        # shells nearer than this that face the same way lie on each other (2.5 cm on a person)
REGION = 0.05       # a joint's region: where its weight is above this
CORE = 0.5          # of the greatest weight
FAINT = 0.01        # weights below this are not looked at
TRUE_OWNER = 0.01   # a joint with more true weight than this owns the vertex too
KEPT = 3            # columns of each joint that are remembered: before, after, and mixed of both


@dataclass(frozen=True)
class GapOptions:
    """A vertex lies across a gap when its way over the surface from the core is longer than ratio times the straight one plus slack.

    slack: in box units; over another slack the judgement goes from no to yes, so that weights are not cut along a line."""
    ratio: float = 3.0
    slack: float = 0.05


@dataclass(frozen=True, eq=False)
class Surface:
    """A mesh as weights live on it: one point for each distinct position, in the unit box of those that faces name.

    points_U3 float64; place_V: the point of each vertex; faces_F3: of points, with three different corners.
    """
    points_U3: np.ndarray
    place_V: np.ndarray
    faces_F3: np.ndarray

    @staticmethod
    def of(vertices_V3: np.ndarray, faces_F3: np.ndarray | None) -> "Surface":
        """Raises: ValueError for positions that are not finite, faces that name no vertex, and a mesh without extent."""
        points_U3, place_V = welded(vertices_V3)
        faces_F3 = checked_faces(faces_F3, len(place_V))
        boxed_U3 = fit_box(points_U3[seen_vertices(place_V[faces_F3], len(points_U3))]).apply(points_U3)
        if not np.isfinite(boxed_U3).all():
            raise ValueError("the mesh is too small or too large to be scaled to the unit box")
        return Surface(boxed_U3, place_V, proper_faces(place_V[faces_F3]))

    @cached_property
    def label_U(self) -> np.ndarray:
        """The shell (connected piece) of each point."""
        return components(self.faces_F3, len(self.points_U3))

    @cached_property
    def lengths(self) -> csr_matrix:
        """Edge lengths, shells bridged."""
        normals_U3 = vertex_normals(self.points_U3, self.faces_F3)
        between = bridges(self.points_U3, self.label_U, normals_U3, REACH)
        return graph(self.points_U3, np.concatenate([edges(self.faces_F3), between]))

    @cached_property
    def ring(self) -> csr_matrix:
        """Edge lengths without bridges."""
        return graph(self.points_U3, edges(self.faces_F3))

    @cached_property
    def operator(self) -> Laplacian:
        return laplacian(self.points_U3, self.faces_F3)

    @cached_property
    def share_U(self) -> np.ndarray:
        """Each point's share of the area, sum 1 (0 where there is no area)."""
        return self.operator.mass_V / max(self.operator.mass_V.sum(), np.finfo(float).tiny)

    def gather(self, skin_VJ: np.ndarray) -> np.ndarray:
        """(U, J) float64: the mean over the vertices of each point."""
        return segment_mean(skin_VJ, self.place_V, len(self.points_U3))


def unrelated(parents: tuple[int | None, ...]) -> np.ndarray:
    """(J, J) bool, symmetric: True where neither joint is the other, its parent or its grandparent."""
    count = len(parents)
    near_JJ = np.eye(count, dtype=bool)
    for j, parent in enumerate(parents):
        for above in (parent, None if parent is None else parents[parent]):
            if above is not None:
                near_JJ[j, above] = near_JJ[above, j] = True
    return ~near_JJ


def jumps(surface: Surface, skin_UJ: np.ndarray, parents: tuple[int | None, ...], options: GapOptions = GapOptions()) -> np.ndarray:
    """How surely each weight has jumped, (U, J) float64 in [0, 1]; 0 where there is no weight worth asking about."""
    return Jumps(surface, parents, options)(skin_UJ)


class _Seen(NamedTuple):
    """What one joint's weights alone say. gap: at the points ``across``, 0 elsewhere. parts: of the region, the core's first."""
    across: np.ndarray
    gap: np.ndarray
    parts: list[np.ndarray]
    nearest: list[np.ndarray]   # empty until someone asks which part is nearest to each point


class Jumps:
    """`jumps` on one surface, time after time: what was found of a joint's weights is not sought again while they are the same."""

    def __init__(self, surface: Surface, parents: tuple[int | None, ...], options: GapOptions):
        self.surface, self.options, self.far_JJ = surface, options, unrelated(parents)
        self._seen: dict[tuple[int, bytes], _Seen] = {}

    def __call__(self, skin_UJ: np.ndarray) -> np.ndarray:
        """skin_UJ: quickest where columns lie together (Fortran's order)."""
        seen, jump_UJ = {}, np.zeros(skin_UJ.shape)
        for j, weight_U in enumerate(np.ascontiguousarray(np.asarray(skin_UJ, np.float64).T)):
            if weight_U.max(initial=0.0) > REGION:
                seen[j] = self._of(j, weight_U)
        across_P = np.unique(np.concatenate([np.zeros(0, np.int64), *(known.across for known in seen.values())]))
        gap_PJ = np.zeros((len(across_P), skin_UJ.shape[1]))
        for j, known in seen.items():
            gap_PJ[np.searchsorted(across_P, known.across), j] = known.gap
        rest_PJ = skin_UJ[across_P] * (1 - gap_PJ)
        host_P = rest_PJ.argmax(1)      # who holds the place, if what lies across a gap is not asked
        jump_UJ[across_P] = gap_PJ * self.far_JJ[host_P] * (rest_PJ.max(1, initial=0.0) > REGION)[:, None]
        for j, known in seen.items():
            jump_UJ[_on_islands(self.surface, skin_UJ, j, self.far_JJ[j], known), j] = 1
        return jump_UJ

    def _of(self, joint: int, weight_U: np.ndarray) -> _Seen:
        asked = np.flatnonzero(weight_U > FAINT)    # all that the answers depend on
        key = joint, blake2b(asked, digest_size=16).digest() + blake2b(weight_U[asked], digest_size=16).digest()
        known = self._seen.pop(key, None)
        if known is None:
            gap_U = _across_gap(self.surface, weight_U, self.options)
            across = np.flatnonzero(gap_U)
            known = _Seen(across, gap_U[across], _heaviest_first(self.surface, np.flatnonzero(weight_U > REGION), weight_U), [])
            older = [k for k in self._seen if k[0] == joint]
            if len(older) >= KEPT:
                del self._seen[older[0]]
        self._seen[key] = known         # last in the dict: used last
        return known


def core(surface: Surface, weight_U: np.ndarray) -> np.ndarray:
    """The points of the heaviest connected part of where the weight is at least half of its greatest."""
    inside = np.flatnonzero(weight_U >= CORE * weight_U.max())
    return _heaviest_first(surface, inside, weight_U)[0]


def _heaviest_first(surface: Surface, inside: np.ndarray, weight_U: np.ndarray) -> list[np.ndarray]:
    """The connected parts of ``inside`` (over the bridged surface), the one with most weight first; ties to the smaller point."""
    _, part_P = connected_components(surface.lengths[inside][:, inside], directed=False)
    total_C = np.bincount(part_P, surface.share_U[inside] * weight_U[inside])
    by_part = np.split(inside[np.argsort(part_P, kind="stable")], np.cumsum(np.bincount(part_P))[:-1])
    return [by_part[part] for part in np.argsort(-total_C, kind="stable")]


def _across_gap(surface: Surface, weight_U: np.ndarray, options: GapOptions) -> np.ndarray:
    """(U,) in [0, 1]: 1 where the core is far over the surface and near through space."""
    core_P = core(surface, weight_U)
    asked = np.setdiff1d(np.flatnonzero(weight_U > FAINT), core_P)
    result_U = np.zeros(len(weight_U))
    if not len(asked):
        return result_U
    straight_P, _ = kd_tree(surface.points_U3[core_P]).query(surface.points_U3[asked])
    allowed_P = options.ratio * straight_P + options.slack
    # ways inside the weighted part are as long or longer: mostly they suffice to acquit all, on a tenth of the mesh
    inside = np.union1d(asked, core_P)
    within_P = distances(surface.lengths[inside][:, inside], np.searchsorted(inside, core_P))[np.searchsorted(inside, asked)]
    suspect = within_P > allowed_P
    if suspect.any():
        limit = float(allowed_P[suspect].max() + 2 * options.slack)
        over_P = distances(surface.lengths, core_P, limit)[asked[suspect]]
        result_U[asked[suspect]] = np.clip((over_P - allowed_P[suspect]) / options.slack, 0, 1)
    return result_U


def _on_islands(surface: Surface, skin_UJ: np.ndarray, joint: int, far_J: np.ndarray, known: _Seen) -> np.ndarray:
    """The points on islands of the joint's region whose host is no relation, and of the faint weight around them."""
    islands = known.parts[1:]
    alien = [part for part, host in zip(islands, _hosts(surface, skin_UJ, joint, islands)) if far_J[host]]
    if not alien:
        return np.zeros(0, np.int64)
    if not known.nearest:
        known.nearest.append(nearest_source(surface.lengths, np.concatenate(known.parts)))
    is_alien_U = np.zeros(len(skin_UJ) + 1, bool)   # the last stands for -1: reached from nowhere
    is_alien_U[np.concatenate(alien)] = True
    return np.flatnonzero(is_alien_U[known.nearest[0]] & (skin_UJ[:, joint] > 0))


def _hosts(surface: Surface, skin_UJ: np.ndarray, joint: int, islands: list[np.ndarray]) -> np.ndarray:
    """The other joint with most weight on each island and its rim; the joint itself where there is no other. (C,) int64"""
    if not islands:
        return np.zeros(0, np.int64)
    row = np.repeat(np.arange(len(islands)), [len(island) for island in islands])
    member = csr_matrix((np.ones(len(row)), (row, np.concatenate(islands))), shape=(len(islands), len(skin_UJ)))
    around = (member + member @ surface.lengths).tocsr()
    around.data[:] = 1
    met = np.unique(around.indices)
    total_CJ = around[:, met] @ skin_UJ[met]
    total_CJ[:, joint] = 0
    return np.where(total_CJ.max(1) > 0, total_CJ.argmax(1), joint)


def bleed(surface: Surface, skin_UJ: np.ndarray, parents: tuple[int | None, ...], options: GapOptions = GapOptions()) -> np.ndarray:
    """Bleed of each point, (U,) float64: its jumped weight times its share of the area. The sum, in [0, 1], is the mesh's."""
    return surface.share_U * (skin_UJ * jumps(surface, skin_UJ, parents, options)).sum(1)


def limbs(parents: tuple[int | None, ...], mirror: tuple[int, ...]) -> np.ndarray:
    """The limb of each joint, (J,) int64, by the index of its first joint; joints that are their own mirror image are the trunk, -1.

    A limb begins where the trunk ends, and at each child of a joint of several (fingers).
    """
    children_J = np.bincount([p for p in parents if p is not None], minlength=len(parents))
    limb_J = np.full(len(parents), -1)
    for j, parent in enumerate(parents):
        if mirror[j] != j:
            begins = parent is None or limb_J[parent] == -1 or children_J[parent] > 1
            limb_J[j] = j if begins else limb_J[parent]
    return limb_J


def bleed_against_truth(surface: Surface, skin_VJ: np.ndarray, true_VJ: np.ndarray, parents: tuple[int | None, ...],
                        limb_J: np.ndarray) -> float:
    """Share of all weight (by area) on wrong limbs, in [0, 1]: on a joint that is unrelated to every joint with true weight there,
    and whose limb has no true weight there.

    Raises: ValueError when the two differ in shape.
    """
    skin_VJ, true_VJ = np.asarray(skin_VJ), np.asarray(true_VJ)
    if skin_VJ.shape != true_VJ.shape:
        raise ValueError(f"weights {skin_VJ.shape} and true weights {true_VJ.shape} must have one shape")
    owner_UJ = surface.gather(true_VJ) > TRUE_OWNER
    related_UJ = owner_UJ.astype(float) @ (~unrelated(parents) | (limb_J[:, None] == limb_J)) > 0
    return float(surface.share_U @ (surface.gather(skin_VJ) * ~related_UJ).sum(1))
