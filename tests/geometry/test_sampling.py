"""Surface sampling against areas, farthest points against numbers by hand and a plain twin."""

import numpy as np
import pytest

from geometry.sampling import draw_faces, draw_steps, farthest_point_sample, rising, sample_surface, triangle_areas

# a right triangle of area 1/2, one of area 2, and one without area
VERTICES = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [10, 0, 0], [12, 0, 0], [10, 2, 0]], float)
FACES = np.array([[0, 1, 2], [3, 4, 5], [0, 1, 1]])


def test_areas_by_hand():
    np.testing.assert_array_equal(triangle_areas(VERTICES, FACES), [0.5, 2.0, 0.0])


def test_faces_come_by_area_not_by_its_square():
    face_P, bary_P3 = sample_surface(VERTICES, FACES, 20_000, np.random.default_rng(0))
    # 1/5 of 20,000 with standard deviation 57; squared areas would give 1/17
    assert abs((face_P == 0).sum() - 4000) < 5 * 57
    assert (face_P != 2).all()
    assert bary_P3.min() >= 0
    np.testing.assert_allclose(bary_P3.sum(1), 1, atol=1e-12)


def test_points_fill_a_triangle_evenly():
    _, bary_P3 = sample_surface(VERTICES, FACES[:1], 40_000, np.random.default_rng(1))
    # the inner triangle of the edge midpoints is a quarter of the area, and so is each corner's
    for k in range(3):
        assert abs((bary_P3[:, k] > 0.5).mean() - 0.25) < 5 * 0.0022
    np.testing.assert_allclose(bary_P3.mean(0), 1 / 3, atol=0.006)


def test_face_weights_count():
    face_P, _ = sample_surface(VERTICES, FACES, 1000, np.random.default_rng(2), np.array([1.0, 0.0, 5.0]))
    assert (face_P == 0).all()


def test_same_rng_same_points():
    one, two = (sample_surface(VERTICES, FACES, 50, np.random.default_rng(3)) for _ in range(2))
    assert (one[0] == two[0]).all() and (one[1] == two[1]).all()


@pytest.mark.parametrize("weight", [[0, 0], [], [1, np.nan], [1, np.inf], [2, -1]])
def test_no_area_to_draw_from(weight):
    with pytest.raises(ValueError, match="no face has a positive, finite weight"):
        draw_faces(np.array(weight, float), 3, np.random.default_rng(0))


def test_no_faces():
    with pytest.raises(ValueError, match="point cloud"):
        sample_surface(VERTICES, np.zeros((0, 3), int), 3, np.random.default_rng(0))


def test_farthest_by_hand():
    points = np.array([[0, 0, 0], [1, 0, 0], [2, 0, 0], [10, 0, 0]], float)
    # centroid 3.25: start at 10, then 0, then 2 (distance 2 to 0; 1 is only 1 away), then 1
    assert farthest_point_sample(points, 4).tolist() == [3, 0, 2, 1]


def test_ties_go_to_the_smaller_index():
    square = np.array([[1, 1, 0], [-1, 1, 0], [-1, -1, 0], [1, -1, 0]], float)
    assert farthest_point_sample(square, 4).tolist() == [0, 2, 1, 3]


def twin(points, count):
    chosen = [int(np.argmax(np.linalg.norm(points - points.mean(0), axis=1)))]
    while len(chosen) < count:
        chosen.append(int(np.argmax([min(np.linalg.norm(p - points[c]) for c in chosen) for p in points])))
    return chosen


def test_farthest_agrees_with_twin():
    points = np.random.default_rng(4).normal(size=(60, 3))
    assert farthest_point_sample(points, 25).tolist() == twin(points, 25)


def test_coinciding_points():
    assert farthest_point_sample(np.ones((5, 3)), 3).tolist() == [0, 0, 0]
    assert farthest_point_sample(np.ones((1, 3)), 1).tolist() == [0]


@pytest.mark.parametrize("shape, count", [((4, 3), 0), ((4, 3), 5), ((4, 2), 2), ((0, 3), 1)])
def test_farthest_refuses(shape, count):
    with pytest.raises(ValueError, match="count must be|needs points"):
        farthest_point_sample(np.zeros(shape), count)


def test_a_draw_that_rounds_up_to_the_total_takes_the_last_face_that_counts():
    class Highest:
        def random(self, count):
            return np.ones(count)
    assert draw_steps(np.array([0.0, 1.0, 3.0, 3.0]), 2, Highest()).tolist() == [2, 2]
    assert draw_steps(np.array([1.0, 3.0]), 0, np.random.default_rng(0)).shape == (0,)
    for sums in ([], [0.0], [1.0, np.nan], [np.inf]):
        with pytest.raises(ValueError, match="no area"):
            draw_steps(np.array(sums), 3, np.random.default_rng(0))


def test_rising_sorts_small_integers_exactly_and_large_values_roughly():
    assert rising(np.array([3, 0, 65535, 0])).tolist() == [1, 3, 0, 2]
    assert rising(np.array([0.9, 2.5, 1.1])).tolist() == [0, 2, 1] and rising(np.zeros(0)).tolist() == []
    values = np.random.default_rng(0).integers(0, 1 << 20, 500)
    order = rising(values)
    assert sorted(order.tolist()) == list(range(500)) and (np.diff(values[order]) > -16).all()


def test_drawn_steps_are_those_of_a_plain_search():
    totals = np.cumsum(np.random.default_rng(1).random(5000) ** 4)
    level = np.random.default_rng(2).random(700) * totals[-1]
    assert draw_steps(totals, 700, np.random.default_rng(2)).tolist() == [int((totals <= x).sum()) for x in level]
