"""The statement about how a batch run made a checkpoint, from which one and for which requests: SLSA Provenance.

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
    build_statement,
    describe_attack,
    describe_checkpoint,
    describe_file,
    describe_manifest,
    select_subject_gates,
)
from unlearn_cli.reporting.report import Report

PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
BUILDER = "pkg:pypi/unlearn-cli"
BUILD_TYPE = f"{BUILDER}#batch-run/v1"


def build_provenance(facts: Facts, unlearned: Report, attacked: Report | None) -> Statement:
    """Return the statement; its subjects are the new checkpoint and the reports."""
    reports = [facts.unlearned, *([facts.attacked] if facts.attacked else [])]
    predicate = {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": _list_parameters(unlearned, attacked),
            "internalParameters": {
                "inputs": unlearned.inputs,
                "heldOut": unlearned.subject.lineage.get("held_out") if unlearned.subject else None,
                "half": unlearned.manifest.half,
                "found": unlearned.found,
                "environment": unlearned.environment,
            },
            "resolvedDependencies": _list_dependencies(facts, unlearned),
        },
        "runDetails": {
            "builder": {"id": BUILDER, "version": {"unlearn-cli": unlearned.tool_version}},
            "metadata": {
                "invocationId": facts.run,
                "startedOn": _format_utc(facts.started),
                "finishedOn": _format_utc(facts.finished),
            },
        },
    }
    subjects = [*describe_checkpoint(facts.after, unlearned.subject), *map(describe_file, reports)]
    return build_statement(subjects, PREDICATE_TYPE, predicate)


def _list_parameters(unlearned: Report, attacked: Report | None) -> dict[str, Any]:
    return {
        "method": unlearned.method,
        "settings": unlearned.settings,
        "seed": unlearned.seed,
        "gates": [gate.condition for gate in select_subject_gates(unlearned)],
        "attack": describe_attack(attacked),
    }


def _list_dependencies(facts: Facts, unlearned: Report) -> list[Descriptor]:
    return [
        *describe_checkpoint(facts.before, unlearned.original),
        describe_manifest(unlearned),
        {"name": "selection", "digest": {KEYED: facts.selection}},
        *({"name": "request", "digest": {CANONICAL: digest}} for digest in facts.requests),
        {"name": "ledger", "digest": {CHAIN: facts.ledger}},
        *({"name": function.source, "digest": {"sha256": function.sha256}} for function in unlearned.code),
    ]


def _format_utc(time: str) -> str:
    """Return a time in UTC in the form of RFC 3339."""
    return datetime.fromisoformat(time).astimezone(UTC).isoformat().replace("+00:00", "Z")
