"""Which characters a training is made of: humans, then mascots, then files; prepared once for each mixture."""

import pytest

from launch.runtime import start_jittor

start_jittor()

from dataset.asset import AssetError  # noqa: E402
from dataset.augment import FINETUNE, PRETRAIN  # noqa: E402
from dataset.characters import read_rig  # noqa: E402
from dataset.sources.mascots import generate_mascot  # noqa: E402
from dataset.sources.npz import write_npz  # noqa: E402
from launch.presets import PRESETS  # noqa: E402
from launch.training_data import (MASCOT_SOURCES, VALIDATION_SEEDS, generator_version, prepare_generated,  # noqa: E402
                                  preparers, share_groups, with_rest, with_shares)


def test_mascots_alone_need_no_human_data(tmp_path):
    prepared = prepare_generated(5, 0, 2, [], tmp_path)
    assert len(prepared) == 2
    assert prepared[1].joints_J3.tobytes() == generate_mascot(6).in_network_frame().joints_J3.tobytes()


def test_another_number_is_prepared_anew_and_the_same_is_not(tmp_path):
    for mascots in (1, 2, 2):
        prepare_generated(0, 0, mascots, [], tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("humans, mascots", [(0, 0), (-1, 2), (2, -1)])
def test_no_character_or_a_negative_number_is_refused(humans, mascots, tmp_path):
    with pytest.raises(AssetError, match="data.mascots"):
        prepare_generated(0, humans, mascots, [], tmp_path)


def test_a_file_that_cannot_be_read_is_named_with_its_folder(tmp_path):
    torn = tmp_path / "b.npz"
    torn.write_bytes(b"PK")
    with pytest.raises(AssetError) as caught:
        read_rig(torn)
    assert str(caught.value).startswith(f"{torn}: not a whole .npz file")


def test_several_processes_prepare_the_same_bytes_as_one(tmp_path, monkeypatch):
    for name in "ab":
        write_npz(tmp_path / f"{name}.npz", generate_mascot(ord(name)))
    files = sorted(tmp_path.glob("*.npz"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    alone = prepare_generated(5, 0, 3, files, tmp_path / "alone")
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.setattr("launch.training_data.WORTH_A_PREPARER", 1)
    assert preparers(5) == 2
    together = prepare_generated(5, 0, 3, files, tmp_path / "together")
    assert [e.source for e in together.entries] == [e.source for e in alone.entries] and len(alone) == 5
    for name in [path.name for path in alone.folder.iterdir()]:
        assert (together.folder / name).read_bytes() == (alone.folder / name).read_bytes(), name
    (tmp_path / "c.npz").write_bytes(b"PK")
    with pytest.raises(AssetError, match=f"^{tmp_path}/c.npz: not a whole .npz file"):
        prepare_generated(5, 0, 3, [*files, tmp_path / "c.npz"], tmp_path / "torn")
    assert not list((tmp_path / "torn").iterdir())


def test_a_process_for_every_core_where_there_is_work_for_it(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(64)))
    assert (preparers(6000), preparers(160), preparers(31)) == (16, 10, 0)
    for threads, workers in (("1", 0), ("4,2", 4), ("", 16)):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        assert preparers(6000) == workers


def test_shares_of_the_draws():
    assert share_groups(6, 6, 0.3) == () == share_groups(6, 10, 0.0)
    assert share_groups(6, 10, 0.3) == ((0, 6, 0.7), (6, 10, 0.3))


def test_the_version_follows_the_code():
    assert generator_version(MASCOT_SOURCES) != generator_version(MASCOT_SOURCES[1:])


def test_presets_mix_mascots_in_and_keep_their_seeds_apart():
    assert (PRESETS["tiny"]().data.mascots, PRESETS["tiny"]().data.val_mascots) == (0, 0)      # golden curves know humans only
    for name in ("small", "base"):
        data = PRESETS[name]().data
        assert 0.25 < data.mascots / (data.humans + data.mascots) < 0.45 and data.val_mascots > 0
        assert data.mascots < VALIDATION_SEEDS


def test_a_rest_share_leaves_the_other_poses_in_proportion():
    mix = with_rest(FINETUNE, 0.405)
    assert (mix.rest, mix.random, mix.mocap) == pytest.approx((0.405, 0.245, 0.35))
    assert with_rest(FINETUNE, None) is FINETUNE and with_rest(PRETRAIN, 1.0).random == 0
    with pytest.raises(ValueError, match="rest_share"):
        with_rest(FINETUNE, 1.2)


def test_shares_of_turned_and_stretched_figures_leave_the_poses():
    mix = with_shares(FINETUNE, 0.08, 0.25)
    assert (mix.rotate.p, mix.stretch.p, mix.rest, mix.tilt) == (0.08, 0.25, FINETUNE.rest, FINETUNE.tilt)
    assert with_shares(FINETUNE, None, None) is FINETUNE
    for turned, stretched, name in ((-0.1, None, "turned_share"), (None, 1.5, "stretched_share")):
        with pytest.raises(ValueError, match=name):
            with_shares(FINETUNE, turned, stretched)
