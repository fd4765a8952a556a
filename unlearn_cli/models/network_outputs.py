"""Converts what a network returns to one tensor of logits (B, K), or of one number (B, 1) for a regression."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from unlearn_cli.errors import UserError, did_you_mean
from unlearn_cli.schema.literals import Task
from unlearn_cli.schema.network_sections import Model


@dataclass(frozen=True)
class OutputAdapter:
    """A forward hook. `section.output` selects one of several outputs, `section.outputs` says what it contains."""

    section: Model
    num_outputs: int
    task: Task

    def __call__(self, model: nn.Module, inputs: tuple[Tensor, ...], outputs: Any) -> Any:
        selected = select_output(outputs, self.section.output)
        if not isinstance(selected, Tensor):
            return selected
        selected = selected[:, None] if selected.dim() == 1 else selected
        single = self.task == "classification" and self.num_outputs == 2 and selected.shape[1:] == (1,)
        if self.section.outputs == "probabilities" and self.task == "multilabel":
            return to_label_logits(selected)
        if self.section.outputs == "probabilities":
            return to_log_probabilities(selected, single=single)
        return add_zero_logit(selected) if single else selected


def select_output(outputs: Any, name: str | int | None) -> Any:
    """Return one of several outputs: by its key, its attribute or its position; by default the `logits`.

    Raises:
        UserError: the network has no such output, or returns several, of which none is named.
    """
    if isinstance(outputs, Tensor):
        if name is not None and name != "logits":
            raise UserError(f"model.output: {name}: the network returns one tensor; omit it")
        return outputs
    choices = _list_outputs(outputs)
    wanted = "logits" if name is None and "logits" in choices else name
    if wanted in choices:
        return choices[wanted]
    listed = [str(choice) for choice in choices]
    if name is None:
        advice = f"set model.output to one of {', '.join(listed)}" if listed else "return a tensor"
        raise UserError(f"model: the network returns a {type(outputs).__name__}; {advice}")
    raise UserError(f"model.output: the network has no output '{name}'; {did_you_mean(str(name), listed)}")


def _list_outputs(outputs: Any) -> dict[str | int, Any]:
    """Return the outputs of a dict, a tuple, a list or an object by their names and positions."""
    if isinstance(outputs, Mapping):
        return {**dict(enumerate(outputs.values())), **outputs}
    fields = {name: getattr(outputs, name) for name in getattr(outputs, "_fields", ())}
    if isinstance(outputs, tuple | list):
        return {**dict(enumerate(outputs)), **fields}
    return {name: value for name, value in getattr(outputs, "__dict__", {}).items() if isinstance(value, Tensor)}


def add_zero_logit(logits: Tensor) -> Tensor:
    """Return two logits (B, 2) for one (B, 1): the softmax of (0, z) is (1 - sigmoid(z), sigmoid(z)).

    The logit is that of the second class. Cross-entropy of the two equals binary cross-entropy of the one.
    """
    return torch.cat([torch.zeros_like(logits), logits], dim=1)


def to_label_logits(probabilities: Tensor) -> Tensor:
    """Return the logits log p / (1 - p) of independent labels (B, K), as far from 0 and 1 as the numbers can express.

    A number that is not a probability becomes NaN.
    """
    limits = torch.finfo(probabilities.dtype)
    inside = (probabilities >= 0) & (probabilities <= 1)
    return torch.where(inside, probabilities.clamp(limits.tiny, 1 - limits.eps), torch.nan).logit()


def to_log_probabilities(probabilities: Tensor, *, single: bool) -> Tensor:
    """Return the logarithms, which are logits: softmax(log p) = p. A `single` one (B, 1) is that of the second class.

    A probability of 0 becomes the smallest positive number; a negative one becomes NaN.
    """
    if single:
        probabilities = torch.cat([1 - probabilities, probabilities], dim=1)
    smallest = torch.finfo(probabilities.dtype).tiny
    return torch.where(probabilities == 0, smallest, probabilities).log()
