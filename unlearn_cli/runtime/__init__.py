"""Device, precision, seeds, progress and resume: known here alone, so that methods stay textbook PyTorch."""

from unlearn_cli.runtime.processes import joined
from unlearn_cli.runtime.progress import Steps, track
from unlearn_cli.runtime.run import Run, count, current, found, full_precision, inference, note, show, start
from unlearn_cli.runtime.seeds import Random, generator

__all__ = [
    "Random", "Run", "Steps",
    "count", "current", "found", "full_precision", "generator", "inference", "joined", "note", "show", "start", "track",
]  # fmt: skip
