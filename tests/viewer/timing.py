"""How fast the page is, in Chromium without a graphics card: the figures of docs/viewer.md.

    PYTHONPATH=. .venv/bin/python -m tests.viewer.timing RIG.glb
"""

import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from rigging.animation import Clip
from tests.viewer import browser as chromium
from viewer.character import SMOOTHED
from viewer.library import Library
from viewer.server import ViewServer
from viewer.uploads import Uploads

SLIDER = """(async () => {
  const times = [];
  for (let k = 0; k < 41; k++) {
    const began = performance.now();
    await (await fetch("/api/pose?id=0", { method: "POST", body: JSON.stringify({ 8: [0, k, 0] }) })).arrayBuffer();
    times.push(performance.now() - began);
  }
  return times.sort((a, b) => a - b)[20];
})()"""
PICTURE = """(() => {
  const stage = transrefiner.stage, gl = stage.gl, began = performance.now();
  for (let k = 0; k < 20; k++) { stage.draw(); gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4)); }
  return (performance.now() - began) / 20;
})()"""


def main(rig: str) -> None:
    clip = Clip(np.tile(np.eye(3), (700, 22, 1, 1)), np.zeros((700, 3)), 30.0, "still")
    library = Library([rig], [clip])
    server = ViewServer(library, Uploads(library, None), 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        page = chromium.Browser(Path(profile))
        page("Page.navigate", url=server.address)
        page.wait("document.body?.dataset.ready === '0'", 60)
        print(f"{page.run('transrefiner.state.about.vertices')} vertices, {library.character(0).asset.joint_count} joints")
        print(f"a slider's answer (median of 41): {page.run(SLIDER):.1f} ms")
        print(f"a picture (mean of 20): {page.run(PICTURE):.0f} ms")
        page.close()
    for what, action in (("700 frames of a clip", lambda: library.character(0).animate(clip)),
                         ("smoothing", lambda: library.skin(0, SMOOTHED))):
        began = time.perf_counter()
        action()
        print(f"{what}: {time.perf_counter() - began:.2f} s")
    server.shutdown()


if __name__ == "__main__":
    main(sys.argv[1])
