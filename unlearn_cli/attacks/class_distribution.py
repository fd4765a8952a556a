"""Class distribution: the probabilities of a forgotten class over the retained ones, compared with the references'.

    S(x) = mean_k TV(p(x), q_-k(x)),  T_k(x) = TV(q_k(x), q_-k(x)),  TV(p, q) = 1/2 sum_c |p_c - q_c|
    ratio = S(forgotten class) / mean_k T_k(forgotten class);  contrast = ratio / the same ratio on retained classes

p and q_k are the softmax of this network and of reference k over the retained classes only, q_-k is the mean of the
other references.

Idea: a network that never saw a class distributes its records over the retained classes by their resemblance. Random
labels or a random teacher replace this by another distribution, which identifies the records of the forgotten class.
The floor is the distance of one reference from the others. Another training recipe than the references' (more epochs)
increases the distance on all classes, so only the contrast with the retained classes is judged. The level, the margin
of the lost output compared with the references', is only reported: an edit of one row of the last layer sets it.

Source: this project. Needs two references, better four to eight, and test; whole classes. Warning: the distribution of
an original over the retained classes is often already near the references', so this does not detect a class that the
network still recognises.
"""

import numpy as np

from unlearn_cli.stats.class_distributions import contrast_distances, measure_distances
from unlearn_cli.stats.findings import Findings
from unlearn_cli.stats.intervals import mean, missing
from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.stats.results import Estimate
from unlearn_cli.stats.signals import phi

SUMMARY = "how a forgotten class is distributed over the others"
TIER = "standard"
ORDER = 3  # within the tier, cheapest first

MIN_REFERENCES, MIN_RECORDS = 2, 10


def class_distribution(
    split_outputs: dict[str, Outputs], reference_test_outputs: list[Outputs], forget_classes: list[int]
) -> Findings:
    """Return the distance, its floor among the references, the contrast, and the level of the lost output.

    Quantities: `total_variation` and `floor` are means over test records of the forgotten classes; `contrast` is the
    judged ratio; `level` is the mean difference of phi from the references' mean, in units of phi, and `level_retained`
    the same on retained classes.
    """
    test, count = split_outputs["test"], len(reference_test_outputs)
    forgotten = np.isin(test.labels, forget_classes)
    retained = np.setdiff1d(np.arange(test.values.shape[1]), forget_classes)
    if count < MIN_REFERENCES:
        return Findings({"contrast": missing(f"at least {MIN_REFERENCES} references are needed, not {count}", count)})
    if min(forgotten.sum(), (~forgotten).sum()) < MIN_RECORDS or len(retained) < 2:
        needed = f"at least {MIN_RECORDS} test records per side and two retained classes are needed"
        return Findings({"contrast": missing(needed, len(test))})
    sides = [
        measure_distances(test.take(mask), [outputs.take(mask) for outputs in reference_test_outputs], retained)
        for mask in (forgotten, ~forgotten)
    ]
    contrast = contrast_distances(*sides)
    floor = mean(sides[0].floors.mean(axis=0), at_least=0.0, groups=sides[0].groups)
    return Findings(
        {
            "total_variation": mean(sides[0].ours, at_least=0.0, groups=sides[0].groups),
            "floor": floor.model_copy(update={"runs": count, "sd": float(sides[0].floors.mean(axis=1).std(ddof=1))}),
            "contrast": contrast.estimate() if contrast else missing("the networks do not differ", len(test)),
            "level": _measure_level(test, reference_test_outputs, forgotten),
            "level_retained": _measure_level(test, reference_test_outputs, ~forgotten),
        }
    )


def _measure_level(outputs: Outputs, references: list[Outputs], mask: np.ndarray) -> Estimate:
    """Return the mean difference of phi from the references' mean, with the SD of the references' levels."""
    levels = np.stack([phi(reference.take(mask)) for reference in references])  # (K, n)
    part = outputs.take(mask)
    estimate = mean(phi(part) - levels.mean(axis=0), groups=part.groups)
    return estimate.model_copy(update={"sd": float(levels.mean(axis=1).std(ddof=1)), "runs": len(references)})
