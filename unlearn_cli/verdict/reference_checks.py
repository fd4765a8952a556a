"""Checks that compare a network's outputs on forget with those of retrained references."""

from collections.abc import Mapping, Sequence

import numpy as np

from unlearn_cli.stats.findings import Scores, fold
from unlearn_cli.stats.margins import FORGET_ACCURACY_MARGIN
from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.stats.results import Finding
from unlearn_cli.stats.signals import hits
from unlearn_cli.verdict.checks import Check, PairedHits, check_auc_near_half, check_difference_near


def check_contrast(scores: Scores, margin: float) -> list[Check]:
    """Return the checks that forgotten and never-seen records differ from the references in the same way.

    The first detects records that all moved in one direction, the second those that moved in both. A shift common to
    both sides changes neither, so another training recipe than the references' does not fail.
    """
    claim = "forgotten against never-seen records, relative to the references: AUC {detail}within {margin:g} of 1/2"
    folded = fold(scores)
    return [
        check_auc_near_half(
            claim.format(detail=detail, margin=margin), side.members, side.non_members, margin, side.groups
        )
        for detail, side in (("", scores), ("of the distance from the median ", folded))
    ]


NEARER = "outputs on forget not nearer to the original's than to those of retraining"


def check_relative_distance(finding: Finding) -> list[Check]:
    """Return the check that the outputs are not nearer to the original's; it can only fail a network.

    One reference is sufficient for it. The network nearer to retraining may still differ from it.
    """
    p_original, p_retraining = (finding.quantities.get(name) for name in ("p_nearer_original", "p_nearer_retraining"))
    if p_original is None or p_retraining is None or p_original.value is None:
        return []
    effect = finding.quantities["effect"]
    return [Check(NEARER, effect, 0.0, None, p_retraining.value, p_original.value, required=False)]


def check_forget_accuracy(ours: Mapping[str, Outputs], references: Sequence[Mapping[str, Outputs]]) -> list[Check]:
    """Return the check that accuracy on forget, relative to the hold-out's, is within the margin of the references'."""
    if not len(ours["forget"]) or not len(ours["holdout"]):
        return []
    claim = f"accuracy on forget, relative to the hold-out's, within {FORGET_ACCURACY_MARGIN:g} of the references'"
    forget, holdout = (
        PairedHits(hits(ours[name]), np.stack([hits(outputs[name]) for outputs in references]), ours[name].groups)
        for name in ("forget", "holdout")
    )
    return [check_difference_near(claim, forget, holdout, FORGET_ACCURACY_MARGIN)]
