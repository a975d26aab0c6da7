"""A small connected piece of a posed character's mesh: what a training sample carries of its surface, beside points.

Letters: V vertices, F faces, K vertices and T faces of the patch, J joints.
"""

import numpy as np

from dataset.body import Body
from geometry.sampling import draw_steps
from geometry.skinning import linear_blend_skinning, skin_normals


def draw_patch(faces_F3: np.ndarray, total_F: np.ndarray, count: int, vertices: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rings of neighbours around a face drawn by area, up to ``count`` vertices: vertex_K int64, rising, and the mesh's faces among them.

    total_F: running sums of the faces' areas (dataset.sampler.Surface). faces_T3 int64 count through vertex_K.
    """
    member_V, (seed,) = np.zeros(vertices, bool), draw_steps(total_F, 1, rng)
    fresh = np.unique(faces_F3[seed])[:count]
    while len(fresh):
        member_V[fresh] = True
        corner_P = np.unique(faces_F3[member_V[faces_F3].any(1)])
        fresh = corner_P[~member_V[corner_P]][:count - int(member_V.sum())]
    vertex_K = np.flatnonzero(member_V)
    return vertex_K, np.searchsorted(vertex_K, faces_F3[member_V[faces_F3].all(1)])


def posed_patch(body: Body, transforms_J44: np.ndarray, mirrored: bool, count: int,
                rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(points_K3, normals_K3 float64, faces_T3 int32) with K = count and T = 2 count, in the character's units.

    A smaller patch repeats its first vertex and fills up its faces with -1; more faces are cut off. Without faces or area: the first
    vertex alone. Normals are zeros where the body has none.
    """
    vertex_K, faces_T3 = np.zeros(1, np.int64), np.zeros((0, 3), np.int64)
    if body.surface is not None:
        vertex_K, faces_T3 = draw_patch(body.faces_F3, body.surface.total_F, count, len(body.vertices_V3), rng)
    vertex_K = np.concatenate([vertex_K, np.repeat(vertex_K[:1], count - len(vertex_K))])
    faces_T3 = np.pad(faces_T3[:2 * count], ((0, max(2 * count - len(faces_T3), 0)), (0, 0)), constant_values=-1)
    skin_KJ = body.skin.rows(vertex_K).dense()
    points_K3, normals_K3 = linear_blend_skinning(body.vertices_V3[vertex_K], skin_KJ, transforms_J44), np.zeros((count, 3))
    if body.normals_V3 is not None:
        normals_K3 = skin_normals(body.normals_V3[vertex_K] * body.normal_unit, skin_KJ, transforms_J44)
    flip_3 = np.array([-1.0 if mirrored else 1.0, 1, 1])
    return points_K3 * flip_3, normals_K3 * flip_3, faces_T3.astype(np.int32)


def fill_patch(row: dict[str, np.ndarray], body: Body, transforms_J44: np.ndarray, mirrored: bool, box: tuple[np.ndarray, float],
               rng: np.random.Generator) -> None:
    """Write a patch into a sample's row, in the sample's box (centre_3, scale); without normals where the sample has none."""
    centre_3, scale = box
    points_K3, normals_K3, row["patch_faces"][:] = posed_patch(body, transforms_J44, mirrored, len(row["patch"]), rng)
    row["patch"][:] = (points_K3 - centre_3) * scale
    row["patch_normals"][:] = normals_K3 * row["has_normals"]
