"""Model inversion: reconstruct a forgotten class from only the weights.

    minimise 1 - p_c(x) by projected gradient steps from the middle of the box of inputs; stop at p_c >= 0.99, or
    without an improvement for `patience` steps

Idea: an input that maximises the probability of a class shows what the network has learned about it. Source: Fredrikson
et al. 2015 (MI-Face); Chundawat et al., arXiv 2201.05629, section 5, show such pictures. Needs the original as an
independent judge; whole classes; the box is the range of the forgotten records' inputs. Warning: it describes classes,
not records. Compare with a network that was never trained on the class, because a network may accept noise as any
class. The pictures may show persons (`--pictures`).
"""

from typing import Annotated

import numpy as np
import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from unlearn_cli.data.batches import Batches
from unlearn_cli.plugins.types import Doc, Fraction
from unlearn_cli.runtime.progress import track
from unlearn_cli.runtime.run import show_samples
from unlearn_cli.stats.findings import Findings
from unlearn_cli.stats.intervals import mean

SUMMARY = "reconstruction of a forgotten class from the weights"


def inversion(
    model: nn.Module,
    original: nn.Module,
    forget: Batches,
    test: Batches,
    forget_classes: list[int],
    *,
    steps: Annotated[PositiveInt, Doc("gradient steps per class")] = 1000,
    lr: Annotated[PositiveFloat, Doc("length of a step")] = 0.1,
    patience: Annotated[PositiveInt, Doc("steps without improvement after which a class is finished")] = 100,
    stop: Annotated[Fraction, Doc("probability of the class at which it is finished")] = 0.99,
) -> Findings:
    """Return the reached confidence, the original's, and the similarity of the picture to the classes' mean images."""
    low, high, means = box_and_means(forget, test)
    pictures = torch.stack([invert(model, number, low, high, steps, lr, patience, stop) for number in forget_classes])
    show_samples("inversion", pictures[:, None], forget_classes)
    labels = torch.tensor(forget_classes, device=pictures.device)
    nearest = [distance_rank(picture, means, number) for picture, number in zip(pictures, forget_classes, strict=True)]
    alike = [
        float(np.corrcoef(picture.flatten().cpu(), means[number].flatten().cpu())[0, 1])
        for picture, number in zip(pictures, forget_classes, strict=True)
        if float(picture.std()) > 0
    ]
    return Findings(
        {
            "confidence": mean(confidence(model, pictures, labels)),
            "attack_accuracy": mean(confidence(original, pictures, labels)),
            "rank_of_the_class": mean(nearest),
            "correlation_with_its_mean": mean(alike),
        }
    )


def invert(
    model: nn.Module, target: int, low: Tensor, high: Tensor, steps: int, lr: float, patience: int, stop: float
) -> Tensor:
    """Return the best input (*shape): the start, or the input after one of the steps, the last one included."""
    x = ((low + high) / 2)[None].clone().requires_grad_(True)
    best, least, since = x.detach().clone(), np.inf, 0
    model.eval()
    for _ in track(range(steps), f"invert {target}"):
        if least <= 1 - stop or since > patience:
            continue  # finished: the remaining steps change nothing
        cost = 1 - model(x).float().softmax(1)[0, target]
        since += 1
        if float(cost.detach()) < least:
            best, least, since = x.detach().clone(), float(cost.detach()), 0
        (gradient,) = torch.autograd.grad(cost, x)
        length = gradient.norm()
        step = lr * gradient / length if float(length) > 0 else torch.zeros_like(gradient)
        x = torch.minimum(torch.maximum(x.detach() - step, low), high).requires_grad_(True)
    reached = torch.cat([best, x.detach()])
    return reached[confidence(model, reached, torch.tensor([target] * 2, device=x.device)).argmax()]


@torch.no_grad()
def confidence(model: nn.Module, x: Tensor, labels: Tensor) -> np.ndarray:
    """Return the probability of each input's class."""
    model.eval()
    return model(x).double().softmax(1)[torch.arange(len(labels)), labels].cpu().numpy()


def box_and_means(forget: Batches, test: Batches) -> tuple[Tensor, Tensor, dict[int, Tensor]]:
    """Return the range of forget's inputs per channel, and the mean input of each class of test."""
    parts = torch.cat([x for x, _ in forget.sequential(512)])
    axes = [axis for axis in range(parts.dim()) if axis != 1]
    shape = parts.shape[1:]
    low, high = (
        bound(parts, dim=axes).reshape(-1, *[1] * (len(shape) - 1)).expand(shape) for bound in (torch.amin, torch.amax)
    )
    x, y = (torch.cat(part) for part in zip(*test.sequential(512), strict=True))
    return low, high, {int(label): x[y == label].mean(0) for label in y.unique()}


def distance_rank(picture: Tensor, means: dict[int, Tensor], target: int) -> float:
    """Return the rank of the target among the classes by the distance of their mean inputs; 1 is the nearest."""
    distances = {number: float((picture - mean_input).norm()) for number, mean_input in means.items()}
    return 1.0 + sum(distance < distances[target] for distance in distances.values())
