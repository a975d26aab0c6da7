"""Bring the joints of other rigs to where the contest's riggers (Mixamo's and VRoid's) put them.

    python -m dataset.sources.conventions FILE.npz ...     the measured table: joint heights and more, mean and spread

Rigs agree on elbows and knees but not on hips, spine and neck: MakeHuman's neck joint sits 8 % of the trunk higher than Mixamo's. A network
that learns both cannot be right about either, so each source is shifted by constants measured once (docs/data.md has the numbers).
Unit of every constant: u = height of the shoulder joints (upper arms) above the thigh joints (upper legs) in the rest pose.
Letters: J joints (22 or 52, contest order).
"""

import argparse
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from dataset.asset import Asset, AssetError
from dataset.format import BODY_NAMES

SPINE = ("hips", "spine", "chest", "upper_chest", "neck", "head")
INDEX = {name: j for j, name in enumerate(BODY_NAMES)}
# mean heights above the thigh joints in u, the mean of Mixamo's and VRoid's characters
CONTEST_HEIGHTS = dict(zip(SPINE, (0.10, 0.26, 0.51, 0.77, 1.10, 1.29)))
_AXES = {"y": (np.array([0.0, 1.0, 0.0]), np.array([0.0, 0.0, 1.0])), "z": (np.array([0.0, 0.0, 1.0]), np.array([0.0, -1.0, 0.0]))}


@dataclass(frozen=True)
class Convention:
    """How one source's rig differs from the contest's. Heights and shifts in u; what is not named stays."""
    heights: dict[str, float]                                     # the source's own mean heights of the spine joints
    forward: dict[str, float] = field(default_factory=dict)       # joint or body part -> shift towards the character's front
    upward: dict[str, float] = field(default_factory=dict)        # joint or body part -> shift up (beside the spine's)
    thigh_spacing: float = 1.0                                    # factor on the distance between the thigh joints


# 40 plain bodies of all ages; forward: from depth fractions .33 .25 .36 of the trunk to the .45 .45 .48 of VRM characters, elbows from
# .40 of the arm's depth to .50; clavicles from .12 to .09 above the shoulder joint; knees from .485 of the leg to .50, which is
# where everybody's weights change from thigh to shin; thighs from .61 of the hips' width to .53
MAKEHUMAN = Convention(
    heights=dict(zip(SPINE, (0.090, 0.327, 0.558, 0.834, 1.188, 1.301))),
    forward={"spine": 0.02, "chest": 0.05, "upper_chest": 0.09, "neck": 0.015, "lower_arm": 0.015},
    upward={"shoulder": -0.035, "lower_leg": -0.03}, thigh_spacing=0.88)
# 111 avatars on two skeletons
ROCKETBOX = Convention(heights=dict(zip(SPINE, (0.000, 0.228, 0.512, 0.799, 1.174, 1.299))))


def to_contest(asset: Asset, convention: Convention) -> Asset:
    """The asset with its joints (and the translations of matrix_local) moved; vertices, weights and bone axes stay.

    Spine joints slide along their own chain: height + (contest's mean - source's mean) u, the place read from the polyline through the
    old joints, so that a character's own curve and proportions stay.
    Raises: AssetError for an asset without the contest's joints or whose rest pose does not stand upright.
    """
    joints_J3, u, base_3, up_3, forward_3 = _upright(asset)
    moved_J3 = joints_J3.copy()
    spine = [INDEX[n] for n in SPINE]
    height_S = (joints_J3[spine] - base_3) @ up_3
    if (np.diff(height_S) <= 0).any():
        raise AssetError(f"{asset.source}: the spine joints do not rise from hips to head in the rest pose; "
                         "bring the character upright, facing front, before converting its joints")
    wanted_S = height_S + u * np.array([CONTEST_HEIGHTS[n] - convention.heights[n] for n in SPINE])
    flat_S3 = joints_J3[spine] - height_S[:, None] * up_3
    for axis in range(3):
        moved_J3[spine, axis] = np.interp(wanted_S, height_S, flat_S3[:, axis]) + wanted_S * up_3[axis]
    for shifts, direction_3 in ((convention.forward, forward_3), (convention.upward, up_3)):
        for part, shift in shifts.items():
            moved_J3[_joints_called(part)] += shift * u * direction_3
    left, right = INDEX["l_upper_leg"], INDEX["r_upper_leg"]
    inward_3 = 0.5 * (1 - convention.thigh_spacing) * (moved_J3[right] - moved_J3[left])
    moved_J3[left] += inward_3
    moved_J3[right] -= inward_3
    matrix_local_J44 = None if asset.matrix_local_J44 is None else asset.matrix_local_J44.copy()
    if matrix_local_J44 is not None:
        matrix_local_J44[:, :3, 3] = moved_J3
    return replace(asset, joints_J3=moved_J3.astype(np.float32), matrix_local_J44=matrix_local_J44)


def makehuman_to_contest(asset: Asset) -> Asset:
    return to_contest(asset, MAKEHUMAN)


def rocketbox_to_contest(asset: Asset) -> Asset:
    return to_contest(asset, ROCKETBOX)


def spine_heights(asset: Asset) -> dict[str, float]:
    """Heights of the spine joints above the thigh joints in u. Raises: AssetError like to_contest."""
    joints_J3, u, base_3, up_3, _ = _upright(asset)
    return {n: float((joints_J3[INDEX[n]] - base_3) @ up_3 / u) for n in SPINE}


def _joints_called(part: str) -> list[int]:
    return [j for n, j in INDEX.items() if n == part or n[2:] == part]


def _upright(asset: Asset) -> tuple[np.ndarray, float, np.ndarray, np.ndarray, np.ndarray]:
    """joints float64, u in the asset's unit, the point between the thighs, the up and the forward direction."""
    if asset.joint_count not in (22, 52):
        raise AssetError(f"{asset.source}: has {asset.joint_count} joints; only the contest's 22 or 52 can be converted")
    joints_J3 = np.asarray(asset.joints_J3, np.float64)
    up_3, forward_3 = _AXES[asset.up]
    thighs_3, shoulders_3 = (joints_J3[_joints_called(part)].mean(0) for part in ("upper_leg", "upper_arm"))
    u = float((shoulders_3 - thighs_3) @ up_3)
    if not u > 0:
        raise AssetError(f"{asset.source}: the shoulders are not above the thighs along {asset.up}; "
                         "check the asset's up axis, or bring the character upright")
    return joints_J3, u, thighs_3, up_3, forward_3


def main(arguments: list[str] | None = None) -> None:
    from dataset.sources.npz import load_npz  # only the command needs files
    parser = argparse.ArgumentParser(prog="python -m dataset.sources.conventions", description=__doc__.split("\n\n")[0])
    parser.add_argument("files", nargs="+", type=Path, help="rigged .npz characters")
    parser.add_argument("--up", choices=("y", "z"), default="y", help="the files' up axis (the contest's is z)")
    options = parser.parse_args(arguments)
    rows = [spine_heights(replace(load_npz(path), up=options.up)) for path in options.files]
    print(f"{len(rows)} characters; heights above the thigh joints / thigh-to-shoulder height")
    for name in SPINE:
        values = [row[name] for row in rows]
        print(f"{name:12s} {np.mean(values):6.3f} +- {np.std(values):.3f}   contest {CONTEST_HEIGHTS[name]:.2f}")


if __name__ == "__main__":
    main()
