"""Files from the page: hostile names and contents give a sentence and leave nothing behind; one job at a time, in the caller's thread."""

import tempfile
from dataclasses import replace

import pytest

import viewer.uploads as module
from dataset.asset import Asset, AssetError
from tests.dataset.figures import capsule_man
from tests.dataset.sources.test_bvh import person
from tests.viewer.test_library import glb
from viewer.character import NETWORK, SMOOTHED
from viewer.library import Library
from viewer.uploads import Busy, Uploads, shown_name

MAN = capsule_man(22, up="y")
TRIANGLE = b"v 0 0 0\nv 1 0 0\nv 0 2 0\nv 0 0 1\nf 1 2 3\nf 1 2 4\n"


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    """Where temporary files go, and nothing else."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def rig_as_man(asset: Asset):
    yield "thinking"
    yield replace(MAN, source=asset.source)


@pytest.fixture
def uploads(scratch) -> Uploads:
    return Uploads(Library([]), rig_as_man)


def done(uploads: Uploads, name: str, data: bytes) -> dict:
    number = uploads.take(name, data)
    assert uploads.job(number).as_dict()["state"] == "waiting"
    assert uploads.work(0)
    return uploads.job(number).as_dict()


def test_a_mesh_is_rigged_and_listed(uploads, scratch):
    job = done(uploads, "hero.obj", TRIANGLE)
    assert (job["state"], job["step"], job["says"]) == ("done", 4, "hero.obj: 22 joints")
    assert uploads.library.listing()["characters"] == [{"name": "hero.obj", "group": "dropped here"}]
    assert uploads.library.character(job["character"]).kinds == [NETWORK, SMOOTHED]
    assert not list(scratch.iterdir())


def test_a_glb_too(uploads, tmp_path):
    assert done(uploads, "hero.GLB", glb(tmp_path / "a.glb").read_bytes())["state"] == "done"


def test_without_a_network_it_is_shown_as_it_is(scratch):
    uploads = Uploads(Library([]), None)
    job = done(uploads, "hero.obj", TRIANGLE)
    assert job["says"] == "hero.obj: shown without a rig" and not uploads.library.character(0).rigged


def test_a_motion_becomes_a_clip(uploads, scratch):
    job = done(uploads, "step.bvh", person([[(0, 0, 0)] * 22] * 4).encode())
    assert (job["state"], job["says"], job["character"], job["clip"]) == ("done", "step.bvh: motion of 3 frames", None, 0)
    assert uploads.library.listing()["clips"] == [{"name": "step.bvh", "frames": 3, "fps": 25.0}] and not list(scratch.iterdir())


@pytest.mark.parametrize("name, data, why", [
    ("hero.glb", b"glTF\x02\x00\x00\x00\xff\xff\xff\xff", "hero.glb: "),
    ("hero.glb", b"<script>alert(1)</script>", "hero.glb: "),
    ("hero.gltf", b'{"asset": {"version": "2.0"}, "buffers": [{"uri": "../../../etc/passwd", "byteLength": 9}]}', "hero.gltf: "),
    ("hero.npz", b"PK\x03\x04 broken", "hero.npz: "),
    ("hero.obj", b"nothing here", "hero.obj: "),
    ("walk.bvh", b"HIERARCHY\nROOT", "walk.bvh: "),
    ("hero.npy", b"\x93NUMPY\x01\x00\x76\x00{'descr': '|O', 'fortran_order': False, 'shape': (1,), }".ljust(128) + b"cos\nsystem\n",
     "hero.npy: ")])
def test_hostile_contents_are_a_sentence_and_leave_nothing(uploads, scratch, name, data, why):
    job = done(uploads, name, data)
    assert job["state"] == "failed" and job["says"].startswith(why) and "Traceback" not in job["says"]
    assert "upload." not in job["says"] and str(scratch) not in job["says"]
    assert uploads.library.listing()["characters"] == [] and not list(scratch.iterdir())


@pytest.mark.parametrize("name", ["../../etc/passwd", "hero.exe", "", ".", "..\\..\\a.dll", "hero.glb/../x", "hero.glb\0.txt", "a.fbx"])
def test_hostile_names_are_refused(uploads, scratch, name):
    with pytest.raises(AssetError, match="is not read"):
        uploads.take(name, TRIANGLE)
    assert not uploads.work(0) and not list(scratch.iterdir())


@pytest.mark.parametrize("name", ["../../../tmp/evil.obj", "/etc/evil.obj", "C:\\windows\\evil.obj", "a\nb/\x1b[31mevil.obj"])
def test_a_name_is_never_a_path(uploads, scratch, name):
    job = done(uploads, name, TRIANGLE)
    assert job["state"] == "done" and job["name"].endswith("evil.obj") and not set(job["name"]) & set("/\\\n\x1b")
    assert not list(scratch.iterdir())


def test_names_are_cut_and_keep_their_suffix():
    assert shown_name("x" * 500 + ".glb") == "x" * 56 + ".glb"
    assert shown_name("\x00\x01/") == "unnamed" and shown_name("Ähre 1.glb") == "Ähre 1.glb"


def test_one_at_a_time(uploads):
    uploads.take("a.obj", TRIANGLE)
    with pytest.raises(Busy):
        uploads.take("b.obj", TRIANGLE)
    uploads.work(0)
    assert uploads.take("b.obj", TRIANGLE) == 1


def test_empty_files_and_unknown_jobs(uploads):
    with pytest.raises(AssetError, match="empty"):
        uploads.take("a.obj", b"")
    with pytest.raises(KeyError):
        uploads.job(0)


def test_what_nobody_foresaw_ends_the_job_and_not_the_page(scratch, capsys):
    def broken(_):
        yield "thinking"
        raise RuntimeError("boom")
    uploads = Uploads(Library([]), broken)
    job = done(uploads, "a.obj", TRIANGLE)
    assert (job["state"], job["says"]) == ("failed", "a.obj: RuntimeError: boom") and "boom" in capsys.readouterr().err
    assert uploads.job(0).data == b"" and uploads.take("b.obj", TRIANGLE) == 1


def test_too_large_to_show_is_known_before_the_network_looks(monkeypatch, scratch):
    monkeypatch.setattr("viewer.character.MOST_VERTICES", 2)
    uploads = Uploads(Library([]), lambda asset: pytest.fail("asked"))
    assert "too large to show" in done(uploads, "a.obj", TRIANGLE)["says"]


def test_old_jobs_are_forgotten(uploads, monkeypatch):
    monkeypatch.setattr(module, "KEPT_JOBS", 2)
    for _ in range(4):
        done(uploads, "a.obj", TRIANGLE)
    assert sorted(uploads._jobs) == [2, 3]
