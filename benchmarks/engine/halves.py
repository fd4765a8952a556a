"""What several processes do to the sums of a batch, done by one: its halves go through a network one after the other.

The gradients of the halves are added up as two processes add up theirs, so what is left between this and two processes
is not of the processes' making. Batch norm in batch mode would count each batch twice; it is not for that.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn

from unlearn_cli.learning.attention import Recording
from unlearn_cli.runtime.processes import MIN_RECORDS
from unlearn_cli.runtime.run import Run

PROCESSES = 2


@contextmanager
def in_halves(wanted: bool) -> Iterator[None]:
    """Inside, if wanted, networks that a run places divide their batches as those of two processes do."""
    if not wanted:
        yield
        return
    place, take = Run.to_device, Recording.take

    def placed(run: Run, model: nn.Module, **settings: Any) -> nn.Module:
        model = place(run, model, **settings)
        if not settings.get("whole"):
            model.forward = Halves(model.forward)
        return model

    def whole_batches(recording: Recording) -> list[Tensor]:
        found = take(recording)
        return [torch.cat(pair) for pair in zip(*_halved(found), strict=True)] if Halves.divided else found

    with patch.object(Run, "place", placed), patch.object(Recording, "take", whole_batches):
        yield


def _halved(activations: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """Return those of the first half of the batch and those of the second: the layers come in one order in both."""
    middle = len(activations) // 2
    return activations[:middle], activations[middle:]


class Halves:
    """A forward function that is called with one half of the batch after the other, where two processes divide it."""

    divided = False  # was the last batch?

    def __init__(self, forward: Any) -> None:
        self.forward = forward

    def __call__(self, x: Tensor) -> Tensor:
        largest = -(-len(x) // PROCESSES)
        Halves.divided = len(x) - largest >= MIN_RECORDS
        return torch.cat([self.forward(half) for half in x.split(largest)]) if Halves.divided else self.forward(x)
