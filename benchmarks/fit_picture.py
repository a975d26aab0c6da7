"""Draw docs/images/fit.png: a generated human in an unseen pose, as the fit's door draws it.

    python -m benchmarks.fit_picture [--motion BANK.npz] [--human 1012] [--frame 250] [--out docs/images/fit.png]
"""

import argparse
from pathlib import Path

import numpy as np

ROWS = 256


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Draw docs/images/fit.png.")
    parser.add_argument("--motion", metavar="BANK.npz")
    parser.add_argument("--human", type=int, default=1012)
    parser.add_argument("--frame", type=int, default=250)
    parser.add_argument("--out", type=Path, default=Path("docs/images/fit.png"))
    args = parser.parse_args(argv)
    from launch.runtime import start_jittor
    start_jittor()
    from dataset.poses import procedural_bank
    from dataset.sources.humans import generate
    from dataset.sources.pose_bank import split_pose_bank
    from fit_rig import figure_of
    from geometry.camera import look_at
    from launch.fit_folder import overlay
    from launch.fit_inputs import VIEWS, named_view
    from launch.fit_poses import fit_bank
    from launch.pose_figure import Target, silhouette_of
    from launch.pose_fit import FindOptions, find_pose
    from launch.pose_pull import PullOptions
    bank = split_pose_bank(args.motion)[1] if args.motion else procedural_bank.__wrapped__(999)
    man = generate(args.human).in_network_frame().with_joints(22)
    posed = man.posed(bank.basis(args.frame % len(bank), man.parents, man.joints_J3, man.local_J44()))
    middle_3, targets = (posed.vertices_V3.min(0) + posed.vertices_V3.max(0)) / 2, []
    for view, degrees in VIEWS.items():
        way_3 = np.array([np.sin(np.radians(degrees)), -np.cos(np.radians(degrees)), 0])
        true = look_at(middle_3 + 5 * way_3, middle_3, field_of_view=None, zoom=0.95)
        mask_HW = silhouette_of(posed.vertices_V3, posed.faces_F3, true, ROWS, ROWS).astype(float)
        targets.append(Target(named_view(Path(f"{view}.png"), man), mask_HW))
    figure = figure_of(man)
    found = find_pose(figure, targets, fit_bank(), FindOptions(pull=PullOptions(loose=True)))
    overlay(figure, found, list(VIEWS)).quantize(48).save(args.out, optimize=True)
    print(f"{args.out}: overlap {found.iou_N.mean():.2f}, at rest {found.rest_iou_N.mean():.2f}")


if __name__ == "__main__":
    main()
