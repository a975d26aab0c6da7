"""Augmentation: the shares of the mixes, that everything follows each move, and that the fast path equals the exact one."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from figures import capsule_man  # noqa: E402

from dataset.asset import check  # noqa: E402
from dataset.augment import (FINETUNE, JOINT_LIMITS, PRETRAIN, BoneStretch, Clutter, Draw, Jitter, Mirror, Mix, MocapPose,  # noqa: E402
                             NormalDropout, PointDensity, RandomPose, RestPose, Rotate, Tilt, mirror)
from dataset.format import BODY_NAMES, FULL_NAMES, skeleton  # noqa: E402
from dataset.body import Body  # noqa: E402
from dataset.pipeline import pose_sample  # noqa: E402
from dataset.poses import PoseBank, TrackBank, procedural_bank  # noqa: E402
from dataset.sampler import Sampler, Surface, blend  # noqa: E402
from dataset.stretch import PARTS, Proportions, stretch_transforms  # noqa: E402
from geometry.kinematics import homogeneous, matrix_to_rotvec, rotation_uniform, rotvec_to_matrix  # noqa: E402
from geometry.normals import vertex_normals  # noqa: E402
from geometry.similarity import Y_UP_TO_Z_UP, Similarity  # noqa: E402

MAN = capsule_man(52)
J = {name: j for j, name in enumerate(FULL_NAMES)}
DRAWS = 20_000


def within(count, share):
    """Five standard deviations of a binomial: one false alarm in two million."""
    return abs(count - DRAWS * share) <= 5 * np.sqrt(DRAWS * share * (1 - share))


@pytest.mark.parametrize("mix, rest, random, mocap, turned", [(PRETRAIN, .5, .5, 0, 0), (FINETUNE, .15, .35, .5, .2)])
def test_mixes_keep_their_published_shares(mix, rest, random, mocap, turned):
    rng = np.random.default_rng(0)
    kinds = [mix.pose_kind(rng) for _ in range(DRAWS)]
    for kind, share in (("rest", rest), ("random", random), ("mocap", mocap)):
        assert within(kinds.count(kind), share), kind
    bare = Draw(MAN)
    assert within(sum(mix.rotate(bare, rng).turn_33 is not None for _ in range(DRAWS)), turned)
    assert within(sum(mix.mirror(bare, rng).mirrored for _ in range(DRAWS)), .5)
    assert within(sum(mix.normal_dropout(rng) for _ in range(DRAWS)), .3)


def test_a_whole_mix_keeps_them_too():
    # every decision of a draw together, as training makes them
    rng = np.random.default_rng(1)
    light = replace(MAN, vertices_V3=MAN.vertices_V3[:9], skin_VJ=MAN.skin_VJ[:9], normals_V3=None, faces_F3=None)
    draws = [FINETUNE(light, rng) for _ in range(2000)]
    for share, count in ((.15, sum(d.basis_J44 is None for d in draws)), (.2, sum(not d.upright for d in draws)), (.6, sum(d.turn_33 is not None for d in draws)),
                         (.5, sum(d.mirrored for d in draws)), (.5, sum(d.stretch_J34 is not None for d in draws))):
        assert abs(count - 2000 * share) < 5 * np.sqrt(2000 * share * (1 - share))


@pytest.mark.parametrize("shares", [(.5, .5, .5), (1.5, -.5, 0)])
def test_mix_refuses_shares_that_are_none(shares):
    with pytest.raises(ValueError, match="sum to 1"):
        Mix(*shares)


def test_random_pose_stays_in_its_limits_and_fills_them():
    rng = np.random.default_rng(2)
    vectors = np.stack([matrix_to_rotvec(RandomPose()(Draw(MAN), rng).basis_J44[:, :3, :3]) for _ in range(400)])
    reach = np.degrees(np.abs(vectors).max((0, 2)))
    for name, limit in (("hips", 30), ("l_lower_arm", 30), ("spine", 18), ("l_hand_index_2", 9), ("r_upper_arm", 45)):
        assert 0.9 * limit < reach[J[name]] <= limit + 1e-6, name
    assert JOINT_LIMITS["finger"] == 0.3
    np.testing.assert_allclose(vectors.mean(0), 0, atol=0.15)


def poses(rng):
    tilted = replace(MAN, matrix_local_J44=homogeneous(np.stack([rotation_uniform(rng) for _ in range(52)]), MAN.joints_J3))
    stretched = BoneStretch(1.0)
    for man in (MAN, tilted):
        plain = Draw(man)
        yield "rest", RestPose()(plain, rng)
        yield "random", RandomPose()(plain, rng)
        yield "mocap", MocapPose()(plain, rng)
        yield "turned", Rotate(1.0)(MocapPose()(plain, rng), rng)
        yield "yaw", Rotate(1.0, "yaw")(plain, rng)
        yield "stretched", stretched(plain, rng)
        yield "all", Mirror(1.0)(Rotate(1.0)(RandomPose()(stretched(plain, rng), rng), rng), rng)


def test_everything_follows_each_move():
    rng = np.random.default_rng(3)
    for name, draw in poses(rng):
        now = check(draw.realise())
        np.testing.assert_allclose(now.joints_J3, now.matrix_local_J44[:, :3, 3], atol=1e-5, err_msg=name)
        turn = now.matrix_local_J44[:, :3, :3]
        np.testing.assert_allclose(turn @ np.swapaxes(turn, 1, 2), np.tile(np.eye(3), (52, 1, 1)), atol=2e-6, err_msg=name)
        assert np.linalg.det(turn).min() > 0, name
        # normals, against those of the moved mesh, where one joint rules a whole neighbourhood
        ruled = (now.skin_VJ[now.faces_F3].min(1).max(1) == 1)
        inner = np.ones(len(now.vertices_V3), bool)
        inner[now.faces_F3[~ruled]] = False
        recomputed = vertex_normals(now.vertices_V3, now.faces_F3)
        if draw.stretch_J34 is None:
            np.testing.assert_allclose(now.normals_V3[inner], recomputed[inner], atol=1e-3, err_msg=name)
        # (a stretched box's corner normal is no longer the mean of its stretched faces: compare all, loosely)
        assert np.median((now.normals_V3 * recomputed).sum(1)) > 0.97, name


def test_unstretched_draw_is_the_asset_posed_then_turned():
    rng = np.random.default_rng(4)
    for _ in range(5):
        draw = Rotate(1.0)(RandomPose()(Draw(MAN), rng), rng)
        now, want = draw.realise(), MAN.posed(draw.basis_J44).to_frame(Similarity(draw.turn_33))
        for field in ("vertices_V3", "normals_V3", "joints_J3", "matrix_local_J44"):
            np.testing.assert_allclose(getattr(now, field), getattr(want, field), atol=2e-6, err_msg=field)


def test_fast_path_equals_exact_one():
    rng = np.random.default_rng(5)
    quiet = replace(FINETUNE, clutter=Clutter(0.0), density=PointDensity(0.0))
    for name, draw in poses(rng):
        exact, seed = draw.realise(), int(rng.integers(1 << 30))
        posed = pose_sample(draw, Body.of(MAN), Sampler(300), quiet, np.random.default_rng(seed))
        np.testing.assert_allclose(posed.joints_J3, exact.joints_J3, atol=1e-5, err_msg=name)
        np.testing.assert_allclose(posed.low_3, exact.vertices_V3.min(0), atol=1e-5, err_msg=name)
        np.testing.assert_allclose(posed.high_3, exact.vertices_V3.max(0), atol=1e-5, err_msg=name)
        # vertices among the points: their position, normal and weights are the exact ones (nearest vertex at distance 0)
        d = np.linalg.norm(posed.points_N3[:, None] - exact.vertices_V3[None], axis=-1)
        hit = np.flatnonzero(d.min(1) < 3e-6)
        assert len(hit) >= 70, name
        for n in hit:
            same = np.flatnonzero(d[n] < 3e-6)
            gap = [np.abs(posed.normals_N3[n] - exact.normals_V3[v]).max() + np.abs(posed.skin_NJ[n] - exact.skin_VJ[v]).max() for v in same]
            assert min(gap) < 1e-4, name


def test_tilt_stays_upright_and_turns_both_ways():
    rng = np.random.default_rng(3)
    draws = [Tilt(1.0)(Draw(MAN), rng) for _ in range(2000)]
    assert all(d.upright for d in draws) and Draw(MAN).upright
    up_3 = np.stack([d.turn_33[:, 2] for d in draws])
    lean = np.degrees(np.arccos(np.clip(up_3[:, 2], -1, 1)))
    assert 14.5 < lean.max() <= 15 + 1e-6
    yaw = np.degrees([np.arctan2(d.turn_33[1, 0], d.turn_33[0, 0]) for d in draws])
    assert -32 < yaw.min() < -28 and 28 < yaw.max() < 32 and abs(yaw.mean()) < 2
    np.testing.assert_allclose(up_3[:, :2].mean(0), 0, atol=0.02)


def test_upright_ends_at_35_degrees():
    turned = [Draw(MAN, turn_33=rotvec_to_matrix(np.radians([0.0, angle, 0.0]))).upright for angle in (-34.9, 34.9, 35.1, 180.0)]
    assert turned == [True, True, False, False]


def test_rotation_is_so3_or_about_the_vertical():
    rng = np.random.default_rng(6)
    turns = np.stack([Rotate(1.0)(Draw(MAN), rng).turn_33 for _ in range(300)])
    assert np.abs(turns.mean(0)).max() < 0.2 and (turns[:, 2, 2] < -0.5).any()
    yaws = np.stack([Rotate(1.0, "yaw")(Draw(MAN), rng).turn_33 for _ in range(50)])
    np.testing.assert_allclose(yaws[:, 2], np.tile([0, 0, 1], (50, 1)), atol=1e-12)
    with pytest.raises(ValueError, match='"so3" or "yaw"'):
        Rotate(.5, "pitch")


def test_mirror_by_hand():
    image = mirror(MAN)
    np.testing.assert_allclose(image.joints_J3, MAN.joints_J3, atol=1e-7)       # the figure is its own mirror image
    lifted = MAN.posed(homogeneous(rotvec_to_matrix(np.eye(52)[:, [J["l_upper_arm"]]] * [0, -1.2, 0])))
    assert lifted.joints_J3[J["l_hand"], 2] > 1.8 and lifted.joints_J3[J["r_hand"], 2] < 1.5
    image = mirror(lifted)
    assert image.joints_J3[J["r_hand"], 2] > 1.8 and image.joints_J3[J["r_hand"], 0] < 0
    agree = (image.normals_V3 * vertex_normals(image.vertices_V3, image.faces_F3)).sum(1)
    assert agree.min() > 0.8 and np.median(agree) > 0.9999
    twice = mirror(image)
    for field in ("vertices_V3", "normals_V3", "joints_J3", "skin_VJ", "matrix_local_J44", "faces_F3"):
        np.testing.assert_array_equal(getattr(twice, field), getattr(lifted, field))
    # mirrored vertices keep their joint's counterpart
    hand = lifted.skin_VJ[:, J["l_hand"]] > .9
    assert (image.skin_VJ[hand, J["r_hand"]] > .9).all()


def test_mirror_of_a_bare_cloud():
    cloud = replace(MAN, faces_F3=None, normals_V3=None, joints_J3=None, skin_VJ=None, parents=None, names=None, matrix_local_J44=None)
    np.testing.assert_array_equal(mirror(cloud).vertices_V3, MAN.vertices_V3 * np.float32([-1, 1, 1]))


def flat_bank(name, rotvec):
    """One frame, T pose but for one joint turned (children with it)."""
    turn = np.tile(np.eye(3), (1, 22, 1, 1))
    for j, n in enumerate(BODY_NAMES):
        chain, at = [], j
        while at is not None:
            chain.append(BODY_NAMES[at])
            at = skeleton(22).parents[at]
        if name in chain:
            turn[0, j] = rotvec_to_matrix(rotvec)
    return PoseBank(turn.astype(np.float32))


def test_t_pose_bank_brings_an_a_pose_to_the_t():
    down = rotvec_to_matrix(np.eye(52)[:, [J["l_upper_arm"]]] * [0, .7, 0] + np.eye(52)[:, [J["r_upper_arm"]]] * [0, -.7, 0])
    a_pose = MAN.posed(homogeneous(down))
    assert a_pose.joints_J3[J["l_hand"], 2] < 1.2
    tee = MocapPose(flat_bank("hips", [0, 0, 0]), 0.0)(Draw(a_pose), np.random.default_rng(0)).realise()
    np.testing.assert_allclose(tee.joints_J3[6:14], MAN.joints_J3[6:14], atol=1e-5)
    np.testing.assert_allclose(tee.joints_J3[22:], MAN.joints_J3[22:], atol=1e-5)


@pytest.mark.parametrize("name, rotvec, joint, direction", [
    ("l_upper_arm", [0, 0, np.pi / 2], "l_hand", [0, 0, 1]),        # Y up, T pose along +X: +Z lifts the left arm
    ("r_upper_arm", [0, np.pi / 2, 0], "r_hand", [0, -1, 0]),       # +Y brings the right arm (-X) to the front: +Z, here -Y
    ("l_upper_leg", [-np.pi / 2, 0, 0], "l_lower_leg", [0, -1, 0])])   # -X lifts the knee to the front
def test_bank_frames_turn_the_right_way(name, rotvec, joint, direction):
    now = MocapPose(flat_bank(name, rotvec), 0.0)(Draw(MAN), np.random.default_rng(0)).realise()
    bone = now.joints_J3[J[joint]] - now.joints_J3[J[name]]
    np.testing.assert_allclose(bone / np.linalg.norm(bone), direction, atol=0.05)


def test_bank_in_the_networks_frame_is_the_same_bank():
    bank = procedural_bank()
    turned = PoseBank(Y_UP_TO_Z_UP @ bank.rotations_TJ33 @ Y_UP_TO_Z_UP.T, bank.names, "z")
    np.testing.assert_allclose(bank.global_J33(5, 52), turned.global_J33(5, 52), atol=1e-6)
    order = np.random.default_rng(0).permutation(22)
    shuffled = PoseBank(bank.rotations_TJ33[:, order], tuple(BODY_NAMES[j] for j in order))
    np.testing.assert_array_equal(bank.global_J33(7, 22), shuffled.global_J33(7, 22))


def test_procedural_poses_are_upright_varied_and_repeatable():
    bank = procedural_bank()
    assert len(bank) == 1024 and repr(bank) == "PoseBank(1024 frames, up='y')"
    heads, feet = [], []
    for frame in range(0, 1024, 16):
        local = MAN.local_J44()
        now = MAN.posed(bank.basis(frame, MAN.parents, MAN.joints_J3, local))
        heads.append(now.joints_J3[J["head"], 2] - now.joints_J3[0, 2])
        feet.append(now.joints_J3[0, 2] - now.joints_J3[[J["l_foot"], J["r_foot"]], 2].min())
    assert min(heads) > 0 and min(feet) > 0.1 and np.std(feet) > 0.05
    procedural_bank.cache_clear()
    np.testing.assert_array_equal(procedural_bank().rotations_TJ33, bank.rotations_TJ33)


def track(rng, frames=3):
    basis = np.tile(np.eye(4), (frames, 52, 1, 1))
    basis[..., :3, :3] = rotvec_to_matrix(rng.normal(0, .4, (frames, 52, 3)))
    return TrackBank(basis.astype(np.float32))


def test_track_poses_its_own_characters_directly():
    bank = track(np.random.default_rng(7))
    draw = MocapPose(bank, 0.0)(Draw(MAN), np.random.default_rng(0))
    frame = int(np.random.default_rng(0).integers(3))
    np.testing.assert_allclose(draw.basis_J44, bank.matrix_basis_TJ44[frame], atol=1e-12)
    assert MocapPose(bank, 0.0)(Draw(MAN.with_joints(22)), np.random.default_rng(0)).basis_J44.shape == (22, 4, 4)
    assert repr(bank) == "TrackBank(3 frames)"


def test_track_read_through_a_reference_poses_it_the_same():
    rng = np.random.default_rng(8)
    down = homogeneous(rotvec_to_matrix(rng.normal(0, .2, (52, 3))))
    reference = MAN.posed(down)      # bone frames and a rest pose of its own
    bank = track(rng)
    body = reference.with_joints(22)
    through = bank.as_pose_bank(reference)
    for frame in range(3):
        got = through.basis(frame, body.parents, body.joints_J3, body.local_J44())
        np.testing.assert_allclose(got[:, :3, :3], bank.matrix_basis_TJ44[frame, :22, :3, :3], atol=1e-5)


@pytest.mark.parametrize("make, message", [
    (lambda: PoseBank(np.zeros((0, 22, 3, 3))), "T >= 1"), (lambda: PoseBank(np.tile(np.eye(3), (2, 5, 1, 1))), "must be"),
    (lambda: PoseBank(np.tile(np.eye(3), (2, 1, 1, 1)), ("hips",)), "no rotations for chest"),
    (lambda: PoseBank(np.tile(2 * np.eye(3), (2, 22, 1, 1))), "no rotations; normalise"),
    (lambda: PoseBank(np.tile(-np.eye(3), (2, 22, 1, 1))), "no rotations; normalise"),
    (lambda: PoseBank(np.full((2, 22, 3, 3), np.nan)), "no rotations; normalise"),
    (lambda: PoseBank(np.tile(np.eye(3), (2, 22, 1, 1)), up="x"), "up axis"),
    (lambda: TrackBank(np.zeros((3, 30, 4, 4))), "22 or 52"), (lambda: TrackBank(np.zeros((0, 52, 4, 4))), "T >= 1")])
def test_banks_refuse(make, message):
    with pytest.raises(ValueError, match=message):
        make()


ONES = dict.fromkeys(PARTS, 1.0)


def test_stretch_by_hand():
    longer = stretch_transforms(MAN.joints_J3, {**ONES, "lower_leg": 2.0}, ONES)
    moved = (longer[:, :, :3] @ MAN.joints_J3[:, :, None])[..., 0] + longer[:, :, 3]
    shin = MAN.joints_J3[J["l_foot"]] - MAN.joints_J3[J["l_lower_leg"]]
    np.testing.assert_allclose(moved[J["l_foot"]] - moved[J["l_lower_leg"]], 2 * shin, atol=1e-7)
    np.testing.assert_allclose(moved[:15], MAN.joints_J3[:15], atol=1e-7)
    # the toe keeps its place by the foot, and the shin grows no thicker
    np.testing.assert_allclose(moved[J["l_toe_base"]] - moved[J["l_foot"]],
                               MAN.joints_J3[J["l_toe_base"]] - MAN.joints_J3[J["l_foot"]], atol=1e-7)
    across = np.cross(shin, [1.0, 0, 0])
    np.testing.assert_allclose(longer[J["l_lower_leg"], :, :3] @ across, across, atol=1e-12)
    big_head = stretch_transforms(MAN.joints_J3, {**ONES, "head": 1.5}, ONES)
    np.testing.assert_allclose(big_head[J["head"], :, :3], 1.5 * np.eye(3))


def test_stretch_keeps_limbs_connected():
    # a joint is a material point of its parent: both maps agree there, so blended skin has no tear
    rng = np.random.default_rng(9)
    for _ in range(10):
        maps = stretch_transforms(MAN.joints_J3, *Proportions().draw(rng))
        for j, p in enumerate(MAN.parents):
            if p is not None:
                here = MAN.joints_J3[j]
                np.testing.assert_allclose(maps[j, :, :3] @ here + maps[j, :, 3], maps[p, :, :3] @ here + maps[p, :, 3], atol=1e-12)
    unit = stretch_transforms(MAN.joints_J3, ONES, ONES)
    np.testing.assert_allclose(unit, np.tile(np.eye(4)[:3], (52, 1, 1)), atol=1e-12)


def test_stretch_of_a_bone_without_length():
    joints = MAN.joints_J3.copy()
    joints[J["l_lower_arm"]] = joints[J["l_upper_arm"]]
    assert np.isfinite(stretch_transforms(joints, *Proportions().draw(np.random.default_rng(0)))).all()


def test_proportions_stay_in_range_and_sides_agree():
    rng = np.random.default_rng(10)
    for _ in range(200):
        length, girth = Proportions(.2, .1).draw(rng)
        assert all(.8 <= v <= 1.2 for k, v in length.items() if k != "head") and .85 <= length["head"] <= 1.35
        assert all(.9 <= v <= 1.1 for v in girth.values())
    now = BoneStretch(1.0)(Draw(MAN), rng).realise()
    np.testing.assert_allclose(now.joints_J3[list(skeleton(52).mirror)] * [-1, 1, 1], now.joints_J3, atol=1e-6)


def rest_sample(count=400, seed=0):
    return Sampler(count)(MAN, np.random.default_rng(seed))


def test_clutter_rides_rigidly_on_one_joint():
    sample = rest_sample()
    hung = Clutter(1.0)(sample, MAN.joints_J3, np.random.default_rng(11))
    new = hung.corner_N3[:, 0] < 0
    assert 0 < new.sum() <= 32 and set(hung.skin_NJ[new].max(1)) == {1.0} and (hung.skin_NJ[new].sum(1) == 1).all()
    np.testing.assert_array_equal(hung.points_N3[~new], sample.points_N3[~new])
    np.testing.assert_allclose(np.linalg.norm(hung.normals_N3[new], axis=1), 1)
    near = np.linalg.norm(hung.points_N3[new] - MAN.joints_J3[hung.skin_NJ[new].argmax(1)], axis=1)
    assert near.max() < 0.1 * 2.6 * 1.72      # at most 1.5 radii to the centre and one to the shell
    assert (sample.corner_N3 >= 0).all()        # the input is left alone
    assert Clutter(0.0)(sample, MAN.joints_J3, np.random.default_rng(0)) is sample
    bare = replace(sample, skin_NJ=None)
    assert Clutter(1.0)(bare, MAN.joints_J3, np.random.default_rng(0)) is bare


def test_clutter_follows_the_pose_inside_the_box():
    mix = replace(FINETUNE, clutter=Clutter(1.0, share=.5), density=PointDensity(0.0))
    for seed in range(5):
        draw = RandomPose()(Draw(MAN), np.random.default_rng(seed))
        one = pose_sample(Draw(MAN), Body.of(MAN), Sampler(300), mix, np.random.default_rng(seed))
        two = pose_sample(draw, Body.of(MAN), Sampler(300), mix, np.random.default_rng(seed))
        move, _ = draw.move()
        body = np.isclose(np.abs(one.points_N3[:, None] - MAN.vertices_V3[None]).sum(-1).min(1), 0, atol=1e-6)
        rows = np.flatnonzero((one.skin_NJ.max(1) == 1) & ~body)
        for n in rows:      # every row ruled by one joint, clutter among them, moves with that joint
            j = one.skin_NJ[n].argmax()
            np.testing.assert_allclose(two.points_N3[n], (move[j] @ [*one.points_N3[n], 1])[:3], atol=1e-5)
        assert (two.points_N3 >= two.low_3 - 1e-6).all() and (two.points_N3 <= two.high_3 + 1e-6).all()


def test_density_favours_one_side_without_repeats():
    points = np.random.default_rng(12).uniform(-1, 1, (2000, 3))
    lean = []
    for seed in range(20):
        kept = PointDensity(1.0, 3.0).keep(points, 1000, np.random.default_rng(seed))
        assert len(set(kept.tolist())) == 1000
        lean.append(np.linalg.norm(points[kept].mean(0) - points.mean(0)))
    assert max(lean) > 0.15 > min(lean)
    even = PointDensity(1.0, 0.0).keep(points, 1000, np.random.default_rng(0))
    assert np.linalg.norm(points[even].mean(0)) < 0.1
    assert len(PointDensity().keep(np.ones((10, 3)), 5, np.random.default_rng(0))) == 5


def test_jitter_and_dropout():
    points, rng = np.zeros((5000, 3)), np.random.default_rng(13)
    assert Jitter(0.0)(points, rng) is points
    spread = np.array([Jitter(1.0, 0.01)(points, rng).std() for _ in range(50)])
    assert spread.max() < 0.0102 and spread.min() < 0.002 and (points == 0).all()
    assert not NormalDropout(0.0)(rng) and NormalDropout(1.0)(rng)


def test_transforms_are_pure_and_tell_what_they_are():
    before = [MAN.vertices_V3.copy(), MAN.matrix_local_J44.copy(), MAN.joints_J3.copy(), MAN.skin_VJ.copy()]
    for _, draw in poses(np.random.default_rng(14)):
        draw.realise()
        pose_sample(draw, Body.of(MAN), Sampler(50), FINETUNE, np.random.default_rng(0))
    for was, now in zip(before, (MAN.vertices_V3, MAN.matrix_local_J44, MAN.joints_J3, MAN.skin_VJ)):
        np.testing.assert_array_equal(was, now)
    assert repr(Rotate()) == "Rotate(p=0.2, kind='so3')" and repr(RandomPose()) == "RandomPose(degrees=30.0)"
    assert repr(PRETRAIN).startswith("Mix(rest=0.5, random=0.5, mocap=0.0, rotate=Rotate(p=0.0")


def test_a_character_without_weights_can_only_turn():
    bare = replace(MAN, skin_VJ=None)
    draw = replace(FINETUNE, rotate=Rotate(1.0))(bare, np.random.default_rng(15))
    assert draw.basis_J44 is None and draw.stretch_J34 is None
    np.testing.assert_allclose(replace(draw, mirrored=False).realise().joints_J3, MAN.joints_J3 @ draw.turn_33.T, atol=1e-6)
    with pytest.raises(ValueError, match="no skin weights"):
        RandomPose()(Draw(bare), np.random.default_rng(0)).realise()


def test_blend_is_the_posed_surface():
    # a surface point follows the posed triangle, not a blend of its own
    draw = RandomPose()(Draw(MAN), np.random.default_rng(16))
    exact, sampler = draw.realise(), Sampler(200, 0.0, 0.0)
    quiet = replace(FINETUNE, clutter=Clutter(0.0), density=PointDensity(0.0))
    posed = pose_sample(draw, Body.of(MAN), sampler, quiet, np.random.default_rng(5))
    rng = np.random.default_rng(5)
    rng.random()        # the density's decision comes first
    corner, bary = sampler.places(len(MAN.vertices_V3), MAN.faces_F3, Surface.of(MAN), rng)
    np.testing.assert_allclose(posed.points_N3, blend(exact.vertices_V3, corner, bary), atol=1e-5)


def test_one_frame_looks_the_same_on_real_characters_of_any_rest_pose(shared_data):
    from dataset.sources.npz import load_npz
    from dataset.sources.pose_bank import load_pose_bank
    bank = load_pose_bank(shared_data / "mocap" / "cmu_pose_bank.npz")
    files = [sorted((shared_data / "train" / "rocketbox").glob("*.npz"))[3], shared_data / "dev" / "m2m_male.npz"]
    bones = []
    for asset in (load_npz(file).in_network_frame() for file in files):       # A pose, T pose
        local = asset.local_J44()
        posed = [asset.posed(bank.basis(frame, asset.parents, local[:, :3, 3], local)).joints_J3 for frame in (10, 3000, 7000)]
        bone = np.stack(posed)[:, [J[b] for _, b in LIMBS]] - np.stack(posed)[:, [J[a] for a, _ in LIMBS]]
        bones.append(bone / np.linalg.norm(bone, axis=-1, keepdims=True))
    assert (bones[0] * bones[1]).sum(-1).min() > 1 - 1e-5


LIMBS = [(f"{s}_{a}", f"{s}_{b}") for s in "lr" for a, b in (("upper_arm", "lower_arm"), ("lower_arm", "hand"),
                                                           ("upper_leg", "lower_leg"), ("lower_leg", "foot"))]
