"""The fit's door: from files to a folder, its command line, and what a user can do wrong."""

import json
from functools import partial

import numpy as np
import pytest
from PIL import Image

import fit_rig as door
from geometry.camera import look_at
from geometry.kinematics import homogeneous, rotvec_to_matrix
from launch import pose_fit, pose_search
from launch.pose_figure import silhouette_of
from launch.scan_fit import ScanOptions
from launch.silhouette_fit import FitOptions
from rigging.scene_fresh import write_glb
from tests.dataset.figures import capsule_man
from tests.launch.test_setup import machine  # noqa: F401  a fixture


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """hero.glb, and front.png, left.png, right.png of it with both arms lowered, at a scale and place that the door must find."""
    folder, turned = tmp_path_factory.mktemp("fit"), np.zeros((22, 3))
    man = capsule_man(22)
    turned[[7, 11]] = np.radians([[0, 60, 0], [0, -50, 0]])
    posed = man.posed(homogeneous(rotvec_to_matrix(turned)))
    for view, way in (("front", (0, -1, 0)), ("left", (1, 0, 0)), ("right", (-1, 0, 0))):
        camera = look_at(5 * np.array(way) + (.1, .1, 1), (.1, .1, 1), field_of_view=None, zoom=.7)
        pixels = 255 - 255 * silhouette_of(posed.vertices_V3, posed.faces_F3, camera, 96, 96)
        Image.fromarray(np.uint8(pixels)).save(folder / f"{view}.png")
    man = capsule_man(52, up="y")
    write_glb(folder / "hero.glb", man.vertices_V3, man.faces_F3, None, man.joints_J3, man.parents, man.names, man.skin_VJ, "y")
    return folder


def test_from_pictures_to_a_folder(place, capsys, monkeypatch):
    monkeypatch.setattr(pose_fit, "FindOptions", partial(pose_fit.FindOptions, starts=1, headings=(0.0,), finish=FitOptions(steps=5, lr=.01)))
    monkeypatch.setattr(pose_search, "MOST_DRAWN", 200)
    files = [str(place / name) for name in ("hero.glb", "front.png", "left.png", "right.png")]
    assert door.main(["--input", *files, "--output", str(place / "out")]) == 0
    said = json.loads((place / "out" / "hero" / "fit.json").read_text())
    arm = next(joint for joint in said["joints"] if joint["name"] == "l_upper_arm")
    assert said["iou"] > .8 > .7 > said["iou_at_rest"] and arm["degrees"] > 25
    assert capsys.readouterr().out.endswith(f"result: {place / 'out' / 'hero'}\n")


def test_from_a_scan_to_a_folder(place, capsys, monkeypatch):
    """The scan is the capsule man with both arms lowered, in the file's own axes."""
    monkeypatch.setattr(pose_fit, "FindOptions", partial(pose_fit.FindOptions, starts=1, headings=(0.0,), finish_scan=ScanOptions(steps=30)))
    monkeypatch.setattr(pose_search, "MOST_DRAWN", 200)
    turned, man = np.zeros((52, 3)), capsule_man(52, up="y")
    turned[[7, 11]] = np.radians([[0, 0, -60], [0, 0, 50]])
    posed = man.posed(homogeneous(rotvec_to_matrix(turned)))
    lines = ["v {} {} {}".format(*vertex) for vertex in posed.vertices_V3] + ["f {} {} {}".format(*face) for face in posed.faces_F3 + 1]
    (place / "scan.obj").write_text("\n".join(lines))
    files = ["--input", str(place / "hero.glb"), "--scan", str(place / "scan.obj"), "--output", str(place / "scanned")]
    assert door.main(files) == 0
    said = json.loads((place / "scanned" / "hero" / "fit.json").read_text())
    degrees = {joint["name"]: joint["degrees"] for joint in said["joints"]}
    assert degrees["l_upper_arm"] + degrees["l_shoulder"] == pytest.approx(60, abs=12)
    assert said["scan_gap"] < .015 < .04 < said["scan_gap_at_rest"]     # metres; points of the surfaces are .02 apart
    assert f"{said['scan_gap']:.3g} apart" in capsys.readouterr().out


@pytest.mark.parametrize("words, why", [
    (["hero.glb", "hero.png"], "hero.png: cannot be read"), (["none.glb", "front.png"], "none.glb"),
    (["mesh.obj", "front.png"], "rig it first"), (["hero.glb", "front.png", "--cameras", "c.json"], "no camera for front.png"),
    (["hero.glb", "--scan", "none.ply"], "none.ply"), (["hero.glb", "front.png", "--motion", "walk.txt"], "walk.txt")])
def test_what_a_user_can_do_wrong_is_a_sentence(place, capsys, words, why):
    (place / "c.json").write_text("{}")
    (place / "mesh.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    assert door.main(["--input", *(word if word.startswith("--") else str(place / word) for word in words), "--output", str(place / "no")]) == 2
    said = capsys.readouterr().err
    assert said.splitlines()[-1].startswith("fit_rig: ") and why in said and "Traceback" not in said
    assert not (place / "no").exists()


@pytest.mark.parametrize("words, why", [([], "--input"), (["--input", "a.glb"], "name pictures, or a posed mesh"),
                                        (["--input", "a.glb", "b.png", "--scan", "c.ply"], "and not both"),
                                        (["--input", "a.glb", "--scan", "c.ply", "--cameras", "d.json"], "--cameras needs pictures")])
def test_commands_that_make_no_sense(words, why, capsys):
    with pytest.raises(SystemExit) as ended:
        door.main(words)
    assert ended.value.code == 2 and why in capsys.readouterr().err


def test_the_script_takes_files_first_from_where_it_was_called(machine):  # noqa: F811
    machine.run()
    (machine.root / "sub").mkdir()
    ran = "ran fit_rig.py"
    assert machine.run("launch/fit.sh", "a.glb", "/x/b.png", "--cameras", "c") == (0, f"{ran} --input a.glb /x/b.png --cameras c\n", "")
    assert machine.run("-c", "cd sub && bash ../launch/fit.sh c.glb d.png") == (0, f"{ran} --input sub/c.glb sub/d.png\n", "")
