"""Label inference: infers the forgotten class from the networks before and after unlearning, without any record.

Idea: for each class, gradient ascent generates inputs with a high confidence of the original; the class whose
confidence decreases most after unlearning is the forgotten one. Source: Hu et al. 2024, arXiv 2404.03233, section 5 (10
probes per class). Needs original and weights, no data; whole classes. Warning: it also succeeds against a retrained
network. So it does not measure forgetting, but what access to both versions reveals.
"""

from typing import Annotated

import numpy as np
import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from unlearn_cli.learning.training import take_step
from unlearn_cli.plugins.types import Doc
from unlearn_cli.runtime.progress import track
from unlearn_cli.runtime.seeds import Random
from unlearn_cli.stats.findings import Findings
from unlearn_cli.stats.intervals import mean
from unlearn_cli.stats.results import Estimate

SUMMARY = "infers the forgotten class without any record"
TIER = "standard"
ORDER = 7  # within the tier, cheapest first


def label_inference(
    model: nn.Module,
    original: nn.Module,
    forget_classes: list[int],
    num_classes: int,
    input_shape: tuple[int, ...],
    random: Random,
    *,
    probes: Annotated[PositiveInt, Doc("generated inputs per class")] = 10,
    steps: Annotated[PositiveInt, Doc("optimisation steps of the inputs")] = 50,
    lr: Annotated[PositiveFloat, Doc("learning rate of Adam on the inputs")] = 0.1,
) -> Findings:
    """Return the mean decrease of confidence on probes of forgotten and other classes, and the best rank (from 1)."""
    targets = torch.arange(num_classes).repeat_interleave(probes).to(random.device)
    x = confident_inputs(original, random.normal(len(targets), *input_shape), targets, steps, lr)
    falls = (_confidence(original, x, targets) - _confidence(model, x, targets)).reshape(num_classes, probes)
    means = falls.mean(axis=1)
    order = np.argsort(-means, kind="stable").tolist()
    others = np.setdiff1d(np.arange(num_classes), forget_classes)
    rank = 1 + min(order.index(number) for number in forget_classes)
    return Findings(
        {
            "fall_forgotten": mean(falls[forget_classes].ravel()),
            "fall_others": mean(falls[others].ravel()),
            "rank": Estimate(value=float(rank), n=num_classes),
        }
    )


def confident_inputs(model: nn.Module, x: Tensor, targets: Tensor, steps: int, lr: float) -> Tensor:
    """Optimise inputs with Adam so that the network predicts the target of each."""
    x = x.clone().requires_grad_(True)
    optimizer = torch.optim.Adam([x], lr, fused=True)
    model.eval()
    for _ in track(range(steps), "probes", optimizer, x):
        loss = nn.functional.cross_entropy(model(x).float(), targets)
        take_step(optimizer, loss)
    return x.detach()


@torch.no_grad()
def _confidence(model: nn.Module, x: Tensor, targets: Tensor) -> np.ndarray:
    model.eval()
    p = model(x).double().softmax(1)
    return p[torch.arange(len(targets), device=p.device), targets].cpu().numpy()
