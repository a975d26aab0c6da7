"""Presets: functions that return a whole training config. tiny for tests (seconds), small for a CPU, base for a GPU.

Recipes change faster than code: numbers live here, their reasons beside the field they fill.
"""

from dataclasses import dataclass, field

from models.backbone import BackboneConfig
from models.joint_model import JointModelConfig
from models.losses import LossWeights
from models.skin_decoder import SkinDecoderConfig
from launch.optimizer import OptimConfig
from PCT import pct_model
from PCT.pct_model import PCTConfig


@dataclass(frozen=True)
class DataConfig:
    points: int = 1024           # sampled per character and step
    queries: int = 512           # of them, where the skin is supervised
    humans: int = 400            # generated characters in the training set, when no data_root is given
    mascots: int = 200           # generated mascots, toys and robots beside them; draws are in proportion to the numbers
    val_humans: int = 16         # generated from seeds that training never sees
    val_mascots: int = 8
    rest_share: float | None = None  # of the draws in rest pose, the others in the stage's proportions; None: the stage's own share
    turned_share: float | None = None  # of the figures turned to any orientation, from which only expected errors learn; None: the stage's own
    stretched_share: float | None = None  # of the figures given other proportions; None: the stage's own
    extra_share: float = 0.3     # of the draws that go to the folders given with --assets
    workers: int = 1             # processes that pose and sample
    patch: int = 64              # vertices of a piece of each mesh, drawn only for the losses of re-posed surfaces


@dataclass(frozen=True)
class TrainConfig:
    model: str = "transrefiner"  # or "pct"
    stage: str = "pretrain"      # or "finetune": how samples are posed and rotated
    seed: int = 0
    network: JointModelConfig = field(default_factory=JointModelConfig)
    pct: PCTConfig = field(default_factory=PCTConfig)
    data: DataConfig = field(default_factory=DataConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    loss: LossWeights = field(default_factory=LossWeights)
    log_every: int = 20          # steps between lines of the log
    save_every: int = 200        # steps between training states
    validate_every: int = 500
    check_every: int = 50        # steps between comparisons of the ranks' parameters; saved states are always compared, and with 0 no other
    rank_timeout: float = 1800.0  # seconds that ranks wait for one of them; 0: for ever


def tiny(joints: int = 52) -> TrainConfig:
    """Seconds on a CPU: for tests. Every part is present, all are small."""
    network = JointModelConfig(
        joint_count=joints, confidence=True, refine_depth=1, refine_rounds=2, token_width=16, token_neighbours=4, fine_neighbours=6,
        backbone=BackboneConfig(octaves=2, widths=(16, 16, 32), depths=(1, 1), neighbours=6, head_width=8, global_width=32),
        decoder=SkinDecoderConfig(local_neighbours=4, width=16, pair_width=4))
    return TrainConfig(network=network, pct=pct_model.tiny(joints),
                       data=DataConfig(points=128, queries=64, humans=4, mascots=0, val_humans=2, val_mascots=0, workers=0),
                       optim=OptimConfig(steps=20, warmup=5, batch=2, lr=3e-3),
                       log_every=5, save_every=10, validate_every=10)


def small(joints: int = 52) -> TrainConfig:
    """Trains on two CPU cores in hours."""
    network = JointModelConfig(joint_count=joints, confidence=True, refine_rounds=2, fine_neighbours=48)
    return TrainConfig(network=network, pct=pct_model.small(joints))


def base(joints: int = 52) -> TrainConfig:
    """For one GPU: twice the width, four levels, 2048 points."""
    network = JointModelConfig(
        joint_count=joints, confidence=True, refine_depth=3, refine_rounds=2, token_width=256, token_neighbours=32, fine_neighbours=64,
        backbone=BackboneConfig(octaves=8, widths=(96, 192, 384, 512), depths=(2, 3, 3), neighbours=24, head_width=32,
                                global_width=512),
        decoder=SkinDecoderConfig(local_neighbours=16, width=96, pair_width=32))
    return TrainConfig(network=network, pct=pct_model.paper(joints),
                       data=DataConfig(points=2048, queries=2048, humans=4000, mascots=2000, val_humans=100, val_mascots=50, workers=8),
                       optim=OptimConfig(steps=100_000, warmup=1000, batch=64, lr=5e-4))


PRESETS = {"tiny": tiny, "small": small, "base": base}
