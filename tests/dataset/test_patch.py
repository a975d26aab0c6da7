"""A patch is a connected piece of the mesh in the sample's pose; without one a sample has the same bytes."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from figures import capsule_man  # noqa: E402

from dataset.augment import FINETUNE, Mirror, PointDensity  # noqa: E402
from dataset.body import Body  # noqa: E402
from dataset.patch import draw_patch, posed_patch  # noqa: E402
from dataset.pipeline import Pipeline  # noqa: E402
from dataset.sampler import Sampler, Surface  # noqa: E402
from geometry.sampling import triangle_areas  # noqa: E402
from geometry.topology import components  # noqa: E402

MAN = capsule_man(52)
STILL = np.tile(np.eye(4), (52, 1, 1))


def grid(n=12):
    i = np.arange(n * n).reshape(n, n)
    a, b, c, d = (part.ravel() for part in (i[:-1, :-1], i[1:, :-1], i[:-1, 1:], i[1:, 1:]))
    return np.concatenate([np.column_stack([a, b, c]), np.column_stack([b, d, c])])


@pytest.mark.parametrize("count", [3, 30, 64, 144, 500])
def test_rings_round_a_face(count):
    faces = grid()
    for seed in range(4):
        vertex, local = draw_patch(faces, np.arange(1.0, len(faces) + 1), count, 144, np.random.default_rng(seed))
        assert len(vertex) == min(count, 144) and (np.diff(vertex) > 0).all()
        assert len(np.unique(components(local, len(vertex)))) == 1
        inside = np.isin(faces, vertex).all(1)
        assert (vertex[local] == faces[inside]).all() and (count < 144 or inside.all())


def test_a_patch_stays_on_its_piece():
    faces = np.concatenate([grid(), [[144, 145, 146]]])
    vertex, local = draw_patch(faces, np.append(np.zeros(len(faces) - 1), 1.0), 20, 147, np.random.default_rng(0))
    assert vertex.tolist() == [144, 145, 146] and local.tolist() == [[0, 1, 2]]


def test_at_rest_it_is_the_mesh():
    body, rng = Body.of(MAN), np.random.default_rng(3)
    points, normals, faces = posed_patch(body, STILL, False, 40, rng)
    vertex, local = draw_patch(MAN.faces_F3, Surface.of(MAN).total_F, 40, len(MAN.vertices_V3), np.random.default_rng(3))
    assert (faces[:len(local)] == local).all() and (faces[len(local):] == -1).all() and faces.shape == (80, 3)
    np.testing.assert_allclose(points[:len(vertex)], MAN.vertices_V3[vertex], atol=1e-6)
    np.testing.assert_allclose(normals[:len(vertex)], MAN.normals_V3[vertex], atol=1e-5)
    flipped, _, _ = posed_patch(body, STILL, True, 40, np.random.default_rng(3))
    np.testing.assert_allclose(flipped, points * (-1, 1, 1))


def test_a_cloud_has_a_patch_without_faces():
    points, normals, faces = posed_patch(Body.of(replace(MAN, faces_F3=None)), STILL, False, 8, np.random.default_rng(0))
    assert (faces == -1).all() and (points == MAN.vertices_V3[0]).all() and normals.shape == (8, 3)


def test_the_rest_of_a_sample_has_the_same_bytes():
    plain, more = (Pipeline([MAN], FINETUNE, Sampler(64), 52, 2, patch=patch) for patch in (0, 24))
    for step in range(4):
        without, batch = plain.train_batch(step, [0, 1]), more.train_batch(step, [0, 1])
        assert batch.keys() - without.keys() == {"patch", "patch_normals", "patch_faces"}
        assert all((batch[key] == without[key]).all() for key in without if key != "asset")
        assert batch["patch_faces"].dtype == np.int32 and batch["patch"].dtype == np.float32


def test_it_lies_on_the_posed_figure_in_the_sample_s_box():
    mix = replace(FINETUNE, mirror=Mirror(1.0), jitter=replace(FINETUNE.jitter, p=0.0), normal_dropout=replace(FINETUNE.normal_dropout, p=0.0),
                  clutter=replace(FINETUNE.clutter, p=0.0), density=PointDensity(0.0))
    pipeline = Pipeline([MAN], mix, Sampler(len(MAN.vertices_V3), vertex_share=1.0, hand_share=0.0), 52, 1, patch=30)
    for step in range(3):
        batch = pipeline.train_batch(step, [0])
        gap = np.linalg.norm(batch["patch"][0][:, None] - batch["points"][0][None], axis=2)
        near = gap.argmin(1)
        assert gap.min(1).max() < 1e-5      # each is one of the sample's points, which are all vertices of the mesh here
        assert np.median((batch["patch_normals"][0] * batch["normals"][0, near]).sum(1)) > 0.999
        faces = batch["patch_faces"][0][batch["patch_faces"][0][:, 0] >= 0]
        assert len(faces) and triangle_areas(batch["patch"][0], faces).max() < 0.05
