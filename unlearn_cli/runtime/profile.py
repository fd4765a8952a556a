"""The profile of a run (`--profile`): a clock that counts all time to exactly one part.

Hooks of networks and optimizers and the iteration over batches start the parts. On a GPU the clock synchronises the
device at each change, because time would otherwise be counted in the part that waits; a profiled run is a bit slower.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim.optimizer import (
    Optimizer,
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

PARTS: tuple[str, ...] = ("data", "forward", "backward", "optimizer", "evaluation", "files", "other")


class Clock:
    """Counts the seconds per part. Inside `only`, all time belongs to that part."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds = dict.fromkeys(PARTS, 0.0)
        self.part, self.since, self.locked = "other", time.perf_counter(), False
        self.handles = [
            register_optimizer_step_pre_hook(self._before_step),
            register_optimizer_step_post_hook(self._after_step),
        ]

    def start_part(self, part: str) -> None:
        """Start a part, and end the one before."""
        if self.locked:
            return
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        now = time.perf_counter()
        self.seconds[self.part] += now - self.since
        self.part, self.since = part, now

    @contextmanager
    def only(self, part: str) -> Iterator[None]:
        """Inside, the clock stays in this part."""
        before, was_locked = self.part, self.locked
        self.start_part(part)
        self.locked = True
        try:
            yield
        finally:
            self.locked = was_locked
            self.start_part(before)

    def watch(self, model: nn.Module) -> None:
        """Register hooks that start a part when a network runs forward, and when gradients start to flow back."""
        self.handles.append(model.register_forward_pre_hook(self._before_forward))
        self.handles.append(model.register_forward_hook(self._after_forward))

    def shares(self) -> dict[str, float]:
        """Return the share of each part in the time since the clock started."""
        self.start_part(self.part)
        total = sum(self.seconds.values())
        return {part: seconds / total for part, seconds in self.seconds.items()}

    def close(self) -> None:
        for handle in self.handles:
            handle.remove()

    def _before_forward(self, model: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self.start_part("forward")

    def _after_forward(self, model: nn.Module, inputs: tuple[Tensor, ...], outputs: Tensor) -> None:
        self.start_part("other")
        if outputs.requires_grad:
            outputs.register_hook(lambda _: self.start_part("backward"))

    def _before_step(self, optimizer: Optimizer, *_: object) -> None:
        self.start_part("optimizer")

    def _after_step(self, optimizer: Optimizer, *_: object) -> None:
        self.start_part("other")
