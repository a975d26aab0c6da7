"""Scenes and meshes made to harm: each ends in one clear error that names the file, within seconds and without taking memory.

What the format's own tests refuse (tests/dataset/sources/test_gltf_container.py, test_ply.py, test_stl_off.py) is not repeated here.
"""

import json
import os
import pickle
import struct
import zipfile

import numpy as np
import pytest

from dataset.asset import AssetError
from dataset.format import DIALECTS, skeleton
from dataset.sources.files import SUFFIXES, load_asset
from dataset.sources.gltf import load_gltf
from dataset.sources.gltf_container import Container
from launch.fbx_input import FbxInputs
from rigging.fbx import has_blender
from rigging.scene import add_rig
from tests.dataset.sources.gltf_scenes import TRIANGLE_V3, build, rigged, save
from tests.soak.fuzz_scenes import simple_rig
from tests.trust.verdicts import modest, refusal

MIXAMO = [DIALECTS["mixamo"][name] for name in skeleton(22).names]


def refused(path, message: str, mib: int = 64) -> str:
    text = refusal(load_asset, path, message, mib)
    assert text.isprintable() and len(text) < 2100
    return text


def figure(**changes):
    document, binary = rigged(MIXAMO)
    return document | changes, binary


# ------------------------------------------------------------------------------------------------ the container

def glb(*chunks: tuple[bytes, bytes], length: int | None = None) -> bytes:
    body = b"".join(struct.pack("<I4s", len(data), kind) + data for kind, data in chunks)
    return struct.pack("<4sII", b"glTF", 2, 12 + len(body) if length is None else length) + body


@pytest.mark.parametrize("data, message", [
    (glb((b"JSON", b"[" * 100_000)), "JSON cannot be read"), (glb((b"JSON", b'{"a":' * 100_000)), "JSON cannot be read"),
    (glb((b"JSON", b"{}"), length=2 ** 32 - 1), "header says 4294967295 bytes"), (glb((b"JSON", b"{}"), length=0), "not JSON"),
    (struct.pack("<4sII", b"glTF", 2, 28) + struct.pack("<I4s", 2 ** 31, b"JSON") + bytes(8), "chunk of 2147483648 bytes"),
    (b'{"a": [' + b"0," * 6_000_000 + b"0]}", "more than 5000000 values"),
    (b'{"asset": {"version": "2.0"}, "a": ' + b"9" * 5000 + b"}", "cannot be read"),
    (b'{"asset": {"version": "2.0"}, "scene": 1e999}', "no mesh"), (b'{"asset": {"version": "\\ud800"}}', "version")])
def test_containers(tmp_path, data, message):
    (tmp_path / "bad.glb").write_bytes(data)
    assert refused(tmp_path / "bad.glb", message).startswith("bad.glb: ")


def test_a_key_that_stands_twice_counts_once_and_the_same_for_all(tmp_path):
    document, binary = build({"p": TRIANGLE_V3})
    text = json.dumps(document).replace('"nodes": [{"mesh": 0}]', '"nodes": 7, "nodes": [{"mesh": 9, "mesh": 0}]')
    text += " " * (-len(text) % 4)
    (tmp_path / "twice.glb").write_bytes(glb((b"JSON", text.encode()), (b"BIN\0", binary)))
    asset = load_asset(tmp_path / "twice.glb")
    rigged_scene = add_rig(tmp_path / "twice.glb", simple_rig(asset))
    rigged_scene.file.write(tmp_path / "out.glb")
    np.testing.assert_allclose(load_asset(tmp_path / "out.glb").vertices_V3, asset.vertices_V3, atol=1e-6)


@pytest.mark.parametrize("suffix", [suffix for suffix in SUFFIXES if suffix != ".npz"])
def test_what_is_no_file(tmp_path, suffix):
    """Pipes would hang, devices never end, and a hole of a terabyte costs its maker nothing."""
    os.mkfifo(tmp_path / f"pipe{suffix}")
    refused(tmp_path / f"pipe{suffix}", "it is no file")
    (tmp_path / f"zero{suffix}").symlink_to("/dev/zero")
    refused(tmp_path / f"zero{suffix}", "it is no file")
    (tmp_path / f"ring{suffix}").symlink_to(tmp_path / f"ring{suffix}")
    refused(tmp_path / f"ring{suffix}", "cannot be read")
    (tmp_path / f"folder{suffix}").mkdir()
    refused(tmp_path / f"folder{suffix}", "it is no file")
    with (tmp_path / f"hole{suffix}").open("wb") as file:
        file.truncate(1 << 40)
    refused(tmp_path / f"hole{suffix}", "1099511627776 bytes, more than")
    refused(tmp_path / f"{'a' * 300}{suffix}", "cannot be read .File name too long")


@pytest.mark.parametrize("suffix", [suffix for suffix in SUFFIXES if suffix != ".npz"])
def test_names_cannot_speak_to_the_terminal(tmp_path, suffix):
    for name in ("a\nb\x1b[2J\u202e", os.fsdecode(b"\xff\xfe"), "..", "-rf *"):
        path = tmp_path / f"{name}{suffix}"
        path.write_bytes(b"\x1b]0;title\x07\n")
        assert refused(path, "").count(suffix)


# ------------------------------------------------------------------------------------------------ buffers, views and accessors

@pytest.mark.parametrize("uri, message", [
    ("..%2fsecret.bin", "outside"), ("sub/../../secret.bin", "outside"), ("%2fetc%2fhostname", "outside"), ("ring.bin", "cannot be read"),
    ("..%252fsecret.bin", "hidden"), ("sub%252fsecret.bin", "missing"), ("~/secret.bin", "missing"), ("..\\secret.bin", "hidden|missing"),
    (".hidden", "hidden"),
    ("sub/.hidden/a.bin", "hidden"), ("a%00.bin", "cannot be read"), ("a" * 300, "cannot be read|missing"),
    ("t.gltf/x", "cannot be read|missing"),
    ("HTTPS://example.org/a", "nothing is fetched"), ("ftp://a/b", "nothing is fetched"), ("//host/share", "nothing is fetched"),
    (".", "missing"),
    ("", "missing"), ("pipe.bin", "missing"), ("zero.bin", "outside"), ("hole.bin", "more than"), (5, "broken"),
    ("data:;base64,é", "base64"),
    ("data:;base64,AAAA", "has 3"), ("data:application/gzip,x", "not base64"), ("javascript:alert(1)", "missing")])
def test_buffers_come_from_the_folder_alone(tmp_path, uri, message):
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    for secret in (tmp_path / "secret.bin", folder / ".hidden"):
        secret.write_bytes(bytes(100))
    (folder / "ring.bin").symlink_to(folder / "ring.bin")
    (folder / "zero.bin").symlink_to("/dev/zero")
    os.mkfifo(folder / "pipe.bin")
    with (folder / "hole.bin").open("wb") as file:
        file.truncate(1 << 40)
    document, _ = build({"p": TRIANGLE_V3})
    document["buffers"][0]["uri"] = uri
    (folder / "t.gltf").write_text(json.dumps(document))
    assert refused(folder / "t.gltf", message).startswith("t.gltf: ")


@pytest.mark.parametrize("key", ["byteOffset", "byteLength", "byteStride", "buffer"])
@pytest.mark.parametrize("value", [-1, 1.5, 2 ** 70, 10 ** 4000, 2 ** 53, "4", None, True, [4], {"a": 4}, float("nan"), float("inf")])
def test_views_lie(tmp_path, key, value):
    document, binary = figure()
    document["bufferViews"][0][key] = value
    assert refused(save(tmp_path / "bad.glb", document, binary), "").startswith("bad.glb: ")


@pytest.mark.parametrize("change, message", [
    ({"count": 10 ** 10}, "more than 5000000 vertices"), ({"count": 4_000_000}, "no bytes for them"), ({"count": 1.5}, "count is 1.5"),
    ({"count": True}, "count is True"), ({"type": "MAT4"}, "POSITION has shape"), ({"type": ["VEC3"]}, "broken"),
    ({"sparse": {"count": 10 ** 10, "indices": {"bufferView": 0, "componentType": 5123}, "values": {"bufferView": 0}}}, "sparse part"),
    ({"sparse": {"count": 3, "indices": {"bufferView": 0, "componentType": 5125, "byteOffset": 12}, "values": {"bufferView": 0}}},
    "sparse index"),
    ({"sparse": {"count": 3, "indices": {"bufferView": 0, "componentType": 5126}, "values": {"bufferView": 0}}}, "sparse part"),
    ({"sparse": {"count": -1}}, "count is -1"), ({"sparse": []}, "broken")])
def test_zeros_that_cost_nothing_to_claim(tmp_path, change, message):
    document, binary = figure()
    document["accessors"][0] = {"componentType": 5126, "type": "VEC3", "count": 3} | change
    refused(save(tmp_path / "bad.glb", document, binary), message)


def test_ten_thousand_sets_of_joints(tmp_path):
    document, binary = figure()
    document["accessors"] += [{"componentType": 5121, "type": "VEC4", "count": 1_000_000},
        {"componentType": 5126, "type": "VEC3", "count": 1_000_000}]
    document["meshes"][0]["primitives"][0]["attributes"] = {"POSITION": 5} | {
        f"{word}_{k}": 4 for k in range(10_000) for word in ("JOINTS", "WEIGHTS")}
    refused(save(tmp_path / "bad.glb", document, binary), "influences of joints")


def test_bind_matrices_without_end(tmp_path):
    document, binary = figure()
    document["accessors"][3] = {"componentType": 5126, "type": "MAT4", "count": 39_000_000}
    refused(save(tmp_path / "bad.glb", document, binary), "last row is not 0, 0, 0, 1")


def test_a_thousand_views_of_one_buffer_are_no_copies(tmp_path):
    document, _ = build({"p": np.zeros((100_000, 3), "f4")})
    document["bufferViews"] *= 2000
    document["accessors"] = [{"bufferView": k, "componentType": 5126, "count": 3, "type": "VEC3"} for k in range(2000)]
    document["meshes"] = [{"primitives": [{"attributes": {"POSITION": k}} for k in range(2000)]}]
    path = save(tmp_path / "many.glb", document, bytes(1_200_000))
    assert modest(lambda: load_gltf(path)).vertices_V3.shape == (6000, 3)


@pytest.mark.parametrize("extension", ["EXT_meshopt_compression", "KHR_draco_mesh_compression"])
def test_compressed_views_that_overlap(tmp_path, extension):
    """Each is small; a thousand of them over the same bytes would be decoded a thousand times."""
    document, binary = build({"p": np.zeros((3, 3), "f4")})
    binary = b"\xa0" + bytes(4000)
    document["buffers"][0]["byteLength"] = len(binary)
    document["bufferViews"] = [{"buffer": 0, "byteOffset": k % 50, "byteLength": 3900} for k in range(100)]
    packed = [{"POSITION": k} for k in range(100)]
    if extension.startswith("EXT"):
        document["bufferViews"] = [view | {"extensions": {extension: view | {"count": 20_000, "byteStride": 12, "mode": "ATTRIBUTES",
            "byteOffset": 0,
                                                                            "byteLength": 3900 + k}}}
                                   for k, view in enumerate(document["bufferViews"])]
        primitives = [{"attributes": attributes} for attributes in packed]
    else:
        primitives = [{"attributes": {"POSITION": 0}, "extensions": {extension: {"bufferView": k,
            "attributes": {"POSITION": 0}}}} for k in range(100)]
    document["accessors"] = [{"bufferView": k, "componentType": 5126, "count": 3, "type": "VEC3"} for k in range(100)]
    document["meshes"] = [{"primitives": primitives}]
    refused(save(tmp_path / "bad.glb", document, binary), "overlap|ends too early")


# ------------------------------------------------------------------------------------------------ nodes, skins and parts

def chain(count: int, **each) -> list[dict]:
    return [{"children": [k + 1], **each} for k in range(count - 1)] + [{"mesh": 0}]


def test_deep_chains(tmp_path):
    document, binary = build({"p": TRIANGLE_V3}, nodes=chain(100_000))
    assert len(load_asset(save(tmp_path / "deep.glb", document, binary)).vertices_V3) == 3
    document["nodes"][-1] = {"mesh": 0, "children": [0]}
    with pytest.raises(AssetError, match="deep.glb: node 0 is reached twice"):
        load_asset(save(tmp_path / "deep.glb", document, binary))


def test_a_mesh_on_each_node_of_a_deep_chain(tmp_path):
    """The joint that carries a mesh is looked for above it: for each mesh anew it would take a minute."""
    document, binary = build({"p": TRIANGLE_V3}, nodes=chain(4000, mesh=0))
    path = save(tmp_path / "deep.glb", document, binary)
    assert len(modest(lambda: load_asset(path)).vertices_V3) == 12_000


@pytest.mark.parametrize("change, message", [
    (lambda d: d["nodes"].extend([{"mesh": 0}] * 30_000) or d["scenes"][0].update(nodes=list(range(30_000))),
    "more than 20000 meshes|reached"),
    (lambda d: d["meshes"][0].update(primitives=d["meshes"][0]["primitives"] * 30_000), "more than 20000 meshes"),
    (lambda d: d["meshes"][0].update(primitives=[{"mode": 1, "attributes": {}}] * 30_000), "more than 20000 meshes"),
    (lambda d: d["skins"][0].update(joints=[2, 3] * 60_000), "more than 100000 joints"),
    (lambda d: d["skins"][0].update(joints=[True] * 22), "joints outside the scene"),
    (lambda d: d["skins"][0].update(joints=[2.0] * 22), "joints outside"),
    (lambda d: d["skins"][0].update(joints="abc"), "joints outside"), (lambda d: d["scenes"][0].update(nodes=[-1]), r"nodes\[-1\]"),
    (lambda d: d.update(scene=5), r"scenes\[5\]"), (lambda d: d.update(scene=-1), r"scenes\[-1\]"),
    (lambda d: d.update(nodes=[3]), "must be an object"),
    (lambda d: d["nodes"][1].update(matrix=[float("nan")] * 16), "not finite"),
    (lambda d: d["nodes"][0].update(matrix=[1e300] * 16), "last row"),
    (lambda d: (d["nodes"][0].update(scale=[1e300] * 3), d["nodes"][1].update(scale=[1e300] * 3)), "not finite"),
    (lambda d: d["nodes"][0].update(scale=[1e300] * 3) or d["nodes"][1].pop("skin"), "infinity"),
    (lambda d: d["nodes"][0].update(rotation=[1e200] * 4), "not finite"), (lambda d: d["nodes"][0].update(scale=[10 ** 400] * 3), "broken"),
    (lambda d: d["nodes"][1].update(matrix=[1] * 15), "broken"), (lambda d: d["nodes"][1].update(rotation=[1, 0, 0]), "broken"),
    (lambda d: d.update(extensionsRequired=["EXT_of_tomorrow\x1b[2J"]), "which is not supported"),
    (lambda d: d.update(extensionsRequired=5), "broken"), (lambda d: d["nodes"][3].update(name=5), "broken")])
def test_trees_and_parts(tmp_path, change, message):
    document, binary = figure()
    change(document)
    assert refused(save(tmp_path / "bad.glb", document, binary), message, 200).startswith("bad.glb: ")


@pytest.mark.parametrize("change", [
    lambda d: d["nodes"][1].update(rotation=[0, 0, 0, 0]), lambda d: d["nodes"][4].update(name="c " * 500_000 + "c"),
    lambda d: d["meshes"][0]["primitives"][0].update(targets=[{"POSITION": 3}, {"POSITION": 99}, 5]),
    lambda d: d.update(images=[{"uri": "../../secret.png"}, {"uri": "http://example.org/a.png"}]),
    lambda d: d.update(extensionsUsed=["EXT_mesh_gpu_instancing"]) or d["nodes"][1].update(
        extensions={"EXT_mesh_gpu_instancing": {"attributes": {"TRANSLATION": 10 ** 9}}})])
def test_what_no_rig_needs_is_left_alone(tmp_path, change):
    document, binary = figure()
    change(document)
    source = save(tmp_path / "odd.glb", document, binary)

    def rig_and_read():
        add_rig(source, simple_rig(load_asset(source))).file.write(tmp_path / "out.glb")
        return load_asset(tmp_path / "out.glb")

    assert len(modest(rig_and_read).vertices_V3) == 3
    after = Container(tmp_path / "out.glb").document
    assert after.get("images") == document.get("images") and len(after.get("buffers")) == 1


# ------------------------------------------------------------------------------------------------ rigging what can be read

def test_one_mesh_with_a_library_in_its_extras_is_not_copied_without_end(tmp_path):
    """Each rigged node gets a mesh of its own: twenty thousand nodes and a megabyte of extras would be twenty gigabytes of JSON."""
    document, binary = build({"p": TRIANGLE_V3}, nodes=[{"mesh": 0} for _ in range(400)], scenes=[{"nodes": list(range(400))}])
    document["meshes"][0]["extras"] = ["x" * 1000] * 200
    source = save(tmp_path / "bomb.glb", document, binary)
    rig = simple_rig(load_asset(source))
    refusal(lambda path: add_rig(path, rig), source, "bomb.glb: ")


def test_lines_beside_triangles_do_not_multiply(tmp_path):
    document, binary = build({"p": TRIANGLE_V3}, nodes=[{"mesh": 0} for _ in range(150)], scenes=[{"nodes": list(range(150))}])
    document["accessors"].append({"componentType": 5126, "type": "VEC3", "count": 900_000})
    document["meshes"][0]["primitives"] += [{"mode": 1, "attributes": {"POSITION": 1}}]
    source = save(tmp_path / "lines.glb", document, binary)
    rig = simple_rig(load_asset(source))
    refusal(lambda path: add_rig(path, rig), source, "lines.glb: more than 5000000 vertices of lines and points")


# ------------------------------------------------------------------------------------------------ meshes and points

def npy(header: str, body: bytes = b"") -> bytes:
    text = header.encode() + b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + body


class Harm:
    def __reduce__(self):
        return os.mkdir, ("harm",)


@pytest.mark.parametrize("name, data, message", [
    ("a.obj", b"v 0 0 0\nf 1 1 " + b"9" * 30, "line 2 is no OBJ f line"),
    ("a.obj", b"v 0 0 0\nf 1 1 " + b"9" * 5000, "line 2 is no OBJ f line"),
    ("a.obj", b"v 0 0 0\nf 1 1 -9", "faces point"), ("a.obj", b"v 1e400 0 0\nf 1 1 1", "infinity"),
    ("a.obj", b"v 0 0 0\nf 1 1 4294967297", "faces point"),
    ("a.obj", b"v 0 0 0\nf " + b"1 " * 2_000_000, "more than 1048576 bytes"), ("a.obj", b"v \xff 0 0", "line 1 is no OBJ v line"),
    ("a.obj", b"\n" * 100 + b"x" * 3_000_000, "line 101 has more"), ("a.xyz", b"1e400 0 0\n", "infinity"),
    ("a.xyz", b"1 2 3\n1 2\n", "not a readable .xyz"),
    ("a.xyz", b"1 " * 1_000_000, r"shape \(1, 1000000\)"), ("a.xyz", b"", "points need"), ("a.xyz", b"\xff\xfe", "not a readable .xyz"),
    ("a.npy", npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 3)}"), "not a readable .npy"),
    ("a.npy", npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-3, 3)}", bytes(36)), "a.npy"),
    ("a.npy", npy("{'descr': '<f4', 'fortran_order': False, 'shape': (%s3,)}" % ("1, " * 40), bytes(12)), "a.npy"),
    ("a.npy", npy("(" * 9000), "not a readable .npy"), ("a.npy", npy("__import__('os').mkdir('harm')"), "not a readable .npy"),
    ("a.npy", b"\x93NUMPY\x03\x00\xff\xff\xff\xff", "not a readable .npy"), ("a.npy", pickle.dumps(Harm()), "does not begin"),
    ("a.npy", npy("{'descr': '|O', 'fortran_order': False, 'shape': (3, 3)}", pickle.dumps(Harm())), "not a readable .npy"),
    ("a.npy", npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 3)}", np.array([np.nan, 0, 0], "<f4").tobytes()), "NaN"),
    ("a.stl", bytes(80) + struct.pack("<I12fH", 1, *[np.nan] * 12, 0), "NaN"),
    ("a.off", b"OFF\n3 1 0\n0 0 0\n0 0 0\n0 0 1e999\n3 0 1 2", "infinity"),
    ("a.ply", b"ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nproperty float y\nproperty float z\nend_header\nnan 0 0\n",
    "NaN")])
def test_meshes(tmp_path, monkeypatch, name, data, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(data)
    assert refused(tmp_path / name, message).startswith(name)
    assert os.listdir(tmp_path) == [name]


def test_a_zip_is_no_npy(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npy", "w") as file:
        file.writestr("vertices.npy", b"x")
    refused(tmp_path / "a.npy", "does not begin")


# ------------------------------------------------------------------------------------------------ FBX

@pytest.mark.skipif(has_blender(), reason="with Blender, tests/rigging/test_fbx.py reads garbage")
@pytest.mark.parametrize("name", ["hero.fbx", "a\n\x1b[2J.fbx", "x" * 251 + ".fbx", "é" * 125 + ".fbx"])
def test_fbx_without_blender(tmp_path, name):
    (tmp_path / name).write_bytes(b"Kaydara FBX Binary  \x00\x1a\x00" + os.urandom(99))
    with FbxInputs() as fbx, pytest.raises(AssetError, match="requirements-fbx.lock") as caught:
        fbx.readable(tmp_path / name, 0)
    assert str(caught.value).isprintable()
