"""A block of a Markdown page that a program writes, between two marks."""

from pathlib import Path


def write_block(path: Path, name: str, text: str) -> None:
    """Put the text between a page's markers <!-- name:begin --> and <!-- name:end -->; a page without them gets them at its end."""
    begin, end = f"<!-- {name}:begin -->\n", f"<!-- {name}:end -->\n"
    page = path.read_text(encoding="utf-8") if path.exists() else ""
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        before, after = page, ""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")
