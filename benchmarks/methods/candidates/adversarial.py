"""AMUN: forgotten records are trained on together with their nearest adversarial examples, which have the wrong label.

    x'(x) = nearest point to x that the original classifies otherwise, by steps of PGD in the L2 ball of radius eps,
            which is doubled for records that are still classified as before; y' = the original's prediction for x'
    theta <- Adam steps on CE over retain, (x, y) and (x', y'), in the same batches

Source: AMUN (arXiv 2503.00917). Radii are in units of the stored values, as pixels from 0 to 1 for images.
"""

from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from unlearn_cli.data.batches import Batches
from unlearn_cli.data.mixed import mix
from unlearn_cli.learning.recipes import Recipe
from unlearn_cli.learning.training import lr_factor, set_learning_rate, set_training_mode
from unlearn_cli.plugins.types import Doc
from unlearn_cli.runtime.progress import track

DOUBLINGS = 10


def amun(
    model: nn.Module,
    original: nn.Module,
    forget: Batches,
    retain: Batches,
    recipe: Recipe,
    *,
    epochs: Annotated[PositiveInt, Doc("over retain")] = 6,
    lr: Annotated[PositiveFloat | None, Doc("highest rate of Adam; null: half of the original's")] = None,
    eps: Annotated[PositiveFloat, Doc("first radius")] = 0.04,
    attack_steps: Annotated[PositiveInt, Doc("steps of PGD per radius; the source takes 50")] = 20,
    forget_share: Annotated[PositiveFloat, Doc("share of forgotten records in a batch")] = 0.25,
    own_records: Annotated[bool, Doc("whether (x, y) is trained on, too")] = True,
) -> nn.Module:
    """Find the adversarial examples, then train."""
    x_wrong, y_wrong = attack(original, forget, eps, attack_steps)
    batches = mix(forget.relabelled(torch.arange(forget.num_samples)), retain, forget_share)
    rate = lr or recipe.lr / 2
    optimizer = torch.optim.Adam(model.parameters(), rate, fused=True)
    set_training_mode(model, "batch")
    steps = track(batches.steps(round(epochs * len(retain) / (1 - forget_share))), "adversarial", model, optimizer)
    for x, y, is_forget in steps:
        set_learning_rate(optimizer, rate * lr_factor("cosine", steps.share_done))
        chosen = y[is_forget].long()
        inputs, labels = [x[~is_forget], x_wrong[chosen]], [y[~is_forget], y_wrong[chosen]]
        if own_records:
            inputs, labels = [*inputs, x[is_forget]], [*labels, forget.targets[chosen]]
        loss = F.cross_entropy(model(torch.cat(inputs)), torch.cat(labels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        steps.log(loss=loss)
    return model


def attack(original: nn.Module, forget: Batches, eps: float, num_steps: int) -> tuple[Tensor, Tensor]:
    """Return the adversarial examples (n, *shape) and the original's predictions for them."""
    pairs = [attack_batch(original, x, y, forget, eps, num_steps) for x, y in forget.sequential(512)]
    x, y = (torch.cat(tensors) for tensors in zip(*pairs, strict=True))
    return x, y


def attack_batch(
    original: nn.Module, x: Tensor, y: Tensor, forget: Batches, eps: float, num_steps: int
) -> tuple[Tensor, Tensor]:
    found, predicted = x.clone(), original(x).argmax(dim=1)
    left = (predicted == y).nonzero()[:, 0]
    for _ in range(DOUBLINGS):
        if not len(left):
            break
        moved = pgd(original, x[left], y[left], forget, eps, num_steps)
        reached = original(moved).argmax(dim=1)
        flipped = reached != y[left]
        found[left[flipped]], predicted[left[flipped]] = moved[flipped], reached[flipped]
        left, eps = left[~flipped], 2 * eps
    return found, predicted


def pgd(original: nn.Module, x: Tensor, y: Tensor, forget: Batches, eps: float, num_steps: int) -> Tensor:
    """Return the records after steps of eps / 10 up the loss within the ball; images stay between 0 and 1."""
    scaling, moved = forget.scaling, x.clone()
    for _ in range(num_steps):
        moved.requires_grad_()
        (gradient,) = torch.autograd.grad(F.cross_entropy(original(moved), y, reduction="sum"), moved)
        gradient = gradient / scaling.std  # with respect to the stored values
        difference = (moved.detach() - x) * scaling.std + eps / 10 * gradient / norms(gradient).clamp(min=1e-12)
        difference = difference * (eps / norms(difference).clamp(min=1e-12)).clamp(max=1)
        moved = x + difference / scaling.std
        if x.dim() == 4:
            moved = moved.clamp(-scaling.mean / scaling.std, (1 - scaling.mean) / scaling.std)
    return moved.detach()


def norms(x: Tensor) -> Tensor:
    return x.flatten(1).norm(dim=1).reshape(-1, *[1] * (x.dim() - 1))
