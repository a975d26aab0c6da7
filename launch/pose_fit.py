"""Find the pose that pictures show, or another scan of the same character: search a bank, pull by distances, finish by silhouettes.

    found = find_pose(figure, targets, fit_bank())

1. pose_search.py: which of the bank's poses, turned to which heading, overlaps the pictures best, in small;
2. pose_pull.py: the best are pulled over the pictures by distances, all joints at once, held near the bank's poses, the few best longer;
3. silhouette_fit.py: the one that overlaps best goes on downhill through soft silhouettes, and stays where that helped; or scan_fit.py: the
   best go downhill by the distance of the surfaces, until one lies on the scan.
Letters: V vertices, F faces, J joints, N views, T poses.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from dataset.poses import PoseBank
from launch.pose_figure import Figure, Pose, Target, silhouette_iou
from launch.pose_pull import PullOptions, picture_of, prior_of, pull
from launch.pose_search import bank_turns, search
from launch.scan_fit import ScanOptions, fit_scan, surface_gap
from launch.silhouette_fit import FitOptions, checked, fit_pose

SETTLED = 1.08      # times the gap of a figure's surface with itself, a gap is that of the pose: such were at 1.01 to 1.05, others at 1.11 to 2
AHEAD, AROUND = (0.0, 45.0, -45.0), tuple(45.0 * k for k in range(8))      # degrees, tried by the search


@dataclass(frozen=True)
class FindOptions:
    """starts: poses of the bank that are pulled; starts_scan: with a scan. headings: degrees about the vertical. pull: of all starts; again,
    kept: how the best few go on, at the last price, for so many steps. finish: the soft silhouettes; finish_scan: what the best few get in
    place of both with a scan; None: leave it out."""
    starts: int = 9
    starts_scan: int = 15
    headings: Sequence[float] = AHEAD
    pull: PullOptions = PullOptions()
    kept: int = 3
    again: int = 15
    finish: FitOptions | None = field(default_factory=lambda: FitOptions(steps=80, lr=0.01, sigma=(1e-4, 1e-5), price=3e-3))
    finish_scan: ScanOptions | None = ScanOptions()


class Found(NamedTuple):
    """targets: with the cameras that were found where they were loose. iou_N: of hard silhouettes, view by view; rest_iou_N: before.
    gap, rest_gap: with a scan, scan_fit.surface_gap in the pose and before."""
    pose: Pose
    targets: tuple[Target, ...]
    iou_N: np.ndarray
    rest_iou_N: np.ndarray
    gap: float | None = None
    rest_gap: float | None = None


def find_pose(figure: Figure, targets: Sequence[Target], bank: PoseBank, options: FindOptions = FindOptions(),
              scan_P3: np.ndarray | None = None, say: Callable[[str], object] = lambda text: None) -> Found:
    """The pose that the targets show. figure: in the network's frame (Z up, facing -Y), 22 or 52 joints of the contest.

    scan_P3: points spread densely over another scan, whose silhouettes the targets are.
    say: told what is being done. The same arguments give the same pose.
    Raises: ValueError as fit_pose, for another skeleton, and for loose cameras in perspective.
    """
    checked(targets)
    if options.pull.loose and any(target.camera.perspective for target in targets):
        raise ValueError("cameras that are to be found must be in parallel projection")
    turn_TJ33, loose = bank_turns(figure, bank), options.pull.loose
    say(f"searching {len(turn_TJ33)} poses")
    rest = search(figure, targets, figure.rest.turn_J33[None], 1, loose=loose)[0]
    count = options.starts if scan_P3 is None else options.starts_scan
    starts = [rest, *search(figure, targets, turn_TJ33, count, options.headings, loose)]
    prior, pictures = prior_of(turn_TJ33), [picture_of(target, options.pull) for target in targets]
    say(f"pulling {len(starts)} starts")
    pulled = [pull(figure, pictures, start.cameras, start.pose, prior, options.pull, scan_P3) for start in starts]
    pulled = sorted(pulled, key=lambda one: one.loss)[:options.kept]
    before = [Target(camera, target.mask_HW) for camera, target in zip(rest.cameras, targets)]
    rest_iou_N = silhouette_iou(figure, figure.rest, before)
    if scan_P3 is not None:
        say("finishing on the scan's surface")
        pose, gap = _on_scan(figure, scan_P3, [one.pose for one in pulled], options.finish_scan)
        return Found(pose, tuple(targets), silhouette_iou(figure, pose, targets), rest_iou_N, gap, surface_gap(figure, scan_P3, figure.rest))
    longer = replace(options.pull, steps=options.again, price=(options.pull.price[1],) * 2)
    best = min((pull(figure, pictures, one.cameras, one.pose, prior, longer) for one in pulled), key=lambda one: one.loss)
    seen = tuple(Target(camera, target.mask_HW) for camera, target in zip(best.cameras, targets))
    pose = _on_pictures(figure, seen, best.pose, options.finish, say)
    return Found(pose, seen, silhouette_iou(figure, pose, seen), rest_iou_N)


def _on_pictures(figure: Figure, targets: Sequence[Target], pose: Pose, options: FitOptions | None, say: Callable[[str], object]) -> Pose:
    if options is None:
        return pose
    say("finishing by soft silhouettes")
    fit = fit_pose(figure, targets, options, pose)
    finer = Pose(fit.turn_J33, fit.offset_3)
    return max((pose, finer), key=lambda one: silhouette_iou(figure, one, targets).mean())


def _on_scan(figure: Figure, scan_P3: np.ndarray, poses: Sequence[Pose], options: ScanOptions | None) -> tuple[Pose, float]:
    """The pose of the least gap, and that gap: of the starts, and of what they become on the surface, one by one until one lies on it."""
    own_gap, tried = surface_gap(figure, figure.points(len(scan_P3), seed=1)[0], figure.rest), []
    for start in poses:
        finer = [] if options is None else [fit_scan(figure, scan_P3, start, options)]
        tried += [(surface_gap(figure, scan_P3, pose), pose) for pose in (start, *finer)]
        if min(gap for gap, _ in tried) < SETTLED * own_gap:
            break
    gap, pose = min(tried, key=lambda one: one[0])
    return pose, gap
