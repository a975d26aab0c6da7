"""The pictures of docs/viewer.md, made with the real page, the released network and the bundled examples.

    PYTHONPATH=. .venv/bin/python -m tests.viewer.pictures data/examples/example_01.glb data/examples/example_04.glb [--clip walk.bvh]
"""

import argparse
import io
import tempfile
import threading
from pathlib import Path

from PIL import Image

import view_rig as door
from tests.viewer import browser as chromium
from viewer.library import Library, named_clip
from viewer.server import ViewServer
from viewer.uploads import Uploads

OUT = Path("docs/images")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("meshes", nargs=2, type=Path)
    parser.add_argument("--clip", nargs="*", default=[])
    args = parser.parse_args()
    library = Library([], map(named_clip, args.clip))
    uploads = Uploads(library, door.network_rigger(door.parse([])))
    server = ViewServer(library, uploads, 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        page = chromium.Browser(Path(profile), 1200, 740)
        page("Page.navigate", url=server.address)
        page.wait("window.transrefiner?.state.clips")
        for number, mesh in enumerate(args.meshes):
            page.drop(mesh.resolve(), 400, 300)
            uploads.work(20)
            page.wait(f"document.body.dataset.ready === '{number}' && document.getElementById('progress').hidden", 60)
        choose(page, "characters", 0)
        page.wait("document.body.dataset.ready === '0'")
        heat_map(page)
        save(page, "viewer.png")
        choose(page, "characters", 1)
        page.wait("document.body.dataset.ready === '1'")
        choose(page, "colours", "all")
        if args.clip:
            choose(page, "clip", 1)
            page.wait("transrefiner.state.clip")
            page.run("(f => { f.value = Math.round(f.max * .37); f.dispatchEvent(new Event('input')); })(document.getElementById('frame'))")
        save(page, "viewer_motion.png")
        page.close()
    server.shutdown()


def heat_map(page) -> None:
    """The left arm raised, its weights shown."""
    for joint, axis, degrees in (("l_lower_arm", "y", -50), ("l_upper_leg", "x", -55), ("l_lower_leg", "x", 70), ("l_upper_arm", "y", -40)):
        choose(page, "joint", page.run(f"transrefiner.state.about.names.indexOf('{joint}')"))
        page.run(f"(s => {{ s.value = {degrees}; s.dispatchEvent(new Event('input')); }})(document.getElementById('{axis}'))")
        page.wait("document.body.dataset.posed === JSON.stringify(transrefiner.state.pose)")
    choose(page, "colours", "joint")


def choose(page, select: str, value) -> None:
    page.run(f"(s => {{ s.value = {value!r}; s.dispatchEvent(new Event('change')); }})(document.getElementById('{select}'))")


def save(page, name: str) -> None:
    Image.open(io.BytesIO(page.screenshot())).convert("RGB").save(OUT / name, optimize=True)


if __name__ == "__main__":
    main()
