"""The result of a command: text for a person, a document for a program, and the exit code."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Result:
    """The result that a command returns to the command line."""

    text: str  # for a person
    document: dict[str, object]  # for a program
    exit_code: int = 0
    folder: Path | None = None
