"""Converts a report to the result of a command."""

from pathlib import Path
from typing import TYPE_CHECKING

from unlearn_cli.commands.result import Result
from unlearn_cli.reporting import tables

if TYPE_CHECKING:
    from unlearn_cli.reporting.report import Report

EXIT_CODES = {"failed": 3, "inconclusive": 4}


def to_result(report: "Report", text: str, folder: Path | None = None) -> Result:
    """Convert a report to the command's result: exit code 3 for a failed gate, 4 for an undecided one."""
    code = EXIT_CODES.get(report.verdict or "", 0)
    if code:
        tables.warn_about_gates(report)
    return Result(text, report.model_dump(mode="json"), code, folder)
