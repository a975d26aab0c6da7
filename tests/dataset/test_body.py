"""Bodies: sparse weights by hand, blocks whose bounds hold in every pose, and boxes that are those of the whole posed mesh."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from figures import capsule_man  # noqa: E402

from dataset.augment import FINETUNE, Clutter, Draw, PointDensity, Shells  # noqa: E402
from dataset.body import BLOCK, Blocks, Body, SparseSkin  # noqa: E402
from dataset.pipeline import pose_sample  # noqa: E402
from dataset.prepared import prepare  # noqa: E402
from dataset.sampler import Sampler, Surface, blend  # noqa: E402
from geometry.kinematics import homogeneous, rotvec_to_matrix  # noqa: E402
from geometry.skinning import linear_blend_skinning  # noqa: E402

MAN = capsule_man(52)
HAND = np.array([[1, 0, 0], [0, .25, .75], [.5, .5, 0], [0, 0, 0]], np.float32)      # the last one: no weight at all
RNG = np.random.default_rng(0)


def moves(rng, joints=52):
    """(J, 12) float32: any affine maps, also squeezing ones."""
    maps = homogeneous(rotvec_to_matrix(rng.normal(size=(joints, 3))) * rng.uniform(.5, 2, (joints, 1, 3)), rng.normal(size=(joints, 3)))
    return maps[:, :3].reshape(-1, 12).astype(np.float32)


def test_sparse_rows_by_hand():
    skin = SparseSkin.of(HAND)
    assert skin.count_V.tolist() == [1, 2, 2, 0] and skin.start_V.tolist() == [0, 1, 3, 5]
    rows = skin.rows(np.array([2, 3, 0, 1, 1]))
    assert rows.bound_M1.tolist() == [0, 2, 2, 3, 5, 7] and rows.joint_E.tolist() == [0, 1, 0, 1, 2, 1, 2]
    assert rows.row_E.tolist() == [0, 0, 2, 3, 3, 4, 4]
    np.testing.assert_array_equal(rows.dense(), HAND[[2, 3, 0, 1, 1]])
    np.testing.assert_array_equal(skin.dense(), HAND)
    np.testing.assert_array_equal(SparseSkin.rigid(2, 3).dense(), [[1, 0, 0], [1, 0, 0]])
    assert skin.rows(np.zeros(0, np.int64)).dense().shape == (0, 3)


def test_rows_are_added_where_told_and_columns_swapped():
    rows = SparseSkin.of(HAND).rows(np.array([1, 0, 1, 2]))       # a lone vertex for point 1, three corners for point 0
    share, point = np.array([1, .5, .25, .25], np.float32), np.array([1, 0, 0, 0], np.int32)
    want = np.array([[.5 + .125, .0625 + .125, .1875], [0, .25, .75]])
    out = np.zeros((2, 3), np.float32)
    assert rows.onto(out, share, point) is out
    np.testing.assert_allclose(out, want, atol=1e-7)
    swapped = rows.onto(np.zeros((2, 3), np.float32), share, point, np.array([0, 2, 1], np.int32))
    np.testing.assert_allclose(swapped, want[:, [0, 2, 1]], atol=1e-7)


def test_posed_vertices_are_those_of_geometry():
    body, vertex_M = Body.of(MAN), RNG.integers(0, len(MAN.vertices_V3), 40)
    for seed in range(3):
        move_J12 = moves(np.random.default_rng(seed))
        exact = linear_blend_skinning(MAN.vertices_V3, MAN.skin_VJ, move_J12.reshape(-1, 3, 4))
        np.testing.assert_allclose(body.posed(vertex_M, body.skin.rows(vertex_M), move_J12).T, exact[vertex_M], atol=1e-5)


def test_blocks_hold_every_vertex_once_and_their_boxes_hold_them():
    skin = SparseSkin.of(MAN.skin_VJ)
    blocks = Blocks.of(MAN.vertices_V3, skin)
    assert set(blocks.vertex_KB.ravel().tolist()) == set(range(len(MAN.vertices_V3)))
    assert blocks.vertex_KB.shape == (-(-len(MAN.vertices_V3) // BLOCK), BLOCK)
    stop_K = [*blocks.first_K[1:], len(blocks.joint_P)]
    for vertex_B, first, stop in zip(blocks.vertex_KB, blocks.first_K, stop_K):
        assert blocks.joint_P[first:stop].tolist() == np.flatnonzero(MAN.skin_VJ[vertex_B].any(0)).tolist()
        for pair in range(first, stop):
            inside = MAN.vertices_V3[vertex_B[MAN.skin_VJ[vertex_B, blocks.joint_P[pair]] > 0]]
            assert (np.abs(inside - blocks.centre_P3[pair]) <= blocks.half_P3[pair] + 1e-6).all()


@pytest.mark.parametrize("kind", ["memory", "prepared", "bare", "one joint each"])
def test_the_box_is_that_of_the_whole_mesh(kind, tmp_path):
    single_VJ = np.eye(52, dtype=np.float32)[MAN.skin_VJ.argmax(1)]
    asset = {"bare": replace(MAN, skin_VJ=None), "one joint each": replace(MAN, skin_VJ=single_VJ)}.get(kind, MAN)
    body = prepare([asset], tmp_path / "set").body(0) if kind == "prepared" else Body.of(asset)
    skin_VJ = np.eye(52)[np.zeros(len(MAN.vertices_V3), int)] if asset.skin_VJ is None else asset.skin_VJ
    saved = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        move_J12 = moves(rng)
        exact = linear_blend_skinning(MAN.vertices_V3, skin_VJ, move_J12.reshape(-1, 3, 4))
        known = exact[rng.integers(0, len(exact), 200)].astype(np.float32)
        low, high = body.widened(move_J12, known.min(0), known.max(0))
        np.testing.assert_allclose([low, high], [exact.min(0), exact.max(0)], atol=1e-5)
        saved += len(exact) - len(set(body.blocks.outside(move_J12, low, high).tolist()))
    assert saved > 0


def test_what_is_not_finite_is_never_passed_over():
    body = Body.of(replace(MAN, vertices_V3=np.where(np.arange(len(MAN.vertices_V3))[:, None] == 7, np.nan, MAN.vertices_V3)))
    low, high = body.widened(moves(np.random.default_rng(1)), np.full(3, -1e3, np.float32), np.full(3, 1e3, np.float32))
    assert np.isnan(low).any() and np.isnan(high).any()


def test_prepared_normals_are_fine(tmp_path):
    prepared = prepare([MAN], tmp_path / "set")
    spots = Sampler(60).spots(len(MAN.vertices_V3), MAN.faces_F3, Surface.of(MAN), np.random.default_rng(5))
    exact = blend(MAN.normals_V3, *spots.places())
    for body, atol in ((Body.of(MAN), 1e-6), (prepared.body(0), 4e-5)):
        np.testing.assert_allclose(body.normals(spots).T, exact, atol=atol)


def test_clutter_that_a_thinned_sample_keeps():
    shells = Shells(np.array([4, 1]), np.array([5, 9]), np.array([[4., 0, 0], [1, 0, 0]]), np.array([[0, 4., 0], [0, 1, 0]]))
    left = shells.among(np.array([1, 0, 6, 4]))
    assert left.rows_S.tolist() == [0, 3] and left.joint_S.tolist() == [9, 5] and left.points_S3[:, 0].tolist() == [1, 4]
    assert len(shells.among(np.array([0, 2])).rows_S) == 0
    # in a still figure: what is off the surface rides on one joint alone, before and after thinning
    mix = replace(FINETUNE, clutter=Clutter(1.0, share=.5), density=PointDensity(1.0))
    posed = pose_sample(Draw(MAN), Body.of(MAN), Sampler(400), mix, np.random.default_rng(3))
    outside = (np.abs(posed.points_N3[:, None] - MAN.vertices_V3[None]).max(-1).min(1) > .15)
    assert len(posed.points_N3) == 400 and outside.any() and (posed.skin_NJ[outside].max(1) == 1).all()
    np.testing.assert_allclose(posed.skin_NJ.sum(1), 1, atol=1e-5)
