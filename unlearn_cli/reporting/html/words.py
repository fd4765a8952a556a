"""Format numbers for the page: rates as percentages, other numbers with four digits, each with its n."""

import json
import re
from datetime import UTC, datetime
from typing import Any

from unlearn_cli.reporting.answers.judged_gates import (
    is_on_cost,
    lack_data,
    list_gates,
    list_gates_on_forgetting,
    select_verdict,
)
from unlearn_cli.reporting.answers.numbers import join_names
from unlearn_cli.reporting.report import Report
from unlearn_cli.stats.results import Estimate
from unlearn_cli.verdict.judgement import Gate

DASH, PERCENT = "—", "\u00a0%"
SHARES = ("accuracy", "agreement", "completeness", "share", "tpr")
SENTENCE_END = re.compile(r"(?<=[.!?]) (?=[A-Z'\d])")
KINDS = {
    "unlearn": "Unlearning report",
    "evaluate": "Evaluation report",
    "attack": "Attack report",
    "train": "Training report",
}
ABBREVIATIONS = {
    **{word: word.upper() for word in ("auc", "fpr", "js", "kl", "mae", "rmse", "svc", "tpr", "zrf")},
    "r2": "R²",
    "delong": "DeLong",
    "klom": "KLoM",
    "wilson": "Wilson",
    "woodruff": "Woodruff",
}
VERDICT_MARKS = {
    "passed": "✓",
    "passed_screen": "✓",
    "failed": "✗",
    "inconclusive": "?",
    "nothing_to_forget": "?",
    "error": "!",
}


def is_share(name: str) -> bool:
    """Return whether a quantity of this name is formatted as a percentage."""
    return any(word in name for word in SHARES)


def format_share(value: float) -> str:
    """Format a rate as a percentage; a rate below 0.1 % has two digits, so that it does not look like 0."""
    digits = f"{100 * value:.2g}" if 0 < value < 0.001 else f"{100 * value:.1f}"
    return f"{digits}{PERCENT}"


def format_level(value: float) -> str:
    """Format a rate that is a setting, such as a false-positive rate of 0.1 %."""
    return f"{100 * value:g}{PERCENT}"


def format_number(value: float) -> str:
    """Format any other number with four significant digits."""
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def format_quantity(value: float | None, name: str) -> str:
    """Format a value of a metric."""
    if value is None:
        return DASH
    return format_share(value) if is_share(name) else format_number(value)


def format_interval(estimate: Estimate, name: str) -> str:
    """Format the 95 % interval, or return "" where there is none."""
    if estimate.low is None or estimate.high is None:
        return ""
    low, high = format_quantity(estimate.low, name), format_quantity(estimate.high, name)
    between = "\u00a0to\u00a0" if low.startswith("-") else "\u2013"
    return f"{low.removesuffix(PERCENT)}{between}{high}"


def find_gate_quantity(gate: Gate) -> str:
    """Return the name of the quantity in the condition of a gate, such as `accuracy` in `forget.accuracy <= 0.05`."""
    return gate.condition.split()[0].rsplit(".", 1)[-1] if gate.condition.strip() else ""


def format_count(estimate: Estimate) -> str:
    """Format a share as hits of n."""
    return f"{round((estimate.value or 0.0) * estimate.n):,} of {estimate.n:,}"


def format_prior(text: str) -> str:
    """Format the key of a `ppv_at_prior` entry, a number as text."""
    try:
        return format_level(float(text))
    except ValueError:
        return text


def format_duration(seconds: float) -> str:
    """Format a duration in seconds, minutes or hours."""
    if seconds < 60:
        return f"{seconds:.3g}\u00a0s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}\u00a0min {rest}\u00a0s" if minutes < 60 else f"{minutes // 60}\u00a0h {minutes % 60}\u00a0min"


def format_time(text: str) -> str:
    """Format a time stamp of the report to the minute."""
    try:
        return f"{datetime.fromisoformat(text).astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    except ValueError:
        return text


def format_size(num_bytes: int) -> str:
    """Format an amount of memory."""
    return f"{num_bytes / 2**30:.2f}\u00a0GiB" if num_bytes >= 2**30 else f"{num_bytes / 2**20:.1f}\u00a0MiB"


def format_setting(value: Any) -> str:
    """Format a setting: text unchanged, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)


def replace_underscores(name: str) -> str:
    """Return a field's name as words, with abbreviations in capitals."""
    return " ".join(ABBREVIATIONS.get(word, word) for word in name.replace("_", " ").split(" "))


def format_p_value(value: float | None) -> str:
    """Format a p-value; one below 0.001 as such."""
    if value is None:
        return DASH
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def split_sentences(text: str) -> list[str]:
    """Return the sentences of an answer; a number and its percent sign stay on one line."""
    return SENTENCE_END.sub("\n", text.replace(" %", PERCENT)).split("\n")


def capitalize_first(text: str) -> str:
    """Return text with a capital first letter; unlike `str.capitalize`, abbreviations stay in capitals."""
    return text[:1].upper() + text[1:]


def title_role(role: str, report: Report) -> str:
    """Return the title of a checkpoint by its role in the report: original, unlearned, reference."""
    return (
        "Unlearned"
        if role == "subject" and report.command == "unlearn"
        else role.replace("subject", "network").capitalize()
    )


def describe_report(report: Report) -> str:
    """Return the heading of the page: the kind of report, and what was to be forgotten."""
    kind = KINDS.get(report.command, report.command)
    split = report.manifest.splits.get("forget")
    if report.command == "train" or not split:
        return kind
    classes = report.manifest.forget_classes
    return f"{kind}: forget {join_names(classes) if classes else f'{split.n:,} records'}"


def judges_forgetting(report: Report) -> bool:
    """Return whether a gate is about the forgotten records; without one, passed gates say nothing about them."""
    return bool(list_gates_on_forgetting(report))


def classify_verdict(report: Report) -> str:
    """Return the class of the verdict's box, which decides its colour."""
    if report.verdict == "passed" and not judges_forgetting(report):
        return "inconclusive"
    return report.verdict or "none"


def describe_verdict(report: Report) -> str:
    """Return the verdict as one sentence on the gates."""
    total = len(report.gates)
    agreeing = sum(gate.verdict == report.verdict for gate in report.gates)
    if report.judgement is not None:
        tier = f" ({report.judgement.tier} tier)"
        return {
            "passed": "Passed: within the margins of a retrained network, for these attacks",
            "passed_screen": describe_screen(report.judgement.tier),
            "failed": describe_failure(report),
            "inconclusive": describe_indecision(report),
            "nothing_to_forget": "Nothing to forget: the original passes, so these gates cannot show forgetting",
            "error": "Error: the controls have the wrong verdicts, so these gates cannot judge the checkpoint",
        }.get(report.verdict or "", "No verdict") + tier
    if report.verdict == "passed":
        passed = {1: "The only gate passed", 2: "Both gates passed"}.get(total, f"All {total} gates passed")
        return passed if judges_forgetting(report) else f"{passed}; none is about the forgotten records"
    if report.verdict == "failed":
        return f"{agreeing} of {total} gates failed"
    if report.verdict == "inconclusive":
        return f"Not decided: too little data for {agreeing} of {total} gates"
    return "No gates, so no verdict"


def describe_indecision(report: Report) -> str:
    """Return why the verdict is not decided: too little data, or another reason, which the answers name."""
    undecided = select_verdict(list_gates(report), "inconclusive")
    if lack_data(undecided):
        return "Not decided: too little data to decide"
    return "Not decided: the controls or some gates could not be judged"


def describe_screen(tier: str) -> str:
    """Return why a pass is only a screen: the attacks of the quick tier are weak; otherwise it depends."""
    if tier == "quick":
        return "Passed as a screen: weak attacks found no leak; a stronger tier may find one"
    return "Passed as a screen only, for the reason under 'How sure is that?'"


def describe_failure(report: Report) -> str:
    """Return which records fail: the forgotten ones, those that must be kept, or both."""
    failed = [gate for gate in report.gates if gate.role == "subject" and gate.verdict == "failed"]
    on_cost = sum(map(is_on_cost, failed))
    parts = {
        "forgotten records are not treated as after retraining": on_cost < len(failed),
        "other records are predicted worse": on_cost > 0,
    }
    return f"Failed: {' and '.join(text for text, applies in parts.items() if applies)}"


FILTERS = {
    "p_value": format_p_value,
    "sentences": split_sentences,
    "role_of": title_role,
    "share": format_share,
    "level": format_level,
    "number": format_number,
    "quantity": format_quantity,
    "interval": format_interval,
    "gate_quantity": find_gate_quantity,
    "count_of": format_count,
    "prior": format_prior,
    "duration": format_duration,
    "when": format_time,
    "size": format_size,
    "plain": format_setting,
    "spaced": replace_underscores,
}
