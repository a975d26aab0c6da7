"""Packed meshes against numbers by hand, each mesh alone, and the way to the padded form and back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geometry.mesh_batch import MeshBatch
from geometry.normals import face_normals, vertex_normals
from geometry.sampling import triangle_areas
from geometry.topology import edges

SQUARE = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0.]]), np.array([[0, 1, 2], [0, 2, 3]])
# a triangle of area 2 facing +x, with a vertex before and one behind it that no face names
LONELY = np.array([[9, 9, 9], [0, 0, 0], [0, 2, 0], [0, 0, 2], [7, 7, 7.]]), np.array([[1, 2, 3]])
EMPTY = np.zeros((0, 3)), np.zeros((0, 3), int)
CLOUD = np.array([[1, 2, 3], [4, 5, 6.]]), None


def batch_of(*meshes):
    return MeshBatch.of([v for v, _ in meshes], [f for _, f in meshes])


@pytest.fixture
def three():
    return batch_of(SQUARE, EMPTY, LONELY)


def test_packed_by_hand(three):
    assert len(three) == 3 and three.vertices_V3.shape == (9, 3)
    assert three.faces_F3.tolist() == [[0, 1, 2], [0, 2, 3], [5, 6, 7]]
    assert three.vert2mesh_V.tolist() == [0, 0, 0, 0, 2, 2, 2, 2, 2] and three.face2mesh_F.tolist() == [0, 0, 2]
    assert three.first_vertex_B.tolist() == [0, 4, 4] and three.first_face_B.tolist() == [0, 2, 2]


def test_edges_by_hand(three):
    assert three.edges_E2.tolist() == [[0, 1], [0, 2], [0, 3], [1, 2], [2, 3], [5, 6], [5, 7], [6, 7]]
    assert three.edge2mesh_E.tolist() == [0, 0, 0, 0, 0, 2, 2, 2]
    assert three.face2edge_F3.tolist() == [[3, 1, 0], [4, 2, 1], [7, 6, 5]]   # opposite to corners 0, 1, 2


def test_normals_and_areas_by_hand(three):
    assert three.face_areas_F.tolist() == [0.5, 0.5, 2]
    assert three.face_normals_F3.tolist() == [[0, 0, 1], [0, 0, 1], [1, 0, 0]]
    assert three.vertex_normals_V3.tolist() == [[0, 0, 1]] * 4 + [[0, 0, 0]] + [[1, 0, 0]] * 3 + [[0, 0, 0]]


def test_the_padded_form_by_hand(three):
    assert three.mask_BM.sum(1).tolist() == [4, 0, 5] and three.mask_BM.shape == (3, 5)
    padded = three.padded(np.arange(9), fill=-1)
    assert padded.tolist() == [[0, 1, 2, 3, -1], [-1] * 5, [4, 5, 6, 7, 8]]
    assert (three.packed(padded) == np.arange(9)).all()
    assert (three.packed(three.padded(three.vertices_V3)) == three.vertices_V3).all()


def test_each_mesh_comes_back(three):
    for mesh, (vertices, faces) in enumerate((SQUARE, EMPTY, LONELY)):
        got_vertices, got_faces = three[mesh]
        assert (got_vertices == vertices).all() and got_faces.tolist() == faces.tolist()
    with pytest.raises(IndexError, match="mesh 3 of a batch of 3"):
        three[3]


@pytest.mark.parametrize("meshes, count", [((), 0), ((EMPTY,), 1), ((EMPTY, EMPTY), 2), ((CLOUD,), 1), ((EMPTY, CLOUD), 2)])
def test_batches_without_any_face(meshes, count):
    batch = batch_of(*meshes)
    assert len(batch) == count and batch.mask_BM.shape == (count, batch.vertex_counts_B.max(initial=0))
    assert batch.edges_E2.shape == (0, 2) and batch.face2edge_F3.shape == (0, 3) and batch.face_areas_F.shape == (0,)
    assert (batch.vertex_normals_V3 == 0).all() and len(batch.vertex_normals_V3) == len(batch.vertices_V3)
    assert (batch.packed(batch.padded(batch.vertices_V3)) == batch.vertices_V3).all()


def test_a_corner_that_repeats_has_no_edge():
    batch = batch_of((SQUARE[0], np.array([[0, 0, 1], [2, 2, 2]])), SQUARE)
    assert batch.face2edge_F3[:2].tolist() == [[0, 0, -1], [-1, -1, -1]]
    assert batch.edges_E2[0].tolist() == [0, 1] and (batch.edges_E2[1:] >= 4).all()


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 12)), max_size=5), st.integers(0, 10 ** 6))
def test_a_batch_is_its_meshes(sizes, seed):
    rng = np.random.default_rng(seed)
    meshes = [(rng.normal(size=(v, 3)), rng.integers(0, v, (f if v else 0, 3))) for v, f in sizes]
    batch = batch_of(*meshes)
    apart = {"edges_E2": edges, "face_areas_F": triangle_areas, "face_normals_F3": face_normals, "vertex_normals_V3": vertex_normals}
    of = {"edges_E2": batch.edge2mesh_E, "vertex_normals_V3": batch.vert2mesh_V}
    for mesh, (vertices, faces) in enumerate(meshes):
        for name, make in apart.items():
            got = getattr(batch, name)[of.get(name, batch.face2mesh_F) == mesh]
            want = make(faces) if name == "edges_E2" else make(vertices, faces)
            assert (got - (batch.first_vertex_B[mesh] if name == "edges_E2" else 0) == want).all()
    ends_F32 = batch.faces_F3[:, [[1, 2], [2, 0], [0, 1]]]
    found_FK = batch.face2edge_F3 >= 0
    assert (batch.edges_E2[batch.face2edge_F3[found_FK]] == np.sort(ends_F32[found_FK], axis=1)).all()
    assert (found_FK == (ends_F32[..., 0] != ends_F32[..., 1])).all()


@pytest.mark.parametrize("vertices, faces, message", [
    ([SQUARE[0]], [], "as many lists of faces"), ([np.zeros((3, 2))], [None], r"mesh 0: vertices must be \(V, 3\)"),
    ([SQUARE[0], SQUARE[0]], [None, [[0, 1, 4]]], r"mesh 1: .*outside 0\.\.3"), ([SQUARE[0]], [[[0, 1]]], "mesh 0: .*triangles")])
def test_what_is_refused(vertices, faces, message):
    with pytest.raises(ValueError, match=message):
        MeshBatch.of(vertices, faces)


def test_forms_that_do_not_fit_are_refused(three):
    with pytest.raises(ValueError, match="a row for each of 9 vertices"):
        three.padded(np.zeros((8, 2)))
    with pytest.raises(ValueError, match=r"begins with \(3, 5\)"):
        three.packed(np.zeros((3, 4, 2)))
