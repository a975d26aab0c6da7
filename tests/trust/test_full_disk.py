"""A disk that is full, read-only or forbidden, the quick part: the saving code at many amounts of room.

Whole programs: tests/soak/full_disk.py.
"""

import errno
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from dataset.disk import WriteError, explain, replace_file, writing
from dataset.exporter import write_atomically
from launch import batch_predict
from launch.batch_predict import BatchOptions, predict_files
from launch.predictor import Predictor, PredictorOptions
from tests.dataset.figures import capsule_man
from tests.launch.random_checkpoint import save_random
from tests.soak.killing import ROOT
from tests.soak.small_disk import possible


def test_the_saving_code_at_many_amounts_of_room(tmp_path):
    if not possible():
        pytest.skip("this system lets nobody mount a small disk (unshare -Urm): NOT TESTED")
    done = subprocess.run([sys.executable, "-m", "tests.soak.full_disk", "--windows", "--step", "7", "--work", str(tmp_path)], cwd=ROOT,
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == "0 breaches", done.stdout + done.stderr


@pytest.mark.parametrize("number, advice", [(errno.ENOSPC, "make room"), (errno.EROFS, "read-only"), (errno.EACCES, "chmod"),
                                            (errno.ENOENT, "removed")])
def test_a_sentence_names_the_file_and_the_repair(number, advice, tmp_path):
    said = rf"{tmp_path}/a cannot be written: {os.strerror(number)}; .*{advice}"
    with pytest.raises(WriteError, match=said) as caught, writing(tmp_path / "a"):
        raise OSError(number, os.strerror(number))
    assert caught.value.errno == number and explain(caught.value) == str(caught.value)
    assert explain(OSError(number, os.strerror(number), "x/\n.glb")).startswith(f"x/?.glb: {os.strerror(number)}; ")


def test_errors_of_other_files_keep_their_own_words(tmp_path):
    with pytest.raises(FileNotFoundError, match="/elsewhere/b"), writing(tmp_path / "a"):
        open("/elsewhere/b")
    with pytest.raises(OSError, match="^no image$") as caught, writing(tmp_path / "a"):
        raise OSError("no image")
    assert not isinstance(caught.value, WriteError)
    with pytest.raises(WriteError, match="No space left"), writing(tmp_path / "a"):
        raise OSError("26 requested and 0 written")     # NumPy's word for a full disk


def test_only_leftovers_of_the_same_file_go(tmp_path):
    kept = [".a.json.x.part", ".aXjson.1.part", ".b.1.part"]
    for name in (".a.json.1.part", *kept):      # process 1 runs: the number of a killed writer may be another's by now
        (tmp_path / name).touch()
    replace_file(tmp_path / "a.json", lambda part: part.write_text("{}"))
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([*kept, "a.json"])


def test_what_another_process_is_writing_stays_until_it_ends(tmp_path):
    path = tmp_path / "a.json"
    slow = ("import os, sys; from pathlib import Path; from dataset.disk import replace_file; "     # ends at once where it is told nothing
            "replace_file(Path(sys.argv[1]), lambda part: (part.write_text('slow'), print(flush=True), sys.stdin.readline() or os._exit(0)))")
    writers = [subprocess.Popen([sys.executable, "-c", slow, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(2)]
    for writer in writers:
        writer.stdout.readline()
    replace_file(path, lambda part: part.write_text("quick"))
    assert len(list(tmp_path.glob(".a.json.*.part"))) == 2 and path.read_text() == "quick"
    writers[0].communicate()
    replace_file(path, lambda part: part.write_text("again"))
    assert len(list(tmp_path.glob(".a.json.*.part"))) == 1 and path.read_text() == "again"
    writers[1].communicate(b"\n")
    assert writers[1].returncode == 0 and [p.name for p in tmp_path.iterdir()] == ["a.json"] and path.read_text() == "slow"


def test_a_file_stands_where_a_folder_is_needed(tmp_path):
    (tmp_path / "run").write_text("not a folder")
    with pytest.raises(WriteError, match="a file stands where a folder is needed"):
        write_atomically(tmp_path / "run" / "summary.json", b"{}")


@pytest.fixture(scope="module")
def batch(tmp_path_factory) -> tuple[Predictor, list[Path]]:
    from dataset.sources.npz import write_npz
    place = tmp_path_factory.mktemp("disk")
    for name in "ab":
        write_npz(place / f"{name}.npz", replace(capsule_man(22), cls=None, id=name))
    return Predictor(save_random(place / "net", points=64), PredictorOptions(None, 0, 1, False)), [place / f"{name}.npz" for name in "ab"]


def test_a_batch_stops_where_its_folder_is_removed(batch, tmp_path):
    """It must not go on into a folder of which it then says that all is there."""
    predictor, files = batch
    looked = predictor.predict

    def removing(asset):
        (tmp_path / "run").rename(tmp_path / "moved")
        return looked(asset)
    predictor.predict = removing
    try:
        with pytest.raises(WriteError, match="run: was removed, or rigs in it, while it was being filled"):
            predict_files(predictor, files, BatchOptions(tmp_path, "run", show_progress=False))
    finally:
        del predictor.predict
    assert [p.name for p in tmp_path.iterdir()] == ["moved"]


def test_a_batch_whose_folder_is_removed_while_a_rig_is_written_says_so_and_goes_on(batch, tmp_path, monkeypatch):
    """Writing makes the folder again, so the rig before would be missing among those that are called done."""
    predictor, files = batch
    real, options = batch_predict.write_rig, BatchOptions(tmp_path, "run", show_progress=False)

    def removing(folder, *what):
        if folder.name == "b":
            shutil.rmtree(tmp_path / "run")
        return real(folder, *what)
    monkeypatch.setattr(batch_predict, "write_rig", removing)
    with pytest.raises(WriteError, match="run: was removed, or rigs in it"):
        predict_files(predictor, files, options)
    assert not (tmp_path / "run" / "summary.json").exists()
    monkeypatch.undo()
    assert [one.reason for one in predict_files(predictor, files, options)] == [None, None]
    assert {path.name for path in (tmp_path / "run" / "other").iterdir()} == {"a", "b"}


def test_a_batch_stops_where_its_disk_takes_nothing_and_goes_on_when_it_does(batch, tmp_path, monkeypatch):
    predictor, files = batch
    real, met = os.replace, []

    def full(source, target):
        met.append(source)
        if len(met) > 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(source, target)
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(WriteError, match="No space left on device; make room"):
        predict_files(predictor, files, BatchOptions(tmp_path, "run", show_progress=False))
    monkeypatch.undo()
    assert not list(tmp_path.rglob(".*"))
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.npy")}
    outcomes = predict_files(predictor, files, BatchOptions(tmp_path, "run", show_progress=False))
    assert [o.reason for o in outcomes] == [None, None] and all(p.stat().st_mtime_ns == time for p, time in before.items())
