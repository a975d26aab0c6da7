"""Presets build the networks they describe, for both joint counts and both models."""

import pytest

from launch.build import build_model
from launch.config import from_dict, to_dict
from launch.presets import PRESETS, TrainConfig


@pytest.mark.parametrize("name", sorted(PRESETS))
@pytest.mark.parametrize("joints", [22, 52])
def test_configs_survive_json_and_know_their_joints(name, joints):
    cfg = PRESETS[name](joints)
    assert from_dict(TrainConfig, to_dict(cfg)) == cfg
    assert cfg.network.joint_count == cfg.pct.joint_count == joints


@pytest.mark.parametrize("preset, model, lowest, highest", [
    ("tiny", "transrefiner", 1e4, 1e5), ("small", "transrefiner", 2e6, 4e6), ("base", "transrefiner", 1e7, 1e8),
    ("tiny", "pct", 1e3, 1e5), ("small", "pct", 2e5, 4e6), ("base", "pct", 2e6, 2e7)])
def test_networks_have_their_preset_s_size(preset, model, lowest, highest):
    cfg = PRESETS[preset]()
    network = build_model({"model": model, "network": to_dict(cfg.network if model == "transrefiner" else cfg.pct)})
    assert lowest < sum(p.numel() for p in network.parameters()) < highest


def test_an_unknown_model_is_refused():
    with pytest.raises(ValueError, match="transrefiner"):
        build_model({"model": "pointnet"})
