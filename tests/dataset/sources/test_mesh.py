"""Meshes and point files: the user's vertex order, whatever the file's groups and materials."""

import numpy as np
import pytest
import trimesh

from dataset.asset import AssetError
from dataset.sources.mesh import load_mesh, longest_up

OBJ = """mtllib ../../evil.mtl
o figure
v 0 0 0
v 5 5 5
v 1 0 0 .1 .2 .3
v 1 1 0
v 0 1 0
vt 0 0
vt 1 1
vn 0 0 1
g a
usemtl one
f 1/1/1 3/2/1 4/1/1 5//1
g b
usemtl two
f -5 -2 -1
"""


def write(path, text):
    path.write_text(text) if isinstance(text, str) else path.write_bytes(text)
    return path


def test_obj_by_hand(tmp_path):
    asset = load_mesh(write(tmp_path / "a.obj", OBJ))
    assert asset.vertices_V3.tolist() == [[0, 0, 0], [5, 5, 5], [1, 0, 0], [1, 1, 0], [0, 1, 0]]
    assert asset.faces_F3.tolist() == [[0, 2, 3], [0, 3, 4], [0, 3, 4]] and asset.up == "y"
    assert asset.normals_V3.tolist() == [[0, 0, 1], [0, 0, 0], [0, 0, 1], [0, 0, 1], [0, 0, 1]]


@pytest.mark.parametrize("suffix", ["ply", "off", "obj"])
def test_vertex_order_stays(tmp_path, suffix):
    """Also of vertices that no face uses and of those that are equal."""
    mesh = trimesh.creation.icosphere(subdivisions=1)
    vertices = np.concatenate([mesh.vertices[:1], [[9, 9, 9]], mesh.vertices])
    trimesh.Trimesh(vertices, mesh.faces + 2, process=False).export(tmp_path / f"m.{suffix}")
    asset = load_mesh(tmp_path / f"m.{suffix}")
    np.testing.assert_allclose(asset.vertices_V3, vertices, atol=1e-6)
    assert asset.faces_F3.tolist() == (mesh.faces + 2).tolist()


@pytest.mark.parametrize("kind", ["stl", "stl_ascii"])
def test_stl_corners_are_merged_in_order(tmp_path, kind):
    mesh = trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]], [[3, 2, 0], [0, 1, 3]], process=False)
    write(tmp_path / "m.stl", mesh.export(file_type=kind))
    asset = load_mesh(tmp_path / "m.stl")
    assert asset.vertices_V3.tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 0], [1, 0, 0]]
    assert asset.faces_F3.tolist() == [[0, 1, 2], [2, 3, 0]]


def test_ply_points_and_their_normals(tmp_path):
    columns = "".join(f"property float {name}\n" for name in ("x", "y", "z", "nx", "ny", "nz"))
    text = f"ply\nformat ascii 1.0\nelement vertex 2\n{columns}end_header\n0 0 0 0 0 2\n1 2 3 0 -1 0\n"
    asset = load_mesh(write(tmp_path / "p.ply", text))
    assert asset.faces_F3 is None and asset.vertices_V3.tolist() == [[0, 0, 0], [1, 2, 3]]
    assert asset.normals_V3.tolist() == [[0, 0, 1], [0, -1, 0]]


def test_xyz_and_npy(tmp_path):
    points = np.array([[0, 0, 0, 0, 3, 4], [1, 2, 3, 1, 0, 0]])
    np.save(tmp_path / "p.npy", points)
    write(tmp_path / "p.xyz", "# x y z nx ny nz\n0 0 0 0 3 4\n\n1 2 3 1 0 0\n")
    for name in ("p.npy", "p.xyz"):
        asset = load_mesh(tmp_path / name)
        assert asset.vertices_V3.tolist() == [[0, 0, 0], [1, 2, 3]] and asset.faces_F3 is None
        np.testing.assert_allclose(asset.normals_V3, [[0, .6, .8], [1, 0, 0]], atol=1e-7)
    np.save(tmp_path / "q.npy", points[:1, :3].astype(np.int32))
    asset = load_mesh(tmp_path / "q.npy")
    assert asset.vertices_V3.tolist() == [[0, 0, 0]] and asset.normals_V3 is None


def test_up_is_the_longer_side_unless_said(tmp_path):
    assert longest_up(np.array([[0, 0, 0], [9, 1, 2.]])) == "z" and longest_up(np.array([[0, 0, 0], [9, 2, 2.]])) == "y"
    np.save(tmp_path / "p.npy", np.array([[0, 0, 0], [0, .5, 2]]))
    assert load_mesh(tmp_path / "p.npy").up == "z" and load_mesh(tmp_path / "p.npy", "y").up == "y"
    with pytest.raises(AssetError, match="up must be y, z or auto, not 'x'"):
        load_mesh(tmp_path / "p.npy", "x")


@pytest.mark.parametrize("name, content, message", [
    ("a.obj", "v 0 0\n", "line 1 is no OBJ v line"), ("a.obj", "v 0 0 0\nf 1 x 1\n", "line 2 is no OBJ f line"),
    ("a.obj", "v 0 0 0\nf 1 1 2\n", "faces point"), ("a.obj", "v 0 0 0\nf 1 0 1\n", "faces point"), ("a.obj", "v nan 0 0\nf 1 1 1\n", "NaN"),
    ("a.obj", "v 0 0 0\nv 1e39 0 0\nf 1 1 1\n", "infinity"), ("a.obj", "# nothing\n", "V >= 1"), ("a.obj", b"\xff\x00\xfe", "V >= 1"),
    ("a.ply", "ply\nformat ascii", "not a readable .ply"), ("a.off", "OFF\n3 1 0\n0 0", "a.off"), ("a.stl", b"\x00" * 90, "a.stl"),
    ("a.xyz", "1 2\n", r"shape \(1, 2\)"), ("a.xyz", "a b c\n", "not a readable .xyz"),
    ("a.npy", b"\x93NUMPY\x01\x00", "not a readable .npy"), ("a.npy", b"", "not a readable .npy")])
def test_refuses(tmp_path, name, content, message):
    with pytest.raises(AssetError, match=message):
        load_mesh(write(tmp_path / name, content))


def test_refuses_arrays_of_objects_and_claims_of_size(tmp_path):
    np.save(tmp_path / "o.npy", np.array([{}, None], dtype=object), allow_pickle=True)
    with pytest.raises(AssetError, match="o.npy: not a readable .npy"):
        load_mesh(tmp_path / "o.npy")
    with open(tmp_path / "big.npy", "wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": (1 << 40, 3)})
    with pytest.raises(AssetError, match="big.npy: not a readable .npy"):
        load_mesh(tmp_path / "big.npy")
    with pytest.raises(AssetError, match="gone.obj: cannot be read .no such file"):
        load_mesh(tmp_path / "gone.obj")
