"""Texts on how an attempt ended: with the attack's verdict, and the setting that accepts it if it is not a pass."""

from collections.abc import Mapping
from typing import Any


def describe_attempt(attempt: Mapping[str, Any]) -> str:
    """Return how an attempt ended; `attempt` is the body of its event."""
    if not attempt["passed"]:
        return f"failed: {'; '.join(attempt['failed'])}"
    verdict = describe_verdict(attempt)
    return f"passed; {verdict}" if verdict else "passed"


def describe_verdict(attempt: Mapping[str, Any]) -> str:
    """Return the attack's verdict of an attempt that passed; an empty text for a pass, or without an attack."""
    verdict, policy = attempt.get("verdict"), attempt.get("policy")
    if verdict in (None, "passed"):
        return ""
    accepted = f", accepted by {policy}" if policy else ""
    return f"the attack's verdict is {verdict}{accepted}"
