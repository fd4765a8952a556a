"""Predicts the outputs of a network on a split, from which all metrics and attacks are computed."""

import math

import numpy as np
import torch
from torch import nn

from unlearn_cli.data.batches import Batches
from unlearn_cli.errors import UserError
from unlearn_cli.learning.head import find_head, pool_features
from unlearn_cli.runtime.run import inference
from unlearn_cli.schema.literals import Task
from unlearn_cli.stats.outputs import Outputs, join

__all__ = ["Outputs", "join", "observe", "predict"]

MAX_BATCH, MAX_NUMBERS = 512, 2**24  # records per batch, and numbers in them
SUM_TOLERANCE = 5e-3  # how far the sum of softmax outputs in bf16 may lie from 1
EQUAL = 1e-5  # outputs with a smaller difference count as equal
FEWEST = 4  # records: the logits of fewer could sum to 1 by chance


def predict(
    model: nn.Module,
    batches: Batches,
    task: Task,
    target_mean: float = 0.0,
    target_std: float = 1.0,
    into: np.ndarray | None = None,
) -> Outputs:
    """Predict a split in its own order, in eval mode; restores the network's mode.

    The outputs are written `into` an array of the shape of `allocate_outputs` (which may be part of a larger one), or
    into a new one.

    Raises:
        UserError: an output is not finite, the number of outputs is not the number of classes (1 for a regression), or
            those of a classification are probabilities instead of logits.
    """
    batch_size = max(1, min(MAX_BATCH, MAX_NUMBERS // math.prod(batches.shape)))
    values = allocate_outputs(batches.num_samples, batches.num_outputs, task) if into is None else into
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


def allocate_outputs(num_records: int, num_outputs: int, task: Task) -> np.ndarray:
    """Allocate an array for the outputs of `num_records` records: (n, K), or (n,) for a regression."""
    return np.empty(num_records if task == "regression" else (num_records, num_outputs))


def _check(outputs: np.ndarray, batches: Batches) -> None:
    if outputs.shape[1:] != (batches.num_outputs,):
        expected = f"{batches.num_outputs} per record"
        raise UserError(
            f"the model returns outputs of shape {list(outputs.shape[1:])}; the manifest expects {expected}"
        )
    if not np.isfinite(outputs).all():
        raise UserError(
            f"the model returns NaN or infinite outputs on '{batches.split.name}'; check input.mean and input.std"
        )


PROBABILITIES = (
    "the model returns probabilities (the outputs of every record are at least 0 and sum to 1), but logits are "
    "expected; remove the softmax at the end of the model, or set model.outputs: probabilities"
)


def are_probabilities(values: np.ndarray) -> bool:
    """Return whether outputs (n, K) look like those of a softmax: at least 0, with sum 1 for every record.

    The biases of a constant network may have such values. Constant outputs therefore count only if all are 1 / K,
    which is the softmax of zeros.
    """
    n, num_outputs = values.shape
    if num_outputs < 2 or n < FEWEST or values.min() < 0 or np.abs(values.sum(axis=1) - 1).max() > SUM_TOLERANCE:
        return False
    constant = np.ptp(values, axis=0).max() <= EQUAL
    return not constant or bool(np.abs(values - 1 / num_outputs).max() <= EQUAL)


def observe(
    model: nn.Module, batches: Batches, task: Task, target_mean: float = 0.0, target_std: float = 1.0
) -> tuple[Outputs, np.ndarray | None]:
    """Return the outputs, and the features (n, width), float64, that enter the last linear or convolutional layer.

    One forward pass computes both. The features are None if the network has no such layer.
    """
    head = find_head(model)
    seen: list[np.ndarray] = []
    handles = [head[1].register_forward_pre_hook(lambda _, inputs: seen.append(_to_numpy(inputs[0])))] if head else []
    try:
        outputs = predict(model, batches, task, target_mean, target_std)
    finally:
        for handle in handles:
            handle.remove()
    return outputs, np.concatenate(seen) if seen else None


def _to_numpy(features: torch.Tensor) -> np.ndarray:
    return pool_features(features).double().cpu().numpy()
