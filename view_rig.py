"""See rigs: a page on this machine with mesh, skeleton, weights, poses and motions, where a dropped mesh is rigged on the spot.

    python view_rig.py --input predict_joint/my-run/other/hero/rigged.glb
    python view_rig.py --input predict_joint/my-run --animate walk.bvh bank.npz:01_01 --port 9000

Prints the page's address, which only this machine can open, and serves until Ctrl-C or SIGTERM. docs/viewer.md says what is on it.
Exit code: 0 after Ctrl-C, 2 when the command is wrong.
"""

import argparse
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from dataset.asset import Asset
from launch.door import positive
from launch.ending import on_end
from launch.runtime import SetupError, start_jittor
from viewer.library import Library, named_clip
from viewer.server import PORTS, ViewServer
from viewer.uploads import Rigger, Uploads

DEFAULT_CHECKPOINT = Path("output/TransRefiner-finetune")


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="See rigs in the browser; meshes dropped on the page are rigged on the spot.")
    parser.add_argument("--input", nargs="*", default=[], metavar="FILE_OR_FOLDER",
                        help="rigged glb, gltf, vrm, npz files, a folder of predict_joint/, or meshes to look at")
    parser.add_argument("--animate", nargs="+", default=[], metavar="CLIP",
                        help="motions: .bvh, .npz with rot, offset and fps, or BANK.npz:NAME for one clip of a pose bank")
    parser.add_argument("--port", type=port, help=f"of the page on 127.0.0.1 (default: the first free one from {PORTS[0]})")
    parser.add_argument("--checkpoint", type=Path, default=DEFAULT_CHECKPOINT, help="what rigs a dropped mesh (default: %(default)s)")
    parser.add_argument("--joints", type=int, choices=(22, 52), help="of a dropped mesh's rig (default: as the checkpoint)")
    parser.add_argument("--looks", type=positive, default=4, help="samplings averaged for a dropped mesh (default: %(default)s)")
    return parser.parse_args(argv)


def port(text: str) -> int:
    if not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r}: give a whole number from 0 (any free one) to 65535")
    return int(text)


def main(argv: list[str] | None = None) -> int:
    args = parse(argv)
    try:
        if not (args.checkpoint / "model.safetensors").is_file():
            raise ValueError(f"{args.checkpoint} holds no model.safetensors; name a folder that does with --checkpoint")
        library = Library(args.input, map(named_clip, args.animate))
        uploads = Uploads(library, network_rigger(args))
        server = ViewServer(library, uploads, args.port)
    except (ValueError, OSError) as error:
        print(f"view_rig: {error}", file=sys.stderr)
        return 2
    return serve(server, uploads)


def serve(server: ViewServer, uploads: Uploads) -> int:
    """Until Ctrl-C or SIGTERM, which leave no temporary file. The page is served by threads; rigging is this one's, since Jittor belongs
    to the thread that started it."""
    threading.Thread(target=server.serve_forever, name="page", daemon=True).start()
    print(f"Open {server.address} in a browser of this machine. Ctrl-C ends.", flush=True)
    try:
        start_network()     # now, while the page is being looked at, and not when the first mesh is dropped
        on_end(lambda _: KeyboardInterrupt())   # Jittor ends a process at once, with a line of its own
        while True:
            uploads.work()
    except KeyboardInterrupt:
        print("\nEnded.")
    finally:
        server.shutdown()
        server.server_close()
    return 0


def start_network() -> None:
    """Jittor, or a word on the terminal about what is missing; the page shows rigs without it. It may start this program again."""
    try:
        start_jittor()
    except SetupError as error:
        print(f"view_rig: no mesh can be rigged: {error}", file=sys.stderr)


def network_rigger(args: argparse.Namespace) -> Rigger:
    """What rigs a dropped mesh. The checkpoint is read when it is first needed."""
    held = []

    def rig(asset: Asset) -> Iterator[str | Asset]:
        if not held:
            yield "loading the network"
            start_jittor()
            from launch.predictor import Predictor, PredictorOptions  # needs Jittor
            held.append(Predictor(args.checkpoint, PredictorOptions(args.joints, looks=args.looks)))
        yield "finding joints and weights"
        found = held[0].predict(asset)
        yield replace(asset, joints_J3=found.joints_J3, skin_VJ=found.skin_VJ, parents=found.parents, names=found.names,
                      matrix_local_J44=None, joint_valid_J=None)

    return rig


if __name__ == "__main__":
    sys.exit(main())
