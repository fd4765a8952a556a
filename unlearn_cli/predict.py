"""One forward pass a split; every metric and every attack reads its result."""

import math

import numpy as np
import torch
from torch import nn

from unlearn_cli.data.batches import Batches
from unlearn_cli.errors import UserError
from unlearn_cli.outputs import Outputs, join
from unlearn_cli.report import Task

__all__ = ["Outputs", "join", "penultimate", "predict"]

MAX_BATCH, MAX_NUMBERS = 512, 2**24  # records, and numbers in them, that go through the network at once


@torch.inference_mode()
def predict(
    model: nn.Module, batches: Batches, task: Task, target_mean: float = 0.0, target_std: float = 1.0
) -> Outputs:
    """Run a network over a split in its own order, in eval mode and fp32, and leave the network as it was.

    Raises:
        UserError: an output is not finite, or there is not one output a class (one number, for a regression).
    """
    was_training = model.training
    model.eval()
    parts = [model(x).double().cpu().numpy() for x, _ in batches.sequential(_batch_size(batches))]
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


@torch.inference_mode()
def penultimate(model: nn.Module, batches: Batches) -> np.ndarray:
    """Return the features (n, width), float64, that enter the network's last linear layer, in the split's own order.

    Raises:
        UserError: the network has no linear layer.
    """
    heads = [module for module in model.modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    if not heads:
        raise UserError("the network has no linear layer: its penultimate features are not defined")
    seen: list[np.ndarray] = []
    handle = heads[-1].register_forward_pre_hook(lambda _, inputs: seen.append(_pooled(inputs[0])))
    was_training = model.training
    model.eval()
    try:
        for x, _ in batches.sequential(_batch_size(batches)):
            model(x)
    finally:
        handle.remove()
    model.train(was_training)
    return np.concatenate(seen)


def _pooled(features: torch.Tensor) -> np.ndarray:
    """Return features (B, width); maps (B, C, H, W), which enter a convolution, are averaged over their places."""
    flat = features if features.dim() == 2 else features.flatten(2).mean(2)
    return flat.double().cpu().numpy()


def _batch_size(batches: Batches) -> int:
    return max(1, min(MAX_BATCH, MAX_NUMBERS // math.prod(batches.shape)))
