"""Linear probe: whether the penultimate features still separate the forgotten class that the head does not predict.

Idea: a class can be suppressed by changing only the bias of the head. A logistic regression is fitted on the features
of training records (the forgotten classes against a sample of retain) and applied to test records. Source: Alain &
Bengio 2016, arXiv 1610.01644; the unlearning papers use only the outputs. Needs features on forget, retain and test;
whole classes. Warning: the features of a retrained network also separate a class that it never saw, often nearly as
well as the original's. Only the difference from the reference is knowledge of the forgotten class.
"""

from typing import Annotated

import numpy as np
from pydantic import PositiveInt
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from unlearn_cli.plugins.types import Doc
from unlearn_cli.stats.findings import Findings
from unlearn_cli.stats.intervals import missing, share
from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.stats.roc import auc

SUMMARY = "whether the features still separate the forgotten class"
TIER = "standard"
ORDER = 5  # within the tier, cheapest first

MIN_RECORDS = 10  # per side


def linear_probe(
    split_features: dict[str, np.ndarray],
    split_outputs: dict[str, Outputs],
    forget_classes: list[int],
    seed: int,
    *,
    max_records: Annotated[PositiveInt, Doc("training records per side")] = 2000,
) -> Findings:
    """Return recall of the forgotten classes and false alarms on test, AUC, and recall of the network's head."""
    test, random = split_outputs["test"], np.random.default_rng(seed)
    forgotten = np.isin(test.labels, forget_classes)
    parts = [random.permutation(split_features[name])[:max_records] for name in ("forget", "retain")]
    size = min(len(part) for part in parts)
    if size < MIN_RECORDS or forgotten.sum() < 1 or forgotten.all():
        return Findings({"recall_forgotten": missing(f"at least {MIN_RECORDS} records per side are needed", size)})
    x = np.concatenate([part[:size] for part in parts])
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(x, np.repeat([1, 0], size))
    scores = probe.decision_function(split_features["test"])
    named = np.isin(test.values.argmax(axis=1), forget_classes)
    of, others = test.take(forgotten).groups, test.take(~forgotten).groups
    return Findings(
        {
            "recall_forgotten": share(scores[forgotten] > 0, of),
            "false_alarms": share(scores[~forgotten] > 0, others),
            "auc": auc(scores[forgotten], scores[~forgotten], None if of is None or others is None else (of, others)),
            "recall_of_the_head": share(named[forgotten], of),
        }
    )
