"""Bring the joints of other rigs to where the contest's riggers (Mixamo's and VRoid's) put them.

    python -m dataset.sources.conventions FILE.npz ...     the measured table: joint heights and more, median and spread
    python -m dataset.sources.conventions --humans 40      the same of MakeHuman's own joints

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
from dataset.sources.npz import load_npz
from geometry.sampling import sample_surface

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


# heights: 200 plain bodies of all ages. forward: chest, upper chest and neck from .34 .19 .35 of the trunk's depth to the .45 .45 .48
# of VRM characters, elbows from .37 of the arm's depth to .50. upward: clavicles from .12 to .09 above the shoulder joint, knees from
# .485 of the leg to .50, where everybody's weights change from thigh to shin. Thighs from .63 of the hips' width to .56.
MAKEHUMAN = Convention(
    heights=dict(zip(SPINE, (0.089, 0.316, 0.543, 0.818, 1.191, 1.303))),
    forward={"spine": 0.02, "chest": 0.05, "upper_chest": 0.11, "neck": 0.015, "lower_arm": 0.02},
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


def measure(asset: Asset, rng: np.random.Generator) -> dict[str, float]:
    """What the constants above come from: heights in u, and where joints lie in the body's cross-sections (0 back or outside, 1 front).

    "depth" of a joint: its place between the rearmost and the frontmost point of the trunk or arm around it. Raises: AssetError.
    """
    joints_J3, u, base_3, up_3, forward_3 = _upright(asset)
    face_P, bary_P3 = sample_surface(asset.vertices_V3, asset.faces_F3, 40000, rng)
    points_P3 = np.einsum("pk,pkd->pd", bary_P3, np.asarray(asset.vertices_V3, np.float64)[asset.faces_F3[face_P]])
    at = {n: joints_J3[j] for n, j in INDEX.items()}
    result = {f"height of {n}": h for n, h in spine_heights(asset).items()}
    for name in ("chest", "upper_chest", "neck"):
        near_P3 = points_P3[(np.abs((points_P3 - at[name]) @ up_3) < 0.05 * u) & (np.abs(points_P3[:, 0] - at[name][0]) < 0.25 * u)]
        result[f"depth of {name}"] = _place(near_P3 @ forward_3, at[name] @ forward_3)
    fore_3 = (at["l_hand"] - at["l_lower_arm"]) / np.linalg.norm(at["l_hand"] - at["l_lower_arm"])
    away_P3 = points_P3 - at["l_lower_arm"]
    near_P3 = points_P3[(np.abs(away_P3 @ fore_3) < 0.02 * u) & (np.linalg.norm(away_P3, axis=1) < 0.28 * u)]
    result["depth of lower_arm"] = _place(near_P3 @ forward_3, at["l_lower_arm"] @ forward_3)
    hips_P = points_P3[(np.abs((points_P3 - base_3) @ up_3) < 0.05 * u) & (np.abs(points_P3[:, 0] - base_3[0]) < 0.6 * u), 0]
    width = float(np.ptp(hips_P)) if len(hips_P) else np.nan
    result["thigh spacing / hip width"] = float((at["l_upper_leg"] - at["r_upper_leg"])[0]) / width if width else np.nan
    result["shoulder above upper_arm"] = float((at["l_shoulder"] - at["l_upper_arm"]) @ up_3 / u)
    leg = at["l_upper_leg"] - at["l_foot"]
    result["knee / leg length"] = float((at["l_upper_leg"] - at["l_lower_leg"]) @ up_3 / (leg @ up_3))
    return result


def _place(values_P: np.ndarray, value: float) -> float:
    return float((value - values_P.min()) / np.ptp(values_P)) if len(values_P) and np.ptp(values_P) else np.nan


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
    parser = argparse.ArgumentParser(prog="python -m dataset.sources.conventions", description=__doc__.split("\n\n")[0])
    parser.add_argument("files", nargs="*", type=Path, help="rigged .npz characters")
    parser.add_argument("--up", choices=("y", "z"), default="y", help="the files' up axis (the contest's is z)")
    parser.add_argument("--humans", type=int, default=0, metavar="N", help="measure N plain generated bodies with MakeHuman's own joints")
    options = parser.parse_args(arguments)
    assets = [load_npz(path, options.up) for path in options.files] + _plain_humans(options.humans)
    if not assets:
        parser.error("nothing to measure: name files or give --humans N")
    rows = [measure(asset, np.random.default_rng(0)) for asset in assets]
    print(f"{len(rows)} characters, median and standard deviation; heights above the thigh joints / thigh-to-shoulder height")
    for name in rows[0]:
        values = [row[name] for row in rows]
        print(f"{name:28s} {np.nanmedian(values):6.3f} +- {np.nanstd(values):.3f}")


def _plain_humans(count: int) -> list[Asset]:
    from dataset.sources.humans import STYLES, generate  # humans imports this module
    style = replace(STYLES["plain"], contest_joints=False)
    return [generate(seed, style) for seed in range(count)]


if __name__ == "__main__":
    main()
