import numpy as np
import pytest

from unlearn_cli.attacks.quantile import _conformal, quantile
from unlearn_cli.stats.findings import Findings
from unlearn_cli.stats.outputs import Outputs


def records(n: int, shift: float, seed: int, width: int = 3) -> tuple[np.ndarray, Outputs]:
    """Return features and outputs with phi ~ N(2 x_0 + shift, (1 + |x_1|)^2): mean and spread depend on the record."""
    random = np.random.default_rng(seed)
    features = random.normal(size=(n, width))
    phi = 2 * features[:, 0] + shift + (1 + np.abs(features[:, 1])) * random.normal(size=n)
    labels = np.zeros(n, dtype=np.int64)
    return features, Outputs(np.column_stack([phi, np.zeros(n)]), labels, "classification")


def attacked(shift: float, n: int = 900, seed: int = 0, width: int = 3, **settings: float) -> Findings:
    (forget, forget_outputs), (other, holdout_outputs) = records(n, shift, 1, width), records(n, 0, 2, width)
    return quantile({"forget": forget, "holdout": other}, forget_outputs, holdout_outputs, seed, **settings)


def area(found: Findings) -> float:
    assert found.scores is not None
    return float((found.scores.members[:, None] > found.scores.non_members).mean())


@pytest.mark.parametrize("fpr", [0.05, 0.1])
def test_records_never_seen_are_flagged_at_the_nominal_rate(fpr: float) -> None:
    shares = [attacked(0.0, seed=seed, fpr=fpr).quantities for seed in range(6)]
    assert np.mean([one["flagged_holdout"].value or 0.0 for one in shares]) == pytest.approx(fpr, abs=0.03)
    assert np.mean([one["flagged_forget"].value or 0.0 for one in shares]) == pytest.approx(fpr, abs=0.03)


def test_the_conformal_threshold_is_exceeded_in_at_most_the_nominal_share_of_draws() -> None:
    random = np.random.default_rng(3)
    exceeded = [random.normal() > _conformal(random.normal(size=39), 0.05) for _ in range(4000)]
    assert np.mean(exceeded) == pytest.approx(0.05, abs=0.012)  # exactly 2 / 40 in expectation
    assert _conformal(np.arange(10.0), 0.05) == np.inf  # ten records cannot bound a rate of 5 %


def test_records_better_known_than_expected_score_higher() -> None:
    found = attacked(4.0)
    plain = records(900, 4.0, 1)[1].values[:, :1] > records(900, 0, 2)[1].values[:, 0]
    assert area(found) > plain.mean()  # what a threshold on phi itself finds
    assert (found.quantities["flagged_forget"].low or 0) > 0.3 > (found.quantities["flagged_holdout"].high or 1)
    assert area(attacked(0.0)) == pytest.approx(0.5, abs=0.06)


def test_what_the_features_explain_is_taken_out_of_the_score() -> None:
    # easy records have a high phi without having been seen: a plain threshold is fooled, this attack is not
    features, outputs = records(900, 0, 2)
    easy, easy_outputs = records(4000, 0, 5)
    rows = np.flatnonzero((easy[:, 0] > 0.5) & (easy[:, 0] < 2))[:400]
    found = quantile({"forget": easy[rows], "holdout": features}, easy_outputs.take(rows), outputs, 0)
    plain = easy_outputs.take(rows).values[:, 0][:, None] > outputs.values[:, 0]
    assert plain.mean() > 0.7 and area(found) == pytest.approx(0.5, abs=0.1)


def test_wide_features_are_reduced_and_the_same_seed_gives_the_same_result() -> None:
    first, second = (attacked(1.0, n=90, width=64).scores for _ in range(2))
    assert first is not None and second is not None and (first.members == second.members).all()
    assert len(first.non_members) == 30


def test_a_regression_is_scored_by_closeness() -> None:
    random = np.random.default_rng(6)
    features = random.normal(size=(300, 2))
    forget, holdout = (Outputs(scale * random.normal(size=300), np.zeros(300), "regression") for scale in (0.1, 1.0))
    assert area(quantile({"forget": features, "holdout": features}, forget, holdout, 0)) > 0.8


def test_too_few_records_give_null_with_a_reason() -> None:
    found = attacked(0.0, n=59)
    assert found.scores is None and "59" in (found.quantities["flagged_forget"].reason or "")
