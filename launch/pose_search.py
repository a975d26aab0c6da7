"""Where a fit begins: the poses of a bank whose small silhouettes overlap the pictures best. NumPy only.

Every pose, turned to every heading, is placed where its box lies on the pictures' and drawn as points on small pictures.
Letters: J joints, K points, T poses, N views.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dataset.poses import T_AIMS, PoseBank
from geometry.camera import Camera
from geometry.kinematics import homogeneous, retarget, rotvec_to_matrix
from launch.pose_figure import Figure, Pose, Target, inside, reframed, skinned, to_pixels

ROWS = 32           # of the small pictures
POINTS = 500        # on the figure's surface
MOST_POSES = 2048   # a larger bank is thinned
MOST_DRAWN = 2400   # poses times headings
AT_ONCE = 128
APART = 0.04        # mean distance of the joints of two starts, shares of the figure's size


class Start(NamedTuple):
    """cameras: as they were given, or, where they were loose, as they show this pose best."""
    pose: Pose
    cameras: tuple[Camera, ...]
    overlap: float


def bank_turns(figure: Figure, bank: PoseBank, most: int = MOST_POSES) -> np.ndarray:
    """(T, J, 3, 3): the bank's poses as turns of this figure, which stands in the network's frame.

    Raises: ValueError unless its joints are the contest's 22 or 52.
    """
    count = len(figure.parents)
    if count not in T_AIMS:
        raise ValueError(f"{count} joints: a pose bank fits skeletons of {' or '.join(map(str, sorted(T_AIMS)))}")
    turned_TJ33 = np.stack([bank.global_J33(t, count) for t in _spread(len(bank), most)])
    local_J44 = homogeneous(np.tile(np.eye(3), (count, 1, 1)), figure.joints_J3)
    return retarget(figure.parents, turned_TJ33, figure.joints_J3, local_J44, T_AIMS[count])[..., :3, :3]


def _spread(count: int, most: int) -> np.ndarray:
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(int))


def search(figure: Figure, targets: Sequence[Target], turn_TJ33: np.ndarray, count: int, headings: Sequence[float] = (0.0,),
           loose: bool = False) -> list[Start]:
    """The `count` best poses, the best first, whose joints are APART (of the figure's size, mean) from those of each before.

    headings: degrees about the vertical by which each pose is turned as well. loose: as in PullOptions.
    """
    masks = [inside(target.mask_HW, ROWS) for target in targets]
    points_K3, skin_KJ = figure.points(POINTS)
    turn_TJ33, found = turn_TJ33[_spread(len(turn_TJ33), max(1, MOST_DRAWN // len(headings)))], []
    for heading in headings:
        turned_TJ33 = turn_TJ33.copy()
        turned_TJ33[:, 0] = rotvec_to_matrix([0, 0, np.radians(heading)]) @ turn_TJ33[:, 0]
        for first in range(0, len(turned_TJ33), AT_ONCE):
            turn = turned_TJ33[first:first + AT_ONCE]
            transforms = figure.transforms(turn, np.zeros((len(turn), 3)))
            points_TK3, joints_TJ3 = skinned(points_K3, skin_KJ, transforms), figure.joints(transforms)
            offset_T3 = np.zeros((len(turn), 3)) if loose else placed(points_TK3, targets, masks)
            frame_TN3, overlap_T = overlaps(points_TK3 + offset_T3[:, None], targets, masks, loose)
            found += list(zip(overlap_T, turn, offset_T3, frame_TN3, joints_TJ3 + offset_T3[:, None]))
    found.sort(key=lambda one: -one[0])
    kept = []
    for one in found:
        if len(kept) < count and all(np.linalg.norm(one[4] - other[4], axis=-1).mean() > APART * figure.size for other in kept):
            kept.append(one)
    return [Start(Pose(turn, offset), tuple(reframed(target.camera, frame[0], frame[1:]) if loose else target.camera
                                            for target, frame in zip(targets, frame_N3)), float(overlap))
            for overlap, turn, offset, frame_N3, _ in kept]


def placed(points_TK3: np.ndarray, targets: Sequence[Target], masks: Sequence[np.ndarray]) -> np.ndarray:
    """offset_T3 that brings each pose's box onto the pictures' boxes."""
    offset_T3 = np.zeros((len(points_TK3), 3))
    for _ in range(2):      # perspective: the first step changes how near the figure is
        normal_T33, pull_T3 = np.zeros((len(points_TK3), 3, 3)), np.zeros((len(points_TK3), 3))
        for target, mask in zip(targets, masks):
            flat_TK3 = target.camera.project(points_TK3 + offset_T3[:, None])
            middle_T2 = (flat_TK3[..., :2].min(1) + flat_TK3[..., :2].max(1)) / 2
            zoom_T = target.camera.zoom / (flat_TK3[..., 2].mean(1) if target.camera.perspective else np.ones(len(points_TK3)))
            way_T23 = zoom_T[:, None, None] * target.camera.rotation_33[:2]
            normal_T33 += np.swapaxes(way_T23, 1, 2) @ way_T23
            pull_T3 += np.einsum("tix,ti->tx", way_T23, box_of(mask)[0] - middle_T2)
        ridge_T = 1e-4 * np.trace(normal_T33, axis1=1, axis2=2)     # what no view shows stays as it is
        offset_T3 += np.linalg.solve(normal_T33 + ridge_T[:, None, None] * np.eye(3), pull_T3[..., None])[..., 0]
    return offset_T3


def overlaps(points_TK3: np.ndarray, targets: Sequence[Target], masks: Sequence[np.ndarray], loose: bool) -> tuple[np.ndarray, np.ndarray]:
    """frame_TN3 and overlap_T, the mean IoU of the small pictures. A frame: by how much a picture is magnified and then moved.

    Loose ones are magnified alike, until the boxes are as high as the masks' in the mean, and moved box onto box.
    """
    flats = [target.camera.project(points_TK3)[..., :2] for target in targets]
    frame_TN3 = np.tile([1.0, 0, 0], (len(points_TK3), len(targets), 1))
    if loose:
        low, high = np.stack([flat.min(1) for flat in flats], 1), np.stack([flat.max(1) for flat in flats], 1)      # (T, N, 2)
        wanted = [box_of(mask) for mask in masks]
        frame_TN3[..., 0] = (sum(tall for _, tall in wanted) / (high - low)[..., 1].sum(1))[:, None]
        frame_TN3[..., 1:] = np.stack([middle for middle, _ in wanted]) - frame_TN3[..., :1] * (low + high) / 2
    shares = [_overlap(flat * frame_TN3[:, n, None, :1] + frame_TN3[:, n, None, 1:], mask) for n, (flat, mask) in enumerate(zip(flats, masks))]
    return frame_TN3, np.mean(shares, axis=0)


def box_of(mask_HW: np.ndarray) -> tuple[np.ndarray, float]:
    """The middle (2,) of what the mask covers, and how tall that is."""
    rows, columns = np.nonzero(mask_HW)
    height, width = mask_HW.shape
    middle_2 = np.array([columns.min() + columns.max() + 1 - width, height - 1 - rows.min() - rows.max()]) / height
    return middle_2, 2 * float(np.ptp(rows) + 1) / height


def _overlap(flat_TK2: np.ndarray, mask_HW: np.ndarray) -> np.ndarray:
    height, width = mask_HW.shape
    place_TK2 = np.rint(to_pixels(flat_TK2, height, width)).astype(int)
    inside_TK = ((place_TK2 >= 0) & (place_TK2 < (width, height))).all(-1)
    drawn = np.zeros((len(flat_TK2), height * width + 1), bool)     # the last one takes what lies beside the picture
    cell_TK = np.where(inside_TK, place_TK2[..., 1] * width + place_TK2[..., 0], height * width)
    drawn[np.arange(len(flat_TK2))[:, None], cell_TK] = True
    drawn = drawn[:, :-1]
    both_T = drawn[:, mask_HW.ravel()].sum(1)
    return both_T / np.maximum(drawn.sum(1) + mask_HW.sum() - both_T, 1)
