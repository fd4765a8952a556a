"""Three classes from both versions: closed forms, an unchanged network, no information, clusters, few records."""

import math

import numpy as np
import pytest
from scipy.stats import norm

from unlearn_cli.attacks.before_after import before_after, measure_macro_auc
from unlearn_cli.stats.before_after import Observations
from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.stats.results import Estimate
from unlearn_cli.stats.roc import auc, measure_auc_influence

Network = dict[str, Outputs]
N = 1000


def outputs(phi: np.ndarray, groups: np.ndarray | None = None) -> Outputs:
    values = np.column_stack([phi, np.zeros(len(phi))])
    return Outputs(values, np.zeros(len(phi), dtype=np.int64), "classification", groups)


def network(known: float, kept: float, seed: int, n: int = N) -> Network:
    """Return a network whose phi is shifted by `known` on retain and by `kept` on forget."""
    random = np.random.default_rng(seed)
    shifts = {"forget": kept, "retain": known, "holdout": 0.0}
    return {name: outputs(shift + random.normal(size=n)) for name, shift in shifts.items()}


def value(quantities: dict[str, Estimate], name: str) -> float:
    number = quantities[name].value
    assert number is not None, quantities[name].reason
    return number


@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_two_looks_at_a_retained_record_show_more_than_one(shift: float) -> None:
    """One look with a shift d has the AUC Phi(d / sqrt 2); two independent looks have Phi(d)."""
    original, unlearned = network(shift, shift, 1), network(shift, 0.0, 2)
    quantities = before_after(unlearned, original, 0).quantities
    first, both = value(quantities, "auc_retained_original_only"), value(quantities, "auc_retained")
    assert first == pytest.approx(float(norm.cdf(shift / math.sqrt(2))), abs=0.06)
    assert both == pytest.approx(float(norm.cdf(shift)), abs=0.06)
    gain = quantities["gain_retained"]
    assert gain.value == pytest.approx(both - first, abs=1e-12)
    assert gain.low is not None and gain.low > (0 if shift else -0.1)


def test_an_unchanged_network_adds_nothing() -> None:
    original = network(1.5, 1.5, 1)
    quantities = before_after(original, original, 0).quantities
    assert value(quantities, "gain_retained") == pytest.approx(0, abs=0.01)
    # forgotten and retained records cannot be told apart
    assert value(quantities, "macro_auc") < value(
        before_after(network(1.5, 0.0, 2), original, 0).quantities, "macro_auc"
    )


def test_without_information_the_numbers_are_those_of_chance() -> None:
    quantities = before_after(network(0.0, 0.0, 2), network(0.0, 0.0, 1), 0).quantities
    null = quantities["macro_auc_null"]
    assert null.value == pytest.approx(0.5, abs=0.005)
    assert null.low is not None and null.high is not None and null.low <= value(quantities, "macro_auc") <= null.high
    for name in ("forgotten", "retained", "never_seen"):
        assert value(quantities, f"recall_{name}") == pytest.approx(value(quantities, f"recall_{name}_null"), abs=0.06)


def test_separated_classes_are_recalled_without_an_error() -> None:
    quantities = before_after(network(20.0, -20.0, 2), network(20.0, 20.0, 1), 0).quantities
    assert value(quantities, "macro_auc") == pytest.approx(1, abs=1e-3)
    assert quantities["auc_retained"].low is None and quantities["auc_retained"].reason
    assert all(value(quantities, f"recall_{name}") == 1 for name in ("forgotten", "retained", "never_seen"))


@pytest.mark.parametrize("clustered", [False, True])
def test_the_interval_of_chance_contains_scores_without_information_in_95_percent(clustered: bool) -> None:
    random, hits = np.random.default_rng(0), []
    groups = np.repeat(np.arange(60), 10) if clustered else None
    classes = np.repeat(np.arange(60) % 3, 10) if clustered else np.repeat(np.arange(3), 200)
    for _ in range(100):
        noise = np.repeat(random.normal(size=(60, 3)), 10, axis=0) if clustered else random.normal(size=(600, 3))
        noise = noise + 0.3 * random.normal(size=(600, 3))
        scored = Observations(noise, noise, classes, np.zeros(600, dtype=bool), groups)
        quantities = measure_macro_auc(noise, scored, random)
        null = quantities["macro_auc_null"]
        assert null.low is not None and null.high is not None
        hits.append(null.low <= value(quantities, "macro_auc") <= null.high)
    assert np.mean(hits) >= 0.9


def test_of_a_whole_class_retained_records_are_compared_with_never_seen_ones_of_their_classes() -> None:
    """Records of the other classes have another phi: against the hold-out they would be told apart by that only."""
    random = np.random.default_rng(3)

    def draw() -> Network:
        of_class, others = random.normal(size=(2, 400)), 5 + random.normal(size=(2, 400))
        names = ("forget", "holdout", "retain", "test_retain")
        return dict(zip(names, map(outputs, [*of_class, *others]), strict=True))

    quantities = before_after(draw(), draw(), 0).quantities
    assert value(quantities, "auc_retained") == pytest.approx(0.5, abs=0.1)
    assert quantities["auc_retained"].n == pytest.approx(400, abs=4)  # the scored halves of retain and test_retain


def test_the_influence_of_records_is_that_of_delong() -> None:
    random = np.random.default_rng(4)
    members, scores = np.repeat([True, False], [150, 250]), random.normal(size=400)
    area, influence = measure_auc_influence(members, scores)
    estimate = auc(scores[members], scores[~members])
    assert estimate.value == pytest.approx(area) and estimate.high is not None
    error = influence.std(ddof=1) / 20
    assert 1.96 * error == pytest.approx(estimate.high - area, rel=0.01)
    assert influence.mean() == pytest.approx(0, abs=1e-12)


def test_with_few_records_there_is_a_reason() -> None:
    few = before_after(network(0, 0, 1, 19), network(0, 0, 2, 19), 0).quantities
    assert few["macro_auc"].reason == "at least 20 records per class are needed; 19 are forgotten"
