"""The predictor: contracts of a rig, the way home, and that nothing but the asset decides the answer."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import launch.predictor as module
from dataset.asset import Asset, AssetError
from dataset.format import skeleton
from dataset.sampler import Sampler, Surface
from geometry.similarity import Similarity
from launch.build import fill, fingerprint
from launch.checkpoint import load_model
from launch.predictor import Predictor, PredictorOptions, Queries, check_rig, confidence, together, unit_rows, weights_of
from launch.rig_result import RigResult
from launch.seen import box_similarity, content_number, faces_inwards, turned_outwards, visible, with_normals
from tests.dataset.figures import capsule_man
from tests.launch.random_checkpoint import save_random

MAN, MAN_Y = capsule_man(52), capsule_man(22, up="y")


@pytest.fixture(scope="module", params=["pct", "transrefiner"])
def checkpoint(request, tmp_path_factory):
    return save_random(tmp_path_factory.mktemp("run") / request.param, request.param)


@pytest.fixture(scope="module")
def predictor(checkpoint) -> Predictor:
    return Predictor(checkpoint)


def cloud(seed: int = 0, count: int = 60) -> Asset:
    points_V3 = np.random.default_rng(seed).normal(size=(count, 3)).astype("float32")
    return Asset("scan", f"cloud{seed}", f"cloud{seed}.xyz", points_V3)


def same(first: RigResult, second: RigResult) -> bool:
    return first.joints_J3.tobytes() == second.joints_J3.tobytes() and first.skin_VJ.tobytes() == second.skin_VJ.tobytes()


@pytest.mark.parametrize("asset", [MAN, MAN_Y, cloud()], ids=["z up", "y up", "points"])
def test_contract(predictor, asset):
    rig = predictor.predict(asset)
    bones = skeleton(52)
    assert (rig.parents, rig.names) == (bones.parents, bones.names)
    assert rig.joints_J3.shape == (52, 3) and rig.skin_VJ.shape == (len(asset.vertices_V3), 52)
    assert {a.dtype for a in (rig.joints_J3, rig.skin_VJ, rig.box_joints_J3, rig.box_vertices_V3)} == {np.dtype("float32")}
    assert (rig.skin_VJ >= 0).all() and abs(rig.skin_VJ.sum(1, dtype=float) - 1).max() <= 1e-6
    says = getattr(predictor.model.cfg, "confidence", False)
    assert says == (rig.expected_error_J is not None) == (rig.confidence_J is not None)
    if says:
        assert rig.expected_error_J.shape == (52,) and (rig.expected_error_J > 0).all()
        assert rig.expected_error_cm == pytest.approx(85 * rig.expected_error_J.mean(), abs=0.01)
    assert abs(rig.box_vertices_V3).max() == pytest.approx(1, abs=1e-6)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10 ** 6), vertices=st.integers(2, 400), faces=st.integers(0, 300), scale=st.sampled_from([1e-4, 1.0, 1e4]),
       flat=st.booleans(), repeats=st.booleans())
def test_weights_keep_their_contract_whatever_comes(predictor, seed, vertices, faces, scale, flat, repeats):
    """Random triangle soups: degenerate faces, one plane, doubled vertices, any size. Finite, >= 0, rows 1, twins alike; or refused where
    fewer than 22 places are to be seen, or one of them is so far away (it stands at 1) that all others are one spot."""
    rng = np.random.default_rng(seed)
    points_V3 = (rng.normal(size=(vertices, 3)) * scale * (1, 1, 0 if flat else 1)).astype("float32")
    points_V3[0] += 1  # never all in one place
    if repeats:
        points_V3 = np.repeat(points_V3, 2, axis=0)
    soup = Asset("soup", "soup", "soup", points_V3, faces_F3=rng.integers(0, len(points_V3), (faces, 3)) if faces else None)
    shown_P3 = points_V3[np.unique(soup.faces_F3)] if faces else points_V3
    few = len(np.unique(shown_P3, axis=0)) < 22
    try:
        rig = predictor.predict(soup)
    except AssetError as refusal:
        assert few or scale < 1     # beside a vertex at 1, what is so small is a line or a spot
        assert str(refusal).startswith("soup: ")
        return
    assert not few
    assert np.isfinite(rig.joints_J3).all() and np.isfinite(rig.skin_VJ).all()
    assert (rig.skin_VJ >= 0).all() and abs(rig.skin_VJ.sum(1, dtype=float) - 1).max() <= 1e-6
    if repeats:
        assert (rig.skin_VJ[0::2] == rig.skin_VJ[1::2]).all()


def test_the_way_home(predictor):
    rig = predictor.predict(MAN_Y)
    np.testing.assert_allclose(rig.to_box.apply(rig.joints_J3), rig.box_joints_J3, atol=1e-5)
    np.testing.assert_allclose(rig.to_box.apply(MAN_Y.vertices_V3), rig.box_vertices_V3, atol=1e-5)


def test_up_axis_is_turned_and_turned_back():
    to_box = box_similarity(MAN_Y)
    head = MAN_Y.joints_J3[5]
    assert head[1] == MAN_Y.joints_J3[:, 1].max()                 # Y is up in the file
    assert to_box.apply(head)[2] > 0.5                            # Z is up in the box
    np.testing.assert_allclose(to_box.undo(to_box.apply(head)), head, atol=1e-6)


def test_joints_follow_scale_and_place(predictor):
    move = Similarity(scale=40.0, centre_3=np.array([1.0, -2.0, 3.0]))
    still, moved = predictor.predict(MAN), predictor.predict(MAN.to_frame(move))
    np.testing.assert_allclose(moved.joints_J3, move.apply(still.joints_J3), atol=40 * 2e-3)
    # the figure's grid has neighbours at equal distance: rounding may choose another one for a few vertices
    assert abs(moved.skin_VJ - still.skin_VJ).mean() < 1e-4


def test_a_power_of_two_changes_no_bit(predictor):
    still, moved = predictor.predict(MAN), predictor.predict(MAN.to_frame(Similarity(scale=4.0)))
    assert moved.skin_VJ.tobytes() == still.skin_VJ.tobytes() and moved.joints_J3.tobytes() == (4 * still.joints_J3).tobytes()


def test_same_bytes_alone_in_a_batch_and_in_any_order(predictor):
    assets = [MAN, cloud(1), MAN_Y]
    alone = [predictor.predict(asset) for asset in assets]
    assert all(map(same, alone, predictor.predict_batch(assets)))
    assert all(map(same, alone[::-1], predictor.predict_batch(assets[::-1])))


def test_a_second_predictor_agrees(checkpoint, predictor):
    assert same(Predictor(checkpoint).predict(MAN), predictor.predict(MAN))


def test_seed_and_content_decide(checkpoint, predictor):
    assert not same(Predictor(checkpoint, PredictorOptions(seed=1)).predict(MAN), predictor.predict(MAN))
    renamed = replace(MAN, cls="x", id="y", source="z", names=None, joints_J3=None, skin_VJ=None, parents=None, matrix_local_J44=None)
    assert same(predictor.predict(renamed), predictor.predict(MAN))


def test_content_number_feels_count_and_faces_and_not_the_place():
    more = replace(MAN, vertices_V3=np.concatenate([MAN.vertices_V3, MAN.vertices_V3[:1]]))
    numbers = {content_number(asset) for asset in (MAN, more, replace(MAN, faces_F3=MAN.faces_F3[1:]), replace(MAN, faces_F3=None))}
    assert len(numbers) == 4
    assert content_number(replace(MAN, vertices_V3=MAN.vertices_V3 * 100 + 3)) == content_number(MAN)


def test_chunks_do_not_matter(checkpoint, predictor):
    pieces = Predictor(checkpoint, PredictorOptions(query_chunk=37)).predict(MAN)
    np.testing.assert_allclose(pieces.skin_VJ, predictor.predict(MAN).skin_VJ, atol=1e-5)


def test_body_only_gives_fingers_to_hands(checkpoint, predictor):
    body, full = Predictor(checkpoint, PredictorOptions(joints=22)).predict(MAN), predictor.predict(MAN)
    assert body.names == skeleton(22).names and body.skin_VJ.shape[1] == 22
    assert body.joints_J3.tobytes() == full.joints_J3[:22].tobytes()
    np.testing.assert_allclose(body.skin_VJ[:, 9], full.skin_VJ[:, [9, *range(22, 37)]].sum(1), atol=1e-6)
    np.testing.assert_allclose(body.skin_VJ[:, 0], full.skin_VJ[:, 0], atol=1e-6)


def test_fingers_are_not_invented(tmp_path):
    with pytest.raises(ValueError, match="knows 22 joints and cannot predict 52; ask for 22"):
        Predictor(save_random(tmp_path / "body", joints=22), PredictorOptions(joints=52))


def test_vertices_in_one_place_share_their_weights(predictor):
    count = len(MAN.vertices_V3)
    doubled = replace(MAN, vertices_V3=np.concatenate([MAN.vertices_V3, MAN.vertices_V3[:50]]), skin_VJ=None, joints_J3=None,
                      parents=None, names=None, matrix_local_J44=None, normals_V3=np.concatenate([MAN.normals_V3, -MAN.normals_V3[:50]]))
    skin_VJ = predictor.predict(doubled).skin_VJ
    assert skin_VJ[:50].tobytes() == skin_VJ[count:].tobytes()


def test_queries_by_hand():
    vertices_V3 = np.array([[1, 0, 0], [0, 0, 0], [1, 0, 0], [2, 0, 0]], "float32")
    normals_V3 = np.array([[0, 0, 1], [0, 1, 0], [0, 1, 0], [0, 0, 0]], "float32")
    points_U3, normals_U3, place_V = Queries.of(Asset("", "", "", vertices_V3, normals_V3))
    assert points_U3.tolist() == [[0, 0, 0], [1, 0, 0], [2, 0, 0]] and place_V.tolist() == [1, 0, 1, 2]
    np.testing.assert_allclose(normals_U3, [[0, 1, 0], [0, .5 ** .5, .5 ** .5], [0, 0, 0]], atol=1e-6)


def test_normals_are_made_of_faces():
    vertices_V3 = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [5, 5, 5]], "float32")
    queries = Queries.of(with_normals(Asset("", "", "", vertices_V3, None, np.array([[0, 1, 2]]))))
    np.testing.assert_allclose(queries.normals_U3[queries.place_V], [[0, 0, 1]] * 3 + [[0, 0, 0]], atol=1e-6)


def test_looks_are_averaged_and_tell_doubt(checkpoint):
    rig = Predictor(checkpoint, PredictorOptions(looks=3)).predict(MAN)
    assert rig.confidence_J.shape == (52,) and ((rig.confidence_J > 0) & (rig.confidence_J <= 1)).all()
    assert (rig.confidence_J < 1).any() and abs(rig.skin_VJ.sum(1, dtype=float) - 1).max() <= 1e-6


def test_the_mean_of_looks_by_hand():
    # the second look expects twice the error in joint 0, so it counts a quarter there; in joint 1 both count alike
    weight_RJ = weights_of(np.array([[.01, .02], [.02, .02]]), (2, 2))
    np.testing.assert_allclose(weight_RJ, [[.8, .5], [.2, .5]])
    np.testing.assert_allclose(together(np.array([[[0, 0, 0], [0, 0, 0]], [[1, 0, 0], [1, 0, 2]]]), weight_RJ), [[.2, 0, 0], [.5, 0, 1]])
    np.testing.assert_allclose(weights_of(None, (4, 3)), np.full((4, 3), .25))


def test_a_look_that_expects_much_error_counts_little(checkpoint, monkeypatch):
    """Of four looks one expects ten times the others' error: its joints hardly move the rig, and the expected errors say what the mean says."""
    predictor, expected, number = Predictor(checkpoint, PredictorOptions(looks=4, find_hands=False)), [.01, .1, .01, .01], iter(range(4))
    monkeypatch.setattr(predictor, "expects_errors", True)
    monkeypatch.setattr(predictor, "_to_stand", lambda shown, first: None)
    monkeypatch.setattr(module.Look, "expected_error_J", lambda look: np.full(52, expected[next(number)]))
    monkeypatch.setattr(module.Look, "joints_J3", lambda look, name="joints_BJ3": np.full((52, 3), next(places[name])))
    places = {name: iter([0., 1., 0., 0.]) for name in ("joints_BJ3", "initial_BJ3")}
    rig = predictor.predict(MAN)
    np.testing.assert_allclose(rig.box_joints_J3, .01 / 3.01, rtol=1e-5)
    np.testing.assert_allclose(rig.expected_error_J, (3 * .01 + .01 * .1) / 3.01, rtol=1e-5)


def test_confidence_by_hand():
    # joint 0 stays; joint 1 is 0.02 to either side of its mean
    looks_RJ3 = np.array([[[0, 0, 0], [.98, 0, 0]], [[0, 0, 0], [1.02, 0, 0]]])
    np.testing.assert_allclose(confidence(looks_RJ3, None), [1, np.exp(-1)], rtol=1e-5)
    assert confidence(looks_RJ3[:1], None) is None
    # 5 cm are 1/17 box units: where just that is expected, 1 - 1/e; where twice that, 1 - 1/sqrt(e)
    np.testing.assert_allclose(confidence(looks_RJ3, np.array([1 / 17, 2 / 17])), [1 - np.exp(-1), 1 - np.exp(-.5)], rtol=1e-6)


def test_unit_rows_by_hand():
    np.testing.assert_allclose(unit_rows([[1, 3], [2, 0]]), [[.25, .75], [1, 0]])


@pytest.mark.parametrize("vertices, message", [(np.zeros((5, 3)), "flat.obj.*in 1 place"), (np.full((5, 3), np.nan), "flat.obj.*NaN"),
                                               (np.zeros((0, 3)), "flat.obj.*V >= 1")])
def test_names_the_bad_asset(predictor, vertices, message):
    with pytest.raises(AssetError, match=message):
        predictor.predict(Asset("a", "b", "flat.obj", vertices.astype("float32")))


@pytest.mark.parametrize("points_V3, message", [
    (np.eye(3)[np.arange(40) % 3], "in 3 places; a figure needs 22"),
    (np.arange(40)[:, None] * np.array([[1, 2, 3]]), "on a line"),
    (np.random.default_rng(0).normal(size=(40, 3)) + (1e6, 0, 0), "coordinates go in steps of 1.* move it to the origin"),
    (np.random.default_rng(0).normal(size=(40, 3)) * 1e-33, "longest side measures .* scale it"),
    (np.concatenate([np.random.default_rng(0).normal(size=(5000, 3)), [[1e4, 0, 0]]]), "a few spots of its bounding box")])
def test_refuses_what_cannot_be_a_figure(predictor, points_V3, message):
    with pytest.raises(AssetError, match=f"^odd.xyz: .*{message}"):
        predictor.predict(Asset("a", "b", "odd.xyz", points_V3.astype("float32")))


def test_vertices_without_a_face_are_not_seen(predictor):
    """They set no box and are no points; the figure's joints are as without them up to what their number draws, and they get weights."""
    stray_S3 = np.float32([[3000, 0, 0], [0, -2000, 5], [1, 1, 1]])
    more = replace(MAN, vertices_V3=np.concatenate([stray_S3, MAN.vertices_V3]), normals_V3=np.concatenate([0 * stray_S3, MAN.normals_V3]),
                   faces_F3=MAN.faces_F3 + 3, skin_VJ=None, joints_J3=None, parents=None, names=None, matrix_local_J44=None)
    rig = predictor.predict(more)
    np.testing.assert_array_equal(rig.to_box.centre_3, box_similarity(MAN).centre_3)
    np.testing.assert_array_equal(visible(more).vertices_V3, MAN.vertices_V3)
    np.testing.assert_array_equal(visible(more).faces_F3, MAN.faces_F3)
    assert visible(MAN) is MAN
    assert np.abs(rig.box_joints_J3).max() < 2 and rig.skin_VJ.shape == (len(more.vertices_V3), 52)


def test_what_faces_inwards():
    """A mesh inside out does; a sheet, which has no inside, does not, nor do a double wall and a cloud without normals."""
    sample = Sampler(1024)(MAN, np.random.default_rng(0))
    points_N3, normals_N3 = sample.points_N3, sample.normals_N3
    assert faces_inwards(points_N3, -normals_N3) and not faces_inwards(points_N3, normals_N3) and not faces_inwards(points_N3, None)
    assert not faces_inwards(np.repeat(points_N3, 2, axis=0), np.repeat(normals_N3, 2, axis=0) * np.tile([[1], [-1]], (1024, 1)))
    assert not faces_inwards(points_N3 * (1, 0, 1), np.tile([[0, -1.0, 0]], (1024, 1)))
    assert (turned_outwards(MAN).normals_V3 == -MAN.normals_V3).all()


def test_faces_without_area(predictor):
    line = Asset("a", "b", "line.obj", np.array([[0, 0, 0], [0, 0, 1], [0, 0, 2]], "float32"), None, np.array([[0, 1, 2]]))
    try:
        assert np.isfinite(predictor.predict(line).skin_VJ).all()
    except ValueError as error:  # refusing is fine, as long as it says which file
        assert "line.obj" in str(error)


@pytest.mark.parametrize("change, message", [(dict(joints_J3=np.full((2, 3), np.nan, "float32")), "a.glb.*NaN"),
                                             (dict(skin_VJ=np.array([[1.5, -.5]], "float32")), "a.glb.*least -0.5"),
                                             (dict(skin_VJ=np.array([[.5, .4]], "float32")), "a.glb.*sums off by 0.1")])
def test_a_broken_rig_is_never_handed_out(change, message):
    good = RigResult(np.zeros((2, 3), "float32"), (None, 0), ("a", "b"), np.array([[.5, .5]], "float32"), None, np.zeros((2, 3)),
                     np.zeros((1, 3)), Similarity.identity())
    assert check_rig(good, "a.glb") is good
    with pytest.raises(ValueError, match=message):
        check_rig(good._replace(**change), "a.glb")


def test_absent_checkpoint(tmp_path):
    with pytest.raises(FileNotFoundError, match="no model.safetensors in"):
        Predictor(tmp_path / "nothing")


def test_every_parameter_comes_from_the_checkpoint(checkpoint, predictor):
    params, _ = load_model(checkpoint)
    named = dict(predictor.model.named_parameters())
    assert set(named) == set(params)
    assert all((named[name].numpy() == params[name]).all() for name in params)
    params.popitem()
    with pytest.raises(ValueError, match="missing"):
        fill(predictor.model, params, "run")
    assert not predictor.model.is_training()


def test_hands_are_looked_for_first(checkpoint, predictor, monkeypatch):
    seen, drawn = [], []

    class Watching(Surface):
        @staticmethod
        def of(asset):
            seen.append(asset.skin_VJ)
            return Surface.of(asset)
    monkeypatch.setattr(module, "Surface", Watching)
    monkeypatch.setattr(module, "draw", lambda *words, draw=module.draw: drawn.append(words[2]) or draw(*words))
    Predictor(checkpoint, PredictorOptions(looks=2)).predict(MAN)
    assert [skin is None for skin in seen] == [True, False]                # measured once for all looks
    assert len(drawn) == 3 and drawn[1] is drawn[2] and drawn[0] is not drawn[1]
    assert abs(seen[1].sum(1) - 1).max() < 1e-6 and seen[1].shape == (len(MAN.vertices_V3), 52)
    seen.clear()
    Predictor(checkpoint, PredictorOptions(find_hands=False)).predict(MAN)
    predictor.predict(cloud())
    assert seen == [None, None]


def test_draw_is_what_the_sampler_draws():
    asset, sampler = replace(MAN, skin_VJ=MAN.skin_VJ), module.Sampler(40)
    wanted = sampler(asset, np.random.default_rng(3))
    got = module.draw(sampler, asset, module.Surface.of(asset), np.random.default_rng(3))
    assert got.points_N3.tobytes() == wanted.points_N3.tobytes() and got.normals_N3.tobytes() == wanted.normals_N3.tobytes()


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_pieces_by_hand(size):
    place_V = np.array([2, 0, 2, 1])
    queries, out_V = Queries(np.zeros((3, 3)), np.zeros((3, 3)), place_V), np.full(4, -1)
    for chunk, vertex_P, row_P in queries.pieces(size):
        out_V[vertex_P] = np.arange(3)[chunk][row_P]
    assert out_V.tolist() == place_V.tolist()


def test_fingerprint_feels_every_number_name_and_setting():
    base = {"a": np.array([1, 2], "float32"), "b": np.zeros(2, "float32")}
    others = [base | {"a": np.array([1, 3], "float32")}, {"a": base["b"], "b": base["a"]}, base | {"b": np.zeros((2, 1), "float32")}]
    marks = {fingerprint(base, {}), fingerprint(base, {"x": 1}), *(fingerprint(params, {}) for params in others)}
    assert len(marks) == 5
    assert fingerprint(dict(reversed(base.items())), {}) == fingerprint(base, {})
