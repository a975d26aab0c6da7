"""Bounds on errors: factors by hand, an exponential's factor found again, laws of bounds, and files that must be refused."""

import json

import numpy as np
import pytest

from dataset.format import skeleton
from launch.plots import plot_reliability
from launch.reliability import (COVERAGE, EXPONENTIAL, KINDS, Calibration, Pairs, bound_90, by_kind, coverage_of, describe, fit_calibration,
                                gather, held_out, kinds, pinball, quantile_factor, read_calibration, reliability_table, write_calibration)


def pairs(true, expected=None, kind=None, figure=None) -> Pairs:
    count = len(true)
    return Pairs(np.ones(count) if expected is None else np.asarray(expected, float), np.asarray(true, float),
                 np.zeros(count, int) if kind is None else np.asarray(kind),
                 np.array([f"f{i}" for i in range(count)] if figure is None else figure, object))


def exponential(rng, characters=50, joints=52, scales=(1, 1, 1, 1)) -> Pairs:
    """True errors that are exponential with the expected mean, times a scale of each kind."""
    kind_J = np.array([KINDS.index(kind) for kind in kinds(joints)])
    expected_P = rng.uniform(.005, .1, characters * joints)
    kind_P = np.tile(kind_J, characters)
    return pairs(rng.exponential(expected_P) * np.array(scales)[kind_P], expected_P, kind_P,
                 np.repeat([f"c{i:03}" for i in range(characters)], joints))


def test_kinds_by_hand():
    named = dict(zip(skeleton(52).names, kinds(52)))
    assert (named["head"], named["l_shoulder"], named["r_hand"], named["l_toe_base"], named["r_hand_pinky_3"]) \
        == ("trunk", "arms", "arms", "legs", "fingers")
    assert [kinds(52).count(kind) for kind in KINDS] == [6, 8, 8, 30] and kinds(22) == kinds(52)[:22]


def test_factor_by_hand():
    """Ten errors of 1..10 where 1 is expected: nine lie at or below 9."""
    ten = pairs(np.arange(1, 11))
    assert quantile_factor(ten) == 9 and coverage_of(ten, {"all": 9.0}) == .9
    assert quantile_factor(ten, .5) == 5 and quantile_factor(pairs([3.0], [2.0])) == 1.5
    assert quantile_factor(pairs(np.arange(1, 11) * 7, np.full(10, 7))) == 9       # units do not matter


def test_exponential_errors_give_an_exponentials_factor():
    found = fit_calibration(exponential(np.random.default_rng(0), 400))
    # the quantile's standard error: sqrt(q (1 - q) / n) / density = sqrt(.09 / 20800) / .1 = .02
    assert set(found.factors) == {"all"} and found.factors["all"] == pytest.approx(EXPONENTIAL, abs=.08)
    assert EXPONENTIAL == pytest.approx(2.302585, abs=1e-6)
    assert found.about["held_out"]["one factor"]["coverage"] == pytest.approx(COVERAGE, abs=.01)


def test_kinds_that_differ_get_factors_of_their_own():
    apart = exponential(np.random.default_rng(1), 200, scales=(1, 1, 1, 4))
    found = fit_calibration(apart)
    assert set(found.factors) == set(KINDS) and found.factors["fingers"] == pytest.approx(4 * EXPONENTIAL, abs=.6)
    tried = found.about["held_out"]
    assert tried["a factor a kind"]["loss"] < .98 * tried["one factor"]["loss"]
    only_trunk = pairs([1.0, 2.0])
    assert by_kind(only_trunk) == dict.fromkeys(KINDS, 2.0)


def test_held_out_characters_are_not_seen():
    """One of two characters errs ten times as far: each is judged by the other's factor."""
    two = pairs([1, 1, 10, 10], figure=["a", "a", "b", "b"])
    tried = held_out(two)["one factor"]
    assert tried["coverage"] == .5                                     # a under 10, b over 1
    assert tried["loss"] == pytest.approx((2 * .1 * 9 + 2 * .9 * 9) / 4)
    with pytest.raises(ValueError, match="two characters"):
        held_out(pairs([1, 2], figure=["a", "a"]))


def test_pinball_by_hand_and_least_at_the_quantile():
    np.testing.assert_allclose(pinball(np.array([3.0, 1.0]), np.array([2.0, 2.0])), [.9, .1])
    error_P = np.random.default_rng(2).exponential(size=4000)
    losses = [pinball(error_P, np.full(4000, bound)).mean() for bound in (1.5, EXPONENTIAL, 3.5)]
    assert losses[1] < min(losses[0], losses[2])


def test_bound_by_hand_and_its_laws():
    np.testing.assert_allclose(bound_90(np.full(22, .01)), .01 * np.log(10))
    table = Calibration(dict(zip(KINDS, (1.0, 2.0, 3.0, 4.0))))
    bound_J = bound_90(np.full(52, .1), table)
    assert bound_J[[0, 6, 14, 30]] == pytest.approx([.1, .2, .3, .4]) and bound_J.shape == (52,)
    rng = np.random.default_rng(3)
    expected_J = rng.uniform(0, .1, 52)
    assert (bound_90(expected_J + .01, table) > bound_90(expected_J, table)).all()          # a larger doubt, a larger bound
    np.testing.assert_allclose(bound_90(85 * expected_J, table), 85 * bound_90(expected_J, table))
    np.testing.assert_array_equal(bound_90(expected_J, table)[:22], bound_90(expected_J[:22], table))
    for broken in (np.nan, np.inf, -1.0):
        with pytest.raises(ValueError, match="finite and >= 0"):
            bound_90(np.full(22, broken))


def test_gather_leaves_out_what_is_ignored():
    errors_J = np.full(22, .1)
    errors_J[0] = np.nan
    found = gather([("a", np.full(22, .05), errors_J), ("b", np.full(52, .05), np.full(52, .2))])
    assert len(found.true_P) == 21 + 52 and list(found.figure_P[:21]) == ["a"] * 21 and (found.kind_P == 3).sum() == 30
    for nothing, message in (([], "network.confidence=true"), ([("a", np.ones(22), np.full(22, np.nan))], "no joint")):
        with pytest.raises(ValueError, match=message):
            gather(nothing)


def test_file_there_and_back(tmp_path):
    assert read_calibration(tmp_path).factors == {"all": EXPONENTIAL}                        # nothing there
    write_calibration(tmp_path, Calibration({"all": 1.75}, "abc", {"characters": 3}))
    again = read_calibration(tmp_path, "abc")
    assert (again.factors, again.checkpoint, again.about) == ({"all": 1.75}, "abc", {"characters": 3})
    with pytest.raises(ValueError, match="another network.*--calibrate"):
        read_calibration(tmp_path, "other")


@pytest.mark.parametrize("change", [{"format": "x"}, {"coverage": .5}, {"factors": {}}, {"factors": {"all": -1}}, {"factors": {"all": "2"}},
                                    {"factors": {"all": True}}, {"factors": {"arms": 2}}, {"factors": {"all": float("nan")}},
                                    {"factors": [2]}])
def test_damaged_files_are_refused(tmp_path, change):
    path = write_calibration(tmp_path, Calibration())
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match="calibration.json is no calibration"):
        read_calibration(tmp_path)
    path.write_text("[1]")
    with pytest.raises(ValueError, match="no calibration"):
        read_calibration(tmp_path)
    path.write_text("{")
    with pytest.raises(ValueError, match="cannot be read"):
        read_calibration(tmp_path)


def test_description_table_and_picture(tmp_path):
    some = exponential(np.random.default_rng(4), 20)
    told = describe(some, Calibration({"all": quantile_factor(some)}), 85.0)
    assert told["joints"] == 1040 and told["characters"] == 20 and told["under_bound"] == pytest.approx(.9, abs=1e-3)
    assert [b["expected_cm"] for b in told["bins"]] == sorted(b["expected_cm"] for b in told["bins"]) and len(told["bins"]) == 10
    shares = [c["calibrated"] for c in told["coverage"]]
    assert shares == sorted(shares)                                                           # a wider bound covers more
    nominal = [c["nominal"] for c in told["coverage"]]
    np.testing.assert_allclose([c["exponential"] for c in told["coverage"]], nominal, atol=.05)
    at_90 = told["coverage"][nominal.index(.9)]
    assert at_90["calibrated"] == pytest.approx(told["under_bound"], abs=1e-3)
    json.dumps(told, allow_nan=False)
    table = reliability_table({"made": told, "met": told})
    assert len({line.count("|") for line in table.splitlines()}) == 1 and "| made: 20 | 1040 |" in table
    for name in ("a", "b"):
        plot_reliability(tmp_path / name / "r.png", {"made": told}, {"all": 2.0})
    assert (tmp_path / "a" / "r.png").read_bytes() == (tmp_path / "b" / "r.png").read_bytes()
