"""Metrics beside references, of the whole network, and of calibration: closed forms, properties, second opinions."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import norm, wasserstein_distance

from unlearn_cli.learning import weight_distances
from unlearn_cli.learning.weight_distances import Weights, compare_layers
from unlearn_cli.metrics.activation_distance import activation_distance
from unlearn_cli.metrics.agreement import agreement
from unlearn_cli.metrics.average_gap import average_gap
from unlearn_cli.metrics.buffer_distance import buffer_distance
from unlearn_cli.metrics.calibration_error import calibration_error
from unlearn_cli.metrics.js_divergence import js_divergence
from unlearn_cli.metrics.kl_divergence import kl_divergence
from unlearn_cli.metrics.mean_absolute_difference import mean_absolute_difference
from unlearn_cli.metrics.run_time_efficiency import run_time_efficiency
from unlearn_cli.metrics.sample_efficiency import sample_efficiency
from unlearn_cli.metrics.tug_of_war import tug_of_war
from unlearn_cli.metrics.wasserstein import wasserstein
from unlearn_cli.metrics.weight_distance import weight_distance
from unlearn_cli.metrics.zrf import zrf
from unlearn_cli.stats.costs import TrainingCost
from unlearn_cli.stats.outputs import Outputs

RANDOM = np.random.default_rng(0)


def classified(values: np.ndarray, labels: np.ndarray | None = None) -> Outputs:
    return Outputs(values, np.zeros(len(values), dtype=np.int64) if labels is None else labels, "classification")


def predicted(values: np.ndarray) -> Outputs:
    return Outputs(values, np.zeros(len(values)), "regression")


def right(share: float, n: int = 1000) -> Outputs:
    """Outputs of which exactly this share is right."""
    values = np.zeros((n, 2))
    values[: round(share * n), 0], values[round(share * n) :, 1] = 1, 1
    return classified(values)


LOGITS = RANDOM.normal(size=(200, 5))


def test_a_network_beside_itself() -> None:
    same = classified(LOGITS)
    for metric in (js_divergence, kl_divergence, activation_distance, wasserstein):
        assert metric(same, same).value == 0
    assert agreement(same, same).value == 1
    assert zrf(same, [same] * 5).value == 1


def test_a_record_more_often_changes_no_mean() -> None:
    ours, theirs = classified(LOGITS), classified(np.roll(LOGITS, 1, axis=0))
    twice = [classified(np.concatenate([one.values] * 2)) for one in (ours, theirs)]
    for metric in (js_divergence, kl_divergence, activation_distance, agreement, wasserstein):
        assert metric(*twice).value == pytest.approx(metric(ours, theirs).value)


@pytest.mark.parametrize(("k", "score"), [(10, 0.241723), (100, 0.040469)])
def test_zrf_of_one_hot_outputs_beside_an_even_random_network(k: int, score: float) -> None:
    sure, even = np.full((20, k), -2000.0), np.zeros((20, k))
    sure[:, 0] = 0
    assert zrf(classified(sure), [classified(even)] * 5).value == pytest.approx(score, abs=1e-6)
    other = np.full((20, k), -2000.0)
    other[:, 1] = 0
    assert zrf(classified(sure), [classified(other)]).value == pytest.approx(0)


def test_the_published_variant_of_zrf_is_larger_and_null_where_it_is_infinite() -> None:
    ours, random = classified(3 * LOGITS), [classified(RANDOM.normal(size=(200, 5))) for _ in range(5)]
    assert (zrf(ours, random, variant="authors").value or 0) > (zrf(ours, random).value or 0)
    sure = np.zeros((10, 2))
    sure[:, 0] = 2000
    found = zrf(classified(sure), [classified(np.zeros((10, 2)))], variant="authors")
    assert (found.value, "infinite" in (found.reason or "")) == (None, True)


def test_wasserstein_is_a_shift_scales_and_does_not_see_an_order() -> None:
    x = RANDOM.normal(size=500)
    assert wasserstein(predicted(x + 3), predicted(x)).value == pytest.approx(3)
    assert wasserstein(predicted(np.array([0.0, 1, 2])), predicted(np.array([3.0, 4, 5]))).value == pytest.approx(3)
    shuffled = RANDOM.permutation(x)
    assert wasserstein(predicted(shuffled), predicted(x)).value == 0
    assert (mean_absolute_difference(predicted(shuffled), predicted(x)).value or 0) > 0.5
    y = RANDOM.normal(size=500)
    assert wasserstein(predicted(5 * x), predicted(5 * y)).value == pytest.approx(5 * wasserstein_distance(x, y))
    quantiles = norm.ppf((np.arange(20000) + 0.5) / 20000)
    found = wasserstein(predicted(2 * quantiles), predicted(quantiles))
    assert found.value == pytest.approx(math.sqrt(2 / math.pi), abs=2e-3)
    assert found.value is not None and found.low is not None and found.high is not None
    assert found.low <= found.value <= found.high


def test_calibration_error_of_a_constant_confidence_and_of_perfect_bins() -> None:
    gap = math.log(0.9 / 0.1)
    found = calibration_error(Outputs(right(0.7).values * gap, np.zeros(1000, dtype=np.int64), "classification"))
    assert found.value == pytest.approx(0.2)
    perfect = calibration_error(Outputs(right(0.9).values * gap, np.zeros(1000, dtype=np.int64), "classification"))
    assert perfect.value == pytest.approx(0, abs=1e-9)
    sure = calibration_error(Outputs(right(0.5).values * 2000, np.zeros(1000, dtype=np.int64), "classification"))
    assert sure.value == pytest.approx(0.5)


def test_calibration_error_by_hand_over_bins() -> None:
    labels = RANDOM.integers(0, 5, 200)
    p = np.exp(LOGITS) / np.exp(LOGITS).sum(1, keepdims=True)
    confidence, hit = p.max(1), p.argmax(1) == labels
    expected = 0.0
    for i in range(15):
        inside = (confidence > i / 15) & (confidence <= (i + 1) / 15)
        if inside.any():
            expected += inside.mean() * abs(hit[inside].mean() - confidence[inside].mean())
    assert calibration_error(classified(LOGITS, labels)).value == pytest.approx(expected)


def test_tug_of_war_and_average_gap_of_three_gaps_of_a_tenth() -> None:
    ours = {name: right(share) for name, share in (("forget", 0.6), ("retain", 0.9), ("test", 0.7))}
    theirs = {name: right(share) for name, share in (("forget", 0.5), ("retain", 1.0), ("test", 0.8))}
    assert tug_of_war(ours, theirs).value == pytest.approx(0.729)
    assert average_gap(ours, theirs).value == pytest.approx(0.1)
    assert tug_of_war(ours, ours).value == 1
    with_holdout = [{**one, "holdout": right(0.5)} for one in (ours, ours)]
    assert average_gap(*with_holdout).value == 0
    assert tug_of_war({**ours, "test": right(0.5, 0)}, theirs).value is None


def test_weights_moved_by_a_constant() -> None:
    before = Weights({"a": torch.randn(3, 4), "b": torch.zeros(5)}, {"mean": torch.ones(2)})
    after = Weights({name: tensor + 0.5 for name, tensor in before.parameters.items()}, {"mean": torch.ones(2) + 3})
    assert weight_distance(after, before).value == pytest.approx(0.5 * math.sqrt(17))
    assert buffer_distance(after, before).value == pytest.approx(3 * math.sqrt(2))
    found = {layer.name: layer for layer in compare_layers(after, before)}
    squares = sum(layer.distance**2 for layer in found.values() if layer.kind == "parameter")
    assert squares == pytest.approx(0.25 * 17)
    assert found["b"].relative is None  # no norm to be relative to
    assert found["mean"].relative == pytest.approx(3)
    assert buffer_distance(Weights({}, {}), Weights({}, {})).value is None


def test_a_large_tensor_is_looked_at_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    ours, theirs = (Weights({"w": torch.randn(7, 5).bfloat16()}, {}) for _ in range(2))
    whole = weight_distance(ours, theirs).value
    monkeypatch.setattr(weight_distances, "CHUNK", 4)
    assert weight_distance(ours, theirs).value == pytest.approx(whole)
    expected = (ours.parameters["w"].double() - theirs.parameters["w"].double()).norm()
    assert whole == pytest.approx(float(expected))


def test_efficiency_is_a_ratio_or_a_null_with_a_reason() -> None:
    assert run_time_efficiency(TrainingCost(2.0, 10), TrainingCost(8.0, 40)).value == 0.25
    assert sample_efficiency(TrainingCost(None, 10), TrainingCost(None, 40)).value == 0.25
    assert run_time_efficiency(TrainingCost(None, 10), TrainingCost(8.0, 40)).reason
    assert run_time_efficiency(TrainingCost(2.0, 10), TrainingCost(None, None)).reason


def test_an_error_that_a_calibrated_network_would_show_by_chance_reaches_down_to_0() -> None:
    random, covered = np.random.default_rng(1), 0
    for _ in range(60):
        logits = random.normal(size=(300, 3))
        p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        labels = np.array([random.choice(3, p=row) for row in p])
        covered += calibration_error(classified(logits, labels)).low == 0
    assert covered >= 54


def test_counters_are_no_distance() -> None:
    before = Weights({}, {"count": torch.tensor(1), "mean": torch.zeros(1)})
    after = Weights({}, {"count": torch.tensor(7), "mean": torch.ones(1)})
    assert buffer_distance(after, before).value == 1
