"""The generated pages are those that the code gives now, and every link leads somewhere."""

import re
from pathlib import Path

import pytest

from docs.generate.pages import stale_files
from tests.docs.blocks import FENCE, pages
from tests.tiny import ROOT

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


def test_generated_pages_are_up_to_date() -> None:
    assert not stale_files(), "run `python -m docs.generate` and commit what it writes"


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_to_a_page_and_a_heading(page: Path) -> None:
    for link in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_file(), f"{link}: no such file"
        assert not anchor or anchor in anchors(target), f"{link}: no such heading"


def test_every_page_is_in_the_navigation_and_every_entry_exists() -> None:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    entries = set(re.findall(r": ([\w/-]+\.md)$", text, flags=re.MULTILINE))
    written = {page.relative_to(ROOT / "docs").as_posix() for page in pages() if page.is_relative_to(ROOT / "docs")}
    assert entries <= written
    assert {name for name in written - entries if not name.startswith("results/")} == set()


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as MkDocs and forges make them."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    headings = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in HEADING.findall(text))
    return {heading.strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", ["manifest.md", "deletion.md"])
def test_every_key_is_described_and_signs_in_code_are_not_escaped(name: str) -> None:
    text = (ROOT / "docs" / "reference" / name).read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert rows
    assert not [row for row in rows if row.endswith("|  |")]
    assert not re.search(r"`[^`|]*&lt;[^`|]*`", text)
