"""What a command hands back: text for a person, a document for a program, and how it went."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from unlearn_cli.reporting import tables

if TYPE_CHECKING:
    from unlearn_cli.reporting.report import Report


@dataclass(frozen=True)
class Result:
    """What a command hands back to the command line."""

    text: str  # for a person
    document: dict[str, object]  # for a program
    exit_code: int = 0
    folder: Path | None = None


def to_result(document: "Report", text: str, folder: Path | None = None) -> Result:
    """Turn a report into the command's result; a failed gate is exit code 3, an undecided one 4."""
    code = {"failed": 3, "inconclusive": 4}.get(document.verdict or "", 0)
    if code:
        tables.warn_of_gates(document)
    return Result(text, document.model_dump(mode="json"), code, folder)
