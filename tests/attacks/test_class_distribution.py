"""The contrast of class distributions, against simulated networks with known distances."""

import numpy as np
import pytest

from unlearn_cli.attacks.class_distribution import class_distribution
from unlearn_cli.stats.class_distributions import contrast_distances, measure_distances, measure_total_variation
from unlearn_cli.stats.outputs import Outputs

N, CLASSES = 400, 5
LABELS = np.arange(N) % CLASSES
FORGOTTEN = LABELS == 0


def make_network(seed: int, *, scale: float = 1.0, relabelled: float = 0.0, level: float = -8.0) -> Outputs:
    """Return logits with common dark knowledge, and noise per network; class 0 is lost at a level.

    `scale` is another recipe: all logits are larger. `relabelled` moves the records of class 0 to random other classes.
    """
    common, random = np.random.default_rng(0).normal(0, 2, (N, CLASSES)), np.random.default_rng(seed)
    values = scale * (common + random.normal(0, 0.5, (N, CLASSES)))
    values[~FORGOTTEN, LABELS[~FORGOTTEN]] += 4
    values[:, 0] = level
    moved = np.random.default_rng(7).permuted(np.arange(1, CLASSES * 100) % (CLASSES - 1))[: FORGOTTEN.sum()] + 1
    values[np.flatnonzero(FORGOTTEN), moved] += relabelled
    return Outputs(values, LABELS, "classification")


REFERENCES = [make_network(seed) for seed in range(1, 6)]


def get_contrast(network: Outputs) -> float:
    findings = class_distribution({"test": network}, REFERENCES, [0])
    value = findings.quantities["contrast"].value
    assert value is not None
    return value


def test_total_variation_is_half_of_the_absolute_differences() -> None:
    p, q = np.array([[0.7, 0.2, 0.1], [1, 0, 0]]), np.array([[0.1, 0.2, 0.7], [0, 1, 0]])
    assert measure_total_variation(p, q) == pytest.approx([0.6, 1.0])


def test_one_more_reference_has_the_distance_of_the_others() -> None:
    assert get_contrast(make_network(20)) == pytest.approx(1, abs=0.2)


def test_another_recipe_is_far_on_all_classes_and_does_not_count() -> None:
    network = make_network(21, scale=1.3)
    distances = measure_distances(network, REFERENCES, np.arange(1, CLASSES))
    assert distances.ours.mean() > 1.1 * distances.floors.mean()
    assert get_contrast(network) < 1.3


def test_random_labels_for_the_lost_class_are_far() -> None:
    assert get_contrast(make_network(22, relabelled=4.0)) > 1.5


def test_the_level_of_the_lost_output_does_not_change_the_contrast() -> None:
    low, high = make_network(23, level=-30.0), make_network(23, level=-2.0)
    assert get_contrast(low) == pytest.approx(get_contrast(high))
    levels = [class_distribution({"test": network}, REFERENCES, [0]).quantities for network in (low, high)]
    assert [quantities["level"].value for quantities in levels] == pytest.approx([-22, 6], abs=0.5)


def test_its_interval_holds_one_more_reference() -> None:
    """A false alarm is an interval of the ratio above the limit although the network is one more reference."""
    above = 0
    for seed in range(60):
        references = [make_network(1000 + 10 * seed + number) for number in range(4)]
        sides = [
            measure_distances(
                make_network(seed + 100).take(mask), [one.take(mask) for one in references], np.arange(1, CLASSES)
            )
            for mask in (FORGOTTEN, ~FORGOTTEN)
        ]
        contrast = contrast_distances(*sides)
        assert contrast is not None
        above += contrast.failing.cdf(-contrast.value) <= 0.05
    assert above <= 6  # 3 expected


def test_one_reference_has_no_floor() -> None:
    contrast = class_distribution({"test": REFERENCES[0]}, REFERENCES[1:2], [0]).quantities["contrast"]
    assert contrast.value is None
    assert contrast.reason
