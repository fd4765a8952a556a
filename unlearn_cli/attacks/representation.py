"""Representation: how far the features of a forgotten class are from the references', block by block.

    distance(A, B) = 1 - CKA(A, B),  CKA = HSIC(A, B) / sqrt(HSIC(A, A) HSIC(B, B))      A, B: features (n, width)
    ratio = mean_k distance(network, reference k) / mean distance between references
    contrast = ratio on the forgotten classes / ratio on retained classes

Idea: outputs can be edited in one row of the last layer, features cannot. An original separates the records of a class
that it was trained on, a retrained network does not, so that their features of this class differ more than those of
two retrained networks. Another recipe changes the features of all classes; the contrast removes that.

Source: Kornblith et al. 2019, arXiv 1905.00414 (linear CKA), with the unbiased HSIC of Song et al. 2012. Needs two
references and test; whole classes. Warning: it is reported, and no gate uses it: CKA compares the geometry of features,
and networks can store the same knowledge in different geometries.
"""

from collections.abc import Callable, Iterable
from itertools import combinations
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import PositiveInt
from torch import nn

from unlearn_cli.data.batches import Batches
from unlearn_cli.plugins.types import Doc
from unlearn_cli.runtime.run import inference
from unlearn_cli.stats.findings import Findings
from unlearn_cli.stats.hsic import compute_cka
from unlearn_cli.stats.intervals import missing
from unlearn_cli.stats.results import Curve, Estimate

SUMMARY = "how far a forgotten class's features are from references'"
TIER = "standard"
ORDER = 8  # within the tier, cheapest first

MIN_REFERENCES, MIN_RECORDS = 2, 10
SIDE = 4  # feature maps are averaged to at most this size, so that they fit into memory
Grams = list[np.ndarray]  # per block: the matrix (n, n) of inner products of the features


def representation(
    model: nn.Module,
    reference_models: Iterable[nn.Module],
    test: Batches,
    forget_classes: list[int],
    seed: int,
    *,
    max_records: Annotated[PositiveInt, Doc("test records per side")] = 300,
    max_blocks: Annotated[PositiveInt, Doc("layers that are compared, evenly spaced, always with the last one")] = 8,
) -> Findings:
    """Return distance, floor and contrast of the last layer before the output, and the contrast of every block.

    The SD of the contrast is that over the references; the range of one more reference is about 1 +- 2 SD.
    """
    forgotten = np.isin(test.split.labels, forget_classes)
    random = np.random.default_rng(seed)
    sides = [
        test.take(np.sort(random.permutation(np.flatnonzero(mask))[:max_records])) for mask in (forgotten, ~forgotten)
    ]
    n = min(side.num_samples for side in sides)
    if n < MIN_RECORDS:
        return Findings({"contrast": missing(f"at least {MIN_RECORDS} test records per side are needed", n)})
    ours = [compute_grams(model, side, max_blocks) for side in sides]
    theirs = [[compute_grams(reference, side, max_blocks) for side in sides] for reference in reference_models]
    if len(theirs) < MIN_REFERENCES or not ours[0]:
        return Findings({"contrast": missing("it needs two references and a layer before the last one", n)})
    blocks = [_compare_block(ours, theirs, block) for block in range(len(ours[0]))]
    contrasts = [block["contrast"].value for block in blocks]
    return Findings(blocks[-1], curves=[Curve(phase="representation", name="contrast by block", values=contrasts)])


def _compare_block(ours: list[Grams], theirs: list[list[Grams]], block: int) -> dict[str, Estimate]:
    """Compare one block on both sides: forgotten and retained classes."""
    runs, n = len(theirs), len(ours[0][block])
    distances, floors = np.empty(2), np.empty((2, runs))
    for side in range(2):
        mine, others = ours[side][block], [reference[side][block] for reference in theirs]
        between = np.zeros((runs, runs))
        for first, second in combinations(range(runs), 2):
            between[first, second] = between[second, first] = 1 - compute_cka(others[first], others[second])
        distances[side] = np.mean([1 - compute_cka(mine, other) for other in others])
        floors[side] = between.sum(axis=1) / (runs - 1)
    if not (floors > 0).all() or distances[1] <= 0:
        return {"contrast": missing("the references do not differ", n)}
    of_references = floors[0] / floors[1]
    floor = float(of_references.mean())
    return {
        "distance": Estimate(value=float(distances[0]), n=n, runs=runs),
        "floor": Estimate(value=float(floors[0].mean()), n=n, runs=runs, sd=float(floors[0].std(ddof=1))),
        "contrast": Estimate(
            value=float(distances[0] / distances[1]) / floor,
            n=n,
            runs=runs,
            sd=float(of_references.std(ddof=1)) / floor,
        ),
    }


def compute_grams(model: nn.Module, batches: Batches, max_blocks: int) -> Grams:
    """Return the inner products of the centred features of each block, for the layers before the last one."""
    layers = [module for module in model.modules() if isinstance(module, nn.Linear | nn.modules.conv._ConvNd)][:-1]
    if len(layers) > max_blocks:
        layers = [layers[i] for i in np.linspace(0, len(layers) - 1, max_blocks).round().astype(int)]
    seen: list[list[torch.Tensor]] = [[] for _ in layers]
    handles = [layer.register_forward_hook(_make_hook(store)) for layer, store in zip(layers, seen, strict=True)]
    try:
        with inference():
            for x, _ in batches.sequential(256):
                model(x)
    finally:
        for handle in handles:
            handle.remove()
    features = [torch.cat(store) for store in seen]
    centred = [block - block.mean(dim=0) for block in features]
    return [(block @ block.T).numpy() for block in centred]


def _make_hook(store: list[torch.Tensor]) -> Callable[[nn.Module, Any, Any], None]:
    """Return a hook that stores a layer's output."""
    return lambda _, __, output: store.append(_shrink(output))


def _shrink(output: torch.Tensor) -> torch.Tensor:
    """Return features (B, width) on the CPU; feature maps are averaged to at most SIDE x SIDE positions."""
    if output.dim() == 4:
        height, width = (min(SIDE, length) for length in output.shape[2:])
        output = nn.functional.adaptive_avg_pool2d(output.float(), (height, width))
    return output.float().flatten(1).double().cpu()
