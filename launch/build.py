"""A config becomes a network. The one place that knows which networks there are."""

from PCT.pct_model import PCTConfig, PCTModel
from launch.config import from_dict
from models.joint_model import JointModel, JointModelConfig

NETWORKS = {"transrefiner": (JointModelConfig, JointModel), "pct": (PCTConfig, PCTModel)}


def build_model(config: dict):
    """config: {"model": "transrefiner" | "pct", "network": the fields of its config} -> the network, in training mode.

    Raises: ValueError for an unknown model, key or type, with the neighbours.
    """
    name = config.get("model")
    if name not in NETWORKS:
        raise ValueError(f"model must be one of {sorted(NETWORKS)}, not {name!r}")
    config_class, network = NETWORKS[name]
    return network(from_dict(config_class, config.get("network", {})))
