"""KLoM: closed forms, the floor of equal distributions, the published numbers of a perfect method, few runs."""

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from unlearn_cli.attacks.klom import klom
from unlearn_cli.learning.shadows import ShadowRuns
from unlearn_cli.stats.margin_divergence import Side, is_binned, measure_binned, measure_normal
from unlearn_cli.stats.results import Estimate


def make_runs(runs: int, records: int, shift: float = 0.0, scale: float = 1.0, seed: int = 0) -> ShadowRuns:
    """Return runs in which unlearned members differ from retrained records by a shift and a scale of phi."""
    random = np.random.default_rng(seed)
    members, centre = random.random((runs, records)) < 0.5, 3 * random.normal(size=records)
    noise = random.normal(size=(3, runs, records))
    after = centre + np.where(members, shift + scale * noise[0], noise[0])
    stages = {"before": centre + noise[1] + 4.0 * members, "after": after, "retrain": centre + noise[2]}
    return ShadowRuns(members, stages, np.zeros(records, dtype=bool))


def measure(runs: ShadowRuns, role: str = "subject") -> Mapping[str, Estimate]:
    return klom(runs.of(role), runs, runs.retained.of(role) if runs.retained else None).quantities


def value(quantities: Mapping[str, Estimate], name: str) -> float:
    number = quantities[name].value
    assert number is not None
    return number


def sides(runs: int, records: int, shift: float, scale: float) -> tuple[Side, Side]:
    random, every = np.random.default_rng(3), np.ones((runs, records), dtype=bool)
    ours, theirs = random.normal(size=(2, runs, records))
    return Side(every, shift + scale * ours), Side(every, theirs)


@pytest.mark.parametrize(("shift", "scale", "expected"), [(1.0, 1.0, 0.5), (0.0, 2.0, 0.806853), (3.0, 1.0, 4.5)])
def test_the_divergence_of_normal_distributions_is_the_closed_form(shift: float, scale: float, expected: float) -> None:
    assert measure_normal(*sides(2000, 20, shift, scale)).mean() == pytest.approx(expected, rel=0.06)


def test_the_binned_divergence_approaches_the_closed_form() -> None:
    assert measure_binned(*sides(100_000, 3, 1.0, 1.0)).mean() == pytest.approx(0.5, abs=0.03)


def test_the_binned_divergence_by_hand() -> None:
    """Of one record each: two bins, no common bin, equal values, values beyond 100, and a run that does not count."""
    far, clipped = [0.0] * 4, [500.0, 500.0, 500.0, 500.0]
    ours = np.column_stack([[0.0, 0.0, 0.0, 20.0], far, np.ones(4), clipped, [0.0, 0.0, 0.0, 99.0]])
    theirs = np.column_stack([[0.0, 20.0, 20.0, 20.0], [5.0] * 4, np.ones(4), [100.0] * 4, [0.0, 0.0, 20.0, 20.0]])
    chosen = np.ones((4, 5), dtype=bool)
    counted = chosen.copy()
    counted[3, 4] = False
    expected = [0.5 * math.log(3), math.log(1e5), 0, 0, math.log(2)]
    assert measure_binned(Side(counted, ours), Side(chosen, theirs)) == pytest.approx(expected)


def test_the_binning_is_that_of_numpy() -> None:
    ours, theirs = sides(60, 30, 0.5, 1.5)
    for i, divergence in enumerate(measure_binned(ours, theirs)):
        pair = ours.phi[:, i], theirs.phi[:, i]
        edges = np.histogram_bin_edges(np.concatenate(pair), 20)
        p, q = (np.histogram(part, edges)[0] / 60 for part in pair)
        assert divergence == pytest.approx(sum(a * math.log(a / max(b, 1e-5)) for a, b in zip(p, q, strict=True) if a))


@pytest.mark.parametrize(("networks", "expected", "tolerance"), [(100, 0.68, 0.06), (8, 8.9, 0.9)])
def test_a_perfect_method_has_the_published_percentile(networks: int, expected: float, tolerance: float) -> None:
    """20 bins over the range of both sides; an empty bin of the second side counts as 1e-5."""
    divergence = measure_binned(*sides(networks, 1500, 0.0, 1.0))
    assert np.quantile(divergence, 0.95) == pytest.approx(expected, abs=tolerance)


def test_histograms_are_used_from_50_networks_per_side() -> None:
    assert is_binned(*sides(50, 5, 0, 1)) and not is_binned(*sides(49, 5, 0, 1))


@pytest.mark.parametrize("runs", [16, 128])
def test_a_perfect_method_is_at_the_floor(runs: int) -> None:
    quantities = measure(make_runs(runs, 300))
    for name in ("forget_mean", "forget_p95", "never_seen_p95"):
        assert value(quantities, name) == pytest.approx(value(quantities, f"{name}_floor"), rel=0.25)


def test_the_floor_of_few_runs_is_that_of_fitted_means() -> None:
    """The mean difference has the variance 1/M + 1/N; with a pooled variance, that halved is the mean divergence."""
    runs = make_runs(16, 4000)
    counts = runs.members.sum(axis=0)
    expected = (1 / counts + 1 / (16 - counts))[np.minimum(counts, 16 - counts) > 1].mean() / 2
    assert value(measure(runs), "forget_mean_floor") == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("runs", [32, 128])
def test_knowledge_that_is_left_is_on_forget_only(runs: int) -> None:
    quantities = measure(make_runs(runs, 300, shift=2.0))
    assert value(quantities, "forget_mean") > max(1.8, 6 * value(quantities, "forget_mean_floor"))
    assert value(quantities, "never_seen_p95") == pytest.approx(value(quantities, "never_seen_p95_floor"), rel=0.25)


def test_the_original_is_far_and_a_retrained_network_is_the_floor() -> None:
    runs = make_runs(32, 200)
    assert value(measure(runs, "original"), "forget_mean") > 6  # 4^2 / 2 = 8, less the bias of a fitted variance
    control = measure(runs, "reference")
    assert value(control, "forget_p95") == value(control, "forget_p95_floor")


def test_a_wider_distribution_with_the_same_mean_is_seen() -> None:
    quantities = measure(make_runs(64, 300, scale=2.0))
    excess = value(quantities, "forget_mean") - value(quantities, "forget_mean_floor")
    assert excess == pytest.approx(0.807, abs=0.15)


def test_retained_records_are_compared_in_the_runs_that_trained_on_them() -> None:
    runs = replace(make_runs(64, 100), retained=make_runs(64, 100, shift=2.0, seed=1))
    quantities = measure(runs)
    assert value(quantities, "retain_mean") > 1.5 > value(quantities, "retain_mean_floor")
    assert value(quantities, "forget_mean") < 0.2


def test_the_interval_over_runs_covers_the_expected_mean() -> None:
    """Runs share a shift, so records are not independent: only an interval over runs covers."""
    covered = []
    for seed in range(120):
        runs = make_runs(32, 60, shift=1.0, seed=seed)
        common = 0.5 * np.random.default_rng(seed).normal(size=(32, 1))
        runs.stages["after"] += common
        covered.append(measure(runs)["forget_mean"])
    truth = float(np.mean([estimate.value for estimate in covered if estimate.value is not None]))
    inside = [estimate.low <= truth <= estimate.high for estimate in covered if estimate.low and estimate.high]
    assert np.mean(inside) >= 0.9


def test_with_too_few_runs_there_is_a_reason() -> None:
    assert measure(make_runs(1, 10))["forget_p95"].reason == "no record has 2 networks on both sides"
