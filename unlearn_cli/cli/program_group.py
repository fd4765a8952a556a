"""The program's group of commands: reports errors that are not bugs in one line."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
from typer.exceptions import TyperException

from unlearn_cli import console, ranks
from unlearn_cli.cli.help_page import CommandGroup
from unlearn_cli.errors import CliError, Interrupted, LostProcess, UserError, translate_resource_errors


class ProgramGroup(CommandGroup):
    """Reports errors that are not bugs, including wrong usage, in one line; a bug keeps its traceback."""

    examples = (
        "unlearn-cli demo",
        "unlearn-cli unlearn model.safetensors --manifest data.yaml --method unsir --out unlearned",
        "unlearn-cli list methods",
    )

    def make_context(self, info_name: Any, args: list[str], parent: Any = None, **extra: Any) -> Any:
        if not args:  # prints the help page
            return super().make_context(info_name, args, parent, **extra)
        with report_errors():
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: Any) -> Any:
        with report_errors():
            check_working_folder()
            return super().invoke(ctx)


def check_working_folder() -> None:
    """Refuse to start in a removed folder, where relative paths do not work.

    Raises:
        UserError: the working directory was removed.
    """
    try:
        Path.cwd()
    except FileNotFoundError:
        raise UserError("the working directory was removed; change to another") from None


@contextmanager
def report_errors() -> Iterator[None]:
    """Print errors that are not bugs, and exit with their exit codes."""
    try:
        with translate_usage_errors(), translate_resource_errors():
            yield
    except LostProcess as error:
        ranks.wait_for_other_ends()
        raise typer.Exit(error.exit_code) from None
    except CliError as error:
        ranks.wait_for_first_end()
        # The launcher's signal to the others when one process ends is not an error: the first prints what ended it.
        console.settings.speaks = ranks.is_first() or not isinstance(error, Interrupted)
        console.error(str(error), error.exit_code)
        raise typer.Exit(error.exit_code) from None


@contextmanager
def translate_usage_errors() -> Iterator[None]:
    """Translate Typer's errors, which may have several lines, to UserError."""
    try:
        yield
    except TyperException as error:
        command = getattr(getattr(error, "ctx", None), "command_path", "unlearn-cli")
        message = " ".join(error.format_message().replace("Value error, ", "").split()).rstrip(".")
        raise UserError(f"{message}; see '{command} --help'") from None
