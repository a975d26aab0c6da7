"""A config becomes a network, and takes the arrays of a checkpoint. The one place that knows which networks there are."""

import hashlib
import json

import jittor as jt
import numpy as np

from PCT.pct_model import PCTConfig, PCTModel
from launch.checkpoint import check_keys
from launch.config import from_dict, to_dict
from models.joint_model import JointModel, JointModelConfig
from models.surface_refiner import SurfaceRefiner, SurfaceRefinerConfig

MOST = {"depth": 64, "rounds": 64, "layers": 64}    # by a word of the field's name; a checkpoint may come from a stranger
MOST_ELSE = 8192
NETWORKS = {"transrefiner": (JointModelConfig, JointModel), "pct": (PCTConfig, PCTModel)}
REFINERS = {"surface-refiner": (SurfaceRefinerConfig, SurfaceRefiner)}      # of another network's answers


def build_model(config: dict, networks: dict = NETWORKS):
    """config: {"model": "transrefiner" | "pct", "network": the fields of its config} -> the network, in training mode.

    networks: NETWORKS or REFINERS, those that may be asked for.

    Raises: ValueError for an unknown model, key or type, with the neighbours, and for a size beyond any network of ours, before it is made.
    """
    name = config.get("model")
    if name not in networks:
        raise ValueError(f"model must be one of {sorted(networks)}, not {name!r}")
    config_class, network = networks[name]
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


def fingerprint(params: dict[str, np.ndarray], config: dict) -> str:
    """A SHA-256 of a checkpoint: its arrays by name, and its config."""
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
    for name in sorted(params):
        digest.update(f"{name} {params[name].dtype} {params[name].shape}".encode())
        digest.update(np.ascontiguousarray(params[name]).tobytes())
    return digest.hexdigest()


def fill(model, params: dict[str, np.ndarray], source: str) -> None:
    """Give a network the arrays of a checkpoint, all of them and nothing else. Raises: ValueError listing what does not fit."""
    named = dict(model.named_parameters())
    check_keys({name: tuple(var.shape) for name, var in named.items()}, params, source)
    for name, var in named.items():
        var.assign(jt.array(params[name]))
