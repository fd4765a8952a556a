"""in-toto Statements as plain dictionaries: what both kinds of ours share, and what is known of a batch run.

Source: in-toto Attestation Framework, Statement v1, https://github.com/in-toto/attestation/tree/main/spec/v1.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unlearn_cli.reporting import report
from unlearn_cli.reporting.report import Report
from unlearn_cli.storage import regular_files
from unlearn_cli.verdict.judgement import Gate

STATEMENT = "https://in-toto.io/Statement/v1"

# 'sha256' is of a file's bytes alone. These names are ours: of JSON with sorted keys, of record ids under the ledger's
# key, of names, dtypes, shapes and bytes of tensors (survives re-sharding), of the ledger's last event.
CANONICAL, KEYED, TENSORS, CHAIN = "canonicalJsonSha256", "keyedSha256", "tensorsSha256", "ledgerEventSha256"

Statement = dict[str, Any]
Descriptor = dict[str, Any]  # a ResourceDescriptor


@dataclass(frozen=True)
class Artifact:
    """A file that was read or written."""

    name: str  # with its folders below that of deletion.yaml
    sha256: str  # of its bytes, hexadecimal


@dataclass(frozen=True)
class Facts:
    """What is known of a run beside its reports; nothing in it names a record."""

    run: str
    started: str  # ISO 8601 with a zone
    finished: str
    before: tuple[Artifact, ...]  # the checkpoint that the run began with: a file, or an index and its shards
    after: tuple[Artifact, ...]  # the new one
    unlearned: Artifact  # report.json of 'unlearn'
    attacked: Artifact | None  # report.json of 'attack'; None when no attack was asked for
    requests: tuple[str, ...]  # their digests
    selection: str  # keyed digest of the ids of the records that they name
    ledger: str  # hash of the ledger's last event before this
    policy: str | None = None  # the rule of deletion.yaml that let a verdict through which is not decided


def artifacts(folder: Path, name: str) -> tuple[Artifact, ...]:
    """Return the files of the checkpoint in a folder with their digests, named as they will lie below `name`."""
    paths = sorted([*folder.glob("*.safetensors"), *folder.glob("*.index.json")])
    return tuple(Artifact(f"{name}/{path.name}", regular_files.sha256(path)) for path in paths)


def statement(subject: list[Descriptor], predicate_type: str, predicate: dict[str, Any]) -> Statement:
    """Put a statement together."""
    return {"_type": STATEMENT, "subject": subject, "predicateType": predicate_type, "predicate": predicate}


def file(artifact: Artifact) -> Descriptor:
    """Describe a file by its name and its bytes."""
    return {"name": artifact.name, "digest": {"sha256": artifact.sha256}}


def checkpoint(parts: tuple[Artifact, ...], described: report.Checkpoint | None) -> list[Descriptor]:
    """Describe a checkpoint: each of its files, and its weights however they are divided among files."""
    weights = [{"name": "weights", "digest": {TENSORS: described.tensor_digest}}] if described else []
    return [*map(file, parts), *weights]


def manifest(document: Report) -> Descriptor:
    """Describe the manifest by what it says, comments and layout aside."""
    return {"name": "manifest", "digest": {CANONICAL: document.manifest.manifest_digest}}


def of_subject(document: Report) -> list[Gate]:
    """Return the gates of the checkpoint under test; the others are controls."""
    return [gate for gate in document.gates if gate.role == "subject"]


def attack(document: Report | None) -> dict[str, Any] | None:
    """Say how strong the attacks were; nothing when none was asked for."""
    judgement = document.judgement if document else None
    if judgement is None:
        return None
    return {"tier": judgement.tier, "attempts": judgement.attempts, "half": judgement.holdout_half}


def to_json(made: Statement) -> str:
    """Return a statement as canonical JSON text: sorted keys, no NaN, one newline at the end."""
    return json.dumps(made, sort_keys=True, indent=2, allow_nan=False) + "\n"
