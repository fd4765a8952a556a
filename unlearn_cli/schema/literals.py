"""Literals that manifests, options and reports share."""

from typing import Literal

Task = Literal["classification", "regression", "multilabel"]
Role = Literal["subject", "original", "reference", "trained"]
Half = Literal["selection", "verdict", "all"]


def name_role(role: str) -> str:
    """Return the name of a checkpoint for people; the role 'subject' of reports is the unlearned network."""
    return "unlearned" if role == "subject" else role.replace("_", " ")
