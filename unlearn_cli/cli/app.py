"""The command line, put together from its commands. Nothing here, or imported at the top, imports torch."""

import gc
import os
import sys
from io import TextIOWrapper
from typing import Annotated

import typer

from unlearn_cli import console, ranks
from unlearn_cli.cli.batch import batch_app
from unlearn_cli.cli.model_commands import model_app
from unlearn_cli.cli.other_commands import other_app
from unlearn_cli.cli.program_group import ProgramGroup
from unlearn_cli.storage.version import VERSION

# Objects between two searches for reference cycles. With Python's default of 700, half a second of a command's start is
# spent on searching torch's objects, which are never freed.
NEW_OBJECTS = 10_000

app = typer.Typer(
    cls=ProgramGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Make a saved model forget part of its training data, and show with numbers whether it did.",
)
app.add_typer(model_app)
app.add_typer(other_app)
app.add_typer(batch_app)


def main() -> None:
    # torch's OpenMP runtime reads this variable when it is loaded: waiting threads then sleep after some microseconds.
    # By default they spin, which takes processor time from other jobs. Measured with 120 small training steps: up to
    # 55 s by default while another job runs; with this value 1.6 s next to two busy loops and 12 s next to a two-thread
    # training. On a quiet machine 0.7 s with both.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    gc.set_threshold(NEW_OBJECTS)
    escape_unencodable()
    try:
        app(prog_name="unlearn-cli")
    except SystemExit as end:
        if ranks.size() == 1:
            raise
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(end.code if isinstance(end.code, int) else 0)  # in sys.exit, the process group's threads may abort


def escape_unencodable() -> None:
    r"""Escape letters that the encoding of stdout lacks: in ASCII, an arrow becomes `\u2192` instead of an error."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def show_version(requested: bool) -> None:
    if requested:
        console.result(f"unlearn-cli {VERSION}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass
