"""Do the statements of each run say what the ledger says? Their signatures are another matter."""

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


class Described(BaseModel):
    """A ResourceDescriptor."""

    name: str
    digest: dict[str, str]


class Build(BaseModel):
    resolvedDependencies: list[Described]


class Metadata(BaseModel):
    invocationId: str


class Details(BaseModel):
    metadata: Metadata


class Predicate(BaseModel):
    buildDefinition: Build
    runDetails: Details


class Provenance(BaseModel):
    subject: list[Described]
    predicate: Predicate


class Tests(BaseModel):
    result: str
    configuration: list[Described]


class Result(BaseModel):
    subject: list[Described]
    predicate: Tests


def differing(runs: Path, events: list[Event], removed: set[str]) -> Iterator[str]:
    """Yield what the statements of promoted runs say otherwise than the ledger; `removed` is what was vacuumed."""
    state = LedgerState()
    for event in events:
        if event.kind == "promoting" and f"runs/{event.run}" not in removed:
            yield from _differing(runs, state, event)
        fold([event], state)


def _differing(runs: Path, before: LedgerState, event: Event) -> Iterator[str]:
    run = before.runs[event.run or ""]
    for name in (PROVENANCE, RESULT):
        path = runs / run.id / "evidence" / name
        if name not in event.body["evidence"]:
            yield f"{run.id}: was promoted without {name}"
        elif path.is_file() and sha256(path) == event.body["evidence"][name]:  # else that is a finding of its own
            expected, found = _expected(before, run, event, name), _found(path, run, event, name)
            wrong = [what for what in expected if found.get(what) != expected[what]]
            if wrong:
                yield f"{run.id}: evidence/{name} says something else than the ledger of: {', '.join(wrong)}"


def _expected(before: LedgerState, run: RunState, event: Event, name: str) -> dict[str, Any]:
    """Return what the ledger says of a run that is about to be promoted; `before` is where everything stood then."""
    after, attempt = event.body["after"], next((one for one in run.attempts if one["passed"]), {})
    reports = sorted(attempt[kind] for kind in ("unlearn_report", "attack_report") if attempt.get(kind))
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
        "requests": sorted(before.requests[one].digest for one in run.requests),
        "ledger": before.last.hash,
    }


def _found(path: Path, run: RunState, event: Event, name: str) -> dict[str, Any]:
    """Return the same of a statement."""
    try:
        if name == RESULT:
            result = Result.model_validate_json(path.read_bytes())
            return {
                **_checkpoint(result.subject, event.body["version"], "new"),
                "reports": _reports(result.predicate.configuration),
                "result": result.predicate.result in ("PASSED", "WARNED"),
            }
        made = Provenance.model_validate_json(path.read_bytes())
    except ValidationError:
        return {}
    used = made.predicate.buildDefinition.resolvedDependencies
    return {
        **_checkpoint(made.subject, event.body["version"], "new"),
        "reports": _reports(made.subject),
        **_checkpoint(used, run.before["version"], "before"),
        "run": made.predicate.runDetails.metadata.invocationId,
        "selection": _digest(used, "selection", KEYED),
        "ledger": _digest(used, "ledger", CHAIN),
        "requests": sorted(one.digest.get(CANONICAL, "") for one in used if one.name == "request"),
    }


def _checkpoint(described: list[Described], version: str, when: str) -> dict[str, Any]:
    names = ("weights before", "files before") if when == "before" else ("new weights", "new files")
    return dict(zip(names, (_digest(described, "weights", TENSORS), _files(described, version)), strict=True))


def _digest(described: list[Described], name: str, kind: str) -> str | None:
    return next((one.digest.get(kind) for one in described if one.name == name), None)


def _files(described: list[Described], version: str) -> str:
    """Return the digest of a version's files, as `checkpoint_header.files_digest` makes it of the files themselves."""
    found = sorted(
        (PurePosixPath(one.name).name, one.digest.get("sha256", ""))
        for one in described
        if one.name.endswith(".safetensors") and PurePosixPath(one.name).parent.name == version
    )
    if len(found) == 1:
        return found[0][1]
    return hashlib.sha256("\n".join(f"{name} {digest}" for name, digest in found).encode()).hexdigest()


def _reports(described: list[Described]) -> list[str]:
    return sorted(one.digest.get("sha256", "") for one in described if one.name.endswith("/report.json"))
