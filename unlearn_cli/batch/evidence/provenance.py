"""Which checkpoint a batch run made of which, how, and for which requests: SLSA Provenance.

Source: https://slsa.dev/spec/v1.0/provenance.
"""

from datetime import UTC, datetime
from typing import Any

from unlearn_cli.batch.evidence.statement import (
    CANONICAL,
    CHAIN,
    KEYED,
    Descriptor,
    Facts,
    Statement,
    attack,
    checkpoint,
    file,
    manifest,
    of_subject,
    statement,
)
from unlearn_cli.reporting.report import Report

PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
BUILDER = "pkg:pypi/unlearn-cli"
BUILD_TYPE = f"{BUILDER}#batch-run/v1"


def provenance(facts: Facts, unlearned: Report, attacked: Report | None) -> Statement:
    """Return the statement; its subjects are the new checkpoint and the reports."""
    reports = [facts.unlearned, *([facts.attacked] if facts.attacked else [])]
    predicate = {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": _asked(unlearned, attacked),
            "internalParameters": {
                "inputs": unlearned.inputs,
                "found": unlearned.found,
                "environment": unlearned.environment,
            },
            "resolvedDependencies": _dependencies(facts, unlearned),
        },
        "runDetails": {
            "builder": {"id": BUILDER, "version": {"unlearn-cli": unlearned.tool_version}},
            "metadata": {
                "invocationId": facts.run,
                "startedOn": _utc(facts.started),
                "finishedOn": _utc(facts.finished),
            },
        },
    }
    return statement([*checkpoint(facts.after, unlearned.subject), *map(file, reports)], PREDICATE_TYPE, predicate)


def _asked(unlearned: Report, attacked: Report | None) -> dict[str, Any]:
    return {
        "method": unlearned.method,
        "settings": unlearned.settings,
        "seed": unlearned.seed,
        "gates": [gate.condition for gate in of_subject(unlearned)],
        "attack": attack(attacked),
    }


def _dependencies(facts: Facts, unlearned: Report) -> list[Descriptor]:
    return [
        *checkpoint(facts.before, unlearned.original),
        manifest(unlearned),
        {"name": "selection", "digest": {KEYED: facts.selection}},
        *({"name": "request", "digest": {CANONICAL: digest}} for digest in facts.requests),
        {"name": "ledger", "digest": {CHAIN: facts.ledger}},
    ]


def _utc(time: str) -> str:
    """Write a time as RFC 3339 has it, in UTC."""
    return datetime.fromisoformat(time).astimezone(UTC).isoformat().replace("+00:00", "Z")
