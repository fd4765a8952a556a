"""The options that all commands share, and settings as a command line gives them."""

from dataclasses import dataclass, field
from pathlib import Path

from unlearn_cli.schema.literals import Half


@dataclass(frozen=True)
class RunOptions:
    """How a command runs: device, seed, what it may replace, and the like."""

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
    pages: bool = True  # write report.html beside report.json
    selection_key: bytes | None = field(default=None, repr=False)  # of a batch's ledger; keys digests of what to forget


@dataclass(frozen=True)
class SettingSources:
    """Where the settings of a plug-in come from: a file, then `name=value` after `name=value`."""

    config: Path | None = None
    assignments: tuple[str, ...] = ()
