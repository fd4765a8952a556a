"""Where the time of a run goes (`--profile`): a clock that is always in exactly one part.

Networks, optimizers and the iteration over batches say when a part begins. On a GPU the clock waits for the device at
each change, or the time would be counted where somebody waits; so a profiled run is a little slower.
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
    """Counts seconds a part; inside `only`, whatever happens belongs to that part."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds = dict.fromkeys(PARTS, 0.0)
        self.part, self.since, self.locked = "other", time.perf_counter(), False
        self.handles = [
            register_optimizer_step_pre_hook(self._before_step),
            register_optimizer_step_post_hook(self._after_step),
        ]

    def at(self, part: str) -> None:
        """Say that a part begins, and the one before it ends."""
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
        self.at(part)
        self.locked = True
        try:
            yield
        finally:
            self.locked = was_locked
            self.at(before)

    def watch(self, model: nn.Module) -> None:
        """Have a network say when it works forward and when gradients begin to flow back."""
        self.handles.append(model.register_forward_pre_hook(self._before_forward))
        self.handles.append(model.register_forward_hook(self._after_forward))

    def shares(self) -> dict[str, float]:
        """Return the share of each part in the time since the clock began."""
        self.at(self.part)
        total = sum(self.seconds.values())
        return {part: seconds / total for part, seconds in self.seconds.items()}

    def close(self) -> None:
        for handle in self.handles:
            handle.remove()

    def _before_forward(self, model: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self.at("forward")

    def _after_forward(self, model: nn.Module, inputs: tuple[Tensor, ...], outputs: Tensor) -> None:
        self.at("other")
        if outputs.requires_grad:
            outputs.register_hook(lambda _: self.at("backward"))

    def _before_step(self, optimizer: Optimizer, *_: object) -> None:
        self.at("optimizer")

    def _after_step(self, optimizer: Optimizer, *_: object) -> None:
        self.at("other")
