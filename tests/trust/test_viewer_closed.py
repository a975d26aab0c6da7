"""The viewer's page lets nobody in: hostile requests on the wire, clients that hang, names that are markup, and an end that leaves nothing.

Hosts, origins, traversal by the plain forms, body sizes and hostile uploads are held by tests/viewer/; here is what those leave open.
"""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import viewer.server as module
from dataset.asset import AssetError
from tests.soak.leaks import exposed, sockets
from tests.test_train_door import children_may_die  # noqa: F401  a fixture
from tests.test_view_door import place  # noqa: F401  a fixture
from tests.viewer import browser as chromium
from tests.viewer.test_library import glb, run  # noqa: F401  a fixture
from tests.viewer.test_server import ask, server, why  # noqa: F401  a fixture
from tests.viewer.test_uploads import TRIANGLE, scratch  # noqa: F401  a fixture
from viewer.library import Library
from viewer.server import ViewServer
from viewer.uploads import Uploads

ROOT = Path(__file__).resolve().parents[2]
MARKUP = '"><img src=x onerror=alert(1)>'


def raw(server: ViewServer, head: str, body: bytes = b"") -> bytes:  # noqa: F811
    """All that the server answers to just these bytes, until it closes or has been silent for a moment."""
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=10) as link:
        link.sendall(head.replace("{host}", f"127.0.0.1:{server.server_port}").replace("\n", "\r\n").encode("latin-1") + body)
        answer = link.recv(1 << 16)
        link.settimeout(0.2)
        try:
            while block := link.recv(1 << 16):
                answer += block
        except TimeoutError:
            pass
    return answer


@pytest.mark.parametrize("target", [
    "/%252e%252e/%252e%252e/etc/passwd", "/..%2f..%2f..%2fetc%2fpasswd", "/....//....//etc/passwd", "/%2e%2e%5c%2e%2e%5cetc",
    "/..\\..\\..\\etc\\passwd", "/viewer.js%00.html", "/viewer.js\0", "/VIEWER.JS", "/Viewer.js", "/./viewer.js", "/viewer.js/",
    "/%76iewer.js", "/viewer.js;x", "file:///etc/passwd", "/api/character/0/../../../server.py", "/page/viewer.js", "*", "etc/passwd",
    "/" + "../" * 2000 + "etc/passwd", "/\u00e9\u00ff"])
def test_only_the_listed_addresses_exist(server, target):  # noqa: F811
    answer = raw(server, f"GET {target} HTTP/1.1\nHost: {{host}}\n\n")
    assert answer.split()[1] in (b"404", b"400", b"414"), answer[:200]
    assert b"root:" not in answer and b"import " not in answer and b"function" not in answer


@pytest.mark.parametrize("method", ["OPTIONS", "HEAD", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "<script>"])
def test_other_methods_get_nothing_and_allow_nobody(server, method):  # noqa: F811
    """OPTIONS is what a browser asks before it lets another site's page send more than a form could."""
    answer = raw(server, f"{method} /api/upload?name=a.obj HTTP/1.1\nHost: {{host}}\nOrigin: http://evil.example\n"
                         "Access-Control-Request-Method: POST\nConnection: close\n\n")
    assert answer.split()[1] == b"501" and b"access-control" not in answer.lower() and b"<script>" not in answer
    assert b"Content-Security-Policy: default-src 'none'" in answer


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
@pytest.mark.parametrize("told", [{"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}])
def test_a_form_of_another_site_changes_nothing(server, scratch, kind, told):  # noqa: F811
    status, _, headers = ask(server, "/api/upload?name=a.obj", TRIANGLE, **{"Content-Type": kind} | told)
    assert status == 403 and not server.uploads.work(0) and not list(scratch.iterdir())
    assert not [name for name in headers if name.lower().startswith("access-control")]


def test_there_is_no_other_protocol_to_switch_to(server):  # noqa: F811
    answer = raw(server, "GET /api/list HTTP/1.1\nHost: {host}\nUpgrade: websocket\nConnection: Upgrade\nSec-WebSocket-Version: 13\n"
                         "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\n\n")
    assert answer.startswith(b"HTTP/1.1 200") and b"101" not in answer.split(b"\r\n")[0]


@pytest.mark.parametrize("lengths", ["Transfer-Encoding: chunked", "Content-Length: 2\nTransfer-Encoding: chunked", "Content-Length: +2",
                                     "Content-Length: 2, 2", "Content-Length: 0x2", "Content-Length: \u00b2"])
def test_a_second_request_is_not_smuggled_in_a_body(server, lengths):  # noqa: F811
    answer = raw(server, f"POST /api/pose?id=0 HTTP/1.1\nHost: {{host}}\n{lengths}\n\n", b"GET /api/list HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.split()[1] == b"411" and answer.count(b"HTTP/1.1") == 1


def test_clients_that_hang_hold_up_nobody(server):  # noqa: F811
    links = [socket.create_connection(("127.0.0.1", server.server_port), timeout=10) for _ in range(100)]
    starts = (b"", b"GET /api/li", b"GET / HTTP/1.1\r\nHost: ", b"POST /api/pose?id=0 HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
              b"Content-Length: 9\r\n\r\n{" % server.server_port)
    for number, link in enumerate(links):
        link.sendall(starts[number % len(starts)])
    began = time.monotonic()
    assert ask(server, "/api/list")[0] == 200 and ask(server, "/api/pose?id=0", b"{}")[0] == 200
    assert time.monotonic() - began < 5
    for link in links:
        link.close()


def test_a_client_that_dribbles_is_cut_off(server, monkeypatch):  # noqa: F811
    monkeypatch.setattr(module, "BODY_SECONDS", 0.3)
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=10) as link:
        link.sendall(f"POST /api/upload?name=a.obj HTTP/1.1\r\nHost: 127.0.0.1:{server.server_port}\r\n"
                     f"Content-Length: {len(TRIANGLE)}\r\n\r\n".encode())
        time.sleep(0.1)
        status, said = why(ask(server, "/api/upload?name=b.obj", TRIANGLE))     # one at a time is held in memory
        assert status == 409 and "being received" in said
        for byte in TRIANGLE[:20]:
            try:
                link.sendall(bytes([byte]))
            except ConnectionError:     # it was cut off
                break
            time.sleep(0.05)
        assert link.recv(4096).startswith(b"HTTP/1.1 408")
    assert ask(server, "/api/upload?name=b.obj", TRIANGLE)[0] == 200


def test_a_silent_client_is_let_go(server, monkeypatch):  # noqa: F811
    monkeypatch.setattr(module.Handler, "timeout", 0.2)
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=10) as link:
        link.sendall(b"GET / HT")
        assert link.recv(10) == b""


def test_what_becomes_a_link_after_it_was_listed_is_not_read(run, tmp_path):  # noqa: F811
    library, rig = Library([run]), run / "other" / "anna" / "rigged.glb"
    rig.replace(tmp_path / "outside.glb")
    rig.symlink_to(tmp_path / "outside.glb")
    with pytest.raises(AssetError, match="anna: has become a link"):
        library.character(0)


@pytest.mark.skipif(chromium.find() is None, reason="NO BROWSER: nothing has looked for markup in names; apt-get install chromium")
def test_names_that_are_markup_stay_text(tmp_path):
    folder = tmp_path / MARKUP.replace("/", "")
    glb(folder / "run" / MARKUP / "rigged.glb")
    (folder / "run" / MARKUP / "report.json").write_text(json.dumps(
        {"warnings": [MARKUP, "<script>alert(2)</script>"], "joints": [{"name": "hips", "expected_error_cm": 2.5}]}))
    library = Library([folder])
    made = ViewServer(library, Uploads(library, None), 0)
    threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    page = chromium.Browser(tmp_path / "profile")
    try:
        page("Page.navigate", url=made.address)
        page.wait("document.body?.dataset.ready === '0'", 60)
        shown = page.run("document.body.textContent + document.getElementById('characters').innerText")
        assert shown.count(MARKUP) >= 2 and "<script>alert(2)</script>" in shown      # its name and the warning, as they are
        assert page.run("document.querySelectorAll('img, body script:not([src])').length") == 0
        assert not page.errors and all(url.startswith((made.address, "data:", "about:")) for url in page.requests)
        refused = page.run("new Promise(done => { addEventListener('securitypolicyviolation', e => done(e.effectiveDirective)); "
                           "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.ran = 1'})); })")
        assert refused.startswith("script-src") and page.run("window.ran") is None    # and were it markup, it would not run
    finally:
        page.close()
        made.shutdown()
        made.server_close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_end_in_the_middle_of_an_upload_leaves_nothing(place, tmp_path, children_may_die, number):  # noqa: F811
    """The real door under an open umask: loopback alone, a private folder, and nothing of it afterwards."""
    process = subprocess.Popen([sys.executable, "view_rig.py", "--input", str(place / "hero.glb"), "--port", "0", "--checkpoint",
                                str(place / "my-run")], cwd=ROOT, env=os.environ | {"TMPDIR": str(tmp_path)}, text=True, umask=0,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        port = int(process.stdout.readline().split(":")[2].split("/")[0])
        link = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        link.request("POST", "/api/upload?name=large.obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\n" * 600_000 + b"f 1 2 3\n")
        assert link.getresponse().status == 200
        until = time.monotonic() + 180
        while not list(tmp_path.iterdir()):
            assert time.monotonic() < until and process.poll() is None
            time.sleep(0.01)
        assert not exposed(tmp_path)
        listening = [row for row in sockets(process.pid) if row.endswith(" 0A")]
        assert listening == [f"tcp 0100007F:{port:04X} 0A"]
        process.send_signal(number)
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0 and out.endswith("Ended.\n") and "Traceback" not in err
        assert not list(tmp_path.iterdir())
    finally:
        process.kill()
        process.wait()
