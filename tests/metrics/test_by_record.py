"""Metrics look at some records at a time: to the last bit what they were of all at once, in little memory."""

import tracemalloc
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from scipy.special import log_softmax

from unlearn_cli.metrics import calibration_error
from unlearn_cli.stats import by_record, signals
from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.stats.results import Estimate

ALONE = ("accuracy", "calibration_error", "loss")
BESIDE = ("activation_distance", "agreement", "js_divergence", "kl_divergence", "wasserstein")


def outputs(n: int, classes: int, seed: int) -> Outputs:
    random = np.random.default_rng(seed)
    return Outputs(random.normal(scale=3, size=(n, classes)), random.integers(0, classes, n), "classification")


def computed(ours: Outputs, theirs: Outputs) -> dict[str, Estimate]:
    functions: dict[str, Any] = {
        name: getattr(import_module(f"unlearn_cli.metrics.{name}"), name) for name in (*ALONE, *BESIDE)
    }
    return {name: functions[name](*((ours,) if name in ALONE else (ours, theirs))) for name in functions}


@pytest.mark.parametrize("n", [1, 2, 7, 400])
def test_metrics_do_not_depend_on_how_many_records_are_looked_at_at_once(
    n: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = outputs(n, 5, 0), outputs(n, 5, 1)
    expected, entropies = computed(ours, theirs), signals.entropy(ours.values)
    monkeypatch.setattr(by_record, "MAX_NUMBERS", 32)
    monkeypatch.setattr(calibration_error, "CHUNK", 13)
    assert computed(ours, theirs) == expected
    assert np.array_equal(signals.entropy(ours.values), entropies)


def test_the_calibration_error_is_that_of_the_plain_bootstrap() -> None:
    n, bins, given = 300, 15, outputs(300, 4, 0)
    confidence = np.exp(log_softmax(given.values, axis=1)).max(axis=1)
    right = (given.values.argmax(axis=1) == given.labels).astype(np.float64)
    places = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)

    def error(places: np.ndarray, gaps: np.ndarray) -> float:
        return float(np.abs(np.bincount(places, weights=gaps, minlength=bins)).sum() / n)

    random = np.random.default_rng(n)
    picks = [random.integers(0, n, n) for _ in range(2000)]
    low, high = np.quantile([error(places[pick], (right - confidence)[pick]) for pick in picks], [0.025, 0.975])
    found = calibration_error.calibration_error(given)
    assert found.value == error(places, right - confidence)
    assert (found.low, found.high) == (pytest.approx(low, rel=0.05), pytest.approx(high, rel=0.05))


def test_metrics_take_a_fraction_of_the_outputs_memory() -> None:
    ours, theirs = outputs(100_000, 50, 0), outputs(100_000, 50, 1)
    computed(outputs(10, 50, 0), outputs(10, 50, 1))  # what is imported and cached the first time
    tracemalloc.start()
    computed(ours, theirs)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < ours.values.nbytes / 2
