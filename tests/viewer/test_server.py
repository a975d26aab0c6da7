"""The page's server: reached from this machine alone, answers to its own page alone, and gives sentences for what is wrong."""

import http.client
import json
import socket
import threading

import numpy as np
import pytest

import viewer.server as module
from rigging.animation import Clip
from tests.viewer.test_character import unpacked
from tests.viewer.test_library import glb
from tests.viewer.test_uploads import TRIANGLE, rig_as_man, scratch  # noqa: F401  a fixture
from viewer.library import Library
from viewer.server import PAGE, ViewServer
from viewer.uploads import Uploads


@pytest.fixture
def server(tmp_path, scratch):  # noqa: F811
    library = Library([glb(tmp_path / "hero.glb")], [Clip(np.tile(np.eye(3), (2, 22, 1, 1)), None, 10.0, "still")])
    made = ViewServer(library, Uploads(library, rig_as_man), 0)
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()


def ask(server: ViewServer, path: str, body: bytes | None = None, **headers) -> tuple[int, bytes, http.client.HTTPMessage]:
    link = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    link.request("GET" if body is None else "POST", path, body, {key.replace("_", "-"): value for key, value in headers.items()})
    answer = link.getresponse()
    data = answer.read()
    link.close()
    return answer.status, data, answer.headers


def why(answer: tuple) -> tuple[int, str]:
    return answer[0], json.loads(answer[1])["error"]


def test_only_loopback_is_bound(server):
    assert server.socket.getsockname()[0] == "127.0.0.1" and server.address.startswith("http://127.0.0.1:")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:   # this machine's address towards others; nothing is sent
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no address but loopback")
        outside = probe.getsockname()[0]
    with pytest.raises(OSError), socket.create_connection((outside, server.server_port), timeout=2):
        pass


@pytest.mark.parametrize("headers, status", [
    ({}, 200), ({"Host": "localhost:{port}"}, 200), ({"Host": "evil.example:{port}"}, 403), ({"Host": "127.0.0.1"}, 403),
    ({"Origin": "http://127.0.0.1:{port}"}, 200), ({"Origin": "http://localhost:{port}"}, 200), ({"Origin": "null"}, 403),
    ({"Origin": "http://evil.example"}, 403), ({"Origin": "http://127.0.0.1:1"}, 403), ({"Origin": "https://127.0.0.1:{port}"}, 403),
    ({"Sec-Fetch-Site": "same-origin"}, 200), ({"Sec-Fetch-Site": "none"}, 200), ({"Sec-Fetch-Site": "cross-site"}, 403),
    ({"Sec-Fetch-Site": "same-site"}, 403)])
def test_only_its_own_page_is_answered(server, headers, status):
    headers = {key: value.format(port=server.server_port) for key, value in headers.items()}
    assert ask(server, "/api/list", **headers)[0] == status
    assert ask(server, "/api/pose?id=0", b"{}", **headers)[0] == status


def test_a_link_may_lead_to_the_page(server):
    assert ask(server, "/", **{"Sec-Fetch-Site": "cross-site"})[0] == 200


def test_the_page_loads_nothing_from_elsewhere(server):
    for path in PAGE:
        status, data, headers = ask(server, path)
        assert status == 200 and b"http://" not in data and b"https://" not in data and b"//cdn" not in data
        assert headers["Content-Security-Policy"].startswith("default-src 'none'") and headers["X-Content-Type-Options"] == "nosniff"
        assert "Access-Control-Allow-Origin" not in headers


@pytest.mark.parametrize("path", ["/../view_rig.py", "/%2e%2e/view_rig.py", "/page/../../README.md", "/etc/passwd", "//etc/passwd",
                                  "/viewer.js/../../server.py", "/api/character/../list", "/index.html/", "/api/nothing", "/\\..\\x"])
def test_no_path_leads_to_a_file(server, path):
    status, data, _ = ask(server, path)
    assert status == 404 and b"root:" not in data and b"import" not in data


@pytest.mark.parametrize("number, status", [("0", 200), ("1", 404), ("-1", 400), ("", 400), ("../x", 400), ("9" * 30, 400),
                                            ("%D9%A1", 400)])
def test_characters_go_by_number(server, number, status):
    assert ask(server, f"/api/character?id={number}")[0] == status


def test_what_the_page_asks_for(server):
    listing = json.loads(ask(server, "/api/list")[1])
    assert listing["characters"] == [{"name": "hero.glb", "group": ""}] and listing["rigs"] and ".glb" in listing["suffixes"]
    assert listing["clips"] == [{"name": "still", "frames": 2, "fps": 10.0}]
    about, arrays = unpacked(ask(server, "/api/character?id=0")[1])
    assert len(about["names"]) == 22 and arrays["joints"].size == 66
    _, arrays = unpacked(ask(server, "/api/weights?id=0&kind=smoothed")[1])
    assert arrays["shares"].size == 8 * about["vertices"]
    assert why(ask(server, "/api/weights?id=0&kind=secret")) == (404, "there is no secret")
    assert np.frombuffer(ask(server, "/api/clip?id=0&clip=0")[1], "<f4").shape == (2 * 22 * 12,)
    assert ask(server, "/api/clip?id=0&clip=1")[0] == 404


def test_a_pose_comes_back_as_matrices(server):
    status, data, _ = ask(server, "/api/pose?id=0", b'{"8": [0, 0, 90]}')
    moved_J34 = np.frombuffer(data, "<f4").reshape(22, 3, 4)
    assert status == 200
    np.testing.assert_array_equal(moved_J34, server.library.character(0).pose({8: (0, 0, 90)}))


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"8": 1}', b'{"8": [0, 0]}', b'{"99": [0, 0, 0]}', b'{"8": [0, 0, 1e999]}',
                                  b'{"x": [0, 0, 0]}', b'{"8": ["a", 0, 0]}', b"[" * 60000, b"\xff\xfe"])
def test_what_is_no_pose(server, body):
    status, text = why(ask(server, "/api/pose?id=0", body))
    assert status == 400 and "joint" in text


def test_sizes_are_bounded_before_a_byte_is_read(server, monkeypatch):
    monkeypatch.setattr(module, "MOST_BYTES", 1000)
    for path, length, status in (("/api/upload?name=a.obj", "1001", 413), ("/api/pose?id=0", str((64 << 10) + 1), 413),
                                 ("/api/upload?name=a.obj", "9" * 40, 413), ("/api/upload?name=a.obj", "-5", 411),
                                 ("/api/upload?name=a.obj", None, 411)):
        with socket.create_connection(("127.0.0.1", server.server_port), timeout=10) as link:
            head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{server.server_port}\r\n" + (f"Content-Length: {length}\r\n" if length else "")
            link.sendall(head.encode() + b"\r\n")
            answer = b"".join(iter(lambda: link.recv(4096), b""))     # it closes: what follows is no request
            assert answer.startswith(f"HTTP/1.1 {status}".encode()), answer


def test_an_upload_is_rigged(server):
    status, data, _ = ask(server, "/api/upload?name=..%2F..%2Fhero%20two.obj", TRIANGLE)
    job = json.loads(data)["job"]
    assert status == 200 and server.uploads.work(1)
    news = json.loads(ask(server, f"/api/job?id={job}")[1])
    assert (news["state"], news["name"], news["character"]) == ("done", "hero two.obj", 1)
    assert ask(server, "/api/character?id=1")[0] == 200 and ask(server, "/api/job?id=7")[0] == 404


def test_uploads_that_are_refused(server, scratch):  # noqa: F811
    assert why(ask(server, "/api/upload?name=a.exe", b"MZ"))[0] == 400
    assert why(ask(server, "/api/upload", TRIANGLE))[0] == 400
    assert ask(server, "/api/upload?name=a.obj", TRIANGLE)[0] == 200
    assert why(ask(server, "/api/upload?name=b.obj", TRIANGLE))[0] == 409
    assert not list(scratch.iterdir())


def test_a_broken_file_is_an_error_on_the_page(tmp_path):
    (tmp_path / "bad.glb").write_bytes(b"glTF")
    library = Library([tmp_path / "bad.glb"])
    server = ViewServer(library, Uploads(library, None), 0)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    status, text = why(ask(server, "/api/character?id=0"))
    assert status == 400 and text.startswith("bad.glb: ")
    with pytest.raises(OSError, match=f"port {server.server_port} of 127.0.0.1"):
        ViewServer(library, server.uploads, server.server_port)
    server.shutdown()
    server.server_close()


def test_one_connection_carries_many_questions(server):
    link = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    for body in (b"{}", b'{"8": [1, 2, 3]}', b"{", b"{}"):
        link.request("POST", "/api/pose?id=0", body)
        answer = link.getresponse()
        answer.read()
        assert answer.status == (400 if body == b"{" else 200)
    link.close()
