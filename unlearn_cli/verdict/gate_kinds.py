"""The kinds of gates: when a tier has them, and their power. No SciPy.

One row of GATE_KINDS per kind; a new gate needs one more row. What a power depends on and cannot be known before a run
(accuracy, how far two trainings differ) is an expectation, which a plan prints.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from unlearn_cli.stats.margins import AUDIT_FPR, LOW_FPR, MIN_CLUSTERS
from unlearn_cli.verdict import gate_power
from unlearn_cli.verdict.situation import Situation


@dataclass(frozen=True)
class GateKind:
    """One or more gates of the same kind. `reads` are the splits whose records decide."""

    name: str
    reads: tuple[str, ...]
    is_in: Callable[[Situation], bool]
    compute_power: Callable[[Situation], float]
    num_gates: int = 1
    min_references: int = 0
    least: Mapping[str, int] = field(default_factory=dict)  # records without which it is undecided
    expects: tuple[str, ...] = ()  # the fields of Expectations that its power depends on
    of_shadow_runs: bool = False  # it depends on their number, not on the records of the splits or the references
    is_direct: bool = False  # it compares forget with the hold-out directly

    def find_obstacle(self, situation: Situation) -> str | None:
        """Return why the gates cannot be decided, whatever the power, if they cannot."""
        few = [split for split in self.reads if situation.clusters.get(split, MIN_CLUSTERS) < MIN_CLUSTERS]
        empty = [split for split in self.reads if not situation.records.get(split)]
        short = [split for split, least in self.least.items() if situation.records.get(split, 0) < least]
        if empty:
            return f"{' and '.join(empty)} has no records"
        if few:
            count = situation.clusters[few[0]]
            return f"{few[0]} has {count} clusters, but {MIN_CLUSTERS} are needed, so no gate can pass"
        if self.is_direct and not situation.holdout_is_matched:
            return "the hold-out is unmatched: use never-seen records of the same period or condition, or references"
        if self.of_shadow_runs and situation.num_shadow_runs < 2:
            return "it needs two shadow runs"
        if situation.num_references < self.min_references:
            return f"it needs {self.min_references} references"
        return f"{short[0]} needs {self.least[short[0]]} records" if short else None


def _is_classification(situation: Situation) -> bool:
    return situation.task == "classification"


def _has_accuracy(situation: Situation) -> bool:
    """Return whether a record is predicted right or wrong; multilabel: all of its labels."""
    return situation.task != "regression"


def _has_contrast(situation: Situation) -> bool:
    return situation.tier != "quick" and situation.has_references and situation.holdout_is_matched


def _compares_accuracy(situation: Situation) -> bool:
    """Return whether the accuracy on forget is compared with the references', instead of the contrast."""
    compares = situation.num_references > 1 or (situation.has_references and situation.tier != "quick")
    return _has_accuracy(situation) and compares and not _has_contrast(situation)


def _has_class_gates(situation: Situation) -> bool:
    """Return whether hidden knowledge of a class is compared with the references'."""
    compares = situation.tier != "quick" and situation.has_references
    return _is_classification(situation) and situation.whole_classes and compares


def _has_errors(situation: Situation) -> bool:
    return situation.task == "regression" and situation.has_references


GATE_KINDS = (
    GateKind("outputs differ (sanity)", (), lambda _: True, lambda _: 1.0),
    GateKind(
        "population AUC",
        ("forget", "holdout"),
        lambda situation: situation.holdout_is_matched or situation.tier == "quick" or not situation.has_references,
        gate_power.compute_auc_power,
        is_direct=True,
    ),
    GateKind(
        f"TPR at FPR {LOW_FPR:.0%}, both ends",
        ("forget", "holdout"),
        lambda situation: situation.holdout_is_matched,
        gate_power.compute_low_rate_power,
        num_gates=2,
        least={"holdout": round(1 / LOW_FPR)},
    ),
    GateKind(
        "utility on test",
        ("test",),
        lambda situation: situation.num_comparators > 0,
        gate_power.compute_utility_power,
        expects=("accuracy", "accuracy_sd", "error_variation", "error_sd"),
    ),
    GateKind(
        "utility on retain",
        ("retain",),
        lambda situation: situation.num_comparators > 0,
        gate_power.compute_retain_power,
        expects=("accuracy", "accuracy_sd", "error_sd", "gain_on_retain"),
    ),
    GateKind(
        "accuracy on forget, relative to references",
        ("forget", "holdout"),
        _compares_accuracy,
        gate_power.compute_forget_accuracy_power,
        expects=("accuracy",),
        min_references=2,
    ),
    GateKind(
        "forgotten class not predicted",
        ("forget",),
        lambda situation: situation.whole_classes and _is_classification(situation),
        gate_power.compute_class_power,
    ),
    GateKind(
        "contrast with references", ("forget", "holdout"), _has_contrast, gate_power.compute_auc_power, num_gates=2
    ),
    GateKind(
        "forgotten class distributed like in references",
        ("test",),
        _has_class_gates,
        gate_power.compute_distribution_power,
        expects=("distribution_sd",),
        min_references=2,
    ),
    GateKind(
        "relearning not faster than in references",
        ("forget",),
        _has_class_gates,
        gate_power.compute_relearning_power,
        expects=("relearning_sd",),
        min_references=2,
    ),
    GateKind(
        "error on forget, relative to references",
        ("forget", "holdout"),
        lambda situation: _has_errors(situation) and situation.holdout_is_matched,
        gate_power.compute_error_power,
        expects=("error_variation",),
        min_references=2,
    ),
    GateKind(
        "error on forget, without a control",
        ("forget",),
        lambda situation: _has_errors(situation) and not situation.holdout_is_matched,
        gate_power.compute_period_power,
        expects=("error_variation", "error_sd"),
        min_references=2,
    ),
    GateKind(
        "error in the forgotten range",
        ("forget", "test_retain"),
        lambda situation: (
            _has_errors(situation) and situation.holdout_is_matched and bool(situation.records.get("test_retain"))
        ),
        gate_power.compute_range_power,
        expects=("error_variation", "range_sd"),
        min_references=2,
    ),
    GateKind(
        "signed residuals",
        ("forget", "holdout"),
        lambda situation: situation.task == "regression" and _has_contrast(situation),
        gate_power.compute_auc_power,
    ),
    GateKind(
        "U-LiRA AUC",
        ("forget",),
        lambda situation: situation.tier == "audit",
        gate_power.compute_audit_power,
        expects=("audit_sd",),
        of_shadow_runs=True,
    ),
    GateKind(
        f"U-LiRA TPR at FPR {AUDIT_FPR:.1%}",
        ("forget",),
        lambda situation: situation.tier == "audit",
        gate_power.compute_audit_rate_power,
        of_shadow_runs=True,
    ),
)
