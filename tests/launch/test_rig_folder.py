"""A rig's report: what people and programs read of its joints."""

import numpy as np
import pytest

from dataset.format import skeleton
from geometry.similarity import Similarity
from launch.rig_folder import joint_rows
from launch.rig_result import RigResult


@pytest.mark.parametrize("size", [1e-30, 1e-6, 1.0, 1e6, 1e30])
def test_positions_keep_their_digits_in_every_unit(size):
    bones, joints_J3 = skeleton(22), np.float32(np.random.default_rng(0).normal(size=(22, 3)) * size)
    rig = RigResult(joints_J3, bones.parents, bones.names, np.eye(22, dtype=np.float32), None, joints_J3, joints_J3, Similarity.identity())
    np.testing.assert_allclose([row["position"] for row in joint_rows(rig)], np.float64(joints_J3), rtol=1e-7)
