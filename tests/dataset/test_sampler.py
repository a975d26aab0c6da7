"""Samples: shares, area, provenance, and the characters that lack something."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from figures import capsule_man  # noqa: E402

from dataset.asset import Asset  # noqa: E402
from dataset.sampler import Sampler, Spots, Surface, blend, hand_faces  # noqa: E402
from geometry.sampling import draw_barycentric, draw_steps, triangle_areas  # noqa: E402

MAN = capsule_man(52)
QUADS = Asset("other", "q", "quads", np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [5, 0, 0], [8, 0, 0], [5, 3, 0]], np.float32),
              faces_F3=np.array([[0, 1, 2], [3, 4, 5]]))


def test_blend_by_hand():
    values = np.array([[0.0, 8.0], [4.0, 0.0], [8.0, 8.0]])
    assert blend(values, np.array([[0, 1, 2]]), np.array([[0.5, 0.25, 0.25]])).tolist() == [[3.0, 6.0]]


def test_surface_points_come_by_area():
    # areas 1/2 and 9/2: one point in ten on the small one (its square would give one in 82)
    sample = Sampler(20_000, vertex_share=0.0)(QUADS, np.random.default_rng(0))
    assert abs((sample.points_N3[:, 0] < 2).sum() - 2000) < 5 * 43
    assert sample.normals_N3 is None and sample.skin_NJ is None


def test_points_lie_where_their_provenance_says():
    sample = Sampler(500)(MAN, np.random.default_rng(1))
    np.testing.assert_allclose(sample.points_N3, blend(MAN.vertices_V3, sample.corner_N3, sample.bary_N3))
    np.testing.assert_allclose(sample.skin_NJ, blend(MAN.skin_VJ, sample.corner_N3, sample.bary_N3))
    np.testing.assert_allclose(sample.bary_N3.sum(1), 1, atol=1e-12)
    np.testing.assert_allclose(sample.skin_NJ.sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(sample.normals_N3, axis=1), 1, atol=1e-6)
    faces = {tuple(f) for f in MAN.faces_F3.tolist()}
    on_face = sample.corner_N3[:, 0] != sample.corner_N3[:, 1]
    assert all(tuple(c) in faces for c in sample.corner_N3[on_face].tolist())


def test_shares():
    sample = Sampler(1000, vertex_share=0.25, hand_share=0.15)(MAN, np.random.default_rng(2))
    on_vertex = sample.corner_N3[:, 0] == sample.corner_N3[:, 1]
    assert on_vertex.sum() == 250 and len(set(sample.corner_N3[on_vertex, 0].tolist())) == 250
    surface = Surface.of(MAN)
    hand = {tuple(f) for f in MAN.faces_F3[surface.hand_H].tolist()}
    on_hand = sum(tuple(c) in hand for c in sample.corner_N3[~on_vertex].tolist())
    # 150 by the share, and of the other 600 what falls there by area
    expected = 600 * surface.hand_total_H[-1] / surface.total_F[-1]
    assert abs(on_hand - 150 - expected) < 5 * np.sqrt(expected)
    assert 0 < len(surface.hand_H) < len(MAN.faces_F3)


def test_any_prefix_is_a_fair_sample():
    firsts = np.concatenate([Sampler(400)(MAN, np.random.default_rng(k)).corner_N3[:100] for k in range(20)])
    assert abs((firsts[:, 0] == firsts[:, 1]).mean() - 0.25) < 5 * np.sqrt(0.25 * 0.75 / 2000)


def test_hand_faces_need_known_joints():
    assert hand_faces(MAN).sum() == hand_faces(MAN.with_joints(22)).sum() > 0
    assert not hand_faces(replace(MAN, skin_VJ=None)).any()
    assert not hand_faces(replace(MAN, skin_VJ=np.ones((len(MAN.vertices_V3), 1)))).any()


def test_without_skin_the_hands_come_by_area():
    bare = replace(MAN, skin_VJ=None, joints_J3=None, parents=None, names=None, matrix_local_J44=None)
    sample = Sampler(800)(bare, np.random.default_rng(3))
    assert len(sample.points_N3) == 800 and sample.skin_NJ is None and sample.normals_N3 is not None


@pytest.mark.parametrize("count, repeats", [(4, {0, 1}), (6, {1}), (7, {1, 2}), (20, {3, 4})])
def test_point_clouds_give_each_point_as_evenly_as_they_can(count, repeats):
    cloud = replace(QUADS, faces_F3=None)
    corner_N = Sampler(count)(cloud, np.random.default_rng(4)).corner_N3[:, 0]
    assert len(corner_N) == count and set(np.bincount(corner_N, minlength=6).tolist()) == repeats


def test_faces_without_area_fall_back_to_vertices():
    flat = replace(QUADS, faces_F3=np.array([[0, 1, 1], [2, 2, 2]]))
    assert Surface.of(flat) is None
    assert len(Sampler(10)(flat, np.random.default_rng(5)).points_N3) == 10


def test_fewer_vertices_than_their_share():
    sample = Sampler(100, vertex_share=0.5, hand_share=0.0)(QUADS, np.random.default_rng(6))
    assert len(sample.points_N3) == 100 and (sample.corner_N3[:, 0] == sample.corner_N3[:, 1]).sum() == 6


def test_same_rng_same_sample_and_no_global_state():
    np.random.seed(0)
    one = Sampler(300)(MAN, np.random.default_rng(7))
    np.random.seed(1)
    two = Sampler(300)(MAN, np.random.default_rng(7))
    np.testing.assert_array_equal(one.points_N3, two.points_N3)
    assert (Sampler(300)(MAN, np.random.default_rng(8)).points_N3 != one.points_N3).any()


def test_area_of_surface_is_that_of_geometry():
    surface, area_F = Surface.of(MAN), triangle_areas(MAN.vertices_V3, MAN.faces_F3)
    np.testing.assert_allclose(np.diff(surface.total_F, prepend=0), area_F, atol=1e-12)
    np.testing.assert_allclose(np.diff(surface.hand_total_H, prepend=0), area_F[hand_faces(MAN)], atol=1e-12)


@pytest.mark.parametrize("arguments", [dict(count=0), dict(count=5, vertex_share=-.1), dict(count=5, vertex_share=.6, hand_share=.5)])
def test_refuses(arguments):
    with pytest.raises(ValueError, match="Sampler.*shares >= 0"):
        Sampler(**arguments)


def test_repr():
    assert repr(Sampler(1024)) == "Sampler(count=1024, vertex_share=0.25, hand_share=0.15)"


def test_spots_by_hand():
    # spots 0, 1 are vertices 4 and 7, spot 2 the middle of a face; the sample has them in the order face, 7, 4
    spots = Spots(np.array([4, 7]), np.array([[1, 2, 3]]), np.array([[.5, .25, .25]]), np.array([2, 1, 0]))
    corner, bary = spots.places()
    assert corner.tolist() == [[1, 2, 3], [7, 7, 7], [4, 4, 4]] and bary.tolist() == [[.5, .25, .25], [1, 0, 0], [1, 0, 0]]
    assert spots.among(np.array([2, 0])).places()[0].tolist() == [[4, 4, 4], [1, 2, 3]]
    alone = spots.among(np.array([1]))
    assert alone.vertex_A.tolist() == [7] and alone.corner_P3.shape == (0, 3)


def test_spots_lie_in_the_order_of_memory_and_thinning_keeps_the_right_ones():
    surface = Surface.of(MAN)
    face_of = {tuple(face): f for f, face in enumerate(MAN.faces_F3.tolist())}
    spots = Sampler(300).spots(len(MAN.vertices_V3), MAN.faces_F3, surface, np.random.default_rng(3))
    face_P = [face_of[tuple(c)] for c in spots.corner_P3.tolist()]
    assert (np.diff(spots.vertex_A) > 0).all() and (np.diff(face_P) >= 0).all() and sorted(spots.order_N.tolist()) == list(range(300))
    kept = np.random.default_rng(4).permutation(300)[:120]
    for whole, some in zip(spots.places(), spots.among(kept).places()):
        np.testing.assert_array_equal(some, whole[kept])


def test_places_are_the_plain_draws_in_their_order():
    surface, rng = Surface.of(MAN), np.random.default_rng(8)
    got = Sampler(200, vertex_share=.25, hand_share=.15).places(len(MAN.vertices_V3), MAN.faces_F3, surface, np.random.default_rng(8))
    face = np.concatenate([draw_steps(surface.total_F, 120, rng), surface.hand_H[draw_steps(surface.hand_total_H, 30, rng)]])
    vertex, bary = rng.choice(len(MAN.vertices_V3), 50, replace=False), draw_barycentric(150, rng)
    order = rng.permutation(200)
    np.testing.assert_array_equal(got[0], np.concatenate([np.repeat(vertex[:, None], 3, axis=1), MAN.faces_F3[face]])[order])
    np.testing.assert_array_equal(got[1], np.concatenate([np.tile([1.0, 0, 0], (50, 1)), bary])[order])
