"""How numbers are written for people: rates as percentages, other numbers with four digits, nothing without its n."""

import json
from datetime import UTC, datetime
from typing import Any

from unlearn_cli.reporting.report import Report
from unlearn_cli.stats.results import Estimate
from unlearn_cli.verdict.judgement import Gate

DASH, PERCENT = "—", "\u00a0%"
SHARES = ("accuracy", "agreement", "completeness", "share", "tpr")
VERDICT_MARKS = {
    "passed": "✓",
    "passed_screen": "✓",
    "failed": "✗",
    "inconclusive": "?",
    "nothing_to_forget": "?",
    "error": "!",
}


def is_share(name: str) -> bool:
    """Say whether a quantity of this name is written as a percentage."""
    return any(word in name for word in SHARES)


def share(value: float) -> str:
    """Write a rate as a percentage; one below 0.1 % keeps two digits, so that it does not look like none."""
    digits = f"{100 * value:.2g}" if 0 < value < 0.001 else f"{100 * value:.1f}"
    return f"{digits}{PERCENT}"


def level(value: float) -> str:
    """Write a rate that somebody chose, such as a false-positive rate of 0.1 %."""
    return f"{100 * value:g}{PERCENT}"


def number(value: float) -> str:
    """Write any other number with four significant digits."""
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def quantity(value: float | None, name: str) -> str:
    """Write a value of a metric."""
    if value is None:
        return DASH
    return share(value) if is_share(name) else number(value)


def interval(estimate: Estimate, name: str) -> str:
    """Write the 95 % interval, or nothing when there is none."""
    if estimate.low is None or estimate.high is None:
        return ""
    low, high = quantity(estimate.low, name), quantity(estimate.high, name)
    between = "\u00a0to\u00a0" if low.startswith("-") else "\u2013"
    return f"{low.removesuffix(PERCENT)}{between}{high}"


def gate_quantity(gate: Gate) -> str:
    """Return the name of the quantity that a gate such as `forget.accuracy <= 0.05` is about."""
    return gate.condition.split()[0].rsplit(".", 1)[-1] if gate.condition.strip() else ""


def count_of(estimate: Estimate) -> str:
    """Write a share as the counts it comes from."""
    return f"{round((estimate.value or 0.0) * estimate.n):,} of {estimate.n:,}"


def prior(text: str) -> str:
    """Write the prior of a `ppv_at_prior` entry, whose key is a number in text."""
    try:
        return level(float(text))
    except ValueError:
        return text


def duration(seconds: float) -> str:
    """Write a time in the largest unit that leaves it readable."""
    if seconds < 60:
        return f"{seconds:.3g}\u00a0s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}\u00a0min {rest}\u00a0s" if minutes < 60 else f"{minutes // 60}\u00a0h {minutes % 60}\u00a0min"


def when(text: str) -> str:
    """Write a time stamp of the report to the minute."""
    try:
        return f"{datetime.fromisoformat(text).astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    except ValueError:
        return text


def size(num_bytes: int) -> str:
    """Write an amount of memory."""
    return f"{num_bytes / 2**30:.2f}\u00a0GiB" if num_bytes >= 2**30 else f"{num_bytes / 2**20:.1f}\u00a0MiB"


def plain(value: Any) -> str:
    """Write a setting: text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)


def spaced(name: str) -> str:
    """Write a field's name as words."""
    return name.replace("_", " ")


def verdict_words(report: Report) -> str:
    """Say the verdict in one sentence that claims no more than the gates do."""
    total = len(report.gates)
    agreeing = sum(gate.verdict == report.verdict for gate in report.gates)
    if report.judgement is not None:
        tier = f" ({report.judgement.tier} tier)"
        return {
            "passed": "Passed: within the margins of a retrained network, as far as these attacks see",
            "passed_screen": "Passed as a screen: weak attacks found no leak; a stronger tier may",
            "failed": "Failed: what was forgotten, or what was kept, is not as after retraining",
            "inconclusive": "Not decided: the data is too little to say either way",
            "nothing_to_forget": "Nothing to forget: the original passes as well, so passing says nothing",
            "error": "Uninformative: the controls did not come out as they must",
        }.get(report.verdict or "", "No verdict") + tier
    if report.verdict == "passed":
        return f"All {total} gates passed" if total != 1 else "The one gate asked for passed"
    if report.verdict == "failed":
        return f"{agreeing} of {total} gates failed"
    if report.verdict == "inconclusive":
        return f"Not decided: the data is too little for {agreeing} of {total} gates"
    return "No gate was asked for, so there is no verdict"


FILTERS = {
    "share": share,
    "level": level,
    "number": number,
    "quantity": quantity,
    "interval": interval,
    "gate_quantity": gate_quantity,
    "count_of": count_of,
    "prior": prior,
    "duration": duration,
    "when": when,
    "size": size,
    "plain": plain,
    "spaced": spaced,
}
