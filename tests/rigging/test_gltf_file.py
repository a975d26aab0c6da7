"""A glTF that only grows: what is appended by hand, what lies beside a file, and what is refused."""

import numpy as np
import pytest

from dataset.asset import AssetError
from dataset.sources.gltf_container import Container
from rigging.gltf_file import ARRAY_BUFFER, GltfFile
from tests.dataset.sources.gltf_scenes import build, save
from tests.rigging.scenes import PIXEL, SQUARE_V3, instanced, meshopt, scattered


def test_by_hand(tmp_path):
    file = GltfFile.empty()
    assert file.accessor(np.array([[1, 2, 3]], "u1"), "VEC3") == 0
    assert file.accessor(np.array([3, 1, 2], ">f4"), "SCALAR", ARRAY_BUFFER, bounds=True) == 1
    assert file.document["bufferViews"] == [{"buffer": 0, "byteOffset": 0, "byteLength": 3},
                                            {"buffer": 0, "byteOffset": 4, "byteLength": 12, "target": 34962}]
    assert file.document["accessors"][1] == {"bufferView": 1, "componentType": 5126, "count": 3, "type": "SCALAR", "min": [1], "max": [3]}
    file.use_extension("KHR_a")
    file.use_extension("KHR_a")
    assert file.append("nodes", {"name": "n"}) == 0 and file.document["extensionsUsed"] == ["KHR_a"]
    file.write(tmp_path / "sub" / "a.glb")
    again = Container(tmp_path / "sub" / "a.glb")
    assert again.accessor(0).tolist() == [[1, 2, 3]] and again.accessor(1).tolist() == [3, 1, 2]
    assert again.document["buffers"] == [{"byteLength": 16}]


@pytest.mark.parametrize("array, message", [
    (np.zeros(3), "cannot hold float64"), (np.zeros((0, 3), "f4"), "cannot hold float32 of shape"), (np.zeros(3, "i8"), "int64"),
    (np.array([1, np.nan], "f4"), "must be finite")])
def test_refuses_arrays(array, message):
    file = GltfFile.empty()
    with pytest.raises(ValueError, match=message):
        file.accessor(array, "SCALAR", bounds=True)
    assert not file.binary and "accessors" not in file.document


def test_reading_and_packing_changes_nothing(tmp_path):
    source = instanced(tmp_path)
    file = GltfFile.read(source)
    (tmp_path / "again.glb").write_bytes(file.pack())
    assert Container(tmp_path / "again.glb").document == Container(source).document
    assert bytes(Container(tmp_path / "again.glb").binary).rstrip(b"\0") == bytes(Container(source).binary).rstrip(b"\0")


def test_what_lies_beside_a_file_comes_with_it(tmp_path):
    file = GltfFile.read(scattered(tmp_path))
    (tmp_path / "else").mkdir()
    file.write(tmp_path / "else" / "one.glb")
    one = Container(tmp_path / "else" / "one.glb")
    assert one.accessor(0).tolist() == SQUARE_V3.tolist() and one.accessor(1).tolist() == [0, 1, 2, 2, 1, 3, 5, 3, 4]
    assert one.document["buffers"][0]["name"] == "mesh" and len(one.document["buffers"]) == 1
    skin, inline = one.document["images"]
    assert one.view(skin["bufferView"])[0] == PIXEL and skin["mimeType"] == "image/png" and skin["name"] == "skin"
    assert inline["uri"].startswith("data:image/png") and file.notes == []


def test_fallback_buffers_stay_empty(tmp_path):
    """meshopt's second buffer has a length and no bytes; its views keep naming it, and their packed bytes the first."""
    file = GltfFile.read(meshopt(tmp_path))
    before = file.document["bufferViews"][1]
    assert before["buffer"] == 1 and before["extensions"]["EXT_meshopt_compression"]["buffer"] == 0
    file.accessor(np.zeros(3, "f4"), "SCALAR")
    file.write(tmp_path / "out.glb")
    out = Container(tmp_path / "out.glb")
    assert len(out.document["buffers"]) == 2 and "uri" not in out.document["buffers"][1]
    assert out.view(1)[0] == Container(tmp_path / "meshopt.glb").view(1)[0]


@pytest.mark.parametrize("uri, note", [("lost.png", "picture 'lost.png' is missing"), ("../x.png", "points outside"),
                                       ("https://example.org/a.png", "lies elsewhere"), ("words.png", "of no known kind")])
def test_pictures_that_cannot_come_are_said(tmp_path, uri, note):
    (tmp_path / "in").mkdir()
    (tmp_path / "x.png").write_bytes(PIXEL)
    (tmp_path / "in" / "words.png").write_text("not a picture")
    document, binary = build({"p": SQUARE_V3}, images=[{"uri": uri}])
    file = GltfFile.read(save(tmp_path / "in" / "p.glb", document, binary))
    assert file.document["images"] == [{"uri": uri}] and len(file.notes) == 1 and note in file.notes[0]


@pytest.mark.parametrize("changes, message", [
    (dict(buffers=[{"uri": "lost.bin", "byteLength": 4}]), "buffer 'lost.bin' is missing"), (dict(images=[{"uri": 5}]), "broken glTF structure"),
    (dict(bufferViews=[{"buffer": 7, "byteLength": 4}]), "broken glTF structure"), (dict(buffers=[{"byteLength": 10 ** 6}]), "buffer 0 says 1000000 bytes"),
    (dict(images=7), "broken glTF structure"), (dict(bufferViews=[{"buffer": 0, "byteLength": 4, "extensions": [1]}]), "broken")])
def test_broken_files_are_refused(tmp_path, changes, message):
    document, binary = build({"p": SQUARE_V3})
    with pytest.raises(AssetError, match=f"b.glb: {message}"):
        GltfFile.read(save(tmp_path / "b.glb", document | changes, binary))


@pytest.mark.parametrize("extras", [float("nan"), float("inf"), "\ud800"])
def test_what_json_cannot_say_is_refused(tmp_path, extras):
    document, binary = build({"p": SQUARE_V3}, extras=extras)
    with pytest.raises(AssetError, match="j.glb: holds what JSON cannot say"):
        GltfFile.read(save(tmp_path / "j.glb", document, binary)).pack()
