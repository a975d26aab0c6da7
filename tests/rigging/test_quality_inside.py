"""Winding numbers by hand and against the exact sum; distances to a surface."""

import numpy as np
import pytest

from rigging.quality_inside import solid_angles, surface_distance, winding_numbers

CUBE_V3 = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float) / 2
CUBE_F3 = np.array([[0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1], [2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4],
                    [1, 5, 7], [1, 7, 3]])


def sphere(rings: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """A closed sphere of radius 0.8, faces outwards."""
    polar, turn = np.meshgrid(np.linspace(0, np.pi, rings + 1), np.arange(2 * rings) * np.pi / rings, indexing="ij")
    points = 0.8 * np.stack([np.sin(polar) * np.cos(turn), np.sin(polar) * np.sin(turn), np.cos(polar)], -1).reshape(-1, 3)
    i, j = np.meshgrid(np.arange(rings), np.arange(2 * rings), indexing="ij")
    a, b = i * 2 * rings + j, i * 2 * rings + (j + 1) % (2 * rings)
    return points, np.concatenate([np.stack([a, a + 2 * rings, b], -1), np.stack([b, a + 2 * rings, b + 2 * rings], -1)]).reshape(-1, 3)


def test_an_octant_is_an_eighth_of_all():
    assert solid_angles(np.eye(3)[None]) == pytest.approx(np.pi / 2)
    assert solid_angles(np.eye(3)[None, ::-1]) == pytest.approx(-np.pi / 2)


def test_a_cube_turns_once_around_what_is_inside():
    points = np.array([[0, 0, 0], [0.4, 0.4, -0.4], [0.6, 0, 0], [3, 3, 3]])
    np.testing.assert_allclose(winding_numbers(points, CUBE_V3, CUBE_F3), [1, 1, 0, 0], atol=1e-4)


def test_an_open_cube_turns_five_sixths_around_its_middle():
    assert winding_numbers(np.zeros((1, 3)), CUBE_V3, CUBE_F3[2:]) == pytest.approx(5 / 6)


def test_nested_shells_add_up_and_a_reversed_one_takes_away():
    both_V3, inner_F3 = np.concatenate([CUBE_V3, CUBE_V3 / 2]), CUBE_F3 + 8
    faces = np.concatenate([CUBE_F3, inner_F3])
    assert winding_numbers(np.zeros((1, 3)), both_V3, faces) == pytest.approx(2)
    assert winding_numbers(np.zeros((1, 3)), both_V3, np.concatenate([CUBE_F3, inner_F3[:, ::-1]])) == pytest.approx(0, abs=1e-9)


def test_dipoles_are_near_the_exact_sum():
    vertices_V3, faces_F3 = sphere()
    open_F3 = faces_F3[vertices_V3[faces_F3].mean(1)[:, 2] < 0.5]        # a hole, so that the numbers are not whole
    points = np.random.default_rng(0).uniform(-1, 1, (60, 3))
    exact = np.array([solid_angles(vertices_V3[open_F3] - point).sum() / (4 * np.pi) for point in points])
    found = winding_numbers(points, vertices_V3, open_F3)
    assert np.abs(found - exact).max() < 0.01
    assert 0.05 < exact.max() < 0.99


def test_distance_to_a_large_face_is_not_to_its_corners():
    assert surface_distance(np.array([[0, 0, 0.7], [0.2, 0.1, 0.0]]), CUBE_V3, CUBE_F3) == pytest.approx([0.2, 0.3], abs=0.08)
