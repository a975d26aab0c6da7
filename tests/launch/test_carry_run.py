"""A run carried in pieces: the same bytes arrive, pieces are small, and nothing damaged or foreign becomes a run."""

import json
import os

import pytest

import launch.carry_run as module
from launch.carry_run import FILES, main


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    monkeypatch.setattr(module, "PIECE", 1000)


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "run"
    for name, size in zip(FILES, (3500, 0, 1000, 10, 2001, 10)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(os.urandom(size))
    (folder / "curves.png").write_bytes(b"not carried")
    return folder


def test_what_arrives_is_what_left(run, tmp_path):
    assert main(["pack", str(run), str(tmp_path / "parts")]) == 0
    assert max(piece.stat().st_size for piece in (tmp_path / "parts").iterdir() if piece.name != "index.json") == 1000
    assert main(["unpack", str(tmp_path / "parts"), str(tmp_path / "there" / "run")]) == 0
    arrived = {str(f.relative_to(tmp_path / "there" / "run")) for f in (tmp_path / "there" / "run").rglob("*") if f.is_file()}
    assert arrived == set(FILES)
    assert all((tmp_path / "there" / "run" / name).read_bytes() == (run / name).read_bytes() for name in FILES)
    assert [f.name for f in (tmp_path / "there").iterdir()] == ["run"]


@pytest.mark.parametrize("harm", ["bit", "lost", "grown", "index", "no state", "link"])
def test_damaged_pieces_make_no_run(run, tmp_path, harm, capsys):
    parts, there = tmp_path / "parts", tmp_path / "there"
    assert main(["pack", str(run), str(parts)]) == 0
    piece, index = parts / "state.safetensors.001", parts / "index.json"
    if harm == "bit":
        piece.write_bytes(bytes([piece.read_bytes()[0] ^ 1]) + piece.read_bytes()[1:])
    elif harm == "lost":
        piece.unlink()
    elif harm == "grown":
        piece.write_bytes(bytes(1001))
    elif harm == "index":
        index.write_text("[1")
    elif harm == "no state":
        index.write_text(json.dumps({"../evil": {"sha256": "", "pieces": 1}}))
    else:
        piece.unlink()
        piece.symlink_to("/dev/zero")
    assert main(["unpack", str(parts), str(there / "run")]) == 2
    said = capsys.readouterr().err
    assert str(parts) in said and said.count("\n") == 1
    assert not there.exists() or not list(there.iterdir())


def test_nothing_is_written_over(run, tmp_path, capsys):
    assert main(["pack", str(run), str(tmp_path / "parts")]) == 0
    before = (run / "state.safetensors").read_bytes()
    assert main(["unpack", str(tmp_path / "parts"), str(run)]) == 2 and main(["pack", str(run), str(tmp_path / "parts")]) == 2
    assert (run / "state.safetensors").read_bytes() == before and capsys.readouterr().err.count("carry_run: ") == 2


def test_what_is_no_run_is_named(tmp_path, capsys):
    assert main(["pack", str(tmp_path / "nowhere"), str(tmp_path / "parts")]) == 2
    assert main(["unpack", str(tmp_path / "nowhere"), str(tmp_path / "run")]) == 2
    assert capsys.readouterr().err.count("nowhere") >= 2 and not (tmp_path / "parts").exists()
