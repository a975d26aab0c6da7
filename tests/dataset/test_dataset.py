"""Batches: the same from any step and any number of workers, split over ranks, and honest about what is supervised."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from figures import capsule_man  # noqa: E402

from dataset.asset import AssetError, merge_fingers  # noqa: E402
from dataset.augment import FINETUNE, BoneStretch, Clutter, Jitter, Mirror, Mix, NormalDropout, PointDensity  # noqa: E402
from dataset.characters import read_rig  # noqa: E402
from dataset.dataset import RigDataset, contest_files, contest_tracks  # noqa: E402
from dataset.pipeline import Pipeline  # noqa: E402
from dataset.prepared import prepare  # noqa: E402
from dataset.sampler import Sampler  # noqa: E402
from dataset.sources.npz import write_npz  # noqa: E402
from geometry.similarity import fit_box  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent.parent
MAN, SMALL = capsule_man(52), replace(capsule_man(22), source="small")
STILL = Mix(1.0, 0.0, 0.0, mirror=Mirror(0.0), stretch=BoneStretch(0.0), clutter=Clutter(0.0), density=PointDensity(0.0),
            jitter=Jitter(0.0), normal_dropout=NormalDropout(0.0))


def data(assets=(MAN, SMALL), mix=FINETUNE, joints=52, batch=4, points=128, **more):
    return RigDataset(list(assets), mix, Sampler(points), joints, batch, **more)


def first(dataset, count, start=0):
    return list(dataset.batches(start, start + count))


def same(a, b):
    assert a.keys() == b.keys() and a["asset"] == b["asset"]
    for key in a.keys() - {"asset"}:
        np.testing.assert_array_equal(a[key], b[key], err_msg=key)


def test_shapes_types_and_the_box():
    for joints in (22, 52):
        for batch in first(data(joints=joints), 5):
            shapes = {key: value.shape for key, value in batch.items() if key != "asset"}
            assert shapes == {"points": (4, 128, 3), "normals": (4, 128, 3), "has_normals": (4,), "joints": (4, joints, 3),
                              "joint_mask": (4, joints), "skin": (4, 128, joints), "skin_mask": (4,), "upright": (4,)}
            assert all(value.dtype == np.float32 and np.isfinite(value).all() for key, value in batch.items() if key != "asset")
            assert np.abs(batch["points"]).max() < 1.03      # jitter may lean out a little
            given = batch["has_normals"] > 0
            np.testing.assert_allclose(np.linalg.norm(batch["normals"][given], axis=-1), 1, atol=1e-5)
            assert (batch["normals"][~given] == 0).all()
            np.testing.assert_allclose(batch["skin"].sum(-1), 1, atol=1e-5)


def test_a_still_sample_is_the_asset_in_its_box():
    batch = first(data([MAN], STILL, batch=1, points=2000), 1)[0]
    to_box = fit_box(MAN.vertices_V3)
    np.testing.assert_allclose(batch["joints"][0], to_box.apply(MAN.joints_J3), atol=1e-6)
    assert batch["has_normals"].tolist() == batch["skin_mask"].tolist() == [1] and batch["joint_mask"].min() == 1
    d = np.linalg.norm(batch["points"][0][:, None] - to_box.apply(MAN.vertices_V3)[None], axis=-1)
    for n, v in zip(*np.nonzero(d < 1e-6)):
        if (d[n] < 1e-6).sum() == 1:
            np.testing.assert_allclose(batch["skin"][0, n], MAN.skin_VJ[v], atol=1e-5)
            np.testing.assert_allclose(batch["normals"][0, n], MAN.normals_V3[v], atol=1e-5)


def test_resumed_run_sees_the_same_batches():
    whole = first(data(), 6)
    for step, batch in enumerate(first(data(), 2, start=4)):
        same(batch, whole[4 + step])
    other = first(data(seed=1), 1)[0]
    assert (other["points"] != whole[0]["points"]).any()


def test_workers_change_nothing(tmp_path):
    prepared = prepare([MAN, SMALL], tmp_path / "set")
    alone = list(RigDataset(prepared, FINETUNE, Sampler(64), 52, 4).batches(3, 8))
    with RigDataset(tmp_path / "set", FINETUNE, Sampler(64), 52, 4, workers=2) as crew:
        together = list(crew.batches(3, 8))
        for one, two in zip(alone, together, strict=True):
            same(one, two)
        stopped = crew.batches(3)       # an iterator that is dropped midway does not disturb the next
        next(stopped)
        same(next(crew.batches(4)), alone[1])
        processes = [worker.process for worker in crew._crew.workers]
    assert all(process.poll() is not None for process in processes)


def test_a_worker_tells_what_went_wrong():
    broken = replace(MAN, vertices_V3=np.full_like(MAN.vertices_V3, np.nan), source="broken.npz")
    for workers in (0, 1):
        with data([broken], STILL, workers=workers) as dataset, pytest.raises(AssetError, match="broken.npz: cannot be posed"):
            next(dataset.batches())
    with data([MAN], replace(STILL, jitter=None), workers=1) as dataset, pytest.raises(RuntimeError, match="worker failed(.|\n)*NoneType"):
        next(dataset.batches())


def test_a_worker_that_dies_is_noticed():
    with data(workers=1) as dataset:
        batches = dataset.batches()
        next(batches)
        shell = dataset._crew.workers[0].process.pid     # Jittor, loaded in this process, ends it when a child of its own dies by a signal
        worker, = map(int, Path(f"/proc/{shell}/task/{shell}/children").read_text().split())
        os.kill(worker, signal.SIGKILL)
        with pytest.raises(ChildProcessError, match="ended early .killed by signal 9"):
            for _ in range(5):
                next(batches)


def test_workers_do_not_start_jittor():
    code = "import sys, dataset.crew, dataset.pipeline, dataset.characters; sys.exit(any(m.split('.')[0] == 'jittor' for m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=60).returncode == 0


def test_ranks_share_the_global_batch():
    whole = first(data(batch=4), 3)
    parts = [first(data(batch=4, rank=rank, world_size=2), 3) for rank in (0, 1)]
    for step in range(3):
        joined = {key: np.concatenate([parts[0][step][key], parts[1][step][key]]) for key in whole[0] if key != "asset"}
        same(whole[step], {**joined, "asset": parts[0][step]["asset"] + parts[1][step]["asset"]})
        assert (parts[0][step]["points"] != parts[1][step]["points"]).any()
    with pytest.raises(ValueError, match="multiple of the number of ranks"):
        data(batch=5, world_size=2)
    with pytest.raises(ValueError, match="rank 2"):
        data(batch=4, rank=2, world_size=2)


def named(count):
    return [replace(SMALL, source=str(k)) for k in range(count)]


def test_every_asset_once_per_epoch_in_a_new_order():
    pipeline = Pipeline(named(12), STILL, Sampler(8), 22, batch=4)
    rng = np.random.default_rng(0)
    epochs = [[pipeline.pick(step, slot, rng) for step in range(3 * e, 3 * e + 3) for slot in range(4)] for e in range(3)]
    assert all(sorted(epoch) == list(range(12)) for epoch in epochs) and len({tuple(epoch) for epoch in epochs}) == 3


def test_group_weights_fix_the_shares():
    pipeline = Pipeline(named(10), STILL, Sampler(8), 22, 4, group_weights=((0, 9, 1.0), (9, 10, 3.0)))
    picks = np.array([pipeline.pick(0, 0, np.random.default_rng(k)) for k in range(2000)])
    assert abs((picks == 9).mean() - .75) < 5 * .0097 and set(picks.tolist()) == set(range(10))
    for group in ((0, 11, 1.0), (3, 3, 1.0), (0, 2, 0.0)):
        with pytest.raises(ValueError, match="group"):
            Pipeline(named(10), STILL, Sampler(8), 22, 4, group_weights=(group,))


def test_refuses_nothing_to_do():
    for assets, batch in (([], 4), ([MAN], 0)):
        with pytest.raises(ValueError, match="needs assets"):
            Pipeline(assets, STILL, Sampler(8), 52, batch)
    with pytest.raises(ValueError, match="23 joints"):
        Pipeline([MAN], STILL, Sampler(8), 23, 4)
    odd = replace(MAN, joints_J3=MAN.joints_J3[:20], skin_VJ=None, matrix_local_J44=None, source="odd.glb")
    with pytest.raises(AssetError, match="odd.glb: has 20 joints"):
        next(data([odd]).batches())


def test_masks_tell_what_is_known():
    # 22 joints under a 52-joint network: no fingers, no skin (the hand holds their weight)
    batch = first(data([SMALL], STILL, joints=52), 1)[0]
    assert (batch["joint_mask"] == [1.0] * 22 + [0.0] * 30).all() and (batch["skin_mask"] == 0).all()
    assert (batch["joints"][:, 22:] == 0).all()
    # 52 under 22: all known, fingers merged
    one, two = first(data([MAN], STILL, joints=22), 1)[0], first(data([MAN], STILL, joints=52), 1)[0]
    np.testing.assert_allclose(one["skin"], np.stack([merge_fingers(s) for s in two["skin"]]), atol=1e-6)
    assert one["joint_mask"].min() == one["skin_mask"].min() == 1
    # joints of another convention are masked on both sides, so that a mirror cannot bring them back
    marked = replace(MAN, joint_valid_J=np.arange(52) != 14, skin_valid=False)
    for mirrored in (0.0, 1.0):
        batch = first(data([marked], replace(STILL, mirror=Mirror(mirrored))), 1)[0]
        assert sorted(np.flatnonzero(batch["joint_mask"][0] == 0)) == [14, 18] and (batch["skin_mask"] == 0).all()
    bare = replace(MAN, skin_VJ=None, normals_V3=None)
    batch = first(data([bare], FINETUNE), 1)[0]
    assert (batch["skin"] == 0).all() and (batch["skin_mask"] == 0).all() and (batch["has_normals"] == 0).all()


def test_a_y_up_asset_stands_up():
    batch = first(data([capsule_man(52, up="y")], STILL), 1)[0]
    same(batch, {**first(data([MAN], STILL), 1)[0], **{key: batch[key] for key in ("points", "joints", "normals")}})
    np.testing.assert_allclose(batch["joints"], first(data([MAN], STILL), 1)[0]["joints"], atol=1e-6)


def test_validation_batches_never_change():
    dataset = data(seed=3)
    one, two = (list(dataset.validation_batches(3, ("rest", "random", "mocap"))) for _ in range(2))
    assert [len(b["asset"]) for b in one] == [3, 3]
    for a, b in zip(one, two):
        same(a, b)
    assert one[0]["asset"] == ["capsule_man(52)"] * 3 and one[1]["asset"] == ["small"] * 3
    assert all((batch["has_normals"] == 1).all() for batch in one)
    rest, posed = one[0]["joints"][0], one[0]["joints"][1:]
    np.testing.assert_allclose(rest, fit_box(MAN.vertices_V3).apply(MAN.joints_J3), atol=1e-6)
    assert np.abs(posed - rest).max((1, 2)).min() > 0.05


@pytest.fixture
def contest(tmp_path):
    for name in ("train/mixamo/1", "train/vroid/2"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        write_npz(tmp_path / f"{name}.npz", replace(MAN, id=name[-1]))
    (tmp_path / "train_list.txt").write_text("train/mixamo/1.npz\n\ntrain/vroid/2.npz\n")
    (tmp_path / "track").mkdir()
    for k, frames in enumerate((3, 2)):
        np.savez(tmp_path / "track" / f"{k}.npz", matrix_basis=np.tile(np.eye(4, dtype=np.float32), (frames, 52, 1, 1)))
    return tmp_path


def test_contest_tree_as_it_is(contest):
    prepared = prepare(map(read_rig, contest_files(contest, "train_list.txt")), contest / "prepared")
    assert [prepared[i].id for i in range(2)] == ["1", "2"]
    tracks = contest_tracks(contest)
    assert len(tracks) == 5
    mix = replace(FINETUNE, mocap_pose=replace(FINETUNE.mocap_pose, bank=tracks))
    assert next(RigDataset(prepared, mix, Sampler(64), 52, 2).batches())["points"].shape == (2, 64, 3)
    assert contest_tracks(contest / "train") is None


@pytest.mark.parametrize("text, message", [(None, "cannot be read.*--data_root"), ("\n\n", "names no files"),
                                           ("train/mixamo/9.npz", "named in train_list.txt but not there")])
def test_contest_lists_that_fail(contest, text, message):
    (contest / "train_list.txt").unlink()
    if text is not None:
        (contest / "train_list.txt").write_text(text)
    with pytest.raises(AssetError, match=message):
        contest_files(contest, "train_list.txt")
