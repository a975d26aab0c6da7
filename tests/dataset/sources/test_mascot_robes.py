"""Robes: their shapes by hand, where they reach, what they hide, who carries them."""

from dataclasses import replace

import numpy as np
import pytest

from dataset.sources.mascot_rig import INDEX
from dataset.sources.mascot_robes import SHAPES, Cut, draw_cut, hang, widening
from dataset.sources.mascots import FAMILIES, MascotStyle, generate_mascot

PLAIN = Cut(shape="straight", growth=0.0, power=1.0, folds=0.0, fold_count=6, open_front=0.0, open_hem=False)


def tube(cut: Cut):
    """A robe about a cylinder of radius 0.2 from 0.1 to 1.1."""
    return hang(np.linspace(0.1, 1.1, 11), np.full(11, 0.2), np.full(11, 0.2), 0.05, cut, 24, 2.0)


def test_shapes_by_hand():
    down_K = np.array([0.0, 0.25, 0.5, 0.8, 1.0])
    expected = {"straight": [1, 1.1, 1.2, 1.32, 1.4], "flared": [1, 1.025, 1.1, 1.256, 1.4], "trumpet": [1, 1, 1, 1.2, 1.4],
                "bell": [1, 1 + 0.4 * np.sqrt(0.5), 1.4, 1.4, 1.4],
                "cocoon": [1, 1 + 0.4 * np.sqrt(0.5), 1.4, 1 + 0.4 * np.sin(0.8 * np.pi), 1]}
    assert set(expected) == set(SHAPES)
    for shape, factors in expected.items():
        np.testing.assert_allclose(widening(replace(PLAIN, shape=shape, growth=0.4, power=2.0), down_K), factors, atol=1e-12)


def test_an_open_front_and_hem():
    closed, hemless, coat = (tube(replace(PLAIN, **c)) for c in ({}, {"open_hem": True}, {"open_front": 0.5}))
    assert len(closed.faces_F3) - len(hemless.faces_F3) == 24 and closed.inside is not None
    assert coat.inside is None                                     # one looks into an open coat
    middle_F3 = coat.vertices_V3[coat.faces_F3].mean(1)
    assert not ((np.abs(middle_F3[:, 0]) < 0.08) & (middle_F3[:, 2] > 0.05) & (middle_F3[:, 1] < 0.2)).any()
    assert ((np.abs(middle_F3[:, 0]) < 0.05) & (middle_F3[:, 2] > 0.05) & (middle_F3[:, 1] > 0.9)).any()      # it is closed at the top
    assert ((np.abs(middle_F3[:, 0]) < 0.08) & (middle_F3[:, 2] < 0.05) & (middle_F3[:, 1] < 0.2)).any()      # and behind


def test_folds_keep_heights_and_the_middle():
    plain, folded = tube(PLAIN), tube(replace(PLAIN, folds=0.1))
    np.testing.assert_array_equal(plain.vertices_V3[:, 1], folded.vertices_V3[:, 1])
    away = [np.hypot(s.vertices_V3[:, 0], s.vertices_V3[:, 2] - 0.05)[:-2] for s in (plain, folded)]
    np.testing.assert_allclose(away[0], 0.2)
    assert away[1].max() > 0.215 and away[1].min() < 0.185


@pytest.mark.parametrize("family", ["robed", "gowned"])
def test_thighs_lie_under_the_robe_and_move_it(family):
    bare = replace(FAMILIES[family], cape=0, tail=0, wings=0, pack=0, prop=0, sleeve=0, trouser=0)
    feet = [INDEX[n] for n in ("l_foot", "r_foot", "l_toe_base", "r_toe_base")]
    legs = [INDEX[n] for n in ("hips", "l_upper_leg", "l_lower_leg", "r_upper_leg", "r_lower_leg")]
    for seed in range(12):
        asset = generate_mascot(seed, replace(MascotStyle(), families={family: bare}, lumps=0.0, hide=0.0, leaning=0.0, a_pose=0.0))
        height, thigh_3 = np.ptp(asset.vertices_V3[:, 1]), asset.joints_J3[INDEX["l_upper_leg"]]
        near_V = np.abs(asset.vertices_V3[:, 1] - 0.9 * thigh_3[1]) < 0.05 * height
        assert asset.vertices_V3[near_V, 0].max() > thigh_3[0], seed
        low_V = (asset.vertices_V3[:, 1] < 0.9 * thigh_3[1]) & (asset.skin_VJ[:, feet].sum(1) == 0)
        assert asset.skin_VJ[low_V][:, legs].sum(1).mean() > 0.8, seed


def test_gowned_figures_have_long_legs():
    style = MascotStyle(families={"gowned": replace(FAMILIES["gowned"], hat=0, horns=0, hair=0)})
    assets = [generate_mascot(seed, style) for seed in range(12)]
    shares = [asset.joints_J3[INDEX["l_upper_leg"], 1] / asset.vertices_V3[:, 1].max() for asset in assets]
    assert min(shares) > 0.42 and max(shares) > 0.6


def test_every_shape_is_drawn():
    rng = np.random.default_rng(0)
    cuts = [draw_cut(rng) for _ in range(200)]
    assert {c.shape for c in cuts} == set(SHAPES) and 20 < sum(c.open_front > 0 for c in cuts) < 90
