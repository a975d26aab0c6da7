"""The glTF container: where bytes may come from, and each fault of a file refused by name before memory is taken."""

import base64
import json
import struct
import tracemalloc

import pytest

from dataset.asset import AssetError
from dataset.format import DIALECTS, skeleton
from dataset.sources.gltf import load_gltf
from tests.dataset.sources.gltf_scenes import TRIANGLE_V3, build, pack, rigged


def test_external_and_embedded_buffers(tmp_path):
    document, binary = build({"p": TRIANGLE_V3})
    (tmp_path / "a b.bin").write_bytes(binary)
    for uri in ("a%20b.bin", "data:application/octet-stream;base64," + base64.b64encode(binary).decode()):
        document["buffers"][0]["uri"] = uri
        (tmp_path / "t.gltf").write_text(json.dumps(document))
        assert load_gltf(tmp_path / "t.gltf").vertices_V3.tolist() == TRIANGLE_V3.tolist()


@pytest.mark.parametrize("uri, message", [
    ("../secret.bin", "outside the file's folder"), ("/etc/hostname", "outside"), ("link.bin", "outside"), ("%2e%2e/secret.bin", "outside"),
    ("http://example.org/a.bin", "nothing is fetched"), ("file:///etc/hostname", "nothing is fetched"), ("gone.bin", "missing"),
    ("data:,abc", "not base64"), ("data:;base64,@@@@", "broken base64")])
def test_refuses_buffers_elsewhere(tmp_path, uri, message):
    folder = tmp_path / "in"
    folder.mkdir()
    (tmp_path / "secret.bin").write_bytes(bytes(100))
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    document, _ = build({"p": TRIANGLE_V3})
    document["buffers"][0]["uri"] = uri
    (folder / "t.gltf").write_text(json.dumps(document))
    with pytest.raises(AssetError, match=f"t.gltf: .*{message}"):
        load_gltf(folder / "t.gltf")


def broken(change):
    names = [DIALECTS["mixamo"][n] for n in skeleton(22).names]
    document, binary = rigged(names)
    change(document)
    return document, binary


@pytest.mark.parametrize("change, message", [
    (lambda d: d["accessors"][0].update(count=4), "accessor 0 needs 48 bytes of a view of 36"),
    (lambda d: d["accessors"][0].update(count=10 ** 12), "more than 5000000 vertices"),
    (lambda d: d["accessors"][1].update(count=10 ** 12), "JOINTS_0 has 1000000000000 elements, and POSITION 3"),
    (lambda d: d["accessors"][0].update(count=-1), "count is -1"),
    (lambda d: d["accessors"][0].update(byteOffset=4), "needs 40 bytes"),
    (lambda d: d["accessors"][0].update(type="VEC9"), "VEC9"),
    (lambda d: d["accessors"][0].update(componentType=1), "component 1 is not read"),
    (lambda d: d["bufferViews"][0].update(byteLength=10 ** 9), "bufferView 0 ends at byte"),
    (lambda d: d["bufferViews"][0].update(byteStride=8), "stride 8 is smaller"),
    (lambda d: d["buffers"][0].update(byteLength=10 ** 9), "buffer 0 says 1000000000 bytes"),
    (lambda d: d["accessors"][0].update(bufferView=99), r"bufferViews\[99\] does not exist"),
    (lambda d: d["nodes"][3].update(children=[0]), "cycle"),
    (lambda d: d["nodes"][3].update(children=[3]), "cycle"),
    (lambda d: d["nodes"][0].update(children=[1, 2, 2]), "two parents"),
    (lambda d: d["nodes"][1].update(mesh=7), r"meshes\[7\]"),
    (lambda d: d["nodes"][1].update(skin=7), r"skins\[7\]"),
    (lambda d: d["nodes"][1].update(translation=[1, 2]), "broken glTF structure"),
    (lambda d: d["nodes"][1].update(translation=[float("inf"), 0, 0]), "not finite"),
    (lambda d: d["skins"][0].update(joints=[2, 3, 99]), "joints outside the scene"),
    (lambda d: d["skins"][0].update(joints=[2, 3]), "follows joint 2 of 2|follows joint 21 of 2"),
    (lambda d: d["accessors"][3].update(count=3), "3 bind matrices for 22 joints"),
    (lambda d: d["meshes"][0]["primitives"][0]["attributes"].pop("POSITION"), "no POSITION"),
    (lambda d: d["meshes"][0]["primitives"][0]["attributes"].update(NORMAL=3), "NORMAL has 22 elements, and POSITION 3"),
    (lambda d: d["meshes"][0]["primitives"][0].update(indices=0), "indices must be unsigned"),
    (lambda d: d["meshes"][0].pop("primitives"), "broken glTF structure"),
    (lambda d: d.update(meshes={}), "meshes must be a list"),
    (lambda d: d.update(nodes=[{}]), "joints|no mesh"),
    (lambda d: d.update(scenes=[{"nodes": []}]), "no mesh in the scene"),
    (lambda d: d.update(extensionsRequired=["EXT_mesh_gpu_instancing"]), "EXT_mesh_gpu_instancing, which is not supported"),
    (lambda d: d["asset"].update(version="1.0"), "version 1.0")])
def test_refuses_broken_documents(tmp_path, change, message):
    document, binary = broken(change)
    (tmp_path / "bad.glb").write_bytes(pack(document, binary))
    with pytest.raises(AssetError, match=f"bad.glb: .*({message})"):
        load_gltf(tmp_path / "bad.glb")


def zeros(document, count, **kind):
    """Number of a new accessor that claims `count` zeros without a byte behind it."""
    document["accessors"].append({"count": count, **kind})
    return len(document["accessors"]) - 1


def many_vertices(document):
    document["meshes"][0]["primitives"][0]["attributes"]["POSITION"] = zeros(document, 39_000_000, componentType=5126, type="VEC3")


def many_faces(document):
    indices = zeros(document, 3_000_000, componentType=5125, type="SCALAR")
    document["meshes"][0]["primitives"] = [{"attributes": {"POSITION": 0}, "indices": indices} for _ in range(1000)]


def many_packed(document):
    document["bufferViews"].append({"buffer": 0, "byteLength": 10 ** 9, "extensions": {"EXT_meshopt_compression": {
        "buffer": 0, "byteLength": 400, "byteStride": 256, "count": 4_000_000, "mode": "ATTRIBUTES"}}})
    document["accessors"][0]["bufferView"] = len(document["bufferViews"]) - 1


@pytest.mark.parametrize("change, message", [(many_vertices, "more than 5000000 vertices"), (many_faces, "or 10000000 triangles"),
                                             (many_packed, "400 bytes cannot hold 4000000 elements of 256")])
def test_a_small_file_cannot_take_much_memory(tmp_path, change, message):
    document, binary = broken(change)
    (tmp_path / "bad.glb").write_bytes(pack(document, b"\xa0" + binary[1:]))
    tracemalloc.start()
    try:
        with pytest.raises(AssetError, match=f"bad.glb: .*{message}"):
            load_gltf(tmp_path / "bad.glb")
        assert tracemalloc.get_traced_memory()[1] < 10 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("data, message", [
    (b"", "JSON cannot be read"), (b"glTF\x02\0\0\0", "header alone"), (b"glTF" + struct.pack("<II", 1, 20) + bytes(8), "GLB version 1"),
    (b"glTF" + struct.pack("<II", 2, 999) + bytes(8), "header says 999"), (b"[1]", "not an object"), (b"[" * 100_000, "cannot be read"),
    (b"glTF" + struct.pack("<III4s", 2, 20, 4000, b"JSON"), "runs past the end"),
    (b"glTF" + struct.pack("<III4s", 2, 20, 0, b"BIN\0"), "first chunk"), (b"\xff\xfe\x00", "cannot be read"),
    (b'{"asset": 3}', "version missing")])
def test_refuses_what_is_no_gltf(tmp_path, data, message):
    (tmp_path / "x.glb").write_bytes(data)
    with pytest.raises(AssetError, match=f"x.glb: .*{message}"):
        load_gltf(tmp_path / "x.glb")


def test_no_file_at_all(tmp_path):
    with pytest.raises(AssetError, match="gone.glb: cannot be read"):
        load_gltf(tmp_path / "gone.glb")
