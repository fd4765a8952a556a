"""Reset weights that carry little about what stays, then fine-tune on retain.

    msg:   g = gradient of the loss on a sample of retain minus that on forget; in every layer but the last, the `share`
           of weights with the smallest |g| is drawn anew; these learn at the full rate, the others at a tenth
    ct:    every square convolution kernel is transposed
    no_t:  the weights of the first layer are multiplied by -1
    then epochs of the cross-entropy on retain

Sources: the second and the fifth of the NeurIPS 2023 challenge, `msg` and `ct`, as in Deep Unlearn (arXiv 2410.01276),
which tunes them against retrained networks; NoT (arXiv 2503.05657).
"""

from typing import Annotated

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from unlearn_cli.data.batches import Batches
from unlearn_cli.learning.recipes import Recipe
from unlearn_cli.learning.training import TaskLoss, lr_factor, make_optimizer, set_learning_rate, set_training_mode
from unlearn_cli.plugins.types import Doc, Fraction, Optimizer
from unlearn_cli.runtime.progress import track
from unlearn_cli.runtime.seeds import Random

SLOW = 0.1  # factor on the gradient of weights that were kept
Layer = nn.Linear | nn.Conv2d


def msg(
    model: nn.Module,
    forget: Batches,
    retain: Batches,
    task_loss: TaskLoss,
    recipe: Recipe,
    random: Random,
    *,
    share: Annotated[Fraction, Doc("of the weights of a layer that is drawn anew")] = 0.3,
    epochs: Annotated[PositiveInt, Doc("over retain")] = 6,
    lr: Annotated[PositiveFloat | None, Doc("highest rate; null: the original's")] = None,
    optimizer: Annotated[Optimizer, Doc("")] = "adam",
) -> nn.Module:
    """Draw the weights with the smallest difference of gradients anew, then fine-tune."""
    some = retain.take(retain.permutation("msg")[: forget.num_samples])
    gradients = [sum_gradients(model, part, task_loss) for part in (some, forget)]
    kept: dict[Tensor, Tensor] = {}
    for layer in list_layers(model)[:-1]:
        size = (gradients[0][layer.weight] - gradients[1][layer.weight]).abs()
        small = size <= size.flatten().kthvalue(max(1, round(share * size.numel()))).values
        kept[layer.weight] = ~small
        replace(layer, small, random)
    finetune(model, retain, task_loss, epochs, lr or recipe.lr, optimizer, kept)
    return model


def ct(
    model: nn.Module,
    retain: Batches,
    task_loss: TaskLoss,
    recipe: Recipe,
    *,
    epochs: Annotated[PositiveInt, Doc("over retain")] = 6,
    lr: Annotated[PositiveFloat | None, Doc("highest rate; null: the original's")] = None,
    optimizer: Annotated[Optimizer, Doc("")] = "adam",
) -> nn.Module:
    """Transpose every square kernel, then fine-tune."""
    with torch.no_grad():
        for layer in list_layers(model):
            if isinstance(layer, nn.Conv2d) and layer.kernel_size[0] == layer.kernel_size[1]:
                layer.weight.copy_(layer.weight.mT.clone())
    finetune(model, retain, task_loss, epochs, lr or recipe.lr, optimizer, {})
    return model


def no_t(
    model: nn.Module,
    retain: Batches,
    task_loss: TaskLoss,
    recipe: Recipe,
    *,
    epochs: Annotated[PositiveInt, Doc("over retain")] = 6,
    lr: Annotated[PositiveFloat | None, Doc("highest rate; null: the original's")] = None,
    optimizer: Annotated[Optimizer, Doc("")] = "adam",
) -> nn.Module:
    """Negate the first layer, then fine-tune."""
    with torch.no_grad():
        list_layers(model)[0].weight.mul_(-1)
    finetune(model, retain, task_loss, epochs, lr or recipe.lr, optimizer, {})
    return model


def list_layers(model: nn.Module) -> list[Layer]:
    return [module for module in model.modules() if isinstance(module, Layer)]


def sum_gradients(model: nn.Module, batches: Batches, task_loss: TaskLoss) -> dict[Tensor, Tensor]:
    """Return the sum over batches of the gradient of the mean loss, in eval mode."""
    model.eval()
    model.zero_grad()
    for x, y in batches.sequential(batches.batch_size):
        task_loss(model(x), y).backward()
    gradients: dict[Tensor, Tensor] = {p: p.grad.clone() for p in model.parameters() if p.grad is not None}
    model.zero_grad()
    return gradients


@torch.no_grad()
def replace(layer: Layer, chosen: Tensor, random: Random) -> None:
    """Draw the chosen weights from N(0, 2 / fan_out) (convolutions) or N(0, 2 / fan_in) (linear layers)."""
    shape = layer.weight.shape
    fan = shape[0] * shape[2:].numel() if isinstance(layer, nn.Conv2d) else shape[1]
    layer.weight.copy_(torch.where(chosen, random.normal(*shape) * (2 / fan) ** 0.5, layer.weight))


def finetune(
    model: nn.Module,
    retain: Batches,
    task_loss: TaskLoss,
    epochs: int,
    lr: float,
    optimizer: Optimizer,
    kept: dict[Tensor, Tensor],
) -> None:
    """Train on retain with a one-cycle rate; kept weights move by a tenth."""
    stepper = make_optimizer(model, optimizer, lr, momentum=0.9)
    set_training_mode(model, "batch")
    steps = track(retain.epochs(epochs), "finetune", model, stepper)
    for x, y in steps:
        set_learning_rate(stepper, lr * lr_factor("one_cycle", steps.share_done))
        loss = task_loss(model(x), y)
        stepper.zero_grad()
        loss.backward()
        before = {weight: weight.detach().clone() for weight in kept}
        stepper.step()
        with torch.no_grad():
            for weight, mask in kept.items():
                slow = before[weight] + SLOW * (weight - before[weight])
                weight.copy_(torch.where(mask, slow, weight))
        steps.log(loss=loss)
