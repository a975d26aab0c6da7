"""A tiny untrained network, saved as a checkpoint: what the tests of the doors predict with."""

from pathlib import Path

import jittor as jt

from launch.build import build_model
from launch.checkpoint import save_model
from launch.config import to_dict
from launch.presets import tiny as tiny_training
from PCT.pct_model import tiny as tiny_pct


def save_random(folder: Path, model: str = "pct", joints: int = 52, seed: int = 1, points: int = 96) -> Path:
    """Write folder as launch.checkpoint does. The same seed gives the same weights."""
    jt.set_global_seed(seed)
    network = tiny_pct(joints) if model == "pct" else tiny_training(joints).network
    config = {"model": model, "network": to_dict(network), "data": {"points": points}}
    net = build_model(config)
    save_model(folder, {name: var.numpy() for name, var in net.named_parameters()}, config)
    return folder
