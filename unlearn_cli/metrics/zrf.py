"""Zero retrain forgetting score: similarity of the outputs on forget to those of random networks.

    ZRF = 1 - mean_x JS(softmax(z(x)), softmax(z_random(x))),   JS in bits, averaged over random networks

Source: Chundawat et al., arXiv 2205.08096, section 4 (JS as in the paper; its code computes something else). Needs
networks with new random weights, no reference. Warning: 1 means outputs like those of a random network, which a
retrained network does not have: a value above the reference's is too high. ZRF does not distinguish an original from a
retrained network either (0.551 and 0.554 in our measurements), so no built-in gate uses it.
"""

import math
from typing import Annotated, Literal

import numpy as np

from unlearn_cli.plugins.types import Doc
from unlearn_cli.stats.divergences import js, published_js
from unlearn_cli.stats.intervals import mean, missing
from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.stats.results import Estimate

SUMMARY = "similarity to networks with random weights on forget"
TASK = "classification"
DEFAULT = False  # computed only on request


def zrf(
    outputs: Outputs,
    random_outputs: list[Outputs],
    *,
    variant: Annotated[
        Literal["true", "authors"], Doc("the true Jensen-Shannon divergence, or the formula of the authors' code")
    ] = "true",
) -> Estimate:
    """Return ZRF with a t interval over the records; `sd` and `runs` are over the random networks.

    `authors` is the formula of the published code, errors included: for comparison with published tables only.
    """
    if not len(outputs):
        return missing("no records")
    if variant == "authors":
        return _published(outputs, random_outputs)
    distances = np.array([js(outputs.values, other.values) for other in random_outputs])  # (networks, n)
    estimate = mean(1 - distances.mean(axis=0), groups=outputs.groups)
    if estimate.value is None:
        return estimate
    of_networks = 1 - distances.mean(axis=1)
    sd = float(of_networks.std(ddof=1)) if len(of_networks) > 1 else None
    return estimate.model_copy(update={"sd": sd, "runs": len(of_networks)})


def _published(outputs: Outputs, random_outputs: list[Outputs]) -> Estimate:
    values = np.array([1 - published_js(outputs.values, other.values) for other in random_outputs])
    if not np.isfinite(values).all():
        return missing("the published formula is infinite here: an output underflows", len(outputs))
    sd = float(values.std(ddof=1)) if len(values) > 1 else None
    value = float(math.fsum(values) / len(values))
    return Estimate(value=value, n=len(outputs), sd=sd, runs=len(values))
