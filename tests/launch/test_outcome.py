"""The table at the end of a batch, by hand; a terminal's columns; and names that would paint over other lines."""

import json

from launch.outcome import Outcome, printable, reason_of, table, width

HERO = Outcome("hero.glb", "other/hero", joints=52, vertices=12345, expected_error_cm=2.314, warnings=("w", "v"), quality="warn")
CLOUD = Outcome("scan.xyz", "other/scan", joints=22, vertices=800, stood=True)
BROKEN = Outcome("long name.fbx", reason="no points")


def test_the_table_by_hand():
    assert table([HERO, CLOUD, BROKEN]).splitlines() == [
        "input          joints  vertices  expected error, cm  quality  warnings  folder",
        "hero.glb           52    12,345                2.31  warn            2  other/hero",
        "scan.xyz           22       800                   -  -               0  other/scan (unchanged)",
        "long name.fbx                                                           FAILED: no points",
        "-" * 94,
        "2 rigged, 1 failed; 1 of them unchanged; expected error 2.31 cm on average, 2.31 at most; 2 warnings, see report.json"]


def test_the_total_says_only_what_there_is_to_say():
    assert table([]).splitlines()[-1] == "0 rigged, 0 failed"
    assert table([BROKEN]).splitlines()[-1] == "0 rigged, 1 failed"
    one = Outcome("a", "other/a", joints=22, vertices=3, warnings=("w",))
    assert table([one]).splitlines()[-1] == "1 rigged, 0 failed; 1 warning, see report.json"
    two = [Outcome("a", "other/a", expected_error_cm=error) for error in (1.0, 4.0)]
    assert table(two).splitlines()[-1] == "2 rigged, 0 failed; expected error 2.50 cm on average, 4.00 at most"


def test_columns_align_for_wide_letters_too():
    """Every row's last column begins at the same column of the terminal."""
    names = ("英雄.glb", "ｅ", "e\u0301te.glb", "한국.vrm", "plain.glb")
    lines = table([Outcome(name, "HERE", joints=22, vertices=1) for name in names]).splitlines()[1:-2]
    assert len({width(line[:line.index("HERE")]) for line in lines}) == 1 and lines[0].startswith("英雄.glb")
    assert [width(name) for name in names] == [8, 2, 7, 8, 9]


def test_a_name_cannot_move_the_cursor():
    assert printable("a\x1b[2Jb\nc\u202ed") == "a?[2Jb?c?d" and printable("été 英 a") == "été 英 a"
    text = table([Outcome("a\x1b[2J\r.glb", reason="a\x1b[2J.glb: bad")])
    assert "\x1b" not in text and "\r" not in text and len(text.splitlines()) == 4


def test_a_row_for_programs():
    row = HERO.as_dict()
    assert json.loads(json.dumps(row)) == row
    assert row == {"input": "hero.glb", "folder": "other/hero", "reason": None, "joints": 52, "vertices": 12345,
                   "expected_error_cm": 2.314, "quality": "warn", "warnings": ["w", "v"]}
    assert "stood" not in CLOUD.as_dict()  # else a second start would write another summary


def test_reason_is_one_line():
    assert reason_of(ValueError("a.glb: bad\n  thing")) == "a.glb: bad thing"
    assert reason_of(MemoryError()) == "MemoryError: "
    assert reason_of(KeyError("x")) == "KeyError: 'x'"
