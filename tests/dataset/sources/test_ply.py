"""PLY in its three kinds: polygons of any size, other elements passed over, and nothing taken on a header's word."""

import struct
import tracemalloc

import numpy as np
import pytest
import trimesh

from dataset.sources.ply import read_ply

HEAD = """ply
format {} 1.0
comment a figure
element vertex 5
property float x
property double y
property short z
property list uchar float spare
element face 3
property uchar flag
property list {} int {}
property short more
element edge 2
property list int uchar ends
end_header
"""
ROWS = [[0, 1, 2], [0, 1, 2, 3, 4], [1, 0, 3, 2]]
TRIANGLES = [[0, 1, 2], [0, 1, 2], [0, 2, 3], [0, 3, 4], [1, 0, 3], [1, 3, 2]]
PLACES = np.arange(15).reshape(5, 3)


def text(rows=ROWS) -> bytes:
    lines = [f"{x} {y} {z} 0" for x, y, z in PLACES] + [f"7 {len(row)} {' '.join(map(str, row))} 9" for row in rows] + ["1 3", "0"]
    return (HEAD.format("ascii", "uchar", "vertex_indices") + "\n".join(lines) + "\n").encode()


def binary(kind: str, order: str, rows=ROWS) -> bytes:
    parts = [struct.pack(order + "fdhB", x, y, z, 0) for x, y, z in PLACES]
    parts += [struct.pack(f"{order}BH{len(row)}ih", 7, len(row), *row, 9) for row in rows] + [struct.pack(order + "iBi", 1, 3, 0)]
    return HEAD.format(kind, "ushort", "vertex_index").encode() + b"".join(parts)


def every_kind(rows=ROWS) -> list[bytes]:
    return [text(rows), binary("binary_little_endian", "<", rows), binary("binary_big_endian", ">", rows)]


@pytest.mark.parametrize("kind", range(3))
def test_by_hand(kind):
    vertices_V3, normals_V3, faces_F3 = read_ply(every_kind()[kind])
    assert vertices_V3.tolist() == PLACES.tolist() and normals_V3 is None and faces_F3.tolist() == TRIANGLES
    assert read_ply(every_kind([[0, 1, 2], [1, 2, 3], [2, 3, 4]])[kind])[2].tolist() == [[0, 1, 2], [1, 2, 3], [2, 3, 4]]
    assert read_ply(every_kind([[], [1], [2, 3]])[kind])[2].tolist() == []


@pytest.mark.parametrize("kind", range(3))
def test_cut_anywhere_is_refused(kind):
    whole = every_kind()[kind]
    for cut in range(len(whole) - (3 if kind == 0 else 1)):  # what is cut last from the text is the number of an empty list
        with pytest.raises(ValueError):
            read_ply(whole[:cut])


@pytest.mark.parametrize("encoding", ["ascii", "binary"])
def test_agrees_with_trimesh(encoding):
    mesh = trimesh.creation.icosphere(subdivisions=2)
    vertices_V3, normals_V3, faces_F3 = read_ply(mesh.export(file_type="ply", encoding=encoding, vertex_normal=True))
    np.testing.assert_allclose(vertices_V3, mesh.vertices, atol=1e-6)
    np.testing.assert_allclose(normals_V3, mesh.vertex_normals, atol=1e-6)
    assert faces_F3.tolist() == mesh.faces.tolist()


HEADER = "ply\nformat binary_little_endian 1.0\nelement vertex {}\nproperty float x\nproperty float y\nproperty float z\n"


@pytest.mark.parametrize("data, message", [
    (HEADER.format(10 ** 12) + "end_header\n", "claims 1000000000000 of 'vertex'"),
    (HEADER.format("-1") + "end_header\n", "element vertex -1"),
    (HEADER.format("1e3") + "end_header\n", "element vertex 1e3"), (HEADER.format(4_000_000) + "end_header\n", "cut short"),
    (HEADER.format(0) + "element face 30000000\nproperty list uchar int vertex_indices\nend_header\n", "cut short"),
    (HEADER.format(0) + "element face 1\nproperty list int int vertex_indices\nend_header\n\xff\xff\xff\xff", "length below 0"),
    (HEADER.format(0) + "element face 1\nproperty list uint int vertex_indices\nend_header\n\xff\xff\xff\xff", "runs past its end"),
    (HEADER.format(0) + "element face 1\nproperty list float int vertex_indices\nend_header\n\0\0\xc0\x7f", "whole numbers"),
    (HEADER.format(0) + "property string name\nend_header\n", "property string name"), ("ply\nend_header\n", "names no format"),
    (HEADER.format(0), "no PLY header"), ("ply\nformat ascii 1.0\nelement face 0\nend_header\n", "no vertices"),
    (text().decode().replace(" 9\n", " x\n", 1), "word that is no number"),
    (text().decode().replace("7 3 0 1 2", "7 3 0 1.5 2"), "whole numbers"),
    (text().decode().replace("7 3 0 1 2", "7 nan 0 1 2"), "whole numbers"),
    (text().decode().replace("7 3 0 1 2", "7 1e18 0 1 2"), "whole|cut|past")])
def test_refuses_before_taking_memory(data, message):
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=message):
            read_ply(data.encode("latin-1"))
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
