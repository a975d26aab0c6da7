"""A rig as its examination sees it: upright, facing the eye, in the unit box, one point for each distinct position.

Letters: V vertices, U distinct positions, J joints. Frame: the network's (Z up, facing -Y, left at +X). Lengths: box units (the longest
side of the mesh is 2; 1 cm on a person of 170 cm is CM).
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from dataset.format import Skeleton, skeleton
from geometry.similarity import Similarity, fit_box
from geometry.topology import edges, seen_vertices
from rigging.bleed import Surface
from rigging.dialects import from_dialect
from rigging.rig import CharacterRig

PERSON_CM = 170.0
CM = 2 / PERSON_CM
LEFT, FRONT, UP = np.eye(3)[0], -np.eye(3)[1], np.eye(3)[2]


MOST_POINTS = 150_000    # vertices beyond which a light copy is examined and drawn
GRID = 256               # its cells along the longest side: .7 cm of a person of 170 cm


@dataclass(frozen=True, eq=False)
class Figure:
    """surface: the mesh in the box; joints_J3 float64 beside it; skin_UJ float64: the mean row of the vertices of each point.

    bones: the contest's skeleton of 22 or 52 joints, whatever the file calls them. to_box: the user's frame -> this one.
    """
    surface: Surface
    joints_J3: np.ndarray
    skin_UJ: np.ndarray
    bones: Skeleton
    to_box: Similarity

    @staticmethod
    def of(vertices_V3: np.ndarray, faces_F3: np.ndarray | None, rig: CharacterRig) -> "Figure":
        """Raises: ValueError for positions that are not finite, faces that name no vertex, a mesh without extent, weights of another
        shape, and bones that are no figure's (rigging.dialects.from_dialect says which are missing)."""
        vertices_V3 = np.asarray(vertices_V3, np.float64)
        if np.shape(rig.skin_VJ) != (len(vertices_V3), rig.joint_count):
            raise ValueError(f"weights {np.shape(rig.skin_VJ)} do not fit {len(vertices_V3)} vertices and {rig.joint_count} joints")
        if not np.isfinite(vertices_V3).all() or not np.isfinite(rig.joints_J3).all():
            raise ValueError("positions of vertices and joints must be finite")
        rig = contest_rig(rig)
        turn = Similarity(np.asarray(rig.to_network_33, np.float64))
        to_box = turn.then(fit_box(turn.apply(vertices_V3[seen_vertices(faces_F3, len(vertices_V3))])))
        surface = Surface.of(to_box.apply(vertices_V3), faces_F3)
        return Figure(surface, to_box.apply(rig.joints_J3), surface.gather(rig.skin_VJ), skeleton(rig.joint_count), to_box)

    @cached_property
    def index(self) -> dict[str, int]:
        return {name: j for j, name in enumerate(self.bones.names)}

    @property
    def has_surface(self) -> bool:
        return len(self.surface.faces_F3) > 0

    @cached_property
    def edge_E2(self) -> np.ndarray:
        return edges(self.surface.faces_F3)

    @cached_property
    def below_JJ(self) -> np.ndarray:
        """(J, J) bool: [j, k] True where k is j or hangs below it."""
        below_JJ = np.eye(len(self.bones.names), dtype=bool)
        for k in range(len(below_JJ) - 1, 0, -1):
            below_JJ[self.bones.parents[k]] |= below_JJ[k]
        return below_JJ

    @cached_property
    def moved_UJ(self) -> np.ndarray:
        """How much of each point moves when joint j turns: its weight and that of all joints below it, float64."""
        return self.skin_UJ @ self.below_JJ.T.astype(np.float64)

    def at(self, name: str) -> np.ndarray:
        return self.joints_J3[self.index[name]]


def light_copy(vertices_V3: np.ndarray, faces_F3: np.ndarray | None, rig: CharacterRig,
               most: int = MOST_POINTS) -> tuple[np.ndarray, np.ndarray | None, CharacterRig]:
    """Mesh and rig, or where there are more than ``most`` vertices one vertex for each cell of a grid and strongest joint in it.

    What is examined then is the shape at GRID cells to its longest side, in memory that does not grow with the mesh's detail.
    Cells: Rossignac and Borrel, "Multi-resolution 3D approximations for rendering complex scenes", 1993.
    """
    if len(vertices_V3) <= most:
        return vertices_V3, faces_F3, rig
    to_box = fit_box(np.asarray(vertices_V3)[seen_vertices(faces_F3, len(vertices_V3))])
    key_V = np.asarray(rig.skin_VJ).argmax(1)
    for axis in range(3):
        cell_V = (vertices_V3[:, axis] - to_box.centre_3[axis]) * (to_box.scale * GRID / 2) + GRID / 2
        key_V = key_V * GRID + np.clip(cell_V, 0, GRID - 1).astype(np.int64)
    _, first_C, cell_V = np.unique(key_V, return_index=True, return_inverse=True)
    if faces_F3 is not None:
        faces_F3 = cell_V.reshape(-1)[faces_F3]
        a, b, c = faces_F3.T
        faces_F3 = faces_F3[(a != b) & (b != c) & (c != a)]
    return np.asarray(vertices_V3)[first_C], faces_F3, replace(rig, skin_VJ=rig.skin_VJ[first_C])


def contest_rig(rig: CharacterRig) -> CharacterRig:
    """The rig with the contest's names; one that has them, in their order, as it is."""
    if rig.joint_count in (22, 52) and tuple(rig.names) == skeleton(rig.joint_count).names:
        return replace(rig, parents=skeleton(rig.joint_count).parents)
    return from_dialect(rig)
