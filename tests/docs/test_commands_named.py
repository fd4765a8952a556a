"""Every command line in a page, also in text and in blocks that are not run, names commands and options that exist."""

import re
from functools import cache
from pathlib import Path

import pytest

from docs.generate.command_line import command_names
from tests.docs.blocks import FENCE, pages
from tests.tiny import ROOT, invoke

LINE = re.compile(r"(?<!--tag )\bunlearn-cli +([^`\n#|]*)")
COMMANDS = {tuple(words) for words in command_names()}
WRITTEN = [page for page in pages() if page.parent.name != "results" and page.name != "cli.md"]


@cache
def help_page(words: tuple[str, ...]) -> str:
    return invoke(*words, "--help").stdout


def command_lines(page: Path) -> list[str]:
    """Return what follows `unlearn-cli` in shell blocks and in inline code, with continued lines joined."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    shell = [match["text"] for match in FENCE.finditer(text) if match["language"] == "sh"]
    inline = re.findall(r"`(unlearn-cli [^`\n]+)`", FENCE.sub("", text))
    return [line for part in (*shell, *inline) for line in LINE.findall(part)]


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands_and_options_exist(page: Path) -> None:
    for line in command_lines(page):
        words = line.split()
        command = next((tuple(words[:n]) for n in (2, 1) if tuple(words[:n]) in COMMANDS), ())
        assert command or words[0].startswith("-") or words[0].isupper(), f"unlearn-cli {line}: no such command"
        options = re.findall(r"(?<!\S)--?[a-z][\w-]*", line)
        unknown = [option for option in options if option not in help_page(command)]
        assert not unknown, f"unlearn-cli {line}: no option {unknown}"
