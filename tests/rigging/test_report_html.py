"""The page: whole, self-contained, the same bits each time, and deaf to markup in names."""

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from dataset.sources.mascots import generate_mascot
from pictures.report import HEAT_JOINTS, draw
from rigging.quality import assess
from rigging.quality_figure import Figure
from rigging.report_html import Pictures, report_html
from rigging.weights import Step
from tests.rigging.broken_rigs import Case, weights_shuffled
from tests.rigging.test_quality_motion import rig_of

HOSTILE = '<script>alert(1)</script>"><img src=http://evil.example/x onerror=alert(2)>\x00\u202e&amp;'
STEPS = [Step("smoothing", "partly", "rose", ("l_hand",), {"bleed": 0.5, "roughness": 2.0, "speckle": 7},
              {"bleed": 0.25, "roughness": 1.0, "speckle": 3}, 12).as_dict(), Step("surface", "skipped", HOSTILE).as_dict()]
VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """Every tag with its attributes; fails on a tag that is not closed in order."""

    def __init__(self, page: bytes):
        super().__init__(convert_charrefs=True)
        self.tags, self.open, self.text = [], [], []
        self.feed(page.decode("utf-8"))
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def case() -> Case:
    asset = generate_mascot(9002)
    return Case(asset.vertices_V3, asset.faces_F3, rig_of(asset))


@pytest.fixture(scope="module")
def pictures(case) -> Pictures:
    return draw(Figure.of(case.vertices_V3, case.faces_F3, case.rig))


@pytest.fixture(scope="module")
def page(case, pictures) -> bytes:
    joints = [{"name": name, "expected_error_cm": None if k == 3 else k / 2} for k, name in enumerate(case.rig.names)]
    return report_html("knight.glb", assess(case.vertices_V3, case.faces_F3, case.rig), pictures, joints, STEPS, ["turned upright"])


def test_the_page_is_whole_and_small(case, pictures, page):
    parsed = Page(page)
    images = [attributes["src"] for tag, attributes in parsed.tags if tag == "img"]
    assert len(images) == 2 + len(HEAT_JOINTS) + 11 == sum(map(len, pictures))
    for source in images:
        Image.open(io.BytesIO(base64.b64decode(source.removeprefix("data:image/jpeg;base64,")))).load()
    text = " ".join(parsed.text)
    assert all(word in text for word in ("knight.glb", "turned upright", "arms up", "smoothing", "0.5 → 0.25", "rose: l_hand", "25.5 cm"))
    assert len(page) < 1_500_000


def test_nothing_is_fetched_and_no_script_runs(page):
    tags = Page(page).tags
    assert not {tag for tag, _ in tags} & {"script", "link", "iframe", "object", "embed", "form", "a", "base", "svg"}
    assert all(value.startswith("data:image/jpeg;base64,") for _, attributes in tags for key, value in attributes.items() if key == "src")
    assert not any(key.startswith("on") or key == "href" for _, attributes in tags for key in attributes)
    assert not any("http" in (value or "") for _, attributes in tags for value in attributes.values())
    assert b"url(" not in page and b"@import" not in page
    assert any(a.get("http-equiv") == "Content-Security-Policy" and "default-src 'none'" in a["content"] for _, a in tags)


def test_names_from_the_file_cannot_inject_markup(case, pictures):
    quality = assess(case.vertices_V3, case.faces_F3, weights_shuffled(case), np.full(52, 9.0))
    hostile = Pictures(tuple(p._replace(caption=HOSTILE) for p in pictures.skeleton), (), ())
    page = report_html(HOSTILE, quality, hostile, [{"name": HOSTILE, "expected_error_cm": 3.0}], [*STEPS, {"name": HOSTILE}], [HOSTILE])
    parsed = Page(page)
    assert {tag for tag, _ in parsed.tags} <= {"html", "head", "meta", "title", "style", "body", "main", "h1", "h2", "p", "div", "strong",
                                              "br", "span", "ul", "li", "b", "figure", "img", "figcaption", "small", "table", "tr", "th",
                                              "td"}
    assert b"<script" not in page and b"\x00" not in page and "\u202e" not in page.decode()
    assert sum("<script>alert(1)</script>" in text for text in parsed.text) >= 6       # as text, where it was said


def test_the_same_bits(case, page, pictures):
    again = draw(Figure.of(case.vertices_V3, case.faces_F3, case.rig))
    assert again == pictures
    assert re.search(rb"\d{4}-\d\d-\d\d|\d\d:\d\d:\d\d", page) is None      # no date, no time


def test_a_page_without_pictures_steps_or_errors_has_no_empty_parts(case):
    page = report_html("cloud.ply", assess(case.vertices_V3, None, case.rig), Pictures((), (), ()))
    text = " ".join(Page(page).text)
    assert "no faces" in text and "Checks" in text
    assert not any(title in text for title in ("Range of motion", "Mesh and skeleton", "What was done", "Expected error of"))


def test_a_name_that_is_no_unicode_text_is_written_all_the_same(case):
    page = report_html("knight\udcff.glb", assess(case.vertices_V3, None, case.rig), Pictures((), (), ()))
    assert b"<h1>knight .glb</h1>" in page
