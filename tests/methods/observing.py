"""What a method shows to whoever watches its networks: inputs, modes and targets of each training step."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class TrainingStep:
    """One training step: the inputs x (B, *shape) and the target distributions (B, K) of its loss."""

    x: Tensor
    targets: Tensor

    @property
    def labels(self) -> Tensor:
        return self.targets.argmax(dim=1)


def watch_targets(model: nn.Module) -> list[TrainingStep]:
    """Return a list that grows by one with every training step on a cross entropy or a KL divergence.

    The gradient of either, averaged over a batch of B, at the outputs is (softmax(outputs) - targets) / B.
    """
    steps: list[TrainingStep] = []

    def on_forward(module: nn.Module, inputs: tuple[Tensor, ...], outputs: Tensor) -> None:
        if not outputs.requires_grad:
            return
        x, probabilities = inputs[0].detach().clone(), outputs.detach().softmax(dim=1)
        # The hook returns None, which leaves the gradient as it is.
        outputs.register_hook(lambda gradient: steps.append(TrainingStep(x, probabilities - len(x) * gradient)))

    model.register_forward_hook(on_forward)
    return steps


def watch_starts(model: nn.Module, phases: list[str], phase: str) -> list[dict[str, Tensor]]:
    """Return a list that grows by the model's state at the first training step of each `phase` of a run."""
    starts: list[dict[str, Tensor]] = []
    seen = 0

    def before_forward(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        nonlocal seen
        if module.training and torch.is_grad_enabled() and len(phases) > seen:
            seen = len(phases)
            if phases[-1] == phase:
                starts.append({name: tensor.detach().clone() for name, tensor in module.state_dict().items()})

    model.register_forward_pre_hook(before_forward)
    return starts
