"""Similarity transforms between frames, each keeping its way home.

Letters: P positions. Arrays hold rows, matrices act on columns: x' = R x is ``x_P3 @ R.T``.
"""

from dataclasses import dataclass, field

import numpy as np

# (x, y, z) -> (x, -z, y): glTF, VRM and BVH (Y up, facing +Z) to the network's frame (Z up, facing -Y); left stays at +X
Y_UP_TO_Z_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
Y_UP_TO_Z_UP.setflags(write=False)


@dataclass(frozen=True, eq=False)
class Similarity:
    """x -> scale * R (x - centre).

    rotation_33: orthogonal, float64. scale: > 0, target units per source unit. centre_3: in source units.
    Raises: ValueError for a matrix that is not orthogonal, a scale that is not positive, or anything not finite.
    """
    rotation_33: np.ndarray = field(default_factory=lambda: np.eye(3))
    scale: float = 1.0
    centre_3: np.ndarray = field(default_factory=lambda: np.zeros(3))

    def __post_init__(self):
        rotation_33 = np.asarray(self.rotation_33, np.float64)
        centre_3 = np.asarray(self.centre_3, np.float64)
        if rotation_33.shape != (3, 3) or not np.allclose(rotation_33 @ rotation_33.T, np.eye(3), atol=1e-6):
            raise ValueError(f"rotation_33 must be an orthogonal 3x3 matrix, got {rotation_33.tolist()}")
        if centre_3.shape != (3,) or not np.isfinite(centre_3).all():
            raise ValueError(f"centre_3 must be three finite numbers, got {centre_3.tolist()}")
        if not (np.isfinite(self.scale) and self.scale > 0):
            raise ValueError(f"scale must be positive and finite, got {self.scale}")
        object.__setattr__(self, "rotation_33", rotation_33)
        object.__setattr__(self, "centre_3", centre_3)
        object.__setattr__(self, "scale", float(self.scale))

    @staticmethod
    def identity() -> "Similarity":
        return Similarity()

    def apply(self, x_P3: np.ndarray) -> np.ndarray:
        """Positions into the target frame; any leading shape, float64 out."""
        return self.scale * ((np.asarray(x_P3, np.float64) - self.centre_3) @ self.rotation_33.T)

    def undo(self, x_P3: np.ndarray) -> np.ndarray:
        return np.asarray(x_P3, np.float64) @ self.rotation_33 / self.scale + self.centre_3

    def apply_vectors(self, n_P3: np.ndarray) -> np.ndarray:
        """Directions (normals): rotated only, so that unit length stays."""
        return np.asarray(n_P3, np.float64) @ self.rotation_33.T

    def undo_vectors(self, n_P3: np.ndarray) -> np.ndarray:
        return np.asarray(n_P3, np.float64) @ self.rotation_33

    def apply_matrix(self, m_44: np.ndarray) -> np.ndarray:
        """Frames (..., 4, 4) such as matrix_local: axes rotate, the origin moves as a position; axes keep their length."""
        m_44 = np.asarray(m_44, np.float64)
        out_44 = m_44.copy()
        out_44[..., :3, :3] = self.rotation_33 @ m_44[..., :3, :3]
        out_44[..., :3, 3] = self.apply(m_44[..., :3, 3])
        return out_44

    def inverse(self) -> "Similarity":
        # y -> R^T y / s + c  =  (1/s) R^T (y - c')  with  c' = -s R c
        return Similarity(self.rotation_33.T, 1.0 / self.scale, -self.scale * (self.rotation_33 @ self.centre_3))

    def then(self, other: "Similarity") -> "Similarity":
        """First self, then other: ``a.then(b).apply(x) == b.apply(a.apply(x))``."""
        return Similarity(other.rotation_33 @ self.rotation_33, other.scale * self.scale,
                          self.centre_3 + self.rotation_33.T @ other.centre_3 / self.scale)


def fit_box(points_P3: np.ndarray) -> Similarity:
    """Centre the bounding box and shrink its longest side to 2, so that it fills [-1, 1] (rotation = identity).

    Raises: ValueError when there is no point, no extent, or a coordinate is not finite.
    """
    points_P3 = np.asarray(points_P3, np.float64)
    if points_P3.ndim != 2 or points_P3.shape[1] != 3 or len(points_P3) == 0:
        raise ValueError(f"fit_box needs points of shape (P, 3) with P >= 1, got {points_P3.shape}")
    low_3, high_3 = points_P3.min(0), points_P3.max(0)
    extent = float((high_3 - low_3).max())
    if not (np.isfinite(extent) and extent > 0):
        raise ValueError(f"points have no extent or are not finite: low {low_3}, high {high_3}")
    return Similarity(np.eye(3), 2.0 / extent, (low_3 + high_3) / 2)
