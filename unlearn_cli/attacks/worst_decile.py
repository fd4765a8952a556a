"""Worst decile: the records on which this network is farthest from retrained references.

    d_i = |s_i - mean_k s_i(k)|        s: phi; of a regression the prediction
    the mean of the largest tenth of all d_i

Idea: an average can hide a few records on which much remains or too much was removed. The largest tenth of any numbers
is above their average, so the same number is given for each reference left out, compared with the others
(`forget_floor`), and for never-seen records (`holdout`, `holdout_floor`): a network trained by another recipe is
farther from the references on both sides, a trace of the forgotten records is on forget only.

Source: this project; the worst tenth as in Hayes et al. 2024, arXiv 2403.01218. Needs one reference; with one, nothing
is known about the differences between references. Warning: only the comparison of the four numbers has a meaning, never
the value of one of them, so no gate uses it.
"""

import numpy as np

from unlearn_cli.stats.findings import Findings
from unlearn_cli.stats.intervals import missing
from unlearn_cli.stats.lira_findings import WORST_SHARE
from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.stats.quantiles import describe_distribution, tail_mean
from unlearn_cli.stats.results import Distribution, Estimate
from unlearn_cli.stats.signals import phi

SUMMARY = "distance from references on the worst tenth of the records"
TASK = ("classification", "regression", "multilabel")
TIER = "standard"
ORDER = 2  # within the tier, cheapest first

ONE_REFERENCE = "the difference between references is unknown: there is only one"


def worst_decile(
    forget_outputs: Outputs,
    holdout_outputs: Outputs,
    reference_forget_outputs: list[Outputs],
    reference_holdout_outputs: list[Outputs],
) -> Findings:
    """Return the worst tenth on forget and on the hold-out, each with the same number of left-out references.

    This network is compared with as many references as each left-out one: with every set of K - 1 of them, averaged.
    """
    quantities: dict[str, Estimate] = {}
    distributions: list[Distribution] = []
    sides = {
        "forget": (forget_outputs, reference_forget_outputs),
        "holdout": (holdout_outputs, reference_holdout_outputs),
    }
    for name, (outputs, of_references) in sides.items():
        references = np.stack([phi(reference) for reference in of_references])
        ours, theirs = measure_distances(phi(outputs), references)
        quantities[name] = tail_mean(ours, WORST_SHARE, outputs.groups)
        quantities[f"{name}_floor"] = summarize_left_out(theirs, len(outputs))
        distributions += describe_distribution("distance", name, np.mean(ours, axis=0))
        if theirs and len(outputs):
            distributions += describe_distribution("distance", f"{name}, left-out references", np.concatenate(theirs))
    return Findings(quantities, distributions=distributions)


def measure_distances(candidate: np.ndarray, references: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return the distances (n,) of the candidate and of each left-out reference from the mean of the others.

    candidate (n,), references (K, n); with one reference, nothing is left out, and the second list is empty.
    """
    if len(references) == 1:
        return [np.abs(candidate - references[0])], []
    centres = [np.delete(references, k, axis=0).mean(axis=0) for k in range(len(references))]
    ours = [np.abs(candidate - centre) for centre in centres]
    return ours, [np.abs(reference - centre) for reference, centre in zip(references, centres, strict=True)]


def summarize_left_out(distances: list[np.ndarray], n: int) -> Estimate:
    """Return mean and SD over the left-out references."""
    if not distances or n == 0:
        return missing("no records" if n == 0 else ONE_REFERENCE, n)
    tails = [tail_mean([of_reference], WORST_SHARE).value or 0.0 for of_reference in distances]
    return Estimate(value=float(np.mean(tails)), n=n, sd=float(np.std(tails, ddof=1)), runs=len(tails))
