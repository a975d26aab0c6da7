"""Bring a rigged character into the pose that silhouettes or another scan of it show.

    python fit_rig.py --input rigged.glb --images front.png left.png back.png
    python fit_rig.py --input rigged.glb --images a.png b.png c.png --cameras cameras.json
    python fit_rig.py --input rigged.glb --scan posed.ply --motion bank.npz

Writes <output>/<the character's name>/: posed.glb (the character with the way into the pose as its animation), fit.json (overlap of each
view, turned joints) and fit.png (silhouettes before and after). docs/fit.md says what pictures and cameras.json must be.
Exit code: 0, or 2 with one sentence when something is wrong with the command or a file.
"""

import argparse
import sys
from pathlib import Path

from launch.door import enter

MOST_VERTICES = 20_000      # of the copy that is fitted: silhouettes show no finer detail


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Bring a rigged character into the pose that silhouettes or another scan of it show.")
    parser.add_argument("--input", nargs="+", type=Path, required=True, metavar="FILE",
                        help="the rigged character (glb, gltf, vrm, npz); further files here are pictures")
    parser.add_argument("--images", nargs="+", type=Path, default=[], metavar="PICTURE",
                        help="silhouettes: transparent ground, or dark on light. Without --cameras their names say front, left, back, right")
    parser.add_argument("--cameras", type=Path, metavar="JSON", help="where each picture was taken from (docs/fit.md)")
    parser.add_argument("--scan", type=Path, metavar="MESH", help="instead of pictures: a mesh of the same character in the pose")
    parser.add_argument("--motion", type=Path, metavar="BANK", help="poses to begin with: a pose bank (.npz) or a .bvh (default: made by rule)")
    parser.add_argument("--turned", action="store_true", help="the character may be turned any way, and not about as it stands at rest")
    parser.add_argument("--up", choices=("auto", "y", "z"), default="auto", help="the files' up axis (default: what the format says)")
    parser.add_argument("--output", type=Path, default=Path("fitted"), help="where the result's folder goes (default: %(default)s)")
    args = parser.parse_args(argv)
    args.rig, args.images = args.input[0], [*args.input[1:], *args.images]
    if bool(args.images) == bool(args.scan):
        parser.error("name pictures, or a posed mesh with --scan, and not both")
    if args.cameras and not args.images:
        parser.error("--cameras needs pictures")
    return args


def main(argv: list[str] | None = None) -> int:
    return enter("fit_rig", run, parse(argv))


def run(args: argparse.Namespace) -> int:
    from dataset.asset import check
    from dataset.sources.files import load_asset
    from dataset.sources.pose_bank import load_pose_bank
    from launch.fit_folder import write_fit
    from launch.fit_inputs import SCAN_ANGLES, read_targets, scan_targets
    from launch.fit_poses import fit_bank
    from launch.pose_fit import AHEAD, AROUND, FindOptions, find_pose  # needs Jittor, which main has started
    from launch.pose_pull import PullOptions
    up = None if args.up == "auto" else args.up
    asset = check(load_asset(args.rig, up))
    figure = figure_of(asset)
    bank = load_pose_bank(args.motion) if args.motion else fit_bank()
    if args.scan:
        targets, scan_P3 = scan_targets(check(load_asset(args.scan, up)), asset)
        names, loose = [f"{angle} degrees" for angle in SCAN_ANGLES], False
    else:
        (targets, loose), scan_P3 = read_targets(args.images, args.cameras, asset), None
        names = [path.stem for path in args.images]
    options = FindOptions(headings=AROUND if args.turned else AHEAD, pull=PullOptions(loose=loose))
    found = find_pose(figure, targets, bank, options, scan_P3, say)
    folder = args.output / args.rig.stem
    report = write_fit(folder, args.rig, asset, figure, found, names)
    print(f"silhouettes overlap by {report['iou']:.0%}, at rest by {report['iou_at_rest']:.0%}")
    if args.scan:
        print(f"the surfaces are {report['scan_gap']:.3g} apart in the mean, at rest {report['scan_gap_at_rest']:.3g}, in the file's units")
    print(f"result: {folder}")
    return 0


def figure_of(asset):
    """The character as it is fitted: network's frame, 22 joints, a light copy of a heavy mesh. Raises: AssetError without rig or surface."""
    import numpy as np

    from dataset.asset import AssetError
    from launch.pose_figure import Figure
    from rigging.quality_figure import light_copy
    from rigging.rig import CharacterRig
    if not asset.posable or asset.joint_count not in (22, 52):
        raise AssetError(f"{asset.source}: has no rig whose bones have known names: rig it first (bash launch/predict_joint_model.sh FILE)")
    if not asset.has_faces:
        raise AssetError(f"{asset.source}: is a cloud of points: a silhouette needs a surface")
    turned = asset.in_network_frame().with_joints(22)
    rig = CharacterRig(np.float64(turned.joints_J3), turned.parents, turned.names, turned.skin_VJ, np.eye(3))
    vertices_V3, faces_F3, light = light_copy(turned.vertices_V3, turned.faces_F3, rig, MOST_VERTICES)
    return Figure(vertices_V3, faces_F3, light.joints_J3, light.parents, light.skin_VJ)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
