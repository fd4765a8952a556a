"""Format numbers and names for sentences, and find them in a report."""

import statistics
from collections.abc import Iterable, Sequence

from unlearn_cli.reporting.report import Report
from unlearn_cli.stats.results import Estimate

MOST_NAMES = 5
MEASURES = {"classification": "accuracy", "regression": "mae", "multilabel": "subset_accuracy"}  # of sentences, by task
ACCURACIES = {"accuracy", "subset_accuracy"}
TITLES = {
    "accuracy": "Accuracy",
    "mae": "Mean absolute error",
    "subset_accuracy": "Subset accuracy",
}


def format_number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def format_share(value: float) -> str:
    return f"{100 * value:.1f} %"


def format_value(value: float, measure: str) -> str:
    """Format an accuracy as a percentage, and any other quantity as a number."""
    return format_share(value) if is_accuracy(measure) else format_number(value)


def is_accuracy(measure: str) -> bool:
    """Return whether a measure is a share of right predictions; otherwise it is an error."""
    return measure in ACCURACIES


def format_estimate(estimate: Estimate | None, measure: str = "") -> str:
    """Format a value with its 95 % interval, such as '97.9 % [89.1, 99.6]'; or 'not measured (reason)'."""
    if estimate is None or estimate.value is None:
        reason = estimate.reason if estimate else None
        return f"not measured ({reason})" if reason else "not measured"
    value = format_value(estimate.value, measure)
    if estimate.low is None or estimate.high is None:
        return value
    bounds = [format_value(bound, measure).removesuffix(" %") for bound in (estimate.low, estimate.high)]
    return f"{value} [{', '.join(bounds)}]"


def format_change(before: Estimate | None, after: Estimate | None, measure: str) -> str:
    """Format 'before → after'; without an original only the value after."""
    ours = format_estimate(after, measure)
    if before is None or before.value is None:
        return ours
    return f"{format_value(before.value, measure)} → {ours}"


def join_names(names: Sequence[str]) -> str:
    """Return 'a', 'a and b', 'a, b and c', or 'a, b, c and 2 others'."""
    shown = list(names[:MOST_NAMES])
    left = len(names) - len(shown)
    if left:
        shown.append(f"{left} other{'s' if left > 1 else ''}")
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def format_count(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def find_estimate(document: Report, role: str, split: str, measure: str) -> Estimate | None:
    """Return an estimate that has a value, or None."""
    estimate = document.metrics.get(role, {}).get(split, {}).get(measure)
    return estimate if estimate is not None and estimate.value is not None else None


def is_reference(role: str) -> bool:
    return role.startswith("reference")


def average_references(estimates: Iterable[Estimate | None]) -> tuple[float, int] | None:
    """Return the mean of the references' values and their number; None if there is none."""
    values = [estimate.value for estimate in estimates if estimate is not None and estimate.value is not None]
    return (statistics.fmean(values), len(values)) if values else None


def measure_references(document: Report, split: str, measure: str) -> tuple[float, int] | None:
    """Return the mean of a metric over the references, and their number."""
    roles = filter(is_reference, document.metrics)
    return average_references(find_estimate(document, role, split, measure) for role in roles)


def find_measure(document: Report) -> str:
    """Return the metric that the sentences are about: accuracy, or the mean absolute error of a regression."""
    return MEASURES[document.manifest.task]


def title_measure(measure: str) -> str:
    return TITLES.get(measure, measure)


def count_records(document: Report, split: str) -> int:
    of_split = document.manifest.splits.get(split)
    return of_split.n if of_split else 0


def name_forgotten(document: Report) -> str:
    """Return 'the class 3', 'the classes 3 and 5', or '135 selected records'."""
    names = document.manifest.forget_classes
    if names:
        return f"the class{'es' if len(names) > 1 else ''} {join_names(names)}"
    return format_count(count_records(document, "forget"), "selected record")


def describe_references(count: int, classes: Sequence[str] | None = None) -> str:
    """Return 'a network that never saw 3', or '4 networks that never saw them, on average'."""
    unseen = classes[0] if classes and len(classes) == 1 else "them"
    return (
        f"a network that never saw {unseen}" if count == 1 else f"{count} networks that never saw {unseen}, on average"
    )
