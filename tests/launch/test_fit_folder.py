"""What a fit leaves: a file whose animation ends in the pose, numbers that say it, a picture that shows it, or nothing."""

import json

import numpy as np
import pytest
from PIL import Image

from dataset.asset import AssetError
from dataset.sources.files import load_asset
from dataset.sources.npz import write_npz
from geometry.camera import look_at
from geometry.kinematics import rotvec_to_matrix
from launch import fit_folder
from launch.fit_folder import BOTH, MISSING, TOO_MUCH, overlay, write_fit
from launch.pose_figure import Figure, Pose, Target, silhouette_iou, silhouette_of, skinned
from launch.pose_fit import Found
from rigging.scene_fresh import write_glb
from tests.dataset.figures import capsule_man
from viewer.file_motion import read_motions

POSE = Pose(rotvec_to_matrix(np.random.default_rng(0).normal(0, .4, (22, 3))), np.array([.3, -.2, .1]))


def case(path, up="y", joints=52, suffix=".glb"):
    """A rigged file, its asset and figure, and a fit that found POSE."""
    man = capsule_man(joints, up=up)
    if suffix == ".glb":
        write_glb(path, man.vertices_V3, man.faces_F3, man.normals_V3, man.joints_J3, man.parents, man.names, man.skin_VJ, up)
    else:
        write_npz(path, man)
    asset = load_asset(path)
    turned = asset.in_network_frame().with_joints(22)
    figure = Figure(turned.vertices_V3, turned.faces_F3, np.float64(turned.joints_J3), turned.parents, turned.skin_VJ)
    vertices = skinned(np.float64(figure.vertices_V3), figure.skin_VJ, figure.transforms(*POSE))
    camera = look_at((0, -6, 1), (0, 0, 1))
    targets = (Target(camera, silhouette_of(vertices, figure.faces_F3, camera, 40, 60).astype(float)),)
    return asset, figure, Found(POSE, targets, silhouette_iou(figure, POSE, targets), silhouette_iou(figure, figure.rest, targets))


@pytest.mark.parametrize("suffix", [".glb", ".npz"])
def test_the_animation_goes_from_rest_into_the_pose(tmp_path, suffix):
    source = tmp_path / f"hero{suffix}"
    asset, figure, found = case(source, suffix=suffix)
    write_fit(tmp_path / "out" / "hero", source, asset, figure, found, ["front"])
    posed = load_asset(tmp_path / "out" / "hero" / "posed.glb")
    motion, = read_motions(tmp_path / "out" / "hero" / "posed.glb", posed)
    assert motion.transforms_TJ34.shape == (31, 52, 3, 4) and motion.fps == pytest.approx(30)
    wanted = figure.transforms(*POSE)
    for t, body in ((0, figure.transforms(*figure.rest)), (-1, wanted)):
        np.testing.assert_allclose(motion.transforms_TJ34[t, :22], body, atol=1e-4)
    np.testing.assert_allclose(motion.transforms_TJ34[-1, 22:37], np.tile(wanted[9], (15, 1, 1)), atol=1e-4)    # fingers follow the hand
    assert abs(motion.transforms_TJ34[1] - motion.transforms_TJ34[0]).max() < .02 < abs(motion.transforms_TJ34[15] - motion.transforms_TJ34[14]).max()


def test_the_report_speaks_of_the_files_axes(tmp_path):
    asset, figure, found = case(tmp_path / "hero.glb")
    said = write_fit(tmp_path / "out", tmp_path / "hero.glb", asset, figure, found, ["front"])
    written = json.loads((tmp_path / "out" / "fit.json").read_text())
    assert written == json.loads(json.dumps(fit_folder.rounded(said))) and written["views"][0]["view"] == "front"
    np.testing.assert_allclose(written["offset"], [.3, .1, .2], atol=1e-6)      # Z up, facing -Y, to Y up, facing +Z
    elbow = next(joint for joint in written["joints"] if joint["name"] == "l_lower_arm")
    x, y, z = np.degrees(np.random.default_rng(0).normal(0, .4, (22, 3))[8])
    np.testing.assert_allclose(elbow["rotation_vector"], [x, z, -y], rtol=1e-4)
    assert elbow["degrees"] == pytest.approx(np.linalg.norm([x, y, z]), rel=1e-4)
    assert written["iou"] > .99 > written["iou_at_rest"] == pytest.approx(found.rest_iou_N[0], rel=1e-5)
    assert written["views"][0]["camera"]["eye"] == [0, 1, 6]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"posed.glb", "fit.json", "fit.png"}
    with Image.open(tmp_path / "out" / "fit.png") as sheet:
        assert sheet.height > 600


def test_the_picture_shows_what_agrees(tmp_path):
    _, figure, found = case(tmp_path / "hero.glb")
    pixels = np.asarray(overlay(figure, found, ["a very long name of a view that does not fit below its picture"]))
    top, bottom = pixels[46:346, 14:464].reshape(-1, 3).tolist(), pixels[384:684, 14:464].reshape(-1, 3).tolist()
    assert all(top.count(list(colour)) > 100 for colour in (BOTH, MISSING, TOO_MUCH))
    assert bottom.count(list(BOTH)) > 1000 and bottom.count(list(MISSING)) < 50 and bottom.count(list(TOO_MUCH)) < 50


def test_all_or_nothing(tmp_path, monkeypatch):
    asset, figure, found = case(tmp_path / "hero.glb")
    write_fit(tmp_path / "out" / "hero", tmp_path / "hero.glb", asset, figure, found, ["front"])
    before = {path.name: path.read_bytes() for path in (tmp_path / "out" / "hero").iterdir()}

    def broken(*_):
        raise AssetError("no picture today")
    monkeypatch.setattr(fit_folder, "overlay", broken)
    with pytest.raises(AssetError, match="no picture"):
        write_fit(tmp_path / "out" / "hero", tmp_path / "hero.glb", asset, figure, found, ["front"])
    assert {path.name: path.read_bytes() for path in (tmp_path / "out" / "hero").iterdir()} == before
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["hero"]
