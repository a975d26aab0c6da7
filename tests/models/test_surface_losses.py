"""Losses of re-posed patches: by hand, only of known figures, inside the patch, and with a gradient to joints and skin."""

import jittor as jt
import numpy as np
import pytest

from geometry.mesh_batch import MeshBatch
from geometry.mesh_losses import edge_loss, hinges, normal_loss
from models.losses import LossWeights, RigLoss
from models.surface_losses import surface_losses
from PCT.rig import Rig

HEXAGON = np.array([[0, 0, 0], *([np.cos(t), np.sin(t), 0] for t in np.arange(6) * np.pi / 3)], "float32")
SPOKES = np.array([[0, k, k % 6 + 1] for k in range(1, 7)] + [[-1] * 3] * 2, "int32")


def losses(turned, place, faces, known):
    return {k: v.item() for k, v in surface_losses(jt.array(np.float32(turned)), np.float32(place), faces, np.array(known)).items()}


def test_by_hand():
    raised = HEXAGON + np.float32([[0, 0, 0.75]] + [[0, 0, 0]] * 6)     # the middle leaves the plane: spokes of length 1.25, rim as it was
    parts = losses(raised[None], HEXAGON[None], SPOKES[None], [True])
    assert parts["edge"] == pytest.approx(6 * 0.25 ** 2 / 12, rel=1e-5)
    assert parts["laplacian"] == pytest.approx(0.75 / 7, rel=1e-5)      # the rim does not count
    assert parts["normal"] == pytest.approx(normal_loss(MeshBatch.of([raised], [SPOKES[:6]]), hinges(SPOKES[:6])), rel=1e-5)
    still = losses(HEXAGON[None], HEXAGON[None], SPOKES[None], [True])
    assert all(abs(value) < 1e-6 for value in still.values())


def test_only_known_figures_count():
    rng = np.random.default_rng(0)
    place, turned = np.tile(HEXAGON, (3, 1, 1)), rng.normal(size=(3, 7, 3))
    faces = np.tile(SPOKES, (3, 1, 1))
    alone = losses(turned[1:2], place[1:2], faces[1:2], [True])
    assert losses(turned, place, faces, [False, True, False]) == pytest.approx(alone, rel=1e-5)
    both = losses(turned, place, faces, [False, True, True])
    assert both["edge"] == pytest.approx((alone["edge"] + edge_loss(MeshBatch.of([turned[2]], [SPOKES[:6]]), 1)) / 2, rel=1e-4)
    for known, given in (([False] * 3, faces), ([True] * 3, np.full_like(faces, -1))):
        assert not any(losses(turned, place, given, known).values())


def test_through_the_loss_of_a_rig():
    rng, count, first, patch = np.random.default_rng(1), 22, 5, 7
    skin = rng.dirichlet(np.ones(count), size=(2, first + patch)).astype("float32")
    turn = np.linalg.qr(rng.normal(size=(2, count, 3, 3)))[0].astype("float32")
    batch = {"joints": rng.normal(size=(2, count, 3)), "joint_mask": np.ones((2, count)), "skin": skin[:, :first], "skin_mask": np.ones(2),
             "query": rng.normal(size=(2, first + patch, 3)), "rotations": turn, "patch": np.tile(HEXAGON, (2, 1, 1))}
    batch = {key: jt.array(np.float32(value)) for key, value in batch.items()} | {"patch_faces": jt.array(np.tile(SPOKES, (2, 1, 1)))}
    joints, skin = jt.array(np.float32(batch["joints"].numpy() + 0.1)), jt.array(skin)
    loss_of = RigLoss(count, LossWeights(edge=2, laplacian=3, normal=5))
    rig = Rig(joints, joints, skin)
    parts = loss_of(rig, batch)
    plain = RigLoss(count, LossWeights())(rig._replace(skin_BQJ=skin[:, :first]), {**{k: v for k, v in batch.items() if "patch" not in k},
                                                                                   "query": batch["query"][:, :first]})
    for name, value in plain.items():
        if name != "total":
            assert parts[name].item() == pytest.approx(value.item(), rel=1e-5)
    added = 2 * parts["edge"].item() + 3 * parts["laplacian"].item() + 5 * parts["normal"].item()
    assert parts["total"].item() == pytest.approx(plain["total"].item() + added, rel=1e-5)
    for grad in jt.grad(parts["edge"] + parts["laplacian"] + parts["normal"], [joints, skin]):
        assert np.isfinite(grad.numpy()).all() and abs(grad.numpy()).max() > 1e-3
    assert not jt.grad(parts["edge"], skin).numpy()[:, :first].any()
