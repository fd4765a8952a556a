"""The code blocks of a Markdown page, with the directives that stand in HTML comments before them.

<!-- not run: needs Docker -->       the block is parsed only; the reason is for the reader of the source
<!-- exit codes: 0, 4 -->            the exit codes that the last command of a shell block may have
<!-- file: data.yaml -->             the block is the content of a file, which is written into the project
<!-- schema: deletion -->            a YAML block is a deletion.yaml (or: manifest, request, settings, workflow)
<!-- project: unlearned r1 -->       once per page: which trained folders the project of the page has
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

from tests.tiny import ROOT

FENCE = re.compile(r"^(?P<indent> *)```(?P<language>[\w-]*)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
DIRECTIVE = re.compile(r"<!-- *(not run|exit codes|file|schema|project): *(.*?) *-->")
SHELL, OUTPUT = ("sh",), ("text",)
LANGUAGES = (*SHELL, *OUTPUT, "python", "yaml", "json", "dockerfile", "toml", "ini", "cron")


@dataclass(frozen=True)
class Block:
    """One code block: its language and text, where it is, and its directives."""

    page: Path
    line: int
    language: str
    text: str
    directives: dict[str, str] = field(default_factory=dict)

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def is_run(self) -> bool:
        return "not run" not in self.directives

    @property
    def exit_codes(self) -> list[int]:
        return [int(code) for code in self.directives.get("exit codes", "0").split(",")]


def pages() -> list[Path]:
    """Return the README and all pages of the documentation."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def read_blocks(page: Path) -> list[Block]:
    """Return the code blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [_block(page, text, match) for match in FENCE.finditer(text)]


def parts_of_project(page: Path) -> list[str]:
    """Return the trained folders that a page asks for."""
    directives = DIRECTIVE.findall(page.read_text(encoding="utf-8"))
    return [part for name, value in directives if name == "project" for part in value.split()]


def _block(page: Path, text: str, match: re.Match[str]) -> Block:
    directives: dict[str, str] = {}
    for line in reversed(text[: match.start()].splitlines()):
        if not (comment := DIRECTIVE.fullmatch(line.strip())):
            break
        directives[comment[1]] = comment[2]
    content = "".join(line.removeprefix(match["indent"]) for line in match["text"].splitlines(keepends=True))
    return Block(page, text.count("\n", 0, match.start()) + 1, match["language"], content, directives)
