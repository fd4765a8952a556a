"""The text of a report on the terminal: the sentences, one table, and where the other numbers are."""

import re
import textwrap
from collections.abc import Sequence
from pathlib import Path

from unlearn_cli.console import columns, visible
from unlearn_cli.reporting.fitted_table import format_fitted_table
from unlearn_cli.reporting.report import Report
from unlearn_cli.reporting.sentences import list_sentences
from unlearn_cli.reporting.tables import collect_gates, collect_metrics, collect_results, explain_mark

INTERVAL = re.compile(r"(\[[^\s\[\]]+,) ([^\s\[\]]+\])")  # '[0.0, 0.8]'
INDENT, NO_BREAK_SPACE = "  ", "\u00a0"


def format_report(document: Report, out: Path | None = None, *, metrics: Sequence[str] = (), pages: bool = True) -> str:
    """Return the text of a report; `metrics` are those that the user asked for, `out` is the folder of its files."""
    parts = [format_answers(document), format_main_table(document, metrics), describe_files(out, pages=pages)]
    return "\n\n".join(filter(None, parts))


def format_answers(document: Report) -> str:
    """Return each question with its answer below it, wrapped to the width of the terminal."""
    return "\n".join(
        f"{sentence.question}\n{wrap_text(sentence.text, columns(), INDENT)}" for sentence in list_sentences(document)
    )


def wrap_text(text: str, width: int, indent: str = "") -> str:
    """Wrap a sentence; a number and its percent sign stay on one line, and so do the bounds of an interval."""
    joined = INTERVAL.sub(rf"\1{NO_BREAK_SPACE}\2", visible(text).replace(" %", f"{NO_BREAK_SPACE}%"))
    wrapped = textwrap.fill(joined, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)
    return wrapped.replace(NO_BREAK_SPACE, " ")


def format_main_table(document: Report, metrics: Sequence[str] = ()) -> str:
    """Return the table that matters most: the gates of an attack, the results of attacks by name, or the metrics."""
    table = collect_metrics(document, metrics)
    if document.command == "attack":
        table = collect_gates(document) if document.gates else collect_results(document)
    if not table.rows:
        return ""
    lines = [format_fitted_table(table.header, table.rows, labels=table.labels)]
    note = explain_mark(document) if document.command == "attack" else explain_half(document)
    return "\n".join([*lines, *([wrap_text(note, columns())] if note else [])])


def explain_half(document: Report) -> str:
    """Return which half of test the numbers are of, if they are not of all of it."""
    if document.manifest.half == "all" or "test" not in document.manifest.splits:
        return ""
    return f"Numbers on test are of its {document.manifest.half} half."


def describe_files(out: Path | None, *, pages: bool = True) -> str:
    """Return where all numbers are."""
    if out is None:
        return "All numbers: --json; with --out DIR also as report.html."
    return f"All numbers: {out / ('report.html' if pages else 'report.json')}"
