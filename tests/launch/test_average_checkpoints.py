"""The mean of checkpoints: of their weights, of one network only, and with the points that prediction is to draw."""

import numpy as np
import pytest

from launch.average_checkpoints import main
from launch.checkpoint import load_extra, load_model, save_model

CONFIG = {"model": "transrefiner", "network": {"joint_count": 52}, "data": {"points": 1024}}


def written(folder, seed, config=CONFIG, **more):
    rng = np.random.default_rng(seed)
    save_model(folder, {"a": rng.normal(size=(3, 4)).astype("f4"), "b": rng.normal(size=5), "c": rng.normal(size=1).astype("f4"), **more}, config, {"step": seed})
    return folder


def test_the_mean_of_three_with_the_first_ones_config(tmp_path):
    folders = [written(tmp_path / str(seed), seed) for seed in (1, 2, 3)]
    assert main([str(tmp_path / "out"), *map(str, folders)]) == 0
    params, config = load_model(tmp_path / "out")
    for name in ("a", "b", "c"):
        each = [load_model(folder)[0][name] for folder in folders]
        np.testing.assert_allclose(params[name], np.mean(each, axis=0), atol=1e-7)
        assert params[name].dtype == each[0].dtype
    assert config == CONFIG and [run["step"] for run in load_extra(tmp_path / "out")["mean_of"]] == [1, 2, 3]


def test_points_are_for_prediction_and_may_differ_between_runs(tmp_path):
    folders = [written(tmp_path / "1", 1), written(tmp_path / "2", 2, {**CONFIG, "data": {"points": 2048}})]
    assert main([str(tmp_path / "out"), *map(str, folders), "--points", "1536"]) == 0
    assert load_model(tmp_path / "out")[1] == {**CONFIG, "data": {"points": 1536}}


@pytest.mark.parametrize("other", [dict(config={**CONFIG, "network": {"joint_count": 22}}), dict(d=np.zeros(2))])
def test_another_network_is_refused_by_name_and_nothing_is_written(tmp_path, other, capsys):
    assert main([str(tmp_path / "out"), str(written(tmp_path / "1", 1)), str(written(tmp_path / "odd", 2, **other))]) == 2
    assert str(tmp_path / "odd") in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_a_folder_without_weights_is_named(tmp_path, capsys):
    assert main([str(tmp_path / "out"), str(written(tmp_path / "1", 1)), str(tmp_path / "nowhere")]) == 2
    assert "nowhere" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_one_alone_keeps_its_weights_and_its_history(tmp_path):
    folder = written(tmp_path / "1", 1)
    assert main([str(folder), str(folder), "--points", "1536"]) == 0
    params, config = load_model(folder)
    assert config["data"] == {"points": 1536} and load_extra(folder) == {"step": 1}
    assert (params["b"] == load_model(written(tmp_path / "again", 1))[0]["b"]).all()
