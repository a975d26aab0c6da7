"""A config becomes a network. The one place that knows which networks there are."""

from PCT.pct_model import PCTConfig, PCTModel
from launch.config import from_dict, to_dict
from models.joint_model import JointModel, JointModelConfig

MOST = {"depth": 64, "rounds": 64, "layers": 64}    # by a word of the field's name; a checkpoint may come from a stranger
MOST_ELSE = 8192
NETWORKS = {"transrefiner": (JointModelConfig, JointModel), "pct": (PCTConfig, PCTModel)}


def build_model(config: dict):
    """config: {"model": "transrefiner" | "pct", "network": the fields of its config} -> the network, in training mode.

    Raises: ValueError for an unknown model, key or type, with the neighbours, and for a size beyond any network of ours, before it is made.
    """
    name = config.get("model")
    if name not in NETWORKS:
        raise ValueError(f"model must be one of {sorted(NETWORKS)}, not {name!r}")
    config_class, network = NETWORKS[name]
    network_config = from_dict(config_class, config.get("network", {}))
    _check_sizes(to_dict(network_config), "network")
    return network(network_config)


def _check_sizes(value, path: str) -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            _check_sizes(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for inner in value:
            _check_sizes(inner, path)
    most = next((most for word, most in MOST.items() if word in path), MOST_ELSE)
    size = len(value) if isinstance(value, list) else value if isinstance(value, int) else 0
    if size > (MOST["layers"] if isinstance(value, list) else most):
        raise ValueError(f"{path} is {size}, more than {most}")
