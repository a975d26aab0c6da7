"""File names and links of strangers: nothing is written outside the output folder, and no name forges a line of a log."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from dataset.asset import AssetError
from dataset.sources.files import expand_inputs, is_there, listed_files, load_asset
from launch.batch_predict import NAME_LENGTH, BatchOptions, gather_inputs, plan, predict_files
from launch.outcome import Outcome, table
from launch.predictor import Predictor
from launch.rig_folder import as_json
from tests.dataset.figures import capsule_man
from tests.launch.random_checkpoint import save_random
from tests.soak.fuzz_npz import character, npz

NO_UNICODE = os.fsdecode(b"caf\xe9")
NAMES = ["..", "../../up", "/etc/passwd", "a\nFAILED: all", "\x1b[2J", "C:\\windows", ".hidden", "a b", "a/b", "nul\tl", "con", "x" * 5000,
         "A B", "a?b", "é", "é", "😀", "...", " ", "-rf", "~root"]


def test_no_name_inside_a_file_leads_out_and_no_two_share_a_folder(tmp_path):
    for number, name in enumerate(NAMES):
        for part in ("cls", "id"):
            text = np.array(name[:900])
            (tmp_path / f"{number}-{part}.npz").write_bytes(npz(character(cls=np.array("c"), id=np.array("i")) | {part: text}))
    tasks = plan(sorted(tmp_path.iterdir()))
    run = tmp_path / "run"
    for task in tasks:
        assert len(Path(task.folder).parts) == 2 and (run / task.folder).resolve().is_relative_to(run.resolve()), task
        assert task.folder.isprintable() and max(map(len, Path(task.folder).parts)) <= NAME_LENGTH + 5
        assert not any(part.startswith(".") for part in Path(task.folder).parts)
    assert len({task.folder.casefold() for task in tasks}) == len(tasks) == 2 * len(NAMES)


@pytest.mark.parametrize("name", ["a\nroot: all is well.obj", "\x1b[2J\x07.ply", NO_UNICODE + ".glb", "\u202egnp.npz", "x" * 200 + ".stl"])
def test_errors_print_names_escaped(name, tmp_path):
    (tmp_path / name).write_bytes(b"no mesh")
    with pytest.raises(AssetError) as caught:
        load_asset(tmp_path / name)
    text = str(caught.value)
    assert text.isprintable() and text.startswith(ascii(name)[1:-1][:40]) and len(text) < 2100
    text.encode()
    line = table([Outcome(name, reason=text)]).splitlines()
    assert len(line) == 4 and all(part.isprintable() for part in line)
    assert json.loads(as_json({"input": name}))["input"] == name


def test_folders_are_read_without_leaving_them(tmp_path):
    """Links out, links in a circle, pipes and hidden files are passed over; odd names are not."""
    outside, folder = tmp_path / "outside", tmp_path / "in"
    outside.mkdir()
    folder.mkdir()
    (outside / "secret.obj").write_text("v 0 0 0\n")
    for name in ("ok.obj", "line\nbreak.obj", NO_UNICODE + ".obj", ".hidden.obj"):
        (folder / name).write_text("v 0 0 0\n")
    (folder / "link.obj").symlink_to(outside / "secret.obj")
    (folder / "folder").symlink_to(outside)
    (folder / "circle").symlink_to(folder)
    (folder / "self.obj").symlink_to(folder / "self.obj")
    os.mkfifo(folder / "pipe.obj")
    assert {path.name for path in expand_inputs([folder])} == {"ok.obj", "line\nbreak.obj", NO_UNICODE + ".obj"}
    with pytest.raises(AssetError, match="no such file"):
        expand_inputs([folder / "pipe.obj"])


@pytest.mark.parametrize("suffix", [".npz", ".bvh"])
def test_pipes_do_not_block(suffix, tmp_path):
    from dataset.sources.bvh import load_bvh
    from dataset.sources.npz import load_npz
    os.mkfifo(tmp_path / f"pipe{suffix}")
    with pytest.raises(AssetError, match="it is no file"):
        (load_npz if suffix == ".npz" else load_bvh)(tmp_path / f"pipe{suffix}")


@pytest.mark.parametrize("line", ["../x.npz", "/etc/passwd", "a/../../x.npz", "..", "a\0b", "./../x"])
def test_lists_do_not_lead_out(line, tmp_path):
    (tmp_path / "list.txt").write_text(f"good/1.npz\n{line}\n")
    with pytest.raises(AssetError, match="list.txt: line 2 .* leads out of") as caught:
        listed_files(tmp_path / "list.txt", tmp_path)
    assert str(caught.value).isprintable()


def test_lists_say_what_is_wrong_and_take_what_is_right(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("a.npz\r\n\n sub/../b.npz \n" + "x" * 5000 + ".npz\n")
    got = listed_files(path, tmp_path / "root")
    assert [str(file.relative_to(tmp_path / "root")) for file in got[:2]] == ["a.npz", "sub/../b.npz"] and not is_there(got[2])
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(AssetError, match="no UTF-8 text"):
        listed_files(path, tmp_path)
    with pytest.raises(AssetError, match="cannot be read"):
        listed_files(tmp_path / "none.txt", tmp_path)


def test_a_batch_with_such_names_is_rigged_inside_its_folder(tmp_path):
    """Names that are too long, hold a line's end or are no Unicode: each is rigged or listed, and summary.json can be read."""
    inputs, out = tmp_path / "in", tmp_path / "out"
    inputs.mkdir()
    points = capsule_man(22).vertices_V3[::3]
    for name in ("line\nbreak.xyz", NO_UNICODE + ".xyz"):
        np.savetxt(inputs / name, points)
    files, missing = gather_inputs([str(inputs), "x" * 5000, "no\nsuch.obj"], None, None)
    predictor = Predictor(save_random(tmp_path / "checkpoint", joints=22, points=64))
    outcomes = predict_files(predictor, files, BatchOptions(out, "../run", show_progress=False), missing)
    assert [outcome.reason is None for outcome in outcomes] == [False, False, True, True], outcomes
    said = json.loads((out / "_run" / "summary.json").read_bytes())
    assert {row["input"] for row in said["results"]} >= {"line\nbreak.xyz", NO_UNICODE + ".xyz"}
    assert {path.name for path in tmp_path.iterdir()} == {"in", "out", "checkpoint"} and [p.name for p in out.iterdir()] == ["_run"]
    assert all(part.isprintable() for part in table(outcomes).splitlines())
