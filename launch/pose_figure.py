"""What a fit poses: a skinned figure, its pose as turns and an offset, and what a camera's picture says of where its points should lie.

A turn is a joint's rotation against its parent, along the axes of space at rest; the offset moves the whole.
Letters: V vertices, F faces, J joints, K points on the surface, T poses, H rows, W columns.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from geometry.camera import Camera
from geometry.kinematics import forward_kinematics, homogeneous
from geometry.raster import rasterize
from geometry.sampling import sample_surface
from geometry.skinning import skin_transforms


class Target(NamedTuple):
    """One picture: mask_HW, 0 to 1, is how much of each pixel the character covers; camera saw it."""
    camera: Camera
    mask_HW: np.ndarray


class Pose(NamedTuple):
    """turn_J33: each joint's rotation against its parent. offset_3: of the whole, in the mesh's units."""
    turn_J33: np.ndarray
    offset_3: np.ndarray


class Figure(NamedTuple):
    """A rigged mesh at rest: parents come before their children, rows of skin_VJ sum to 1."""
    vertices_V3: np.ndarray
    faces_F3: np.ndarray
    joints_J3: np.ndarray
    parents: Sequence[int | None]
    skin_VJ: np.ndarray

    @property
    def size(self) -> float:
        """The longest side of its box."""
        return float(np.ptp(self.vertices_V3, axis=0).max())

    @property
    def rest(self) -> Pose:
        return Pose(np.tile(np.eye(3), (len(self.parents), 1, 1)), np.zeros(3))

    def transforms(self, turn_TJ33: np.ndarray, offset_T3: np.ndarray) -> np.ndarray:
        """(..., J, 3, 4): from a point at rest to the posed one, joint by joint."""
        local_J44 = homogeneous(np.tile(np.eye(3), (len(self.parents), 1, 1)), self.joints_J3)
        pose_TJ44 = forward_kinematics(self.parents, local_J44, homogeneous(turn_TJ33))
        moved_TJ34 = skin_transforms(pose_TJ44, local_J44)[..., :3, :]
        moved_TJ34[..., 3] += np.asarray(offset_T3, np.float64)[..., None, :]
        return moved_TJ34

    def joints(self, transforms_TJ34: np.ndarray) -> np.ndarray:
        """(..., J, 3): where the joints are."""
        return (transforms_TJ34[..., :3] @ self.joints_J3[..., None])[..., 0] + transforms_TJ34[..., 3]

    def below(self) -> np.ndarray:
        """(J, J) bool: [j, d] is True where d is j or hangs on it."""
        below_JJ = np.eye(len(self.parents), dtype=bool)
        for j in reversed(range(1, len(self.parents))):
            if self.parents[j] is not None:
                below_JJ[self.parents[j]] |= below_JJ[j]
        return below_JJ

    def points(self, count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """points_K3 and skin_KJ, float64: spread over the surface by area."""
        face_K, bary_K3 = sample_surface(self.vertices_V3, self.faces_F3, count, np.random.default_rng(seed))
        corner_K3 = np.asarray(self.faces_F3)[face_K]
        return (np.einsum("kc,kcx->kx", bary_K3, np.float64(self.vertices_V3)[corner_K3]),
                np.einsum("kc,kcj->kj", bary_K3, np.float64(self.skin_VJ)[corner_K3]))


def skinned(points_K3: np.ndarray, skin_KJ: np.ndarray, transforms_TJ34: np.ndarray) -> np.ndarray:
    """(..., K, 3): the points under many poses, by one matrix product."""
    lead, (count, joints) = transforms_TJ34.shape[:-3], skin_KJ.shape
    outer_KJ4 = skin_KJ[:, :, None] * np.concatenate([points_K3, np.ones((count, 1))], 1)[:, None]     # weight times (x, y, z, 1)
    flat_TJ43 = np.swapaxes(transforms_TJ34, -1, -2).reshape(*lead, joints * 4, 3)
    return outer_KJ4.reshape(count, joints * 4) @ flat_TJ43


def reframed(camera: Camera, factor: float, middle_2: np.ndarray) -> Camera:
    """A parallel camera whose pictures are magnified by the factor about their middle and then moved by middle_2."""
    zoom = camera.zoom * factor
    return camera._replace(zoom=float(zoom), eye_3=camera.eye_3 - np.asarray(middle_2) / zoom @ camera.rotation_33[:2])


def to_pixels(flat_P2: np.ndarray, height: int, width: int) -> np.ndarray:
    """Places on a camera's picture to columns and rows; whole numbers are the pixels' centres."""
    return np.stack([(flat_P2[..., 0] * height + width - 1) / 2, (height - 1 - flat_P2[..., 1] * height) / 2], -1)


def from_pixels(place_P2: np.ndarray, height: int, width: int) -> np.ndarray:
    """The inverse of `to_pixels`."""
    return np.stack([2 * place_P2[..., 0] + 1 - width, height - 1 - 2 * place_P2[..., 1]], -1) / height


def shrunk(mask_HW: np.ndarray, height: int) -> np.ndarray:
    """The mask with `height` rows or as it is where it has no more, each pixel the mean of those that it covers."""
    if mask_HW.shape[0] <= height:
        return np.asarray(mask_HW, np.float64)
    width = max(1, round(mask_HW.shape[1] * height / mask_HW.shape[0]))
    for axis, count in ((0, height), (1, width)):
        edges = np.linspace(0, mask_HW.shape[axis], count + 1)
        total = np.cumsum(np.insert(np.asarray(mask_HW, np.float64), 0, 0, axis=axis), axis=axis)
        low, share = np.floor(edges).astype(int), edges - np.floor(edges)
        high = np.minimum(low + 1, mask_HW.shape[axis])
        shape = [-1 if k == axis else 1 for k in (0, 1)]
        at = total.take(low, axis) * (1 - share.reshape(shape)) + total.take(high, axis) * share.reshape(shape)
        mask_HW = np.diff(at, axis=axis) / np.diff(edges).reshape(shape)
    return mask_HW


def inside(mask_HW: np.ndarray, height: int) -> np.ndarray:
    """(H, W) bool: what the shrunk mask covers by half; of one so thin that it covers nothing by half, the most covered."""
    small_HW = shrunk(mask_HW, height)
    return small_HW > 0.5 * small_HW.max()


def silhouette_of(vertices_V3: np.ndarray, faces_F3: np.ndarray, camera: Camera, height: int, width: int) -> np.ndarray:
    """(H, W) bool: which pixels a mesh covers, hard edged, by the z-buffer."""
    seen_V3 = camera.project(vertices_V3)
    ahead_V = seen_V3[:, 2] > 0 if camera.perspective else np.ones(len(seen_V3), bool)
    faces_F3 = np.asarray(faces_F3)
    places_V3 = np.concatenate([to_pixels(seen_V3[:, :2], height, width) + 0.5, seen_V3[:, 2:]], 1)
    places_V3[~ahead_V] = 0
    return rasterize(places_V3, faces_F3[ahead_V[faces_F3].all(1)], height, width).covered_HW


def silhouette_iou(figure: Figure, pose: Pose, targets: Sequence[Target]) -> np.ndarray:
    """(N,) share of what pose and picture cover together in what either covers."""
    vertices_V3 = skinned(np.float64(figure.vertices_V3), np.float64(figure.skin_VJ), figure.transforms(*pose))
    shares = []
    for camera, mask_HW in targets:
        drawn_HW, wanted_HW = silhouette_of(vertices_V3, figure.faces_F3, camera, *mask_HW.shape), mask_HW > 0.5
        shares.append((drawn_HW & wanted_HW).sum() / max((drawn_HW | wanted_HW).sum(), 1))
    return np.array(shares)
