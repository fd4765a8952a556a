"""The program's group of commands: it reports errors that are not bugs in one line."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
from typer.exceptions import TyperException

from unlearn_cli import console, ranks
from unlearn_cli.cli.help_page import CommandGroup
from unlearn_cli.errors import CliError, LostProcess, UserError, translate_resource_errors


class ProgramGroup(CommandGroup):
    """Reports errors that are not bugs, wrong usage among them, in one line; a bug keeps its traceback."""

    examples = (
        "unlearn-cli demo",
        "unlearn-cli unlearn model.safetensors --manifest data.yaml --method unsir --out unlearned",
        "unlearn-cli list methods",
    )

    def make_context(self, info_name: Any, args: list[str], parent: Any = None, **extra: Any) -> Any:
        if not args:  # prints the help page
            return super().make_context(info_name, args, parent, **extra)
        with errors_in_one_line():
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: Any) -> Any:
        with errors_in_one_line():
            check_working_folder()
            return super().invoke(ctx)


def check_working_folder() -> None:
    """Refuse to start in a folder that was removed: relative paths lead nowhere.

    Raises:
        UserError: it was removed.
    """
    try:
        Path.cwd()
    except FileNotFoundError:
        raise UserError("the folder that you are in was removed; change to another") from None


@contextmanager
def errors_in_one_line() -> Iterator[None]:
    """Print an error inside that is not a bug, and end with its exit code."""
    try:
        with usage_errors(), translate_resource_errors():
            yield
    except LostProcess as error:
        ranks.let_the_others_end()
        raise typer.Exit(error.exit_code) from None
    except CliError as error:
        ranks.let_the_first_end()
        console.settings.speaks = True
        console.error(str(error), error.exit_code)
        raise typer.Exit(error.exit_code) from None


@contextmanager
def usage_errors() -> Iterator[None]:
    """Give Typer's own errors the form of all others."""
    try:
        yield
    except TyperException as error:
        command = getattr(getattr(error, "ctx", None), "command_path", "unlearn-cli")
        message = error.format_message().replace("Value error, ", "").rstrip(".")
        raise UserError(f"{message}; '{command} --help' lists what is expected") from None
