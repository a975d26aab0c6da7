"""Batches: each folder complete or absent, bad inputs named and survived, the same bytes every time."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import launch.batch_predict as module
from dataset.asset import AssetError
from dataset.exporter import write_glb
from dataset.format import skeleton
from dataset.sources.npz import write_npz
from geometry.similarity import Similarity
from launch.batch_predict import (BatchOptions, Outcome, free_name, gather_inputs, predict_files, reason_of, safe_name, table, uneven_bones,
                                  warnings_of)
from launch.predictor import Predictor, PredictorOptions, RigResult
from tests.dataset.figures import capsule_man, figure_joints
from tests.launch.random_checkpoint import save_random

MESH_FILES = {"predict_skeleton.npy", "predict_skin.npy", "transformed_vertices.npy", "rigged.glb", "preview.png", "report.json"}
MAN = capsule_man(22)


@pytest.fixture(scope="module")
def predictor(tmp_path_factory) -> Predictor:
    return Predictor(save_random(tmp_path_factory.mktemp("checkpoint"), joints=22, points=64))


@pytest.fixture()
def inputs(tmp_path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    write_npz(folder / "man.npz", replace(MAN, cls="mixamo", id="7"))
    man_y = capsule_man(22, up="y")
    write_glb(folder / "hero.glb", man_y.vertices_V3, man_y.faces_F3, man_y.normals_V3, man_y.joints_J3, man_y.parents, man_y.names,
              man_y.skin_VJ, "y")
    np.savetxt(folder / "scan.xyz", MAN.vertices_V3[::3])
    return folder


def rig(joints_J3: np.ndarray, skin_VJ: np.ndarray, box_V3: np.ndarray, confidence_J=None) -> RigResult:
    bones = skeleton(len(joints_J3))
    return RigResult(joints_J3, bones.parents, bones.names, skin_VJ, confidence_J, joints_J3, box_V3, Similarity.identity())


def run(predictor, files, out: Path, **options):
    return predict_files(predictor, files, BatchOptions(out, "run", show_progress=False, **options))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_writes_the_contest_layout_and_more(predictor, inputs, tmp_path):
    outcomes = run(predictor, sorted(inputs.iterdir()), tmp_path / "out")
    assert [o.reason for o in outcomes] == [None] * 3
    folder = tmp_path / "out" / "run" / "mixamo" / "7"
    assert {p.name for p in folder.iterdir()} == MESH_FILES
    joints_J3, skin_VJ, vertices_V3 = (np.load(folder / f"{n}.npy") for n in ("predict_skeleton", "predict_skin", "transformed_vertices"))
    assert joints_J3.shape == (22, 3) and skin_VJ.shape == (len(MAN.vertices_V3), 22)
    to_box = predictor.predict(MAN).to_box
    np.testing.assert_allclose(vertices_V3, to_box.apply(MAN.vertices_V3), atol=1e-6)
    points = tmp_path / "out" / "run" / outcomes[2].folder
    assert {p.name for p in points.iterdir()} == MESH_FILES - {"rigged.glb"}


def test_report_says_what_was_predicted(predictor, inputs, tmp_path):
    run(predictor, [inputs / "man.npz"], tmp_path)
    report = json.loads((tmp_path / "run" / "mixamo" / "7" / "report.json").read_text())
    result = predictor.predict(MAN)
    assert (report["input"], report["joint_count"], report["vertices"]) == ("man.npz", 22, len(MAN.vertices_V3))
    np.testing.assert_allclose([j["position"] for j in report["joints"]], result.joints_J3, atol=1e-5)
    assert [j["parent"] for j in report["joints"]] == list(MAN.parents)
    assert report["influences"]["max"] == int((result.skin_VJ > 1e-3).sum(1).max())


def test_same_bytes_in_any_order_and_company(predictor, inputs, tmp_path):
    files = sorted(inputs.iterdir())
    run(predictor, files, tmp_path / "a")
    run(predictor, files[::-1], tmp_path / "b", read_ahead=1)
    run(predictor, files[1:2], tmp_path / "c")
    first, second, third = (contents(tmp_path / name / "run") for name in "abc")
    del first["summary.json"], second["summary.json"], third["summary.json"]
    assert first == second
    assert third and third.items() <= first.items()


def test_a_bad_input_does_not_stop_the_batch(predictor, inputs, tmp_path):
    (inputs / "broken.glb").write_bytes(b"glTF, or so it says")
    (inputs / "notes.txt").write_text("no character")
    np.savetxt(inputs / "point.xyz", np.zeros((5, 3)))
    outcomes = run(predictor, sorted(inputs.iterdir()), tmp_path / "out")
    by_input = {o.input: o for o in outcomes}
    assert {name for name, o in by_input.items() if o.reason} == {"broken.glb", "notes.txt", "point.xyz"}
    assert "point.xyz" in by_input["point.xyz"].reason
    summary = json.loads((tmp_path / "out" / "run" / "summary.json").read_text())
    assert (summary["done"], summary["failed"]) == (3, 3)
    assert [r["reason"] for r in summary["results"]] == [o.reason for o in outcomes]
    assert not list((tmp_path / "out").rglob(".*"))


def test_a_failure_while_writing_leaves_no_folder(predictor, inputs, tmp_path, monkeypatch):
    def no_disk(*args, **kwargs):
        raise OSError("no space left")
    monkeypatch.setattr(module, "draw_preview", no_disk)
    outcomes = run(predictor, [inputs / "man.npz"], tmp_path)
    assert outcomes[0].reason == "OSError: no space left"
    assert [p.name for p in (tmp_path / "run").rglob("*") if p.is_file()] == ["summary.json"]


def test_two_assets_of_one_name(predictor, inputs, tmp_path):
    (inputs / "b").mkdir()
    write_npz(inputs / "b" / "man.npz", replace(MAN, cls="mixamo", id="7"))
    outcomes = run(predictor, [inputs / "man.npz", inputs / "b" / "man.npz"], tmp_path)
    assert [o.folder for o in outcomes] == ["mixamo/7", "mixamo/7-2"]


def test_names_inside_a_file_cannot_leave_the_folder(predictor, inputs, tmp_path):
    write_npz(inputs / "evil.npz", replace(MAN, cls="../../up", id="../x\n/etc"))
    out = tmp_path / "deep" / "out"
    outcome, = run(predictor, [inputs / "evil.npz"], out)
    assert outcome.reason is None
    assert all(p.is_relative_to(out / "run") for p in tmp_path.rglob("predict_skin.npy"))


def test_dialect_names_the_bones_of_the_glb(predictor, inputs, tmp_path):
    run(predictor, [inputs / "hero.glb"], tmp_path, dialect="mixamo")
    data = next(tmp_path.rglob("rigged.glb")).read_bytes()
    assert b"mixamorig:LeftForeArm" in data and b"l_lower_arm" not in data


def test_up_is_what_the_user_says(predictor, inputs, tmp_path):
    run(predictor, [inputs / "scan.xyz"], tmp_path, up="y")
    assert json.loads(next(tmp_path.rglob("report.json")).read_text())["up"] == "y"


@pytest.mark.parametrize("text, name", [("hero", "hero"), ("../../etc", "_.._etc"), ("a/b\\c", "a_b_c"), ("a\nb", "a_b"), ("..", "unnamed"),
                                        ("", "unnamed"), (".hidden", "hidden"), ("été 2", "été_2"), ("x" * 300, "x" * 100)])
def test_safe_name(text, name):
    assert safe_name(text) == name


def test_free_name_ignores_letter_case():
    taken = set()
    assert [free_name(n, "c", taken) for n in ("a", "A", "a-2", "b")] == ["a", "A-2", "a-2-2", "b"]
    assert free_name("a", "other", taken) == "a"


def test_gather_inputs(inputs, tmp_path):
    listing = tmp_path / "list.txt"
    listing.write_text("man.npz\n\n  gone.npz \n")
    files, missing = gather_inputs([str(inputs / "hero.glb"), str(inputs), str(tmp_path / "nowhere")], inputs, listing)
    assert [f.name for f in files] == ["hero.glb", "man.npz", "scan.xyz", "gone.npz"]
    assert [o.input for o in missing] == [str(tmp_path / "nowhere")] and "no such file" in missing[0].reason


def test_warnings_by_hand():
    joints_J3 = figure_joints(22) - [0, 0, .9]
    box_V3 = np.array([[-1, -1, -1], [1, 1, 1]], float)
    skin_VJ = np.zeros((2, 22))
    skin_VJ[:, 0] = 1
    clean = rig(joints_J3, skin_VJ, box_V3, np.ones(22))
    assert warnings_of(clean, np.array([1, 4]), 4) == []
    joints_J3 = joints_J3.copy()
    joints_J3[9] += [.8, 0, 0]                                     # l_hand leaves the box, and its bone is longer than the right one
    doubt_J = np.ones(22)
    doubt_J[5] = .4
    text = warnings_of(rig(joints_J3, skin_VJ, box_V3, doubt_J), np.array([5, 4]), 4)
    assert text == ["joints outside the mesh's box: l_hand", "low confidence: head",
                    "left and right bones differ by more than 15%, to: l_hand",
                    "1 of 2 vertices have more than 4 influences; rigged.glb keeps the strongest 4"]


def test_uneven_bones_of_a_collapsed_rig():
    assert not uneven_bones(rig(np.zeros((22, 3)), np.ones((1, 22)) / 22, np.zeros((1, 3)))).any()


def test_reason_is_one_line():
    assert reason_of(AssetError("a.glb: bad\n  thing")) == "a.glb: bad thing"
    assert reason_of(MemoryError()) == "MemoryError: "
    assert reason_of(KeyError("x")) == "KeyError: 'x'"


def test_table():
    text = table([Outcome("a.glb", "other/a", None, ("w",)), Outcome("long.xyz", None, "no points")])
    assert text.splitlines() == ["a.glb     ok      other/a (1 warning, see report.json)", "long.xyz  FAILED  no points",
                                 "1 rigged, 1 failed"]


def test_looks_reach_the_report(tmp_path, inputs):
    looking = Predictor(save_random(tmp_path / "c", joints=22, points=64), PredictorOptions(looks=2))
    run(looking, [inputs / "man.npz"], tmp_path)
    report = json.loads(next((tmp_path / "run").rglob("report.json")).read_text())
    assert report["looks"] == 2 and all(0 <= j["confidence"] <= 1 for j in report["joints"])
