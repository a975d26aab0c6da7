"""Draco in its own process: a mesh by hand comes back, and what is broken or endless ends in a ValueError."""

import DracoPy
import numpy as np
import pytest

from dataset.asset import AssetError
from dataset.sources import draco
from dataset.sources.draco import decode_draco
from dataset.sources.gltf import load_gltf
from tests.dataset.sources.gltf_scenes import build, save

POINTS_V3 = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 2]], np.float32)
FACES_F3 = np.array([[0, 1, 2], [2, 1, 3]], np.uint32)


@pytest.fixture(scope="module")
def blob() -> bytes:
    return DracoPy.encode(POINTS_V3, FACES_F3, quantization_bits=14)


def corners(vertices, faces) -> list:
    """Triangles as sorted corner positions: the coder may order vertices and faces anew."""
    return sorted(sorted(np.round(vertices[face], 3).tolist()) for face in faces)


def test_by_hand(blob):
    attributes, faces = decode_draco(blob)
    assert len(attributes) == 1 and corners(next(iter(attributes.values())), faces) == corners(POINTS_V3, FACES_F3)


def document(blob: bytes, **attributes):
    """A primitive whose vertices and faces are only in the draco data."""
    packed = {"bufferView": 1, "attributes": {"POSITION": 0} | attributes}
    primitive = {"attributes": {"POSITION": 0}, "extensions": {"KHR_draco_mesh_compression": packed}}
    return build({"p": POINTS_V3, "d": np.frombuffer(blob, np.uint8)}, meshes=[{"primitives": [primitive]}])


def test_inside_a_gltf(tmp_path, blob):
    unique_id = next(iter(decode_draco(blob)[0]))
    asset = load_gltf(save(tmp_path / "d.glb", *document(blob, POSITION=unique_id)))
    assert corners(asset.vertices_V3, asset.faces_F3) == corners(POINTS_V3, FACES_F3)
    with pytest.raises(AssetError, match=r"d.glb: draco data lacks attribute 77 \(POSITION\)"):
        load_gltf(save(tmp_path / "d.glb", *document(blob, POSITION=77)))
    with pytest.raises(AssetError, match="d.glb: broken draco data"):
        load_gltf(save(tmp_path / "d.glb", *document(blob[:20])))


@pytest.mark.parametrize("data", [b"", b"not draco at all", b"DRACO\x02\x02\x01\x01\x00\x00"])
def test_refuses_what_is_broken(data):
    with pytest.raises(ValueError, match="(?i)draco|decode"):
        decode_draco(data)


def test_refuses_what_takes_too_long(monkeypatch, blob):
    monkeypatch.setattr(draco, "SECONDS", 1e-4)
    monkeypatch.setattr(draco, "BYTES_A_SECOND", 1e9)
    with pytest.raises(ValueError, match="not decoded within"):
        decode_draco(blob)
