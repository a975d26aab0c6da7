"""Contest files: what is written comes back, and what a stranger may put into a pickle is refused before it runs."""

import io
import pickle
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from dataset.asset import Asset, AssetError
from dataset.format import skeleton
from dataset.sources.npz import load_npz, load_track, read_npz, write_npz
from tests.dataset.figures import capsule_man

TRIANGLE = dict(vertices=np.eye(3, dtype=np.float32), faces=np.array([[0, 1, 2]]))


def save(path, **members):
    np.savez_compressed(path, **members)
    return path


def raw_npz(path, member: str, body: bytes):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{member}.npy", body)
    return path


def header(dtype: str, shape: tuple) -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(out, {"descr": dtype, "fortran_order": False, "shape": shape})
    return out.getvalue()


def test_by_hand(tmp_path):
    asset = load_npz(save(tmp_path / "a.npz", cls="vroid", id=7, **TRIANGLE))
    assert (asset.cls, asset.id, asset.source, asset.up) == ("vroid", "7", "a.npz", "z")
    assert asset.joints_J3 is None and asset.skin_VJ is None
    np.testing.assert_allclose(asset.normals_V3, np.full((3, 3), 3 ** -.5), atol=1e-6)


@pytest.mark.parametrize("count", [22, 52])
def test_what_is_written_comes_back(tmp_path, count):
    want = capsule_man(count)
    write_npz(tmp_path / "f.npz", want)
    got = load_npz(tmp_path / "f.npz")
    assert (got.cls, str(got.id), got.parents, got.names, got.up) == (want.cls, str(want.id), want.parents, want.names, "z")
    for key in ("vertices_V3", "faces_F3", "joints_J3", "normals_V3"):
        np.testing.assert_array_equal(getattr(got, key), getattr(want, key))
    np.testing.assert_allclose(got.skin_VJ, want.skin_VJ, atol=1e-7)
    assert np.load(tmp_path / "f.npz", allow_pickle=True)["parents"][()][0] is None


def test_parts_may_be_none(tmp_path):
    want = replace(capsule_man(22), skin_VJ=None, matrix_local_J44=None, faces_F3=None, normals_V3=None)
    write_npz(tmp_path / "f.npz", want)
    got = load_npz(tmp_path / "f.npz")
    assert got.skin_VJ is None and got.faces_F3 is None and got.normals_V3 is None and got.joint_count == 22


def test_lists_and_arrays_pickled_whole(tmp_path):
    """As np.savez writes values that were wrapped: 0-d object arrays, unwrapped by [()]."""
    wrapped = {key: np.array(None) for key in ("vertices", "faces", "parents", "names", "joints")}
    wrapped["vertices"][()] = TRIANGLE["vertices"].astype(np.float64)
    wrapped["faces"][()] = TRIANGLE["faces"].astype(np.int32)
    wrapped["joints"][()] = np.arange(66, dtype=np.float32).reshape(22, 3)
    wrapped["parents"][()], wrapped["names"][()] = list(skeleton(22).parents), list(skeleton(22).names)
    got = load_npz(save(tmp_path / "w.npz", **wrapped))
    assert got.vertices_V3.dtype == np.float32 and got.faces_F3.dtype == np.int64
    assert got.parents == skeleton(22).parents and got.names == skeleton(22).names


@pytest.mark.parametrize("head, up", [((0, 1, .2), "y"), ((0, -.2, 1), "z"), ((0, 0, -1), "z")])
def test_up_is_where_the_head_is(tmp_path, head, up):
    joints = np.zeros((22, 3), np.float32)
    joints[5] = head
    assert load_npz(save(tmp_path / "u.npz", **TRIANGLE, joints=joints)).up == up


def test_up_can_be_said(tmp_path):
    assert load_npz(save(tmp_path / "u.npz", **TRIANGLE), up="y").up == "y"


class Evil:
    def __reduce__(self):
        return print, ("ran",)


@pytest.mark.parametrize("value, asked", [
    (Evil(), "builtins.print"), (np.random.default_rng(0), "numpy.random"), ({"a": io.StringIO()}, "_io.StringIO")])
def test_refuses_more_than_arrays_by_name(tmp_path, capsys, value, asked):
    path = save(tmp_path / "evil.npz", vertices=np.array([value, None], dtype=object))
    with pytest.raises(AssetError, match=f"evil.npz: member 'vertices.npy' wants {asked}.*nothing was run"):
        read_npz(path)
    assert "ran" not in capsys.readouterr().out


class Huge:
    """A pickle of a few bytes that asks NumPy for a terabyte."""
    def __init__(self, how):
        self.how = how

    def __reduce__(self):
        return {"call": (np.ndarray, ((1 << 40,),)), "reconstruct": (np.core.multiarray._reconstruct, (np.ndarray, (1 << 40,), b"b")),
                "dtype": (np.dtype, ([("a", "f4")],))}[self.how]


@pytest.mark.parametrize("how, message", [("call", "ndarray called directly"), ("reconstruct", "_reconstruct of shape"),
                                          ("dtype", "dtype of list")])
def test_refuses_pickles_that_ask_for_memory(tmp_path, how, message):
    body = header("|O", ()) + pickle.dumps(Huge(how), protocol=4)
    with pytest.raises(AssetError, match=message):
        read_npz(raw_npz(tmp_path / "h.npz", "vertices", body))


def test_sizes_are_checked_before_memory_is_taken(tmp_path):
    path = raw_npz(tmp_path / "big.npz", "vertices", header("<f4", (1 << 40, 3)) + b"\0" * 36)
    with pytest.raises(AssetError, match=r"big.npz: member 'vertices.npy' claims shape \(1099511627776, 3\).*holds 36 bytes"):
        read_npz(path)


@pytest.mark.parametrize("body, message", [(b"junk", "broken .npy header"), (b"\x93NUMPY\x09\x00", "unknown .npy version"),
                                           (header("|O", ()) + b"\x80\x04junk", "cannot be unpickled")])
def test_refuses_broken_members(tmp_path, body, message):
    with pytest.raises(AssetError, match=message):
        read_npz(raw_npz(tmp_path / "b.npz", "vertices", body))


@pytest.mark.parametrize("members, message", [
    (dict(faces=TRIANGLE["faces"]), "has no 'vertices'"),
    (TRIANGLE | dict(vertices=np.zeros((3, 2))), r"'vertices' is .* \(3, 2\)"),
    (TRIANGLE | dict(vertices=np.array(["a", "b", "c"])), "'vertices' is"),
    (TRIANGLE | dict(faces=np.array([[0, 1, 2.5]])), "'faces' is float64"),
    (TRIANGLE | dict(faces=np.array([[0, 1, 3]])), "t.npz: faces point"),
    (TRIANGLE | dict(joints=np.zeros((22, 3)), skin=np.ones((2, 22))), r"'skin' is .* \(2, 22\)"),
    (TRIANGLE | dict(joints=np.zeros((22, 3)), parents=np.array(["x"] * 22)), "'parents' must be"),
    (TRIANGLE | dict(vertices=np.full((3, 3), np.nan)), "NaN")])
def test_refuses(tmp_path, members, message):
    with pytest.raises(AssetError, match=message):
        load_npz(save(tmp_path / "t.npz", **members))


def test_refuses_what_is_no_zip(tmp_path):
    (tmp_path / "n.npz").write_bytes(b"PK\x03\x04 not really")
    with pytest.raises(AssetError, match="n.npz: not a whole .npz"):
        load_npz(tmp_path / "n.npz")
    with pytest.raises(AssetError, match="gone.npz: cannot be read"):
        load_npz(tmp_path / "gone.npz")


def test_a_file_cut_short_at_any_byte_is_refused(tmp_path):
    whole = save(tmp_path / "whole.npz", **TRIANGLE).read_bytes()
    for cut in range(0, len(whole), 37):
        (tmp_path / "cut.npz").write_bytes(whole[:cut])
        with pytest.raises(AssetError, match="cut.npz"):
            load_npz(tmp_path / "cut.npz")


def test_track(tmp_path):
    basis = np.tile(np.eye(4), (5, 52, 1, 1))
    got, offset = load_track(save(tmp_path / "t.npz", matrix_basis=basis))
    assert got.shape == (5, 52, 4, 4) and got.dtype == np.float32 and (offset == np.zeros((5, 3))).all()
    for members, message in ((dict(a=1), "no 'matrix_basis'"), (dict(matrix_basis=basis[0]), "'matrix_basis' is"),
                             (dict(matrix_basis=basis * np.nan), "not finite"),
                             (dict(matrix_basis=basis, offset=np.zeros((4, 3))), "'offset' is")):
        with pytest.raises(AssetError, match=message):
            load_track(save(tmp_path / "bad.npz", **members))


def test_development_set(shared_data):
    for path in sorted((shared_data / "dev").glob("*.npz")):
        asset = load_npz(path)
        assert isinstance(asset, Asset) and asset.up == "y" and asset.joint_count in (22, 52), path.name
    basis, offset = load_track(shared_data / "mocap" / "cmu_02_01.npz")
    assert basis.shape == (86, 22, 4, 4) and offset.shape == (86, 3)
