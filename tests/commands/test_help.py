"""Help pages are readable at 80 and 120 columns: nothing is cut, and the text has most of the width."""

import re

import pytest

from tests.tiny import invoke
from unlearn_cli.cli import help_page
from unlearn_cli.cli.app import app
from unlearn_cli.cli.batch import batch_app

COMMANDS = [
    *(command.name or command.callback.__name__ for command in app.registered_commands if command.callback),
    *(
        f"batch {command.name or command.callback.__name__}"
        for command in batch_app.registered_commands
        if command.callback
    ),
]


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_page_fits_the_terminal_and_ends_with_examples(
    command: str, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    page = invoke(*command.split(), "--help").stdout
    assert max(map(len, page.splitlines())) <= width
    assert "…" not in page
    examples = page.partition("\nExamples:\n")[2]
    assert all(line.startswith(("  unlearn-cli ", "      ")) for line in examples.splitlines())
    assert examples
    assert page == invoke(*command.split(), "-h").stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_the_options_of_the_examples_exist(command: str) -> None:
    page = invoke(*command.split(), "--help").stdout
    examples = page.partition("\nExamples:\n")[2].replace("\\\n", " ")
    for line in examples.splitlines():
        words = line.split()[1:]
        other = invoke(*words[: 1 + (words[0] == "batch")], "--help").stdout
        assert all(option in other for option in re.findall(r"(?<= )--?[a-z][a-z-]*", line)), line


def test_the_parts_of_a_page_are_in_order() -> None:
    page = invoke("unlearn", "--help").stdout
    titles = ["Usage", "Arguments", "Options", "Runtime", "Output", "Methods", "Examples"]
    assert re.findall(r"^([A-Z][a-z]+):", page, flags=re.MULTILINE) == titles
    assert "\n  MODEL " in page
    assert "--manifest data.yaml" in page


@pytest.mark.parametrize(("terminal", "no_color"), [(True, False), (True, True), (False, False)])
def test_colours_depend_on_stdout(terminal: bool, no_color: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(help_page.sys.stdout, "isatty", lambda: terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    if no_color:
        monkeypatch.setenv("NO_COLOR", "1")
    section = help_page.format_section("Options", [("--a", "text"), ("--ab", "text")], 4)
    assert ("\033[36m--ab\033[0m  text" in section) == (terminal and not no_color)
    assert ("\033" in section) == (terminal and not no_color)


@pytest.mark.parametrize("command", ["unlearn", "evaluate", "attack", "train", "noise", "shadow", "convert", "inspect"])
def test_no_cache_is_an_option_of_the_commands_that_store_something_for_later_runs(command: str) -> None:
    assert ("--no-cache" in invoke(command, "--help").stdout) == (command != "inspect")
