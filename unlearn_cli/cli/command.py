"""Makes a function a command: adds the shared options to its parameters, and prints its result."""

import functools
import inspect
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from unlearn_cli import console, ranks
from unlearn_cli.cli import options
from unlearn_cli.cli.help_page import Command
from unlearn_cli.commands.result import Result
from unlearn_cli.errors import UserError
from unlearn_cli.plugins.run_options import CommandLine, RunOptions

RUN_OPTIONS = tuple(name for name, field in RunOptions.model_fields.items() if field.description)


def add_command(
    app: typer.Typer,
    *,
    run_options: Sequence[str] = (),
    without: Sequence[str] = (),
    defaults: Mapping[str, Any] = {},
    several_processes: bool = False,
    examples: Sequence[str] = (),
    kind: str | None = None,
    name: str | None = None,
) -> Callable[[Callable[..., Result]], Callable[..., Result]]:
    """Register a function that returns a `Result` as a command with the shared options.

    A function with a parameter `run_options` receives the `RunOptions` of the command line.

    Args:
        run_options: the fields of `RunOptions` that are options of the command.
        without: fields to exclude from `run_options`.
        defaults: defaults that differ from those of `RunOptions`.
        several_processes: whether the command supports --nproc and torchrun.
        examples: command lines for the end of the help page.
        kind: the kind of plug-ins that the help page lists: methods, metrics or attacks.
        name: the command's name; default: the name of the function.
    """
    chosen = [field for field in run_options if field not in without]
    shared = [*run_parameters(chosen, defaults), *(PROCESSES if several_processes else ()), *OUTPUT]

    def register(function: Callable[..., Result]) -> Callable[..., Result]:
        own = dict(inspect.signature(function).parameters)
        takes_run_options = own.pop("run_options", None) is not None
        takes_context = "context" in own  # Typer fills only one such parameter

        @functools.wraps(function)
        def run_command(**values: Any) -> None:
            values = {key: expand_option(value) for key, value in values.items()}
            context = values["context"] if takes_context else values.pop("context")
            given = {field: values.pop(field) for field in chosen}
            set_up_console(values.pop("as_json"), values.pop("quiet"), values.pop("log_format"))
            if several_processes:
                start_processes(values.pop("nproc"), shard=given["shard"])
            elif ranks.size() > 1:
                raise UserError("this command supports only one process; start it without torchrun")
            if takes_run_options:
                values["run_options"] = RunOptions(**{**defaults, **select_named(context, given)})
            finish(function(**values))

        run_command.__signature__ = inspect.Signature([*own.values(), *shared, *(() if takes_context else (CONTEXT,))])  # type: ignore[attr-defined]
        command_class = type("Command", (Command,), {"examples": examples, "kind": kind})
        app.command(name, cls=command_class)(run_command)
        return function

    return register


def expand_option(value: Any) -> Any:
    """Return the value of an option; in paths, with `~` and `${NAME}` replaced, which no shell does in `--out=~/x`."""
    if isinstance(value, list):
        return [expand_option(item) for item in value]
    if not isinstance(value, Path):
        return value
    from unlearn_cli.storage.path_variables import expand_path  # --help and completion need no paths

    return expand_path(value)


def select_named(context: typer.Context, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that the command line names; the others stay unset, so that a default can replace theirs."""
    sources = {name: context.get_parameter_source(name) for name in given}
    return {name: given[name] for name, source in sources.items() if source and source.name != "DEFAULT"}


def parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)


OUTPUT = (
    parameter("as_json", options.Json, False),
    parameter("quiet", options.Quiet, False),
    parameter("log_format", options.LogFormat, "text"),
)
CONTEXT = parameter("context", typer.Context, inspect.Parameter.empty)
PROCESSES = (parameter("nproc", options.Nproc, 1),)


def run_parameters(names: Sequence[str], defaults: Mapping[str, Any]) -> list[inspect.Parameter]:
    """Return fields of `RunOptions` as function parameters, from which Typer makes options."""
    parameters = []
    for name in names:
        field = RunOptions.model_fields[name]
        shown = next((item for item in field.metadata if isinstance(item, CommandLine)), CommandLine())
        option = typer.Option(
            shown.flag or f"--{name.replace('_', '-')}",
            metavar="N" if field.annotation is int else "DEVICE" if name == "device" else None,
            help=field.description,
            min=next((item.ge for item in field.metadata if hasattr(item, "ge")), None),
            rich_help_panel=None if shown.section == "Options" else shown.section,
        )
        default = defaults.get(name, field.default)
        parameters.append(parameter(name, Annotated[field.annotation, option], default))
    return parameters


def set_up_console(as_json: bool, quiet: bool, log_format: console.LogFormat) -> None:
    console.settings.json, console.settings.quiet, console.settings.log_format = as_json, quiet, log_format


def start_processes(nproc: int, *, shard: bool) -> None:
    """With --nproc, start the same command in several processes and exit with their exit code.

    Raises:
        UserError: the options contradict the number of processes.
    """
    if nproc > 1 and ranks.size() > 1:
        raise UserError("--nproc: a launcher has already started several processes; omit --nproc")
    if nproc > 1:
        from unlearn_cli.cli.launch import launch, refuse_pipes

        refuse_pipes(sys.argv[1:])
        raise typer.Exit(launch(nproc, sys.argv[1:]))
    if shard and ranks.size() == 1:
        raise UserError("--shard: needs several processes; add --nproc N, or use torchrun")
    console.settings.speaks = ranks.is_first()


def finish(result: Result) -> None:
    """Print the result of a command and exit with its exit code."""
    document = json.dumps(result.document, sort_keys=True, allow_nan=False)
    console.result(document if console.settings.json else result.text)
    if result.exit_code:
        ranks.wait_for_first_end()
        raise typer.Exit(result.exit_code)
