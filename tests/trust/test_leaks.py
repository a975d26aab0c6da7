"""The quick part of tests/soak/leaks.py: one door in failure and success, the harness against doors that leak, and an end by a signal."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.launch.random_checkpoint import save_random
from tests.launch.test_fbx_input import here as fbx_place  # noqa: F401  a fixture
from tests.soak import leaks
from tests.test_train_door import children_may_die  # noqa: F401  a fixture

ROOT = Path(__file__).resolve().parents[2]
OWN = "import os, sys, pathlib; out = pathlib.Path(sys.argv[1]) / 'out'; tmp = pathlib.Path(os.environ['TMPDIR']); "
LEAKS = {
    "holds a secret": "print(os.environ['http_proxy'])",
    "out/log holds a secret": "(out / 'log').write_text(os.environ['HF_TOKEN'])",
    "out/a.glb names": "(out / 'a.glb').write_text(str(out))",
    "tmp/part": "(tmp / 'part').write_text('x')",
    "has mode 666": "(tmp / 'open').write_text('x'); import time; time.sleep(0.5); (tmp / 'open').unlink()",
    "has mode 600, not 666": "(out / 'shut').touch(0o600)",
    "has a socket": "import socket, time; s = socket.socket(); s.bind(('', 0)); s.listen(); time.sleep(0.5)",
    "ended with 3": "sys.exit(3)",
}


@pytest.fixture
def here(tmp_path) -> Path:
    leaks.glb(tmp_path / "in" / "hero.glb")
    (tmp_path / "in" / "bad.glb").write_bytes(b"glTF\2\0\0\0\xff\xff\xff\xff garbage")
    return tmp_path


def test_rigging_tells_nothing(here):
    """A good file, a broken one and one that is not there, in one run without a network and under an open umask."""
    save_random(here / "net", joints=22, points=64)
    door, = (door for door in leaks.DOORS if door.name == "predict")
    assert leaks.pass_through(door, here, 0, leaks.isolated()) == []
    assert (here / "out" / "net" / "other" / "hero" / "rigged.glb").is_file()


def test_a_wrong_command_tells_nothing(here):
    door, = (door for door in leaks.DOORS if door.name == "view without a checkpoint")
    assert leaks.pass_through(door, here, 0o22, leaks.isolated()) == []


@pytest.mark.parametrize("breach", LEAKS)
def test_a_door_that_leaks_is_found(here, breach):
    door = leaks.Door("leaky", ("-c", OWN + LEAKS[breach], "{here}"), 0)
    found = leaks.pass_through(door, here, 0, [])
    assert any(breach in sentence for sentence in found), found


def test_a_door_that_does_not_is_left_in_peace(here):
    quiet = "import tempfile; d = tempfile.TemporaryDirectory(); (out / 'sub').mkdir(); (out / 'sub' / 'x').touch(); print('fine')"
    assert leaks.pass_through(leaks.Door("quiet", ("-c", OWN + quiet, "{here}"), 0), here, 0o27, []) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_end_by_a_signal_leaves_no_converted_file(fbx_place, children_may_die, number):  # noqa: F811
    """A batch with an FBX file is ended while the GLB that it became lies in the temporary folder."""
    code = ("import sys, time; from pathlib import Path; from launch.fbx_input import FbxInputs\n"
            "with FbxInputs() as fbx:\n    print(fbx.readable(Path(sys.argv[1]), 0), flush=True)\n    time.sleep(60)\n")
    process = subprocess.Popen([sys.executable, "-c", code, str(fbx_place / "in" / "hero.fbx")], cwd=ROOT, text=True, umask=0,
                               env=os.environ | {"TMPDIR": str(fbx_place / "tmp")}, stdout=subprocess.PIPE)
    made = Path(process.stdout.readline().strip())
    assert made.is_file() and not leaks.exposed(fbx_place / "tmp")
    process.send_signal(number)
    assert process.wait(timeout=30) == 128 + number and not list((fbx_place / "tmp").iterdir())


def test_the_doctor_ended_by_a_signal_leaves_nothing(tmp_path, children_may_die):  # noqa: F811
    """Where a compiler that never ends is waited for in a temporary folder."""
    (tmp_path / "bin").mkdir()
    slow = tmp_path / "bin" / "g++"
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    (tmp_path / "tmp").mkdir()
    code = ("from launch.ending import on_end; on_end(lambda number: SystemExit(128 + number)); from launch import doctor_checks; "
            f"from launch.doctor import Place; doctor_checks.compiler(Place.here()._replace(path={str(tmp_path / 'bin')!r}))")
    env = {key: value for key, value in os.environ.items() if key != "cc_path"} | {"TMPDIR": str(tmp_path / "tmp")}
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=env)
    until = time.monotonic() + 30
    while not list((tmp_path / "tmp").iterdir()):
        assert time.monotonic() < until and process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 128 + signal.SIGTERM and not list((tmp_path / "tmp").iterdir())
