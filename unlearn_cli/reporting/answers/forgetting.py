"""Answers 'Was it forgotten?': first the gates' decision, then the levels of the networks, then the attacks."""

from unlearn_cli.reporting.answers.judged_gates import (
    is_open,
    lack_data,
    list_gates_on_forgetting,
    name_gates,
    select_verdict,
)
from unlearn_cli.reporting.answers.numbers import (
    average_references,
    describe_references,
    find_estimate,
    find_measure,
    format_change,
    format_count,
    format_estimate,
    format_number,
    format_value,
    is_accuracy,
    is_reference,
    join_names,
    measure_references,
    title_measure,
)
from unlearn_cli.reporting.report import Report
from unlearn_cli.stats.intervals import proportion
from unlearn_cli.stats.margins import RECOGNISED_LIMIT
from unlearn_cli.stats.results import AttackResult, Estimate
from unlearn_cli.verdict.over_forgetting_checks import describe_over_forgetting

NOT_MEASURED = "Not answered: this report has no measurement on the forgotten records."
PASSED = {  # the gates on the forgotten records passed, the verdict is
    "passed": "Yes: within the margins, forgotten records are treated {like} ({gates} passed).",
    "passed_screen": "Yes, as far as a screen can show: within the margins, forgotten records are treated {like} "
    "({gates} passed).",
    "failed": "{gates} passed, but others failed: see the cost.",
    "inconclusive": "Not decided: {gates} passed, but the whole verdict is not decided.",
}
NEARER = "Only a screen: the outputs on the forgotten records are nearer to retraining than to the original"
MAIN_ATTACK = "population"  # the attack whose AUC is a gate
OTHER_RECORDS = "not judged: these never-seen records differ from the forgotten ones not only in training"
DECIDED = {
    "nothing_to_forget": "Nothing to forget was detectable: the original passes the same gates.",
    "error": "Not answered: a retrained network fails the same gates, so they cannot judge this one.",
}


def describe_forgetting(document: Report) -> str:
    """Return the answer; a number that is null is omitted, and without any number the answer says so."""
    levels = _describe_recognition(document) if document.manifest.forget_classes else _describe_levels(document)
    parts = [_describe_decision(document), levels, _describe_attack(document), _describe_excess(document)]
    return " ".join(filter(None, parts)) or NOT_MEASURED


def _describe_decision(document: Report) -> str:
    """Return what the gates on the forgotten records decide; '' if none of them failed and there is no judgement."""
    gates = [gate for gate in list_gates_on_forgetting(document) if not is_open(gate)]
    failed, passed, undecided = (select_verdict(gates, verdict) for verdict in ("failed", "passed", "inconclusive"))
    on_forgotten = f"of {format_count(len(gates), 'gate')} on the forgotten records"
    if document.judgement is None or document.verdict is None:
        return f"No: {len(failed)} {on_forgotten} failed." if failed else ""
    if document.verdict in DECIDED:
        return DECIDED[document.verdict]
    if failed:
        return f"No: forgotten records are not treated as after retraining. Failed: {name_gates(failed)}."
    if undecided and document.verdict == "passed_screen":
        return f"{NEARER}, but {len(undecided)} {on_forgotten} {'is' if len(undecided) == 1 else 'are'} not decided."
    if undecided and not lack_data(undecided):
        return f"Not decided: {len(undecided)} {on_forgotten} could not be judged: {name_gates(undecided)}."
    if undecided:
        return f"Not decided: too little data for {len(undecided)} {on_forgotten}."
    like = "like never-seen ones" if _is_judged_directly(document) else "as by networks that never saw them"
    return PASSED.get(document.verdict, "").format(gates=f"{len(passed)} {on_forgotten}", like=like)


def _is_judged_directly(document: Report) -> bool:
    """Return whether a gate compares with never-seen records; otherwise they differ from the forgotten ones anyway."""
    return any(gate.condition.startswith(MAIN_ATTACK) for gate in document.gates)


def _describe_recognition(document: Report) -> str:
    """Return how many records of the forgotten classes are recognised, before, after and by the references."""
    for split, kind in (("test_forget", "test"), ("forget", "training")):
        after = _measure_recognition(document, "subject", split)
        if after is not None:
            return _compare_recognition(document, split, kind, after)
    return ""


def _compare_recognition(document: Report, split: str, kind: str, after: Estimate) -> str:
    before = _measure_recognition(document, "original", split)
    names = document.manifest.forget_classes or []
    change = format_change(before, after, "accuracy")
    roles = {confusion.role for confusion in document.confusions} | set(document.metrics)
    references = average_references(_measure_recognition(document, role, split) for role in filter(is_reference, roles))
    theirs = ""
    if references:
        theirs = f"; {describe_references(references[1], names)}: {format_value(references[0], 'accuracy')}"
    is_accuracy = find_estimate(document, "subject", split, "accuracy") is not None or len(names) == 1
    lead = _name_recognition(before, after, "recognise" if is_accuracy else "predict one of", join_names(names))
    return f"{lead}: {change} of {format_count(after.n, f'{kind} record')}{theirs}."


def _name_recognition(before: Estimate | None, after: Estimate, verb: str, names: str) -> str:
    """Return the lead of the sentence; `verb` is in its plural form, such as 'recognise'."""
    singular = verb.replace("recognise", "recognises").replace("predict", "predicts")
    if (after.value or 0.0) > RECOGNISED_LIMIT:
        return f"The network still {singular} {names}{' in part' if (after.value or 0.0) < 0.5 else ''}"
    if before is None:
        return f"The network does not {verb} {names}"
    if (before.value or 0.0) <= RECOGNISED_LIMIT:
        return f"Neither the original nor this network {singular} {names}"
    return f"The network no longer {singular} {names}"


def _measure_recognition(document: Report, role: str, split: str) -> Estimate | None:
    """Return the accuracy on records of the forgotten classes; without metrics, the share predicted as one of them."""
    accuracy = find_estimate(document, role, split, "accuracy")
    if accuracy is not None:
        return accuracy
    for confusion in document.confusions:
        if (confusion.role, confusion.split) == (role, split) and confusion.n:
            hits = sum(confusion.counts.get(name, 0) for name in document.manifest.forget_classes or [])
            return proportion(hits, confusion.n)
    return None


def _describe_levels(document: Report) -> str:
    """Return the accuracy or error on the forgotten records, compared with never-seen ones and the references."""
    measure = find_measure(document)
    after = find_estimate(document, "subject", "forget", measure)
    if after is None:
        return ""
    before = find_estimate(document, "original", "forget", measure)
    parts = [f"{title_measure(measure)} on {format_count(after.n, 'forgotten record')}: "]
    parts[0] += format_change(before, after, measure) + _format_ratio(before, after, measure)
    references = measure_references(document, "forget", measure)
    if references:
        parts.append(f"{describe_references(references[1])}: {format_value(references[0], measure)}")
    unseen = _find_unseen(document, measure)
    if unseen is not None:
        parts.append(f"on {unseen.n:,} never-seen test records: {format_estimate(unseen, measure)}")
    compared = _compare_with_unseen(after, unseen, references[0] if references else None, measure)
    return f"{compared}. {'; '.join(parts)}."


def _format_ratio(before: Estimate | None, after: Estimate, measure: str) -> str:
    """Return the error as a multiple of the original's; '' for an accuracy."""
    if is_accuracy(measure) or before is None or not before.value or after.value is None:
        return ""
    return f" ({after.value / before.value:.3g} times the original's)"


def _find_unseen(document: Report, measure: str) -> Estimate | None:
    """Return the network's level on never-seen records: those of the same selection, or else all of test."""
    same = find_estimate(document, "subject", "test_forget", measure)
    return same if same is not None and same.n > 1 else find_estimate(document, "subject", "test", measure)


def _compare_with_unseen(after: Estimate, unseen: Estimate | None, retrained: float | None, measure: str) -> str:
    """Return whether the interval on forget excludes the references' mean, or the interval on never-seen records."""
    if retrained is not None:
        low, high, other = retrained, retrained, "by networks that never saw them"
    elif unseen is not None and unseen.low is not None and unseen.high is not None:
        low, high, other = unseen.low, unseen.high, "never-seen ones"
    else:
        return "There is nothing to compare the forgotten records with"
    if after.low is None or after.high is None:
        return "Not decided: the level on the forgotten records has no interval"
    better = after.low > high if is_accuracy(measure) else after.high < low
    worse = after.high < low if is_accuracy(measure) else after.low > high
    if better or worse:
        return f"Forgotten records are predicted {'better' if better else 'worse'} than {other}"
    level = "accuracy" if is_accuracy(measure) else "error"
    return f"No difference in {level} was detected: forgotten records are predicted about as well as {other}"


def _describe_attack(document: Report) -> str:
    """Return the AUC of the main attack on the network, the original and the references."""
    ours = _find_main_attack(document.attacks)
    if ours is None or ours.auc.value is None:
        return ""
    others = {attack.role: attack.auc for attack in document.attacks if attack.name == ours.name}
    parts = [f"the AUC is {format_estimate(ours.auc)} ({ours.num_members:,} and {ours.num_non_members:,} records)"]
    original = others.get("original")
    if original is not None and original.value is not None:
        parts.append(f"original {format_number(original.value)}")
    references = average_references(auc for role, auc in others.items() if is_reference(role))
    if references:
        label = "reference" if references[1] == 1 else f"{references[1]} references on average"
        parts.append(f"{label} {format_number(references[0])}")
    is_usual = (ours.members, ours.non_members) == ("forget", "holdout")
    sides = "forgotten against never-seen records" if is_usual else f"{ours.members} against {ours.non_members}"
    if document.judgement is not None and not _is_judged_directly(document):
        parts.append(OTHER_RECORDS)
    return f"Attack '{ours.name}', {sides} (0.5 is chance): {'; '.join(parts)}."


def _find_main_attack(attacks: list[AttackResult]) -> AttackResult | None:
    """Return the attack on the network that the gates use: population, or else the first one."""
    ours = [attack for attack in attacks if attack.role == "subject"]
    return next((attack for attack in ours if attack.name == MAIN_ATTACK), ours[0] if ours else None)


def _describe_excess(document: Report) -> str:
    result = document.over_forgetting
    if result is None or not result.detected or result.limit is None:
        return ""
    return describe_over_forgetting(result)
