"""The plumbing of benchmarks/acceptance_rigs.py: every check passes a good file and sees what it is there for in a spoiled one."""

import json
import struct
from dataclasses import replace

import numpy as np
import pytest

from benchmarks import acceptance_rigs
from benchmarks.acceptance import checks, inputs
from benchmarks.acceptance.checks import Output, Pass, Wrong
from benchmarks.acceptance.page import Page, missing
from benchmarks.acceptance.witness import Handed, keep, kept, name_of
from dataset.asset import AssetError, network_rotation
from dataset.sources.files import load_asset
from dataset.sources.gltf import read_parts
from dataset.sources.gltf_container import Container
from dataset.sources.gltf_scene import Scene
from rigging.animation import bake, load_clip
from rigging.dialects import in_dialect
from rigging.rig import CharacterRig
from rigging.scene import add_rig
from rigging.vrm import vrm_extension
from tests.dataset.figures import capsule_man
from tests.rigging.gltf_player import Player

MAN = capsule_man(52, up="y", splits=1)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "dance.bvh"
    inputs.write_dance(path)
    return load_clip(path)


def delivered(folder, clip, way=Pass("contest"), write=inputs.textured) -> Output:
    """As the door would hand it out, with the figure's own rig for a prediction."""
    source, path = folder / "man.glb", folder / ("rigged.vrm" if way.dialect == "vrm" else "rigged.glb")
    write(source, MAN.vertices_V3, MAN.faces_F3, np.float32(MAN.normals_V3))
    asset = load_asset(source)
    nearest_V = ((asset.vertices_V3[:, None] - MAN.vertices_V3[None]) ** 2).sum(2).argmin(1)
    rig = CharacterRig(np.float64(MAN.joints_J3), MAN.parents, MAN.names, MAN.skin_VJ[nearest_V], network_rotation(asset).rotation_33)
    shown = in_dialect(rig, way.dialect, way.hands)
    scene = add_rig(source, shown)
    bake(scene, shown, clip)
    if way.dialect == "vrm":
        vrm_extension(scene, shown, asset.vertices_V3)
    scene.file.write(path)
    return Output(source, path, way, Handed(asset.vertices_V3, "y", rig))


def spoiled(output: Output, change) -> Output:
    """The file with change(document, binary) done to it."""
    data = output.path.read_bytes()
    size = struct.unpack_from("<I", data, 12)[0]
    document, binary = json.loads(data[20:20 + size]), bytearray(data[28 + size:])
    change(document, binary)
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    path = output.path.with_name("spoiled" + output.path.suffix)
    path.write_bytes(struct.pack("<4sII", b"glTF", 2, 28 + len(text) + len(binary)) + struct.pack("<I4s", len(text), b"JSON") + text
                     + struct.pack("<I4s", len(binary), b"BIN\0") + binary)
    return replace(output, path=path)


def start_of(document: dict, key: str) -> int:
    """Where the first primitive's attribute begins in the binary chunk."""
    accessor = document["accessors"][document["meshes"][0]["primitives"][0]["attributes"][key]]
    return document["bufferViews"][accessor["bufferView"]].get("byteOffset", 0)


def told_of(output: Output, clip, frames: list[int], every: int) -> dict:
    """What a browser would tell, by the tests' own player of glTF."""
    container, player = Container(output.path), Player(output.path.read_bytes())
    parts = read_parts(container, Scene(container))
    skinned = [[player.vertices(part.node, player.worlds(0, frame / clip.fps))[::every].ravel().tolist() for part in parts]
               for frame in frames]
    worlds, document = player.worlds(), player.document
    return {"duration": (len(clip) - 1) / clip.fps, "frames": skinned, "vrm": None,
            "meshes": [{"node": part.node, "primitive": part.primitives[0]} for part in parts],
            "joints": {str(node): worlds[node][:3, 3].tolist() for node in document["skins"][0]["joints"]}}


@pytest.mark.parametrize("way", [Pass("contest"), Pass("ue5", "none"), Pass("vrm")], ids=lambda way: way.name)
@pytest.mark.parametrize("write", [inputs.textured, inputs.nested])
def test_a_good_file_passes(tmp_path, clip, way, write):
    output = delivered(tmp_path, clip, way, write)
    assert checks.contract(output) < 1e-6 and checks.untouched(output, clip=True) == 0
    found = checks.round_trip(output)
    assert found["joints"] < 1e-6 and found["weights"] < 1e-6 and found["sides"] == 0
    told = told_of(output, clip, [0, 7, 15], 3)
    assert max(checks.follows(output, told, clip, [0, 7, 15], 3).values()) < 1e-5
    assert checks.bones_in_three(output, told) < 1e-6


def weights_scaled(document, binary):
    at = start_of(document, "WEIGHTS_0")
    binary[at:at + 16] = (np.frombuffer(binary[at:at + 16], "<f4") * np.float32(1.01)).tobytes()


def weights_lost(document, binary):
    at = start_of(document, "WEIGHTS_0")
    binary[at:at + 4] = struct.pack("<f", np.nan)


def joint_unknown(document, binary):
    binary[start_of(document, "JOINTS_0")] = 200


def joint_twice(document, binary):
    at, weights = start_of(document, "JOINTS_0"), start_of(document, "WEIGHTS_0")
    binary[at:at + 2] = b"\1\1"
    binary[weights:weights + 16] = struct.pack("<4f", .5, .5, 0, 0)


def skin_gone(document, binary):
    del document["nodes"][0]["skin"]


@pytest.mark.parametrize("change, said", [(weights_scaled, "sums to 1 only within"), (weights_lost, "non-finite"),
                                          (joint_unknown, "joint 200 of"), (joint_twice, "names one joint twice"), (skin_gone, "no skin")])
def test_the_contract_sees(tmp_path, clip, change, said):
    with pytest.raises((Wrong, AssetError), match=said):    # what the reader refuses is as wrong
        checks.contract(spoiled(delivered(tmp_path, clip), change))


def test_the_contract_counts_influences_and_sees_torn_seams(tmp_path, clip):
    output = delivered(tmp_path, clip)
    most = max(int((row > 0).sum()) for row in output.handed.rig.skin_VJ)
    with pytest.raises(Wrong, match=f"up to {most} influences"):
        checks.contract(replace(output, way=Pass("contest", influences=most - 1)))
    place_V3 = output.handed.vertices_V3.copy()
    row_V = output.handed.rig.skin_VJ.argmax(1)
    place_V3[np.flatnonzero(row_V != row_V[0])[0]] = place_V3[0]    # as if the source had them at one position
    with pytest.raises(Wrong, match="at one position"):
        checks.contract(replace(output, handed=output.handed._replace(vertices_V3=place_V3)))


def position_moved(document, binary):
    binary[start_of(document, "POSITION")] ^= 1


def material_renamed(document, binary):
    document["materials"][0]["name"] = "other"


@pytest.mark.parametrize("change", [position_moved, material_renamed])
def test_a_changed_byte_is_seen(tmp_path, clip, change):
    with pytest.raises(Wrong, match="changed"):
        checks.untouched(spoiled(delivered(tmp_path, clip), change), clip=True)


def sides_swapped(document, binary):
    for node in document["nodes"]:
        name = node.get("name", "")
        node["name"] = {"l_": "r_", "r_": "l_"}.get(name[:2], name[:2]) + name[2:]


def test_swapped_sides_are_seen(tmp_path, clip):
    output = delivered(tmp_path, clip)
    told, wrong = told_of(output, clip, [0], 3), spoiled(output, sides_swapped)
    with pytest.raises(Wrong, match="[1-9][0-9]* pairs changed sides"):
        checks.round_trip(wrong)
    with pytest.raises(Wrong, match="[1-9][0-9]* pairs of bones changed sides"):
        checks.bones_in_three(wrong, told)


def test_vertices_that_do_not_follow_are_seen(tmp_path, clip):
    output, frames = delivered(tmp_path, clip), [0, 15]
    told = told_of(output, clip, frames, 3)
    told["frames"][1][0][4] += 0.002 * np.ptp(MAN.vertices_V3, 0).max()
    with pytest.raises(Wrong, match="of the size away"):
        checks.follows(output, told, clip, frames, 3)
    still = told_of(output, clip, [0, 0], 3)
    with pytest.raises(Wrong, match="moved 0"):
        checks.follows(output, still, clip, [0, 0], 3)
    with pytest.raises(Wrong, match="the clip lasts"):
        checks.follows(output, told | {"duration": 9.0}, clip, frames, 3)


def test_a_human_without_a_bone_is_seen():
    with pytest.raises(Wrong, match="required bones are missing: hips"):
        checks.human(None, {"vrm": {"version": "1", "bones": {}}})
    with pytest.raises(Wrong, match="no VRM 1.0"):
        checks.human(None, {"vrm": None})


@pytest.mark.skipif(missing() is not None, reason=f"NOT TESTED in a browser: {missing()}")
def test_chromium_loads_and_plays(tmp_path, clip):
    outputs = [delivered(tmp_path, clip, Pass("vrm"), inputs.textured)]
    (tmp_path / "b").mkdir()
    outputs.append(delivered(tmp_path / "b", clip, Pass("contest"), inputs.draco))
    (tmp_path / "broken.glb").write_bytes(b"glTF" + bytes(20))
    with Page([*(output.path for output in outputs), tmp_path / "broken.glb"]) as page:
        for output in outputs:
            told = page.examine(output.path, [0.0, 0.2], 5, tmp_path / "look.png")
            assert max(checks.follows(output, told, clip, [0, 6], 5).values()) < 1e-5 and checks.bones_in_three(output, told) < 1e-5
            assert (tmp_path / "look.png").read_bytes()[:4] == b"\x89PNG"
            if output.way.dialect == "vrm":
                assert checks.human(output, told) < 1e-5
        with pytest.raises(RuntimeError):
            page.examine(tmp_path / "broken.glb", [0.0], 5)


def test_the_page_serves_what_it_was_given_alone(tmp_path):
    page = Page([tmp_path / "secret.glb"])
    assert page._found("/files/0.glb") == tmp_path / "secret.glb"
    for address in ("/files/1.glb", "/node_modules/../package.json", "/node_modules/three/build/../../../package.json", "/secret.glb", "/",
                    "/node_modules//etc/passwd"):
        assert page._found(address) is None


def test_inputs_come_in_every_way_and_the_same_again(tmp_path):
    paths = inputs.write_characters(tmp_path / "a", 4)
    again = inputs.write_characters(tmp_path / "b", 4)
    assert [p.name for p in paths] == ["human_00_textured.glb", "mascot_00_textured.glb", "human_01_nested.glb", "mascot_01_nested.glb"]
    assert [p.read_bytes() for p in paths] == [p.read_bytes() for p in again]
    assert all(load_asset(path).names is None and load_asset(path).has_faces for path in paths)


@pytest.mark.parametrize("write, suffix", inputs.WAYS, ids=lambda w: getattr(w, "__name__", w))
def test_a_way_of_writing_keeps_the_figure(tmp_path, write, suffix):
    path = tmp_path / f"man{suffix}"
    write(path, MAN.vertices_V3, MAN.faces_F3, np.float32(MAN.normals_V3))
    asset = load_asset(path)
    asset = asset if asset.up == "y" else replace(asset, up="y", vertices_V3=asset.vertices_V3[:, [0, 2, 1]] * np.float32([1, 1, -1]))
    low, high = MAN.vertices_V3.min(0), MAN.vertices_V3.max(0)
    np.testing.assert_allclose([asset.vertices_V3.min(0), asset.vertices_V3.max(0)], [low, high], atol=2e-4 * (high - low).max())
    assert len(asset.faces_F3) == len(MAN.faces_F3)


def test_what_the_witness_saw_comes_back(tmp_path):
    rig = CharacterRig(np.float64(MAN.joints_J3), MAN.parents, MAN.names, MAN.skin_VJ, np.eye(3))
    keep(tmp_path / "a.npz", Handed(MAN.vertices_V3, "z", rig))
    again = kept(tmp_path / "a.npz")
    assert again.up == "z" and again.rig.parents == rig.parents and again.rig.names == rig.names
    np.testing.assert_array_equal(again.rig.skin_VJ, rig.skin_VJ)
    assert [name_of(tmp_path / name) for name in ("a.b.glb", "hero.fbx.glb", "x.vrm")] == ["a.b", "hero", "x"]


def test_the_plan_and_the_table(tmp_path):
    users = [tmp_path / name for name in ("a.glb", "b.gltf", "c.vrm", "d.fbx")]
    generated = [tmp_path / f"{k}.glb" for k in range(10)]
    plan = dict(acceptance_rigs.plan(users, generated, 2))
    assert plan[acceptance_rigs.ALL] == users + generated and plan[acceptance_rigs.OWN] == users[:3]
    assert plan[acceptance_rigs.OWN_VRM] == [users[2]] and set(users[:3]) < set(plan[Pass("vrm")])
    assert {way.dialect for way in plan} == {"contest", "mixamo", "vrm", "unity", "ue5", "smpl"}
    results = acceptance_rigs.Results()
    results.ask(("joints", "weights"), "x.glb", lambda: {"joints": 2e-6, "weights": 0.0})
    args = acceptance_rigs.parse(["--json", str(tmp_path / "r.json")])
    assert acceptance_rigs.report(args, results, 1.0) == 0

    def fails():
        raise Wrong("broken")
    results.ask(("joints", "weights"), "y.glb", fails)
    line = next(line for line in results.table().splitlines() if line.startswith("round trip: joints"))
    assert line.split()[-4:] == ["2", "1", "2e-06", "1e-05"]
    assert acceptance_rigs.report(args, results, 1.0) == 1
    assert json.loads((tmp_path / "r.json").read_text())["failed"][0] == ["joints", "y.glb", "Wrong: broken"]
    doc = tmp_path / "doc.md"
    doc.write_text("before\n" + acceptance_rigs.BEGIN + "old\n" + acceptance_rigs.END + "after\n")
    acceptance_rigs.put_into(doc, json.loads((tmp_path / "r.json").read_text()))
    assert "| round trip: joints, of the size | 2 | 1 | 2e-06 | 1e-05 |" in doc.read_text() and "old" not in doc.read_text()
    assert doc.read_text().startswith("before") and doc.read_text().endswith("after\n") and "failed: joints, y.glb" in doc.read_text()
