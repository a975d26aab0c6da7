"""The released checkpoint: small enough, unchanged, and steady under what should not matter.

    python tests/test_released.py           writes tests/golden/released.safetensors anew (input, joints, weights)
"""

import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from launch.runtime import start_jittor  # noqa: E402

start_jittor()

from dataset.asset import Asset  # noqa: E402
from dataset.sources.humans import generate  # noqa: E402
from geometry.kinematics import rotvec_to_matrix  # noqa: E402
from geometry.similarity import Similarity  # noqa: E402
from launch.predictor import Predictor  # noqa: E402

CHECKPOINT = ROOT / "output" / "TransRefiner-finetune"
GOLDEN = ROOT / "tests" / "golden" / "released.safetensors"
SEED = 2_000_000        # a generated human that neither training nor validation draws
TURN_LIMIT = 0.03       # box units: mean joint drift under a turn of the figure; measured, see docs/reproduce.md


def cloud_of(arrays: dict[str, np.ndarray]) -> Asset:
    return Asset("golden", "golden", "golden cloud", arrays["points"], arrays["normals"])


@pytest.fixture(scope="module")
def predictor():
    return Predictor(CHECKPOINT)


@pytest.fixture(scope="module")
def golden():
    return load_file(GOLDEN)


def test_is_small_enough_to_carry():
    assert sum(file.stat().st_size for file in CHECKPOINT.iterdir()) < 40e6
    assert {"model.safetensors", "config.json", "MODEL_CARD.md"} <= {file.name for file in CHECKPOINT.iterdir()}


def test_answers_as_on_the_day_of_release(predictor, golden):
    rig = predictor.predict(cloud_of(golden))
    np.testing.assert_allclose(rig.joints_J3, golden["joints"], atol=2e-4)
    np.testing.assert_allclose(rig.skin_VJ, golden["skin"], atol=5e-3)


def test_the_answer_is_a_rig_of_the_cloud(golden):
    """Guards the golden file itself: joints near the true ones, not just the same as before."""
    assert np.linalg.norm(golden["joints"] - golden["truth"], axis=1).mean() < 0.05 * np.ptp(golden["points"], axis=0).max()


@pytest.mark.parametrize("scale, shift", [(100.0, (0, 0, 0)), (0.01, (5, -3, 1)), (1.0, (1e3, 0, 0))])
def test_units_and_place_do_not_matter(predictor, golden, scale, shift):
    """Joints go with the figure; far from the origin float32 vertices themselves are coarse, hence the tolerance."""
    move = Similarity(np.eye(3), scale, -np.array(shift, float) / scale)
    cloud = cloud_of(golden)
    moved = predictor.predict(cloud.to_frame(move))
    size = np.ptp(cloud.vertices_V3, axis=0).max()
    drift = np.linalg.norm(move.undo(moved.joints_J3) - predictor.predict(cloud).joints_J3, axis=1) / size
    assert drift.mean() < 0.02


@pytest.mark.parametrize("degrees", [(0, 0, 90), (0, 0, 180), (0, 0, -135), (90, 0, 0), (180, 0, 0), (0, -90, 0), (50, 70, -100)])
def test_a_turn_moves_the_joints_with_the_figure(predictor, golden, degrees):
    """In any orientation: the figure is stood upright first. A left and right that changed places would cost ten times the limit."""
    cloud, turn = cloud_of(golden), Similarity(rotvec_to_matrix(np.radians(degrees)))
    drift = np.linalg.norm(turn.undo(predictor.predict(cloud.to_frame(turn)).joints_J3) - predictor.predict(cloud).joints_J3, axis=1)
    assert 2 * drift.mean() / np.ptp(cloud.vertices_V3, axis=0).max() < TURN_LIMIT


def make_golden() -> None:
    human = generate(SEED).in_network_frame()
    keep = np.random.default_rng(0).permutation(len(human.vertices_V3))[:1500]
    arrays = {"points": human.vertices_V3[keep], "normals": human.normals_V3[keep], "truth": human.joints_J3}
    rig = Predictor(CHECKPOINT).predict(cloud_of(arrays))
    save_file({**arrays, "joints": rig.joints_J3, "skin": rig.skin_VJ}, GOLDEN)


if __name__ == "__main__":
    make_golden()
