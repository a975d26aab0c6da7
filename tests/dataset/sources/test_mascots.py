"""Seeded mascots: laws that every one obeys over many seeds, shells and weights by hand, symmetry, posing, determinism."""

from dataclasses import replace

import numpy as np
import pytest

from dataset.asset import check
from dataset.augment import Draw, MocapPose, RandomPose
from dataset.format import FULL_NAMES, FULL_PARENTS, SKELETONS
from dataset.sources import mascot_weights as weights
from dataset.sources.conventions import spine_heights
from dataset.sources.mascot_gear import resting_tail
from dataset.sources.mascot_rig import INDEX, ArmPose, Form, arm_directions
from dataset.sources.mascot_shells import arc, ball, loft, rounded, sweep, without_hidden
from dataset.sources.mascots import FAMILIES, STYLES, MascotStyle, generate_mascot

FLIP = np.array([-1.0, 1.0, 1.0])


def family_style(name: str, **changes) -> MascotStyle:
    return replace(MascotStyle(), families={name: replace(FAMILIES[name], **changes)}, hide=0.0)


def volume(vertices_V3, faces_F3) -> float:
    """Enclosed by a closed surface whose faces look outwards: the sum of signed tetrahedra."""
    a, b, c = np.moveaxis(np.asarray(vertices_V3, float)[faces_F3], 1, 0)
    return float(np.einsum("fi,fi->", a, np.cross(b, c)) / 6)


# ------------------------------------------------------------------------------------------------------------- characters


@pytest.mark.parametrize("first", range(0, 60, 20))
def test_many_seeds(first):
    for seed in range(first, first + 20):
        asset = check(generate_mascot(seed))
        assert (asset.cls, asset.id, asset.up, asset.names, asset.parents) == ("mascot", str(seed), "y", FULL_NAMES, FULL_PARENTS)
        assert 400 < len(asset.vertices_V3) < 25000, seed
        np.testing.assert_allclose(asset.skin_VJ.sum(1, dtype=np.float64), 1, atol=1e-6)
        assert (np.linalg.norm(asset.normals_V3, axis=1) < 0.99).sum() < 5, seed
        np.testing.assert_array_equal(asset.matrix_local_J44[:, :3, 3].astype(np.float32), asset.joints_J3)
        assert asset.vertices_V3[:, 1].min() == pytest.approx(0, abs=1e-6)
        height = np.ptp(asset.vertices_V3[:, 1])
        low, high = asset.vertices_V3.min(0) - 0.01 * height, asset.vertices_V3.max(0) + 0.01 * height
        assert ((asset.joints_J3 > low) & (asset.joints_J3 < high)).all(), seed
        left = [INDEX[n] for n in ("l_shoulder", "l_upper_arm", "l_lower_arm", "l_hand", "l_upper_leg", "l_lower_leg", "l_foot")]
        assert (asset.joints_J3[left, 0] > 0).all(), seed


def test_the_spine_rises_and_legs_go_down():
    for seed in range(120):
        asset = generate_mascot(seed, MascotStyle() if seed % 2 else replace(MascotStyle(), scatter=0.0))
        y = dict(zip(FULL_NAMES, asset.joints_J3[:, 1]))
        order = ["l_toe_base", "l_foot", "l_lower_leg", "l_upper_leg", "hips", "spine", "chest", "upper_chest", "neck", "head"]
        assert (np.diff([y[n] for n in order]) > 0).all(), (seed, [round(float(y[n]), 3) for n in order])
        heights = spine_heights(asset)
        if seed % 2:      # scattered rigs, and shoulders high up in a body that is the head
            assert -0.1 < heights["hips"] < 0.35 and 0.7 < heights["neck"] < 2.4, seed
            continue
        # Mixamo's row of docs/data.md, give or take what heads and lumps change
        assert heights["hips"] == pytest.approx(0.12, abs=0.06) and 0.2 < heights["spine"] < 0.5 and 0.85 < heights["neck"] < 2.2, seed


def test_same_seed_same_bytes():
    first, again, other = generate_mascot(3), generate_mascot(3), generate_mascot(4)
    for name in ("vertices_V3", "normals_V3", "faces_F3", "joints_J3", "skin_VJ", "matrix_local_J44"):
        assert getattr(first, name).tobytes() == getattr(again, name).tobytes()
    assert first.vertices_V3.tobytes() != other.vertices_V3.tobytes()


@pytest.mark.parametrize("style", ["plain", "lumpy"])
def test_symmetric_mascots_have_symmetric_joints(style):
    style = STYLES["plain"] if style == "plain" else replace(MascotStyle(), asymmetric=0.0)
    for seed in range(20):
        asset = generate_mascot(seed, style)
        np.testing.assert_allclose(asset.joints_J3[list(SKELETONS[52].mirror)] * FLIP, asset.joints_J3, atol=1e-6)


def test_some_mascots_are_not_symmetric():
    style = replace(MascotStyle(), asymmetric=1.0)
    assets = [generate_mascot(seed, style) for seed in range(8)]
    assert any(np.abs(a.joints_J3[list(SKELETONS[52].mirror)] * FLIP - a.joints_J3).max() > 0.02 for a in assets)


def test_scatter_keeps_order_sides_and_limbs():
    for seed in range(20):
        style = replace(MascotStyle(), asymmetric=0.0, leaning=0.0, lumps=0.0, families={"blob": FAMILIES["blob"]})
        shape, rig = (generate_mascot(seed, replace(style, scatter=s)).joints_J3 for s in (0.0, 1.0))
        np.testing.assert_allclose(rig[list(SKELETONS[52].mirror)] * FLIP, rig, atol=1e-6)
        kept = [j for j, n in enumerate(FULL_NAMES) if n[2:] in ("lower_arm", "hand", "upper_leg", "lower_leg", "foot", "toe_base")]
        np.testing.assert_allclose(rig[kept], shape[kept], atol=1e-6)
        spine = [INDEX[n] for n in ("hips", "spine", "chest", "upper_chest", "neck", "head")]
        gap_S, was_S = np.diff(rig[spine, 1]), np.diff(shape[spine, 1])
        assert (gap_S > 0.35 * was_S).all() and np.abs(gap_S - was_S).max() > 1e-4, seed


def test_short_legs_bend_in_many_places():
    style = replace(MascotStyle(), lumps=0.0, families={name: FAMILIES[name] for name in ("blob", "chibi", "beast")})
    shares = []
    for seed in range(60):
        thigh, knee, foot = (generate_mascot(seed, style).joints_J3[INDEX[f"l_{n}"], 1] for n in ("upper_leg", "lower_leg", "foot"))
        shares.append((thigh - knee) / (thigh - foot))
    assert 0.44 < min(shares) < 0.5 and 0.66 < max(shares) < 0.73


@pytest.mark.parametrize("family", FAMILIES)
def test_families_measure_what_they_say(family):
    for seed in range(12):
        bare = replace(FAMILIES[family], hat=0, horns=0, ears=0, hair=0, prop=0, wings=0, tail=0)
        asset = generate_mascot(seed, replace(STYLES["plain"], families={family: bare}))
        joints, height = dict(zip(FULL_NAMES, asset.joints_J3)), np.ptp(asset.vertices_V3[:, 1])
        low, high = FAMILIES[family].ranges.legs
        assert low - 0.06 < joints["l_upper_leg"][1] / height < high + 0.2, seed
        above = height - joints["head"][1]
        if not FAMILIES[family].body_is_head:
            assert above / height < FAMILIES[family].ranges.head[1] + 0.02, seed


def test_poses_move_every_mascot_and_keep_what_they_should():
    rng = np.random.default_rng(0)
    for seed in range(10):
        draw = Draw(generate_mascot(seed).in_network_frame())
        for pose in (RandomPose(), MocapPose()):
            moved = check(pose(draw, rng).realise())
            assert np.abs(moved.joints_J3 - draw.asset.joints_J3).max() > 0.01
            lengths = [[np.linalg.norm(a.joints_J3[j] - a.joints_J3[p]) for j, p in enumerate(FULL_PARENTS) if p is not None]
                       for a in (moved, draw.asset)]
            np.testing.assert_allclose(*lengths, rtol=1e-3, atol=1e-5)


def test_what_sits_on_the_head_turns_with_it():
    asset = generate_mascot(0, family_style("chibi", hat=1.0, ears=1.0, hair=1.0))
    top = asset.vertices_V3[:, 1] > 0.9 * asset.vertices_V3[:, 1].max()
    np.testing.assert_allclose(asset.skin_VJ[top, INDEX["head"]], 1, atol=1e-6)


def test_tails_belong_to_the_hips():
    asset = generate_mascot(1, family_style("beast", tail=1.0, cape=0, wings=0, pack=0, robe=0, hair=0, snout=0))
    behind = asset.vertices_V3[:, 2] < asset.vertices_V3[asset.skin_VJ[:, INDEX["chest"]] > 0.5, 2].min() - 0.02
    low = asset.vertices_V3[:, 1] < asset.joints_J3[INDEX["chest"], 1]
    assert (behind & low).sum() > 20
    assert asset.skin_VJ[behind & low, INDEX["hips"]].mean() > 0.95


def test_resting_tails_begin_at_the_root_and_lie_on_the_ground():
    rng = np.random.default_rng(0)
    for _ in range(30):
        shell = resting_tail(np.array([0.0, 0.3, -0.1]), 0.3, 1.0, rng)
        assert volume(shell.vertices_V3, shell.faces_F3) > 0
        assert -0.002 < shell.vertices_V3[:, 1].min() < 0.06
        first = shell.along_V < 1e-9
        np.testing.assert_allclose(shell.vertices_V3[first].mean(0), [0, 0.3, -0.1], atol=0.03)


@pytest.mark.parametrize("kind", ["tail", "wings", "pack", "hair"])
def test_what_one_carries_moves_no_joint(kind):
    """Joints against the figure's own height and place are those of the build, whatever hangs about it."""
    for seed in range(10):
        style = replace(family_style("toy", hat=0.0), lumps=0.0, leaning=0.0, scatter=0.0)
        toys = [replace(style.families["toy"], **{kind: chance}) for chance in (1.0, 0.0)]
        with_it, without = (generate_mascot(seed, replace(style, families={"toy": toy})) for toy in toys)
        one, other = (a.joints_J3 - a.joints_J3[0] for a in (with_it, without))
        scale = np.linalg.norm(one[INDEX["head"]]) / np.linalg.norm(other[INDEX["head"]])
        np.testing.assert_allclose(one / scale, other, atol=1e-5, err_msg=str(seed))


def test_each_limb_is_moved_by_its_joints():
    for seed in range(20):
        asset = generate_mascot(seed)
        total = asset.skin_VJ.sum(0)
        for name in ("hips", "spine", "chest", "upper_chest", "head", "l_upper_arm", "l_lower_arm", "r_upper_arm", "l_foot", "r_foot"):
            assert total[INDEX[name]] > 1, (seed, name)
        side_V = asset.skin_VJ[:, [INDEX[n] for n in ("l_lower_arm", "l_foot", "l_lower_leg")]].sum(1) > 0.9
        inner = asset.vertices_V3[side_V, 0].min()
        assert inner > -0.04 * np.ptp(asset.vertices_V3[:, 1]), seed      # the left's weights lie on the left; big shoes touch


def test_unknown_style_is_refused():
    with pytest.raises(ValueError, match="no-such.*full, plain"):
        generate_mascot(0, "no-such")


# ----------------------------------------------------------------------------------------------------------------- shells


def test_a_lofted_box_by_hand():
    box = loft(np.array([0.0, 2.0]), np.ones(2), np.ones(2), 4, power=1.0)      # power 1: a square standing on its corners, area 2
    assert volume(box.vertices_V3, box.faces_F3) == pytest.approx(4.0)
    np.testing.assert_array_equal(box.inside(np.array([[0, 1, 0], [0.6, 1, 0.6], [0, 2.1, 0], [0.2, 1, -0.2]])), [True, False, False, True])


def test_closed_shells_enclose_what_they_should():
    sphere = ball(np.array([3.0, 0, 0]), np.array([1.0, 2.0, 3.0]), 3.0)
    assert volume(sphere.vertices_V3, sphere.faces_F3) == pytest.approx(4 / 3 * np.pi * 6, rel=0.02)
    path_K3 = np.outer(np.linspace(0, 5, 6), [0.6, 0.8, 0])
    pipe = sweep(path_K3, np.full(6, 0.5), 60, flat=0.5)
    assert volume(pipe.vertices_V3, pipe.faces_F3) == pytest.approx(np.pi * 0.5 * 0.25 * 5, rel=0.01)
    np.testing.assert_allclose(pipe.along_V[[0, -1]], [0, 5])
    mirrored = pipe.mirrored()
    assert volume(mirrored.vertices_V3, mirrored.faces_F3) > 0 and mirrored.vertices_V3[:, 0].max() < 0.5


def test_ends_close_like_hemispheres():
    along_K = np.linspace(0, 10, 101)
    radius_K = rounded(along_K, np.full(101, 2.0))
    np.testing.assert_allclose(radius_K[[50, 10, 0]], [2.0, 2 * np.sqrt(0.75), 0.08], rtol=1e-12)    # 1 from the end: sqrt(1 - 1/4)


def test_arc_has_its_length_and_turns():
    path_K3 = arc(np.zeros(3), [1, 0, 0], [0, 1, 0], 2.0, 9)
    steps = np.diff(path_K3, axis=0)
    np.testing.assert_allclose(np.linalg.norm(steps, axis=1), 0.25)
    np.testing.assert_allclose([steps[0], steps[-1]], [[0.25, 0, 0], [0, 0.25, 0]], atol=1e-12)


def test_hidden_faces_go():
    outer, inner, beside = ball(np.zeros(3), 1.0, 2.0), ball(np.zeros(3), 0.5), ball(np.array([5.0, 0, 0]), 0.5)
    left = without_hidden([outer, inner, beside])
    assert [len(s.faces_F3) for s in left] == [len(outer.faces_F3), len(beside.faces_F3)]
    half = ball(np.array([1.0, 0, 0]), 0.5, 2.0)
    crossing = without_hidden([outer, half])[1]
    assert 0 < len(crossing.faces_F3) < len(half.faces_F3)
    assert (np.linalg.norm(crossing.vertices_V3, axis=1) > 0.7).all()
    shown_V = ~outer.inside(half.vertices_V3)                       # every face with a corner in sight stays: no gap opens
    assert len(crossing.faces_F3) == shown_V[half.faces_F3].any(1).sum()


@pytest.mark.parametrize("form", [Form(), Form(blunt=8), Form(taper=-0.4), Form(point=1.2), Form(waist=0.4)])
def test_forms_are_one_at_the_widest_and_close(form):
    width_S = form(np.linspace(0, 1, 401))
    assert width_S.max() == pytest.approx(1, abs=0.02) and width_S[0] < 0.05 and width_S[-1] < 0.05
    assert (width_S >= 0).all()


# ---------------------------------------------------------------------------------------------------------------- weights


def test_a_chain_by_hand():
    got = weights.chain(np.array([-9.0, 1.0, 1.25, 2.0, 9.0]), np.array([1.0, 3.0]), np.array([1.0, 1.0]))
    # at a bound half and half; a quarter of a band beyond: s(0.75) = 3 * 0.5625 - 2 * 0.421875 = 0.84375
    np.testing.assert_allclose(got, [[1, 0, 0], [0.5, 0.5, 0], [0.15625, 0.84375, 0], [0, 1, 0], [0, 0, 1]])


def test_weights_of_a_limb_change_at_its_joints():
    joints_J3 = np.zeros((52, 3))
    for name, x in (("l_upper_arm", 1.0), ("l_lower_arm", 3.0), ("l_hand", 5.0)):
        joints_J3[INDEX[name]] = [x, 0, 0]
    # the clavicle keeps a tenth of the upper arm's 2.0
    skin_VJ = weights.arm_weights(np.array([0.7, 2.5, 4.5]), 0.5, joints_J3, 0.1, 1.0)
    for row, pair in zip(skin_VJ, (("l_shoulder", "l_upper_arm"), ("l_upper_arm", "l_lower_arm"), ("l_lower_arm", "l_hand"))):
        np.testing.assert_allclose(row[[INDEX[n] for n in pair]], 0.5)


def test_arm_poses_turn_the_arm():
    upper_3, fore_3 = arm_directions(ArmPose(down=30.0, bend=90.0))
    np.testing.assert_allclose(upper_3, [np.sqrt(3) / 2, -0.5, 0], atol=1e-12)
    np.testing.assert_allclose(fore_3, [0, 0, 1], atol=1e-12)
