"""Batches: each folder complete or absent, bad inputs named and survived, the same bytes every time."""

import json
from html import escape
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import launch.batch_predict as module
import pictures.preview
from rigging.animation import Clip
from rigging.quality import Check, Quality
from rigging.scene_fresh import write_glb
from dataset.disk import WriteError
from dataset.format import skeleton
from dataset.sources.npz import write_npz
from geometry.similarity import Similarity
from launch.batch_predict import (BatchOptions, common_digest, free_name, gather_inputs, identity, predict_files, safe_name,
                                  source_digest)
from launch.outcome import Outcome
from launch.predictor import Predictor, PredictorOptions
from launch.ranks import Ranks
from launch.delivery import Delivery
from launch.rig_folder import standing, warnings_of
from launch.rig_result import RigResult
from tests.dataset.figures import capsule_man, figure_joints
from tests.launch.random_checkpoint import save_random

MESH_FILES = {"predict_skeleton.npy", "predict_skin.npy", "transformed_vertices.npy", "rigged.glb", "preview.png", "report.json",
              "report.html"}
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
    assert report["influences"]["max"] <= 4 and report["weights"][-1]["name"] == "influences"


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
    assert [r["vertices"] for r in summary["results"]] == [None if o.reason else o.vertices for o in outcomes]
    man = next(r for r in summary["results"] if r["input"] == "man.npz")
    assert man == {"input": "man.npz", "folder": "mixamo/7", "reason": None, "joints": 22, "vertices": len(MAN.vertices_V3),
                   "expected_error_cm": None, "quality": by_input["man.npz"].quality, "warnings": list(by_input["man.npz"].warnings)}
    assert man["quality"] in ("pass", "warn", "fail")
    assert not list((tmp_path / "out").rglob(".*"))


def test_a_failure_while_writing_leaves_no_folder(predictor, inputs, tmp_path, monkeypatch):
    def no_disk(*args, **kwargs):
        raise OSError("no space left")
    monkeypatch.setattr(pictures.preview, "draw_preview", no_disk)
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
    run(predictor, [inputs / "hero.glb"], tmp_path, wishes=Delivery(dialect="mixamo"))
    data = next(tmp_path.rglob("rigged.glb")).read_bytes()
    assert b"mixamorig:LeftForeArm" in data


def test_a_vrm_is_a_vrm(predictor, inputs, tmp_path):
    outcome, = run(predictor, [inputs / "hero.glb"], tmp_path, wishes=Delivery(dialect="vrm", hands="none"))
    folder = tmp_path / "run" / outcome.folder
    assert {p.name for p in folder.iterdir()} == MESH_FILES - {"rigged.glb"} | {"rigged.vrm"}
    assert b"VRMC_vrm" in (folder / "rigged.vrm").read_bytes()


def test_keep_skeleton_names_a_file_without_one(predictor, inputs, tmp_path):
    """Bones that have no known names are the file's fault, said in a sentence; nothing is left behind."""
    outcome, = run(predictor, [inputs / "hero.glb"], tmp_path, wishes=Delivery(policy="keep-skeleton"))
    assert outcome.reason is None
    write_glb(inputs / "odd.glb", MAN.vertices_V3, MAN.faces_F3, MAN.normals_V3, MAN.joints_J3, MAN.parents,
              tuple(f"b{j}" for j in range(22)), MAN.skin_VJ, "z")
    outcome, = run(predictor, [inputs / "odd.glb"], tmp_path, wishes=Delivery(policy="keep-skeleton"))
    assert "odd.glb" in outcome.reason and "replace the rig" in outcome.reason and not (tmp_path / "run" / "other" / "odd").exists()


def test_a_clip_is_baked_in_and_tells_results_apart(predictor, inputs, tmp_path):
    still = Clip(np.tile(np.eye(3), (2, 22, 1, 1)), None, 30.0, "still")
    run(predictor, [inputs / "hero.glb"], tmp_path, wishes=Delivery(clip=still))
    assert b'"animations"' in next(tmp_path.rglob("rigged.glb")).read_bytes()
    shorter = replace(still, rotations_TJ33=still.rotations_TJ33[:1])
    assert len({Delivery().digest(), Delivery(clip=still).digest(), Delivery(clip=shorter).digest(),
                Delivery(clip=replace(still, fps=24.0)).digest()}) == 4


def test_a_turntable_comes_when_it_is_wished_for(predictor, inputs, tmp_path):
    run(predictor, [inputs / "hero.glb"], tmp_path, wishes=Delivery(turntable=True))
    folder = tmp_path / "run" / "other" / "hero"
    assert {path.name for path in folder.iterdir()} == MESH_FILES | {"turntable.gif"}
    assert json.loads((folder / "report.json").read_text())["files"]["turntable.gif"] == (folder / "turntable.gif").stat().st_size > 10_000
    assert Delivery(turntable=True).digest() != Delivery().digest()


def test_up_is_what_the_user_says(predictor, inputs, tmp_path):
    run(predictor, [inputs / "scan.xyz"], tmp_path, up="y")
    assert json.loads(next(tmp_path.rglob("report.json")).read_text())["up"] == "y"


@pytest.mark.parametrize("text, name", [("hero", "hero"), ("../../etc", "_.._etc"), ("a/b\\c", "a_b_c"), ("a\nb", "a_b"), ("..", "unnamed"),
                                        ("", "unnamed"), (".hidden", "hidden"), ("été 2", "été_2"), ("x" * 300, "x" * 100)])
def test_safe_name(text, name):
    assert safe_name(text) == name


def test_free_name_ignores_letter_case():
    taken = {}
    assert [free_name(n, "c", taken) for n in ("a", "A", "a-2", "b", "a", "a-2")] == ["a", "A-2", "a-2-2", "b", "a-3", "a-2-3"]
    assert free_name("a", "other", taken) == "a"
    taken = {}
    assert [free_name(n, "c", taken) for n in ("a-2", "a", "a")] == ["a-2", "a", "a-3"]


def test_identity_is_what_the_reader_will_say(inputs):
    write_npz(inputs / "nameless.npz", replace(MAN, cls="mixamo", id="7"))
    members = dict(np.load(inputs / "nameless.npz", allow_pickle=True))
    np.savez(inputs / "number.npz", **members | {"id": np.array(12)})
    np.savez(inputs / "nameless.npz", **{k: v for k, v in members.items() if k != "id"})
    np.savez(inputs / "pickled.npz", **members | {"cls": np.array("vroid", dtype=object), "id": np.array(None, dtype=object)})
    (inputs / "broken.npz").write_bytes(b"PK, or so it says")
    got = {path.name: identity(path) for path in inputs.iterdir()}
    for name in ("man.npz", "nameless.npz", "number.npz", "pickled.npz", "hero.glb"):
        asset = module.load_asset(inputs / name)
        assert got[name] == (asset.cls, str(asset.id)), name
    assert got["broken.npz"] == ("other", "broken") and got["scan.xyz"] == ("other", "scan")


def test_what_stands_is_left_and_what_changed_is_made_anew(predictor, inputs, tmp_path):
    files, folder = sorted(inputs.iterdir()), tmp_path / "run"
    first = run(predictor, files, tmp_path)
    before = contents(folder)
    stamps = {name: (folder / name).stat().st_mtime_ns for name in before}
    again = run(predictor, files, tmp_path)
    assert [o.stood for o in first] == [False] * 3 and [o.stood for o in again] == [True] * 3
    assert [replace(o, stood=False) for o in again] == first and contents(folder) == before
    assert all((folder / name).stat().st_mtime_ns == stamp for name, stamp in stamps.items() if name != "summary.json")
    np.savetxt(inputs / "scan.xyz", MAN.vertices_V3[::5])                  # another content
    (folder / "mixamo" / "7" / "rigged.glb").unlink()                      # a file is gone
    report = folder / "other" / "hero" / "predict_skin.npy"
    report.write_bytes(report.read_bytes()[:-1])                           # or cut short
    assert [o.stood for o in run(predictor, files, tmp_path)] == [False] * 3
    after = contents(folder)
    assert {name for name in before if after[name] != before[name]} >= {"other/scan/predict_skin.npy", "other/scan/report.json"}
    assert all(after[name] == before[name] for name in before if "scan" not in name and name != "summary.json")


@pytest.mark.parametrize("change", [dict(wishes=Delivery(influences=2)), dict(wishes=Delivery(dialect="ue5")), dict(up="z")])
def test_other_options_make_it_anew(predictor, inputs, tmp_path, change):
    run(predictor, [inputs / "hero.glb"], tmp_path)
    outcome, = run(predictor, [inputs / "hero.glb"], tmp_path, **change)
    assert outcome.reason is None and not outcome.stood


def test_digest_feels_checkpoint_options_and_code(predictor, tmp_path, monkeypatch):
    options = BatchOptions(tmp_path, "run")
    other = Predictor(save_random(tmp_path / "other", joints=22, points=64, seed=5))
    looking = Predictor(save_random(tmp_path / "looks", joints=22, points=64), PredictorOptions(looks=2))
    digests = [common_digest(p, options) for p in (predictor, other, looking)] + [common_digest(predictor, replace(options, run="b"))]
    monkeypatch.setattr(module, "_code_digest", lambda: "another version")
    digests.append(common_digest(predictor, options))
    assert len(set(digests)) == 5


def test_digest_feels_buffers_beside_a_gltf(tmp_path):
    document = {"asset": {"version": "2.0"}, "buffers": [{"byteLength": 2, "uri": "a%20b.bin"}, {"byteLength": 0, "uri": "data:,"}]}
    (tmp_path / "m.gltf").write_text(json.dumps(document))
    marks = [source_digest(tmp_path / "m.gltf", "x")]
    for data in (b"12", b"13"):
        (tmp_path / "a b.bin").write_bytes(data)
        marks.append(source_digest(tmp_path / "m.gltf", "x"))
    assert len(set(marks)) == 3 and source_digest(tmp_path / "m.gltf", "x") == marks[-1]


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"made_from": "x", "warnings": [], "files": {}}', '{"made_from": "x", "warnings": []}',
                                  '{"made_from": "x", "warnings": [], "files": {"gone.npy": 3}}', '{"made_from": "y"}'])
def test_a_doubtful_folder_does_not_stand(tmp_path, text):
    (tmp_path / "report.json").write_text(text)
    assert standing(tmp_path, "x") is None


def test_where_nothing_can_be_written_the_batch_stops_and_names_the_place(predictor, inputs, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mixamo").write_text("a file where the folder should be")
    with pytest.raises(WriteError, match="run/mixamo/7 cannot be written: .*a file stands where a folder is needed: remove it"):
        run(predictor, sorted(inputs.iterdir()), tmp_path)
    assert not list((tmp_path / "run").rglob(".*")) and (tmp_path / "run" / "other" / "hero" / "rigged.glb").is_file()


@pytest.mark.parametrize("size", [2, 3])
def test_ranks_leave_what_one_process_leaves(predictor, inputs, tmp_path, size):
    (inputs / "b").mkdir()
    write_npz(inputs / "b" / "man.npz", replace(MAN, cls="mixamo", id="7"))
    (inputs / "broken.glb").write_bytes(b"glTF, or so it says")
    files = sorted(path for path in inputs.rglob("*") if path.is_file())
    gone = [Outcome("gone.glb", reason="no such file")]
    predict_files(predictor, files, BatchOptions(tmp_path / "one", "run", show_progress=False), gone)
    options = BatchOptions(tmp_path / "many", "run", show_progress=False)
    answers = [predict_files(predictor, files, options, gone, Ranks(rank, size, "job")) for rank in (*range(1, size), 0)]
    assert answers[:-1] == [None] * (size - 1)                              # the last one answers for all
    assert [o.input for o in answers[-1]] == ["gone.glb", *(f.name for f in files)]
    assert contents(tmp_path / "many") == contents(tmp_path / "one") and not list(tmp_path.rglob(".*"))
    assert {o.folder for o in answers[-1] if o.folder} == {"mixamo/7", "mixamo/7-2", "other/hero", "other/scan"}


def test_a_later_start_finishes_what_a_dead_rank_left(predictor, inputs, tmp_path):
    files = sorted(inputs.iterdir())
    predict_files(predictor, files, BatchOptions(tmp_path / "one", "run", show_progress=False))
    options = BatchOptions(tmp_path / "many", "run", show_progress=False)
    assert predict_files(predictor, files, options, (), Ranks(1, 2, "first")) is None   # rank 0 has died
    done = {path.name for path in (tmp_path / "many" / "run").glob("[!.]*/*")}
    assert 0 < len(done) < 3 and not (tmp_path / "many" / "run" / "summary.json").exists()
    left = tmp_path / "many" / "run" / "other"
    left.mkdir(exist_ok=True)
    for name in ("hero", "scan"):
        (left / f".{name}.77.new").mkdir()                                  # half-written
    (left / ".foreign.77.new").mkdir()
    assert predict_files(predictor, files, options, (), Ranks(0, 2, "second")) is None  # rank 1's old answer is not taken for a new one
    outcomes = predict_files(predictor, files, options, (), Ranks(1, 2, "second"))
    assert [o.reason for o in outcomes] == [None] * 3 and sum(o.stood for o in outcomes) == len(done)
    (left / ".foreign.77.new").rmdir()                                      # not ours to remove
    assert contents(tmp_path / "many") == contents(tmp_path / "one") and not list((tmp_path / "many").rglob(".*"))


def test_gather_inputs(inputs, tmp_path):
    listing = tmp_path / "list.txt"
    listing.write_text("man.npz\n\n  gone.npz \n")
    files, missing = gather_inputs([str(inputs / "hero.glb"), str(inputs), str(tmp_path / "nowhere")], inputs, listing)
    assert [f.name for f in files] == ["hero.glb", "man.npz", "scan.xyz", "gone.npz"]
    assert [o.input for o in missing] == [str(tmp_path / "nowhere")] and "no such file" in missing[0].reason


def test_warnings_begin_with_what_failed():
    box_V3 = np.array([[-1, -1, -1], [1, 1, 1]], float)
    doubt_J = np.ones(22)
    doubt_J[5] = .4
    doubted = rig(figure_joints(22), np.eye(22)[:2], box_V3, doubt_J)
    fine, odd, bad = (Check(verdict, verdict, 0.0, "", 0.0, 0.0, verdict, f"It is {verdict}.") for verdict in ("pass", "warn", "fail"))
    assert warnings_of(doubted, Quality((fine, odd, bad), (), ())) == ["It is fail.", "It is warn.", "low confidence: head"]
    assert warnings_of(doubted._replace(confidence_J=None), Quality((fine,), (), ())) == []


def test_report_holds_the_examination_and_the_page_shows_it(predictor, inputs, tmp_path):
    outcome, = run(predictor, [inputs / "man.npz"], tmp_path)
    folder = tmp_path / "run" / outcome.folder
    report, page = json.loads((folder / "report.json").read_text()), (folder / "report.html").read_text(encoding="utf-8")
    rig_of_file, quality = predictor.predict(MAN), report["quality"]
    assert {check["key"] for check in quality["checks"]} >= {"row_sums", "crossed", "stretched"} and quality["poses"]
    assert [check["verdict"] for check in quality["checks"] if check["key"] == "row_sums"] == ["pass"]   # it keeps its contract
    assert len(rig_of_file.names) == 22 and "man.npz" in page and all(escape(sentence) in page for sentence in report["warnings"])


def test_looks_reach_the_report(tmp_path, inputs):
    looking = Predictor(save_random(tmp_path / "c", joints=22, points=64), PredictorOptions(looks=2))
    run(looking, [inputs / "man.npz"], tmp_path)
    report = json.loads(next((tmp_path / "run").rglob("report.json")).read_text())
    assert report["looks"] == 2 and all(0 <= j["confidence"] <= 1 for j in report["joints"])
