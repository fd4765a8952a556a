"""Metrics that torchmetrics has too: a second, independent opinion on random outputs."""

import numpy as np
import pytest
import torch
from torchmetrics.classification import BinaryAUROC, MulticlassCalibrationError, MulticlassConfusionMatrix
from torchmetrics.regression import JensenShannonDivergence, KLDivergence, R2Score

from unlearn_cli.metrics.calibration_error import calibration_error
from unlearn_cli.metrics.js_divergence import js_divergence
from unlearn_cli.metrics.kl_divergence import kl_divergence
from unlearn_cli.metrics.r2 import r2
from unlearn_cli.stats.confusion import confusion
from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.stats.roc import auc

RANDOM = np.random.default_rng(0)
N, CLASSES = 400, 5


def classified(sharpness: float) -> Outputs:
    return Outputs(sharpness * RANDOM.normal(size=(N, CLASSES)), RANDOM.integers(0, CLASSES, N), "classification")


def probabilities(outputs: Outputs) -> torch.Tensor:
    return torch.from_numpy(outputs.values).softmax(dim=1)


@pytest.mark.parametrize("sharpness", [0.3, 1.0, 5.0])
def test_calibration_error(sharpness: float) -> None:
    outputs = classified(sharpness)
    theirs = MulticlassCalibrationError(CLASSES, n_bins=15, norm="l1")
    assert calibration_error(outputs).value == pytest.approx(
        float(theirs(probabilities(outputs), torch.from_numpy(outputs.labels))), abs=1e-6
    )


def test_divergences() -> None:
    one, other = classified(1.0), classified(2.0)
    # theirs is KL(first || second); ours takes the reference's distribution as the first
    theirs = KLDivergence()(probabilities(other), probabilities(one))
    assert kl_divergence(one, other).value == pytest.approx(float(theirs), abs=1e-6)
    nats = JensenShannonDivergence()(probabilities(one), probabilities(other))
    assert js_divergence(one, other).value == pytest.approx(float(nats) / np.log(2), abs=1e-6)


def test_auc_with_ties() -> None:
    members, others = RANDOM.integers(0, 9, 150) + 1.0, RANDOM.integers(0, 9, 120).astype(float)
    scores = torch.from_numpy(np.concatenate([members, others])) / 20
    labels = torch.cat([torch.ones(150, dtype=torch.long), torch.zeros(120, dtype=torch.long)])
    assert auc(members, others).value == pytest.approx(float(BinaryAUROC()(scores, labels)), abs=1e-6)


def test_confusion() -> None:
    outputs = classified(1.0)
    theirs = MulticlassConfusionMatrix(CLASSES)(probabilities(outputs), torch.from_numpy(outputs.labels)).sum(dim=0)
    assert list(confusion(outputs, list("abcde"), "test", "subject").counts.values()) == theirs.tolist()


def test_r2() -> None:
    labels = RANDOM.normal(size=N)
    values = labels + RANDOM.normal(size=N)
    theirs = R2Score()(torch.from_numpy(values), torch.from_numpy(labels))
    assert r2(Outputs(values, labels, "regression")).value == pytest.approx(float(theirs), abs=1e-6)
