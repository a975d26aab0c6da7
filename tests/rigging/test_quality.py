"""The examination as a whole: laws that hold for any rig, single measures by hand, and what it says about weights that break the rules."""

import json
from dataclasses import replace

import numpy as np
import pytest

from dataset.format import skeleton
from dataset.sources.mascots import generate_mascot
from geometry.kinematics import rotvec_to_matrix
from rigging import quality_joints, quality_weights
from rigging.bleed import Surface
from rigging.dialects import in_dialect
from rigging.quality import VERDICTS, assess
from rigging.quality_figure import CM, Figure
from rigging.quality_limits import LIMITS, shown
from tests.dataset.figures import capsule_man
from tests.rigging.broken_rigs import Case
from tests.rigging.test_quality_motion import figure_of, rig_of


@pytest.fixture(scope="module")
def case() -> Case:
    asset = generate_mascot(9002).with_joints(22)
    return Case(asset.vertices_V3, asset.faces_F3, rig_of(asset))


@pytest.fixture(scope="module")
def man() -> Figure:
    """Its box: 1.72 m wide and 1.7 m high, so 1 m is 2 / its longest side."""
    return figure_of(capsule_man(22))


def values(quality) -> dict[str, float]:
    return {check.key: check.value for check in quality.checks}


# ----------------------------------------------------------------------------------------------- laws


def test_where_up_is_and_what_units_are_changes_nothing(case):
    """Turned, scaled and moved; to_network_33 says how to turn back."""
    turn_33 = rotvec_to_matrix(np.array([0.4, -1.1, 2.0]))
    place = lambda x_P3: 37.0 * np.asarray(x_P3, np.float64) @ turn_33.T + (5, -3, 8)  # noqa: E731
    moved = replace(case.rig, joints_J3=place(case.rig.joints_J3), to_network_33=case.rig.to_network_33 @ turn_33.T)
    here = assess(case.vertices_V3, case.faces_F3, case.rig)
    there = assess(place(case.vertices_V3), case.faces_F3, moved)
    for key, value in values(here).items():
        assert values(there)[key] == pytest.approx(value, rel=1e-3, abs=2e-3), key


def test_the_order_of_vertices_and_faces_changes_nothing(case):
    rng = np.random.default_rng(0)
    order, faces = rng.permutation(len(case.vertices_V3)), rng.permutation(len(case.faces_F3))
    place = np.argsort(order)
    shuffled = assess(case.vertices_V3[order], place[case.faces_F3][faces], replace(case.rig, skin_VJ=case.rig.skin_VJ[order]))
    for key, value in values(assess(case.vertices_V3, case.faces_F3, case.rig)).items():
        assert values(shuffled)[key] == pytest.approx(value, rel=1e-6, abs=1e-6), key


def test_the_same_input_gives_the_same_bits_and_plain_data(case):
    first, second = (json.dumps(assess(case.vertices_V3, case.faces_F3, case.rig).as_dict(), allow_nan=False) for _ in range(2))
    assert first == second
    assert {check["key"]: check["warn"] for check in json.loads(first)["checks"]}["negative"] == 1e-6


@pytest.mark.parametrize("dialect", ["mixamo", "ue5", "vrm"])
def test_bones_may_have_any_dialects_names(case, dialect):
    own = assess(case.vertices_V3, case.faces_F3, case.rig)
    other = assess(case.vertices_V3, case.faces_F3, in_dialect(case.rig, dialect))
    assert {check.key: check.verdict for check in own.checks} == {check.key: check.verdict for check in other.checks}


def test_the_worst_check_is_the_verdict(case):
    quality = assess(case.vertices_V3, case.faces_F3, case.rig)
    assert quality.verdict == max((check.verdict for check in quality.checks), key=VERDICTS.index)
    assert {check.key for check in quality.checks} == set(LIMITS) - {"expected_error"}
    assert len(quality.poses) == 10


# ----------------------------------------------------------------------------------------------- what cannot be measured


def test_a_cloud_is_asked_less_and_says_so(case):
    quality = assess(case.vertices_V3, None, case.rig)
    assert "stretched" not in values(quality) and "asymmetry" in values(quality) and not quality.poses
    assert "no faces" in quality.skipped[0]


def test_weights_that_are_no_numbers_are_counted_and_never_used(case):
    skin_VJ = case.skin()
    skin_VJ[[3, 5], 2] = np.nan, np.inf
    quality = assess(case.vertices_V3, case.faces_F3, case.weighted(skin_VJ))
    assert values(quality)["not_finite"] == 2 and quality.verdict == "fail" and "bleed" not in values(quality)
    assert "not numbers" in quality.skipped[0]
    json.dumps(quality.as_dict(), allow_nan=False)


def test_bad_arguments_are_named(case):
    with pytest.raises(ValueError, match="do not fit"):
        assess(case.vertices_V3[:-1], case.faces_F3, case.rig)
    with pytest.raises(ValueError, match="finite"):
        assess(case.vertices_V3 * np.nan, case.faces_F3, case.rig)
    with pytest.raises(ValueError, match="no bone found for"):
        assess(case.vertices_V3, case.faces_F3, replace(case.rig, names=tuple(f"bone {j}" for j in range(22))))
    with pytest.raises(ValueError, match="expected errors"):
        assess(case.vertices_V3, case.faces_F3, case.rig, np.zeros(21))


def test_expected_errors_are_judged_by_their_mean(case):
    error_J = np.full(22, 1.0)
    error_J[9] = 20.0
    check = {c.key: c for c in assess(case.vertices_V3, None, case.rig, error_J).checks}["expected_error"]
    assert check.value == pytest.approx((21 * 1 + 20) / 22) and check.verdict == "pass" and check.where == ("l_hand",)
    assert {c.key: c for c in assess(case.vertices_V3, None, case.rig, 5 * error_J).checks}["expected_error"].verdict == "fail"


# ----------------------------------------------------------------------------------------------- single measures by hand


def test_the_contract_by_hand(case):
    skin_VJ = case.skin()
    skin_VJ[0], skin_VJ[1] = 0, 0
    skin_VJ[2] = 0
    skin_VJ[2, 4], skin_VJ[2, 5] = 1.5, -0.25
    found = values(assess(case.vertices_V3, case.faces_F3, case.weighted(skin_VJ)))
    assert (found["unweighted"], found["negative"], found["row_sums"]) == (2, 0.25, 0.25)


def test_lengths_and_proportions_by_hand(man):
    """From the table of tests/dataset/figures.py: upper arm 27 cm, forearm 25; thigh 42, shin 40.05."""
    joints_J3 = man.joints_J3.copy()
    joints_J3[man.index["l_hand"]] += 0.5 * (joints_J3[man.index["l_hand"]] - joints_J3[man.index["l_lower_arm"]])
    longer = replace(man, joints_J3=joints_J3)
    assert np.nanmax(quality_joints.asymmetry(man)) == pytest.approx(1)
    assert quality_joints.asymmetry(longer)[man.index["l_hand"]] == pytest.approx(1.5)
    assert quality_joints.lopsided(man)[man.index["l_lower_arm"]] == pytest.approx(0.27 / 0.25)
    assert quality_joints.lopsided(longer)[man.index["l_lower_arm"]] == pytest.approx(1.5 * 0.25 / 0.27)
    assert np.isnan(quality_joints.bone_lengths(man)[0])


def test_a_bone_without_length_has_infinite_proportions_and_no_warnings(man):
    joints_J3 = man.joints_J3.copy()
    joints_J3[man.index["l_lower_arm"]] = joints_J3[man.index["l_upper_arm"]]
    flat = replace(man, joints_J3=joints_J3)
    assert quality_joints.asymmetry(flat)[man.index["l_lower_arm"]] == np.inf
    assert quality_joints.lopsided(flat)[man.index["l_lower_arm"]] == np.inf


def test_sides_front_and_up_turn_with_the_figure(man):
    half_turn = replace(man, joints_J3=man.joints_J3 * (-1, -1, 1))
    for measure in (quality_joints.crossed, quality_joints.backward):
        assert np.nanmax(measure(man)) == pytest.approx(-1) and np.nanmin(measure(half_turn)) == pytest.approx(1)
    on_its_head = replace(man, joints_J3=man.joints_J3 * (1, -1, -1))
    assert np.nanmax(quality_joints.upside_down(man)) < -0.9 < 0.9 < np.nanmin(quality_joints.upside_down(on_its_head))


def test_a_kink_by_hand(man):
    """The chest moved back by as much as it is above the spine: the spine's bone turns by 45 degrees there."""
    joints_J3 = man.joints_J3.copy()
    rise = (man.at("chest") - man.at("spine"))[2]
    joints_J3[man.index["chest"]] += (0, rise, 0)
    assert np.nanmax(quality_joints.kinks(man)) == pytest.approx(0, abs=1e-3)
    kinks_J = quality_joints.kinks(replace(man, joints_J3=joints_J3))
    assert kinks_J[man.index["spine"]] == pytest.approx(45) and np.isnan(kinks_J[man.index["head"]])


def test_a_knee_behind_its_line_by_hand(man):
    joints_J3 = man.joints_J3.copy()
    hip, ankle = man.at("l_upper_leg"), man.at("l_foot")
    leg = ankle - hip
    back = np.array([0, 1, 0]) - leg[1] * leg / (leg @ leg)
    back /= np.linalg.norm(back)
    joints_J3[man.index["l_lower_leg"]] = (hip + ankle) / 2 + 0.1 * np.linalg.norm(leg) * back
    behind_J = quality_joints.knees_behind(replace(man, joints_J3=joints_J3))
    assert behind_J[man.index["l_lower_leg"]] == pytest.approx(0.1 * back[1])


def test_outside_is_the_distance_to_the_surface(man):
    joints_J3 = man.joints_J3.copy()
    head = man.index["head"]
    assert quality_joints.outside(man)[head] == 0
    top_3 = man.surface.points_U3[man.surface.points_U3[:, 2].argmax()]      # a corner of the box that is the head
    joints_J3[head] = top_3 * (0, 0, 1) + (0, 0, 20 * CM)
    assert quality_joints.outside(replace(man, joints_J3=joints_J3))[head] == pytest.approx(20 * CM, rel=0.05)


def test_weights_of_the_wrong_side_are_counted_by_area(man):
    left, right = man.index["l_hand"], man.index["r_hand"]
    skin_UJ = man.skin_UJ.copy()
    assert quality_weights.wrong_side(man)[left] == 0
    skin_UJ[:, left] += skin_UJ[:, right]
    skin_UJ[:, right] = 0
    share_J = quality_weights.wrong_side(replace(man, skin_UJ=skin_UJ))
    assert share_J[left] == pytest.approx(0.5, abs=1e-6) and np.isnan(share_J[right])


def test_a_joint_in_its_ring_is_on_its_border():
    """A tube round the axis of the left arm, cut into upper arm and forearm at x = 0: the elbow's border is a ring of radius 0.2."""
    x, turn = np.meshgrid(np.linspace(-1, 1, 21), np.arange(24) * np.pi / 12, indexing="ij")
    tube_U3 = np.stack([x, 0.2 * np.cos(turn), 0.2 * np.sin(turn)], -1).reshape(-1, 3)
    i, j = np.meshgrid(np.arange(20), np.arange(24), indexing="ij")
    a, b = i * 24 + j, i * 24 + (j + 1) % 24
    surface = Surface.of(tube_U3, np.concatenate([np.stack([a, b, a + 24], -1), np.stack([b, b + 24, a + 24], -1)]).reshape(-1, 3))
    bones = skeleton(22)
    upper, lower = bones.names.index("l_upper_arm"), bones.names.index("l_lower_arm")
    skin_UJ, joints_J3 = np.zeros((len(surface.points_U3), 22)), np.zeros((22, 3))
    skin_UJ[:, lower] = np.clip(surface.points_U3[:, 0] + 0.5, 0, 1)
    skin_UJ[:, upper] = 1 - skin_UJ[:, lower]
    for shift, radii in ((0.0, 0.0), (0.3, 1.5)):
        joints_J3[lower] = (shift, 0, 0)
        off_J = quality_weights.off_border(Figure(surface, joints_J3, skin_UJ, bones, None))
        assert off_J[lower] == pytest.approx(radii, abs=0.02)
        assert np.isnan(off_J[bones.names.index("l_hand")])


def test_weights_far_from_their_bones_are_astray(man):
    """The head's weights go to a foot: all of what the foot's joint got is astray, nothing of the head is left."""
    head, foot = man.index["head"], man.index["l_foot"]
    skin_UJ = man.skin_UJ.copy()
    before = quality_weights.astray(man)
    assert np.nanmax(before) < 0.1
    skin_UJ[:, foot], skin_UJ[:, head] = skin_UJ[:, head], 0
    after = quality_weights.astray(replace(man, skin_UJ=skin_UJ))
    assert after[foot] > 0.8 and np.isnan(after[head])
    assert quality_weights.idle_limbs(replace(man, skin_UJ=skin_UJ)) == ["head"]


def test_torn_seams_are_counted(case):
    """Every vertex twice at its place; in one copy of a tenth of them another joint has all."""
    count = len(case.vertices_V3)
    both_VJ = np.concatenate([case.skin(), case.skin()])
    rows = np.arange(0, count, 10)
    both_VJ[rows] = np.eye(22)[(both_VJ[rows].argmax(1) + 5) % 22]
    rig = replace(case.rig, skin_VJ=both_VJ)
    found = values(assess(np.concatenate([case.vertices_V3] * 2), np.concatenate([case.faces_F3, case.faces_F3 + count]), rig))
    assert found["torn"] == pytest.approx(0.1, rel=0.05)


# ----------------------------------------------------------------------------------------------- the table


def test_every_limit_warns_before_it_fails_and_speaks():
    for key, limit in LIMITS.items():
        assert limit.fail <= limit.warn if limit.least else limit.fail >= limit.warn, key
        for verdict in VERDICTS:
            sentence = limit.sentence(verdict, 0.5, "l_hand")
            assert sentence.endswith(".") and "{" not in sentence, key


def test_numbers_are_written_for_people():
    assert [shown(*pair) for pair in ((0.0312, "%"), (4.4e-8, ""), (2.418, "cm"), (float("inf"), ""))] == ["3.1 %", "0", "2.42 cm", "never"]
