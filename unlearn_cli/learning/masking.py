"""Targets without the lost classes: what the original predicts, with these classes taken out."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlearn_cli.data.batches import UnlabelledBatches

CHUNK = 512  # records per forward pass
MAX_STORED_NUMBERS = 1 << 27  # of the targets: half a GiB
TEMPERATURE = 3.0  # of retained records, as the default of the method masked: smaller outputs count, too


def mask_classes(forget_classes: list[int], num_classes: int, device: torch.device) -> Tensor:
    """Return the mask (K,) of the lost classes."""
    return torch.isin(torch.arange(num_classes, device=device), torch.tensor(forget_classes, device=device))


def masked_softmax(outputs: Tensor, lost: Tensor, temperature: Tensor | float = 1.0) -> Tensor:
    """Return softmax(outputs / T) over the classes that are not lost, (n, K); lost classes get exactly 0.

    The temperature is a number, or one per record (n,).
    """
    return (outputs.float() / _as_column(temperature)).masked_fill(lost, -torch.inf).softmax(dim=1)


def distillation_loss(outputs: Tensor, targets: Tensor, temperature: Tensor | float = 1.0) -> Tensor:
    """Return T^2 KL(targets || softmax(outputs / T)), summed over the classes, mean over the records.

    The factor T^2 keeps the gradients about as large as with T = 1 (Hinton et al., arXiv 1503.02531, section 2).
    """
    scale = _as_column(temperature)
    log_probabilities = F.log_softmax(outputs.float() / scale, dim=1)
    return (scale**2 * F.kl_div(log_probabilities, targets, reduction="none")).sum(dim=1).mean()


@dataclass(frozen=True)
class MaskedDistillation:
    """The loss of retained records against the original without the lost classes, a mask (K,)."""

    original: nn.Module
    lost: Tensor
    temperature: float = TEMPERATURE

    def __call__(self, outputs: Tensor, x: Tensor, _: Tensor) -> Tensor:
        """Return the loss of outputs (B, K) for inputs x (B, *shape); their labels are not read."""
        with torch.no_grad():
            targets = masked_softmax(self.original(x), self.lost, self.temperature)
        return distillation_loss(outputs, targets, self.temperature)


def _as_column(temperature: Tensor | float) -> Tensor | float:
    return temperature[:, None] if isinstance(temperature, Tensor) else temperature


def can_store(parts: list[UnlabelledBatches], num_steps: int) -> bool:
    """Whether computing the targets once per record is possible and cheaper than at every step.

    Not if augmentation changes a record each time it is read, if the steps read fewer records than there are, or if the
    targets need too much memory.
    """
    num_samples = sum(part.num_samples for part in parts)
    num_read = num_steps * parts[0].batches.batch_size
    has_room = num_samples * parts[0].batches.num_outputs <= MAX_STORED_NUMBERS
    return num_read >= num_samples and has_room and not any(part.augmented for part in parts)
