"""The options of `unlearn-cli inspect`, which every kind of input receives."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class InspectOptions:
    """What to describe, and whether long tables are shown in full."""

    path: Path
    all: bool = False
