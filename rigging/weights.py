"""The weight contract: what every rig's weights are after this step, whatever made them.

Always: finite, >= 0, rows sum to 1 within 1e-6, at most k influences, equal positions have equal weights. On meshes also: small shells
move as one, no weight jumps between limbs (rigging/bleed.py), speckle is smoothed; on demand exact left-right symmetry. Each step is
measured on each joint's region before and after, and taken back on regions that it makes worse.
    polished = polish(vertices_V3, faces_F3, rig)       # polished.rig, polished.steps
Letters: V vertices, U distinct positions, J joints. Lengths: unit box. docs/weights.md has the measurements.
"""

from dataclasses import asdict, dataclass, replace
from functools import cached_property

import numpy as np
from scipy.sparse import csr_matrix

from geometry.geodesic import nearest_source
from geometry.laplacian import dirichlet, smoothed
from geometry.segment import segment_mean
from geometry.topology import checked_faces, welded
from rigging.bleed import GapOptions, Jumps, Surface
from rigging.rig import CharacterRig
from rigging.symmetry import Mirror, exactly_symmetric, find_mirror

SPECKLE = 0.05          # a weight this far outside the range of its neighbours' is a speckle
LEFT_OVER = 0.25        # a row that keeps at least this much is scaled up; below it, the nearest good row fills it
ROWS = 1 << 16          # rows trimmed at once; bounds memory
TRIMS = 3               # rounds of taking away what trimming has cut off
SLACK_SHARE = np.array([0.01, 0.05, 0.0])   # what bleed, roughness and speckle of a region may rise by without being worse: a share,
SLACK = np.array([1e-5, 1e-3, 0.0])         # and so much (of the whole area; energy; count)


@dataclass(frozen=True)
class WeightOptions:
    """influences: k. drop: weights below it go (0: none). small: shells whose box has a shorter diagonal move as one. gap: when a weight
    has jumped. smoothing: lambda, squared box units; detail below sqrt(lambda) fades (0: none). symmetric: make mirror images exact.
    mirror_tolerance: how far a mirrored vertex may be from its partner. most_points: beyond it, only what needs no surface is done."""
    influences: int = 4
    drop: float = 0.01
    small: float = 0.06
    gap: GapOptions = GapOptions()
    smoothing: float = 1e-4
    symmetric: bool = False
    mirror_tolerance: float = 5e-4
    most_points: int = 250_000

    def __post_init__(self):
        if self.influences < 1 or not 0 <= self.drop < 1 or not self.smoothing >= 0:
            raise ValueError(f"influences must be >= 1, drop in [0, 1), smoothing >= 0; got {self}")


@dataclass(frozen=True)
class Step:
    """What became of one step. outcome: applied, undone (everywhere), partly (undone on the regions named), unchanged or skipped.

    before, after: totals of the measures, None where there is no surface to measure on. changed: rows it left changed.
    """
    name: str
    outcome: str
    why: str = ""
    undone_on: tuple[str, ...] = ()
    before: dict[str, float] | None = None
    after: dict[str, float] | None = None
    changed: int = 0

    def as_dict(self) -> dict:
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Polished:
    rig: CharacterRig
    steps: tuple[Step, ...]


def polish(vertices_V3: np.ndarray, faces_F3: np.ndarray | None, rig: CharacterRig,
           options: WeightOptions = WeightOptions()) -> Polished:
    """The rig with weights that keep the contract, and what was done to them. The same input gives the same bits.

    vertices_V3 (V, 3), faces_F3 (F, 3) or None: any mesh, however broken; a cloud without faces is only trimmed.
    Raises: ValueError for positions or weights that are not finite, weights that are negative or a row without any, and faces that
    name no vertex.
    """
    skin_VJ = _checked(vertices_V3, rig)
    points_U3, place_V = welded(vertices_V3)
    skin_UJ = segment_mean(skin_VJ, place_V, len(points_U3))
    skin_UJ /= skin_UJ.sum(1, keepdims=True)
    gauge, why = _gauge(vertices_V3, faces_F3, place_V, rig, options)
    steps = [Step("surface", "skipped", why)]
    if gauge:
        skin_UJ, steps = _on_surface(gauge, skin_UJ, rig, options)
    mirror, step = _mirror(points_U3, rig, options)
    skin_UJ, trimming = _trimmed(skin_UJ, mirror, options, gauge)
    return Polished(replace(rig, skin_VJ=skin_UJ[place_V]), (*steps, *([step] if step else []), trimming))


class Gauge:
    """Bleed, roughness and speckle of weights on one surface. The last answers are kept: one step's after is the next one's before."""

    def __init__(self, surface: Surface, parents: tuple[int | None, ...], gap: GapOptions):
        self.surface, self._jumps = surface, Jumps(surface, parents, gap)
        self._kept: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def _of(self, skin_UJ: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """jump_UJ, and the measures of each point (U, 3)."""
        for known_UJ, jump_UJ, of_U3 in self._kept:
            if known_UJ is skin_UJ:
                return jump_UJ, of_U3
        columns_UJ = np.asfortranarray(skin_UJ)     # turned once for both
        jump_UJ, speckle_U = self._jumps(columns_UJ), speckles(self.surface, columns_UJ)
        of_U3 = np.column_stack([self.surface.share_U * (skin_UJ * jump_UJ).sum(1), dirichlet(self.surface.operator, skin_UJ), speckle_U])
        self._kept = [*self._kept[-1:], (skin_UJ, jump_UJ, of_U3)]
        return jump_UJ, of_U3

    def jumps(self, skin_UJ: np.ndarray) -> np.ndarray:
        return self._of(skin_UJ)[0]

    def totals(self, skin_UJ: np.ndarray) -> dict[str, float]:
        bleed, roughness, speckle = self._of(skin_UJ)[1].sum(0).tolist()
        return {"bleed": bleed, "roughness": roughness, "speckle": int(speckle)}

    def regions(self, skin_UJ: np.ndarray) -> np.ndarray:
        """The joint that is greatest on each point and its neighbours together, (U,): a speckle is no region of its own."""
        return (skin_UJ + self._touching @ skin_UJ).argmax(1)

    @cached_property
    def _touching(self) -> csr_matrix:
        lengths = self.surface.lengths
        return csr_matrix((np.ones(lengths.nnz), lengths.indices, lengths.indptr), shape=lengths.shape)

    def worse(self, region_U: np.ndarray, old_UJ: np.ndarray, new_UJ: np.ndarray) -> np.ndarray:
        """(J,) bool: regions on which a measure rose by more than its slack."""
        count = old_UJ.shape[1]
        before_J3, after_J3 = (np.stack([np.bincount(region_U, x_U, count) for x_U in self._of(w_UJ)[1].T], 1)
                               for w_UJ in (old_UJ, new_UJ))
        return (after_J3 > before_J3 * (1 + SLACK_SHARE) + SLACK).any(1)

    def beside(self, region_U: np.ndarray, chosen_J: np.ndarray) -> np.ndarray:
        """(J,) bool: the chosen regions and those that touch them."""
        rim_U = chosen_J[region_U] | (self._touching @ chosen_J[region_U].astype(float) > 0)
        return chosen_J | (np.bincount(region_U[rim_U], minlength=len(chosen_J)) > 0)


def speckles(surface: Surface, skin_UJ: np.ndarray) -> np.ndarray:
    """How many of each point's weights stick out of the range of its neighbours' by more than SPECKLE, (U,) int64.

    Points without neighbours stick out of nothing; where a point and its neighbours have no more than SPECKLE, nothing sticks out."""
    ring, joined_U = surface.ring, np.diff(surface.ring.indptr) > 0
    count_U = np.zeros(len(skin_UJ), np.int64)
    for w_U in np.ascontiguousarray(skin_UJ.T):
        asked_U = w_U > SPECKLE
        asked_U[ring[np.flatnonzero(asked_U)].indices] = True
        asked = np.flatnonzero(joined_U & asked_U)
        if len(asked):
            near = ring[asked]
            around = w_U[near.indices]
            low, high = np.minimum.reduceat(around, near.indptr[:-1]), np.maximum.reduceat(around, near.indptr[:-1])
            count_U[asked] += (w_U[asked] > high + SPECKLE) | (w_U[asked] < low - SPECKLE)
    return count_U


# ----------------------------------------------------------------------------------------------- steps on the surface


def _gauge(vertices_V3, faces_F3, place_V: np.ndarray, rig: CharacterRig, options: WeightOptions) -> tuple[Gauge | None, str]:
    """None and the reason where there is no surface to work on."""
    faces_F3, points = checked_faces(faces_F3, len(vertices_V3)), int(place_V.max(initial=-1)) + 1
    if not len(faces_F3):
        return None, "no faces: weights are only trimmed"
    if points > options.most_points:
        return None, f"{points} points, more than {options.most_points}: weights are only trimmed"
    a, b, c = place_V[faces_F3].T
    if not ((a != b) & (b != c) & (c != a)).any():
        return None, "no face has three different corners: weights are only trimmed"
    return Gauge(Surface.of(vertices_V3, faces_F3), rig.parents, options.gap), ""


def _on_surface(gauge: Gauge, skin_UJ: np.ndarray, rig: CharacterRig, options: WeightOptions) -> tuple[np.ndarray, list[Step]]:
    """Small shells, jumped weights, speckle: each step held against the measures."""
    surface, steps = gauge.surface, []
    for name, change in (("small shells", lambda w_UJ: rigid_shells(surface, w_UJ, options.small)),
                         ("jumped weights", lambda w_UJ: without_jumps(surface, w_UJ, gauge.jumps(w_UJ))),
                         ("smoothing", lambda w_UJ: _smooth(gauge, w_UJ, options.smoothing))):
        skin_UJ, step = guarded(name, skin_UJ, change(skin_UJ), gauge, rig.names)
        steps.append(step)
    return skin_UJ, steps


def guarded(name: str, old_UJ: np.ndarray, new_UJ: np.ndarray, gauge: Gauge, names: tuple[str, ...]) -> tuple[np.ndarray, Step]:
    """The new weights, with the old ones on every region where a measure rose.

    Taking a region back changes its borders, so all are measured again until none is worse. One that is worse though it was taken
    back takes those beside it along; at worst all is as before.
    """
    before = gauge.totals(old_UJ)
    if not _changed(old_UJ, new_UJ):
        return old_UJ, Step(name, "unchanged", "nothing to do", (), before, before)
    region_U, undone_J, mixed_UJ = gauge.regions(old_UJ), np.zeros(old_UJ.shape[1], bool), new_UJ
    while (worse_J := gauge.worse(region_U, old_UJ, mixed_UJ)).any():
        grown_J = undone_J | worse_J
        grown_J = grown_J if (grown_J & ~undone_J).any() else undone_J | gauge.beside(region_U, worse_J)
        undone_J = grown_J if (grown_J & ~undone_J).any() else np.ones_like(undone_J)
        mixed_UJ = np.where(undone_J[region_U, None], old_UJ, new_UJ)
    changed = _changed(old_UJ, mixed_UJ)
    outcome = "applied" if not undone_J.any() else "partly" if changed else "undone"
    why = "bleed, roughness or speckle rose on the regions named" if undone_J.any() else ""
    return mixed_UJ, Step(name, outcome, why, tuple(np.array(names)[undone_J].tolist()), before, gauge.totals(mixed_UJ), changed)


def _changed(old_UJ: np.ndarray, new_UJ: np.ndarray) -> int:
    """Rows that differ by more than a file can hold."""
    blocks = (slice(start, start + ROWS) for start in range(0, len(old_UJ), ROWS))
    return sum(int((np.abs(new_UJ[rows] - old_UJ[rows]) > 1e-6).any(1).sum()) for rows in blocks)


def rigid_shells(surface: Surface, skin_UJ: np.ndarray, small: float) -> np.ndarray:
    """Each shell smaller than ``small`` (buttons, eyes, teeth) gets one row: of the larger shells that it touches, else its own mean."""
    label_U, points_U3 = surface.label_U, surface.points_U3
    low_C3, high_C3 = (np.full((label_U.max() + 1, 3), x) for x in (np.inf, -np.inf))
    np.minimum.at(low_C3, label_U, points_U3)
    np.maximum.at(high_C3, label_U, points_U3)
    small_C = np.linalg.norm(high_C3 - low_C3, axis=1) < small
    small_C[np.bincount(label_U).argmax()] = False
    small_U = small_C[label_U]
    if not small_U.any():
        return skin_UJ
    link = surface.lengths.tocoo()
    touch_E = small_U[link.row] & ~small_U[link.col] & (link.data < small)
    touched_E = label_U[link.row[touch_E]]
    around_CJ = segment_mean(skin_UJ[link.col[touch_E]], touched_E, len(small_C))
    lone_C1 = np.bincount(touched_E, minlength=len(small_C))[:, None] == 0
    row_CJ = np.where(lone_C1, segment_mean(skin_UJ, label_U, len(small_C)), around_CJ)
    return np.where(small_U[:, None], row_CJ[label_U], skin_UJ)


def without_jumps(surface: Surface, skin_UJ: np.ndarray, jump_UJ: np.ndarray) -> np.ndarray:
    """The weights without what has jumped (rigging.bleed.jumps).

    A row that keeps enough is scaled up; another gets what is missing from the nearest (over the surface) that does; where none is in
    reach it stays.
    """
    hit_U = (jump_UJ > 0).any(1)
    if not hit_U.any():
        return skin_UJ
    kept_UJ = skin_UJ * (1 - jump_UJ)
    sum_U = kept_UJ.sum(1)
    good_U = sum_U >= LEFT_OVER * skin_UJ.sum(1)
    result_UJ = np.where(hit_U[:, None], kept_UJ / np.maximum(sum_U, 1e-12)[:, None], skin_UJ)
    poor = np.flatnonzero(~good_U)
    if len(poor):
        source_P = nearest_source(surface.lengths, np.flatnonzero(good_U))[poor] if good_U.any() else np.full(len(poor), -1)
        filled_PJ = kept_UJ[poor] + (1 - sum_U[poor])[:, None] * result_UJ[source_P]
        result_UJ[poor] = np.where(source_P[:, None] >= 0, filled_PJ, skin_UJ[poor])
    return result_UJ


def _smooth(gauge: Gauge, skin_UJ: np.ndarray, amount: float) -> np.ndarray:
    """Smoothed along each shell, without what that carried to where it counts as jumped."""
    if amount == 0:
        return skin_UJ
    smooth_UJ = np.maximum(smoothed(gauge.surface.operator, skin_UJ, amount), 0)
    return without_jumps(gauge.surface, smooth_UJ, gauge.jumps(smooth_UJ))


# ----------------------------------------------------------------------------------------------- the contract


def _checked(vertices_V3: np.ndarray, rig: CharacterRig) -> np.ndarray:
    skin_VJ = np.asarray(rig.skin_VJ)
    if skin_VJ.shape != (len(vertices_V3), rig.joint_count):
        raise ValueError(f"weights {skin_VJ.shape} do not fit {len(vertices_V3)} vertices and {rig.joint_count} joints")
    if not np.isfinite(skin_VJ).all() or skin_VJ.min(initial=0) < 0:
        raise ValueError("weights must be finite and not negative; mend what made them, they are not patched here")
    if len(skin_VJ) and not skin_VJ.sum(1).min() > 0:
        raise ValueError(f"vertex {int(skin_VJ.sum(1).argmin())} has no weight on any joint; give each at least one")
    return skin_VJ


def _mirror(points_U3: np.ndarray, rig: CharacterRig, options: WeightOptions) -> tuple[Mirror | None, Step | None]:
    if not options.symmetric:
        return None, None
    mirror = find_mirror(points_U3, rig, options.mirror_tolerance)
    if isinstance(mirror, str):
        return None, Step("symmetry", "skipped", mirror)
    return mirror, Step("symmetry", "applied", "mirror images have equal weights", changed=len(points_U3))


def _trimmed(skin_UJ: np.ndarray, mirror: Mirror | None, options: WeightOptions, gauge: Gauge | None) -> tuple[np.ndarray, Step]:
    """The final float32 weights. Never undone: a file has no room for more influences.

    What is dropped may leave the far end of a joint's weight without its way to the joint: then it has jumped, and goes too.
    """
    if mirror:
        skin_UJ = (skin_UJ + mirror.image(skin_UJ)) / 2
    result_UJ, before, after = _few(skin_UJ, mirror, options), None, None
    if gauge:
        result_UJ = result_UJ.astype(np.float64)    # for the measures
        before, after = gauge.totals(skin_UJ), gauge.totals(result_UJ)
        for _ in range(TRIMS):
            if after["bleed"] <= before["bleed"]:
                break
            again_UJ = _few(without_jumps(gauge.surface, result_UJ, gauge.jumps(result_UJ)), mirror, options).astype(np.float64)
            if (less := gauge.totals(again_UJ))["bleed"] >= after["bleed"]:
                break
            result_UJ, after = again_UJ, less
        result_UJ = result_UJ.astype(np.float32)
    why = f"at most {options.influences}, none below {options.drop}; never undone"
    return result_UJ, Step("influences", "applied", why, (), before, after, _changed(skin_UJ, result_UJ))


def _few(skin_UJ: np.ndarray, mirror: Mirror | None, options: WeightOptions) -> np.ndarray:
    """The weights as a file will have them, in float32: few, and the same on mirror images."""
    result_UJ = np.empty(skin_UJ.shape, np.float32)
    for start in range(0, len(skin_UJ), ROWS):
        result_UJ[start:start + ROWS] = strongest(skin_UJ[start:start + ROWS], options.influences, options.drop)
    return exactly_symmetric(result_UJ, mirror) if mirror else result_UJ


def strongest(skin_PJ: np.ndarray, influences: int, drop: float) -> np.ndarray:
    """(P, J) float64, rows sum to 1: the greatest weights (ties: the smaller joint) that reach ``drop``; the greatest always stays."""
    order_PJ = np.argsort(-skin_PJ, axis=1, kind="stable")[:, :influences]
    best_PJ = np.take_along_axis(skin_PJ, order_PJ, 1)
    best_PJ[:, 1:][best_PJ[:, 1:] < drop] = 0
    result_PJ = np.zeros_like(skin_PJ)
    np.put_along_axis(result_PJ, order_PJ, best_PJ / best_PJ.sum(1, keepdims=True), 1)
    return result_PJ
