"""Twenty seeded steps of the tiny preset against a stored curve: a refactor must not move it, a change that does says why.

    python tests/test_golden_loss.py        writes tests/golden/loss_20_steps.txt anew
"""

import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "dataset")]

from launch.runtime import start_jittor  # noqa: E402

jt = start_jittor()

import train_joint_model as door  # noqa: E402
from dataset.augment import FINETUNE  # noqa: E402
from dataset.pipeline import Pipeline  # noqa: E402
from dataset.sampler import Sampler  # noqa: E402
from figures import capsule_man  # noqa: E402
from launch.build import build_model  # noqa: E402
from launch.config import to_dict  # noqa: E402
from launch.optimizer import AdamW  # noqa: E402
from launch.presets import tiny  # noqa: E402
from launch.training_data import with_queries  # noqa: E402
from models.losses import RigLoss  # noqa: E402

GOLDEN = ROOT / "tests" / "golden" / "loss_20_steps.txt"
STEPS = 20


def curve() -> list[float]:
    """Total loss of each step: a figure of capsules, finetuning's mix of poses, all parts of the network."""
    cfg = tiny(52)
    jt.set_global_seed(0)
    model = build_model({"model": "transrefiner", "network": to_dict(cfg.network)})
    optimizer, loss_of = AdamW(dict(model.named_parameters()), cfg.optim), RigLoss(52, cfg.loss)
    pipeline = Pipeline([capsule_man(52)], FINETUNE, Sampler(cfg.data.points), 52, cfg.optim.batch)
    losses = []
    for step in range(STEPS):
        batch = with_queries(pipeline.train_batch(step, range(cfg.optim.batch)), cfg.data.queries)
        batch["rotations"] = door.random_turns(np.random.default_rng(step), cfg.optim.batch, loss_of.parents)
        losses.append(door.train_step(model, loss_of, optimizer, batch)["total"])
    return losses


def test_the_curve_is_the_stored_one():
    # float32 sums differ between processors and thread counts, and training amplifies that over 20 steps
    np.testing.assert_allclose(curve(), np.loadtxt(GOLDEN), rtol=2e-3)


if __name__ == "__main__":
    np.savetxt(GOLDEN, curve(), fmt="%.6f")
