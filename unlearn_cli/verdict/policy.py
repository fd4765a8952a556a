"""Which gates a tier has, and what each reads of a candidate (attacks.md 3.2).

Never gates: weight distance, ZRF, the legacy SVCs, `difference`, `learned_loss`, `rmia`, `quantile`, a single relearn
time. They are reported. Margins are this project's defaults, not taken from a standard.
"""

import math
from dataclasses import dataclass

import numpy as np

from unlearn_cli.stats import Scores
from unlearn_cli.stats.intervals import share
from unlearn_cli.stats.outputs import Outputs
from unlearn_cli.stats.results import AttackResult, Estimate, Finding
from unlearn_cli.stats.roc import above, allowed_false_positives, tpr_at_fpr
from unlearn_cli.verdict.against_references import forget_accuracy, hits, retrain_z
from unlearn_cli.verdict.audit import audit
from unlearn_cli.verdict.checks import Check, auc_near_half, hits_at_most, not_worse

AUC_MARGIN, UTILITY_MARGIN, ERROR_MARGIN = 0.05, 0.02, 0.05  # of an AUC; of an accuracy; relative, of a mean error
LOW_FPR, TPR_LIMIT = 0.01, 0.05
RECOGNISED = 0.05  # share of a forgotten class that may still be named, where no reference says what is usual


@dataclass(frozen=True)
class Candidate:
    """What the gates read of one checkpoint: its outputs, those it is compared with, and what attacks found."""

    role: str
    outputs: dict[str, Outputs]
    comparators: list[dict[str, Outputs]]  # the references but itself; where there are none, the original
    comparator_kind: str | None
    blocks: dict[str, AttackResult]
    findings: dict[str, Finding]
    scores: dict[str, Scores]
    whole_classes: bool
    task: str
    control: Finding | None = None  # U-LiRA on the retrained shadow networks


def checks_of(candidate: Candidate, tier: str) -> list[Check]:
    """Return the checks of a tier; one that cannot be made has a reason instead of p-values."""
    found = [*sanity(candidate), *population(candidate), *utility(candidate)]
    beside = candidate.comparator_kind == "reference"
    if candidate.task == "classification" and candidate.whole_classes:
        found += class_forgotten(candidate)
    if beside and candidate.task == "classification" and (len(candidate.comparators) > 1 or tier != "quick"):
        found += forget_accuracy(candidate.outputs["forget"], [one["forget"] for one in candidate.comparators])
    if tier != "quick" and beside:
        z = candidate.findings.get("retrain_z")
        found += retrain_z(z, AUC_MARGIN) if z else [not_made("z-test against the references", "retrain_z")]
    if tier == "audit" and not candidate.role.startswith("reference_"):
        there = "ulira" in candidate.findings
        found += audit(candidate.findings, candidate.control) if there else [not_made("U-LiRA", "ulira")]
    return found


def not_made(claim: str, attack: str) -> Check:
    """Return a gate of the tier that cannot be judged: left out in silence it would count as passed."""
    reason = f"the attack '{attack}' with its default settings was not run, or gave no scores"
    return Check(claim, Estimate(value=None, n=0, reason=reason), reason=reason)


def sanity(candidate: Candidate) -> list[Check]:
    """A network with constant outputs fails: nothing else said of it means anything."""
    found = candidate.findings.get("sanity")
    if found is None:
        return [not_made("the outputs differ between records and classes", "sanity")]
    value = found.quantities["equal_outputs"]
    broken = float(found.informative is False)
    return [Check("the outputs differ between records and classes", value, None, None, broken, 1 - broken)]


def population(candidate: Candidate) -> list[Check]:
    """The threshold attack on phi alone: the best of six statistics would find noise."""
    scores = candidate.scores.get("population")
    if scores is None:
        return [not_made(f"population AUC within {AUC_MARGIN:g} of 1/2", "population")]
    claim = f"population AUC within {AUC_MARGIN:g} of 1/2"
    area = auc_near_half(claim, scores.members, scores.non_members, AUC_MARGIN, scores.groups)
    return [area, *low_rates(scores)]


def low_rates(scores: Scores) -> list[Check]:
    """At most 5 % of the forgotten records are found at a false-positive rate of 1 %, from either end."""
    scores = scores.ordered()
    groups, allowed = scores.groups, allowed_false_positives(LOW_FPR, len(scores.non_members))
    rates = tpr_at_fpr(scores.members, scores.non_members, LOW_FPR, groups)
    found = []
    for name, value, sign in (("", rates.tpr, 1), (" from the low end", rates.tpr_mirrored, -1)):
        claim = f"TPR at FPR {LOW_FPR:.0%}{name} at most {TPR_LIMIT:.0%}"
        if value.value is None:
            needed = f"needs {math.ceil(1 / LOW_FPR)} records of the hold-out; there are {len(scores.non_members)}"
            found.append(Check(claim, value, TPR_LIMIT, reason=needed))
        else:
            hits = above(sign * scores.members, sign * scores.non_members, allowed)
            found.append(hits_at_most(claim, hits, TPR_LIMIT, scores.member_groups, value))
    return found


def utility(candidate: Candidate) -> list[Check]:
    """Retained records and other test records are known no worse than by the comparators."""
    test = "test_retain" if "test_retain" in candidate.outputs else "test"
    if not candidate.comparators:
        return []
    return [_utility(candidate, split) for split in (test, "retain") if len(candidate.outputs[split])]


def _utility(candidate: Candidate, split: str) -> Check:
    ours = candidate.outputs[split]
    theirs = [one[split] for one in candidate.comparators]
    what = "references'" if candidate.comparator_kind == "reference" else "original's"
    if candidate.task == "classification":
        claim = f"{split} accuracy at most {UTILITY_MARGIN:g} below the {what}"
        right = np.stack([hits(one) for one in theirs])
        return not_worse(claim, hits(ours), right, UTILITY_MARGIN, unit=1.0, groups=ours.groups)
    errors = np.stack([np.abs(one.values - one.labels) for one in theirs])
    margin = ERROR_MARGIN * float(errors.mean())
    claim = f"{split} mean error at most {ERROR_MARGIN:.0%} above the {what}"
    return not_worse(claim, -np.abs(ours.values - ours.labels), -errors, margin, groups=ours.groups)


def class_forgotten(candidate: Candidate) -> list[Check]:
    """A network that was never shown a class does not name it: by this the untouched original fails by itself."""
    found = []
    for split in ("forget", "test_forget"):
        outputs = candidate.outputs.get(split)
        if outputs is not None and len(outputs):
            right, claim = hits(outputs), f"{split} accuracy at most {RECOGNISED:g}"
            value = share(right, outputs.groups)
            found.append(hits_at_most(claim, right, RECOGNISED, outputs.groups, value))
    return found
