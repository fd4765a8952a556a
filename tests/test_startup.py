"""Nothing but Typer, pydantic and the names of plug-ins is loaded for help, version and completion."""

import gc
import os
import subprocess
import sys

import pytest

from tests.tiny import ROOT
from unlearn_cli.cli.app import NEW_OBJECTS, main

SLOW = ("numpy", "torch", "torchvision", "scipy", "sklearn", "matplotlib", "yaml", "rich", "duckdb", "jinja2", "PIL")
OWN = {  # all modules of the package that are loaded before a command is chosen
    "unlearn_cli",
    "unlearn_cli.cli",
    "unlearn_cli.cli.app",
    "unlearn_cli.cli.batch",
    "unlearn_cli.cli.command",
    "unlearn_cli.cli.help_page",
    "unlearn_cli.cli.model_commands",
    "unlearn_cli.cli.options",
    "unlearn_cli.cli.other_commands",
    "unlearn_cli.cli.program_group",
    "unlearn_cli.commands",
    "unlearn_cli.commands.result",
    "unlearn_cli.console",
    "unlearn_cli.errors",
    "unlearn_cli.plugins",
    "unlearn_cli.plugins.discovery",
    "unlearn_cli.plugins.run_options",
    "unlearn_cli.ranks",
    "unlearn_cli.schema",
    "unlearn_cli.schema.literals",
    "unlearn_cli.stats",
    "unlearn_cli.stats.margins",  # the default of --margin
    "unlearn_cli.storage",
    "unlearn_cli.storage.version",
}
SCRIPT = """
import sys
from unlearn_cli.cli.app import app
try:
    app(sys.argv[1:], prog_name="unlearn-cli")
except SystemExit:
    pass
print(*sys.modules, file=sys.stderr)
"""


def loaded_modules(*arguments: str, **environment: str) -> set[str]:
    command = [sys.executable, "-c", SCRIPT, *arguments]
    result = subprocess.run(command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=True)
    assert result.stdout
    return set(result.stderr.split())


@pytest.mark.parametrize(
    "arguments",
    [["--version"], ["--help"], ["unlearn", "--help"], ["evaluate", "-h"], ["attack", "-h"], ["train", "-h"]],
)
def test_help_and_version_load_nothing_that_they_do_not_need(arguments: list[str]) -> None:
    check(loaded_modules(*arguments))


@pytest.mark.parametrize("words", ["unlearn-cli un", "unlearn-cli unlearn --method ", "unlearn-cli attack --attack "])
def test_completion_loads_nothing_that_it_does_not_need(words: str) -> None:
    number = str(len(words.split(" ")) - 1)
    check(loaded_modules(_UNLEARN_CLI_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=number))


def check(modules: set[str]) -> None:
    assert {name for name in modules if name.partition(".")[0] == "unlearn_cli"} - OWN == set()
    assert {name.partition(".")[0] for name in modules} & set(SLOW) == set()


def test_a_command_searches_for_reference_cycles_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["unlearn-cli", "--version"])
    before = gc.get_threshold()
    try:
        with pytest.raises(SystemExit):
            main()
        assert gc.get_threshold()[0] == NEW_OBJECTS > before[0]
    finally:
        gc.set_threshold(*before)
