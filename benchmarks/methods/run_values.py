"""The numbers of one network of a task, by name; a reference is compared with the other references.

Accuracies, drops and gaps are in per cent or points, errors in the label's unit. A number that a task or a set of
references does not allow is missing.
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from benchmarks.methods import measures
from benchmarks.methods.networks import Network
from benchmarks.methods.tasks import Kind

FEWEST_RECORDS = 10  # forgotten, for an AUC
Values = dict[str, float]


def measure(
    network: Network, original: Network, references: Sequence[Network], kind: Kind, lost: Sequence[int] = ()
) -> Values:
    """Return all numbers that the kind of task has; `lost` are the forgotten classes."""
    others = [other for other in references if other.folder != network.folder]
    values = measure_splits(network) | measure_cost(network, references)
    values["drop"] = measure_drop(values, measure_splits(original), kind)
    if not others:
        return values
    if kind == "regression":
        return values | measure_regression(network, others)
    values |= measure_closeness(network, others)
    if kind == "classes":
        return values | measure_classes(network, others, lost)
    return values | measure_records(network, others) | measure_movement(network, original, references)


def measure_splits(network: Network) -> Values:
    """Return accuracy or error by split; `test` has only records like the retained ones, where the others are known."""
    values = {}
    for name in ("forget", "test_forget", "retain", "test"):
        outputs = network.outputs.get("test_retain" if name == "test" else name) or network.outputs.get(name)
        if outputs is not None and len(outputs):
            score = measures.accuracy if outputs.task == "classification" else measures.mean_error
            values[name] = score(outputs.values, outputs.labels)
    return values


def measure_drop(values: Values, original: Values, kind: Kind) -> float:
    """Return points of test accuracy, or per cent of the test error, that were lost against the original."""
    return 100 * (values["test"] / original["test"] - 1) if kind == "regression" else original["test"] - values["test"]


def measure_cost(network: Network, references: Sequence[Network]) -> Values:
    """Return seconds, samples, epochs over retain, and samples backward as per cent of a reference's."""
    values = {
        "seconds": network.seconds,
        "forward": float(network.forward),
        "backward": float(network.backward),
    }
    if "retain" in network.outputs:
        values["epochs"] = network.backward / len(network.outputs["retain"])
    expected = float(np.mean([other.backward for other in references])) if references else 0.0
    return values | ({"share": 100 * network.backward / expected} if expected else {})


def measure_closeness(network: Network, references: Sequence[Network]) -> Values:
    """Return ToW, the gap of the accuracy on forget, and its limit: 2 sd of the references, at least 1.5 points."""
    names = ("forget", "retain", "test")
    subject, others = measure_splits(network), [measure_splits(other) for other in references]
    forget = [other["forget"] for other in others]
    spread = 2 * float(np.std(forget, ddof=1)) if len(forget) > 1 else 0.0
    return {
        "tow": measures.tug_of_war({name: subject[name] for name in names}, others),
        "gap": subject["forget"] - float(np.mean(forget)),
        "gap_limit": max(1.5, spread),
    }


def measure_classes(network: Network, references: Sequence[Network], lost: Sequence[int]) -> Values:
    """Return the total variation over the other classes by its floor, the level, and relearning by the references'."""
    values = {"level": mean_margin(network) - float(np.mean([mean_margin(other) for other in references]))}
    steps = [other.steps for other in references if other.steps]
    if network.steps is not None and steps:
        values["relearn"] = network.steps / float(np.mean(steps))
    if len(references) > 1:
        ours, theirs = distribute_lost(network, lost), [distribute_lost(other, lost) for other in references]
        left_out = [theirs[:k] + theirs[k + 1 :] for k in range(len(theirs))]
        floor = np.mean([measures.distance_to_mean(p, rest) for p, rest in zip(theirs, left_out, strict=True)])
        values["tv"] = float(np.mean([measures.distance_to_mean(ours, rest) for rest in left_out]) / floor)
    return values


def distribute_lost(network: Network, lost: Sequence[int]) -> np.ndarray:
    return measures.distribute(network.outputs["test_forget"].values, lost)


def mean_margin(network: Network) -> float:
    return float(margins_of(network, "forget").mean())


def margins_of(network: Network, split: str) -> np.ndarray:
    outputs = network.outputs[split]
    return measures.margins(outputs.values, outputs.labels)


def measure_records(network: Network, references: Sequence[Network]) -> Values:
    """Return mean z on forget, AUC of z and |z| against test, and of phi against test (population)."""
    if len(references) < 2:
        return {}
    forget, test = (
        measures.z_scores(margins_of(network, split), [margins_of(other, split) for other in references])
        for split in ("forget", "test")
    )
    values = {"z": float(forget.mean())}
    if len(forget) >= FEWEST_RECORDS:
        values |= {
            "auc_z": measures.auc(forget, test),
            "auc_abs_z": measures.auc(np.abs(forget), np.abs(test)),
            "population": measures.auc(margins_of(network, "forget"), margins_of(network, "test")),
        }
    return values


def measure_movement(network: Network, original: Network, references: Sequence[Network]) -> Values:
    """Return how far the distributions on test moved from the original's, by the mean distance of two references."""
    if len(references) < 2:
        return {}
    ours, before, *theirs = (
        measures.distribute(each.outputs["test"].values) for each in (network, original, *references)
    )
    floor = np.mean([measures.total_variation(p, q) for p, q in combinations(theirs, 2)])
    return {"moved": float(measures.total_variation(ours, before) / floor)}


def measure_regression(network: Network, references: Sequence[Network]) -> Values:
    """Return W1 on forget by its floor, the gap of the forget error in per cent, and errors by the references'."""
    subject, others = measure_splits(network), [measure_splits(other) for other in references]
    ratios = {name: subject[name] / float(np.mean([other[name] for other in others])) for name in subject}
    values = {
        "gap": 100 * (ratios["forget"] - 1), "retain_ratio": ratios["retain"], "test_ratio": ratios["test"],
    }  # fmt: skip
    if len(references) > 1:
        ours, theirs = network.outputs["forget"].values, [other.outputs["forget"].values for other in references]
        floor = np.mean([measures.mean_distance(p, [q]) for p, q in combinations(theirs, 2)])
        values["w1"] = measures.mean_distance(ours, theirs) / float(floor)
    return values
