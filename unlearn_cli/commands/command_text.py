"""The command line of a run for its report: as a user would type it, without absolute paths."""

import shlex
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

from unlearn_cli import ranks
from unlearn_cli.plugins.run_options import CommandLine, RunOptions, SettingSources
from unlearn_cli.schema.public_text import shorten_path

OPTIONS = {"references": "reference", "metrics": "metric", "attacks": "attack", "start": "from"}  # field -> option
POSITIONAL = "checkpoint"
OMITTED = {"dry_run", "overwrite", "junit", "summary", "log_to", "cache"}  # they do not change the results


def format_command_line(command: str, options: Any, run_options: RunOptions) -> str:
    """Return the command line of a command with these arguments; options with default values are left out.

    `options` is the command's dataclass, such as `UnlearnOptions`.
    """
    words = ["unlearn-cli", command]
    for field in sorted(fields(options), key=lambda field: field.name != POSITIONAL):
        value = getattr(options, field.name)
        if field.name not in OMITTED and value != field.default:
            words += _list_words(field.name, value)
    words += [word for name in RunOptions.model_fields for word in _list_run_words(name, run_options)]
    words += ["--nproc", str(ranks.size())] if ranks.size() > 1 else []
    return " ".join(map(_quote, words))


def _list_words(name: str, value: Any) -> Iterator[str]:
    """Yield the option of one field with its value; sequences repeat the option."""
    if isinstance(value, SettingSources):
        yield from _list_words("config", value.config) if value.config else ()
        yield from (word for assignment in value.assignments for word in _list_words("set", assignment))
    elif isinstance(value, tuple):
        yield from (word for item in value for word in _list_words(name, item))
    elif isinstance(value, bool):
        yield f"--{name}" if value else f"--no-{name}"
    elif name == POSITIONAL:
        yield shorten_path(str(value))
    else:
        yield from (f"--{OPTIONS.get(name, name).replace('_', '-')}", _shorten(value))


def _list_run_words(name: str, run_options: RunOptions) -> list[str]:
    """Return the option of one shared field, if it is an option of the command line and differs from the default."""
    field, value = RunOptions.model_fields[name], getattr(run_options, name)
    if not field.description or name in OMITTED or value == field.default:
        return []
    shared = next((item for item in field.metadata if isinstance(item, CommandLine)), CommandLine())
    flag = shared.flag or f"--{name.replace('_', '-')}"
    return [flag] if value is True else [flag, str(value)]


def _shorten(value: Any) -> str:
    """Shorten a path, also as the value of a setting."""
    name, equals, text = str(value).partition("=")
    if isinstance(value, Path) or not equals:
        return shorten_path(str(value))
    return f"{name}={shorten_path(text)}"


def _quote(word: str) -> str:
    """Quote a word for a shell, but not only because of the ellipsis of a shortened path."""
    return word if shlex.quote(word.replace("…", "")) == word.replace("…", "") else shlex.quote(word)
