"""Face and vertex normals of triangle meshes.

Letters: V vertices, F faces. Counter-clockwise faces look outwards.
"""

import numpy as np

from geometry.segment import segment_sum


def _scaled_face_normals(vertices_V3: np.ndarray, faces_F3: np.ndarray) -> np.ndarray:
    corner_F33 = np.asarray(vertices_V3, np.float64)[np.asarray(faces_F3)]
    return np.cross(corner_F33[:, 1] - corner_F33[:, 0], corner_F33[:, 2] - corner_F33[:, 0])


def normalize(vectors_P3: np.ndarray) -> np.ndarray:
    """Rows of unit length; a zero row stays zero. float64, any leading shape."""
    vectors_P3 = np.asarray(vectors_P3, np.float64)
    # by the largest component first: the square of a very short or very long row would leave the range of a float
    largest = np.abs(vectors_P3).max(-1, keepdims=True)
    vectors_P3 = np.divide(vectors_P3, largest, out=np.zeros_like(vectors_P3), where=largest > 0)
    length = np.sqrt((vectors_P3 * vectors_P3).sum(-1, keepdims=True))
    return np.divide(vectors_P3, length, out=np.zeros_like(vectors_P3), where=length > 0)


def face_normals(vertices_V3: np.ndarray, faces_F3: np.ndarray) -> np.ndarray:
    """Unit normal of each face, (F, 3) float64; zero for a triangle without area."""
    return normalize(_scaled_face_normals(vertices_V3, faces_F3))


def vertex_normals(vertices_V3: np.ndarray, faces_F3: np.ndarray) -> np.ndarray:
    """Unit normal of each vertex: the area-weighted mean of its faces' normals, (V, 3) float64.

    A vertex without a face of positive area, or whose faces cancel out, gets zero.
    """
    faces_F3 = np.asarray(faces_F3)
    face_F3 = _scaled_face_normals(vertices_V3, faces_F3)      # length = twice the area: the weighting comes free
    return normalize(segment_sum(np.repeat(face_F3, 3, axis=0), faces_F3.ravel(), len(vertices_V3)))
