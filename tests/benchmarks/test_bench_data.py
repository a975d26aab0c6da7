"""The data benchmark's plumbing on tiny characters: both ways make the same thing, and the figures are what they are called."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "dataset")]

from benchmarks import bench_data, reference_data  # noqa: E402
from benchmarks.paired import Worker  # noqa: E402
from dataset import pipeline  # noqa: E402
from dataset.body import Body  # noqa: E402
from dataset.prepared import prepare  # noqa: E402
from figures import capsule_man  # noqa: E402
from geometry.kinematics import forward_kinematics, homogeneous, rotvec_to_matrix  # noqa: E402
from geometry.similarity import fit_box  # noqa: E402
from geometry.skinning import linear_blend_skinning, skin_transforms  # noqa: E402

MAN = capsule_man(52)
TASK = {"points": 200, "mocap_share": 0.5, "reference_samples": 2, "our_samples": 16, "batches": 1}


def write_folder(folder: Path) -> None:
    """What bench_data.make_inputs writes, of capsule men; and the batch that tells the training's points."""
    (folder / "characters").mkdir()
    (folder / "step").mkdir()
    np.savez(folder / "characters" / "000.npz", vertices=MAN.vertices_V3, faces=MAN.faces_F3, joints=MAN.joints_J3, skin=MAN.skin_VJ,
             matrix_local=MAN.local_J44(), parents=np.array(list(MAN.parents), dtype=object), names=list(MAN.names), cls="a", id="b")
    np.savez(folder / "track.npz", matrix_basis=np.tile(np.eye(4), (3, 52, 1, 1)))
    np.savez(folder / "step" / "batch.npz", points=np.zeros((8, 64, 3)))
    (folder / "task.json").write_text(json.dumps(TASK))
    prepare([MAN], folder / "prepared")


def test_the_reference_poses_as_geometry_does():
    rng = np.random.default_rng(0)
    basis, local = reference_data.random_basis(52, rng), MAN.local_J44()
    turn = rng.normal(size=3)
    np.testing.assert_allclose(reference_data.rotation(turn), homogeneous(rotvec_to_matrix(turn)), atol=1e-12)
    np.testing.assert_array_equal(reference_data.rotation(np.zeros(3)), np.eye(4))
    pose = reference_data.pose_frames(list(MAN.parents), local, basis)
    np.testing.assert_allclose(pose, forward_kinematics(MAN.parents, local, basis), atol=1e-9)
    moves = skin_transforms(pose, local)
    exact = linear_blend_skinning(MAN.vertices_V3, MAN.skin_VJ, moves)
    for skinning in (reference_data.skin_vertices, reference_data.skin_vertices_at_once):
        np.testing.assert_allclose(skinning(MAN.vertices_V3, MAN.skin_VJ, moves), exact, atol=1e-5)


def test_a_reference_sample_lies_on_the_character(tmp_path):
    write_folder(tmp_path)
    still = np.tile(np.eye(4), (1, 52, 1, 1))
    got = reference_data.sample(tmp_path / "characters" / "000.npz", still, 200, 1.0, np.random.default_rng(0))
    to_box = fit_box(MAN.vertices_V3)
    np.testing.assert_allclose(got["joints"], to_box.apply(MAN.joints_J3), atol=1e-5)
    np.testing.assert_allclose(got["skin"].sum(1), 1, atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(got["normals"], axis=1), 1, atol=1e-4)
    gap = np.abs(got["points"][:100, None] - to_box.apply(MAN.vertices_V3)[None]).max(-1)
    assert gap.min(1).max() < 1e-5 and np.abs(got["points"]).max() < 1 + 1e-5       # the first half are vertices


def test_both_workers_answer(tmp_path):
    write_folder(tmp_path)
    ours = Worker([sys.executable, "-m", "benchmarks.bench_data", "--serve", str(tmp_path)], threads=1)
    reference = Worker([sys.executable, "-m", "benchmarks.reference_data", str(tmp_path)], threads=1)
    try:
        shapes = {"points": [200, 3], "normals": [200, 3], "joints": [52, 3], "skin": [200, 52]}
        assert ours.run("samples")["shapes"] == shapes
        assert all(reference.run(case)["shapes"] == shapes for case in reference.cases)
        assert ours.run("batch")["seconds"] > 0
        assert set(ours.run("breakdown")["parts"]) == {*bench_data.PARTS.values(), bench_data.REST}
    finally:
        ours.close()
        reference.close()


def test_parts_add_up_and_leave_no_trace(monkeypatch):
    clock = iter(range(100))
    monkeypatch.setattr(bench_data.time, "perf_counter", lambda: float(next(clock)))
    plain = Body.posed, pipeline.pose_normals
    monkeypatch.setattr(Body, "widened", lambda self: Body.posed(self))
    monkeypatch.setattr(Body, "posed", lambda self: None)
    # each tick between two calls is a second: box, skinning inside it, box again, the rest around
    parts = bench_data.time_parts(lambda: Body.widened(None), samples=2)
    assert parts["bounding box"] == 1.0 and parts["skinning"] == 0.5 and parts[bench_data.REST] == 1.0
    assert sum(parts.values()) == 2.5
    monkeypatch.undo()
    assert (Body.posed, pipeline.pose_normals) == plain


def test_the_report_writes_its_keys(tmp_path, capsys):
    samples = {"ours": [.001, .002], "reference": [.021, .044], "reference, one product": [.010, .020]}
    share = {"one worker's batch of 8": [.008, .010], "train step, 2 threads": [.1, .1], "train step, 1 thread": [.2]}
    path = tmp_path / "data.json"
    bench_data.report(samples, share, {"skinning": .0001}, {"characters": 2, "median_vertices": 13000.0}, path)
    result = json.loads(path.read_text())
    assert result["data_ratio"] == pytest.approx(21.5) and result["data_ratio_one_product"] == pytest.approx(10)
    assert result["data_share"] == pytest.approx(.09) and len(result["rows"]) == 7
    assert "wanted >= 20" in capsys.readouterr().out
