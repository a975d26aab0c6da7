"""three.js and three-vrm in headless Chromium over a loopback server that knows just the files it was given."""

import base64
import json
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from benchmarks.paired import ROOT
from tests.viewer.browser import Browser, find

HERE = Path(__file__).resolve().parent
MODULES = ROOT / "tests" / "rigging" / "node_modules"
MODULE_FOLDERS = ("three/build", "three/examples/jsm", "@pixiv/three-vrm/lib")
KINDS = {".html": "text/html", ".mjs": "text/javascript", ".js": "text/javascript", ".wasm": "application/wasm"}
SECONDS = 120


def missing() -> str | None:
    """What there is to install before a page can be opened; None where all is there."""
    if find() is None:
        return "no Chromium: apt-get install chromium"
    if not all((MODULES / folder).is_dir() for folder in MODULE_FOLDERS):
        return "no three.js or three-vrm: npm install --prefix tests/rigging"
    return None


class Page:
    """`with Page(files) as page: page.examine(file, times)`. files: what may be fetched, each by its place in the list."""

    def __init__(self, files: list[Path]):
        self.files = {f"/files/{k}{path.suffix}": path for k, path in enumerate(files)}
        self.address_of = {path: address for address, path in self.files.items()}

    def __enter__(self) -> "Page":
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
        self._browser = Browser(Path(self._profile.name), 660, 520)
        self._browser("Page.navigate", url=f"http://127.0.0.1:{self._server.server_port}/page.html")
        self._browser.wait("typeof window.examine === 'function'", SECONDS)
        return self

    def __exit__(self, *error) -> None:
        self._browser.close()
        self._server.shutdown()
        self._server.server_close()
        self._profile.cleanup()

    def examine(self, path: Path, times: list[float], every: int, picture: Path | None = None) -> dict:
        """What examine.mjs tells of the file. picture: a PNG of the last time. Raises: RuntimeError with what three.js says."""
        self._browser.errors.clear()
        call = f"window.examine({json.dumps(self.address_of[path])}, {json.dumps(times)}, {every}, {json.dumps(picture is not None)})"
        told = self._browser.run(call)
        if self._browser.errors:
            raise RuntimeError("; ".join(self._browser.errors[:3]))
        if picture is not None:
            picture.write_bytes(base64.b64decode(told.pop("picture").split(",")[1]))
        return told

    def _found(self, address: str) -> Path | None:
        """The file behind an address: one of ours, one that was given, or one of the packages' modules; None for all else."""
        if address in self.files:
            return self.files[address]
        if address in ("/page.html", "/examine.mjs"):
            return HERE / address[1:]
        path = (MODULES / address.removeprefix("/node_modules/")).resolve()
        known = address.startswith("/node_modules/") and any(path.is_relative_to((MODULES / folder).resolve()) for folder in MODULE_FOLDERS)
        return path if known and path.is_file() else None

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        found = self._found

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                path = found(self.path)
                if path is None:
                    self.send_response(204 if self.path == "/favicon.ico" else 404)
                    self.end_headers()
                    return
                data = path.read_bytes()
                self.send_response(200)
                self.send_header("Content-Type", KINDS.get(path.suffix, "application/octet-stream"))
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *words):
                pass
        return Handler
