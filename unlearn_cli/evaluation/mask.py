"""The control `mask`: the original with nothing changed but the rows of the forgotten classes in its last layer.

    w_c = 0,  b_c = level_c + mean over the class's records of logsumexp_{k != c} z_k

Idea: whoever edits one row hides a class without any unlearning, because the outputs of this network can be made like
those of retraining: it never predicts the class, and the mean margin of its records, the level, is that of the
references. A gate that this control passes cannot show more than such an edit. The features of all earlier layers are
the original's.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from scipy.special import logsumexp
from torch import Tensor, nn

from unlearn_cli.checkpoints.checkpoint import Checkpoint, tensor_digest
from unlearn_cli.evaluation.checkpoint_outputs import CheckpointOutputs
from unlearn_cli.learning.head import find_head
from unlearn_cli.models.saved_names import name_tensors
from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.stats.signals import phi

ROLE = "mask"
ROUNDS = 50  # of the levels of several classes, each of which depends on the others


def add_mask(checkpoints: CheckpointOutputs) -> str | None:
    """Add the control to the checkpoints of an attack; return the reason if it cannot be made.

    Without whole classes, the original and a reference, there is no such control.
    """
    forget_classes = checkpoints.session.opened.dataset.forget_classes
    if forget_classes is None or "original" not in checkpoints.weights or not checkpoints.references():
        return None
    edited = make_mask(checkpoints, forget_classes)
    if isinstance(edited, str):
        return f"There is no control '{ROLE}', an edit of one row of the last layer: {edited}."
    checkpoints.weights[ROLE] = edited
    return None


def make_mask(checkpoints: CheckpointOutputs, forget_classes: list[int]) -> Checkpoint | str:
    """Return the edited original, or the reason why its last layer cannot be edited.

    The references give the levels; the checkpoints must include the original and at least one reference.
    """
    original, outputs = checkpoints.weights["original"], checkpoints.outputs("original")["forget"]
    network = checkpoints.session.build()
    head = find_head(network)
    if head is None:
        return "the network has no linear or convolutional layer"
    layer = head[1]
    name = name_tensors(network, [layer.weight])[0].removesuffix(".weight")
    weight, bias = original.tensors.get(f"{name}.weight"), original.tensors.get(f"{name}.bias")
    if weight is None or len(weight) != outputs.values.shape[1]:
        return f"its last layer '{name}' does not have one row per class"
    if bias is None and isinstance(layer, nn.Conv2d) and layer.kernel_size != (1, 1):
        return f"its last layer '{name}' has no bias"
    references = [checkpoints.outputs(role)["forget"] for role in checkpoints.references()]
    constants = compute_constants(outputs, references, forget_classes)
    features = checkpoints.features("original")["forget"]
    edited = weight.clone(), None if bias is None else bias.clone()
    for number, constant in constants.items():
        mean_features = features[outputs.labels == number].mean(axis=0)
        _edit_row(*edited, number, constant, mean_features)
    tensors = {
        f"{name}.{kind}": tensor for kind, tensor in zip(("weight", "bias"), edited, strict=True) if tensor is not None
    }
    tensors = {**original.tensors, **tensors}
    return replace(original, path=Path(ROLE), tensors=tensors, metadata={}, tensor_digest=tensor_digest(tensors))


def _edit_row(weight: Tensor, bias: Tensor | None, number: int, constant: float, mean_features: np.ndarray) -> None:
    """Set the output of a class to a constant, or without a bias, to this mean over the records of the features."""
    row = weight[number]
    if bias is not None:
        row.zero_()
        bias[number] = constant
        return
    direction = constant * mean_features / float(mean_features @ mean_features)
    row.copy_(torch.from_numpy(direction).to(row.dtype).reshape(row.shape))


def compute_constants(outputs: Outputs, references: list[Outputs], forget_classes: list[int]) -> dict[int, float]:
    """Return the constant output of each forgotten class at which its records' mean margin is that of the references.

    With several classes, each constant depends on the others, so they are computed in rounds.
    """
    rows = {number: outputs.labels == number for number in forget_classes if (outputs.labels == number).any()}
    levels = {number: np.mean([phi(theirs)[mask].mean() for theirs in references]) for number, mask in rows.items()}
    values = outputs.values.copy()  # (n, K)
    for _ in range(ROUNDS if len(rows) > 1 else 1):
        for number, mask in rows.items():
            others = np.delete(values[mask], number, axis=1)
            values[:, number] = levels[number] + float(np.mean(logsumexp(others, axis=1)))
    return {number: float(values[0, number]) for number in rows}
