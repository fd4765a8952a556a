"""Answers 'How sure is that?': the verdict, the controls, what was and was not tested, and what would decide more."""

from unlearn_cli.reporting.answers.judged_gates import (
    is_on_cost,
    is_open,
    lack_data,
    list_gates,
    name_gates,
    select_verdict,
)
from unlearn_cli.reporting.answers.numbers import format_count, is_reference, join_names
from unlearn_cli.reporting.report import Report
from unlearn_cli.stats.margins import AUC_MARGIN
from unlearn_cli.verdict.advice import advice
from unlearn_cli.verdict.judgement import UNDECIDED, Gate, Judgement
from unlearn_cli.verdict.tiers import describe_tier

VERDICTS = {
    "passed": "passed",
    "passed_screen": "passed as a screen",
    "failed": "failed",
    "inconclusive": "not decided",
    "nothing_to_forget": "nothing to forget",
    "error": "no verdict (error)",
}
STRONGER = {
    "quick": "A stronger test: --tier standard with at least four references.",
    "standard": "A stronger test: --tier audit, with the runs of 'unlearn-cli shadow'.",
}
NO_ATTACK = "No attack was run: 'unlearn-cli attack' tests whether forgotten and never-seen records can be told apart."
NO_TIER = "Attacks by name give no verdict: --tier runs those of a tier, and judges them."
NO_REFERENCE = "No reference was given: 'unlearn-cli train --split retain' makes a network that never saw the records."
ONE_REFERENCE = "With one reference, the variation from training to training is unknown; more references show it."
ONE_NETWORK = "Intervals are 95 %; they describe other records of the same kind, not another training."
OUTCOMES = {"failed": "failed", "inconclusive": "not decided"}
SHOULD = "it should fail"
OF_MASK = {"failed": "as it must", "passed": "so passing these gates shows no more than such an edit"}
MOST_REASONS = 3
FINAL = ("failed", "error")  # verdicts that neither a stronger test nor more records change


def describe_certainty(document: Report) -> str:
    """Return the verdict in words with its tier, the controls, and what would make it surer."""
    parts = _describe_judgement(document, document.judgement) if document.judgement else _describe_conditions(document)
    return " ".join([*parts, *_describe_references(document)])


def describe_certainty_of_training(document: Report) -> str:
    """Return what the numbers of a network on which nothing was unlearned do and do not show."""
    return " ".join([*_count_conditions(list_gates(document)), ONE_NETWORK])


def _describe_judgement(document: Report, judgement: Judgement) -> list[str]:
    gates = list_gates(document)
    undecided = select_verdict(gates, "inconclusive")
    sizes = _describe_sizes(document, judgement, undecided)
    without = FINAL if judgement.tier == "quick" else (*FINAL, "inconclusive")  # audit needs as many records
    needs_records = lack_data(undecided) and not (sizes and judgement.advice)
    return [
        *describe_verdict(document, judgement),
        *_describe_margin(judgement),
        *_describe_mask(gates),
        *_describe_reasons(judgement, gates, needs_records=needs_records),
        *sizes,
        *filter(None, [describe_tier(judgement.tier)]),
        *([STRONGER[judgement.tier]] if judgement.tier in STRONGER and document.verdict not in without else []),
    ]


def describe_verdict(document: Report, judgement: Judgement) -> list[str]:
    """Return the verdict with the number of gates that passed, and the verdicts of the controls."""
    of = f"{judgement.tier} tier" + (f", attempt {judgement.attempts}" if judgement.attempts > 1 else "")
    verdict = VERDICTS[document.verdict] if document.verdict else "no verdict"
    counts = _count_gates(list_gates(document))
    return [f"Verdict of the {of}: {verdict}; {counts}.", *_describe_controls(judgement)]


def _count_gates(gates: list[Gate]) -> str:
    """Return '5 of 8 gates passed, 3 not decided'; an undecided gate that is not required is not counted."""
    gates = [gate for gate in gates if not is_open(gate)]
    counts = {word: len(select_verdict(gates, verdict)) for verdict, word in OUTCOMES.items()}
    others = [f"{count} {word}" for word, count in counts.items() if count]
    return ", ".join([f"{len(select_verdict(gates, 'passed'))} of {format_count(len(gates), 'gate')} passed", *others])


def _describe_controls(judgement: Judgement) -> list[str]:
    """Return one sentence on the verdicts of the original, which must fail, and of the references."""
    if not judgement.calibration:
        return ["No control was judged (--original, --reference)."]
    parts = []
    original = judgement.calibration.get("original")
    if original is not None:
        parts.append(f"the original {VERDICTS[original]} ({'as it must' if original == 'failed' else SHOULD})")
    mask = judgement.calibration.get("mask")
    if mask is not None:
        parts.append(f"an edit of one row of the last layer (mask) {VERDICTS[mask]} ({OF_MASK.get(mask, SHOULD)})")
    references = [verdict for role, verdict in judgement.calibration.items() if is_reference(role)]
    for verdict in dict.fromkeys(references):
        number = references.count(verdict)
        which = "the reference" if len(references) == 1 else f"{number} of {len(references)} references"
        parts.append(f"{which} {VERDICTS[verdict]}")
    return [f"Controls by the same gates: {join_names(parts)}."]


def _describe_margin(judgement: Judgement) -> list[str]:
    """Return the margin of the AUC if it is not the default."""
    if judgement.auc_margin == AUC_MARGIN:
        return []
    return [f"The margin of the AUC is {judgement.auc_margin:g}; the default is {AUC_MARGIN:g}."]


def _describe_mask(gates: list[Gate]) -> list[str]:
    """Return which of the passed gates an edit of one row does not pass, too; nothing without this control."""
    passed = [gate for gate in select_verdict(gates, "passed") if gate.passed_by_mask is not None]
    beyond = [gate.condition for gate in passed if not gate.passed_by_mask]
    if not passed:
        return []
    count = len(passed) - len(beyond)
    share = f"{count} of the {len(passed)}" if beyond else "all"
    others = f", but not: {join_names(beyond)}" if beyond else ""
    return [f"The edit of one row also passes {share} gates that this network passes{others}."]


def _describe_reasons(judgement: Judgement, gates: list[Gate], *, needs_records: bool) -> list[str]:
    """Return the reasons of the verdict, and those of undecided gates without the gates' names, each once.

    `needs_records`: with reasons that only state that more records are needed.
    """
    conditions = {f"{gate.condition}: {gate.reason}": gate.reason for gate in gates if gate.reason}
    reasons = list(dict.fromkeys(conditions.get(reason) or reason for reason in judgement.reasons))
    if not needs_records:
        reasons = [reason for reason in reasons if not reason.startswith(("needs", UNDECIDED))]
    sentences = [f"A gate {reason}" if reason.startswith("needs") else reason for reason in reasons]
    return [f"{capitalize(sentence)}." for sentence in sentences[:MOST_REASONS] if sentence]


def _describe_sizes(document: Report, judgement: Judgement, undecided: list[Gate]) -> list[str]:
    """Return what is needed to decide the gates, if some are undecided; of old reports, only for an AUC."""
    if not undecided or document.verdict in FINAL:
        return []
    if judgement.advice:
        of_cost = any(map(is_on_cost, undecided))
        needs = [sentence for sentence in judgement.advice if of_cost or not sentence.startswith("utility")]
        return [f"{capitalize(sentence)}." for sentence in needs[:MOST_REASONS]]
    ours = next((attack for attack in document.attacks if attack.role == "subject"), None)
    if ours is None or not any("AUC" in gate.condition for gate in undecided):
        return []
    return [f"{advice(ours.num_members, ours.num_non_members, judgement.auc_margin)[0]}."]


def capitalize(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def _describe_conditions(document: Report) -> list[str]:
    """Return how many conditions of the manifest hold, and that no attack was run or that its tier is missing."""
    if document.command == "attack":
        return [NO_TIER]
    return [*_count_conditions(list_gates(document)), NO_ATTACK]


def _count_conditions(gates: list[Gate]) -> list[str]:
    """Return how many conditions hold, and those that do not."""
    if not gates:
        return ["No gate was set."]
    others = [gate for gate in gates if gate.verdict != "passed"]
    names = f": {name_gates(others)}" if others else ""
    return [f"{_count_gates(gates)}{names}.", "A condition compares values, not intervals."]


def _describe_references(document: Report) -> list[str]:
    if not document.references:
        return [NO_REFERENCE]
    count, seeds = len(document.references), {reference.lineage.get("seed") for reference in document.references}
    if count == 1:
        return [ONE_REFERENCE]
    of_seeds = "" if None in seeds else f" of {format_count(len(seeds), 'training seed')}"
    return [f"{count} references{of_seeds} were used."]
