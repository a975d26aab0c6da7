"""Heat distances against the arc on a sphere and the straight line on a plane, and the traps: other pieces, bare points, flat faces."""

import numpy as np
import pytest
import trimesh

from geometry.geodesic import continued, distances, graph
from geometry.heat import HeatMethod
from geometry.topology import edges


def ball(level=3, radius=1.0):
    mesh = trimesh.creation.icosphere(level, radius=radius)
    return np.array(mesh.vertices), np.array(mesh.faces)


def sheet(n=41):
    """The unit square, all diagonals one way."""
    x, y = np.meshgrid(np.arange(n), np.arange(n), indexing="ij")
    i = np.arange(n * n).reshape(n, n)
    a, b, c, d = (part.ravel() for part in (i[:-1, :-1], i[1:, :-1], i[:-1, 1:], i[1:, 1:]))
    return np.column_stack([x.ravel(), y.ravel(), np.zeros(n * n)]) / (n - 1), np.concatenate([np.column_stack([a, b, c]),
                                                                                              np.column_stack([b, d, c])])


def error(got, want):
    """Mean relative error where there is a way."""
    return (abs(got - want)[want > 0] / want[want > 0]).mean()


def test_on_a_sphere_it_is_the_arc():
    for level, most in ((3, 0.021), (4, 0.012)):
        vertices, faces = ball(level)
        arc = np.arccos(np.clip(vertices @ vertices[0], -1, 1))
        heat, edge = HeatMethod.of(vertices, faces).distances([0]), distances(graph(vertices, edges(faces)), [0])
        assert heat[0] == 0 and error(heat, arc) < most < 0.08 < error(edge, arc)


def test_on_a_plane_it_is_the_straight_line():
    vertices, faces = sheet()
    method = HeatMethod.of(vertices, faces)
    for source in (20 * 41 + 20, 0, 3 * 41 + 17):       # one factorisation: the middle, a corner, anywhere
        straight = np.linalg.norm(vertices - vertices[source], axis=1)
        assert error(method.distances([source]), straight) < 0.021
    assert error(distances(graph(vertices, edges(faces)), [20 * 41 + 20]), np.linalg.norm(vertices - vertices[20 * 41 + 20], axis=1)) > 0.15
    rim = np.flatnonzero(vertices[:, 0] == 0)
    np.testing.assert_allclose(method.distances(rim), vertices[:, 0], atol=0.012)


def test_slivers_do_not_send_it_astray():
    """A sheared net, on whose own triangles heat turns negative: there the error is 0.54."""
    vertices, faces = sheet(31)
    vertices[:, 0] += 2 * vertices[:, 1]
    middle = 15 * 31 + 15
    straight = np.linalg.norm(vertices - vertices[middle], axis=1)
    assert error(HeatMethod.of(vertices, faces).distances([middle]), straight) < 0.2


def test_no_distance_is_negative_where_sources_lie_at_different_heights():
    vertices, faces = sheet(31)
    sources = [0, 1, 2, 480]
    distance = HeatMethod.of(vertices, faces).distances(sources)
    assert distance.min() == 0 and not distance[sources].any()


def test_size_and_place_change_nothing():
    vertices, faces = ball()
    once, moved = (HeatMethod.of(v, faces).distances([5, 9]) for v in (vertices, vertices * 250 - 30))
    np.testing.assert_allclose(moved, once * 250, rtol=1e-8, atol=1e-8)


def two_balls_and_more():
    """A ball, a smaller one beside it, and a bare point; and how many points the first has."""
    (one, faces), (two, more) = ball(), ball(2, 0.3)
    return np.concatenate([one, two + (1.5, 0, 0), [[0, 0, 5]]]), np.concatenate([faces, more + len(one)]), len(one)


def test_what_no_source_reaches_is_infinite():
    vertices, faces, first = two_balls_and_more()
    method = HeatMethod.of(vertices, faces)
    distance = method.distances([0])
    assert np.isfinite(distance[:first]).all() and np.isinf(distance[first:]).all()
    assert np.isfinite(method.distances([0, first])[:-1]).all()
    alone = method.distances([len(vertices) - 1])
    assert alone[-1] == 0 and np.isinf(alone[:-1]).all()
    np.testing.assert_allclose(distance[:first], HeatMethod.of(vertices[:first], faces[faces.max(1) < first]).distances([0]), atol=1e-9)
    assert HeatMethod.of(vertices, faces[:0]).distances([3])[3] == 0


def test_flat_faces_join_nothing_and_break_nothing():
    vertices, faces, first = two_balls_and_more()
    distance = HeatMethod.of(vertices, np.concatenate([faces, [[0, 0, first]]])).distances([0])
    assert np.isfinite(distance[:first]).all() and np.isinf(distance[first:]).all()
    heap = np.concatenate([vertices, np.full((4, 3), 7.0), [[8, 7, 7]]]) + 0.0
    a, b, c, d, e = range(len(vertices), len(heap))
    for more in ([[a, b, c]], [[a, b, e]], [[a, b, c], [b, c, d], [c, d, e]]):      # not welded: without extent, or on one line
        got = HeatMethod.of(heap, np.concatenate([faces, more])).distances([0])
        np.testing.assert_allclose(got[:first], distance[:first], atol=1e-12)
        assert np.isinf(got[first:]).all()
    split = np.concatenate([faces, [[faces[7, 0], faces[7, 1], len(vertices)]]])        # along an edge, to a point of its own
    got = HeatMethod.of(np.concatenate([vertices, [vertices[faces[7, :2]].mean(0)]]), split).distances([0])
    np.testing.assert_allclose(got[:first], distance[:first], atol=1e-12)
    assert np.isinf(got[first:]).all()


def test_on_over_bridges():
    vertices, faces, first = two_balls_and_more()
    known = HeatMethod.of(vertices, faces).distances([0])
    ends = np.array([[vertices[:first, 0].argmax(), first + vertices[first:-1, 0].argmin()]])
    lengths = graph(vertices, np.concatenate([edges(faces), ends]))
    all_of_it, (here, there) = continued(lengths, known), ends[0]
    gap = np.linalg.norm(vertices[here] - vertices[there])
    assert (all_of_it[:first] == known[:first]).all() and np.isinf(all_of_it[-1])
    np.testing.assert_allclose(all_of_it[first:-1], known[here] + gap + distances(lengths, [there])[first:-1], rtol=1e-12)
    nothing = np.full(len(vertices), np.inf)
    assert (continued(lengths, nothing) == nothing).all() and (continued(lengths, vertices[:, 0]) == vertices[:, 0]).all()


def test_refusals():
    vertices, faces = ball(1)
    with pytest.raises(ValueError, match="at least one source"):
        HeatMethod.of(vertices, faces).distances([])
    with pytest.raises(ValueError, match="some time, not 0"):
        HeatMethod.of(vertices, faces, 0)
    with pytest.raises(ValueError, match="finite positions"):
        HeatMethod.of(vertices * np.nan, faces)
    with pytest.raises(ValueError, match="outside 0..41"):
        HeatMethod.of(vertices, faces + 1)
