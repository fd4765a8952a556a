"""Converts a report to the result of a command, and passes it on: to the summary of a CI job, and to trackers."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from unlearn_cli import ranks
from unlearn_cli.commands.result import Result
from unlearn_cli.reporting import tables
from unlearn_cli.storage.appended_file import append_text, check_appendable

if TYPE_CHECKING:
    from unlearn_cli.reporting.report import Report

EXIT_CODES = {"failed": 3, "inconclusive": 4}


def to_result(report: "Report", text: str, folder: Path | None = None) -> Result:
    """Convert a report to the command's result: exit code 3 for a failed gate, 4 for an undecided one."""
    code = EXIT_CODES.get(report.verdict or "", 0)
    if code:
        tables.warn_about_gates(report)
    return Result(text, report.model_dump(mode="json"), code, folder)


def check_summary(path: Path | None) -> None:
    """Refuse a --summary that cannot be appended to, before any work."""
    if path is not None and ranks.is_first():
        check_appendable(path, "--summary")


def append_summary(report: "Report", path: Path | None) -> None:
    """Append the Markdown summary of a report to the file of --summary, if it is given."""
    if path is not None and ranks.is_first():
        from unlearn_cli.reporting.markdown import format_summary  # SciPy

        append_text(path, format_summary(report))


def check_destinations(texts: Sequence[str]) -> None:
    """Check the values of --log-to, before any work."""
    if texts:
        from unlearn_cli.reporting.trackers.destination import parse_destinations

        parse_destinations(texts)


def export_report(report: "Report", texts: Sequence[str]) -> None:
    """Export the numbers of a report to the trackers of --log-to."""
    if texts and ranks.is_first():
        from unlearn_cli.reporting.trackers.destination import export, parse_destinations

        export(report, parse_destinations(texts))
