"""What a surface refiner learns from: a checkpoint's answers beside the truth; and how it learns.

Letters: V vertices, U distinct points, J joints, N pairs of a point and a joint.
"""

from collections.abc import Callable
from dataclasses import dataclass

import jittor as jt
import numpy as np
from jittor import nn

from dataset.asset import Asset, merge_fingers
from dataset.format import skeleton
from launch.evaluator import truth
from launch.predictor import Predictor
from launch.skin_refiner import Refinable, refinable
from models.metrics import skin_l1
from models.surface_refiner import SurfaceRefiner

RATE = 3e-3
UNSEEN = 100_000    # first seed of the generated characters: training begins at 0, validation at a million


@dataclass(frozen=True)
class Example:
    """What is learned from and measured on: a character's weights as the network gave them, and as they are.

    true_N: the true weight of each pair. share_U: of the vertices at each point, sum 1.
    """
    name: str
    seen: Refinable
    raw_VJ: np.ndarray
    true_VJ: np.ndarray
    true_N: np.ndarray
    share_U: np.ndarray

    @staticmethod
    def of(name: str, vertices_V3: np.ndarray, faces_F3: np.ndarray, joints_J3: np.ndarray, raw_VJ: np.ndarray,
           true_VJ: np.ndarray) -> "Example":
        """J: 22 or 52, alike in all."""
        seen = refinable(vertices_V3, faces_F3, joints_J3, skeleton(len(joints_J3)).parents, raw_VJ)
        true_N = np.float32(true_VJ[seen.vertex_U][seen.pairs.point_N, seen.pairs.joint_N])
        share_U = np.bincount(seen.place_V, minlength=seen.pairs.points) / len(seen.place_V)
        return Example(name, seen, raw_VJ, true_VJ, true_N, share_U)

    def l1(self, net: SurfaceRefiner | None = None) -> float:
        """skin_l1 of the weights, refined where a refiner is given."""
        skin_VJ = self.raw_VJ if net is None else net.refined(self.seen.pairs, self.true_VJ.shape[1])[self.seen.place_V]
        return skin_l1(skin_VJ, self.true_VJ)


def examples_of(predictor: Predictor, asset: Asset) -> list[Example]:
    """The character with all of the joints that both know, and, where those are 52, also with 22. Raises: AssetError as the predictor."""
    rig, asset = predictor.predict(asset), truth(asset)
    vertices_V3, faces_F3 = asset.to_frame(rig.to_box).vertices_V3, asset.faces_F3
    joints_J3, raw_VJ, true_VJ = rig.box_joints_J3, rig.skin_VJ, np.float64(asset.skin_VJ)
    found = []
    if len(joints_J3) == true_VJ.shape[1]:
        found.append(Example.of(asset.source, vertices_V3, faces_F3, joints_J3, raw_VJ, true_VJ))
    if not found or len(joints_J3) > 22:
        raw_VJ, true_VJ = (w_VJ if w_VJ.shape[1] == 22 else merge_fingers(w_VJ) for w_VJ in (raw_VJ, true_VJ))
        found.append(Example.of(asset.source, vertices_V3, faces_F3, joints_J3[:22], raw_VJ, true_VJ))
    return found


def teach(net: SurfaceRefiner, pool: list[Example], steps: int, rate: float = RATE, seed: int = 0,
          say: Callable[[str], object] = lambda text: None) -> None:
    """One example a step, L1 over its vertices, Adam with a cosine to zero. Raises: FloatingPointError for a loss that is no number."""
    optimizer, rng = nn.Adam(net.parameters(), lr=rate), np.random.default_rng(seed)
    for step in range(steps):
        optimizer.lr = rate * (0.5 + 0.5 * np.cos(np.pi * step / steps))
        example = pool[rng.integers(len(pool))]
        share_N1 = jt.array(np.float32(example.share_U[example.seen.pairs.point_N])[:, None])
        loss = ((net(example.seen.pairs) - jt.array(example.true_N[:, None])).abs() * share_N1).sum()
        if not np.isfinite(loss.item()):
            raise FloatingPointError(f"the loss is {loss.item()} at step {step}, {example.name}")
        optimizer.step(loss)
        if (step + 1) % 50 == 0:
            say(f"step {step + 1} of {steps}")
