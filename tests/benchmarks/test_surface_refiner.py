"""The surface refiner's graph by hand, what it gives before it has learned, and that it learns."""

import jittor as jt
import numpy as np
import pytest

from benchmarks.surface_refiner import Character, SurfaceRefiner, l1_after, l1_at_power, pairs_of, train
from geometry.mesh_batch import MeshBatch
from tests.geometry.test_mesh_batch import SQUARE

PARENTS = (None, 0, 0)
JOINTS = np.array([[0.5, 0.5, 0], [0, 0.5, 0], [1, 0.5, 0.]])
# corner 3 touches corners 0 and 2: joint 2's weight at corner 2 makes it a pair there too
SKIN = np.float32([[1, 0, 0], [0.4, 0.6, 0], [0.7, 0, 0.3], [1, 0, 0]])


@pytest.fixture
def character():
    pairs = pairs_of(MeshBatch.of([SQUARE[0]], [SQUARE[1]]), JOINTS, PARENTS, SKIN)
    truth = np.float32([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]])
    return Character("square", pairs, SKIN, truth[pairs.point_N, pairs.joint_N], np.full(4, 0.25), np.arange(4), truth)


def test_pairs_by_hand(character):
    pairs = character.pairs
    assert list(zip(pairs.point_N, pairs.joint_N)) == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2), (3, 0), (3, 2)]
    names = list(zip(pairs.point_N.tolist(), pairs.joint_N.tolist()))
    joined = {(names[a], names[b]) for a, b in zip(pairs.source_P, pairs.target_P)}
    ends = [(0, 1), (0, 2), (0, 3), (1, 2), (2, 3)]
    want = {((a, j), (b, j)) for a, b in ends for j in range(3) if (a, j) in names and (b, j) in names}
    assert joined == want | {(b, a) for a, b in want}
    assert np.isfinite(pairs.feat_NC).all() and pairs.feat_NC[:, 0].tolist() == SKIN[pairs.point_N, pairs.joint_N].tolist()


def test_before_it_has_learned_the_weights_are_the_decoders(character):
    jt.set_global_seed(0)
    net = SurfaceRefiner(11, 8, 2)
    assert l1_after(net, character) == pytest.approx(l1_at_power(character, 1), abs=2e-4)
    assert l1_at_power(character, 1) == pytest.approx((0.8 + 1.4) / 12, abs=1e-6)
    train(net, [character], 40, 1e-2, np.random.default_rng(0))
    assert l1_after(net, character) < 0.5 * l1_at_power(character, 1)
