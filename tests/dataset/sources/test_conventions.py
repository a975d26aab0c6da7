"""Joint conventions: a skeleton by hand, both up axes, and the real sources where this machine has them."""

from dataclasses import replace

import numpy as np
import pytest
import trimesh

from dataset.asset import Asset, AssetError
from dataset.format import BODY_NAMES, BODY_PARENTS
from dataset.sources import conventions
from dataset.sources.conventions import CONTEST_HEIGHTS, MAKEHUMAN, ROCKETBOX, SPINE, Convention, measure, spine_heights, to_contest
from dataset.sources.npz import load_npz
from geometry.similarity import Y_UP_TO_Z_UP

INDEX = {n: j for j, n in enumerate(BODY_NAMES)}


def stick_figure(heights) -> Asset:
    """Thighs at height 1, shoulders at 1.5 (u = .5), spine joints at 1 + u * heights with z = height / 10; every other joint at the origin."""
    joints_J3 = np.zeros((22, 3), np.float32)
    for side, sign in (("l", 1), ("r", -1)):
        joints_J3[INDEX[f"{side}_upper_leg"]] = [0.1 * sign, 1, 0]
        joints_J3[INDEX[f"{side}_upper_arm"]] = [0.2 * sign, 1.5, 0]
    for name, height in zip(SPINE, heights):
        joints_J3[INDEX[name]] = [0, 1 + 0.5 * height, 0.1 * height]
    matrix_local_J44 = np.tile(np.diag([1.0, -1.0, -1.0, 1.0]), (22, 1, 1))
    matrix_local_J44[:, :3, 3] = joints_J3
    return Asset(cls="test", id="0", source="stick", vertices_V3=np.zeros((1, 3), np.float32), joints_J3=joints_J3, parents=BODY_PARENTS,
                 names=BODY_NAMES, matrix_local_J44=matrix_local_J44, up="y")


def test_by_hand():
    source = (0.0, 0.2, 0.5, 0.8, 1.2, 1.3)
    convention = Convention(heights=dict(zip(SPINE, source)), forward={"chest": 0.1, "upper_arm": 0.2}, upward={"shoulder": -0.04},
                            thigh_spacing=0.5)
    before = stick_figure(source)
    after = to_contest(before, convention)
    for name, height in CONTEST_HEIGHTS.items():   # on the line z = height / 10 of the old joints; chest 0.1 u further to the front
        wanted = [0, 1 + 0.5 * height, 0.1 * height + (0.05 if name == "chest" else 0)]
        np.testing.assert_allclose(after.joints_J3[INDEX[name]], wanted, atol=1e-6)
    np.testing.assert_allclose(after.joints_J3[INDEX["l_upper_leg"]], [0.05, 1, 0], atol=1e-6)
    np.testing.assert_allclose(after.joints_J3[INDEX["r_upper_arm"]], [-0.2, 1.5, 0.1], atol=1e-6)
    np.testing.assert_allclose(after.joints_J3[INDEX["r_shoulder"]], [0, -0.02, 0], atol=1e-6)
    np.testing.assert_array_equal(after.matrix_local_J44[:, :3, 3].astype(np.float32), after.joints_J3)
    np.testing.assert_array_equal(after.matrix_local_J44[:, :3, :3], before.matrix_local_J44[:, :3, :3])
    assert before.joints_J3[INDEX["l_upper_leg"], 0] == np.float32(0.1)     # the input is not touched


@pytest.mark.parametrize("convention", [MAKEHUMAN, ROCKETBOX])
def test_mean_character_lands_on_the_contests_heights(convention):
    heights = spine_heights(to_contest(stick_figure(convention.heights.values()), convention))
    assert heights == pytest.approx(CONTEST_HEIGHTS, abs=1e-6)


def test_up_axis_makes_no_difference():
    y_up = stick_figure(MAKEHUMAN.heights.values())
    z_up = replace(y_up, joints_J3=(y_up.joints_J3 @ Y_UP_TO_Z_UP.T).astype(np.float32), matrix_local_J44=None, up="z")
    got, want = to_contest(z_up, MAKEHUMAN), to_contest(y_up, MAKEHUMAN)
    np.testing.assert_allclose(got.joints_J3, want.joints_J3 @ Y_UP_TO_Z_UP.T, atol=1e-6)
    assert got.matrix_local_J44 is None


def test_refuses_what_does_not_stand():
    figure = stick_figure(MAKEHUMAN.heights.values())
    with pytest.raises(AssetError, match="shoulders are not above"):
        to_contest(replace(figure, joints_J3=-figure.joints_J3), MAKEHUMAN)
    with pytest.raises(AssetError, match="do not rise"):
        to_contest(stick_figure((0.1, 0.3, 0.2, 0.8, 1.2, 1.3)), MAKEHUMAN)
    with pytest.raises(AssetError, match="has 5 joints"):
        to_contest(replace(figure, joints_J3=figure.joints_J3[:5]), MAKEHUMAN)


def test_rocketbox_on_average(shared_data):
    files = sorted((shared_data / "train" / "rocketbox").glob("*.npz"))[::8]
    rows = [spine_heights(to_contest(load_npz(f, up="y"), ROCKETBOX)) for f in files]
    for name, wanted in CONTEST_HEIGHTS.items():
        assert np.mean([r[name] for r in rows]) == pytest.approx(wanted, abs=0.02)


def test_measures_by_hand():
    """A trunk that is a box of depth .4 and width 1 around x = 0, z = 0 .. .4, and the stick figure in it."""
    box = trimesh.creation.box(extents=(1.0, 3.0, 0.4))
    box.apply_translation([0, 1.5, 0.2])
    figure = stick_figure((0.1, 0.3, 0.5, 0.8, 1.2, 1.3))
    joints_J3 = figure.joints_J3.copy()
    joints_J3[INDEX["l_lower_arm"]], joints_J3[INDEX["l_hand"]] = [0.3, 1.2, 0.1], [0.3, 0.8, 0.1]
    joints_J3[INDEX["l_shoulder"]] = [0.1, 1.55, 0]
    joints_J3[INDEX["l_lower_leg"]], joints_J3[INDEX["l_foot"]] = [0.1, 0.6, 0], [0.1, 0.2, 0]
    got = measure(replace(figure, vertices_V3=box.vertices, faces_F3=box.faces, joints_J3=joints_J3), np.random.default_rng(0))
    want = {"height of chest": 0.5, "depth of chest": 0.05 / 0.4, "depth of upper_chest": 0.08 / 0.4, "depth of neck": 0.12 / 0.4,
            "thigh spacing / hip width": 0.2 / 0.6, "shoulder above upper_arm": 0.1, "knee / leg length": 0.5}
    assert {name: got[name] for name in want} == pytest.approx(want, abs=0.01)


def test_command_measures_files(tmp_path, capsys, shared_data):
    file = sorted((shared_data / "train" / "rocketbox").glob("*.npz"))[0]
    conventions.main([str(file), "--up", "y"])
    out = capsys.readouterr().out
    assert "1 characters" in out and "height of hips" in out and "depth of neck" in out
    with pytest.raises(SystemExit):
        conventions.main([])
    assert "nothing to measure" in capsys.readouterr().err
