"""Who takes what: every file once, evenly, and a summary that nobody makes twice or too early."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from launch.ranks import FOLDER, KEPT, Ranks


def test_one_rank_takes_all_in_order():
    assert Ranks().share([3, 1, 2]) == [0, 1, 2]


def test_two_ranks_by_hand():
    sizes = [10, 40, 30, 20]                      # from large to small: 1, 2 | 3, 0
    shares = [Ranks(rank, 2, "job").share(sizes) for rank in (0, 1)]
    assert sorted(shares) in ([[1, 0], [2, 3]], [[1, 3], [2, 0]])


@settings(derandomize=True)
@given(sizes=st.lists(st.integers(0, 9), max_size=60), size=st.integers(1, 9), job=st.text(max_size=3))
def test_every_file_is_in_one_share(sizes, size, job):
    shares = [Ranks(rank, size, job).share(sizes) for rank in range(size)]
    assert sorted(sum(shares, [])) == list(range(len(sizes)))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_a_dead_ranks_rest_falls_to_all():
    sizes = [1] * 400
    left = set(Ranks(2, 4, "first").share(sizes))
    again = [len(left & set(Ranks(rank, 4, "second").share(sizes))) for rank in range(4)]
    assert sum(again) == 100 and min(again) > 10


def test_take_hides_what_jittor_looks_for_and_survives_a_restart():
    environment = {"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "4", "PMIX_NAMESPACE": "prterun-x@1 2", "HOME": "/"}
    assert Ranks.take(environment) == Ranks(1, 4, "prterun-x@1 2") == Ranks.take(environment)
    assert set(environment) == {"PMIX_NAMESPACE", "HOME", KEPT}
    assert Ranks.take({"HOME": "/"}) == Ranks()
    by_hand = {"OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "2"}
    assert Ranks.take(by_hand) == Ranks(0, 2) == Ranks.take(by_hand)


@pytest.mark.parametrize("rank, size", [("2", "2"), ("-1", "2"), ("x", "2"), (None, "2"), ("0", None), ("0", "0")])
def test_take_refuses(rank, size):
    given_ = {"OMPI_COMM_WORLD_RANK": rank, "OMPI_COMM_WORLD_SIZE": size}
    with pytest.raises(ValueError, match="OMPI_COMM_WORLD_RANK=.* set both"):
        Ranks.take({key: value for key, value in given_.items() if value is not None})


def test_begin_forgets_an_earlier_start_of_the_same_rank(tmp_path):
    (tmp_path / "summary.json").touch()
    assert Ranks(1, 2).hand_in(tmp_path, "files", {0: {}}) is None
    Ranks(0, 2).begin(tmp_path)
    assert not (tmp_path / "summary.json").exists() and (tmp_path / FOLDER / "1-of-2.json").exists()
    Ranks(1, 2).begin(tmp_path)
    assert Ranks(0, 2).hand_in(tmp_path, "files", {1: {}}) is None     # where nobody told a job's number, only this tells


def test_the_last_one_merges(tmp_path):
    first, second = Ranks(0, 2, "a"), Ranks(1, 2, "a")
    assert first.hand_in(tmp_path, "files", {2: {"x": 1}}) is None
    assert second.hand_in(tmp_path, "files", {0: {"x": 2}}) == {0: {"x": 2}, 2: {"x": 1}}
    second.clear(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert Ranks().hand_in(tmp_path, "files", {0: {}}) == {0: {}} and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("stale", [{"job": "b", "batch": "files", "share": {}}, {"job": "a", "batch": "other files", "share": {}}, None])
def test_no_merge_with_what_an_earlier_start_left(tmp_path, stale):
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / "0-of-2.json").write_text(json.dumps(stale) if stale else "{")
    assert Ranks(1, 2, "a").hand_in(tmp_path, "files", {0: {}}) is None
