"""Rig meshes and point clouds with a trained checkpoint.

    python predict_joint_model.py --input hero.glb scans/ --dialect mixamo
    python predict_joint_model.py --data_root data --data_list data/test_list.txt          the contest's lists
    python predict_joint_model.py --input hero.glb --checkpoint output/my-run/best --joints 22 --looks 4
    mpirun -np 8 bash launch/predict_joint_model.sh characters/                            each process takes its share (docs/scale.md)

Writes <output>/<name>/<cls>/<id>/ (see launch/batch_predict.py) and prints a table of what became of each input; summary.json holds
the same for programs. What stands there already, made from the same file, checkpoint, options and program, is left as it is.
The exit codes stand in --help (EXIT_CODES). Something does not work: bash launch/doctor.sh
"""

import argparse
import sys
from pathlib import Path

from launch.rank_failure import name_rank_in_errors

name_rank_in_errors("predict_joint_model")  # here, since a rank may lack what is imported next

from dataset.format import DIALECTS
from launch.door import enter, natural, positive
from launch.ranks import Ranks

ACCEPTED_CM = 5.0     # mean expected error of the joints that --strict lets pass
DEFAULT_CHECKPOINT = Path("output/TransRefiner-finetune")
EXIT_CODES = """exit codes:
  0  every input was rigged
  2  an input failed (the others were rigged; the table says why), or the command itself is wrong
  3  with --strict: all were rigged, and a rig is doubtful
Under mpirun the last process answers for all. Something does not work: bash launch/doctor.sh
"""


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Rig meshes and point clouds with a trained checkpoint.", epilog=EXIT_CODES,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", nargs="+", default=[], metavar="FILE_OR_FOLDER",
                        help="glb, gltf, vrm, npz, obj, ply, stl, off, xyz, npy files, and folders of them; fbx with Blender's "
                        "package (pip install --require-hashes -r launch/locks/requirements-fbx.lock)")
    parser.add_argument("--data_root", type=Path, help="folder that the lines of --data_list are relative to (default: data)")
    parser.add_argument("--data_list", type=Path, help="text file with one asset path a line, as the contest's test_list.txt")
    parser.add_argument("--checkpoint", type=Path, default=DEFAULT_CHECKPOINT, help="folder with model.safetensors (default: %(default)s)")
    parser.add_argument("--joints", type=int, choices=(22, 52), help="default: as the checkpoint; 22 gives fingers' weights to the hands")
    parser.add_argument("--name", help="name of the results' folder (default: the checkpoint's)")
    parser.add_argument("--output", type=Path, default=Path("predict_joint"), help="where results go (default: %(default)s)")
    parser.add_argument("--batch_size", type=positive, default=4, help="files read ahead while the network works (default: %(default)s)")
    parser.add_argument("--seed", type=natural, default=0, help="of the point sampling (default: %(default)s)")
    parser.add_argument("--looks", type=positive, default=4, help="samplings averaged (default: %(default)s)")
    parser.add_argument("--one_pass", action="store_true",
                        help="do not look for the hands first: twice as fast, fewer points on the fingers")
    parser.add_argument("--up", choices=("auto", "y", "z"), default="auto", help="the files' up axis (default: what the format says)")
    add_wishes(parser.add_argument_group("how the rig is handed out (docs/skeletons.md, docs/weights.md)"))
    parser.add_argument("--strict", action="store_true", help="exit with 3 when a rig is expected to be off by more than "
                        f"{ACCEPTED_CM:g} cm a joint (of a figure of 170 cm), or fails a check of its examination (docs/quality.md)")
    args = parser.parse_args(argv)
    if not args.input and not args.data_list:
        parser.error("name what to rig: --input FILE_OR_FOLDER ... or --data_root DIR --data_list LIST")
    if args.data_root and not args.data_list:
        parser.error("--data_root needs --data_list")
    if args.clip and not args.animate:
        parser.error("--clip needs --animate BANK.npz")
    return args


def add_wishes(group) -> None:
    group.add_argument("--dialect", choices=DIALECTS, default="contest",
                       help="names, tree and bone axes of rigged.glb; vrm writes a VRM 1.0 avatar, rigged.vrm (default: %(default)s)")
    group.add_argument("--hands", choices=("full", "mitten", "none"), default="full",
                       help="fingers of their own, one bone for all but the thumb, or none (default: %(default)s)")
    group.add_argument("--rig", choices=("replace", "keep-skeleton"), default="replace",
                       help="a file that has a rig gets another, or new weights for its own bones (default: %(default)s)")
    group.add_argument("--influences", type=int, choices=range(1, 9), default=4, metavar="1-8",
                       help="most weights that a vertex keeps in rigged.glb (default: %(default)s)")
    group.add_argument("--symmetric", action="store_true", help="a mesh that is its own mirror image gets such weights, exactly")
    group.add_argument("--fbx", action="store_true", help="write rigged.fbx beside rigged.glb; needs Blender's package "
                       "(pip install --require-hashes -r launch/locks/requirements-fbx.lock)")
    group.add_argument("--turntable", action="store_true", help="draw the rig once round as well, turntable.gif")
    group.add_argument("--animate", type=Path, metavar="CLIP",
                       help="bake a motion into rigged.glb: a .bvh, or an .npz with one clip or a bank of them")
    group.add_argument("--clip", metavar="NAME", help="which clip of the bank that --animate names")


def main(argv: list[str] | None = None) -> int:
    args = parse(argv)
    try:
        args.ranks = Ranks.take()
    except ValueError as error:
        print(f"predict_joint_model: {error}", file=sys.stderr)
        return 2
    return enter("predict_joint_model", run, args)


def run(args: argparse.Namespace) -> int:
    from launch.batch_predict import BatchOptions, gather_inputs, predict_files  # these need Jittor, which main has started
    from launch.delivery import Delivery
    from launch.outcome import table
    from launch.predictor import Predictor, PredictorOptions
    from rigging.animation import load_clip
    from rigging.fbx import INSTALL, has_blender
    clip = load_clip(args.animate, args.clip) if args.animate else None
    if args.fbx and not has_blender():
        raise ValueError(f"--fbx: {INSTALL}")
    wishes = Delivery(args.dialect, args.hands, args.influences, args.rig, args.symmetric, clip, args.fbx, args.turntable)
    predictor = Predictor(args.checkpoint, PredictorOptions(args.joints, args.seed, args.looks, not args.one_pass))
    name = args.name or args.checkpoint.resolve().name
    options = BatchOptions(args.output, name, args.up, wishes, args.batch_size, sys.stderr.isatty())
    files, missing = gather_inputs(args.input, args.data_root, args.data_list)
    outcomes = predict_files(predictor, files, options, missing, args.ranks)
    if outcomes is None:
        print(f"rank {args.ranks.rank} of {args.ranks.size}: its share is done, others are still at work")
        return 0  # mpirun ends all ranks as soon as one answers otherwise
    print(table(outcomes))
    print(f"results: {args.output / name}")
    if any(o.reason for o in outcomes):
        return 2
    doubtful = [o.input for o in outcomes if o.expected_error_cm is None or o.expected_error_cm > ACCEPTED_CM or o.quality == "fail"]
    if args.strict and doubtful:
        print(f"not good enough for --strict (expected error above {ACCEPTED_CM:g} cm or unknown, or a check failed): "
              f"{', '.join(doubtful)}", file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
