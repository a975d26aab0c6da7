"""What regularisers of the re-posed mesh change: posed vertex error and edge stretch of checkpoints, on generated and on real characters.

    python -m benchmarks.surface_losses NAME=FOLDER ... --dev FOLDER --json benchmarks/results/<date>/surface_losses.json

Each NAME is a checkpoint; the trainings that were compared stand in docs/geometry.md. Every rig, predicted and true, is posed by the same
random rotations (models.metrics.probe_frames, the joints' own axes unrotated). Lengths in the unit box. Over characters: means.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from launch.runtime import start_jittor

start_jittor()

from benchmarks.paired import machine, write_result  # noqa: E402
from dataset.asset import Asset  # noqa: E402
from dataset.sources.humans import generate  # noqa: E402
from dataset.sources.npz import load_npz  # noqa: E402
from geometry.topology import edges  # noqa: E402
from launch.evaluator import at_count, known_joints, truth  # noqa: E402
from launch.predictor import Predictor, box_similarity  # noqa: E402
from launch.systems import FromPredictor  # noqa: E402
from launch.training_data import VALIDATION_SEEDS  # noqa: E402
from models.metrics import joint_errors, posed_vertices, probe_frames, skin_l1_summed  # noqa: E402

FRAMES = 4
STRETCHED = 2.0     # times its length at rest: where an edge counts as stretched


def edge_stretch(rest_V3: np.ndarray, posed_TV3: np.ndarray, faces_F3: np.ndarray) -> tuple[float, float]:
    """Mean |log of posed over rest length|, and the share of edges (in %) that are STRETCHED; edges without length left out."""
    pair_E2 = edges(faces_F3)
    along_E = np.linalg.norm(rest_V3[pair_E2[:, 0]] - rest_V3[pair_E2[:, 1]], axis=1)
    pair_E2, along_E = pair_E2[along_E > 1e-6], along_E[along_E > 1e-6]
    posed_TE = np.linalg.norm(posed_TV3[:, pair_E2[:, 0]] - posed_TV3[:, pair_E2[:, 1]], axis=2)
    ratio_TE = np.maximum(posed_TE, 1e-9) / along_E
    return float(np.abs(np.log(ratio_TE)).mean()), float(100 * (ratio_TE > STRETCHED).mean())


def measure(system: FromPredictor, asset: Asset) -> dict[str, float]:
    asset = truth(asset).in_network_frame()
    rig = at_count(system(asset), asset.joint_count)
    boxed = replace(asset.to_frame(box_similarity(asset)), matrix_local_J44=None)
    known_J = known_joints(boxed, boxed.joint_count, ())
    joints_J3 = np.where(known_J[:, None], rig.joints_J3, boxed.joints_J3)
    frames = probe_frames(boxed.joint_count, FRAMES, np.random.default_rng(170))
    got_TV3, want_TV3 = (np.stack([posed_vertices(boxed.vertices_V3, *each, frame) for frame in frames])
                         for each in ((joints_J3, rig.skin_VJ), (boxed.joints_J3, boxed.skin_VJ)))
    stretch, share = edge_stretch(boxed.vertices_V3, got_TV3, boxed.faces_F3)
    true_stretch, true_share = edge_stretch(boxed.vertices_V3, want_TV3, boxed.faces_F3)
    return {"vertex": float(np.linalg.norm(got_TV3 - want_TV3, axis=2).mean()), "joint": float(joint_errors(joints_J3, boxed.joints_J3).mean()),
            "skin_l1": skin_l1_summed(rig.skin_VJ, boxed.skin_VJ), "stretch": stretch, "stretched_percent": share,
            "true_stretch": true_stretch, "true_stretched_percent": true_share}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("checkpoints", nargs="+", metavar="NAME=FOLDER")
    parser.add_argument("--dev", type=Path, help="folder of rigged .npz files, measured and never trained on")
    parser.add_argument("--humans", type=int, default=8, help="generated characters, from the validation seeds")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(argv)
    kinds = {"generated": [generate(VALIDATION_SEEDS + i) for i in range(args.humans)],
             "dev": [load_npz(file) for file in sorted(args.dev.glob("*.npz"))] if args.dev else []}
    keys, rows = {}, []
    for text in args.checkpoints:
        name, _, folder = text.partition("=")
        system = FromPredictor(Predictor(folder))
        for kind, assets in kinds.items():
            found = [measure(system, asset) for asset in assets]
            rows += [{"checkpoint": name, "kind": kind, "asset": asset.source, **row} for asset, row in zip(assets, found)]
            means = {key: float(np.mean([row[key] for row in found])) for key in found[0]} if found else {}
            keys |= {f"{name}_{kind}_{key}": value for key, value in means.items()}
            print(name, kind, len(found), {key: round(value, 5) for key, value in means.items()}, flush=True)
    write_result(args.json, keys, rows, machine(frames=FRAMES, stretched=STRETCHED))


if __name__ == "__main__":
    main()
