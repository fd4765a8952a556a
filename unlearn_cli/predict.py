"""One forward pass a split; every metric and every attack reads its result."""

import math

import numpy as np
import torch
from torch import nn

from unlearn_cli.data.batches import Batches
from unlearn_cli.errors import UserError
from unlearn_cli.outputs import Outputs, join
from unlearn_cli.report import Task
from unlearn_cli.runtime import inference, joined

__all__ = ["Outputs", "join", "observe", "predict"]

MAX_BATCH, MAX_NUMBERS = 512, 2**24  # records, and numbers in them, that go through the network at once


def predict(
    model: nn.Module, batches: Batches, task: Task, target_mean: float = 0.0, target_std: float = 1.0
) -> Outputs:
    """Run a network over a split in its own order, in eval mode, and leave the network as it was.

    Raises:
        UserError: an output is not finite, or there is not one output a class (one number, for a regression).
    """
    batch_size = max(1, min(MAX_BATCH, MAX_NUMBERS // math.prod(batches.shape)))
    was_training = model.training
    model.eval()
    with inference():
        parts = [model(x).double().cpu().numpy() for x, _ in batches.sequential(batch_size)]
    model.train(was_training)
    values = np.concatenate(parts) if parts else np.zeros((0, batches.num_outputs))
    if values.shape[1:] != (batches.num_outputs,):
        expected = f"{batches.num_outputs} a record"
        raise UserError(f"the model returns outputs of shape {list(values.shape[1:])}; the manifest says {expected}")
    if not np.isfinite(values).all():
        raise UserError(
            f"the model returns NaN or infinite outputs on '{batches.split.name}'; check input.mean and input.std"
        )
    values = values[:, 0] * target_std + target_mean if task == "regression" else values
    return Outputs(values, batches.split.labels, task)


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
    return joined(flat).double().cpu().numpy()
