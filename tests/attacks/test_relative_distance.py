"""Networks that are like retraining, like the original, or between them."""

import numpy as np
import pytest

from unlearn_cli.attacks.relative_distance import relative_distance
from unlearn_cli.stats.findings import Findings
from unlearn_cli.stats.outputs import Outputs

N = 300


def make_network(memorised: np.ndarray, seed: int, shift: float = 0.0) -> dict[str, Outputs]:
    """Return outputs with two classes: the margin has noise of 1; of a memorised record it is 6 higher."""
    difficulty, random = np.random.default_rng(0).normal(2, 2, (2, N)), np.random.default_rng(seed)
    labels = np.arange(N) % 2
    splits = {}
    for number, (split, raised) in enumerate({"forget": 6.0 * memorised, "test": np.zeros(N)}.items()):
        margin = difficulty[number] + raised + random.normal(size=N) + shift
        values = np.where(np.arange(2) == labels[:, None], margin[:, None], 0.0)
        splits[split] = Outputs(values, labels, "classification")
    return splits


ORIGINAL = make_network(np.ones(N), 1)


def measure(network: dict[str, Outputs], num_references: int) -> Findings:
    references = [make_network(np.zeros(N), 10 + number) for number in range(num_references)]
    return relative_distance(
        network["forget"],
        network,
        ORIGINAL,
        [reference["forget"] for reference in references],
        [reference["test"] for reference in references],
        seed=0,
    )


def get_value(findings: Findings, name: str) -> float:
    value = findings.quantities[name].value
    assert value is not None
    return value


@pytest.mark.parametrize("num_references", [1, 4])
@pytest.mark.parametrize("shift", [0.0, 3.0])
def test_a_retrained_network_is_nearer_to_retraining_also_by_another_recipe(num_references: int, shift: float) -> None:
    findings = measure(make_network(np.zeros(N), 2, shift), num_references)
    assert get_value(findings, "p_nearer_retraining") < 0.001
    assert get_value(findings, "p_nearer_original") > 0.99
    assert get_value(findings, "effect") < -0.6


@pytest.mark.parametrize("num_references", [1, 4])
def test_a_network_that_changed_nothing_is_nearer_to_the_original(num_references: int) -> None:
    findings = measure(make_network(np.ones(N), 2), num_references)
    assert get_value(findings, "p_nearer_original") < 0.001
    assert get_value(findings, "effect") > 0.6


def test_the_effect_is_the_share_of_the_way() -> None:
    kept = np.arange(N) % 2 == 0
    assert get_value(measure(make_network(kept, 2), 4), "effect") == pytest.approx(0, abs=0.15)
    assert get_value(measure(make_network(kept, 2), 4), "share_nearer_retraining") == pytest.approx(0.5, abs=0.05)


def test_a_network_made_from_the_original_shares_its_chance_deviations_on_all_records() -> None:
    """Nothing was memorised, so there is nothing to forget, and a nearly unchanged network must not fail."""
    original = make_network(np.zeros(N), 1)
    references = [make_network(np.zeros(N), 10 + number) for number in range(2)]
    random, nearly = np.random.default_rng(5), {}
    for split, outputs in original.items():
        nearly[split] = Outputs(
            outputs.values + random.normal(0, 0.1, outputs.values.shape), outputs.labels, outputs.task
        )
    findings = relative_distance(
        nearly["forget"],
        nearly,
        original,
        [reference["forget"] for reference in references],
        [reference["test"] for reference in references],
        seed=0,
    )
    assert get_value(findings, "mean_d") > 0.5
    assert get_value(findings, "p_nearer_original") > 0.05


def test_knowledge_of_a_whole_class_is_not_another_recipe() -> None:
    """The level of a class that the references never saw differs for all its records; that is not removed."""
    original, network, reference = (make_network(np.full(N, level), seed) for level, seed in ((1, 1), (1, 2), (0, 3)))

    def of_class(network: dict[str, Outputs]) -> dict[str, Outputs]:
        return {"forget": network["forget"].take(network["forget"].labels == 1), "test": network["test"]}

    original, network, reference = map(of_class, (original, network, reference))
    findings = relative_distance(
        network["forget"], network, original, [reference["forget"]], [reference["test"]], seed=0
    )
    assert get_value(findings, "p_nearer_original") < 0.001
