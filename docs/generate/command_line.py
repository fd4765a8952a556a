"""The reference of the command line: the help page of every command, as a terminal of 100 columns shows it."""

from typer.main import get_command
from typer.testing import CliRunner

from unlearn_cli.cli.app import app

INTRODUCTION = """\
# Command line

Each section is the output of `unlearn-cli COMMAND --help`. Options that run a model (`--device`, `--precision`, `--seed`, ...) have the same
meaning in every command. Settings of a method come from `--config FILE` and `--set NAME=VALUE`; [Methods](methods.md) lists them.

Standard output contains only the result: a path, a table, or with `--json` exactly one JSON document. Notes, progress and errors go to
standard error. The exit codes are listed in [Exit codes](exit-codes.md).
"""


def write_page() -> str:
    sections = [INTRODUCTION, _section("unlearn-cli", [])]
    sections += [_section(f"unlearn-cli {' '.join(words)}", words) for words in command_names()]
    return "\n".join(sections)


def command_names() -> list[list[str]]:
    """Return the words of every command and sub-command, in the order of the help pages."""
    names: list[list[str]] = []
    for name, command in getattr(get_command(app), "commands", {}).items():
        if not command.hidden:
            names.append([name])
            names += [[name, inner] for inner in getattr(command, "commands", {})]
    return names


def _section(title: str, words: list[str]) -> str:
    environment = {"COLUMNS": "100", "TERMINAL_WIDTH": "100", "NO_COLOR": "1", "_TYPER_FORCE_DISABLE_TERMINAL": "1"}
    page = CliRunner().invoke(app, [*words, "--help"], prog_name="unlearn-cli", env=environment).stdout
    lines = [line.rstrip() for line in page.strip().splitlines()]
    return f"## {title}\n\n```text\n" + "\n".join(lines) + "\n```\n"
