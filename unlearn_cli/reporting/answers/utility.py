"""Answers 'What did it cost?': the level on the records that must be kept; and how good a trained network is."""

import re

from unlearn_cli.reporting.answers.judged_gates import WORKS, describe_gate, list_gates_on_cost, select_verdict
from unlearn_cli.reporting.answers.numbers import (
    describe_references,
    find_estimate,
    find_measure,
    format_change,
    format_count,
    format_estimate,
    format_number,
    format_value,
    is_accuracy,
    measure_references,
    title_measure,
)
from unlearn_cli.reporting.report import Report
from unlearn_cli.stats.results import Estimate
from unlearn_cli.verdict.judgement import Gate

NOT_MEASURED = "Not measured: this report has no measurement on the records that must be kept."
NO_COMPARATOR = "Not measured: neither an original nor a reference was given (--original, --reference)."
DECISIONS = {"inconclusive": "Not decided", "failed": "Failed"}
KEPT_RECORDS = {"test_retain": "other test record", "test": "test record", "retain": "retained record"}
UTILITY = re.compile(
    r"(?P<split>test_retain|test|retain) (?P<measure>(?:subset )?accuracy|mean error) at most (?P<limit>\S+) "
    r"(below|above) the (?P<whose>references|original)'s?(?P<on_test> on test)?"
)
TRAINED_RECORDS = {"train": "training record", "retain": "retained training record"}


def describe_cost(document: Report) -> str:
    """Return the level on test before, after and of the references; of an attack, its gates on these records."""
    for split in KEPT_RECORDS:
        after = find_estimate(document, "subject", split, find_measure(document))
        if after is not None:
            return f"{_compare_levels(document, split, after)}{_describe_epochs(document)}"
    return _describe_gates(list_gates_on_cost(document), len(document.references)) or (
        NO_COMPARATOR if document.judgement and not document.judgement.calibration else NOT_MEASURED
    )


def _describe_epochs(document: Report) -> str:
    """Return ' Unlearning took 0.9 epochs over retain; the original was trained for 20.'; '' if it is not known."""
    epochs, original = document.cost.epochs, document.cost.original_epochs
    if epochs is None:
        return ""
    trained = "" if original is None else f"; the original was trained for {format_number(original)}"
    return f" Unlearning took {format_number(epochs)} epochs over retain{trained}."


def _describe_gates(gates: list[Gate], num_references: int) -> str:
    """Return how many gates on the kept records passed, and the value of each that did not, or of the first one."""
    compared = [gate for gate in gates if not gate.condition.startswith(WORKS) or gate.verdict != "passed"]
    if not compared:
        return ""
    passed = select_verdict(gates, "passed")
    counts = f"{len(passed)} of {format_count(len(gates), 'gate')} on the records that must be kept passed"
    others = [gate for gate in compared if gate.verdict != "passed"]
    if not others and not describe_difference(compared[0], num_references):
        return f"{counts}, such as {describe_gate(compared[0])}."
    by_verdict: dict[str, list[str]] = {}
    for gate in others:
        difference = describe_difference(gate, num_references)
        described = difference[:1].lower() + difference[1:] or describe_gate(gate)
        by_verdict.setdefault(DECISIONS.get(gate.verdict, gate.verdict), []).append(described)
    lead = [describe_difference(compared[0], num_references)] if compared[0] not in others else []
    sentences = [*lead, counts, *(f"{verdict}: {'; '.join(texts)}" for verdict, texts in by_verdict.items())]
    return " ".join(f"{sentence}." for sentence in sentences if sentence)


def describe_difference(gate: Gate, num_references: int) -> str:
    """Return the value of a gate on utility in words: 'Accuracy on 55 test records: +2.0 points [0.5, 3.5] ...'.

    The value of the gate is the accuracy, or minus the error, less that of the comparators. '' for another gate.
    """
    match, value = UTILITY.fullmatch(gate.condition), gate.value
    if match is None or value.value is None or value.low is None or value.high is None:
        return ""
    records = format_count(value.n, KEPT_RECORDS[match["split"]])
    whose = "reference" if (match["whose"], num_references) == ("references", 1) else match["whose"]
    compared = f"compared with the {whose}{' on test records' if match['on_test'] else ''}"
    if match["measure"].endswith("accuracy"):
        change, low, high = (f"{round(100 * bound, 1) + 0.0:+.1f}" for bound in (value.value, value.low, value.high))
        limit = f"at most {100 * float(match['limit']):g} points lower"
        measure = match["measure"].capitalize()
        return f"{measure} on {records}: {change} points [{low}, {high}] {compared} (accepted: {limit})"
    change, low, high = (f"{-bound + 0.0:+.3g}" for bound in (value.value, value.high, value.low))
    limit = f"at most {match['limit'].removesuffix('%')} % higher"
    limit = limit if gate.margin is None else f"{limit}, that is {gate.margin:.3g}"
    return f"Mean absolute error on {records}: {change} [{low}, {high}] {compared} (accepted: {limit})"


def _compare_levels(document: Report, split: str, after: Estimate) -> str:
    measure = find_measure(document)
    before = find_estimate(document, "original", split, measure)
    change = f"{format_change(before, after, measure)}{_format_difference(before, after, measure)}"
    text = f"{title_measure(measure)} on {format_count(after.n, KEPT_RECORDS[split])}: {change}"
    references = measure_references(document, split, measure)
    if references:
        theirs = describe_references(references[1], document.manifest.forget_classes)
        text += f"; {theirs}: {format_value(references[0], measure)}"
    return f"{text}."


def _format_difference(before: Estimate | None, after: Estimate, measure: str) -> str:
    """Return ' (+0.3 points)', or of an error ' (+2.1 %)'; '' without an original."""
    if before is None or before.value is None or after.value is None:
        return ""
    change = after.value - before.value
    if is_accuracy(measure):
        return f" ({100 * change:+.1f} points)"
    return f" ({100 * change / before.value:+.1f} %)" if before.value else ""


def describe_quality(document: Report) -> str:
    """Return the level on test and on the records that the network was trained on."""
    measure = find_measure(document)
    trained_on = document.inputs[0] if document.inputs else "train"
    of_test = "test_retain" if trained_on == "retain" and "test_retain" in document.manifest.splits else "test"
    kinds = {of_test: KEPT_RECORDS[of_test], trained_on: TRAINED_RECORDS.get(trained_on, "record")}
    parts = []
    for split, kind in kinds.items():
        estimate = find_estimate(document, "subject", split, measure)
        if estimate is not None:
            parts.append(f"{format_estimate(estimate, measure)} on {format_count(estimate.n, kind)}")
    return f"{title_measure(measure)}: {'; '.join(parts)}." if parts else "Not measured: the manifest names no data."
