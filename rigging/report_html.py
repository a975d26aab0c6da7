"""The report that people read: one HTML file with its pictures inside, no script, nothing fetched, whatever the names in the user's file.

    page = report_html("knight.glb", quality, draw(figure), joints, steps, warnings)      # bytes, UTF-8; the same input, the same bytes
All text passes html.escape, and a content policy in the page forbids scripts and the network even if something slipped through.
"""

import base64
from collections.abc import Mapping, Sequence
from html import escape
from typing import NamedTuple

from rigging.quality import Check, Quality
from rigging.quality_limits import shown

WORDS = {"pass": "Pass", "warn": "Look here", "fail": "Fail"}
SUMMARIES = {"pass": "Nothing was found that an artist would have to mend.",
             "warn": "The rig can be used. Look at the points below before you animate it.",
             "fail": "The rig is not fit for use as it is. The points below say what is wrong."}
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
MEASURES = ("bleed", "roughness", "speckle")


class Picture(NamedTuple):
    """jpeg: the file's bytes. caption: text, not markup."""
    caption: str
    jpeg: bytes
    width: int
    height: int


class Pictures(NamedTuple):
    """skeleton: front and side; heat: one a joint; poses: one a pose. pictures/report.py draws them."""
    skeleton: tuple[Picture, ...]
    heat: tuple[Picture, ...]
    poses: tuple[Picture, ...]


STYLE = """
:root{--ink:#1f2430;--soft:#667085;--line:#e4e7ec;--paper:#f7f8fa;--pass:#12744a;--warn:#9a6200;--fail:#b42318}
*{box-sizing:border-box}
body{margin:0;background:#fff;color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI","Noto Sans","Noto Sans CJK SC",sans-serif}
main{max-width:1080px;margin:0 auto;padding:32px 24px 64px}
h1{font-size:24px;margin:0 0 4px;overflow-wrap:anywhere}
h2{font-size:17px;margin:40px 0 4px}
p{margin:4px 0 12px;color:var(--soft);max-width:72ch}
.summary{display:flex;gap:14px;align-items:center;margin:14px 0 4px}
.summary strong{font-weight:600;color:var(--ink)}
.badge{display:inline-block;padding:1px 10px;border-radius:999px;font-size:13px;font-weight:600;white-space:nowrap}
.badge.big{font-size:16px;padding:4px 16px}
.pass{color:var(--pass);background:#e7f6ee}.warn{color:var(--warn);background:#fdf3dc}.fail{color:var(--fail);background:#fdeae8}
ul.points{margin:8px 0 0;padding:0;list-style:none}
ul.points li{border-left:4px solid;background:var(--paper);margin:8px 0;padding:8px 14px;border-radius:0 6px 6px 0;color:var(--ink)}
ul.points li.warn{border-color:#e0a82e}ul.points li.fail{border-color:#d92d20}
figure{margin:0;background:var(--paper);border:1px solid var(--line);border-radius:8px;overflow:hidden;text-align:center}
figure img{display:block;margin:0 auto;max-width:100%;height:auto}
figcaption{font-size:13px;padding:4px 8px 8px;overflow-wrap:anywhere}
figcaption small{color:var(--soft);display:block}
.grid{display:grid;gap:10px;grid-template-columns:repeat(auto-fill,minmax(160px,1fr))}
.pair{display:flex;gap:10px;flex-wrap:wrap}.pair figure{flex:1 1 auto}
table{border-collapse:collapse;width:100%;font-size:14px;margin-top:8px}
th{text-align:left;color:var(--soft);font-weight:500;border-bottom:1px solid var(--line);padding:4px 10px 4px 0}
td{border-bottom:1px solid var(--line);padding:6px 10px 6px 0;vertical-align:top;overflow-wrap:anywhere}
td.number,th.number{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
.key{display:inline-block;width:120px;height:10px;border-radius:5px;vertical-align:middle;margin:0 6px;
background:linear-gradient(90deg,#ced3dc,#f4d98a,#ee8a3c,#b01c2e)}
ul.joints{columns:3 220px;column-gap:32px;margin:8px 0 0;padding:0;list-style:none;font-size:14px}
ul.joints li{display:flex;justify-content:space-between;gap:10px;border-bottom:1px solid var(--line);padding:3px 0;break-inside:avoid}
ul.joints span{overflow-wrap:anywhere}ul.joints b{font-weight:500;white-space:nowrap;font-variant-numeric:tabular-nums}
@media print{main{max-width:none}figure,tr{break-inside:avoid}}
"""


def report_html(title: str, quality: Quality, pictures: Pictures, joints: Sequence[Mapping] = (), steps: Sequence[Mapping] = (),
                warnings: Sequence[str] = ()) -> bytes:
    """The page. title: the input's name. joints: {"name", "expected_error_cm" (or None)}, as report.json lists them. steps: what the
    weight contract did, rigging.weights.Step.as_dict() of each. warnings: further plain sentences. Text may hold anything."""
    body = "".join([_summary(title, quality, warnings), _skeleton(pictures.skeleton), _checks(quality), _poses(quality, pictures.poses),
                    _heat(pictures.heat), _joints(joints), _steps(steps)])
    page = (f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{POLICY}">'
            f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{_text(title)}: rig report</title>'
            f"<style>{STYLE}</style></head>\n<body><main>{body}</main></body></html>\n")
    return page.encode("utf-8", "replace")


def _text(value: object) -> str:
    """Escaped for text and for attributes in double quotes. Control characters, which HTML does not allow, become spaces."""
    return escape("".join(c if c.isprintable() else " " for c in str(value)), quote=True)


def _badge(verdict: str, size: str = "") -> str:
    return f'<span class="badge {verdict} {size}">{WORDS[verdict]}</span>'


def _summary(title: str, quality: Quality, warnings: Sequence[str]) -> str:
    found = [*quality.of("fail"), *quality.of("warn")]
    counts = ", ".join(f"{len(quality.of(verdict))} {words}"
                       for verdict, words in (("fail", "failed"), ("warn", "to look at"), ("pass", "passed")))
    points = [f'<li class="{check.verdict}"><b>{_text(check.title)}.</b> {_text(check.sentence)}</li>' for check in found]
    points += [f'<li class="warn">{_text(sentence)}</li>' for sentence in (*warnings, *quality.skipped)]
    said = "The checks passed. Read the notes below." if quality.verdict == "pass" and points else SUMMARIES[quality.verdict]
    listed = f'<ul class="points">{"".join(points)}</ul>' if points else ""
    return (f'<h1>{_text(title)}</h1><div class="summary">{_badge(quality.verdict, "big")}<div>'
            f"<strong>{said}</strong><br>{len(quality.checks)} checks: {counts}.</div></div>{listed}")


def _image(picture: Picture, details: Sequence[str] = ()) -> str:
    data = base64.b64encode(picture.jpeg).decode("ascii")
    small = "".join(f"<small>{_text(detail)}</small>" for detail in details)
    return (f'<figure><img src="data:image/jpeg;base64,{data}" width="{picture.width}" height="{picture.height}" '
            f'alt="{_text(picture.caption)}"><figcaption>{_text(picture.caption)}{small}</figcaption></figure>\n')


def _section(title: str, explanation: str, inside: str) -> str:
    return f"<h2>{title}</h2><p>{explanation}</p>{inside}\n" if inside else ""


def _skeleton(pictures: Sequence[Picture]) -> str:
    inside = "".join(_image(picture) for picture in pictures)
    return _section("Mesh and skeleton", "Left bones are orange, right bones blue, the middle grey. Left is the figure’s own left.",
                    inside and f'<div class="pair">{inside}</div>')


def _checks(quality: Quality) -> str:
    rows = "".join(_check_row(check) for check in quality.checks)
    return _section("Checks", "Each measurement with its limits. Limits come from rigs that people made.",
                    '<table><tr><th></th><th>Check</th><th>What was found</th><th class="number">Value</th><th class="number">Warns at</th>'
                    f'<th class="number">Fails at</th></tr>{rows}</table>')


def _check_row(check: Check) -> str:
    numbers = "".join(f'<td class="number">{_text(shown(x, check.unit))}</td>' for x in (check.value, check.warn, check.fail))
    return f"<tr><td>{_badge(check.verdict)}</td><td>{_text(check.title)}</td><td>{_text(check.sentence)}</td>{numbers}</tr>\n"


def _poses(quality: Quality, pictures: Sequence[Picture]) -> str:
    measured = {pose.name: (f"long {100 * pose.stretched:.1f} %, short {100 * pose.squeezed:.1f} %",
                            f"needles {100 * pose.spiked:.1f} %, volume {100 * pose.volume:+.1f} %") for pose in quality.poses}
    inside = "".join(_image(picture, measured.get(picture.caption, ())) for picture in pictures)
    return _section("Range of motion", "Red: edges longer than twice or shorter than 0.4 times their length at rest. "
                    "Below each: the share of the surface on such edges.",
                    inside and f'<div class="grid">{inside}</div>')


def _heat(pictures: Sequence[Picture]) -> str:
    inside = "".join(_image(picture) for picture in pictures)
    return _section("Weights", 'What each joint moves: 0 <span class="key"></span> 1.', inside and f'<div class="grid">{inside}</div>')


def _joints(joints: Sequence[Mapping]) -> str:
    known = [joint for joint in joints if joint.get("expected_error_cm") is not None]
    rows = "".join(f'<li><span>{_text(joint["name"])}</span><b>{float(joint["expected_error_cm"]):.1f} cm</b></li>\n'
                   for joint in sorted(known, key=lambda joint: -float(joint["expected_error_cm"])))
    return _section("Expected error of each joint", "How far off the network expects to be, in centimetres of a person of 170 cm; "
                    "the least certain first.", rows and f'<ul class="joints">{rows}</ul>')


def _steps(steps: Sequence[Mapping]) -> str:
    rows = "".join(_step_row(step) for step in steps)
    heads = "".join(f'<th class="number">{_text(measure)}</th>' for measure in MEASURES)
    return _section("What was done to the weights", "Each step with its measures before and after. A step that makes a region worse is "
                    "taken back there.", rows and f"<table><tr><th>Step</th><th>Outcome</th><th>Why</th>{heads}</tr>{rows}</table>")


def _step_row(step: Mapping) -> str:
    before, after = step.get("before") or {}, step.get("after") or {}
    numbers = "".join(f'<td class="number">{before[measure]:.4g} → {after[measure]:.4g}</td>' if measure in before and measure in after
                      else '<td class="number"></td>' for measure in MEASURES)
    undone = ", ".join(map(str, step.get("undone_on", ())))
    why = f'{step.get("why", "")}{": " if undone and step.get("why") else ""}{undone}'
    return f'<tr><td>{_text(step.get("name", ""))}</td><td>{_text(step.get("outcome", ""))}</td><td>{_text(why)}</td>{numbers}</tr>\n'
