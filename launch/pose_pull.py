"""Pull a figure over its pictures by distances: what lies beside a silhouette goes to it, what of it is bare calls the nearest point.

Loss: for each view the mean squared distance, on the picture, of the figure's points to the silhouette, and that of the silhouette's
pixels to the figure's nearest points; for a scan likewise in space, both ways (chamfer); and the price of an unlikely pose,
price * (r - mean)^T stiff (r - mean) over all rotation vectors r, normal as in a bank of poses. Levenberg-Marquardt (Levenberg 1944,
Marquardt 1963) over all joints at once, each distance along the way in which it is measured. Distances reach across gaps, where soft
silhouettes feel nothing, so limbs that begin far away arrive. NumPy only.
Letters: J joints, K points, N views, M pixels or points to cover, R residuals, D unknowns: 3 J turns, 3 of the offset, and where cameras
are loose 1 for the zoom and 2 N for the pictures' middles.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.ndimage import distance_transform_edt

from geometry.camera import Camera
from geometry.kinematics import matrix_to_rotvec, rotvec_to_matrix
from geometry.neighbors import kd_tree
from launch.pose_figure import Figure, Pose, Target, from_pixels, inside, reframed, skinned, to_pixels

FLOOR = 0.25            # radians: the prior's least spread of a joint, since no bank holds every pose
FREE = 10.0             # radians: its spread of the root, which stands any way
LEAST, MOST = 1e-4, 1.0     # of the damping, where a step begins
SLACK = 0.01            # of distances in space, so counted
PICTURES_TALL = 1.5     # a figure on a picture is about so tall (half its height is 1): distances in space count by this


@dataclass(frozen=True)
class PullOptions:
    """price: of the prior, from the first of the steps to the last, falling geometrically. rows: of the pictures used; points, pixels:
    how many are followed. reach: most that a joint turns in a step, radians. loose: the cameras, in parallel projection, are known but
    for one zoom and each picture's middle."""
    steps: int = 8
    price: tuple[float, float] = (1e-4, 1e-6)
    rows: int = 96
    points: int = 800
    pixels: int = 600
    reach: float = 0.4
    loose: bool = False


class Prior(NamedTuple):
    """Which turns are likely: normal, over all rotation vectors at once. stiff_DD: inverse covariance, (3 J, 3 J)."""
    mean_D: np.ndarray
    stiff_DD: np.ndarray


class Picture(NamedTuple):
    """A target made ready: nearest_HW2, the silhouette's place nearest to each pixel; bare_M2, places to be covered; pixel: its side."""
    nearest_HW2: np.ndarray
    bare_M2: np.ndarray
    pixel: float


class Pulled(NamedTuple):
    pose: Pose
    cameras: tuple[Camera, ...]
    loss: float


def prior_of(turn_TJ33: np.ndarray) -> Prior:
    """Mean and spread of a bank's turns (`pose_search.bank_turns`). How the root stands tells nothing, and costs nothing."""
    rotvec_TD = matrix_to_rotvec(turn_TJ33).reshape(len(turn_TJ33), -1)
    mean_D = rotvec_TD.mean(0)
    spread_DD = (rotvec_TD - mean_D).T @ (rotvec_TD - mean_D) / len(rotvec_TD) + FLOOR ** 2 * np.eye(len(mean_D))
    spread_DD[:3], spread_DD[:, :3] = 0, 0
    spread_DD[:3, :3] = FREE ** 2 * np.eye(3)
    mean_D[:3] = 0
    return Prior(mean_D, np.linalg.inv(spread_DD))


def picture_of(target: Target, options: PullOptions = PullOptions()) -> Picture:
    inside_HW = inside(target.mask_HW, options.rows)
    height, width = inside_HW.shape
    row_HW, column_HW = distance_transform_edt(~inside_HW, return_distances=False, return_indices=True)
    place_P2 = np.argwhere(inside_HW)[:, ::-1]
    chosen = np.random.default_rng(0).permutation(len(place_P2))[:options.pixels]
    return Picture(from_pixels(np.stack([column_HW, row_HW], -1), height, width), from_pixels(place_P2[chosen], height, width), 2 / height)


def pull(figure: Figure, pictures: Sequence[Picture], cameras: Sequence[Camera], start: Pose, prior: Prior,
         options: PullOptions = PullOptions(), scan_P3: np.ndarray | None = None) -> Pulled:
    """The pose near the start whose points lie on the silhouettes and cover them, and on the scan's points (dense, spread by area).

    Returns: with the cameras as they are then; the loss: without the prior.
    """
    problem = _Problem(figure, pictures, prior, options, scan_P3)
    at, damping = _State(start, tuple(cameras)), 1e-2
    for step in range(options.steps):
        done = step / max(options.steps - 1, 1)
        price = options.price[0] * (options.price[1] / options.price[0]) ** done
        seen = problem.look(at, price)
        curve_DD, slope_D = problem.slopes(at, seen, price)
        for _ in range(4):
            stiff_DD = curve_DD + damping * np.trace(curve_DD) / len(curve_DD) * np.eye(len(curve_DD))
            tried = problem.moved(at, seen, -np.linalg.solve(stiff_DD, slope_D))
            if problem.look(tried, price).loss < seen.loss:
                at, damping = tried, max(damping / 3, LEAST)
                break
            damping *= 5
        damping = min(damping, MOST)
    return Pulled(at.pose, at.cameras, problem.look(at, 0).misses)


class _State(NamedTuple):
    pose: Pose
    cameras: tuple[Camera, ...]


class _Pairs(NamedTuple):
    """Distances length_R >= 0, weighted, of the points which_R; slope_R3: by the point. free_R3: by a picture's zoom and middle."""
    which_R: np.ndarray
    length_R: np.ndarray
    slope_R3: np.ndarray
    free_R3: np.ndarray | None


class _Seen(NamedTuple):
    transforms_J34: np.ndarray
    placed_K3: np.ndarray
    pairs: list[_Pairs]
    misses: float
    loss: float


class _Problem:
    """What stays the same from step to step."""

    def __init__(self, figure: Figure, pictures: Sequence[Picture], prior: Prior, options: PullOptions, scan_P3: np.ndarray | None):
        self.figure, self.pictures, self.prior, self.options, self.size = figure, pictures, prior, options, figure.size
        self.points_K3, self.skin_KJ = figure.points(options.points)
        self.reached_KJ = self.skin_KJ @ figure.below().T       # what share of a point turns with a joint
        self.scan_P3, self.tree = scan_P3, None if scan_P3 is None else kd_tree(scan_P3)

    def look(self, at: _State, price: float) -> _Seen:
        transforms_J34 = self.figure.transforms(*at.pose)
        placed_K3 = skinned(self.points_K3, self.skin_KJ, transforms_J34)
        share = 1 / np.sqrt(max(len(self.pictures), 1))
        pairs = [_on_picture(picture, camera, placed_K3, share, self.options.loose) for picture, camera in zip(self.pictures, at.cameras)]
        if self.tree is not None:
            pairs.append(_in_space(self.scan_P3, self.tree, placed_K3, PICTURES_TALL / self.size, self.options.pixels))
        off_D = matrix_to_rotvec(at.pose.turn_J33).ravel() - self.prior.mean_D
        misses = sum(float(one.length_R @ one.length_R) for one in pairs)
        return _Seen(transforms_J34, placed_K3, pairs, misses, misses + price * off_D @ self.prior.stiff_DD @ off_D)

    def slopes(self, at: _State, seen: _Seen, price: float) -> tuple[np.ndarray, np.ndarray]:
        """Curvature (D, D) and slope (D,) of half the loss."""
        way_K3D = ways(seen.placed_K3, self.figure.joints(seen.transforms_J34), self.reached_KJ, self.size)
        known, views = way_K3D.shape[2], len(self.pictures)
        total = known + (1 + 2 * views if self.options.loose else 0)
        curve_DD, slope_D = np.zeros((total, total)), np.zeros(total)
        curve_DD[:known - 3, :known - 3], slope_D[:known - 3] = self._prior_slopes(at.pose, seen.transforms_J34, price)
        for n, pairs in enumerate(seen.pairs):
            row_RD = np.zeros((len(pairs.which_R), total))
            row_RD[:, :known] = np.einsum("rx,rxd->rd", pairs.slope_R3, way_K3D[pairs.which_R])
            if self.options.loose and pairs.free_R3 is not None:
                row_RD[:, [known, known + 1 + 2 * n, known + 2 + 2 * n]] = pairs.free_R3
            curve_DD += row_RD.T @ row_RD
            slope_D += row_RD.T @ pairs.length_R
        return curve_DD, slope_D

    def _prior_slopes(self, pose: Pose, transforms_J34: np.ndarray, price: float) -> tuple[np.ndarray, np.ndarray]:
        rotvec_J3 = matrix_to_rotvec(pose.turn_J33)
        into_DD = np.zeros((rotvec_J3.size, rotvec_J3.size))          # a turn in space, seen along the parent's axes
        for j, above_33 in enumerate(_above(transforms_J34, self.figure.parents)):
            into_DD[3 * j:3 * j + 3, 3 * j:3 * j + 3] = _inverse_slope(rotvec_J3[j]) @ above_33.T
        stiff_DD = price * self.prior.stiff_DD
        return into_DD.T @ stiff_DD @ into_DD, into_DD.T @ stiff_DD @ (rotvec_J3.ravel() - self.prior.mean_D)

    def moved(self, at: _State, seen: _Seen, move_D: np.ndarray) -> _State:
        parents, count = self.figure.parents, len(self.figure.parents)
        turned_J3, shift_3, free_D = move_D[:3 * count].reshape(-1, 3), move_D[3 * count:3 * count + 3], move_D[3 * count + 3:]
        angle_J1 = np.linalg.norm(turned_J3, axis=1, keepdims=True)
        turned_J3 = turned_J3 * np.minimum(1, self.options.reach / np.maximum(angle_J1, 1e-12))
        above_J33 = _above(seen.transforms_J34, parents)
        step_J33 = np.swapaxes(above_J33, 1, 2) @ rotvec_to_matrix(turned_J3) @ above_J33
        cameras = at.cameras
        if self.options.loose:
            factor = np.exp(free_D[0].clip(-0.3, 0.3))
            cameras = tuple(reframed(camera, factor, free_D[1 + 2 * n:3 + 2 * n]) for n, camera in enumerate(cameras))
        return _State(Pose(step_J33 @ at.pose.turn_J33, at.pose.offset_3 + shift_3 * self.size), cameras)


def ways(placed_K3: np.ndarray, joints_J3: np.ndarray, reached_KJ: np.ndarray, size: float) -> np.ndarray:
    """(K, 3, 3 J + 3): how each point moves as each joint turns about the axes of space, and with the offset (in sizes).

    A blend of several bones is taken to turn as the point itself does: exact where one bone rules.
    """
    arm_KJ3 = (placed_K3[:, None] - joints_J3) * reached_KJ[..., None]
    way_K3J3 = np.zeros((len(placed_K3), 3, len(joints_J3), 3))       # e_a x arm
    for a in range(3):
        b, c = (a + 1) % 3, (a + 2) % 3
        way_K3J3[:, c, :, a], way_K3J3[:, b, :, a] = arm_KJ3[..., b], -arm_KJ3[..., c]
    shift_K33 = np.broadcast_to(size * np.eye(3), (len(placed_K3), 3, 3))
    return np.concatenate([way_K3J3.reshape(len(placed_K3), 3, -1), shift_K33], 2)


def _on_picture(picture: Picture, camera: Camera, placed_K3: np.ndarray, share: float, loose: bool) -> _Pairs:
    height, width, _ = picture.nearest_HW2.shape
    seen_K3 = camera.project(placed_K3)
    flat_K2 = seen_K3[:, :2]
    place_K2 = np.rint(to_pixels(flat_K2, height, width).clip(0, (width - 1, height - 1))).astype(int)
    beside_K2 = flat_K2 - picture.nearest_HW2[place_K2[:, 1], place_K2[:, 0]]
    which_R, length_R, way_R2 = _both_ways(beside_K2, flat_K2, picture.bare_M2, picture.pixel)
    zoom_R = camera.zoom / (seen_K3[which_R, 2] if camera.perspective else np.ones(len(which_R)))
    slope_R23 = camera.rotation_33[None, :2] * zoom_R[:, None, None]
    if camera.perspective:
        slope_R23 = slope_R23 - flat_K2[which_R, :, None] * camera.rotation_33[2] / seen_K3[which_R, 2][:, None, None]
    free_R3 = np.concatenate([(way_R2 * flat_K2[which_R]).sum(1, keepdims=True), way_R2], 1) * share if loose else None
    return _Pairs(which_R, length_R * share, np.einsum("ri,rix->rx", way_R2, slope_R23) * share, free_R3)


def _in_space(scan_P3: np.ndarray, tree, placed_K3: np.ndarray, unit: float, most: int) -> _Pairs:
    """unit: what a unit of space counts. Coverage is asked of `most` of the scan's points."""
    _, near_K = tree.query(placed_K3)
    bare_M3 = scan_P3[np.linspace(0, len(scan_P3) - 1, min(len(scan_P3), most)).astype(int)]
    which_R, length_R, way_R3 = _both_ways((placed_K3 - scan_P3[near_K]) * unit, placed_K3 * unit, bare_M3 * unit, SLACK)
    return _Pairs(which_R, length_R, way_R3 * unit, None)


def _both_ways(beside_Kx: np.ndarray, points_Kx: np.ndarray, bare_Mx: np.ndarray, slack: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """-> which_R, length_R, way_Rx: of the points' misses, and of the nearest point to each bare place; what is within slack is right.

    Both kinds are weighted so that their squares add up to means. Between few points a place lies further off, so there slack is 1.5 times.
    """
    far_K = np.linalg.norm(beside_Kx, axis=1)
    gap_M, near_M = kd_tree(points_Kx).query(bare_Mx)
    out_P, bare_P = np.flatnonzero(far_K > slack), np.flatnonzero(gap_M > 1.5 * slack)
    which_R = np.concatenate([out_P, near_M[bare_P]])
    apart_Rx = np.concatenate([beside_Kx[out_P], points_Kx[near_M[bare_P]] - bare_Mx[bare_P]])
    length_R = np.concatenate([far_K[out_P], gap_M[bare_P]])
    share_R = np.sqrt(np.concatenate([np.full(len(out_P), 1 / len(points_Kx)), np.full(len(bare_P), 1 / len(bare_Mx))]))
    return which_R, (length_R - slack) * share_R, apart_Rx / length_R[:, None] * share_R[:, None]


def _inverse_slope(rotvec_3: np.ndarray) -> np.ndarray:
    """How a rotation vector r changes as a small turn follows the rotation: 1 - [r] / 2 + (1 / a^2 - cot(a / 2) / 2 a) [r]^2, a = |r|."""
    x, y, z = rotvec_3
    cross_33, angle = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]), np.linalg.norm(rotvec_3)
    factor = 1 / 12 if angle < 1e-3 else 1 / angle ** 2 - 1 / (2 * angle * np.tan(angle / 2))
    return np.eye(3) - cross_33 / 2 + factor * cross_33 @ cross_33


def _above(transforms_J34: np.ndarray, parents: Sequence[int | None]) -> np.ndarray:
    """(J, 3, 3): how the parents turn."""
    return np.stack([np.eye(3) if p is None else transforms_J34[p, :, :3] for p in parents])
