"""Rewind: return to the step at which forgotten records are predicted as well as never-seen ones.

    gap(step) = value on forget - value on held_out      (accuracy with the class mix of forget, or mean absolute error;
                                                          multilabel: accuracy of all labels together)
    theta <- the observed theta with the smallest |gap|; gaps within their standard error count as 0; of equal ones the
             latest; a state with outputs that are not finite is never taken

Idea: a method that goes on after the forgotten records are as hard as never-seen ones forgets too much, or, in a repair
phase, too little, which reveals them. The network is observed several times in a phase, and the best of these states is
kept.

Source: SCRUB+R (Kurmanji et al., arXiv 2302.09880), which keeps the states of all epochs and compares them with the
held-out error of the last one. Here each state is compared with its own held-out error, so only the best is stored.
The standard error is this project's: with few records, the smallest gap is that of a random state.
Warning: accuracy is only one property of forgotten records; their confidence may differ from that of never-seen ones.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from unlearn_cli.data.batches import Batches, is_multilabel
from unlearn_cli.learning.training import predict_outputs
from unlearn_cli.runtime.run import remark

CHUNK = 512  # records per forward pass
MOST_RECORDS = 2500  # of forget and of held_out, that an observation reads
OBSERVATIONS = 20  # in a phase


class Rewind:
    """Observes a network during a phase of `num_steps`, and restores the best observed state."""

    def __init__(self, model: nn.Module, forget: Batches, held_out: Batches, num_steps: int) -> None:
        self.model = model
        self.forget, self.held_out = (_take_sample(part) for part in (forget, held_out))
        self.weights = _weigh_like(self.held_out, self.forget)
        self.every = max(1, num_steps // OBSERVATIONS)
        self.gap, self.step = torch.tensor(torch.inf), torch.tensor(-1)
        self.best: dict[str, Tensor] = {}

    @property
    def state(self) -> "tuple[Rewind]":
        """What `track` saves."""
        return (self,)

    def observe(self, step: int) -> None:
        """Measure the network after this many steps, if it is time, and keep its state if it is the best so far."""
        if step % self.every == 0 and step > 0:
            self._compare(step)

    def restore(self, step: int) -> None:
        """Observe the last state, after `step` steps, and load the best one."""
        self._compare(step)
        if not self.best:  # no observed state was finite: the run ends with an error on these weights
            return
        self.model.load_state_dict(self.best)
        taken = int(self.step)
        remark(f"The state after step {taken} of {step} was taken: forgotten and held-out records differ least there.")

    def _compare(self, step: int) -> None:
        with keep_modes(self.model):
            gap, error = measure_gap(self.model, self.forget, self.held_out, self.weights)
        if not math.isfinite(gap):
            return
        gap = abs(gap) if abs(gap) > error else 0.0
        if gap <= self.gap:
            self.gap, self.step = torch.tensor(gap), torch.tensor(step)
            self.best = {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}

    def state_dict(self) -> dict[str, Any]:
        return {"gap": self.gap, "step": self.step, "best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.gap, self.step, self.best = state_dict["gap"], state_dict["step"], state_dict["best"]


class NoRewind:
    """Observes nothing: the last state is taken."""

    state: tuple[()] = ()

    def observe(self, step: int) -> None:
        pass

    def restore(self, step: int) -> None:
        pass


def make_rewind(
    model: nn.Module, forget: Batches | None, held_out: Batches | None, num_steps: int
) -> Rewind | NoRewind:
    """Return a rewind of a phase of `num_steps`; without held-out records or without a step, one that does nothing."""
    if forget is None or held_out is None or not num_steps:
        return NoRewind()
    return Rewind(model, forget, held_out, num_steps)


def are_all_lost(forget: Batches, retain: Batches) -> bool:
    """Return whether retain has no record of the forgotten classes; of a regression never.

    Of multilabel records: whether every forgotten record has a label that retain lacks.
    """
    if is_multilabel(forget):
        return bool((forget.targets[:, mask_lost_labels(forget, retain)] > 0).any(dim=1).all())
    is_regression = forget.targets.is_floating_point()
    return not is_regression and not bool(torch.isin(forget.targets, retain.targets).any())


def mask_lost_labels(forget: Batches, retain: Batches) -> Tensor:
    """Return the mask (K,) of the labels of multilabel records that occur in forget but not in retain."""
    return (forget.targets > 0).any(dim=0) & ~(retain.targets > 0).any(dim=0)


@contextmanager
def keep_modes(model: nn.Module) -> Iterator[None]:
    """Put every module back into train or eval mode, as it was before."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def measure_gap(model: nn.Module, forget: Batches, held_out: Batches, weights: Tensor) -> tuple[float, float]:
    """Return the mean on forget minus that on held_out with weights (m,) that sum to 1, and its standard error."""
    ours, others = measure_values(model, forget), measure_values(model, held_out)
    gap = ours.mean() - (others * weights).sum()
    variance = ours.var(correction=0) / len(ours) + (weights**2).sum() * others.var(correction=0)
    return float(gap), float(variance.sqrt())


def measure_values(model: nn.Module, batches: Batches) -> Tensor:
    """Return per record (n,) whether the prediction (of all labels) is right; for a regression, the absolute error.

    NaN where an output is not finite.
    """
    outputs = predict_outputs(model, (x for x, _ in batches.sequential(CHUNK)))
    if is_multilabel(batches):
        values = ((outputs > 0) == (batches.targets > 0)).all(dim=1).double()
    elif batches.targets.is_floating_point():
        values = (outputs[:, 0] - batches.targets).abs().double()
    else:
        values = (outputs.argmax(dim=1) == batches.targets).double()
    return values.where(outputs.isfinite().all(dim=1), torch.nan)


def _take_sample(batches: Batches) -> Batches:
    return batches.take(batches.permutation("rewind")[:MOST_RECORDS])


def _number_kinds(forget: Tensor, held_out: Tensor) -> tuple[Tensor, Tensor] | None:
    """Return the class numbers of both, or numbers of the sets of labels; None for a regression."""
    if not forget.is_floating_point():
        return forget, held_out
    if forget.dim() == 1:
        return None
    _, numbers = torch.cat([forget, held_out]).unique(dim=0, return_inverse=True)
    return numbers[: len(forget)], numbers[len(forget) :]


def _weigh_like(held_out: Batches, forget: Batches) -> Tensor:
    """Return weights (m,) that give held_out the class mix of forget, as far as it has these classes (label sets)."""
    kinds = _number_kinds(forget.targets, held_out.targets)
    if kinds is None:
        return torch.full_like(held_out.targets, 1 / held_out.num_samples, dtype=torch.float64)
    shares, counts = (of_part.bincount(minlength=int(torch.cat(kinds).max()) + 1).double() for of_part in kinds)
    weights = (shares / counts.clamp(min=1))[kinds[1]]
    if not weights.any():  # no held-out record of the forgotten classes
        return torch.full_like(weights, 1 / held_out.num_samples)
    return weights / weights.sum()
