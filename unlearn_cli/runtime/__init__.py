"""Device, precision, seeds, progress and resume: known here alone, so that methods stay textbook PyTorch."""

from unlearn_cli.runtime.processes import inference, joined
from unlearn_cli.runtime.progress import Steps, track
from unlearn_cli.runtime.run import Run, count, current, found, full_precision, note, show, start
from unlearn_cli.runtime.seeds import Random, generator

__all__ = [
    "Random", "Run", "Steps",
    "count", "current", "found", "full_precision", "generator", "inference", "joined", "note", "show", "start", "track",
]  # fmt: skip
