"""The options of `unlearn-cli inspect`, which every kind of input receives."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class InspectOptions:
    """The path to describe, whether long tables are shown in full, and for data the columns or array of labels.

    `libraries` are optional ones whose networks are compared with a checkpoint.
    """

    path: Path
    all: bool = False
    labels: Sequence[str] = ()
    libraries: Sequence[str] = ()
    allow_code: bool = False  # the user's own code in a manifest
