"""The surface refiner's graph by hand, what it gives before it has learned, and that it is a law of each mesh alone."""

import jittor as jt
import numpy as np
import pytest

from geometry.mesh_batch import MeshBatch
from models.surface_refiner import INPUTS, SurfaceRefiner, SurfaceRefinerConfig, pairs_of
from tests.geometry.test_mesh_batch import SQUARE

PARENTS = (None, 0, 0)
JOINTS = np.array([[0.5, 0.5, 0], [0, 0.5, 0], [1, 0.5, 0.]])
# corner 3 touches corners 0 and 2: joint 2's weight at corner 2 makes it a pair there too
SKIN = np.float32([[1, 0, 0], [0.4, 0.6, 0], [0.7, 0, 0.3], [1, 0, 0]])


@pytest.fixture
def pairs():
    return pairs_of(MeshBatch.of([SQUARE[0]], [SQUARE[1]]), JOINTS, PARENTS, SKIN)


def small(seed=0, **change):
    jt.set_global_seed(seed)
    return SurfaceRefiner(SurfaceRefinerConfig(**{"width": 8, "depth": 2} | change))


def test_pairs_by_hand(pairs):
    assert list(zip(pairs.point_N, pairs.joint_N)) == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2), (3, 0), (3, 2)]
    names = list(zip(pairs.point_N.tolist(), pairs.joint_N.tolist()))
    joined = {(names[a], names[b]) for a, b in np.concatenate([pairs.ends_P2, pairs.ends_P2[:, ::-1]])}
    ends = [(0, 1), (0, 2), (0, 3), (1, 2), (2, 3)]
    want = {((a, j), (b, j)) for a, b in ends for j in range(3) if (a, j) in names and (b, j) in names}
    assert joined == want | {(b, a) for a, b in want}
    assert pairs.feat_NC.shape == (11, INPUTS) and np.isfinite(pairs.feat_NC).all()
    assert pairs.feat_NC[:, 0].tolist() == SKIN[pairs.point_N, pairs.joint_N].tolist()


def test_before_it_has_learned_the_weights_are_the_decoders(pairs):
    np.testing.assert_allclose(small().refined(pairs, 3), SKIN, atol=3e-4)


def test_every_parameter_learns_and_rows_stay_whole(pairs):
    net, truth = small(), np.float32([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]])[pairs.point_N, pairs.joint_N][:, None]
    optimizer = jt.nn.Adam(net.parameters(), lr=1e-2)
    loss_of = lambda: (net(pairs) - jt.array(truth)).abs().sum()  # noqa: E731
    first = loss_of().item()
    optimizer.step(loss_of())                       # the last layer begins at zero: behind it the first step moves nothing
    named = dict(net.named_parameters())
    for name, grad in zip(named, jt.grad(loss_of(), list(named.values()))):
        assert np.isfinite(grad.numpy()).all() and abs(grad.numpy()).max() > 0, f"{name} never learns"
    for _ in range(40):
        optimizer.step(loss_of())
    skin_UJ = net.refined(pairs, 3)
    assert loss_of().item() < 0.5 * first and (skin_UJ >= 0).all()
    np.testing.assert_allclose(skin_UJ.sum(1), 1, atol=1e-6)


def test_the_mesh_may_be_numbered_turned_and_sized_otherwise(pairs):
    """Same pairs in another order, same weights: what is seen of a point does not depend on its number or on the frame."""
    net = small(3)
    net.to_shift.weight.assign(jt.array(np.random.default_rng(1).normal(size=net.to_shift.weight.shape).astype("float32")))
    order, turn_33 = np.array([2, 0, 3, 1]), np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1.]])
    place = np.argsort(order)
    other = pairs_of(MeshBatch.of([3 * SQUARE[0][order] @ turn_33.T], [place[SQUARE[1]]]), 3 * JOINTS @ turn_33.T, PARENTS, SKIN[order])
    got = net.refined(other, 3)
    assert abs(got - SKIN[order]).max() > 0.05
    np.testing.assert_allclose(got, net.refined(pairs, 3)[order], atol=1e-5)
