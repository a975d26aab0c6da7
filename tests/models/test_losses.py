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


def parts_of(batch, joints, skin):
    return {k: float(v.item()) for k, v in RigLoss(J, LossWeights())(Rig(joints, joints, skin), batch).items()}


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
