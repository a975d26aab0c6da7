"""The page and what it asks for, over HTTP on this machine alone.

Bound to 127.0.0.1. Requests must name this server as their host (a foreign name that resolves here is refused) and, where a browser says
which page they come from, come from its own page: no other site can read or drop anything. Files are reached by number only.
"""

import json
import socket
import sys
import threading
import time
import traceback
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from dataset.asset import AssetError
from viewer.character import influences, pack
from viewer.library import Library
from viewer.uploads import MOST_BYTES, TAKEN, Busy, Uploads

LOOPBACK = "127.0.0.1"
PORTS = range(8265, 8285)     # tried in this order where none is asked for
PAGE = {"/": ("index.html", "text/html"), "/viewer.js": ("viewer.js", "text/javascript"), "/draw.js": ("draw.js", "text/javascript"),
        "/camera.js": ("camera.js", "text/javascript"), "/style.css": ("style.css", "text/css")}
MOST_POSE_BYTES = 64 << 10
BLOCK = 1 << 20               # bytes of a body that are read at once
PATIENCE = 30.0               # seconds that a connection may stay silent
BODY_SECONDS = 60.0           # in which a body must be here, however its bytes are spread: on this machine the largest takes one
SAFETY = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Cross-Origin-Resource-Policy": "same-origin",
          "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
                                     "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"}


class Refused(Exception):
    """An answer other than 200."""
    def __init__(self, status: HTTPStatus, why: str):
        super().__init__(why)
        self.status = status


class ViewServer(ThreadingHTTPServer):
    """port: None tries PORTS, 0 takes any free one. Raises: OSError naming the port when it is taken."""
    daemon_threads = True
    request_queue_size = 32

    def __init__(self, library: Library, uploads: Uploads, port: int | None = None):
        self.library, self.uploads = library, uploads
        self.receiving = threading.Lock()   # one dropped file at a time is held in memory
        wanted = list(PORTS) if port is None else [port]
        for attempt in wanted:
            try:
                super().__init__((LOOPBACK, attempt), Handler)
                break
            except OSError as error:
                if attempt == wanted[-1]:
                    raise OSError(f"port {attempt} of {LOOPBACK} cannot be used ({error.strerror}); choose another with --port") from None
        self.hosts = {f"{name}:{self.server_port}" for name in (LOOPBACK, "localhost")}

    @property
    def address(self) -> str:
        return f"http://{LOOPBACK}:{self.server_port}/"

    def handle_error(self, request, client_address) -> None:
        """A browser that hangs up is no error."""
        if not isinstance(sys.exc_info()[1], (ConnectionError, socket.timeout)):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = PATIENCE
    wbufsize, disable_nagle_algorithm = -1, True    # head and body go together: apart, each answer waits 40 ms for a receipt
    server: ViewServer

    def do_GET(self) -> None:
        self._answer({"/api/list": self._list, "/api/character": self._character, "/api/weights": self._weights, "/api/clip": self._clip,
                      "/api/motion": self._motion,
                      "/api/job": self._job} | dict.fromkeys(PAGE, self._page))

    def do_POST(self) -> None:
        self._answer({"/api/pose": self._pose, "/api/upload": self._upload})

    def _answer(self, routes: dict) -> None:
        """Run the route and send (type, bytes); whatever goes wrong is sent as {"error": sentence}."""
        try:
            self._check_sender()
            self.url = urlsplit(self.path)
            if self.url.path not in routes:
                raise Refused(HTTPStatus.NOT_FOUND, "there is no such page")
            self.query = {key: values[-1] for key, values in parse_qs(self.url.query).items()}
            self._send(HTTPStatus.OK, *routes[self.url.path]())
        except Refused as error:
            self._send_error(error.status, str(error))
        except KeyError as error:
            self._send_error(HTTPStatus.NOT_FOUND, f"there is no {error.args[0] if error.args else 'such thing'}")
        except Busy as error:
            self._send_error(HTTPStatus.CONFLICT, str(error))
        except (AssetError, ValueError, OSError, MemoryError) as error:
            if isinstance(error, (ConnectionError, socket.timeout)):
                raise
            self._send_error(HTTPStatus.BAD_REQUEST, str(error) or type(error).__name__)
        except Exception as error:  # the page goes on, and the terminal says what was not foreseen
            traceback.print_exc(file=sys.stderr)
            self._send_error(HTTPStatus.INTERNAL_SERVER_ERROR, f"{type(error).__name__}: {error}")

    def _check_sender(self) -> None:
        if self.headers.get("Host") not in self.server.hosts:
            raise Refused(HTTPStatus.FORBIDDEN, f"this page is {self.server.address} and answers to no other name")
        origin = self.headers.get("Origin")
        foreign = origin is not None and origin.removeprefix("http://") not in self.server.hosts
        # what is asked for without an Origin (a picture's address, say) is told by this word; a link may lead to the page, not to its data
        embedded = self.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin") and self.path.startswith("/api/")
        if foreign or embedded:
            raise Refused(HTTPStatus.FORBIDDEN, "another site's page may not use this one")

    def _page(self) -> tuple[str, bytes]:
        name, kind = PAGE[self.url.path]
        return f"{kind}; charset=utf-8", (Path(__file__).parent / "page" / name).read_bytes()

    def _number(self, key: str) -> int:
        text = self.query.get(key, "")
        if not text.isascii() or not text.isdigit() or len(text) > 9:
            raise Refused(HTTPStatus.BAD_REQUEST, f"{key} must be a number")
        return int(text)

    def _list(self) -> tuple[str, bytes]:
        about = {"rigs": self.server.uploads.rigger is not None, "suffixes": TAKEN, "mostBytes": MOST_BYTES}
        return as_json(self.server.library.listing() | about)

    def _character(self) -> tuple[str, bytes]:
        return as_bytes(self.server.library.character(self._number("id")).packed())

    def _weights(self) -> tuple[str, bytes]:
        return as_bytes(pack({}, influences(self.server.library.skin(self._number("id"), self.query.get("kind", "")))))

    def _clip(self) -> tuple[str, bytes]:
        clip = self.server.library.clip(self._number("clip"))
        return as_bytes(self.server.library.character(self._number("id")).animate(clip).tobytes())

    def _motion(self) -> tuple[str, bytes]:
        motions, number = self.server.library.character(self._number("id")).motions, self._number("motion")
        if number >= len(motions):
            raise KeyError(f"motion {number}, of {len(motions)}")
        return as_bytes(motions[number].transforms_TJ34.tobytes())

    def _pose(self) -> tuple[str, bytes]:
        try:
            degrees = json.loads(self._body(MOST_POSE_BYTES))
            degrees = {int(joint): [float(a) for a in angles] for joint, angles in degrees.items()}
        except (ValueError, TypeError, AttributeError, RecursionError):
            raise Refused(HTTPStatus.BAD_REQUEST, 'a pose is {"joint": [x, y, z], ...} in degrees') from None
        return as_bytes(self.server.library.character(self._number("id")).pose(degrees).tobytes())

    def _upload(self) -> tuple[str, bytes]:
        if not self.server.receiving.acquire(blocking=False):
            raise Busy("another file is being received: wait until it is done")
        try:
            return as_json({"job": self.server.uploads.take(self.query.get("name", ""), self._body(MOST_BYTES))})
        finally:
            self.server.receiving.release()

    def _job(self) -> tuple[str, bytes]:
        return as_json(self.server.uploads.job(self._number("id")).as_dict())

    def _body(self, most: int) -> bytes:
        length = self.headers.get("Content-Length", "")
        if "Transfer-Encoding" in self.headers or not length.isascii() or not length.isdigit():
            raise Refused(HTTPStatus.LENGTH_REQUIRED, "say how long the body is (Content-Length)")
        if len(length) > 15 or int(length) > most:
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"more than {most / (1 << 20):g} MB: too large")
        body = self._read(int(length))
        self.body_read = True
        return body

    def _read(self, length: int) -> bytes:
        """So many bytes of the request. A sender that dribbles is cut off: it would hold the place of others for ever."""
        parts, missing, until = [], length, time.monotonic() + BODY_SECONDS
        while missing:
            part = self.rfile.read1(min(missing, BLOCK))
            if not part:
                raise Refused(HTTPStatus.BAD_REQUEST, "the body ended early")
            parts.append(part)
            missing -= len(part)
            if missing and time.monotonic() > until:
                raise Refused(HTTPStatus.REQUEST_TIMEOUT, f"the body was not here within {BODY_SECONDS:g} s")
        return b"".join(parts)

    def _send(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        for key, value in {"Content-Type": kind, "Content-Length": str(len(body)), **SAFETY}.items():
            self.send_header(key, value)
        if self.command not in ("GET", "POST") or self.command == "POST" and not getattr(self, "body_read", False):
            self.send_header("Connection", "close")     # what was not read must not be taken for the next request
            self.close_connection = True
        self.body_read = False
        self.end_headers()
        self.wfile.write(body)

    def _send_error(self, status: HTTPStatus, why: str) -> None:
        self._send(status, *as_json({"error": why}))

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What http.server refuses by itself, in our form and with our headers: its page would repeat the sender's words."""
        self.close_connection = True
        self._send_error(HTTPStatus(code), HTTPStatus(code).phrase)

    def version_string(self) -> str:
        return "viewer"

    def log_message(self, *_) -> None:
        """Quiet: the terminal is for what the user should know."""


def as_json(data: dict) -> tuple[str, bytes]:
    return "application/json", json.dumps(data).encode()


def as_bytes(data: bytes) -> tuple[str, bytes]:
    return "application/octet-stream", data
