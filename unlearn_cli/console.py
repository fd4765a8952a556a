"""All printing: the result goes to stdout, everything else to stderr.

Progress bars are drawn only on a terminal. In a pipe, a phase prints a line every 30 seconds and one at its end. With
`--log-format json` each line is a JSON object; with `github`, warnings and errors are workflow commands of GitHub.
"""

import json
import os
import shutil
import sys
import textwrap
import time
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, Protocol

LogFormat = Literal["text", "json", "github"]
SECONDS_BETWEEN_LINES = 30.0  # of a phase in a pipe


@dataclass
class Settings:
    """What this process prints. Set once by the command line; of several processes, only the first one prints."""

    json: bool = False
    quiet: bool = False
    log_format: LogFormat = "text"
    speaks: bool = True
    captured: bool = False
    warnings: set[str] | None = None  # those that have been printed; None: equal ones are printed again


settings = Settings()
MOST_COLUMNS = 120  # of wrapped text: longer lines are hard to read
# Control characters could clear a terminal or overwrite earlier lines. Format characters (bidirectional overrides,
# zero-width characters), line separators, surrogates and blank letters could make one name look like another.
HIDDEN_CATEGORIES = ("Cc", "Cf", "Cs", "Zl", "Zp")
BLANK_LETTERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0\ufffe\uffff")


class Bar(Protocol):
    def advance(self, steps: int = 1) -> None: ...


def visible(text: str) -> str:
    r"""Escape invisible characters, except line breaks and tabs, as Python does: U+202E becomes `\u202e`."""
    if text.isascii() and text.isprintable():
        return text
    hidden = {ord(letter): _escape(letter) for letter in set(text) if _is_hidden(letter)}
    return text.translate(hidden) if hidden else text


def escape_line(text: str) -> str:
    """Escape invisible characters, line breaks and tabs, so that a name cannot look like a message of the program."""
    return visible(text.translate({letter: _escape(chr(letter)) for letter in b"\n\t"}))


def _is_hidden(letter: str) -> bool:
    return letter not in "\n\t" and (unicodedata.category(letter) in HIDDEN_CATEGORIES or letter in BLANK_LETTERS)


def _escape(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")


def result(text: str) -> None:
    """Print the result of the command to stdout."""
    if settings.speaks and not settings.captured:
        print(visible(text), flush=True)


@contextmanager
def suppress_results() -> Iterator[None]:
    """Print no results, notes and tables inside: a command that runs other commands shows its own."""
    settings.captured = True
    try:
        yield
    finally:
        settings.captured = False


def say(message: str, **fields: Any) -> None:
    """Print a note of one line to stderr, unless `--quiet`."""
    if not settings.quiet and not settings.captured:
        _print_line("info", message, fields)


def show(text: str) -> None:
    """Print several lines, such as a table, to stderr, unless `--quiet`; cells of a table hold no line breaks."""
    if not settings.quiet and not settings.captured:
        _print("info", text, visible(text), {})


def warn(message: str, **fields: Any) -> None:
    """Print a warning to stderr, even with `--quiet`."""
    if settings.warnings is not None:
        if message in settings.warnings:
            return
        settings.warnings.add(message)
    _print_line("warning", message, fields)


@contextmanager
def print_warnings_once() -> Iterator[None]:
    """Print equal warnings inside only once: a command that tries the same data several times repeats them."""
    settings.warnings = set()
    try:
        yield
    finally:
        settings.warnings = None


def error(message: str, exit_code: int) -> None:
    """Print the error that ends the command."""
    _print_line("error", message, {"exit_code": exit_code})


def _print_line(level: str, message: str, fields: dict[str, Any]) -> None:
    text = escape_line(message)
    _print(level, message, text if level == "info" else _colour(f"{level}: ", level) + text, fields)


def _print(level: str, message: str, text: str, fields: dict[str, Any]) -> None:
    """Print `text`; with `--log-format json` an object with the message, which JSON escapes."""
    if not settings.speaks:
        return
    if settings.log_format == "json":
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        text = json.dumps({"time": now, "level": level, "message": message, **fields})
    elif settings.log_format == "github" and level != "info":
        text = f"::{level}::{_escape_annotation(escape_line(message))}"
    print(text, file=sys.stderr, flush=True)


def _escape_annotation(text: str) -> str:
    """Escape the characters that GitHub decodes in the message of a workflow command."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _colour(text: str, level: str) -> str:
    if not _is_terminal() or "NO_COLOR" in os.environ:
        return text
    return f"\033[{31 if level == 'error' else 33}m{text}\033[0m"


def _is_terminal() -> bool:
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


@contextmanager
def bar(
    label: str,
    total: int,
    done: int = 0,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Bar]:
    """Show the progress of a phase of `total` steps, of which `done` were finished earlier.

    On a terminal this is a bar; in a pipe, a line every `SECONDS_BETWEEN_LINES` and one at the end; with `--quiet`,
    nothing. `clock` returns seconds.
    """
    if settings.quiet or not settings.speaks:
        yield _Silent()
    elif settings.log_format != "json" and _is_terminal():
        with _show_rich_bar(label, total) as rich:
            rich.advance(done)
            yield rich
    else:
        start = clock()
        yield _ProgressLines(label, total, done, clock)
        say(f"{label}: {total} steps, {clock() - start:.1f} s", phase=label, steps=total)


class _Silent:
    def advance(self, steps: int = 1) -> None:
        pass


class _ProgressLines:
    """Prints a line about a phase every `SECONDS_BETWEEN_LINES`."""

    def __init__(self, label: str, total: int, done: int, clock: Callable[[], float]) -> None:
        self.label, self.total, self.clock = label, total, clock
        self.first = self.done = done
        self.start = self.last_line = clock()

    def advance(self, steps: int = 1) -> None:
        self.done += steps
        now = self.clock()
        if now - self.last_line < SECONDS_BETWEEN_LINES or self.done >= self.total:
            return
        self.last_line = now
        elapsed = now - self.start
        remaining = elapsed * (self.total - self.done) / max(1, self.done - self.first)
        say(
            f"{self.label}: step {self.done} of {self.total}, {format_time(elapsed)} elapsed, "
            f"about {format_time(remaining)} left",
            phase=self.label,
            step=self.done,
            steps=self.total,
            elapsed_seconds=round(elapsed, 1),
            remaining_seconds=round(remaining, 1),
        )


@contextmanager
def _show_rich_bar(label: str, total: int) -> Iterator[Bar]:
    from rich.console import Console  # imported only when a bar is drawn, because it takes 60 ms
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=settings.captured) as progress:
        task = progress.add_task(label, total=total)

        class RichBar:
            def advance(self, steps: int = 1) -> None:
                progress.advance(task, steps)

        yield RichBar()


def format_time(seconds: float) -> str:
    """Format a duration: '45 s', '3 min 5 s', '2 h 5 min'."""
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest} s"
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def columns() -> int:
    """Return the width for wrapped text: the terminal's (80 in a pipe), at least 50 and at most 120."""
    return max(50, min(shutil.get_terminal_size().columns, MOST_COLUMNS))


def format_two_columns(rows: Sequence[tuple[str, str]], name_width: int | None = None, indent: int = 2) -> list[str]:
    """Lay out names and texts in two columns; a name longer than `name_width` gets a separate line."""
    if name_width is None:
        name_width = max((len(name) for name, _ in rows), default=0)
    start = " " * (indent + name_width + 2)
    lines = []
    for name, text in rows:
        first, *others = textwrap.wrap(text, columns() - len(start), break_on_hyphens=False) or [""]
        if len(name) > name_width:
            lines += [" " * indent + name, start + first]
        else:
            lines.append(f"{' ' * indent}{name:<{name_width}}  {first}".rstrip())
        lines += [start + line for line in others]
    return lines


def table(title: str, header: list[str], rows: list[list[str]], *, labels: int = 1, width: int | None = None) -> str:
    """Lay out rows as text: the first column is aligned to the left, the others to the right.

    On a terminal, columns that do not fit are printed below, with the first `labels` columns repeated, and cells wider
    than the terminal are shortened. In a pipe, the table has its full width, unless `width` limits it.
    """
    cells = [[escape_line(cell) for cell in row] for row in (header, *rows)]
    limit = width or get_terminal_width()
    if limit is not None:
        cells = _shorten(cells, labels, limit)
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    parts = [_lay_out(cells, widths, part) for part in _split_columns(widths, labels, limit)]
    return "\n".join([*([title] if title else []), "\n\n".join(parts)])


def get_terminal_width() -> int | None:
    """Return the number of columns of the terminal; None if neither stdout nor stderr is a terminal."""
    for stream in (sys.stdout, sys.stderr):
        if stream.isatty():
            return shutil.get_terminal_size().columns
    return None


def _shorten(cells: list[list[str]], labels: int, limit: int) -> list[list[str]]:
    """Shorten cells where necessary, so that the labels and any other column fit next to each other."""
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    widest = min(max(widths[labels:], default=0), limit // 2)
    label_room = limit - widest - 2 * labels
    if sum(widths[:labels]) > label_room:
        widths[:labels] = [min(width, label_room // labels) for width in widths[:labels]]
    room = limit - sum(width + 2 for width in widths[:labels])
    limits = [width if column < labels else room for column, width in enumerate(widths)]
    return [[_cut(cell, cell_limit) for cell, cell_limit in zip(row, limits, strict=True)] for row in cells]


def _cut(cell: str, limit: int) -> str:
    return cell if len(cell) <= limit else f"{cell[: limit - 1]}…"


def _split_columns(widths: list[int], labels: int, limit: int | None) -> list[list[int]]:
    """Divide the columns among tables of at most `limit` characters; each table begins with the labels."""
    first = list(range(min(labels, len(widths))))
    parts = [list(first)]
    for column in range(len(first), len(widths)):
        width = sum(widths[number] + 2 for number in [*parts[-1], column]) - 2
        if limit is not None and width > limit and len(parts[-1]) > len(first):
            parts.append(list(first))
        parts[-1].append(column)
    return parts


def _lay_out(cells: list[list[str]], widths: list[int], part: list[int]) -> str:
    """Lay out some of the columns."""
    lines = ["  ".join(_pad(row[column], widths[column], column) for column in part).rstrip() for row in cells]
    rule = "-" * max(len(line) for line in lines)
    return "\n".join([lines[0], rule, *lines[1:]])


def _pad(cell: str, width: int, column: int) -> str:
    return cell.ljust(width) if column == 0 else cell.rjust(width)


def pluralize(n: int, singular: str, plural: str | None = None, *, grouped: bool = False) -> str:
    """Return a number with its noun (and verb) in singular or plural: '1 record', '2 records'; grouped: '2,000'."""
    return f"{n:{',' if grouped else ''}} {singular if n == 1 else plural or f'{singular}s'}"
