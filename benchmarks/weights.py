"""What the weight contract does: skin_l1, bleed and speckle before and after, on a U-shape made by hand and on characters with a rig.

    python -m benchmarks.weights --input FOLDER [--cache FOLDER] [--checkpoint output/TransRefiner-finetune] [--png FILE]

Without --input only the U-shape. --cache keeps the network's raw answers, so that the network runs once. The columns:
skin_l1 against the file's weights (models/metrics.py), in thousandths; bleed: weight that jumped, found without the truth; on wrong
limbs: the same against the truth; both in thousandths of all weight (rigging/bleed.py); speckle: weights that stick out; seconds.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dataset.asset import Asset, merge_fingers
from dataset.format import skeleton
from models.metrics import skin_l1
from rigging.bleed import Surface, bleed, bleed_against_truth, limbs
from rigging.rig import CharacterRig
from rigging.weights import Polished, WeightOptions, polish, speckles

JOINTS = 22
HEADER = f"{'character':18s} {'points':>7s} {'skin_l1':>17s} {'bleed':>17s} {'on wrong limbs':>17s} {'speckle':>11s} {'seconds':>7s}"


class Row(NamedTuple):
    name: str
    points: int
    skin_l1: tuple[float, float]
    bleed: tuple[float, float]
    wrong: tuple[float, float]
    speckle: tuple[int, int]
    seconds: float

    def __str__(self) -> str:
        pairs = "  ".join(f"{1e3 * a:7.3f} {1e3 * b:7.3f}" for a, b in (self.skin_l1, self.bleed, self.wrong))
        return f"{self.name:18s} {self.points:7d}   {pairs}   {self.speckle[0]:5d} {self.speckle[1]:4d} {self.seconds:7.2f}"


def measure(name: str, vertices_V3, faces_F3, rig: CharacterRig, true_VJ, limb_J, options: WeightOptions) -> tuple[Row, Polished]:
    start = time.perf_counter()
    polished = polish(vertices_V3, faces_F3, rig, options)
    seconds = time.perf_counter() - start
    surface = Surface.of(vertices_V3, faces_F3)
    skins = (rig.skin_VJ, polished.rig.skin_VJ)
    on_points = [surface.gather(skin_VJ) for skin_VJ in skins]
    return Row(name, len(surface.points_U3),
               tuple(skin_l1(skin_VJ, true_VJ) for skin_VJ in skins),
               tuple(float(bleed(surface, skin_UJ, rig.parents).sum()) for skin_UJ in on_points),
               tuple(bleed_against_truth(surface, skin_VJ, true_VJ, rig.parents, limb_J) for skin_VJ in skins),
               tuple(int(speckles(surface, skin_UJ).sum()) for skin_UJ in on_points), seconds), polished


# ----------------------------------------------------------------------------------------------- the U-shape


class Tube(NamedTuple):
    vertices_V3: np.ndarray
    faces_F3: np.ndarray
    rig: CharacterRig       # weights by plain distance to the bones: they bleed across the gap
    true_VJ: np.ndarray     # the same rule, each side asking only its own bones
    limb_J: np.ndarray


def u_shape(gap: float = 0.04, radius: float = 0.1, length: float = 1.5, around: int = 24, step: float = 0.025) -> Tube:
    """A closed tube bent to a U: two parallel limbs of ``length``, their surfaces ``gap`` apart, three bones each, a root in the bend."""
    half = gap / 2 + radius     # from the middle plane to a limb's axis
    arc = np.pi * half
    along_S = np.linspace(-length - arc / 2, length + arc / 2, int((2 * length + arc) / step) + 1)
    angle_S = np.clip(along_S / half, -np.pi / 2, np.pi / 2)
    rise_S = np.maximum(np.abs(along_S) - arc / 2, 0)
    axis_S3 = np.column_stack([half * np.sin(angle_S), 0 * along_S, rise_S - half * np.cos(angle_S)])
    out_S3 = np.column_stack([np.sin(angle_S), 0 * along_S, -np.cos(angle_S)])
    turn_A = np.arange(around) * 2 * np.pi / around
    ring_SA3 = axis_S3[:, None] + radius * (np.cos(turn_A)[:, None] * out_S3[:, None] + np.sin(turn_A)[:, None] * np.float64([0, 1, 0]))
    vertices_V3 = np.concatenate([ring_SA3.reshape(-1, 3), axis_S3[[0, -1]]])
    joints_J3 = np.float64([[0, 0, -half]] + [[side * half, 0, z * length] for side in (-1, 1) for z in (0, 1 / 3, 2 / 3)])
    tails_J3 = np.float64([[0, 0, -half]] + [[side * half, 0, z * length] for side in (-1, 1) for z in (1 / 3, 2 / 3, 1)])
    near_VJ = 1 / np.maximum(segment_distance(vertices_V3, joints_J3, tails_J3), 1e-9) ** 4
    side_V = np.sign(np.append(np.repeat(along_S, around), along_S[[0, -1]]).round(9))
    own_VJ = side_V[:, None] * np.float64([0, -1, -1, -1, 1, 1, 1]) >= 0
    rows = lambda x_VJ: x_VJ / x_VJ.sum(1, keepdims=True)  # noqa: E731
    names = ("root", "l_1", "l_2", "l_3", "r_1", "r_2", "r_3")
    rig = CharacterRig(joints_J3, (None, 0, 1, 2, 0, 4, 5), names, np.float32(rows(near_VJ)), np.diag([-1.0, -1.0, 1.0]))
    return Tube(vertices_V3, _tube_faces(len(along_S), around), rig, rows(near_VJ * own_VJ), np.array([-1, 1, 1, 1, 4, 4, 4]))


def _tube_faces(rings: int, around: int) -> np.ndarray:
    ring, turn = np.meshgrid(np.arange(rings - 1), np.arange(around), indexing="ij")
    a, b = ring * around + turn, ring * around + (turn + 1) % around
    side = np.concatenate([np.stack([a, b, a + around], -1), np.stack([b, b + around, a + around], -1)]).reshape(-1, 3)
    turn, last = np.arange(around), (rings - 1) * around
    first_cap = np.column_stack([(turn + 1) % around, turn, np.full(around, rings * around)])
    last_cap = np.column_stack([last + turn, last + (turn + 1) % around, np.full(around, rings * around + 1)])
    return np.concatenate([side, first_cap, last_cap])


def segment_distance(points_V3: np.ndarray, heads_J3: np.ndarray, tails_J3: np.ndarray) -> np.ndarray:
    """(V, J) from each point to each bone."""
    bone_J3 = tails_J3 - heads_J3
    to_VJ3 = points_V3[:, None] - heads_J3
    along_VJ = np.clip((to_VJ3 * bone_J3).sum(-1) / np.maximum((bone_J3 ** 2).sum(-1), 1e-30), 0, 1)
    return np.linalg.norm(to_VJ3 - along_VJ[..., None] * bone_J3, axis=-1)


# ----------------------------------------------------------------------------------------------- characters


def raw_answers(files: list[Path], assets: list[Asset], checkpoint: str, cache: Path | None) -> list[tuple[np.ndarray, np.ndarray]]:
    """The network's joints and weights for each file, from the cache where it has them."""
    kept = [cache / f"{file.stem}.npz" if cache else None for file in files]
    predictor, answers = None, []
    for asset, path in zip(assets, kept):
        if path is None or not path.exists():
            if predictor is None:
                from launch.runtime import start_jittor
                start_jittor()
                from launch.predictor import Predictor, PredictorOptions
                predictor = Predictor(checkpoint, PredictorOptions(joints=JOINTS, looks=4))
            rig = predictor.predict(asset)
            answers.append((rig.joints_J3, rig.skin_VJ))
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                np.savez(path, joints=rig.joints_J3, skin=rig.skin_VJ)
        else:
            with np.load(path) as data:
                answers.append((data["joints"], data["skin"]))
    return answers


def characters(args: argparse.Namespace, options: WeightOptions) -> list[Row]:
    from dataset.asset import network_rotation
    from dataset.sources.files import expand_inputs, load_asset
    bones = skeleton(JOINTS)
    files = [Path(path) for path in expand_inputs([args.input])]
    assets = [load_asset(file) for file in files]
    rows = []
    for file, asset, (joints_J3, skin_VJ) in zip(files, assets, raw_answers(files, assets, args.checkpoint, args.cache)):
        true_VJ = merge_fingers(asset.skin_VJ) if asset.joint_count > JOINTS else asset.skin_VJ
        rig = CharacterRig(np.float64(joints_J3), bones.parents, bones.names, skin_VJ, network_rotation(asset).rotation_33)
        row, polished = measure(file.stem, asset.vertices_V3, asset.faces_F3, rig, true_VJ, limbs(bones.parents, bones.mirror), options)
        rows.append(row)
        print(row, *(f"{s.name} undone on {', '.join(s.undone_on)}" for s in polished.steps if s.undone_on), sep="   ", flush=True)
    return rows


def draw(path: Path, tube: Tube, polished: Polished) -> None:
    """One joint's weight on the U-shape: by plain distance, polished, true."""
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot
    figure, axes = pyplot.subplots(1, 3, figsize=(9, 6), subplot_kw={"aspect": "equal"})
    front = tube.vertices_V3[:, 1] <= 0.02
    pictures = {"plain distance": tube.rig.skin_VJ, "polished": polished.rig.skin_VJ, "true": tube.true_VJ}
    for axis, (title, skin_VJ) in zip(axes, pictures.items()):
        axis.scatter(*tube.vertices_V3[front][:, [0, 2]].T, c=skin_VJ[front, 3], s=6, vmin=0, vmax=1, cmap="viridis")
        axis.set_title(f"{title}: weight of l_3")
    figure.savefig(path, dpi=80)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", help="folder of characters with joints and weights")
    parser.add_argument("--checkpoint", default="output/TransRefiner-finetune")
    parser.add_argument("--cache", type=Path, help="folder of raw answers")
    parser.add_argument("--png", type=Path, help="picture of the U-shape")
    args = parser.parse_args(argv)
    options = WeightOptions()
    print(HEADER)
    tube = u_shape()
    row, polished = measure("U-shape", tube.vertices_V3, tube.faces_F3, tube.rig, tube.true_VJ, tube.limb_J, options)
    print(row, flush=True)
    if args.png:
        draw(args.png, tube, polished)
    if args.input:
        rows = characters(args, options)
        pairs = [tuple(np.mean([getattr(row, field) for row in rows], axis=0)) for field in ("skin_l1", "bleed", "wrong", "speckle")]
        print(f"{'mean':26s}   " + "  ".join(f"{1e3 * a:7.3f} {1e3 * b:7.3f}" for a, b in pairs[:3])
              + f"   {pairs[3][0]:5.1f} {pairs[3][1]:4.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
