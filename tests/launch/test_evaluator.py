"""The evaluator: perfect rigs score perfectly, known faults give known numbers, and every source of rigs meets the same assets."""

import json
from dataclasses import replace

import numpy as np
import pytest

from dataset.asset import Asset, AssetError
from dataset.exporter import write_contest
from dataset.format import skeleton
from dataset.poses import procedural_bank
from geometry.kinematics import rotation_uniform
from geometry.similarity import Similarity
from launch.evaluator import (EvalOptions, Results, as_json, as_table, as_variant, at_count, class_of, compare, evaluate, joint_means,
                              known_joints, summarise)
from launch.plots import plot_evaluation
from launch.predictor import Predictor, PredictorOptions, box_similarity
from launch.systems import BoxRig, FromFolder, FromPredictor, MeanSkeleton, align
from models import metrics
from tests.dataset.figures import capsule_man
from tests.launch.random_checkpoint import save_random

MAN, BODY, MAN_Y = capsule_man(52), capsule_man(22), replace(capsule_man(22, up="y"), id="y")
QUICK = EvalOptions(frames=2)


def perfect(asset: Asset):
    return box_similarity(asset).apply(asset.joints_J3), asset.skin_VJ


def worst(score) -> float:
    return float(np.nanmax(list(score.values.values())))


def off_by(distance: float):
    """Every joint moved along X by a distance in the box, weights perfect."""
    return lambda asset: (perfect(asset)[0] + [distance, 0, 0], asset.skin_VJ)


@pytest.mark.parametrize("asset, counts", [(MAN, [52, 22]), (BODY, [22]), (MAN_Y, [22])], ids=["52", "22", "y up"])
def test_perfect_rig(asset, counts):
    results = evaluate([asset], {"perfect": perfect}, EvalOptions(("rest", "posed", "rotated"), frames=2))
    assert results.failures == []
    assert [(s.variant, s.joints) for s in results.scores] == [(v, c) for v in ("rest", "posed", "rotated") for c in counts]
    for score in results.scores:
        assert worst(score) < 1e-5, score
    for row in summarise(results.scores):
        assert row["board"] is None or row["board"] > 99 or row["joints"] == 52


def test_known_fault():
    # all joints 0.01 to the side: ordered 0.01; on a figure 1.7 m tall with arms about 1.73 m wide the box says what 0.01 is in cm
    score, = evaluate([BODY], {"off": off_by(.01)}, QUICK).scores
    to_box = box_similarity(BODY)
    height = to_box.scale * np.ptp(BODY.vertices_V3[:, 2])
    assert score.values["ordered"] == pytest.approx(.01, rel=1e-4)
    assert score.values["cm"] == pytest.approx(.01 / height * 170, rel=1e-4)
    assert score.values["j2j"] == pytest.approx(.005, rel=1e-3)
    assert score.values["skin_l1"] == 0 and score.values["swap"] == 0
    assert 0 < score.values["vertex"] < .02
    np.testing.assert_allclose(score.errors_J, .01, rtol=1e-4)


def test_swapped_sides_are_seen():
    def swapped(asset):
        joints_J3, skin_VJ = perfect(asset)
        return joints_J3[list(skeleton(22).mirror)], skin_VJ
    score, = evaluate([BODY], {"swapped": swapped}, QUICK).scores
    assert score.values["j2j"] < 1e-6 and score.values["swap"] == 1 and score.values["ordered"] > .1


def test_cm_of_a_rotated_figure_is_that_at_rest():
    rest, rotated = evaluate([BODY], {"off": off_by(.01)}, EvalOptions(("rest", "rotated"), frames=1)).scores
    ratio = box_similarity(as_variant(BODY, "rotated", 0)).scale / box_similarity(BODY).scale
    assert rotated.values["cm"] == pytest.approx(rest.values["cm"] / ratio, rel=1e-4)


def test_a_22_joint_truth_reads_a_52_joint_rig():
    full = lambda asset: (box_similarity(MAN).apply(MAN.joints_J3), MAN.skin_VJ)  # noqa: E731
    twin = replace(MAN.with_joints(22))
    score, = evaluate([twin], {"full": full}, QUICK).scores
    assert score.joints == 22 and worst(score) < 1e-5


def test_joints_option_and_what_it_cannot_compare():
    assert [s.joints for s in evaluate([MAN], {"p": perfect}, replace(QUICK, joints=22)).scores] == [22]
    results = evaluate([BODY], {"p": perfect}, replace(QUICK, joints=52))
    assert results.scores == [] and "nothing to compare at 52" in results.failures[0][1]


def test_ignored_joints_do_not_count():
    def bad_spine(asset):
        joints_J3, skin_VJ = perfect(asset)
        joints_J3[1] += 1
        return joints_J3, skin_VJ
    ignore = EvalOptions(frames=2, ignore=(("fig", ("spine",)),))
    score, = evaluate([BODY], {"bad": bad_spine}, ignore).scores
    assert worst(score) < 1e-5 and np.isnan(score.errors_J[1]) and np.isfinite(np.delete(score.errors_J, 1)).all()
    score, = evaluate([BODY], {"bad": bad_spine}, replace(ignore, ignore=(("other", ("spine",)),))).scores
    assert score.values["ordered"] > .05


def test_known_joints_by_hand():
    marked = replace(BODY, cls="m2m", id="female", source="f3.npz", joint_valid_J=np.arange(22) != 4)
    for prefix in ("m2m_f", "m2m", "fem", "f3", ""):
        assert (~known_joints(marked, 22, ((prefix, ("hips", "l_hand_thumb_1")),))).nonzero()[0].tolist() == [0, 4]
    with pytest.raises(AssetError, match="every joint is ignored"):
        known_joints(BODY, 22, (("", skeleton(22).names),))


@pytest.mark.parametrize("cls, source, name", [("vroid", "a_b.npz", "vroid"), ("other", "m2m_x_y.npz", "m2m"),
                                               ("other", "hero.npz", "other")])
def test_class_of(cls, source, name):
    assert class_of(replace(BODY, cls=cls, source=source)) == name


def test_without_weights_only_joints_are_scored():
    score, = evaluate([replace(BODY, skin_VJ=None)], {"p": perfect}, QUICK).scores
    assert score.values["j2j"] < 1e-6 and np.isnan(score.values["skin_l1"])
    row, = summarise([score])
    assert row["skin_l1"] is None and row["board"] is None and row["count"] == 1
    assert np.isnan(evaluate([replace(BODY, skin_valid=False)], {"p": perfect}, QUICK).scores[0].values["vertex"])


def test_what_cannot_be_scored_is_named():
    bare = Asset("a", "b", "bare.obj", MAN.vertices_V3)
    posed = replace(BODY, skin_VJ=None)
    results = evaluate([("gone.npz", "no such file"), bare, posed], {"p": perfect}, EvalOptions(("posed",), frames=1))
    assert results.scores == [] and len(results.failures) == 3
    assert results.failures[0] == ("gone.npz", "no such file")
    assert "no joints" in results.failures[1][1] and "skin" in results.failures[2][1]


def test_variants_are_the_assets_own_and_repeat():
    first, again = (as_variant(MAN, "posed", 0) for _ in range(2))
    assert first.joints_J3.tobytes() == again.joints_J3.tobytes()
    assert abs(as_variant(MAN, "posed", 1).joints_J3 - first.joints_J3).max() > .01
    turned = as_variant(MAN, "rotated", 0)
    np.testing.assert_allclose(np.linalg.norm(turned.joints_J3, axis=1), np.linalg.norm(MAN.joints_J3, axis=1), atol=1e-5)
    with pytest.raises(ValueError, match="none of rest, posed, rotated"):
        as_variant(MAN, "dancing", 0)


def test_the_predictor_does_not_see_the_answer(tmp_path):
    predictor = Predictor(save_random(tmp_path / "c", joints=22, points=64), PredictorOptions(find_hands=False))
    joints_J3 = FromPredictor(predictor)(BODY).joints_J3
    lying = replace(BODY, joints_J3=BODY.joints_J3 + 1, skin_VJ=np.roll(BODY.skin_VJ, 3, axis=1))
    assert joints_J3.tobytes() == FromPredictor(predictor)(lying)[0].tobytes()
    broken = replace(BODY, skin_VJ=-BODY.skin_VJ)  # a rig that is not looked at may be anything
    assert joints_J3.tobytes() == FromPredictor(predictor)(broken)[0].tobytes()
    results = evaluate([BODY], {"net": FromPredictor(predictor)}, QUICK)
    values = results.scores[0].values
    assert len(results.scores) == 1 and all(np.isfinite(v) for name, v in values.items() if name != "finger_cm")


def test_a_folder_in_any_similar_frame(tmp_path):
    rng = np.random.default_rng(0)
    own = Similarity(rotation_uniform(rng), 3.7, rng.normal(size=3))
    write_contest(tmp_path / "figure" / "capsule22", own.apply(BODY.joints_J3), BODY.skin_VJ, own.apply(BODY.vertices_V3))
    score, = evaluate([BODY], {"folder": FromFolder(tmp_path)}, QUICK).scores
    assert worst(score) < 1e-5


def test_a_folder_that_does_not_fit(tmp_path):
    folder = FromFolder(tmp_path)
    with pytest.raises(AssetError, match="capsule_man.*no usable prediction"):
        folder(BODY)
    bent_V3 = BODY.vertices_V3 * [1, 1, 1.1]
    write_contest(tmp_path / "figure" / "capsule22", BODY.joints_J3, BODY.skin_VJ, bent_V3)
    with pytest.raises(AssetError, match="no similarity"):
        folder(BODY)
    write_contest(tmp_path / "figure" / "capsule22", BODY.joints_J3, BODY.skin_VJ[1:], BODY.vertices_V3[1:])
    with pytest.raises(AssetError, match="the asset has"):
        folder(BODY)
    with pytest.raises(ValueError, match="no such folder"):
        FromFolder(tmp_path / "none")


def test_a_pickle_in_a_folder_is_not_opened(tmp_path):
    folder = tmp_path / "figure" / "capsule22"
    write_contest(folder, BODY.joints_J3, BODY.skin_VJ, BODY.vertices_V3)
    np.save(folder / "predict_skin.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(AssetError, match="no usable prediction"):
        FromFolder(tmp_path)(BODY)


def test_align_by_hand_and_its_refusals():
    corner_P3 = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], float)
    turned_P3 = 2 * corner_P3[:, [1, 0, 2]] * [-1, 1, 1] + [5, 6, 7]     # quarter turn about Z, twice as large, moved
    found = align(corner_P3, turned_P3)
    np.testing.assert_allclose(found.apply(corner_P3), turned_P3, atol=1e-12)
    assert found.scale == pytest.approx(2) and np.linalg.det(found.rotation_33) == pytest.approx(1)
    mirrored = align(corner_P3, corner_P3 * [-1, 1, 1])                   # a mirror image is no similarity of ours
    assert np.linalg.det(mirrored.rotation_33) == pytest.approx(1)
    assert abs(mirrored.apply(corner_P3) - corner_P3 * [-1, 1, 1]).max() > .1
    with pytest.raises(AssetError, match="one place"):
        align(np.zeros((4, 3)), corner_P3)


def test_mean_skeleton(tmp_path):
    wide = replace(BODY, joints_J3=BODY.joints_J3 * np.float32([1.2, 1, 1]), matrix_local_J44=None)
    mean = MeanSkeleton.of([BODY, wide, MAN, replace(BODY, joints_J3=None, skin_VJ=None, parents=None, names=None, matrix_local_J44=None)])
    boxed = [box_similarity(a).apply(a.joints_J3)[:22] for a in (BODY, wide, MAN)]
    np.testing.assert_allclose(mean.joints_by_count[22], sum(boxed) / 3, atol=1e-12)
    mean.write(tmp_path / "m.json")
    again = MeanSkeleton.read(tmp_path / "m.json")
    np.testing.assert_allclose(again.joints_by_count[52], mean.joints_by_count[52], atol=1e-6)
    score, = evaluate([BODY], {"mean": again}, QUICK).scores
    assert 0 < score.values["ordered"] < .1 and np.isnan(score.values["skin_l1"])
    with pytest.raises(ValueError, match="no asset"):
        MeanSkeleton.of([])
    with pytest.raises(AssetError, match="knows"):
        MeanSkeleton({52: np.zeros((52, 3))})(BODY)
    assert len(MeanSkeleton({22: np.zeros((22, 3))})(MAN)[0]) == 22


@pytest.mark.parametrize("text", ["{}", "[1]", '{"22": [[0, 0, 0]]}', "no json", '{"x": []}'])
def test_mean_skeleton_refuses_other_files(tmp_path, text):
    (tmp_path / "m.json").write_text(text)
    with pytest.raises(ValueError, match="m.json is no mean skeleton"):
        MeanSkeleton.read(tmp_path / "m.json")


def two_classes() -> Results:
    systems = {"good": off_by(.01), "bad": off_by(.03)}
    return evaluate([BODY, replace(MAN, cls="vroid")], systems, EvalOptions(("rest", "rotated"), frames=1))


def test_summary_groups_and_means():
    rows = {(r["system"], r["joints"], r["class"], r["variant"]): r for r in summarise(two_classes().scores)}
    everything = {(c, v) for c in ("all", "figure", "vroid") for v in ("all", "rest", "rotated")}
    assert {key[2:] for key in rows if key[:2] == ("good", 22)} == everything
    assert rows["good", 22, "all", "all"]["count"] == 4 and rows["good", 52, "all", "all"]["count"] == 2
    row = rows["bad", 22, "vroid", "rest"]
    assert row["ordered"] == pytest.approx(.03, rel=1e-3)
    assert row["board"] == pytest.approx(metrics.board_score(row["skin_l1"], row["vertex"], row["j2j"], 22))


def test_joint_means_skip_the_ignored():
    options = EvalOptions(frames=1, ignore=(("x", ("head",)), ("", ("neck",))))
    results = evaluate([BODY, replace(BODY, id="x")], {"off": off_by(.01)}, options)
    error_J = joint_means(results.scores)
    assert np.isnan(error_J[4]) and error_J[5] == pytest.approx(.01, rel=1e-3)


def test_table_is_aligned_and_json_is_plain():
    results = two_classes()
    lines = as_table(summarise(results.scores)).splitlines()
    assert lines[0].split()[:5] == ["system", "joints", "class", "variant", "count"]
    assert len({len(line) for line in lines}) == 1  # the last column ends where its head ends
    data = json.loads(json.dumps(as_json(results, summarise(results.scores), {"seed": 0}), allow_nan=False))
    assert len(data["scores"]) == 12 and data["per_joint"]["good 22"]["head"] == pytest.approx(.01, rel=1e-3)
    missing = evaluate([replace(BODY, skin_VJ=None), ("a", "b")], {"p": perfect}, QUICK)
    data = json.loads(json.dumps(as_json(missing, summarise(missing.scores), {}), allow_nan=False))
    assert data["scores"][0]["vertex"] is None and data["failures"] == [{"input": "a", "reason": "b"}]
    assert " - " in as_table(summarise(missing.scores))


def test_plots_are_pictures_with_the_same_bytes(tmp_path):
    results = two_classes()
    written = [plot_evaluation(tmp_path / name, results, summarise(results.scores)) for name in "ab"]
    assert [p.name for p in written[0]] == ["per_joint_22.png", "per_joint_52.png", "per_class.png"]
    for first, second in zip(*written):
        assert first.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n" and first.read_bytes() == second.read_bytes()
    assert plot_evaluation(tmp_path / "c", Results(), []) == []


def test_compare_refuses_other_counts():
    with pytest.raises(ValueError):
        compare(BoxRig(np.zeros((21, 3))), BODY, np.ones(22, bool), 1.0, QUICK)


def test_poses_of_a_bank():
    bank = procedural_bank()
    posed = [as_variant(BODY, "posed", 0, b) for b in (bank, None)]
    assert abs(posed[0].joints_J3 - posed[1].joints_J3).max() > .05
    lengths = [[np.linalg.norm(a.joints_J3[j] - a.joints_J3[p]) for j, p in enumerate(BODY.parents) if j] for a in (BODY, *posed)]
    np.testing.assert_allclose(lengths[1:], [lengths[0]] * 2, atol=1e-5)
    options = EvalOptions(("rest", "posed"), frames=2, bank=bank)
    assert all(worst(s) < 1e-5 for s in evaluate([MAN, MAN_Y], {"p": perfect}, options).scores)
    with_bank, without = (evaluate([BODY], {"off": off_by(.01)}, replace(QUICK, bank=b)).scores[0].values for b in (bank, None))
    assert with_bank["vertex"] != without["vertex"] and with_bank["j2j"] == without["j2j"]


def test_initial_joints_are_scored_beside_the_refined_ones():
    def refined(asset):
        joints_J3, skin_VJ = perfect(asset)
        return joints_J3, skin_VJ, joints_J3 + [.002, 0, 0], np.full(52, .03)
    full, body = evaluate([MAN], {"r": refined}, QUICK).scores
    for score, joints in ((full, 52), (body, 22)):
        assert score.values["initial"] == pytest.approx(.001, rel=1e-3) and score.values["j2j"] < 1e-6   # .002 both ways, / 2
        assert score.expected_error_J.tolist() == [.03] * joints
    assert summarise([full])[0]["initial"] == full.values["initial"]


@pytest.mark.parametrize("looks, find_hands", [(1, True), (3, False), (3, True)])
def test_initial_joints_of_a_network_that_does_not_refine_are_its_joints(tmp_path, looks, find_hands):
    """PCT refines nothing: whatever mirrored looks and first passes lie between, its initial joints are the rig's joints."""
    system = FromPredictor(Predictor(save_random(tmp_path / "c", joints=52, points=64), PredictorOptions(None, 0, looks, find_hands)))
    for asset in (MAN, as_variant(MAN, "rotated", 3)):
        rig = system(asset)
        np.testing.assert_allclose(rig.initial_J3, rig.joints_J3, atol=1e-5)
    np.testing.assert_allclose(at_count(rig, 22).initial_J3, rig.joints_J3[:22], atol=1e-5)


def test_fingers_by_hand():
    def stiff(asset):
        joints_J3, skin_VJ = perfect(asset)
        joints_J3[22:37] += [0, 0, .04]   # the left hand's 15 of 30: .02 on average, 1.7 cm where two units are 170 cm
        joints_J3[:22] += [.5, 0, 0]
        return joints_J3, skin_VJ
    full, body = evaluate([MAN], {"stiff": stiff}, QUICK).scores
    assert full.values["finger_cm"] == pytest.approx(1.7, rel=1e-4) and np.isnan(body.values["finger_cm"])


def test_an_ignored_joint_never_matters():
    """Wherever a network puts it, no figure changes: not the joints', not the swaps', not the skin's."""
    ignore = replace(QUICK, joints=22, ignore=(("fig", ("l_upper_leg", "hips")),))

    def wild(seed):
        def answer(asset):
            joints_J3, skin_VJ = perfect(asset)
            joints_J3 = joints_J3 + .01
            joints_J3[[0, 14]] += np.random.default_rng(seed).normal(size=(2, 3)) * seed
            return joints_J3, skin_VJ
        return answer
    calm, *moved = (evaluate([BODY], {"w": wild(seed)}, ignore).scores[0].values for seed in (0, 1, 2))
    for values in moved:
        np.testing.assert_array_equal(list(values.values()), list(calm.values()))
