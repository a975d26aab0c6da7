"""A refiner beside a checkpoint: taught, kept where it helps, found again, bound to its network; what it leaves of a rig's contract."""

import shutil
from argparse import Namespace
from dataclasses import replace

import jittor as jt
import numpy as np
import pytest

from dataset.sources.npz import write_npz
from launch import skin_refiner, teach_refiner
from launch.batch_predict import BatchOptions, common_digest
from launch.predictor import Predictor, PredictorOptions
from launch.refiner_lessons import Example, examples_of, teach
from launch.skin_refiner import load_refiner, refine, save_refiner
from models.surface_refiner import SurfaceRefiner, SurfaceRefinerConfig
from tests.dataset.figures import capsule_man
from tests.launch.random_checkpoint import save_random

MAN = capsule_man(52)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return save_random(tmp_path_factory.mktemp("run") / "mine", joints=52, points=64)


@pytest.fixture
def copy(checkpoint, tmp_path):
    return shutil.copytree(checkpoint, tmp_path / "copy")


def shaken(seed=0):
    """A refiner that changes what it sees."""
    jt.set_global_seed(seed)
    net = SurfaceRefiner(SurfaceRefinerConfig(width=8, depth=1))
    net.to_shift.weight.assign(jt.array(np.random.default_rng(seed).normal(size=net.to_shift.weight.shape).astype("float32")))
    return net


def test_a_prediction_uses_what_lies_beside_its_checkpoint(copy):
    plain = Predictor(copy)
    save_refiner(copy, shaken(), plain.fingerprint, {})
    refined, man = Predictor(copy), replace(MAN, vertices_V3=np.concatenate([MAN.vertices_V3, MAN.vertices_V3[:5]]), skin_VJ=None,
                                            normals_V3=None)
    for joints in (22, 52):
        before, after = (Predictor(copy, PredictorOptions(joints=joints)) for _ in range(2))
        before.refiner = None
        before, after = before.predict(man), after.predict(man)
        assert (before.joints_J3 == after.joints_J3).all() and abs(before.skin_VJ - after.skin_VJ).max() > 0.01
        assert (after.skin_VJ >= 0).all() and abs(after.skin_VJ.sum(1, dtype=float) - 1).max() <= 1e-6
        assert (after.skin_VJ[-5:] == after.skin_VJ[:5]).all()      # vertices at one place
    assert refined.fingerprint == plain.fingerprint
    assert common_digest(refined, BatchOptions(copy, "run")) != common_digest(plain, BatchOptions(copy, "run"))


def test_clouds_and_huge_meshes_keep_their_weights(checkpoint, monkeypatch):
    rig = Predictor(checkpoint).predict(MAN)
    assert refine(shaken(), rig, None) is rig and refine(shaken(), rig, MAN.faces_F3) is not rig
    monkeypatch.setattr(skin_refiner, "MOST_POINTS", 10)
    assert refine(shaken(), rig, MAN.faces_F3) is rig


def test_what_is_damaged_or_anothers_is_refused(copy):
    of = Predictor(copy).fingerprint
    assert load_refiner(copy, of) is None
    save_refiner(copy, shaken(), of, {})
    first, again = load_refiner(copy, of), load_refiner(copy, of)
    assert first.digest == again.digest and first.net.cfg == SurfaceRefinerConfig(width=8, depth=1)
    save_refiner(copy, shaken(1), of, {})
    assert load_refiner(copy, of).digest != first.digest
    with pytest.raises(ValueError, match="refiner was taught on another network; teach it again"):
        load_refiner(copy, "another")
    weights = copy / "refiner" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])
    with pytest.raises(ValueError, match="refiner holds no refiner"):
        Predictor(copy)
    weights.unlink()
    with pytest.raises(ValueError, match="refiner holds no refiner"):
        Predictor(copy)


@pytest.mark.parametrize("change", [{"width": 10 ** 6}, {"depth": 65}, {"widht": 3}])
def test_a_config_beyond_reason_is_refused_before_it_is_made(copy, change):
    of = Predictor(copy).fingerprint
    net = shaken()
    net.cfg = Namespace(**change)
    params = {name: var.numpy() for name, var in net.named_parameters()}
    skin_refiner.save_model(copy / "refiner", params, {"model": "surface-refiner", "network": change, "of": of}, {})
    with pytest.raises(ValueError, match="refiner holds no refiner.*(more than|widht)"):
        load_refiner(copy, of)


def test_a_character_teaches_with_all_joints_and_with_the_bodys(checkpoint):
    full, body = examples_of(Predictor(checkpoint), MAN)
    assert full.true_VJ.shape[1] == 52 and body.true_VJ.shape[1] == 22 and full.share_U.sum() == pytest.approx(1)
    few, = examples_of(Predictor(checkpoint), capsule_man(22))
    assert few.true_VJ.shape[1] == 22
    want = np.abs(full.raw_VJ - full.true_VJ).mean()
    assert full.l1() == pytest.approx(want, rel=1e-5)
    jt.set_global_seed(0)
    untaught = SurfaceRefiner()
    assert full.l1(untaught) == pytest.approx(want, rel=0.02)


def test_teaching_is_the_same_twice_and_stops_at_a_loss_that_is_no_number(checkpoint):
    pool = examples_of(Predictor(checkpoint), MAN)
    found = []
    for _ in range(2):
        jt.set_global_seed(0)
        net = SurfaceRefiner(SurfaceRefinerConfig(width=8, depth=1))
        teach(net, pool, 12, 1e-2)
        found.append(pool[0].l1(net))
    assert found[0] == found[1] < pool[0].l1()
    broken = replace(pool[0], true_N=np.full_like(pool[0].true_N, np.nan))
    with pytest.raises(FloatingPointError, match="the loss is nan at step 0"):
        teach(net, [broken], 2)


def test_through_the_command(copy, tmp_path, capsys, monkeypatch):
    """Three humans and a contest tree; then a lesson that makes all worse is not kept."""
    (tmp_path / "tree").mkdir()
    for name in ("one", "two"):
        write_npz(tmp_path / "tree" / f"{name}.npz", replace(MAN, id=name))
    (tmp_path / "tree" / "train_list.txt").write_text("one.npz\n")
    (tmp_path / "tree" / "val_list.txt").write_text("two.npz\n")
    asked = ["--checkpoint", str(copy), "--data_root", str(tmp_path / "tree"), "--humans", "2", "--looks", "1", "--steps", "30"]
    assert teach_refiner.main(asked) == 0
    said = capsys.readouterr().err
    assert "skin_l1 of 4 held-out examples" in said and "Kept:" in said and Predictor(copy).refiner is not None
    shutil.rmtree(copy / "refiner")
    monkeypatch.setattr("launch.refiner_lessons.teach", lambda net, *_, **__: net.to_shift.bias.assign(jt.array(np.float32([0]))))
    monkeypatch.setattr(Example, "l1", lambda self, net=None: 0.1 if net is None else 0.2)
    assert teach_refiner.main(asked) == 0
    assert "No better: nothing was written" in capsys.readouterr().err and not (copy / "refiner").exists()


@pytest.mark.parametrize("asked, said", [(["--humans", "1"], "to learn from: 0, to measure on: 2"), ([], "to learn from: 0"),
                                         (["--data_root", "gone"], "train_list.txt: cannot be read"),
                                         (["--assets", "gone"], "holds no .npz files")])
def test_what_cannot_be_done_is_said(copy, capsys, asked, said):
    assert teach_refiner.main(["--checkpoint", str(copy), *asked]) == 2
    assert said in capsys.readouterr().err and not (copy / "refiner").exists()
    assert teach_refiner.main(["--checkpoint", str(copy / "gone"), "--humans", "2"]) == 2
