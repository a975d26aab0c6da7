"""The robustness card: each change by hand, what it must leave alone, and a card of a network that is always right."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from dataset.asset import Asset, AssetError, check
from dataset.format import FULL_NAMES
from geometry.normals import vertex_normals
from geometry.sampling import triangle_areas
from launch.plots import plot_card
from launch.predictor import Predictor, PredictorOptions
from launch.robustness import (SWEEPS, Reading, Sweep, bent, bones, card_json, card_table, curves, decimated, growth, holed, level_text,
                               maimed, measure_card, noisy, other_normals, resized, same, turned, with_faces)
from tests.dataset.figures import capsule_man
from tests.launch.random_checkpoint import save_random

MAN = capsule_man(52)
SWEEP = {sweep.name: sweep for sweep in SWEEPS}


def rng():
    return np.random.default_rng(0)


def area(asset: Asset) -> float:
    return float(triangle_areas(asset.vertices_V3, asset.faces_F3).sum())


@pytest.mark.parametrize("sweep, level", [(sweep, level) for sweep in SWEEPS for level in (sweep.levels[0], sweep.levels[-1])],
                         ids=lambda x: getattr(x, "name", x))
def test_every_change_is_pure_repeats_and_gives_a_usable_asset(sweep, level):
    before = {name: value.tobytes() for name, value in vars(MAN).items() if isinstance(value, np.ndarray)}
    first, again = (check(sweep.change(MAN, level, rng())) for _ in range(2))
    assert first.vertices_V3.tobytes() == again.vertices_V3.tobytes() and first.joints_J3.tobytes() == again.joints_J3.tobytes()
    assert before == {name: value.tobytes() for name, value in vars(MAN).items() if isinstance(value, np.ndarray)}


@pytest.mark.parametrize("name, level", [("yaw", 0), ("pitch", 0), ("roll", 0), ("pose", 0), ("noise", 0), ("holes", 0),
                                         ("normals", "file"), ("missing", "none"), ("scale", 1), ("decimation", 100), ("points", 1024)])
def test_the_least_level_changes_nothing(name, level):
    assert level in SWEEP[name].levels
    seen = SWEEP[name].change(MAN, level, rng())
    np.testing.assert_allclose(seen.vertices_V3, MAN.vertices_V3, atol=1e-6)
    np.testing.assert_allclose(seen.joints_J3, MAN.joints_J3, atol=1e-6)
    assert np.array_equal(seen.faces_F3, MAN.faces_F3)


def test_turns_by_hand():
    x, y, z = MAN.joints_J3.T
    np.testing.assert_allclose(turned(2)(MAN, 90, rng()).joints_J3.T, [-y, x, z], atol=1e-6)    # the left hand comes to the back
    np.testing.assert_allclose(turned(0)(MAN, 90, rng()).joints_J3.T, [x, -z, y], atol=1e-6)    # falls on its face, which looks along -Y
    np.testing.assert_allclose(turned(1)(MAN, 180, rng()).joints_J3.T, [-x, y, -z], atol=1e-6)


def test_bending_keeps_bones_and_hips_and_grows():
    lengths = [[np.linalg.norm(a.joints_J3[j] - a.joints_J3[p]) for j, p in enumerate(MAN.parents) if j]
               for a in (MAN, bent(MAN, 40, rng()), bent(MAN, 80, rng()))]
    np.testing.assert_allclose(lengths[1:], [lengths[0]] * 2, atol=1e-5)
    still = [0, 1, 14, 18]  # hips and their children: only the hips could move these
    np.testing.assert_allclose(bent(MAN, 80, rng()).joints_J3[still], MAN.joints_J3[still], atol=1e-6)
    moved = [np.linalg.norm(bent(MAN, level, rng()).joints_J3 - MAN.joints_J3, axis=1).mean() for level in (0, 5, 10, 20)]
    assert moved == sorted(moved) and moved[1] > 1e-3


def test_noise_has_its_sigma_and_only_moves_vertices():
    size = np.ptp(MAN.vertices_V3, axis=0).max()
    one, three = (noisy(MAN, level, rng()).vertices_V3 - MAN.vertices_V3 for level in (1, 3))
    assert one.std() == pytest.approx(.01 * size, rel=.05)
    np.testing.assert_allclose(three, 3 * one, atol=1e-5)
    assert noisy(MAN, 1, rng()).normals_V3 is None and np.array_equal(noisy(MAN, 1, rng()).joints_J3, MAN.joints_J3)


def test_holes_take_their_share_and_only_grow():
    whole, before = area(MAN), None
    for level in (10, 20, 40):
        seen = holed(MAN, level, rng())
        assert 1 - level / 100 <= area(seen) / whole < 1 - level / 100 + .05
        kept = {tuple(corner) for corner in np.round(seen.vertices_V3[seen.faces_F3].reshape(-1, 9), 6)}
        assert before is None or kept < before
        before = kept
        assert len(np.unique(seen.faces_F3)) == len(seen.vertices_V3) == len(seen.skin_VJ) == len(seen.normals_V3)


def test_normals():
    assert other_normals(MAN, "none", rng()).normals_V3 is None
    flipped = other_normals(MAN, "flipped", rng())
    np.testing.assert_array_equal(flipped.normals_V3, -MAN.normals_V3)
    outwards_V3 = vertex_normals(MAN.vertices_V3, MAN.faces_F3)
    np.testing.assert_allclose(vertex_normals(flipped.vertices_V3, flipped.faces_F3), -outwards_V3, atol=1e-9)
    cloud, bare = (other_normals(MAN, level, rng()) for level in ("cloud", "bare cloud"))
    assert not cloud.has_faces and cloud.vertices_V3.shape == (8192, 3) and bare.normals_V3 is None
    np.testing.assert_array_equal(cloud.vertices_V3, bare.vertices_V3)
    np.testing.assert_allclose(np.linalg.norm(cloud.normals_V3, axis=1), 1, atol=1e-5)


def test_a_missing_arm_is_gone_and_does_not_count():
    hand, arm = maimed(MAN, "hand", rng()), maimed(MAN, "arm", rng())
    assert {name for name, known in zip(FULL_NAMES, hand.joint_valid_J) if not known} == {n for n in FULL_NAMES if n.startswith("l_hand")}
    assert (~arm.joint_valid_J).sum() == (~hand.joint_valid_J).sum() + 2
    wrist = MAN.joints_J3[FULL_NAMES.index("l_hand"), 0]
    assert MAN.vertices_V3[:, 0].max() > wrist > arm.vertices_V3[:, 0].max() and arm.vertices_V3[:, 0].min() == MAN.vertices_V3[:, 0].min()
    assert len(arm.faces_F3) < len(hand.faces_F3) < len(MAN.faces_F3)
    known_J = np.arange(52) != 3
    assert not maimed(replace(MAN, joint_valid_J=known_J), "none", rng()).joint_valid_J[3]


def test_size():
    np.testing.assert_allclose(resized(MAN, 1e-3, rng()).vertices_V3, MAN.vertices_V3 / 1e3, rtol=1e-5)
    assert bones(resized(MAN, 1e3, rng()), 52) == pytest.approx(1e3 * bones(MAN, 52), rel=1e-5)
    assert bones(turned(0)(MAN, 77, rng()), 22) == pytest.approx(bones(MAN, 22), rel=1e-5)


def test_decimation_of_a_square_by_hand():
    """A 4 x 4 grid of points, 18 triangles: in cells of half its side each corner's four points become one, and 2 triangles are left."""
    x, y = np.meshgrid(np.arange(4.0), np.arange(4.0))
    grid_V3 = np.float32(np.stack([x.ravel(), y.ravel(), 0 * x.ravel()], axis=1))
    quad = [(i, i + 1, i + 5, i + 4) for r in range(3) for i in range(4 * r, 4 * r + 3)]
    faces_F3 = np.array([t for a, b, c, d in quad for t in ((a, b, c), (a, c, d))])
    few = decimated(Asset("a", "b", "grid", grid_V3, faces_F3=faces_F3), 12, rng())
    assert sorted(map(tuple, few.vertices_V3.tolist())) == [(x, y, 0) for x in (.5, 2.5) for y in (.5, 2.5)]
    assert len(few.faces_F3) == 2


def test_decimation_keeps_its_word():
    for level in (50, 25, 10):
        seen = check(decimated(MAN, level, rng()))
        assert 0 < len(seen.faces_F3) <= level / 100 * len(MAN.faces_F3)
        assert len(seen.faces_F3) > level / 250 * len(MAN.faces_F3)
        assert (seen.vertices_V3.min(0) >= MAN.vertices_V3.min(0)).all() and (seen.vertices_V3.max(0) <= MAN.vertices_V3.max(0)).all()


def test_faces_of_choice():
    kept_F = np.arange(len(MAN.faces_F3)) < 5
    seen = with_faces(MAN, kept_F)
    np.testing.assert_array_equal(seen.vertices_V3[seen.faces_F3], MAN.vertices_V3[MAN.faces_F3[:5]])
    assert len(seen.vertices_V3) == len(np.unique(MAN.faces_F3[:5]))


# ------------------------------------------------------------------------------------------------------------ the card


class Oracle:
    """Answers with the true joints moved by a constant along X, in the asset's own size; notes what it is asked with."""
    points, expects_errors = 1024, True

    def __init__(self, shift=0.0):
        self.shift, self.asked = shift, []

    def predict(self, asset):
        self.asked.append((self.points, self.expects_errors))
        size = bones(asset, 22) / bones(MAN, 22)
        return SimpleNamespace(joints_J3=asset.joints_J3[:22] + np.float32([self.shift * size, 0, 0]))


def test_the_yardstick_is_the_figures_own_whatever_is_done_to_it():
    """A fault of .02 in the asset's units is the same J2J at every turn, scale and hole: by hand / (2 / box scale)."""
    readings = measure_card([MAN], Oracle(.02))
    edge = np.ptp(MAN.vertices_V3, axis=0).max()
    for r in readings:
        if r.sweep != "pose":  # bent joints may come nearer to each other than .02
            assert r.j2j == pytest.approx(.02 / edge, rel=2e-3), r
        assert r.ordered == pytest.approx(2 * .02 / edge, rel=2e-3)
    assert {(r.sweep, r.level) for r in readings} == {(s.name, level) for s in SWEEPS for level in s.levels}


def test_points_are_given_and_taken_back():
    oracle = Oracle()
    measure_card([MAN], oracle, sweeps=(SWEEP["points"], Sweep("none", "", (1,), same)))
    assert oracle.asked == [(n, False) for n in SWEEP["points"].levels] + [(1024, True)]


def test_a_real_predictor_repeats(tmp_path):
    predictor = Predictor(save_random(tmp_path / "c", joints=22, points=64), PredictorOptions(22))
    few = (Sweep("noise", "", (0, 2), noisy), Sweep("points", "", (32, 128), same, points=True))
    first, again = (measure_card([capsule_man(22, up="y")], predictor, sweeps=few) for _ in range(2))
    assert first == again and len(first) == 4 and len({r.j2j for r in first}) == 4 and predictor.points == 64


def test_what_cannot_be_measured():
    for missing, word in (({"faces_F3": None}, "faces"), ({"skin_VJ": None}, "weights")):
        with pytest.raises(AssetError, match=f"has no {word}"):
            measure_card([replace(MAN, **missing)], Oracle())
    failures = []
    few = (Sweep("one", "", (1, 2), same),)
    assert len(measure_card([replace(MAN, faces_F3=None), MAN], Oracle(), sweeps=few, failures=failures)) == 2
    assert failures == [(MAN.source, f"{MAN.source}: has no faces; the card needs rigged meshes")]
    failures = []

    def broken(asset, level, rng):
        raise AssetError("too bad")
    assert measure_card([MAN], Oracle(), sweeps=(Sweep("bad", "", (1,), broken),), failures=failures) == []
    assert failures == [(f"{MAN.source} (bad 1)", "too bad")]


def test_curves_table_and_picture(tmp_path):
    readings = [Reading("yaw", level, figure, j2j, .1) for level in (-180, 0) for figure, j2j in (("a", .01), ("b", .02), ("c", .06))]
    (sweep, rows), = curves(readings)
    assert sweep.name == "yaw" and [row["level"] for row in rows] == [-180, 0]
    assert rows[0]["median"] == .02 and rows[0]["mean"] == pytest.approx(.03) and rows[0]["worst"] == .06 and rows[0]["count"] == 3
    table = card_table(readings)
    assert table.startswith("Characters: a, b, c.\n")
    assert "| | -180 | 0 |" in table and "| J2J, mean | .0300 | .0300 |" in table and "is 1.00 times that at 0." in table
    assert growth([{"level": 0, "mean": .02}, {"level": 5, "mean": .03}]) == pytest.approx(1.5)
    assert growth([{"level": "none", "mean": .02}, {"level": 5, "mean": .03}]) is None
    json.dumps(card_json(readings, {}), allow_nan=False)
    readings += [Reading("normals", level, "a", .02, .1) for level in ("file", "none")]
    for name in "ab":
        plot_card(tmp_path / name / "r.png", readings)
    assert (tmp_path / "a" / "r.png").read_bytes() == (tmp_path / "b" / "r.png").read_bytes()


def test_levels_in_words():
    assert [level_text(x) for x in ("arm", -180, .5, 16384, 1e-3, 1e3)] == ["arm", "-180", "0.5", "16,384", "0.001", "1,000"]
