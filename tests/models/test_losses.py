"""Loss parts by hand, and the posed-vertex part against plain forward kinematics and skinning."""

import jittor as jt
import numpy as np
import pytest

from dataset.format import skeleton
from geometry.kinematics import forward_kinematics
from geometry.skinning import linear_blend_skinning, skin_transforms
from models.losses import LossWeights, RigLoss, ancestor_matrix
from PCT.rig import Rig

J, Q = 22, 6


@pytest.fixture
def case():
    rng = np.random.default_rng(0)
    joints = rng.normal(size=(1, J, 3)).astype("float32")
    skin = rng.dirichlet(np.ones(J), size=(1, Q)).astype("float32")
    batch = {"joints": joints, "joint_mask": np.ones((1, J), "float32"), "skin": skin, "skin_mask": np.ones(1, "float32"),
             "query": rng.normal(size=(1, Q, 3)).astype("float32"), "rotations": np.tile(np.eye(3, dtype="float32"), (1, J, 1, 1))}
    return {k: jt.array(v) for k, v in batch.items()}


def parts_of(batch, joints, skin, expected=None):
    return {k: float(v.item()) for k, v in RigLoss(J, LossWeights())(Rig(joints, joints, skin, expected), batch).items()}


def test_truth_costs_nothing_but_its_entropy(case):
    parts = parts_of(case, case["joints"], case["skin"])
    for name in ("initial", "refined", "skin_l1", "bone_length", "symmetry"):
        assert abs(parts[name]) < 2e-4, name
    skin = case["skin"].numpy()
    assert parts["skin_ce"] == pytest.approx(-(skin * np.log(skin + 1e-6)).sum(-1).mean(), rel=1e-4)


def test_shifted_joints_by_hand(case):
    parts = parts_of(case, case["joints"] + jt.array(np.array([3.0, 0, 4.0], "float32")), case["skin"])
    assert parts["initial"] == pytest.approx(5.0, rel=1e-5) and parts["bone_length"] < 1e-5


def test_masked_joints_do_not_count(case):
    wrong = case["joints"].numpy()
    wrong[0, 5] += 100
    case["joint_mask"] = jt.array(np.where(np.arange(J) == 5, 0, 1)[None].astype("float32"))
    parts = parts_of(case, jt.array(wrong), case["skin"])
    assert parts["refined"] < 2e-4 and parts["bone_length"] < 2e-4 and parts["posed"] == 0


def test_confidence_by_hand_is_least_at_the_true_error(case):
    joints, case["upright"] = case["joints"] + jt.array(np.array([0.3, 0, 0.4], "float32")), jt.ones(1)
    cost = {e: parts_of(case, joints, case["skin"], jt.ones((1, J)) * e)["confidence"] for e in (0.25, 0.5, 1.0)}
    assert cost[0.5] == pytest.approx(1 + np.log(0.5), rel=1e-4) and cost[1.0] == pytest.approx(0.5, rel=1e-4)
    assert cost[0.5] < min(cost[0.25], cost[1.0])
    assert "confidence" not in parts_of(case, joints, case["skin"])


def test_of_a_turned_figure_only_the_confidence_learns(case):
    joints, case["upright"] = case["joints"] + 0.5, jt.zeros(1)
    other = jt.array(np.full((1, Q, J), 1 / J, "float32"))
    parts = parts_of(case, joints, other, jt.ones((1, J)))
    assert parts["confidence"] == pytest.approx(0.75 ** 0.5, rel=1e-4)
    assert all(abs(value) < 1e-6 for name, value in parts.items() if name not in ("confidence", "total"))
    assert parts_of(case, joints, other)["refined"] > 0.5  # without a confidence it learns joints in any orientation


def test_no_gradient_of_the_confidence_reaches_the_joints(case):
    joints, expected, case["upright"] = jt.array(case["joints"].numpy() + 0.5), jt.ones((1, J)) * 0.3, jt.ones(1)
    part = RigLoss(J, LossWeights()).confidence_part(Rig(joints, joints, case["skin"], expected), case)
    to_joints, to_expected = jt.grad(part, [joints, expected])
    assert (to_joints.numpy() == 0).all() and (to_expected.numpy() != 0).all()


def test_skin_mask(case):
    other = jt.array(np.full((1, Q, J), 1 / J, "float32"))
    assert parts_of(case, case["joints"], other)["skin_l1"] > 0.1
    case["skin_mask"] = jt.zeros(1)
    assert parts_of(case, case["joints"], other)["skin_l1"] == 0


def test_pose_is_linear_blend_skinning(case):
    rng = np.random.default_rng(4)
    parents = skeleton(J).parents
    local_turn = np.linalg.qr(rng.normal(size=(J, 3, 3)))[0]
    local_turn *= np.sign(np.linalg.det(local_turn))[:, None, None]
    basis, rest = np.tile(np.eye(4), (J, 1, 1)), np.tile(np.eye(4), (J, 1, 1))
    basis[:, :3, :3], rest[:, :3, 3] = local_turn, case["joints"].numpy()[0]
    pose = forward_kinematics(parents, rest, basis)
    want = linear_blend_skinning(case["query"].numpy()[0], case["skin"].numpy()[0], skin_transforms(pose, rest))
    got = RigLoss(J, LossWeights()).pose(case["query"], case["joints"], case["skin"], jt.array(pose[None, :, :3, :3].astype("float32")))
    np.testing.assert_allclose(got.numpy()[0], want, atol=1e-5)


def test_ancestors_by_hand():
    assert ancestor_matrix((None, 0, 1, 0)).tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 0, 0, 1]]
