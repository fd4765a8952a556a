"""One forward pass a split; every metric and every attack reads its result."""

import math

import numpy as np
import torch
from torch import nn

from unlearn_cli.data.batches import Batches
from unlearn_cli.errors import UserError
from unlearn_cli.runtime.processes import gather_output
from unlearn_cli.runtime.run import inference
from unlearn_cli.schema.literals import Task
from unlearn_cli.stats.outputs import Outputs, join

__all__ = ["Outputs", "join", "observe", "predict"]

MAX_BATCH, MAX_NUMBERS = 512, 2**24  # records, and numbers in them, that go through the network at once
SUM_TOLERANCE, EQUAL = 5e-3, 1e-5  # softmax outputs in bf16 sum to 1 so nearly; a smaller difference is none
FEWEST = 4  # records: the logits of fewer could sum to 1 by chance


def predict(
    model: nn.Module,
    batches: Batches,
    task: Task,
    target_mean: float = 0.0,
    target_std: float = 1.0,
    into: np.ndarray | None = None,
) -> Outputs:
    """Run a network over a split in its own order, in eval mode, and leave the network as it was.

    The outputs are written `into` an array as `room_for` makes it, part of a larger one perhaps, or into a new one.

    Raises:
        UserError: an output is not finite, there is not one output a class (one number, for a regression), or the
            outputs are probabilities instead of logits.
    """
    batch_size = max(1, min(MAX_BATCH, MAX_NUMBERS // math.prod(batches.shape)))
    values = room_for(batches.num_samples, batches.num_outputs, task) if into is None else into
    first, was_training = 0, model.training
    model.eval()
    with inference():
        for x, _ in batches.sequential(batch_size):
            outputs = model(x).double().cpu().numpy()
            _check(outputs, batches)
            if task == "classification" and are_probabilities(outputs):
                raise UserError(PROBABILITIES)
            some = values[first : first + len(outputs)]
            some[:] = outputs[:, 0] * target_std + target_mean if task == "regression" else outputs
            first += len(outputs)
    model.train(was_training)
    return Outputs(values, batches.split.labels, task, batches.split.groups)


def room_for(num_records: int, num_outputs: int, task: Task) -> np.ndarray:
    """Return an array for the outputs of so many records: (n, K), or (n,) for a regression."""
    return np.empty(num_records if task == "regression" else (num_records, num_outputs))


def _check(outputs: np.ndarray, batches: Batches) -> None:
    if outputs.shape[1:] != (batches.num_outputs,):
        expected = f"{batches.num_outputs} a record"
        raise UserError(f"the model returns outputs of shape {list(outputs.shape[1:])}; the manifest says {expected}")
    if not np.isfinite(outputs).all():
        raise UserError(
            f"the model returns NaN or infinite outputs on '{batches.split.name}'; check input.mean and input.std"
        )


PROBABILITIES = (
    "the model returns probabilities (the outputs of every record are at least 0 and sum to 1), but logits are expected"
    "; remove the softmax at the end of the model"
)


def are_probabilities(values: np.ndarray) -> bool:
    """Say whether outputs (n, K) are those of a softmax: at least 0, with sum 1 for every record.

    A constant network may put out such numbers by its biases; equal outputs count only if all are 1 / K, which are
    those of a softmax over zeros.
    """
    n, num_outputs = values.shape
    if num_outputs < 2 or n < FEWEST or values.min() < 0 or np.abs(values.sum(axis=1) - 1).max() > SUM_TOLERANCE:
        return False
    constant = np.ptp(values, axis=0).max() <= EQUAL
    return not constant or bool(np.abs(values - 1 / num_outputs).max() <= EQUAL)


def observe(
    model: nn.Module, batches: Batches, task: Task, target_mean: float = 0.0, target_std: float = 1.0
) -> tuple[Outputs, np.ndarray | None]:
    """Predict, and return with the outputs the features (n, width), float64, that enter the last linear layer.

    One forward pass gives both. None stands for a network without a linear layer, whose features are not defined.
    """
    heads = [module for module in model.modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    seen: list[np.ndarray] = []
    handles = [head.register_forward_pre_hook(lambda _, inputs: seen.append(_pooled(inputs[0]))) for head in heads[-1:]]
    try:
        outputs = predict(model, batches, task, target_mean, target_std)
    finally:
        for handle in handles:
            handle.remove()
    return outputs, np.concatenate(seen) if seen else None


def _pooled(features: torch.Tensor) -> np.ndarray:
    """Return features (B, width); maps (B, C, H, W), which enter a convolution, are averaged over their places."""
    flat = features if features.dim() == 2 else features.flatten(2).mean(2)
    return gather_output(flat).double().cpu().numpy()
