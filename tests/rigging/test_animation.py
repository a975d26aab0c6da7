"""Baked clips: played by a second reading of the specification, compared with our own skinning, with the clip and with three.js."""

import json
import shutil
import subprocess
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from dataset.asset import AssetError
from dataset.format import BODY_NAMES, BODY_PARENTS, DIALECTS, skeleton
from dataset.poses import T_AIMS
from dataset.sources.bvh import load_bvh, read_bvh
from dataset.sources.humans import generate
from geometry.kinematics import homogeneous, quaternion_to_matrix, rotation_uniform, rotvec_to_matrix
from geometry.similarity import Y_UP_TO_Z_UP
from rigging.animation import Clip, bake, continuous, load_clip
from rigging.bvh_export import write_bvh, zxy_degrees
from rigging.dialects import in_dialect
from rigging.rig import CharacterRig
from rigging.scene_fresh import fresh_scene

from tests.rigging.gltf_player import Player
from tests.rigging.played import played as ours

HERE = Path(__file__).parent
J = {name: j for j, name in enumerate(BODY_NAMES)}
LIMBS = [(f"{s}_{a}", f"{s}_{b}") for s in "lr" for a, b in (("upper_arm", "lower_arm"), ("lower_arm", "hand"), ("upper_leg", "lower_leg"),
                                                              ("lower_leg", "foot"))]
BACKWARDS = np.diag([-1.0, -1.0, 1.0])


def wave(count: int = 12, seed: int = 0) -> Clip:
    """A smooth dance of all joints, each turned on its parent, walking on and up."""
    rng, time = np.random.default_rng(seed), np.arange(count) / 10
    turn_TJ33 = np.empty((count, 22, 3, 3))
    for j, parent in enumerate(BODY_PARENTS):
        swing_T3 = np.sin(time[:, None] * rng.uniform(1, 3, 3) + rng.uniform(0, 6, 3)) * (1.5 if "arm" in BODY_NAMES[j] else 0.5)
        turn_TJ33[:, j] = rotvec_to_matrix(swing_T3) if parent is None else turn_TJ33[:, parent] @ rotvec_to_matrix(swing_T3)
    return Clip(turn_TJ33, np.stack([0.1 * time, 0.02 * np.sin(time), 0.5 * time], 1), 10.0, "wave")


@lru_cache
def human(seed: int = 1, style: str = "full"):
    return generate(seed, style)


def rigged(dialect: str = "contest", to_network_33: np.ndarray = Y_UP_TO_Z_UP, up: str = "y", seed: int = 1):
    """-> scene, rig, vertices in the rig's frame."""
    asset = human(seed).in_network_frame()
    bones = skeleton(52)
    rig = CharacterRig(asset.joints_J3.astype(np.float64) @ to_network_33, bones.parents, bones.names, asset.skin_VJ, to_network_33)
    rig = in_dialect(rig, dialect)
    vertices_V3 = (asset.vertices_V3.astype(np.float64) @ to_network_33).astype(np.float32)
    return fresh_scene(vertices_V3, asset.faces_F3, None, rig, up), rig, vertices_V3


CASES = [("contest", Y_UP_TO_Z_UP, "y"), ("mixamo", Y_UP_TO_Z_UP, "y"), ("ue5", Y_UP_TO_Z_UP, "y"), ("vrm", BACKWARDS @ Y_UP_TO_Z_UP, "y"),
         ("ue5", np.eye(3), "z"), ("smpl", BACKWARDS, "z"), ("contest", np.eye(3), "z"),
         ("unity", Y_UP_TO_Z_UP @ rotvec_to_matrix(np.array([1.2, 0.4, -0.3])), "y")]


@pytest.mark.parametrize("dialect, axes, up", CASES)
def test_the_file_plays_what_our_skinning_says(dialect, axes, up):
    scene, rig, vertices_V3 = rigged(dialect, axes, up)
    clip = wave()
    bake(scene, rig, clip)
    player = Player(scene.file.pack())
    to_network_33 = axes @ (Y_UP_TO_Z_UP if up == "z" else np.eye(3))     # a Z-up figure was turned on its way into the file
    for frame in (0, 5, 11):
        worlds = player.worlds(0, frame / clip.fps)
        want_V3, want_J3 = ours(rig, vertices_V3, clip, frame)
        np.testing.assert_allclose(player.vertices(0, worlds) @ to_network_33.T, want_V3, atol=1e-5)
        by_name = {player.document["nodes"][node].get("name"): worlds[node][:3, 3] for node in worlds}
        got_J3 = np.stack([by_name[DIALECTS[dialect][name]] for name in BODY_NAMES]) @ to_network_33.T
        np.testing.assert_allclose(got_J3, want_J3, atol=1e-5)
        for a, b in LIMBS:      # D carries the T direction of the bone to where it points
            way_3 = (got_J3[J[b]] - got_J3[J[a]]) / np.linalg.norm(got_J3[J[b]] - got_J3[J[a]])
            clip_3 = Y_UP_TO_Z_UP @ clip.rotations_TJ33[frame, J[a]] @ Y_UP_TO_Z_UP.T @ T_AIMS[22][J[a]][2]
            assert np.degrees(np.arccos(np.clip(way_3 @ clip_3, -1, 1))) < 0.1, a
    rest_V3 = player.vertices(0, player.worlds()) @ to_network_33.T
    np.testing.assert_allclose(rest_V3, vertices_V3 @ axes.T, atol=1e-6)    # at rest nothing moved


def test_quaternions_do_not_jump():
    scene, rig, _ = rigged()
    bake(scene, rig, wave(40, seed=2))
    player = Player(scene.file.pack())
    for sampler in player.document["animations"][0]["samplers"]:
        values = player.array(sampler["output"])
        if values.shape[1] == 4:
            assert ((values[1:] * values[:-1]).sum(1) > 0.5).all()
            np.testing.assert_allclose(np.linalg.norm(values, axis=1), 1, atol=1e-6)
    quat_T4 = np.array([[0, 0, 0, 1], [0, 0, -0.1, -1], [0, 0, -0.2, -1], [0, 0, 0.3, 1]], float)
    assert continuous(quat_T4)[:, 3].tolist() == [1, 1, 1, 1] and continuous(quat_T4)[:, 2].tolist() == [0, 0.1, 0.2, 0.3]


def test_the_hips_go_as_far_as_the_legs_are_long():
    clip = Clip(np.tile(np.eye(3), (2, 22, 1, 1)), np.array([[0, 0, 0], [0, 0, 2.0]]), 1.0, "step")
    scene, rig, _ = rigged()
    bake(scene, rig, clip)
    player = Player(scene.file.pack())
    way_3 = player.worlds(0, 1.0)[scene.joints[0]][:3, 3] - player.worlds(0, 0.0)[scene.joints[0]][:3, 3]
    legs = [rig.joints_J3[J[name]] for name in ("l_upper_leg", "l_lower_leg", "l_foot", "r_upper_leg", "r_lower_leg", "r_foot")]
    leg = sum(np.linalg.norm(legs[a] - legs[a + 1]) for a in (0, 1, 3, 4)) / 2
    np.testing.assert_allclose(way_3, (0, 0, 2 * leg), atol=1e-6)


def test_a_clip_in_place_keeps_a_foot_on_the_ground():
    # both thighs level to the front, shins hanging: a seat, so the hips sink by the thigh and the feet keep their height
    turn_TJ33 = np.tile(np.eye(3), (2, 22, 1, 1))
    for side in "lr":
        turn_TJ33[1, J[f"{side}_upper_leg"]] = rotvec_to_matrix(np.array([-np.pi / 2, 0, 0]))
    clip = Clip(turn_TJ33, None, 1.0, "sit")
    for dialect, axes, up in (("ue5", Y_UP_TO_Z_UP, "y"), ("contest", BACKWARDS, "z")):
        scene, rig, _ = rigged(dialect, axes, up)
        bake(scene, rig, clip)
        player = Player(scene.file.pack())
        body = [rig.names.index(DIALECTS[dialect][name]) for name in BODY_NAMES]
        at = {name: [player.worlds(0, t)[scene.joints[k]][:3, 3] for t in (0.0, 1.0)] for name, k in zip(BODY_NAMES, body)}
        rest_J3 = rig.joints_J3[body]
        thigh = max(np.linalg.norm(rest_J3[J[f"{s}_lower_leg"]] - rest_J3[J[f"{s}_upper_leg"]]) for s in "lr")
        for t in (0, 1):
            feet = [f"{s}_{part}" for s in "lr" for part in ("foot", "toe_base")]
            low = min(at[name][t][1] for name in feet)
            assert low == pytest.approx(min((rest_J3 @ axes.T)[J[name], 2] for name in feet), abs=1e-6)
        assert at["hips"][0][1] - at["hips"][1][1] == pytest.approx(thigh, rel=0.01)


def test_the_users_own_skeleton_plays_too(tmp_path):
    """Joints that hang under a turned, scaled and shifted node, one of them posed by a matrix: directions follow the clip all the same."""
    scene, rig, _ = rigged("ue5")
    document, clip = scene.file.document, wave()
    turn_33 = rotvec_to_matrix(np.array([0.3, 0.5, -0.2]))
    matrix_44 = homogeneous(0.01 * turn_33, np.array([1.0, 2.0, 3.0]))
    document["nodes"][scene.root]["matrix"] = matrix_44.T.ravel().tolist()
    knee = document["nodes"][scene.joints[rig.names.index("calf_l")]]
    knee_44 = homogeneous(quaternion_to_matrix(np.array(knee.pop("rotation", (0, 0, 0, 1)))), np.array(knee.pop("translation")))
    knee["matrix"] = knee_44.T.ravel().tolist()
    own = replace(scene, root=None)     # as keep-skeleton says it: the joints stand where they stand
    bake(own, replace(rig, to_network_33=Y_UP_TO_Z_UP @ turn_33.T), clip)
    player = Player(scene.file.pack())
    assert "matrix" not in knee and "rotation" in knee
    for frame in (0, 7):
        worlds = player.worlds(0, frame / clip.fps)
        place = {name: worlds[scene.joints[rig.names.index(DIALECTS["ue5"][name])]][:3, 3] for name in BODY_NAMES}
        for a, b in LIMBS:
            way_3 = Y_UP_TO_Z_UP @ turn_33.T @ (place[b] - place[a]) / np.linalg.norm(place[b] - place[a])
            clip_3 = Y_UP_TO_Z_UP @ clip.rotations_TJ33[frame, J[a]] @ Y_UP_TO_Z_UP.T @ T_AIMS[22][J[a]][2]
            assert np.degrees(np.arccos(np.clip(way_3 @ clip_3, -1, 1))) < 0.1, a


@pytest.mark.parametrize("dialect", ["ue5", "mixamo"])
def test_three_plays_it(tmp_path, dialect):
    scene, rig, vertices_V3 = rigged(dialect)
    clip = wave()
    bake(scene, rig, clip)
    scene.file.write(tmp_path / "wave.glb")
    times = [0.0, 0.25, 0.5, 1.1]
    told = json.loads(node("play_clip.mjs", tmp_path / "wave.glb", *map(str, times)))
    player = Player((tmp_path / "wave.glb").read_bytes())
    for time, got in zip(times, told["frames"]):
        worlds = player.worlds(0, time)
        for number in scene.joints:
            np.testing.assert_allclose(got["places"][player.document["nodes"][number]["name"]], worlds[number][:3, 3], atol=1e-3)
        np.testing.assert_allclose(got["vertices"], player.vertices(0, worlds)[::97], atol=1e-3)
    want_V3, _ = ours(rig, vertices_V3, clip, 5)
    np.testing.assert_allclose(np.array(told["frames"][2]["vertices"]) @ Y_UP_TO_Z_UP.T, want_V3[::97], atol=1e-3)
    assert abs(told["duration"] - 1.1) < 1e-5 and told["tracks"] == 23


def node(script: str, *arguments) -> str:
    if shutil.which("node") is None or not (HERE / "node_modules/three").exists():
        pytest.skip("NOT TESTED with three.js: install node and run `npm install --prefix tests/rigging`")
    result = subprocess.run(["node", str(HERE / script), *map(str, arguments)], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize("dialect", ["contest", "ue5"])
def test_bvh_there_and_back(tmp_path, dialect):
    _, rig, _ = rigged(dialect, BACKWARDS @ Y_UP_TO_Z_UP)
    clip = wave()
    write_bvh(tmp_path / "wave.bvh", rig, clip)
    motion, file = load_bvh(tmp_path / "wave.bvh", "offsets"), read_bvh(tmp_path / "wave.bvh")
    np.testing.assert_allclose(motion.rotations_TJ33, clip.rotations_TJ33, atol=1e-4)
    back = load_clip(tmp_path / "wave.bvh")
    np.testing.assert_allclose(back.rotations_TJ33, clip.rotations_TJ33, atol=1e-4)
    np.testing.assert_allclose(back.offset_T3, clip.offset_T3, atol=1e-4)
    assert back.fps == pytest.approx(clip.fps, rel=1e-6) and file.names[0] == "Hips" and len(file.names) == 22
    arm_3 = file.offsets_B3[file.names.index("LeftForeArm")]
    np.testing.assert_allclose(arm_3 / np.linalg.norm(arm_3), (1, 0, 0), atol=1e-4)     # zero rotations are the T pose
    write_bvh(tmp_path / "pose.bvh", rig, Clip(clip.rotations_TJ33[3:4], None, 30.0, "pose"))
    np.testing.assert_allclose(load_clip(tmp_path / "pose.bvh").rotations_TJ33, clip.rotations_TJ33[3:4], atol=1e-4)


def test_angles_at_the_pole():
    rng = np.random.default_rng(0)
    turn_T33 = np.stack([rotation_uniform(rng) for _ in range(50)] + [rotvec_to_matrix(np.array([s * np.pi / 2, 0, 0])) @ rotvec_to_matrix(
        np.array([0, a, 0])) for s in (1, -1) for a in (0, 0.5, 3)])
    angle_T3 = np.radians(zxy_degrees(turn_T33))
    parts = [rotvec_to_matrix(angle_T3[:, [k]] * np.eye(3)[axis]) for k, axis in enumerate((2, 0, 1))]
    np.testing.assert_allclose(parts[0] @ parts[1] @ parts[2], turn_T33, atol=1e-7)


def test_whole_clips_and_banks(tmp_path):
    clip = wave(4)
    metres_T3 = 0.85 * clip.offset_T3
    np.savez(tmp_path / "whole.npz", rot=clip.rotations_TJ33.astype(np.float32), offset=metres_T3.astype(np.float32), fps=30.0)
    back = load_clip(tmp_path / "whole.npz")
    np.testing.assert_allclose(back.offset_T3, clip.offset_T3, atol=1e-6)
    assert back.fps == 30 and back.name == "whole"
    quat_TJ4 = np.random.default_rng(1).normal(size=(5, 22, 4))
    quat_TJ4 /= np.linalg.norm(quat_TJ4, axis=-1, keepdims=True)
    clips = dict(clip=np.array([0, 0, 1, 1, 1]), clip_names=np.array(["a", "b"]))
    np.savez(tmp_path / "bank.npz", quat_xyzw=quat_TJ4, joints=np.array(BODY_NAMES), **clips)
    part = load_clip(tmp_path / "bank.npz", "b")
    np.testing.assert_allclose(part.rotations_TJ33, quaternion_to_matrix(quat_TJ4[2:]), atol=1e-6)
    assert part.offset_T3 is None and part.name == "b"
    with pytest.raises(AssetError, match="bank.npz: a bank of 2 clips; name one of them: a, b"):
        load_clip(tmp_path / "bank.npz", "c")
    np.savez(tmp_path / "bad.npz", rot=2 * clip.rotations_TJ33, offset=metres_T3, fps=30.0)
    with pytest.raises(AssetError, match="bad.npz: rot holds matrices that are no rotations"):
        load_clip(tmp_path / "bad.npz")
    np.savez(tmp_path / "short.npz", rot=clip.rotations_TJ33)
    with pytest.raises(AssetError, match="short.npz: no motion: it lacks fps, offset"):
        load_clip(tmp_path / "short.npz")


def test_what_is_refused():
    scene, rig, _ = rigged()
    with pytest.raises(ValueError, match="must be .1 to 100000, 22, 3, 3"):
        Clip(np.zeros((0, 22, 3, 3)), None, 30.0, "empty")
    with pytest.raises(ValueError, match="not finite"):
        Clip(np.full((1, 22, 3, 3), np.nan), None, 30.0, "broken")
    with pytest.raises(ValueError, match="within 0 to 1000 a second"):
        Clip(np.tile(np.eye(3), (1, 22, 1, 1)), None, 0.0, "still")
    other = CharacterRig(rig.joints_J3 * 1.1, rig.parents, rig.names, rig.skin_VJ, rig.to_network_33)
    with pytest.raises(ValueError, match="not the one that the scene was made with"):
        bake(scene, other, wave())
    nameless = CharacterRig(rig.joints_J3, rig.parents, tuple(f"bone{j}" for j in range(52)), rig.skin_VJ, rig.to_network_33)
    with pytest.raises(ValueError, match="no joint of the rig is called hips"):
        bake(scene, nameless, wave())
    scene.file.document["nodes"][scene.root]["scale"] = [1, 2, 1]
    with pytest.raises(AssetError, match="scaled unevenly"):
        bake(scene, rig, wave())
