"""One straight-line program a command. What they share is in `session` (models and data) and `reporting`."""

from dataclasses import dataclass, field
from pathlib import Path

from unlearn_cli.report import Half


@dataclass(frozen=True)
class Common:
    """The options that all commands have."""

    device: str = "auto"
    precision: str = "auto"
    seed: int = 0
    batch_size: int = 128
    memory_budget: int = 2048  # MiB
    allow_code: bool = False
    overwrite: bool = False
    force: bool = False
    forget_duplicates: bool = False
    half: Half = "all"  # of the hold-out
    shard: bool = False  # weights over the processes
    compiled: bool = False
    profile: bool = False
    selection_key: bytes | None = field(default=None, repr=False)  # of a batch's ledger; keys digests of what to forget


@dataclass(frozen=True)
class Result:
    """What a command hands back to the command line: text for a person, a document for a program, and how it went."""

    text: str
    document: dict[str, object]
    exit_code: int = 0
    folder: Path | None = None


@dataclass(frozen=True)
class Chosen:
    """Settings as the command line gives them: a file, then `name=value` after `name=value`."""

    config: Path | None = None
    assignments: tuple[str, ...] = ()
