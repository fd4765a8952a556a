"""The layout of help pages: sections of names and texts in two columns, then examples.

Typer's boxes use 60 columns for names and types, and leave a third of an 80-column terminal for the text.
"""

import os
import re
import sys
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from typer.core import TyperCommand, TyperGroup

from unlearn_cli.console import columns, format_two_columns
from unlearn_cli.plugins import discovery

NAME_COLUMNS = 25  # a longer name gets a separate line
NAME_LISTS = ("Commands", "Methods", "Metrics", "Attacks")  # sections whose first column is as wide as its names
HEADING, NAME = "1", "36"  # bold; cyan

Rows = Sequence[tuple[str, str]]


def is_coloured() -> bool:
    """Return whether stdout, to which help is printed, supports colours."""
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def style(text: str, code: str) -> str:
    return f"\033[{code}m{text}\033[0m" if is_coloured() else text


def format_section(title: str, rows: Rows, name_width: int | None) -> str:
    """Lay out names and texts in two columns under a heading; without `name_width`, the longest name decides."""
    lines = format_two_columns(rows, name_width)
    if is_coloured():
        starts = tuple(f"  {name}" for name, _ in rows)
        lines = [_style_name(line, starts) for line in lines]
    return "\n".join([style(f"{title}:", HEADING), *lines])


def _style_name(line: str, starts: tuple[str, ...]) -> str:
    """Colour the name that a line starts with."""
    start = max((start for start in starts if line.startswith(start)), key=len, default="")
    return f"  {style(start.strip(), NAME)}{line[len(start) :]}" if start else line


def format_examples(commands: Iterable[str]) -> str:
    """Format command lines; a long one continues on the next line after a backslash."""
    lines = [style("Examples:", HEADING)]
    for command in commands:
        line = " "
        for words in re.split(" (?=-)", command):  # an option stays with its value
            if len(line) + len(words) > columns() - 3:
                lines.append(f"{line} \\")
                line = "     "
            line += f" {words}"
        lines.append(line)
    return "\n".join(lines)


def format_page(command: Any, context: Any, sections: dict[str, Rows], examples: Sequence[str]) -> str:
    """Format the help page of a command: usage, description, sections, examples."""
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)]).translate({123: "", 125: ""})
    paragraphs = [textwrap.fill(" ".join(part.split()), columns()) for part in (command.help or "").split("\n\n")]
    shared = [name for title, rows in sections.items() if title not in NAME_LISTS for name, _ in rows]
    name_width = min(max(map(len, shared)), NAME_COLUMNS)
    return "\n\n".join(
        [
            f"{style('Usage:', HEADING)} {usage}",
            *filter(None, paragraphs),
            *(
                format_section(title, rows, None if title in NAME_LISTS else name_width)
                for title, rows in sections.items()
            ),
            *([format_examples(examples)] if examples else []),
        ]
    )


def group_parameters(command: Any, context: Any) -> dict[str, Rows]:
    """Return the arguments and options of a command by section."""
    sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None:
            default = "Arguments" if parameter.param_type_name == "argument" else "Options"
            section = getattr(parameter, "rich_help_panel", None) or default
            name = parameter.metavar or parameter.name if default == "Arguments" else record[0]
            sections.setdefault(section, []).append((name, replace_ranges(record[1].replace("  [", " ["))))
    return {title: rows for title, rows in sections.items() if rows}


def replace_ranges(text: str) -> str:
    """Replace the notation of ranges by words."""
    text = re.sub(r"([\d.]+)<=x<=([\d.]+)", r"\1 to \2", text)
    return text.replace("x>=", "at least ")


class Command(TyperCommand):
    """A command whose help page ends with the names of its kind of plug-ins, if any, and with examples."""

    examples: Sequence[str] = ()
    kind: str | None = None

    def format_help(self, ctx: Any, formatter: Any) -> None:
        sections = group_parameters(self, ctx)
        if self.kind:
            sections[self.kind.title()] = list(discovery.summaries(self.kind).items())
        formatter.write(format_page(self, ctx, sections, self.examples))


class CommandGroup(TyperGroup):
    """A group of commands; its help page lists them."""

    examples: Sequence[str] = ()

    def format_help(self, ctx: Any, formatter: Any) -> None:
        commands = [(name, command) for name in self.list_commands(ctx) if (command := self.get_command(ctx, name))]
        rows = [(name, (command.help or "").partition("\n\n")[0]) for name, command in commands if not command.hidden]
        sections = {"Commands": rows, **group_parameters(self, ctx)}
        formatter.write(format_page(self, ctx, sections, self.examples))
