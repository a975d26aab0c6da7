"""The viewer's door: its command line, a mesh rigged by a real network on the way through the page's server, and a clean end."""

import http.client
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import view_rig as door
from tests.dataset.figures import capsule_man
from tests.launch.random_checkpoint import save_random
from tests.launch.test_setup import machine  # noqa: F401  a fixture
from tests.viewer.test_library import glb

ROOT = Path(door.__file__).parent


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("view")
    save_random(folder / "my-run", joints=52, points=64)
    glb(folder / "hero.glb")
    return folder


@pytest.fixture
def page(place):
    """(process, port) of a started door."""
    process = subprocess.Popen([sys.executable, "view_rig.py", "--input", str(place / "hero.glb"), "--port", "0", "--looks", "1",
                                "--joints", "22", "--checkpoint", str(place / "my-run")], cwd=ROOT, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    line = process.stdout.readline()
    assert line.startswith("Open http://127.0.0.1:"), line + process.stderr.read()
    yield process, int(line.split(":")[2].split("/")[0])
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    process.wait(timeout=20)
    process.stdout.close()
    process.stderr.close()


def ask(port: int, path: str, body: bytes | None = None) -> dict:
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=120)     # while kernels compile, nobody is answered
    link.request("GET" if body is None else "POST", path, body)
    answer = json.loads(link.getresponse().read())
    link.close()
    return answer


def test_a_mesh_is_rigged_and_ctrl_c_ends(place, page):
    process, port = page
    assert ask(port, "/api/list")["characters"] == [{"name": "hero.glb", "group": ""}]
    job = ask(port, "/api/upload?name=new.glb", (place / "hero.glb").read_bytes())["job"]
    until = time.monotonic() + 300
    while (news := ask(port, f"/api/job?id={job}"))["state"] in ("waiting", "working"):
        assert time.monotonic() < until, news
        time.sleep(0.1)
    assert (news["state"], news["says"], news["character"]) == ("done", "new.glb: 22 joints", 1)
    assert ask(port, "/api/list")["characters"][1] == {"name": "new.glb", "group": "dropped here"}
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0 and out.endswith("Ended.\n") and "Traceback" not in err and "SIGINT" not in err


@pytest.mark.parametrize("words, why", [
    (["--input", "none.glb"], "none.glb: no such file"), (["--animate", "walk.txt"], "walk.txt: motion is read from"),
    (["--checkpoint", "nowhere"], "nowhere holds no model.safetensors")])
def test_what_a_user_can_do_wrong_is_a_sentence(place, capsys, words, why):
    checkpoint = [] if "--checkpoint" in words else ["--checkpoint", str(place / "my-run")]
    assert door.main([*words, *checkpoint, "--port", "0"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("view_rig: ") and why in said and "Traceback" not in said


@pytest.mark.parametrize("port", ["-1", "65536", "x", ""])
def test_a_port_is_a_number(port, capsys):
    with pytest.raises(SystemExit):
        door.parse(["--port", port])
    assert "whole number from 0" in capsys.readouterr().err


def test_the_network_is_read_once_and_says_what_it_does(place):
    rig = door.network_rigger(door.parse(["--checkpoint", str(place / "my-run"), "--looks", "1", "--joints", "22"]))
    *words, rigged = rig(capsule_man(22, up="y"))
    assert words == ["loading the network", "finding joints and weights"] and rigged.joint_count == 22
    assert abs(rigged.skin_VJ.sum(1) - 1).max() < 1e-5 and len(rigged.skin_VJ) == len(rigged.vertices_V3)
    assert list(rig(capsule_man(22, up="y")))[0] == "finding joints and weights"


def test_the_script_takes_files_first_from_where_it_was_called(machine):  # noqa: F811
    machine.run()
    (machine.root / "sub").mkdir()
    ran = "ran view_rig.py"
    assert machine.run("launch/view.sh", "a.glb", "/x/b.glb", "--port", "9") == (0, f"{ran} --input a.glb /x/b.glb --port 9\n", "")
    assert machine.run("-c", "cd sub && bash ../launch/view.sh c.glb") == (0, f"{ran} --input sub/c.glb\n", "")
    assert machine.run("launch/view.sh") == (0, f"{ran}\n", "")
