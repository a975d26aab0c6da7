"""The meshopt decoder against streams of the reference encoder (meshoptimizer 0.22, JavaScript) and what they stand for."""

import base64

import numpy as np
import pytest

from dataset.asset import AssetError
from dataset.sources.gltf import load_gltf
from dataset.sources.meshopt import decode_view
from tests.dataset.sources.gltf_scenes import build, save

ATTRIBUTES = ("oAYGZmZv9mZmZun2/wAAAAYGBgYBAAPAACYlBwABBQkNERUZHSElKS0xNTn/AAAAPUFFSQRAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA6AM=")
TRIANGLES = "4fAQ/0Bf//z//0QA6AcfAdcH/wICAn/QBwYAdodWZ3iphmWJaJgBaQAA"
INDICES = "0QAEBAACCAoAAAwGDNEPBgQDBRAGBAQEBAQHBQkAAAAA"
FACES = [[0, 1, 2], [2, 1, 3], [0, 0, 0], [3, 1, 4], [500, 2, 3], [499, 500, 7], [5, 6, 7], [8, 9, 10], [498, 499, 501]]
OCTAHEDRAL_8 = "oAEzwAAA/gT+AT/AAAD+/ZIlAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB/AA=="
OCTAHEDRAL_16 = "oAETQAAABAEzwAAADh0QARvAAADbSQE/QAAADg0IAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAD/BwAA"
NORMALS = np.array([[0, 0, 1], [0, 0, -1], [1, 0, 0], [-.6, 0, -.8], [0, .6, .8]])
EXPONENTIAL = "oAEPAAAAdXYBP/AAAJ+gJGNwARgAAAABP/AAAAQVIA0GAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAgAPI="


def decode(text: str, count: int, stride: int, mode: str, filter_name: str = "NONE") -> bytes:
    return decode_view(base64.b64decode(text), count, stride, mode, filter_name)


def test_attributes():
    i = np.arange(20)
    want = np.stack([3 * i + np.where(i == 7, 5000, 0), 1000 - i * i], 1)
    assert np.frombuffer(decode(ATTRIBUTES, 20, 4, "ATTRIBUTES"), "<u2").reshape(-1, 2).tolist() == want.tolist()


@pytest.mark.parametrize("stride, kind", [(4, "<u4"), (2, "<u2")])
def test_triangles_come_rotated_but_in_order(stride, kind):
    """The format may start a triangle at another corner; its winding stays."""
    got = np.frombuffer(decode(TRIANGLES, 27, stride, "TRIANGLES"), kind).reshape(-1, 3).tolist()
    assert len(got) == len(FACES)
    for face, want in zip(got, FACES):
        assert face in [want, want[1:] + want[:1], want[2:] + want[:2]]


def test_indices_come_exactly():
    assert np.frombuffer(decode(INDICES, 27, 4, "INDICES"), "<u4").reshape(-1, 3).tolist() == FACES


@pytest.mark.parametrize("text, stride, kind, tolerance", [(OCTAHEDRAL_8, 4, "i1", .02), (OCTAHEDRAL_16, 8, "<i2", .001)])
def test_octahedral_filter(text, stride, kind, tolerance):
    raw = np.frombuffer(decode(text, 5, stride, "ATTRIBUTES", "OCTAHEDRAL"), kind).reshape(5, 4)
    np.testing.assert_allclose(raw[:, :3] / np.iinfo(raw.dtype).max, NORMALS, atol=tolerance)


def test_exponential_filter():
    got = np.frombuffer(decode(EXPONENTIAL, 6, 4, "ATTRIBUTES", "EXPONENTIAL"), "<f4")
    np.testing.assert_allclose(got, [.5, -3, 1e-3, 100, 0, 7], rtol=1e-4)


@pytest.mark.parametrize("text, count, stride, mode", [(ATTRIBUTES, 20, 4, "ATTRIBUTES"), (TRIANGLES, 27, 4, "TRIANGLES"),
                                                       (INDICES, 27, 4, "INDICES")])
def test_cut_short_is_refused_or_wrong_but_never_another_error(text, count, stride, mode):
    whole = base64.b64decode(text)
    for cut in range(len(whole)):
        try:
            assert len(decode_view(whole[:cut], count, stride, mode)) == count * stride
        except ValueError:
            pass
    with pytest.raises(ValueError):
        decode_view(whole[:len(whole) // 3], count, stride, mode)


@pytest.mark.parametrize("text, count, stride, mode, filter_name, message", [
    (ATTRIBUTES, 20, 6, "ATTRIBUTES", "NONE", "version 0 attribute"), (INDICES, 27, 4, "ATTRIBUTES", "NONE", "version 0 attribute"),
    (ATTRIBUTES, 27, 4, "TRIANGLES", "NONE", "not a triangle stream"), (ATTRIBUTES, 27, 4, "INDICES", "NONE", "index stream"),
    (INDICES, 27, 3, "INDICES", "NONE", "3 is not read"), (INDICES, 27, 4, "ELSE", "NONE", "'ELSE' is not read"),
    (ATTRIBUTES, 20, 4, "ATTRIBUTES", "QUATERNION", "'QUATERNION' is not read")])
def test_refuses(text, count, stride, mode, filter_name, message):
    with pytest.raises(ValueError, match=message):
        decode(text, count, stride, mode, filter_name)


def packed_document(text: str, count: int, mode: str):
    """Positions are plain; the indices' view is compressed."""
    data = np.frombuffer(base64.b64decode(text), np.uint8)
    points = np.random.default_rng(0).normal(size=(502, 3)).astype("f4")
    document, binary = build({"p": points, "i": data}, meshes=[{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1}]}])
    view = document["bufferViews"][1]
    document["bufferViews"][1] = {"buffer": 0, "byteLength": 4 * count, "extensions": {"EXT_meshopt_compression":
                                  view | {"byteStride": 4, "count": count, "mode": mode}}}
    document["accessors"][1] = {"bufferView": 1, "componentType": 5125, "count": 27, "type": "SCALAR"}
    return document, binary


def test_inside_a_gltf(tmp_path):
    asset = load_gltf(save(tmp_path / "m.glb", *packed_document(INDICES, 27, "INDICES")))
    assert asset.faces_F3.tolist() == FACES
    with pytest.raises(AssetError, match="m.glb: bufferView 1: broken meshopt data"):
        load_gltf(save(tmp_path / "m.glb", *packed_document(INDICES, 30, "TRIANGLES")))
    with pytest.raises(AssetError, match="10000000000 elements"):
        load_gltf(save(tmp_path / "m.glb", *packed_document(INDICES, 10 ** 10, "INDICES")))
