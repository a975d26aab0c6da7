"""README.md and README.zh-CN.md say the same: whatever can be compared without knowing a language is compared.

A figure, option, command, link or row that is changed in one README must be changed in the other. Of Markdown, only what the two use is
read: `#` headings, fenced and indented code, pipe tables, inline links and images, `code`, **bold** (CommonMark 0.31, sections 4 and 6).
"""

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAIR = ("README.md", "README.zh-CN.md")
CODE = re.compile(r"^(```+|~~~+)[^\n]*\n.*?^\1[ \t]*$\n?|(?<=\n\n)(?: {4}[^\n]*\n(?:[ \t]*\n(?= {4}))*)+", re.M | re.S)  # fenced, indented
HEADING = re.compile(r"^(#{1,6}) +(.+?) *#*$", re.M)
CODE_SPAN = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.S)
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s]+)\)")
# What belongs to a name is no figure (J2J, PT2); neither is a sentence's last full stop.
NUMBER = re.compile(r"(?<![A-Za-z0-9_.])(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d*\.\d+|\d+)(?:e-?\d+)?")


@dataclass(frozen=True)
class Page:
    """headings: (level, text) in order. code: the blocks' texts in order. sections: the rest, cut before each heading of level 2.
    tables: of each table its rows, of each row its cells."""
    headings: list[tuple[int, str]]
    code: list[str]
    sections: list[str]
    tables: list[list[list[str]]]


def parse(text: str) -> Page:
    code, prose = [m[0] for m in CODE.finditer(text)], CODE.sub("", text)
    headings = [(len(m[1]), m[2]) for m in HEADING.finditer(prose)]
    blocks = re.findall(r"(?:^\|.*\n)+", prose, re.M)
    tables = [[re.split(r"(?<!\\)\|", line.strip().strip("|")) for line in block.splitlines()] for block in blocks]
    return Page(headings, code, re.split(r"^(?=## )", prose, flags=re.M), tables)


def slugs(headings: list[tuple[int, str]]) -> list[str]:
    """The anchors that GitHub makes: the text in lower case, of its characters letters, marks, digits, `_`, `-` and blanks (as `-`)."""
    found, seen = [], Counter()
    for _, text in headings:
        plain = LINK.sub(r"\2", text).replace("`", "").replace("*", "").lower()
        kept = (c for c in plain if c in " -" or unicodedata.category(c)[0] in "LMN" or unicodedata.category(c) == "Pc")
        slug = "".join(kept).replace(" ", "-")
        found.append(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return found


def numbers(text: str) -> Counter:
    return Counter(NUMBER.findall(LINK.sub(r"\2", text)))


def code_spans(text: str) -> Counter:
    return Counter(m[2].replace("\n", " ") for m in CODE_SPAN.finditer(text))


def targets(text: str) -> Counter:
    """Where the links and images of a text lead (images marked by `!`), besides in-page anchors and the other language."""
    return Counter(m[1] + m[3] for m in LINK.finditer(CODE_SPAN.sub("", text)) if not m[3].startswith("#") and m[3] not in PAIR)


def anchors(text: str) -> list[str]:
    return [unquote(m[3][1:]) for m in LINK.finditer(text) if m[3].startswith("#")]


def unlike(where: str, what: str, first: Counter, second: Counter) -> list[str]:
    if first == second:
        return []
    return [f"{where}: {what} {list((first - second).elements())} only in {PAIR[0]}, {list((second - first).elements())} only in {PAIR[1]}"]


def table_differences(first: Page, second: Page) -> list[str]:
    if [[len(row) for row in t] for t in first.tables] != [[len(row) for row in t] for t in second.tables]:
        counts = [[(len(t), len(t[0])) for t in page.tables] for page in (first, second)]
        return [f"tables: rows or columns differ, (rows, columns) {counts[0]} and {counts[1]}"]
    return [line for t, pair in enumerate(zip(first.tables, second.tables)) for r, rows in enumerate(zip(*pair))
            for c, cells in enumerate(zip(*rows))
            for line in unlike(f"table {t + 1}, row {r + 1}, column {c + 1}", "numbers", *map(numbers, cells))]


def differences(first: Page, second: Page) -> list[str]:
    """What one page says and the other does not, a line each; empty for a translation."""
    levels = [[level for level, _ in page.headings] for page in (first, second)]
    if levels[0] != levels[1]:
        return [f"headings: levels {levels[0]} and {levels[1]}"]
    found = [f"code block {i + 1}: {a!r} and {b!r}" for i, (a, b) in enumerate(zip(first.code, second.code)) if a != b]
    if len(first.code) != len(second.code):
        found.append(f"code blocks: {len(first.code)} and {len(second.code)}")
    for a, b in zip(first.sections, second.sections):
        where = a.partition("\n")[0]
        found += unlike(where, "numbers", numbers(a), numbers(b)) + unlike(where, "code", code_spans(a), code_spans(b))
        found += unlike(where, "links", targets(a), targets(b))
    return found + table_differences(first, second)


def broken_links(text: str) -> list[str]:
    """In-page anchors without their heading, paths that do not exist, and anchors that their Markdown file does not have."""
    own, broken = slugs(parse(text).headings), []
    for target in {m[3] for m in LINK.finditer(CODE_SPAN.sub("", text)) if "://" not in m[3]}:
        path, _, anchor = unquote(target).partition("#")
        if path and not (ROOT / path).exists():
            broken.append(target)
        elif anchor and anchor not in (slugs(parse((ROOT / path).read_text(encoding="utf-8")).headings) if path else own):
            broken.append(target)
    return sorted(broken)


def dead_stars(text: str) -> list[str]:
    """`**` that CommonMark would show as stars: beside punctuation, bold opens or closes only next to a blank or more punctuation.

    Languages that write no blanks fall into this: `**粗体：**后文` is not bold, `**粗体**：后文` is."""
    dead, prose = [], CODE_SPAN.sub("x", text)
    for i, star in enumerate(re.finditer(r"\*\*", prose)):
        outside, inside = prose[star.start() - 1:star.start()], prose[star.end():star.end() + 1]
        if i % 2:
            outside, inside = inside, outside
        edge = not outside or outside.isspace() or unicodedata.category(outside)[0] in "PS"
        if inside.isspace() or not inside or unicodedata.category(inside)[0] in "PS" and not edge:
            dead.append(prose[max(0, star.start() - 12):star.end() + 12])
    return dead


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_two_readmes_say_the_same():
    found = differences(*(parse(read(name)) for name in PAIR))
    assert not found, "change it in both:\n" + "\n".join(found)


@pytest.mark.parametrize("name", PAIR)
def test_links_lead_somewhere_and_bold_is_bold(name):
    text = read(name)
    assert not broken_links(text)
    assert not dead_stars(text)


def test_each_names_the_other_under_its_title():
    for name, other in (PAIR, PAIR[::-1]):
        assert re.match(rf"# TransRefiner\n\n\[[^\]]+\]\({re.escape(other)}\)\n\n", read(name)), name


def test_the_contents_name_every_section_in_order():
    for name in PAIR:
        page = parse(read(name))
        assert anchors(page.sections[0]) == [slug for slug, (level, _) in zip(slugs(page.headings), page.headings) if level == 2]


ENGLISH = """# T

See [b](docs/b.md) and [one](#one-two).

## One, two

Of 132 figures `--x` takes .0221 s. J2J is good.

    run --x   # code

```sh
## no heading
```

| a | b |
|---|---|
| **n** | .5 (0.4-0.6) |

## Ends
"""
CHINESE = """# T

见 [乙](docs/b.md) 和 [一](#一二)。

## 一、二

132 个角色中，`--x` 需 .0221 秒。J2J 不错。

    run --x   # code

```sh
## no heading
```

| 甲 | 乙 |
|---|---|
| **数** | .5 (0.4-0.6) |

## 完
"""


def test_a_translation_by_hand_is_read_as_one():
    page = parse(CHINESE)
    assert page.headings == [(1, "T"), (2, "一、二"), (2, "完")]
    assert [block.strip() for block in page.code] == ["run --x   # code", "```sh\n## no heading\n```"]
    assert [[cell.strip() for cell in row] for row in page.tables[0]] == [["甲", "乙"], ["---", "---"], ["**数**", ".5 (0.4-0.6)"]]
    assert differences(parse(ENGLISH), page) == []
    assert anchors(CHINESE) == slugs(page.headings)[1:2]


@pytest.mark.parametrize("old, new, complaint", [
    (".0221", ".0222", "numbers"), ("132", "133", "numbers"), ("0.4", "0.3", "column 2"), ("`--x`", "`--y`", "code"),
    ("run --x ", "run --x  ", "code block 1"), ("```sh\n## no", "```sh\n# no", "code block 2"), ("docs/b", "docs/c", "links"),
    ("## 完\n", "### 完\n", "levels"), ("|---|---|\n", "|---|---|\n| | |\n", "rows"), (".5 (0.4-0.6) |", ".5 | (0.4-0.6) |", "columns"),
    ("[乙](d", "![乙](d", "links")])
def test_one_change_in_one_language_is_found(old, new, complaint):
    assert CHINESE.count(old) == 1
    found = differences(parse(ENGLISH), parse(CHINESE.replace(old, new)))
    assert found and complaint in found[0] + found[-1]


def test_numbers_that_change_places_in_a_row_are_found():
    swapped = parse("| .1 | .2 |\n|---|---|\n"), parse("| .2 | .1 |\n|---|---|\n")
    assert differences(*swapped) and numbers("| .1 | .2 |") == numbers("| .2 | .1 |")


def test_numbers_keep_their_notation_and_names_have_none():
    assert list(numbers("在.0223到0.70-0.73，10,000 个 2026-11-21，1e-4。J2J, PT2 at 4.5. [9](docs/7.md)")) == [
        ".0223", "0.70", "0.73", "10,000", "2026", "11", "21", "1e-4", "4.5", "9"]


def test_slugs_follow_github():
    texts = ["Map of the rooms", "See it", "网络结构", "评估（J2J）", "A `b_c`: D-e!", "See it", "安装 与 运行"]
    assert slugs([(2, t) for t in texts]) == ["map-of-the-rooms", "see-it", "网络结构", "评估j2j", "a-b_c-d-e", "see-it-1", "安装-与-运行"]


def test_links_that_lead_nowhere_are_found():
    text = "# 标题\n[a](#标题) [b](#没有) [c](tests) [d](no/such.md) [e](docs/scale.md#cost-curves) [f](docs/scale.md#none) `[g](#code)`\n"
    assert broken_links(text) == sorted(["#没有", "no/such.md", "docs/scale.md#none"])


def test_stars_that_would_stay_stars_are_found():
    assert dead_stars("**粗体**：后文 **bold:** text，**（甲）** `**`\n") == []
    assert dead_stars("**粗体：**后文\n") == ["**粗体：**后文\n"]
    assert dead_stars("前文**（甲）**\n") and dead_stars("** blank**\n")
