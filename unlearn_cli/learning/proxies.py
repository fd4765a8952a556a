"""The share of proxies that a network recognises: samples that stand in for the records of forgotten classes."""

import torch
from torch import Tensor, nn

from unlearn_cli.learning.noise import CHUNK
from unlearn_cli.learning.training import predict_outputs


def still_recognised(
    model: nn.Module, proxies: Tensor, labels: Tensor, forget_classes: list[int], probability: float
) -> float:
    """Return the largest share, over the classes, of proxies whose class has more than this probability.

    A class without proxies counts as recognised, because nothing shows that it is forgotten.
    """
    if not all((labels == number).any() for number in forget_classes):
        return 1.0
    probabilities = predict_outputs(model, proxies.split(CHUNK)).softmax(dim=1)
    recognised = probabilities[torch.arange(len(labels), device=labels.device), labels] > probability
    return max(float(recognised[labels == label].float().mean()) for label in labels.unique())
