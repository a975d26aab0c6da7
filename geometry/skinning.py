"""Linear blend skinning.

Letters: V vertices, J joints; leading dimensions (frames, batch) are free on the transforms.
v' = sum_j skin[v, j] T_j v with T_j = pose_j inv(local_j). Magnenat-Thalmann et al., "Joint-dependent local deformations",
Graphics Interface 1988.
"""

import numpy as np

from geometry.normals import normalize


def skin_transforms(pose_J44: np.ndarray, local_J44: np.ndarray) -> np.ndarray:
    """pose @ inv(local), (..., J, 4, 4) float64: from the rest position of a vertex to its posed one."""
    return np.asarray(pose_J44, np.float64) @ np.linalg.inv(np.asarray(local_J44, np.float64))


def blend_transforms(skin_VJ: np.ndarray, transforms_J44: np.ndarray) -> np.ndarray:
    """sum_j skin[v, j] T_j as (..., V, 3, 4) float64. One matrix product, no loop over vertices or frames."""
    skin_VJ, transforms_J44 = np.asarray(skin_VJ, np.float64), np.asarray(transforms_J44, np.float64)
    if skin_VJ.ndim != 2 or transforms_J44.ndim < 3 or transforms_J44.shape[-3] != skin_VJ.shape[1] \
            or transforms_J44.shape[-1] != 4 or transforms_J44.shape[-2] not in (3, 4):
        raise ValueError(f"skin (V, J) {skin_VJ.shape} does not fit transforms (..., J, 4, 4) {transforms_J44.shape}")
    lead, joints = transforms_J44.shape[:-3], skin_VJ.shape[1]
    flat_J12 = transforms_J44[..., :3, :].reshape(*lead, joints, 12)
    return (skin_VJ @ flat_J12).reshape(*lead, len(skin_VJ), 3, 4)


def linear_blend_skinning(vertices_V3: np.ndarray, skin_VJ: np.ndarray, transforms_J44: np.ndarray) -> np.ndarray:
    """Posed vertices (..., V, 3) float64 from rest vertices, weights, and transforms (..., J, 4, 4) or (..., J, 3, 4).

    Raises: ValueError when the joint counts of skin and transforms differ or the vertex counts do.
    """
    vertices_V3 = np.asarray(vertices_V3, np.float64)
    if vertices_V3.shape != (len(skin_VJ), 3):
        raise ValueError(f"vertices {vertices_V3.shape} do not fit skin {np.shape(skin_VJ)}")
    blend_V34 = blend_transforms(skin_VJ, transforms_J44)
    return (blend_V34[..., :3] * vertices_V3[:, None, :]).sum(-1) + blend_V34[..., 3]


def skin_normals(normals_V3: np.ndarray, skin_VJ: np.ndarray, transforms_J44: np.ndarray) -> np.ndarray:
    """Posed unit normals (..., V, 3) float64.

    Turned by the cofactor matrix of each vertex's blended 3x3 part: the matrix itself where one rotation rules, and what a
    surface's normal really follows (det(M) M^-T) where a blend squeezes. Where a blend collapses, the rest normal stays.
    """
    normals_V3 = np.asarray(normals_V3, np.float64)
    matrix_V33 = blend_transforms(skin_VJ, transforms_J44)[..., :3]
    turned_V3 = normalize((cofactor(matrix_V33) * normals_V3[:, None, :]).sum(-1))
    collapsed_V1 = (turned_V3 == 0).all(-1, keepdims=True)
    return np.where(collapsed_V1, normals_V3, turned_V3)


def cofactor(matrix_33: np.ndarray) -> np.ndarray:
    """det(M) M^-T of (..., 3, 3) matrices, singular ones too: rows are the cross products of M's other two rows."""
    a, b, c = matrix_33[..., 0, :], matrix_33[..., 1, :], matrix_33[..., 2, :]
    return np.stack([np.cross(b, c), np.cross(c, a), np.cross(a, b)], axis=-2)
