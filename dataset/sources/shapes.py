"""Small parametric meshes for hair, hats and bags: tubes, ellipsoids, lathes, sheets. Counter-clockwise faces look outwards.

Letters: V vertices, F faces, K points along a path or profile, S segments around. Units: those of the input.
"""

import numpy as np

Mesh = tuple[np.ndarray, np.ndarray]     # vertices_V3 float64, faces_F3 int64


def grid_faces(rows: int, columns: int, closed: bool) -> np.ndarray:
    """Triangles of a rows x columns grid of vertices (row major); closed joins the last column to the first."""
    row, column = np.meshgrid(np.arange(rows - 1), np.arange(columns if closed else columns - 1), indexing="ij")
    beside = (column + 1) % columns
    a, b, c, d = (row * columns + column, row * columns + beside, (row + 1) * columns + beside, (row + 1) * columns + column)
    return np.stack([np.stack([a, b, c], -1), np.stack([a, c, d], -1)], axis=2).reshape(-1, 3)


def tube(path_K3: np.ndarray, radius_K: np.ndarray, segments: int = 8, flat: float = 1.0) -> Mesh:
    """A closed tube along a path; flat < 1 makes its cross-section a flat ellipse. Ends close to the path's end points."""
    tangent_K3 = np.gradient(path_K3, axis=0)
    tangent_K3 /= np.linalg.norm(tangent_K3, axis=1, keepdims=True) + 1e-12
    side_3 = np.cross(tangent_K3[0], [0.31, 0.12, 0.94])
    rings = []
    for point_3, tangent_3, radius in zip(path_K3, tangent_K3, radius_K):
        side_3 = side_3 - (side_3 @ tangent_3) * tangent_3    # carried along without a twist
        side_3 /= np.linalg.norm(side_3)
        angle_S = np.linspace(0, 2 * np.pi, segments, endpoint=False)[:, None]
        rings.append(point_3 + radius * (np.cos(angle_S) * side_3 + flat * np.sin(angle_S) * np.cross(tangent_3, side_3)))
    vertices_V3 = np.concatenate([np.tile(path_K3[0], (segments, 1)), *rings, np.tile(path_K3[-1], (segments, 1))])
    return weld(vertices_V3, grid_faces(len(path_K3) + 2, segments, closed=True))


def ellipsoid(centre_3: np.ndarray, radii_3: np.ndarray, rows: int = 8, segments: int = 12, power: float = 1.0) -> Mesh:
    """An ellipsoid; power < 1 pushes it towards a rounded box (superellipsoid)."""
    polar, angle = np.meshgrid(np.linspace(0, np.pi, rows + 1), np.linspace(0, 2 * np.pi, segments, endpoint=False), indexing="ij")
    direction = np.stack([np.sin(polar) * np.sin(angle), np.cos(polar), np.sin(polar) * np.cos(angle)], axis=-1).reshape(-1, 3)
    direction = direction.round(12)                        # sin(pi) is not 0, and its root would tear the pole open
    bent = np.sign(direction) * np.abs(direction) ** power
    return weld(centre_3 + bent * radii_3, grid_faces(rows + 1, segments, closed=True)[:, ::-1][:, [1, 2, 0]])


def lathe(centre_3: np.ndarray, profile_K2: np.ndarray, radii_2: np.ndarray, segments: int = 16) -> Mesh:
    """A surface of revolution about y: profile rows (radius, height), top to bottom; radii_2 stretches it along x and z."""
    angle_S = np.linspace(0, 2 * np.pi, segments, endpoint=False)
    ring_S2 = np.stack([np.sin(angle_S) * radii_2[0], np.cos(angle_S) * radii_2[1]], axis=1)
    rows = [np.stack([ring_S2[:, 0] * r, np.full(segments, h), ring_S2[:, 1] * r], axis=1) for r, h in profile_K2]
    return weld(centre_3 + np.concatenate(rows), grid_faces(len(profile_K2), segments, closed=True)[:, ::-1])


def sheet(points_RC3: np.ndarray) -> Mesh:
    """An open grid of points, rows x columns."""
    rows, columns, _ = points_RC3.shape
    return points_RC3.reshape(-1, 3), grid_faces(rows, columns, closed=False)


def weld(vertices_V3: np.ndarray, faces_F3: np.ndarray) -> Mesh:
    """Merge vertices that lie exactly on each other (poles) and drop the faces that vanish with them."""
    merged_V3, index_V = np.unique(vertices_V3.round(9), axis=0, return_inverse=True)
    faces_F3 = index_V.reshape(-1)[faces_F3]
    return keep_used(merged_V3, faces_F3[(np.sort(faces_F3, axis=1)[:, 1:] != np.sort(faces_F3, axis=1)[:, :-1]).all(1)])[:2]


def keep_used(vertices_V3: np.ndarray, faces_F3: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Only the vertices that faces use: vertices, renumbered faces, and which vertices were kept."""
    used = np.zeros(len(vertices_V3), bool)
    used[faces_F3] = True
    return vertices_V3[used], (np.cumsum(used) - 1)[faces_F3], np.flatnonzero(used)
