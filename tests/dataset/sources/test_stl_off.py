"""STL and OFF: what they hold by hand, and that no count of theirs is believed."""

import struct

import numpy as np
import pytest
import trimesh

from dataset.sources.off import read_off
from dataset.sources.stl import read_stl

FACET = "facet normal 0 0 1\n outer loop\n  vertex 0 0 0\n\tVERTEX 1 0 0\r\n  vertex 0 2 1e-1\n endloop\nendfacet\n"
CORNERS = [[0, 0, 0], [1, 0, 0], [0, 2, .1]]


def test_stl_by_hand():
    two = f"solid vertex of mine\n{FACET}{FACET}endsolid\nsolid b\n{FACET}EndSolid b\n".encode()
    assert read_stl(two).tolist() == CORNERS * 3
    binary = b"solid, says the comment".ljust(80) + struct.pack("<I", 1) + struct.pack("<12fH", 0, 0, 1, *np.ravel(CORNERS), 0)
    np.testing.assert_allclose(read_stl(binary), CORNERS, atol=1e-7)
    assert read_stl(bytes(84)).shape == (0, 3)


@pytest.mark.parametrize("data, message", [
    (bytes(80) + b"\xff\xff\xff\xff" + bytes(50), "cut short: 134 bytes where a binary file of 4294967295"), (b"", "no STL"),
    (b"\x89PNG", "no STL"), (f"solid\n{FACET}".encode(), "cut short"), (f"solid\n{FACET[:-40]}".encode(), "cut short"),
    (f"solid\n{FACET}endsolid".replace("1e-1", "x").encode(), "not three numbers"),
    (f"solid\n{FACET}endsolid".replace("0 2 1e-1", "0 2").encode(), "not three numbers"),
    (f"solid\n{FACET}endsolid".replace("\n\tVERTEX 1 0 0\r", "").encode(), "cut short")])
def test_stl_refuses(data, message):
    with pytest.raises(ValueError, match=message):
        read_stl(data)


OFF = b"# a\n# b\nCOFF 4 3 0 # counts\n0 0 0 255 0 0\n1 0 0 1 1 1\n\n0 1 0 2 2 2\n0 0 1 3 3 3\n3 0 1 2 255 0 0\n4 0 1 2 3\n1 0\n"


def test_off_by_hand():
    vertices_V3, faces_F3 = read_off(OFF)
    assert vertices_V3.tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]] and faces_F3.tolist() == [[0, 1, 2], [0, 1, 2], [0, 2, 3]]
    assert read_off(b"OFF 1 0 0 \n1 2 3")[1] is None
    mesh = trimesh.creation.icosphere(subdivisions=1)
    vertices_V3, faces_F3 = read_off(mesh.export(file_type="off").encode())
    np.testing.assert_allclose(vertices_V3, mesh.vertices, atol=1e-6)
    assert faces_F3.tolist() == mesh.faces.tolist()


@pytest.mark.parametrize("data, message", [
    (b"", "does not begin"), (b"OFF", "does not begin"), (b"OFF BINARY\n\0", "does not begin"), (b"OFF\n", "how many"),
    (b"OFF\n-1 2 0", "how many"),
    (b"OFF\n1000000000000 0 0\n", "claims 1000000000000"), (b"OFF\n3 1 0\n0 0 0\n", "cut short"), (b"OFF\n1 0 0\n0 0\n", "three numbers"),
    (b"OFF\n2 0 0\n0 0 0\n0 0 x\n", "three numbers"), (b"OFF\n1 1 0\n0 0 0\n3 0 0\n", "fewer corners"),
    (b"OFF\n1 1 0\n0 0 0\nx\n", "fewer corners"),
    (b"OFF\n1 1 0\n0 0 0\n1e300 0 0\n", "whole numbers"), (b"OFF\n1 1 0\n0 0 0\n3 0 nan 0\n", "whole numbers")])
def test_off_refuses(data, message):
    with pytest.raises(ValueError, match=message):
        read_off(data)
