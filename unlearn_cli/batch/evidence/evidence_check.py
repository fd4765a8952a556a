"""Compares the statements of each run with the ledger. Their signatures are checked elsewhere."""

import hashlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import BaseModel, ValidationError

from unlearn_cli.batch.evidence.statement import CANONICAL, CHAIN, KEYED, TENSORS
from unlearn_cli.batch.ledger.ledger_state import LedgerState, RunState, fold
from unlearn_cli.batch.ledger.store import Event
from unlearn_cli.storage.regular_files import sha256

PROVENANCE, RESULT = "provenance.json", "test-result.json"


class ResourceDescriptor(BaseModel):
    name: str
    digest: dict[str, str]


class BuildDefinition(BaseModel):
    resolvedDependencies: list[ResourceDescriptor]


class BuildMetadata(BaseModel):
    invocationId: str


class RunDetails(BaseModel):
    metadata: BuildMetadata


class ProvenancePredicate(BaseModel):
    buildDefinition: BuildDefinition
    runDetails: RunDetails


class ProvenanceStatement(BaseModel):
    subject: list[ResourceDescriptor]
    predicate: ProvenancePredicate


class ResultPredicate(BaseModel):
    result: str
    configuration: list[ResourceDescriptor]


class ResultStatement(BaseModel):
    subject: list[ResourceDescriptor]
    predicate: ResultPredicate


def find_differences(runs: Path, events: list[Event], removed: set[str]) -> Iterator[str]:
    """Yield how the statements of promoted runs differ from the ledger; `removed` is what `vacuum` removed."""
    state = LedgerState()
    for event in events:
        if event.kind == "promoting" and f"runs/{event.run}" not in removed:
            yield from _compare_run(runs, state, event)
        fold([event], state)


def _compare_run(runs: Path, before: LedgerState, event: Event) -> Iterator[str]:
    run = before.runs[event.run or ""]
    for name in (PROVENANCE, RESULT):
        path = runs / run.id / "evidence" / name
        if name not in event.body["evidence"]:
            yield f"{run.id}: was promoted without {name}"
        elif path.is_file() and sha256(path) == event.body["evidence"][name]:  # otherwise another check reports it
            expected, stated = _collect_expected(before, run, event, name), _collect_stated(path, run, event, name)
            different = [fact for fact in expected if stated.get(fact) != expected[fact]]
            if different:
                yield f"{run.id}: evidence/{name} differs from the ledger in: {', '.join(different)}"


def _collect_expected(before: LedgerState, run: RunState, event: Event, name: str) -> dict[str, Any]:
    """Return the facts in the ledger about a run that is about to be promoted; `before` is the state at that time."""
    after, passed = event.body["after"], next((attempt for attempt in run.attempts if attempt["passed"]), {})
    reports = sorted(passed[kind] for kind in ("unlearn_report", "attack_report") if passed.get(kind))
    assert before.last is not None
    common = {"new weights": after["tensor_digest"], "new files": after["file_sha256"], "reports": reports}
    if name == RESULT:
        return {**common, "result": True}
    return {
        **common,
        "run": run.id,
        "weights before": run.before["tensor_digest"],
        "files before": run.before["file_sha256"],
        "selection": run.body["selection_digest"],
        "requests": sorted(before.requests[request].digest for request in run.requests),
        "ledger": before.last.hash,
    }


def _collect_stated(path: Path, run: RunState, event: Event, name: str) -> dict[str, Any]:
    """Return the same facts from a statement; none if it is not valid."""
    try:
        if name == RESULT:
            result = ResultStatement.model_validate_json(path.read_bytes())
            return {
                **_describe_checkpoint(result.subject, event.body["version"], "new"),
                "reports": _list_report_digests(result.predicate.configuration),
                "result": result.predicate.result in ("PASSED", "WARNED"),
            }
        provenance = ProvenanceStatement.model_validate_json(path.read_bytes())
    except ValidationError:
        return {}
    dependencies = provenance.predicate.buildDefinition.resolvedDependencies
    requests = [resource for resource in dependencies if resource.name == "request"]
    return {
        **_describe_checkpoint(provenance.subject, event.body["version"], "new"),
        "reports": _list_report_digests(provenance.subject),
        **_describe_checkpoint(dependencies, run.before["version"], "before"),
        "run": provenance.predicate.runDetails.metadata.invocationId,
        "selection": _find_digest(dependencies, "selection", KEYED),
        "ledger": _find_digest(dependencies, "ledger", CHAIN),
        "requests": sorted(resource.digest.get(CANONICAL, "") for resource in requests),
    }


def _describe_checkpoint(resources: list[ResourceDescriptor], version: str, when: str) -> dict[str, Any]:
    names = ("weights before", "files before") if when == "before" else ("new weights", "new files")
    digests = (_find_digest(resources, "weights", TENSORS), _digest_files(resources, version))
    return dict(zip(names, digests, strict=True))


def _find_digest(resources: list[ResourceDescriptor], name: str, kind: str) -> str | None:
    return next((resource.digest.get(kind) for resource in resources if resource.name == name), None)


def _digest_files(resources: list[ResourceDescriptor], version: str) -> str:
    """Return the digest of a version's files, as `checkpoint_header.digest_checkpoint_files` computes it."""
    paths = [(PurePosixPath(resource.name), resource.digest.get("sha256", "")) for resource in resources]
    digests = sorted(
        (path.name, digest)
        for path, digest in paths
        if path.name.endswith(".safetensors") and path.parent.name == version
    )
    if len(digests) == 1:
        return digests[0][1]
    return hashlib.sha256("\n".join(f"{name} {digest}" for name, digest in digests).encode()).hexdigest()


def _list_report_digests(resources: list[ResourceDescriptor]) -> list[str]:
    return sorted(resource.digest.get("sha256", "") for resource in resources if resource.name.endswith("/report.json"))
