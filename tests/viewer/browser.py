"""Chromium without a window, driven through its DevTools pipe: no driver and no package is needed, only the browser itself.

Protocol: https://chromedevtools.github.io/devtools-protocol/ over file descriptors 3 and 4, messages ended by a zero byte.
"""

import base64
import json
import os
import shutil
import subprocess
import time
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WITHOUT_GPU = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
KEYS = {"ArrowRight": 39, "ArrowLeft": 37, "PageUp": 33, "End": 35, "Home": 36}


def find() -> str | None:
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """One page. Raises: RuntimeError for what the browser or the page's own code reports as an error."""

    def __init__(self, profile: Path, width: int = 1280, height: int = 800):
        (command, to_browser), (from_browser, answer) = os.pipe(), os.pipe()

        def hand_over() -> None:
            high = [os.dup(command), os.dup(answer)]    # out of the way: one of them may be 3 or 4 itself
            os.dup2(high[0], 3)
            os.dup2(high[1], 4)

        self.process = subprocess.Popen(
            [find(), "--headless=new", "--no-sandbox", "--remote-debugging-pipe", f"--user-data-dir={profile}", "--no-first-run",
             "--disable-background-networking", "--disable-component-update", "--hide-scrollbars", f"--window-size={width},{height}",
             *WITHOUT_GPU, "about:blank"],
            preexec_fn=hand_over, close_fds=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(command)
        os.close(answer)
        self._out, self._in = os.fdopen(to_browser, "wb", 0), os.fdopen(from_browser, "rb", 0)
        self._rest, self._number, self.session = b"", 0, None
        self.errors: list[str] = []     # that the page's console saw
        self.requests: list[str] = []   # addresses that the page asked for
        target = self("Target.createTarget", url="about:blank")["targetId"]
        self.session = self("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self(f"{domain}.enable")
        self("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def __call__(self, method: str, **params) -> dict:
        self._number += 1
        message = {"id": self._number, "method": method, "params": params} | ({"sessionId": self.session} if self.session else {})
        self._out.write(json.dumps(message).encode() + b"\0")
        while True:
            news = self._read()
            if news.get("id") == self._number:
                if "error" in news:
                    raise RuntimeError(f"{method}: {news['error']['message']}")
                return news["result"]
            self._note(news)

    def _read(self) -> dict:
        while b"\0" not in self._rest:
            block = self._in.read(1 << 16)
            if not block:
                raise RuntimeError("the browser has ended")
            self._rest += block
        first, self._rest = self._rest.split(b"\0", 1)
        return json.loads(first)

    def _note(self, news: dict) -> None:
        about = news.get("params", {})
        if news.get("method") == "Runtime.exceptionThrown":
            self.errors.append(about["exceptionDetails"].get("exception", {}).get("description", "exception"))
        if news.get("method") == "Log.entryAdded" and about["entry"]["level"] == "error":
            self.errors.append(f"{about['entry']['text']} {about['entry'].get('url', '')}")
        if news.get("method") == "Network.requestWillBeSent":
            self.requests.append(about["request"]["url"])

    def run(self, code: str):
        """The value of a piece of the page's own language."""
        answer = self("Runtime.evaluate", expression=code, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"]["exception"].get("description", code))
        return answer["result"].get("value")

    def wait(self, code: str, seconds: float = 20.0):
        """Until it is true. Raises: AssertionError with what the page says."""
        until = time.monotonic() + seconds
        while not (value := self.run(code)):
            assert time.monotonic() < until, f"never true: {code}; the page says {self.run('document.body.innerText')!r} {self.errors}"
            time.sleep(0.05)
        return value

    def click(self, x: float, y: float) -> None:
        for kind, buttons in (("mousePressed", 1), ("mouseReleased", 0)):
            self("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=buttons, clickCount=1)

    def middle(self, element: str) -> tuple[float, float]:
        box = self.run(f"(b => [b.x + b.width / 2, b.y + b.height / 2])(document.getElementById('{element}').getBoundingClientRect())")
        return box[0], box[1]

    def press(self, key: str, times: int = 1) -> None:
        for _ in range(times):
            for kind in ("keyDown", "keyUp"):
                self("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=KEYS[key])

    def screenshot(self) -> bytes:
        """PNG. The page's next frame is waited for."""
        self.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))")
        return base64.b64decode(self("Page.captureScreenshot", format="png")["data"])

    def drop(self, file: Path, x: float, y: float) -> None:
        """As if the file were dragged from the desktop."""
        data = {"items": [], "files": [str(file)], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self("Input.dispatchDragEvent", type=kind, x=x, y=y, data=data)

    def close(self) -> None:
        """By its own leave: Jittor ends this process with a child that dies by a signal."""
        self.session = None
        try:
            self("Browser.close")
        except (RuntimeError, OSError):
            pass
        self.process.wait(timeout=10)
        self._out.close()
        self._in.close()
