"""The page in a real browser without a window: what a hand does with mouse and keyboard, and what is then seen.

The picture is held against our own skinning: vertices moved by NumPy and projected by the page's camera must fill the same pixels.
"""

import io
import json
import threading
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from dataset.exporter import save_contest
from geometry.skinning import linear_blend_skinning
from rigging.animation import Clip
from tests.dataset.figures import capsule_man
from tests.viewer import browser as chromium
from tests.viewer.test_library import glb
from tests.viewer.test_uploads import TRIANGLE, rig_as_man
from viewer.library import Library
from viewer.server import ViewServer
from viewer.uploads import Uploads

ABSENT = (f"NO BROWSER: none of {', '.join(chromium.NAMES)} is installed, so nothing has looked at the viewer's page; "
          "apt-get install chromium")
if chromium.find() is None:
    warnings.warn(ABSENT, stacklevel=1)     # a skip alone is a letter in a row of dots
pytestmark = pytest.mark.skipif(chromium.find() is None, reason=ABSENT)
MAN = capsule_man(22, up="y", splits=2)
ELBOW = MAN.names.index("l_lower_arm")
WIDTH = 600     # of the picture, left of the controls


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """server and browser: a predicted folder, another character and a clip are open, and the page is ready."""
    folder = tmp_path_factory.mktemp("viewer")
    glb(folder / "run" / "man" / "rigged.glb", MAN)
    hard_V = np.where(np.arange(len(MAN.skin_VJ)) % 7 == 0, ELBOW, MAN.skin_VJ.argmax(1))     # the network: all or nothing, with speckle
    save_contest(folder / "run" / "man", MAN.joints_J3, np.eye(22, dtype=np.float32)[hard_V], MAN.vertices_V3)
    glb(folder / "second.glb")
    turns = np.tile(np.eye(3), (20, 22, 1, 1))
    library = Library([folder / "run", folder / "second.glb"], [Clip(turns, np.linspace([0, 0, 0], [0, 0, 2.0], 20), 20.0, "glide")])
    uploads = Uploads(library, rig_as_man)
    server = ViewServer(library, uploads, 0)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    page = chromium.Browser(folder / "profile", WIDTH + 300, 800)
    page("Page.navigate", url=server.address)
    page.wait("document.body?.dataset.ready === '0'", 60)
    yield SimpleNamespace(server=server, page=page, uploads=uploads, folder=folder)
    page.close()
    server.shutdown()
    server.server_close()


@pytest.fixture
def page(desk):
    """At rest, on the first character, in plain colours; no error may have been seen by the end."""
    choose(desk.page, "characters", 0)
    desk.page.wait("document.body.dataset.ready === '0'")
    choose(desk.page, "colours", "surface")
    yield desk.page
    assert not desk.page.errors


def choose(page, select: str, value) -> None:
    page.run(f"(s => {{ s.value = {json.dumps(value)}; s.dispatchEvent(new Event('change')); }})(document.getElementById('{select}'))")


def picture(page) -> np.ndarray:
    """(height, WIDTH, 3) int, the part left of the controls."""
    return np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB")).astype(int)[:, :WIDTH]


def surface(image: np.ndarray) -> np.ndarray:
    """Where the plain surface is: warm, where floor and background are bluish."""
    return (image[..., 0] > image[..., 2] + 4) & (image[..., 0] > 40)


def pixels_of(page, vertices_V3: np.ndarray) -> np.ndarray:
    """(V, 2) x, y on the screen by the page's camera."""
    width, height, matrix = page.run("(s => [s.canvas.clientWidth, s.canvas.clientHeight, Array.from(s.camera.matrix("
                                     "s.canvas.clientWidth / s.canvas.clientHeight))])(transrefiner.stage)")
    clip_V4 = np.column_stack([vertices_V3, np.ones(len(vertices_V3))]) @ np.array(matrix).reshape(4, 4)    # column-major: transposed
    return (clip_V4[:, :2] / clip_V4[:, 3:] * [1, -1] + 1) * [width / 2, height / 2]


def holds(page, image: np.ndarray, vertices_V3: np.ndarray) -> bool:
    """The surface in the picture spans what the vertices span, within 2 pixels, and lies under each of them."""
    seen, at_V2 = surface(image), pixels_of(page, vertices_V3)
    rows, columns = np.nonzero(seen)
    span = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    wide = np.any([np.roll(seen, (dy, dx), (0, 1)) for dy in (-1, 0, 1) for dx in (-1, 0, 1)], axis=0)
    x_V, y_V = np.clip(np.int64(at_V2), 0, [WIDTH - 1, image.shape[0] - 1]).T
    return np.abs(span - np.concatenate([at_V2.min(0), at_V2.max(0)])).max() <= 2 and wide[y_V, x_V].mean() > 0.995


def test_a_joint_is_turned_by_mouse_and_keyboard(desk, page):
    character = desk.server.library.character(0)
    page.run("document.getElementById('skeleton').click()")
    before = picture(page)
    assert holds(page, before, character.asset.vertices_V3)
    page.run("document.getElementById('skeleton').click()")
    x, y = page.run(f"transrefiner.stage.onScreen({ELBOW})")
    page.click(x, y)
    assert page.run("document.getElementById('joint').selectedOptions[0].text") == "l_lower_arm"
    x, y = page.middle("y")
    page.click(x + 40, y)
    page.press("ArrowRight", 3)
    page.wait("document.body.dataset.posed === JSON.stringify(transrefiner.state.pose)")
    angle = page.run(f"transrefiner.state.pose[{ELBOW}][1]")
    assert 30 < angle < 150 and page.run("document.getElementById('y-value').value") == f"{angle}°"
    moved_J34 = np.float64(character.pose({ELBOW: (0, angle, 0)}))
    np.testing.assert_allclose(page.run("Array.from(transrefiner.stage.transforms)")[:22 * 12], moved_J34.ravel(), atol=1e-6)
    page.run("document.getElementById('skeleton').click()")
    after = picture(page)
    moved_V3 = linear_blend_skinning(character.asset.vertices_V3, character.asset.skin_VJ, moved_J34)
    assert holds(page, after, moved_V3) and not holds(page, after, character.asset.vertices_V3)
    assert (surface(before) != surface(after)).sum() > 500
    page.click(*page.middle("reset"))
    page.wait("document.body.dataset.posed === '{}'")
    np.testing.assert_array_equal(picture(page), before)
    page.run("document.getElementById('skeleton').click()")


def test_the_heat_map_follows_the_picked_joint(page):
    page.run("document.getElementById('skeleton').click()")
    choose(page, "colours", "joint")
    hot = []
    for joint in ("l_lower_arm", "r_lower_arm"):
        choose(page, "joint", MAN.names.index(joint))
        image = picture(page)
        red = (image[..., 0] > 90) & (image[..., 0] > 2 * image[..., 2])
        hot.append(np.nonzero(red)[1].mean())
    assert hot[0] > WIDTH / 2 > hot[1]      # the figure faces us, so its left is on our right
    choose(page, "colours", "all")
    image = picture(page)
    assert len({tuple(c) for c in image[image.max(2) - image.min(2) > 60] // 64}) > 5
    page.run("document.getElementById('skeleton').click()")


def test_weights_before_and_after_smoothing(page):
    page.run("document.getElementById('skeleton').click()")
    choose(page, "colours", "joint")
    choose(page, "joint", ELBOW)
    seen = {}
    for number, kind in ((1, "network"), (2, "smoothed"), (0, "in the file")):
        choose(page, "kinds", number)
        page.wait(f"document.body.dataset.weights === '{kind}'")
        seen[kind] = picture(page)
    cold = {kind: ((image.max(2) > 70) & (image.max(2) - image.min(2) < 40)).sum() for kind, image in seen.items()}
    assert cold["network"] < 0.9 * cold["smoothed"] and (seen["in the file"] != seen["smoothed"]).any()
    page.run("document.getElementById('skeleton').click()")


def test_a_clip_plays_pauses_and_is_scrubbed(desk, page):
    choose(page, "clip", 1)
    page.wait("transrefiner.state.clip")
    page.click(*page.middle("play"))
    page.wait("Number(document.getElementById('frame').value) >= 3")
    page.click(*page.middle("play"))
    assert page.run("document.getElementById('play').textContent") == "Play"
    page.run("document.getElementById('frame').focus()")
    page.press("End")
    assert page.run("document.getElementById('frame-value').value") == "20 / 20"
    last_J34 = desk.server.library.character(0).animate(desk.server.library.clip(0))[-1]
    np.testing.assert_allclose(page.run("Array.from(transrefiner.stage.transforms)")[:22 * 12], last_J34.ravel(), atol=1e-6)
    page.press("Home")
    page.press("ArrowRight")
    assert page.run("document.getElementById('frame-value').value") == "2 / 20"
    choose(page, "clip", 0)
    page.wait("!transrefiner.state.clip")


def test_a_mesh_that_is_dropped_is_rigged(desk, page):
    file = desk.folder / "<img src=x onerror=alert(1)>.obj"
    file.write_bytes(TRIANGLE)
    page.drop(file, 300, 300)
    assert desk.uploads.work(10)
    page.wait("document.body.dataset.ready === '2'")
    page.wait(f"document.getElementById('news').textContent === {json.dumps(file.name + ': 22 joints')}")
    assert page.run("document.querySelectorAll('img').length") == 0
    assert page.run("document.getElementById('characters').selectedOptions[0].text") == file.name
    assert page.run("document.getElementById('drop').hidden && document.getElementById('progress').hidden")


def test_a_bad_file_is_a_sentence_on_the_page(desk, page):
    for name, says in (("broken.glb", "broken.glb: "), ("tool.exe", "tool.exe: not read here")):
        (desk.folder / name).write_bytes(b"MZ")
        page.drop(desk.folder / name, 300, 300)
        desk.uploads.work(1)
        page.wait(f"(n => n.className === 'wrong' && n.textContent.startsWith({json.dumps(says)}))(document.getElementById('news'))")
    assert page.run("document.body.dataset.ready") == "0"    # what was open stays


def test_the_camera_turns_moves_and_zooms(page):
    before = picture(page)
    for kind, x, buttons in (("mousePressed", 300, 1), ("mouseMoved", 400, 1), ("mouseReleased", 400, 0)):
        page("Input.dispatchMouseEvent", type=kind, x=x, y=700, button="left", buttons=buttons, clickCount=1)
    turned = picture(page)
    page("Input.dispatchMouseEvent", type="mouseWheel", x=300, y=300, deltaX=0, deltaY=400)
    page.wait("transrefiner.stage.camera.distance > 1.8 * transrefiner.stage.camera.size")
    small = picture(page)
    assert (before != turned).any() and surface(small).sum() < 0.8 * surface(turned).sum()


def test_nothing_is_asked_of_any_other_machine(desk, page):
    assert page.requests and all(url.startswith((desk.server.address, "data:", "about:")) for url in page.requests)
