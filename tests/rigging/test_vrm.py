"""VRM 1.0: the specification's rules, the T pose on the origin, what an older VRM leaves behind, and three-vrm's own opinion."""

import json
from dataclasses import replace

import numpy as np
import pytest

from dataset.asset import AssetError, network_rotation
from dataset.format import BODY_NAMES, DIALECTS
from dataset.sources.files import load_asset
from geometry.similarity import Y_UP_TO_Z_UP
from rigging.animation import bake
from rigging.dialects import in_dialect
from rigging.node_tree import NodeTree
from rigging.rig import CharacterRig
from rigging.scene import add_rig
from rigging.scene_fresh import fresh_scene
from rigging.vrm import LICENCE, VrmMeta, human_bones, vrm_extension, write_vrm
from tests.rigging.gltf_player import Player
from tests.rigging.test_animation import BACKWARDS, node, rigged, wave

REQUIRED = ("hips spine head leftUpperLeg leftLowerLeg leftFoot rightUpperLeg rightLowerLeg rightFoot "
            "leftUpperArm leftLowerArm leftHand rightUpperArm rightLowerArm rightHand").split()
VRM0 = {"meta": {"title": "Old Friend", "author": "A. Maker", "licenseName": "CC0", "otherLicenseUrl": ""}, "humanoid": {"humanBones": []}}


def avatar(dialect="vrm", axes=Y_UP_TO_Z_UP, up="y", meta=None, extension=None):
    scene, rig, vertices_V3 = rigged(dialect, axes, up)
    if extension:
        scene.file.document["extensions"] = {"VRM": extension}
        scene.file.document["extensionsUsed"] = ["VRM"]
    vrm_extension(scene, rig, vertices_V3, meta)
    return scene, rig, vertices_V3


def places(player: Player) -> dict[str, np.ndarray]:
    worlds = player.worlds()
    bones = player.document["extensions"]["VRMC_vrm"]["humanoid"]["humanBones"]
    return {bone: worlds[entry["node"]][:3, 3] for bone, entry in bones.items()}


def check_stance(place: dict[str, np.ndarray], vertices_V3: np.ndarray) -> None:
    """T pose, facing +Z, hips over the origin, soles on the ground, left at +X."""
    assert set(REQUIRED) <= set(place)
    np.testing.assert_allclose(place["hips"][[0, 2]], 0, atol=1e-5)
    np.testing.assert_allclose(vertices_V3[:, 1].min(), 0, atol=1e-5)
    assert place["head"][1] > place["hips"][1] > place["leftFoot"][1] > 0
    for side, sign in (("left", 1), ("right", -1)):
        out_3, down_3 = (sign, 0, 0), (0, -1, 0)
        for a, b, way_3 in (("UpperArm", "LowerArm", out_3), ("LowerArm", "Hand", out_3), ("UpperLeg", "LowerLeg", down_3),
                            ("LowerLeg", "Foot", down_3)):
            bone_3 = place[side + b] - place[side + a]
            np.testing.assert_allclose(bone_3 / np.linalg.norm(bone_3), way_3, atol=1e-5)
        if f"{side}Toes" in place:
            assert place[f"{side}Toes"][2] > place[f"{side}Foot"][2]


@pytest.mark.parametrize("dialect, axes, up", [("vrm", Y_UP_TO_Z_UP, "y"), ("vrm", BACKWARDS @ Y_UP_TO_Z_UP, "y"), ("ue5", np.eye(3), "z"),
                                               ("smpl", BACKWARDS, "z"), ("mixamo", Y_UP_TO_Z_UP, "y")])
def test_the_figure_stands_as_the_specification_says(dialect, axes, up):
    scene, rig, _ = avatar(dialect, axes, up)
    player = Player(scene.file.pack())
    place = places(player)
    assert len(place) == 52
    check_stance(place, player.vertices(0, player.worlds()))


def test_the_extension():
    scene, _, _ = avatar()
    document = scene.file.document
    vrm = document["extensions"]["VRMC_vrm"]
    assert vrm["specVersion"] == "1.0" and document["extensionsUsed"] == ["VRMC_vrm"] and "extensionsRequired" not in document
    assert vrm["meta"] == {"name": "unnamed", "authors": ["unknown"], "licenseUrl": LICENCE, "avatarPermission": "onlyAuthor",
                           "commercialUsage": "personalNonProfit", "creditNotation": "required", "modification": "prohibited",
                           "allowRedistribution": False}
    nodes = [entry["node"] for entry in vrm["humanoid"]["humanBones"].values()]
    assert len(set(nodes)) == 52
    scene, _, _ = avatar(meta=VrmMeta("Ann", ("B", "C"), avatarPermission="everyone"))
    assert scene.file.document["extensions"]["VRMC_vrm"]["meta"]["authors"] == ["B", "C"]


def test_an_older_vrm_is_replaced_and_its_owner_kept():
    scene, _, _ = avatar(axes=BACKWARDS @ Y_UP_TO_Z_UP, extension=VRM0)
    document = scene.file.document
    assert "VRM" not in document["extensions"] and document["extensionsUsed"] == ["VRMC_vrm"]
    meta = document["extensions"]["VRMC_vrm"]["meta"]
    assert (meta["name"], meta["authors"], meta["avatarPermission"]) == ("Old Friend", ["A. Maker"], "onlyAuthor")
    assert meta["thirdPartyLicenses"] == "VRM 0.x terms of this model: licenseName: CC0" and "otherLicenseUrl" not in meta
    assert any("VRM 0.x" in note for note in scene.notes)


def test_a_vrm_1_keeps_the_rest_of_itself():
    scene, rig, vertices_V3 = rigged("vrm")
    own = {"specVersion": "1.0", "meta": {"name": "N", "authors": ["A"], "licenseUrl": LICENCE, "modification": "allowModification"},
           "humanoid": {"humanBones": {}}, "expressions": {"preset": {}}}
    scene.file.document |= {"extensions": {"VRMC_vrm": own}, "extensionsUsed": ["VRMC_vrm"]}
    vrm_extension(scene, rig, vertices_V3)
    vrm = scene.file.document["extensions"]["VRMC_vrm"]
    assert vrm["meta"]["modification"] == "allowModification" and vrm["expressions"] == {"preset": {}}
    assert len(vrm["humanoid"]["humanBones"]) == 52


def test_bones_that_share_a_node_or_lack_their_chain():
    scene, rig, _ = rigged("vrm")
    tree, joint = NodeTree(scene.file), list(DIALECTS["vrm"].values()).index
    swap = list(scene.joints)
    swap[joint("chest")] = swap[joint("spine")]     # a skeleton without a chest: spine stands for both
    bones = human_bones(replace(scene, joints=tuple(swap)), rig, tree)
    assert "chest" not in bones and "upperChest" not in bones and len(bones) == 50
    swap = list(scene.joints)
    swap[joint("leftIndexIntermediate")] = swap[joint("leftIndexProximal")]
    bones = human_bones(replace(scene, joints=tuple(swap)), rig, tree)
    assert {bone for bone in bones if bone.startswith("leftIndex")} == {"leftIndexProximal"}
    swap = list(scene.joints)
    swap[joint("leftLowerArm")] = swap[joint("leftUpperArm")]
    with pytest.raises(AssetError, match="two bones of the VRM, one of them leftLowerArm"):
        human_bones(replace(scene, joints=tuple(swap)), rig, tree)


def test_broken_skeletons_are_refused_before_anything_changes():
    scene, rig, vertices_V3 = rigged("vrm")
    before = scene.file.pack()
    upper, lower = (rig.names.index(name) for name in ("leftUpperLeg", "leftLowerLeg"))
    swapped = list(scene.joints)
    swapped[upper], swapped[lower] = swapped[lower], swapped[upper]
    with pytest.raises(AssetError, match="leftUpperLeg does not hang below"):
        human_bones(replace(scene, joints=tuple(swapped)), rig, NodeTree(scene.file))
    with pytest.raises(ValueError, match="no joint of the rig is called"):
        vrm_extension(scene, replace(rig, names=tuple(f"bone{j}" for j in range(52))), vertices_V3)
    assert scene.file.pack() == before
    scene.file.document["nodes"][scene.joints[upper]]["scale"] = [1, -1, 1]
    with pytest.raises(AssetError, match="scale that is not positive"):
        human_bones(scene, rig, NodeTree(scene.file))


@pytest.mark.parametrize("wrong", [dict(name=""), dict(authors=()), dict(authors=("",)), dict(commercialUsage="all")])
def test_meta_that_says_nothing_is_refused(wrong):
    with pytest.raises(ValueError, match="VRM"):
        VrmMeta(**wrong)


def test_only_a_vrm_is_written_as_one(tmp_path):
    scene, rig, vertices_V3 = rigged("vrm")
    with pytest.raises(ValueError, match="after vrm_extension"):
        write_vrm(tmp_path / "a.vrm", scene)
    vrm_extension(scene, rig, vertices_V3)
    with pytest.raises(ValueError, match="ends in .vrm"):
        write_vrm(tmp_path / "a.glb", scene)


def test_giants_are_noted():
    scene, rig, vertices_V3 = rigged("vrm")
    scene.notes.clear()
    vrm_extension(scene, rig, np.asarray(vertices_V3) * 100)
    assert any("counts in metres" in note for note in scene.notes)


@pytest.mark.parametrize("hands, count", [("full", 52), ("mitten", 30), ("none", 22)])
def test_three_vrm_loads_it(tmp_path, hands, count):
    _, rig, vertices_V3 = rigged("contest", BACKWARDS @ Y_UP_TO_Z_UP)
    rig = in_dialect(rig, "vrm", hands)
    scene = fresh_scene(vertices_V3, None, None, rig)
    bake(scene, rig, wave())
    vrm_extension(scene, rig, vertices_V3)
    write_vrm(tmp_path / "figure.vrm", scene)
    told = json.loads(node("load_vrm.mjs", tmp_path / "figure.vrm"))
    ours = places(Player((tmp_path / "figure.vrm").read_bytes()))
    assert told["version"] == "1" and told["meta"]["authors"] == ["unknown"]
    assert len(told["bones"]) == count and set(told["bones"]) == set(ours)
    for bone, place_3 in ours.items():
        np.testing.assert_allclose(told["bones"][bone], place_3, atol=1e-4)
    # an elbow bent by a right angle about Y brings a T pose's hand to the front, whatever the bone's axes
    forearm = np.linalg.norm(ours["leftHand"] - ours["leftLowerArm"])
    np.testing.assert_allclose(told["bent"], ours["leftLowerArm"] + (0, 0, forearm), atol=1e-4)


def test_a_real_vrm0_becomes_vrm1(tmp_path, shared_data):
    source = shared_data / "characters/cool_loops.vrm"
    asset = load_asset(source)
    rig = CharacterRig(asset.joints_J3.astype(np.float64), asset.parents, asset.names, asset.skin_VJ, network_rotation(asset).rotation_33)
    rig = in_dialect(rig, "vrm")
    scene = add_rig(source, rig)
    vrm_extension(scene, rig, asset.vertices_V3)
    write_vrm(tmp_path / "real.vrm", scene)
    told = json.loads(node("load_vrm.mjs", tmp_path / "real.vrm"))
    assert told["version"] == "1" and {DIALECTS["vrm"][name] for name in BODY_NAMES} <= set(told["bones"])
    place = {bone: np.array(place_3) for bone, place_3 in told["bones"].items()}
    assert place["leftHand"][0] > 0.2 and place["leftToes"][2] > place["leftFoot"][2] and abs(place["hips"][0]) < 1e-3
