"""The quick part of tests/soak/determinism.py: one prediction and one training under everything at once that should not matter.

What else is promised is tested where it lives: order, neighbours, read-ahead and ranks in tests/launch/test_batch_predict.py, resuming in
tests/test_train_door.py, a batch of training samples by workers and ranks in tests/dataset/test_dataset.py.
"""

from tests.launch.random_checkpoint import save_random
from tests.soak import determinism
from tests.soak.determinism import TRAININGS, WAYS, characters, differences, surroundings, training, without_names


def test_a_rig_is_the_same_in_other_surroundings(tmp_path):
    checkpoint = save_random(tmp_path / "tiny", joints=22, points=64)
    files = characters(tmp_path / "in", ("bare.glb", "cloud.npy"), 0)
    found = dict(surroundings(files, tmp_path, checkpoint, [], WAYS[-1:]))
    assert found == {"all at once": []}


def test_a_training_is_the_same_with_workers_and_threads(tmp_path, monkeypatch):
    monkeypatch.setattr(determinism, "TRAININGS", TRAININGS[-1:])
    assert next(training(tmp_path, 4, "pretrain")) == ("pretrain, 2 workers, two threads", [])


def test_differences_are_seen():
    assert differences({"a": "1", "b": "2"}, {"a": "1", "b": "3", "c": "4"}) == ["b", "c"]
    assert without_names({"other/zm/rigged.glb": "1", "other/zm/report.json": "2"}) == {"other/m/rigged.glb": "1"}
