"""How an attempt ended, in words: with the attack's verdict, and the policy that let it through."""

from collections.abc import Mapping
from typing import Any


def describe(attempt: Mapping[str, Any]) -> str:
    """Return how an attempt ended; `attempt` is the body of its event."""
    if not attempt["passed"]:
        return f"failed: {'; '.join(attempt['failed'])}"
    verdict = describe_verdict(attempt)
    return f"passed; {verdict}" if verdict else "passed"


def describe_verdict(attempt: Mapping[str, Any]) -> str:
    """Return the attack's verdict of an attempt that passed, unless that is a pass: it might have let nothing pass."""
    verdict, policy = attempt.get("verdict"), attempt.get("policy")
    if verdict in (None, "passed"):
        return ""
    let_through = f", let through by {policy}" if policy else ""
    return f"the attack's verdict is {verdict}{let_through}"
